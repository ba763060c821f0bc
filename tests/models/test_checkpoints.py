"""What was done to an encoder before must not show: other heads and classes, half precision, baked truncation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
)

from raybert.config import ModelConfig, RaybertConfig
from raybert.data import Splits, collate, tokenize_splits
from raybert.data.chunks import ChunkSettings, chunk_texts
from raybert.data.tokens import tokenize_examples
from raybert.errors import ModelError
from raybert.models import build_classifier, load_backbone, load_classifier, load_model, load_tokenizer
from raybert.models.encoder import as_trained
from raybert.selection.scorers.perplexity import load_masked_model
from raybert.sweeping.phases.prepare import prepare_with
from tests.models.folders import config_of, edit_json, save_encoder, tokenizer_of

TEXTS = ["red green blue one two three", "north", "three two one", "blue south north green"]


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RAYBERT_CACHE", str(tmp_path / "cache"))


def table_of(texts: list[str]) -> pa.Table:
    return pa.table({"text": texts, "label": pa.array([0] * len(texts), pa.int64())})


def state_of(model: Any) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


FOREIGN = {
    "many classes": (
        AutoModelForSequenceClassification,
        {"num_labels": 5, "problem_type": "multi_label_classification"},
    ),
    "as many classes": (AutoModelForSequenceClassification, {"id2label": {"0": "entailed", "1": "not"}}),
    "one number": (AutoModelForSequenceClassification, {"num_labels": 1, "problem_type": "regression"}),
    "masked": (AutoModelForMaskedLM, {}),
    "tokens": (AutoModelForTokenClassification, {"num_labels": 9}),
}


@pytest.mark.parametrize("settings", [{}, {"pooling": "mean"}])
@pytest.mark.parametrize("name", FOREIGN)
def test_another_head_is_dropped_and_another_task_forgotten(name, settings, tmp_path):
    auto, changes = FOREIGN[name]
    config = config_of("bert", finetuning_task="mnli", **changes)
    encoder = save_encoder(tmp_path / "foreign", config, model=auto.from_config(config))
    model = build_classifier(encoder, ("x", "y"), 3, ModelConfig(**settings))
    found = state_of(model)
    pooler_is_new = name in ("masked", "tokens")
    backbone = state_of(load_backbone(encoder))
    for key, tensor in backbone.items():
        if not (pooler_is_new and "pooler" in key):
            assert torch.equal(state_of(model.base_model)[key], tensor), key
    again = state_of(build_classifier(encoder, ("x", "y"), 4, ModelConfig(**settings)))
    changed = {key for key in found if not torch.equal(found[key], again[key])}
    assert {"classifier.weight"} <= changed if not settings else any(key.startswith("head.") for key in changed)
    model.save_pretrained(tmp_path / "best")
    loaded = load_model(tmp_path / "best")
    assert (loaded.config.id2label, loaded.config.problem_type) == ({0: "x", 1: "y"}, "single_label_classification")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_that_are_stored_in_half_precision_are_trained_and_saved_in_float32(dtype, tmp_path):
    config = config_of("bert")
    model = AutoModelForMaskedLM.from_config(config).to(dtype)
    encoder = save_encoder(tmp_path / "half", config, model=model)
    stored = load_file(tmp_path / "half" / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {dtype}
    assert json.loads((tmp_path / "half" / "config.json").read_text())["dtype"] == str(dtype).removeprefix("torch.")
    words = stored["bert.embeddings.word_embeddings.weight"].float()
    models = [
        load_classifier(encoder, ("x", "y"), 0),
        build_classifier(encoder, ("x", "y"), 0, ModelConfig(pooling="max")),
        load_backbone(encoder),
        load_masked_model(encoder),
    ]
    for model in models:
        assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
        assert torch.equal(model.base_model.get_input_embeddings().weight, words)
    models[0].save_pretrained(tmp_path / "best")
    assert {tensor.dtype for tensor in load_file(tmp_path / "best" / "model.safetensors").values()} == {torch.float32}
    assert json.loads((tmp_path / "best" / "config.json").read_text())["dtype"] == "float32"


def baked(**truncation: Any) -> Any:
    tokenizer = tokenizer_of()
    tokenizer.backend_tokenizer.enable_truncation(**(truncation or {"max_length": 4}))
    tokenizer.backend_tokenizer.enable_padding(length=20, pad_id=0, pad_token="[PAD]", pad_to_multiple_of=8)
    return tokenizer


@pytest.mark.parametrize("truncation", [{"max_length": 4}, {"max_length": 4, "stride": 1}, {"max_length": 400}])
def test_truncation_and_padding_of_tokenizer_json_are_neither_ours_nor_those_of_best(truncation, tmp_path):
    plain = load_tokenizer(save_encoder(tmp_path / "plain", config_of("bert")))
    encoder = save_encoder(tmp_path / "baked", config_of("bert"), baked(**truncation))
    assert json.loads((tmp_path / "baked" / "tokenizer.json").read_text())["truncation"] is not None
    tokenizer = load_tokenizer(encoder)
    for length in (5, 12):
        mine, wanted = (tokenize_examples(table_of(TEXTS), one, length) for one in (tokenizer, plain))
        assert mine.ids.tolist() == wanted.ids.tolist()
    settings = ChunkSettings(8, 6, 10)
    chunks, wanted = (chunk_texts(["red blue green " * 9], one, settings).table for one in (tokenizer, plain))
    assert chunks.ids.tolist() == wanted.ids.tolist()
    as_trained(tokenizer, 12).save_pretrained(tmp_path / "best")
    raw = Tokenizer.from_file(str(tmp_path / "best" / "tokenizer.json"))
    assert (raw.truncation, raw.padding) == (None, None)
    best = AutoTokenizer.from_pretrained(tmp_path / "best")
    long = "red blue green " * 9
    assert best(long, truncation=True)["input_ids"] == plain(long, truncation=True, max_length=12)["input_ids"]
    assert len(best(long)["input_ids"]) == len(plain(long)["input_ids"]) == 29


def splits_of(texts: list[str]) -> Splits:
    table = table_of(texts).add_column(0, "example_id", [[f"e{row}" for row in range(len(texts))]])
    return Splits(table, table, table, ("x",), fingerprint="f")


def test_a_missing_padding_piece_is_one_line_that_names_the_key(tmp_path):
    encoder = save_encoder(tmp_path / "e", config_of("bert"))
    edit_json(tmp_path / "e" / "tokenizer_config.json", pad_token=None)
    with pytest.raises(ModelError, match=r"^model\.encoder: the tokenizer of .* must have a padding token; set `pad_"):
        prepare_with(RaybertConfig(data={"max_length": 16}), splits_of(TEXTS), encoder)


@pytest.mark.parametrize("piece", ["[SEP]", "[PAD]", "[UNK]", "[CLS]"])
@pytest.mark.parametrize("kind", ["bert", "electra", "distilbert", "modernbert"])
def test_the_padding_piece_makes_no_difference_to_what_is_computed(kind, piece, tmp_path):
    """Equal to the end piece, number 0, or any other: what is padded is masked."""
    number = tokenizer_of().convert_tokens_to_ids(piece)
    assert (piece == "[PAD]") == (number == 0)
    config = config_of(kind, pad_token_id=0)
    encoder = save_encoder(tmp_path / "e", config, tokenizer_of(pad_token=piece))
    data = tokenize_splits(splits_of(TEXTS), load_tokenizer(encoder), 16)
    assert data.pad_id == number
    model = load_classifier(encoder, ("x", "y"), 0).eval()
    lengths = range(len(TEXTS))
    with torch.inference_mode():
        together = model(**without_labels(data, list(lengths))).logits
        alone = torch.cat([model(**without_labels(data, [row])).logits for row in lengths])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


def without_labels(data: Any, rows: list[int]) -> dict[str, torch.Tensor]:
    batch = collate(data.train, rows, data.pad_id, data.uses_token_types)
    del batch["labels"]
    return batch


def test_best_of_a_run_says_the_length_of_its_training(tmp_path):
    tokenizer = as_trained(baked(), 31)
    tokenizer.save_pretrained(tmp_path)
    config = json.loads(Path(tmp_path / "tokenizer_config.json").read_text())
    assert config["model_max_length"] == 31
    assert not {"max_length", "stride", "truncation_strategy"} & config.keys()
