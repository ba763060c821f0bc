"""The files of `raybert-tiny` in the package: what they are, what their card says, and how good they are."""

import json
import re
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer, ModernBertConfig, ModernBertForMaskedLM

from raybert.config import ModelConfig
from raybert.config.pretraining import load_pretraining
from raybert.data.docstrings import LIBRARIES, read_docstrings
from raybert.files import file_digest
from raybert.models import load_backbone, load_classifier, resolve_encoder
from raybert.models.embedded import EMBEDDED, FINGERPRINTS
from raybert.models.encoder import fingerprint_files
from raybert.models.quiet import quiet_transformers
from raybert.pretraining.prose import PACKAGES, RUN, read_prose
from raybert.pretraining.ship import DEVIATION, TRAINING, ship, shrink_embeddings
from tests.e2e.commands import ROOT

CARD = (EMBEDDED / "README.md").read_text()
FACTS = json.loads((EMBEDDED / TRAINING).read_text())
RECIPE = ROOT / "sweeps" / "pretrain_tiny.yaml"


def test_the_files_are_small_and_the_ones_whose_digests_the_card_has():
    files = {path.name: path for path in EMBEDDED.iterdir()}
    assert sum(path.stat().st_size for path in files.values()) < 5 * 2**20
    stated = dict(re.findall(r"^([0-9a-f]{64})  ([\w.]+)$", CARD, re.M))
    assert {name: digest for digest, name in stated.items()} == {
        name: file_digest(path) for name, path in files.items() if name != "README.md"
    }


def test_weights_are_stored_in_half_and_loaded_in_full_precision():
    stored = load_file(EMBEDDED / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}
    assert sum(tensor.numel() for tensor in stored.values()) == FACTS["parameters"] == 1_352_448
    encoder = resolve_encoder(ModelConfig(), [], EMBEDDED)
    with quiet_transformers():
        by_transformers = AutoModel.from_pretrained(EMBEDDED)
    for model in (load_classifier(encoder, ("a", "b"), 0), load_backbone(encoder), by_transformers):
        assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
        table = model.base_model.embeddings.tok_embeddings.weight
        assert torch.equal(table, stored["model.embeddings.tok_embeddings.weight"].float())


def test_it_is_the_same_whatever_the_pool(tmp_path):
    one, other = (resolve_encoder(ModelConfig(), texts, tmp_path) for texts in (["red"], ["green", "blue"]))
    assert one == other
    assert one.path == EMBEDDED
    assert not one.is_of_hub
    assert not list(tmp_path.iterdir())  # nothing is made
    assert one.fingerprint == fingerprint_files(EMBEDDED)
    assert one.fingerprint in FINGERPRINTS


def test_the_card_says_what_the_files_were_trained_on_and_how_well():
    best, counts = FACTS["best"], FACTS["corpora"]
    for number in (
        f"{best['validation_loss']:.2f}",
        f"{best['validation_perplexity']:.1f}",
        f"{100 * best['validation_masked_accuracy']:.1f} %",
        f"{sum(of['documents'] for of in counts.values()):,} documents",
        f"{FACTS['total_steps']:,} steps",
        FACTS["identity"]["corpus"],
        *(FACTS["versions"][name] for name in ("torch", "transformers", "tokenizers")),
    ):
        assert number in CARD, number
    stated = {row[0]: row[1:] for row in re.findall(r"^\| (\w+) \| ([\w.+]+) \| ([^|]+) \| ([\d,]+) \|$", CARD, re.M)}
    assert stated.keys() == {*PACKAGES, "python"}
    assert not stated.keys() & LIBRARIES.keys()  # whose docstrings are classified
    num_documents = sum(int(row[2].replace(",", "")) for row in stated.values())
    assert num_documents == sum(of["documents"] for of in counts.values())
    assert all(licence.strip() for _, licence, _ in stated.values())


def test_the_recipe_is_what_made_the_files():
    config = load_pretraining(RECIPE)
    identity = FACTS["identity"]
    for section, told in (("model", config.model), ("pretrain", config.pretrain)):
        values = told.model_dump(mode="json")  # it may have keys that there were not then
        assert {key: values[key] for key in identity[section]} == identity[section]
    assert list(config.seeds) == [identity["seed"]]
    assert [corpus.source for corpus in config.corpora.values()] == ["prose"]
    assert config.tokenizer.vocabulary == len(AutoTokenizer.from_pretrained(EMBEDDED)) == 8192


@pytest.mark.slow
def test_it_fills_in_words_of_texts_that_it_has_not_seen(corpus):
    """Texts of `docstrings`, none of which shares eight words in a row with what it was trained on."""
    texts = read_docstrings(corpus)[0]["text"].to_pylist()[::40]
    tokenizer = AutoTokenizer.from_pretrained(EMBEDDED)
    ids = tokenizer(texts, padding=True, truncation=True, max_length=64, return_tensors="pt")
    special = torch.tensor(np.isin(ids["input_ids"], tokenizer.all_special_ids))
    masked = torch.tensor(np.random.default_rng(0).random(special.shape) < 0.15) & ~special
    with quiet_transformers(), torch.inference_mode():
        model = AutoModelForMaskedLM.from_pretrained(EMBEDDED).eval()
        read = ids["input_ids"].masked_fill(masked, tokenizer.mask_token_id)
        guessed = model(input_ids=read, attention_mask=ids["attention_mask"]).logits.argmax(-1)
    wanted = ids["input_ids"][masked]
    most_frequent = float((wanted == wanted.mode().values).float().mean())
    accuracy = float((guessed[masked] == wanted).float().mean())
    assert accuracy > 0.27, accuracy  # measured: .303
    assert accuracy > 2.5 * most_frequent


def test_a_smaller_table_leaves_what_the_model_computes_and_files_know_no_place(tmp_path):
    """The way from a pretraining to the files, with a model that nobody has trained."""
    config = ModernBertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, norm_eps=1e-12,
        pad_token_id=0, bos_token_id=1, cls_token_id=1, eos_token_id=2, sep_token_id=2,
    )  # fmt: skip
    torch.manual_seed(0)
    model = ModernBertForMaskedLM(config).eval()
    with torch.no_grad():
        model.model.embeddings.tok_embeddings.weight *= 7
    ids = torch.arange(3, 23)[None]
    before = model(ids).logits
    assert shrink_embeddings(model) == pytest.approx(7, rel=0.2)
    torch.testing.assert_close(model(ids).logits, before, rtol=1e-4, atol=1e-5)
    assert float(model.model.embeddings.tok_embeddings.weight.detach().std()) == pytest.approx(DEVIATION)

    run = tmp_path / "run"
    with quiet_transformers():
        model.save_pretrained(run / "model")
    AutoTokenizer.from_pretrained(EMBEDDED).save_pretrained(run / "model")
    summary = {**FACTS, "configuration": {"tokenizer": "/home/me"}, "notes": []}
    (run / "training_summary.json").write_text(json.dumps(summary))
    digests = ship(run, tmp_path / "package")
    assert digests.keys() == {path.name for path in EMBEDDED.iterdir()} - {"README.md"}
    assert json.loads((tmp_path / "package" / TRAINING).read_text()) == FACTS
    for name in ("config.json", "tokenizer_config.json", TRAINING):
        assert "/" not in (tmp_path / "package" / name).read_text().replace("/10 ", "")
    with quiet_transformers():
        again = AutoModelForMaskedLM.from_pretrained(tmp_path / "package").eval()
    torch.testing.assert_close(again(ids).logits, before, rtol=0.02, atol=0.02)


def test_other_weights_are_another_encoder(tmp_path):
    copy = shutil.copytree(EMBEDDED, tmp_path / "copy")
    weights = load_file(copy / "model.safetensors")
    weights["head.norm.weight"] += 1
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    assert resolve_encoder(ModelConfig(encoder=str(copy)), [], tmp_path).fingerprint not in FINGERPRINTS


@pytest.mark.long
def test_the_card_has_the_corpus_of_these_versions(tmp_path):
    """Where the packages are those of the card, `prose` is what it was trained on, text by text."""
    from raybert.pretraining.corpora import read_corpora

    prose = read_prose(tmp_path)
    stated = dict(re.findall(r"^\| (\w+) \| ([\w.+]+) \| [^|]+ \| [\d,]+ \|$", CARD, re.M))
    if prose.versions != stated:
        pytest.skip(f"other versions are installed: {sorted(set(prose.versions.items()) - set(stated.items()))}")
    assert read_corpora(load_pretraining(RECIPE), tmp_path)["prose"].fingerprint == FACTS["identity"]["corpus"]
    assert RUN == 8  # of which the card speaks
