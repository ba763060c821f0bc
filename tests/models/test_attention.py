"""`model.attention`: what transformers is asked for, what it costs ids, and what is refused before anything is loaded."""

from importlib.util import find_spec

import numpy as np
import pytest
import torch

from raybert.config import ModelConfig, load_config
from raybert.config.packages import check_gpu_for_attention, check_packages
from raybert.errors import ConfigError, ModelError
from raybert.models import build_classifier
from raybert.models.capacity import stated_positions
from raybert.training.optimization.precision import FP32
from raybert.training.ran_on import RanOn

LABELS = ("a", "b", "c")


@pytest.mark.parametrize("head", [None, "mlp"])
def test_the_encoder_computes_attention_as_it_is_asked_to_and_says_so(tiny_bert, head):
    batch = {"input_ids": torch.arange(5, 17).reshape(2, 6), "attention_mask": torch.ones(2, 6, dtype=torch.long)}
    logits = {}
    for attention in ("eager", "sdpa"):
        model = build_classifier(tiny_bert, LABELS, 0, ModelConfig(attention=attention, head=head)).eval()
        assert RanOn.of(model, FP32, None).attention == attention
        with torch.no_grad():
            logits[attention] = model(**batch).logits.numpy()
    np.testing.assert_allclose(logits["eager"], logits["sdpa"], atol=1e-5)
    assert stated_positions(model.config) == 64


def test_ids_know_of_attention_only_where_it_is_set():
    assert "attention" not in ModelConfig().task()
    assert ModelConfig(attention="eager").task()["attention"] == "eager"
    assert "attention" not in ModelConfig(attention="eager").data_part()  # word pieces are the same


def test_what_an_architecture_lacks_is_one_line(tiny_bert, monkeypatch):
    def refuse(*_, **__):
        raise ValueError("BertModel does not support SDPA yet")

    monkeypatch.setattr("raybert.models.classifier.AutoModelForSequenceClassification.from_pretrained", refuse)
    with pytest.raises(
        ModelError, match=r"^model\.attention: sdpa is not possible with .*: BertModel does not support"
    ):
        build_classifier(tiny_bert, ("x", "y"), 0, ModelConfig(attention="sdpa"))


@pytest.mark.skipif(find_spec("flash_attn") is not None, reason="flash-attn is installed")
def test_flash_attention_without_its_package_is_refused_before_anything_is_loaded():
    config = load_config({"model": {"attention": "flash_attention_2"}})
    with pytest.raises(ConfigError, match=r"model\.attention: flash_attention_2 needs the package flash-attn; `pip"):
        check_packages(config)


def test_flash_attention_needs_a_gpu_and_half_precision(monkeypatch):
    monkeypatch.setattr("raybert.config.packages.find_spec", lambda name: object())
    config = load_config({"model": {"attention": "flash_attention_2"}, "resources": {"gpus_per_worker": 0}})
    with pytest.raises(
        ConfigError, match=r"flash_attention_2 needs a GPU, got resources\.gpus_per_worker 0; take sdpa"
    ):
        check_gpu_for_attention(config)
    check_gpu_for_attention(load_config(config, {"resources.gpus_per_worker": 1}))
    with pytest.raises(ConfigError, match=r"needs train\.precision auto, bf16 or fp16, got fp32"):
        check_packages(load_config(config, {"train.precision": "fp32"}))
    with pytest.raises(ConfigError, match="attention: must be left out with `kind: iris`"):
        load_config({"model": {"kind": "iris", "attention": "sdpa"}})
