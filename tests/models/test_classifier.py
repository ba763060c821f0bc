import errno
import json
import os
import shutil
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

from raybert.config import ModelConfig
from raybert.errors import CacheWarning, ModelError
from raybert.models import (
    Encoder,
    embed_batch,
    load_classifier,
    load_model,
    load_tokenizer,
    pooled_features,
    quiet_transformers,
    resolve_encoder,
    tiny,
)
from raybert.models.encoder import fingerprint_files
from raybert.models.tiny import build_random_encoder, train_tokenizer
from raybert.models.wordpiece import wordpiece_vocabulary

SMALL = {
    "bert": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48},
    "roberta": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48},
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 48},
    "electra": {
        "embedding_size": 32,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 48,
    },
    "modernbert": {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 48,
    },
    "deberta-v2": {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 48,
    },
}


@pytest.fixture(params=SMALL, scope="module")
def encoder(request, tmp_path_factory) -> Encoder:
    folder = tmp_path_factory.mktemp(request.param)
    train_tokenizer(["red green blue", "one two three"] * 3, 100).save_pretrained(folder)
    config = AutoConfig.for_model(request.param, vocab_size=100, pad_token_id=0, **SMALL[request.param])
    torch.manual_seed(1)
    with quiet_transformers():
        AutoModel.from_config(config).save_pretrained(folder)
    return resolve_encoder(ModelConfig(encoder=str(folder)), [], folder)


def batch_of(count: int = 40) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(5, 100, (count, 12), generator=generator)
    mask = torch.ones_like(ids)
    mask[::2, 8:] = 0
    return {"input_ids": ids.masked_fill(mask == 0, 0), "attention_mask": mask}


def state_of(model) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def test_a_reset_model_equals_a_fresh_one_whatever_happened_to_it(encoder):
    first = state_of(load_classifier(encoder, ("x", "y"), seed=5))
    model = load_classifier(encoder, ("x", "y"), seed=6)
    assert any(not torch.equal(first[k], v) for k, v in model.state_dict().items())
    model.eval()
    for parameter in model.parameters():
        parameter.data.add_(1.0)
        parameter.requires_grad_(False)
    again = load_classifier(encoder, ("x", "y"), seed=5)
    assert all(torch.equal(first[k], v) for k, v in again.state_dict().items())
    assert again.training
    assert all(p.requires_grad and p.grad is None for p in again.parameters())


def test_only_the_head_depends_on_the_seed_and_the_global_generator_is_left_alone(encoder):
    before = torch.get_rng_state()
    one, other = (state_of(load_classifier(encoder, ("x", "y", "z"), seed=s)) for s in (1, 2))
    assert torch.equal(before, torch.get_rng_state())
    changed = {name for name in one if not torch.equal(one[name], other[name])}
    prefix = load_classifier(encoder, ("x", "y", "z"), seed=1).base_model_prefix + "."
    from_files = AutoModel.from_pretrained(encoder.path).state_dict()
    assert changed
    assert not {name.removeprefix(prefix) for name in changed if name.startswith(prefix)} & set(from_files) - {
        name for name in from_files if name.startswith("pooler")
    }


def test_a_bf16_backbone_keeps_a_float32_head(encoder):
    model = load_classifier(encoder, ("x", "y"), seed=0).eval()
    batch = batch_of(200)
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        logits, features = pooled_features(model, batch)
    assert logits.dtype == features.dtype == torch.float32
    assert len(logits.softmax(-1)[:, 0].unique()) >= 195


def test_features_are_the_input_of_the_last_linear_layer(encoder):
    model = load_classifier(encoder, ("x", "y"), seed=0).eval()
    with torch.inference_mode():
        logits, features = pooled_features(model, batch_of())
        last = [m for m in model.modules() if isinstance(m, torch.nn.Linear)][-1]
        torch.testing.assert_close(torch.nn.functional.linear(features, last.weight, last.bias), logits)


def test_mean_embeddings_do_not_see_padding_and_have_length_one(encoder):
    model = load_classifier(encoder, ("x", "y"), seed=0).eval()
    batch = batch_of()
    wide = {k: torch.nn.functional.pad(v, (0, 5)) for k, v in batch.items()}
    with torch.inference_mode():
        one, other = embed_batch(model, batch, "mean"), embed_batch(model, wide, "mean")
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(one.norm(dim=1), torch.ones(len(one)))


def test_a_saved_model_loads_with_plain_transformers_and_gives_the_same_logits(encoder, tmp_path):
    model = load_classifier(encoder, ("x", "y"), seed=0).eval()
    with quiet_transformers():
        model.save_pretrained(tmp_path)
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    assert plain.config.id2label == {0: "x", 1: "y"}
    with torch.inference_mode():
        torch.testing.assert_close(plain(**batch_of()).logits, model(**batch_of()).logits)
        torch.testing.assert_close(load_model(tmp_path)(**batch_of()).logits, model(**batch_of()).logits)


def test_dropout_is_overridden_everywhere(encoder):
    model = load_classifier(encoder, ("x", "y"), seed=0, dropout=0.0)
    rates = [m.p for m in model.modules() if isinstance(m, torch.nn.Dropout)]
    assert set(rates) <= {0.0}
    with torch.inference_mode():
        torch.testing.assert_close(model(**batch_of()).logits, model(**batch_of()).logits)


def test_a_decoder_is_refused(tmp_path):
    from transformers import GPT2Config, GPT2Model

    train_tokenizer(["a b"] * 2, 50).save_pretrained(tmp_path)
    with quiet_transformers():
        GPT2Model(GPT2Config(vocab_size=50, n_embd=8, n_layer=1, n_head=1)).save_pretrained(tmp_path)
    encoder = resolve_encoder(ModelConfig(encoder=str(tmp_path)), [], tmp_path)
    with pytest.raises(ModelError, match="must be a BERT-like encoder, got a model of type 'gpt2'"):
        load_classifier(encoder, ("x", "y"), seed=0)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("./nowhere", "must be an existing folder"),
        ("raybert-tinny", "did you mean 'raybert-tiny'"),
        ("someone/some-encoder", r"hf download someone/some-encoder.*local folder"),
    ],
)
def test_an_encoder_that_is_not_there_is_named_with_the_way_out(name, message, tmp_path):
    with pytest.raises(ModelError, match=message):
        resolve_encoder(ModelConfig(encoder=name), [], tmp_path)


def test_a_folder_without_weights_says_what_is_missing(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ModelError, match="has no weights"):
        resolve_encoder(ModelConfig(encoder=str(tmp_path)), [], tmp_path)


@pytest.mark.long
@pytest.mark.slow
def test_the_random_encoder_is_the_same_in_every_process(tmp_path):
    texts = [f"compute the mean of array {i % 7} along axis {i}" for i in range(60)]
    script = (
        "import sys; from pathlib import Path; from raybert.models.tiny import build_random_encoder;"
        "from raybert.models.encoder import fingerprint_files;"
        "texts=[f'compute the mean of array {i % 7} along axis {i}' for i in range(60)];"
        "print(fingerprint_files(build_random_encoder(reversed(texts), Path(sys.argv[1]))))"
    )
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"  # another one than this process has
    elsewhere = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "elsewhere")],
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    folder = build_random_encoder(texts, tmp_path / "here")
    assert fingerprint_files(folder) == elsewhere.strip()
    assert (folder / "COMPLETE").exists()
    tokenizer = load_tokenizer(resolve_encoder(ModelConfig(encoder=str(folder)), [], tmp_path))
    assert tokenizer("mean", "axis")["input_ids"][0] == tokenizer.cls_token_id


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json", "digests.json", "COMPLETE"])
def test_what_is_damaged_of_the_cached_encoder_is_made_again(name, tmp_path):
    texts = [f"red green blue {i % 5}" for i in range(20)]
    folder = build_random_encoder(texts, tmp_path)
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    content = whole[name]
    for damaged in (content[: len(content) // 2], content[:-9] + bytes(9), None):
        (folder / name).unlink() if damaged is None else (folder / name).write_bytes(damaged)
        assert build_random_encoder(texts, tmp_path) == folder
        again = {path.name: path.read_bytes() for path in folder.iterdir()}
        if name != "COMPLETE":  # whose files are whole
            assert again == whole


@pytest.mark.fault("disk of the cache full")
def test_an_encoder_that_the_cache_has_no_room_for_is_the_same_elsewhere(tmp_path, monkeypatch, fault):
    texts = [f"red green blue {i % 5}" for i in range(20)]
    expected = fingerprint_files(build_random_encoder(texts, tmp_path / "roomy"))
    publish = tiny._publish

    def full(texts, folder):
        if folder.is_relative_to(tmp_path):
            raise OSError(errno.ENOSPC, "No space left on device")
        publish(texts, folder)

    monkeypatch.setattr(tiny, "_publish", full)
    with (
        fault.once(),
        pytest.warns(CacheWarning, match="the encoder raybert-tiny-random cannot be kept in .*No space left"),
    ):
        assert fingerprint_files(build_random_encoder(texts, tmp_path / "full")) == expected


def test_merges_follow_frequency_and_ties_the_pieces():
    # ab: 4 + 3 = 7 times, then abc (4), then cd (2).
    words = Counter({"abc": 4, "ab": 3, "cd": 2, "e": 1})
    assert wordpiece_vocabulary(words, 100, ["[PAD]"]) == [
        "[PAD]",
        "##b",
        "##c",
        "##d",
        "a",
        "c",
        "e",
        "ab",
        "abc",
        "cd",
    ]
    assert wordpiece_vocabulary(words, 8, ["[PAD]"])[-1] == "ab"


def test_repeated_pairs_in_a_word_are_merged_from_the_left():
    vocabulary = wordpiece_vocabulary(Counter({"aaaa": 5}), 100, [])
    assert vocabulary[:2] == ["##a", "a"]
    assert "aaaa" in vocabulary


def test_the_vocabulary_of_a_text_is_that_of_its_parts(monkeypatch):
    texts = ["the cat, the dog. " * 40 + "東京東京 caf\u0065\u0301 " * 30 + "x" * 300 + "\u00a0the" * 20, "the cat"]
    whole = train_tokenizer(texts, 80).get_vocab()
    monkeypatch.setattr("raybert.models.words._PART_CHARACTERS", 7)
    assert train_tokenizer(texts, 80).get_vocab() == whole
    assert train_tokenizer([*texts, "q" * 10_001], 80).get_vocab() == whole


def test_token_pieces_rebuild_the_words():
    tokenizer = train_tokenizer(["the quick brown fox", "the quick red fox"] * 2, 60)
    assert "".join(piece.removeprefix("##") for piece in tokenizer.tokenize("quick")) == "quick"
    assert np.unique(list(tokenizer.get_vocab().values())).tolist() == list(range(len(tokenizer)))


def test_a_hub_id_that_was_downloaded_before_is_found_without_network(tiny_bert, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    revision = "0123456789abcdef0123456789abcdef01234567"
    folder = tmp_path / "models--me--my-bert"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(revision)
    shutil.copytree(tiny_bert.path, folder / "snapshots" / revision)
    found = resolve_encoder(ModelConfig(encoder="me/my-bert"), [], tmp_path)
    assert found.path == folder / "snapshots" / revision
    assert found.fingerprint == tiny_bert.fingerprint
