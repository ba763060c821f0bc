"""Encoders in a hub cache that was laid out by hand: all that AutoModel loads from a folder, or one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel
from transformers.convert_slow_tokenizer import import_protobuf

from raybert.config import ModelConfig
from raybert.errors import ModelError
from raybert.models import load_backbone, load_classifier, load_tokenizer, resolve_encoder
from raybert.models.capacity import Demand, check_capacity
from tests.models.folders import config_of, edit_json, save_encoder, tokenizer_of

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Any:
    """Put a folder into a hub cache as blobs and links, and return its id."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("RAYBERT_CACHE", str(tmp_path / "cache"))

    def put(folder: Path, name: str = "org/name", end: str = "") -> str:
        place = tmp_path / "hub" / f"models--{name.replace('/', '--')}"
        snapshot = place / "snapshots" / COMMIT
        for part in ("refs", "blobs"):
            (place / part).mkdir(parents=True, exist_ok=True)
        (place / "refs" / "main").write_text(COMMIT + end)
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                blob = f"{name}-{path.relative_to(folder)}".replace("/", "-")
                shutil.copy(path, place / "blobs" / blob)
                link = snapshot / path.relative_to(folder)
                link.parent.mkdir(parents=True, exist_ok=True)
                up = "/".join([".."] * (2 + len(path.relative_to(folder).parts) - 1))
                link.symlink_to(f"{up}/blobs/{blob}")
        return name

    return put


def resolved(name: str, **settings: Any) -> Any:
    return resolve_encoder(ModelConfig(encoder=name, **settings), [], Path("nowhere"))


def bin_only(folder: Path, *, in_parts: bool = False) -> None:
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    if not in_parts:
        torch.save(weights, folder / "pytorch_model.bin")
        return
    names = sorted(weights)
    parts = {"pytorch_model-00001-of-00002.bin": names[::2], "pytorch_model-00002-of-00002.bin": names[1::2]}
    for file, part in parts.items():
        torch.save({name: weights[name] for name in part}, folder / file)
    places = {name: file for file, part in parts.items() for name in part}
    index = {"metadata": {"total_size": 1}, "weight_map": places}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))


FORMS = {
    "safetensors": lambda folder: None,
    "safetensors in parts": lambda folder: AutoModel.from_pretrained(folder).save_pretrained(
        folder, max_shard_size="5KB"
    ),
    "bin": bin_only,
    "bin in parts": lambda folder: bin_only(folder, in_parts=True),
    "vocab.txt": lambda folder: (
        (folder / "vocab.txt").write_text("\n".join(sorted(v := tokenizer_of().get_vocab(), key=v.get))),
        (folder / "tokenizer.json").unlink(),
        (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer"})),
    ),
}


@pytest.mark.parametrize("end", ["", "\n"])
@pytest.mark.parametrize("form", FORMS)
def test_what_loads_from_a_folder_loads_from_the_hub_cache(form, end, hub, tmp_path):
    folder = tmp_path / "folder"
    encoder = save_encoder(folder, config_of("bert"))
    wanted = load_backbone(encoder).state_dict()
    if form == "safetensors in parts":
        (folder / "model.safetensors").rename(tmp_path / "kept")
        model = AutoModel.from_config(config_of("bert"))
        model.load_state_dict(load_file(tmp_path / "kept"))
        model.save_pretrained(folder, max_shard_size="5KB")
        assert len(list(folder.glob("model-*.safetensors"))) > 1
    else:
        FORMS[form](folder)
    local, cached = resolved(str(folder)), resolved(hub(folder, end=end))
    assert cached.fingerprint == local.fingerprint
    for found in (local, cached):
        assert all(torch.equal(tensor, wanted[name]) for name, tensor in load_backbone(found).state_dict().items())
        assert load_tokenizer(found)("red green")["input_ids"] == load_tokenizer(encoder)("red green")["input_ids"] or (
            form == "vocab.txt" and load_tokenizer(found)("red green")["input_ids"]
        )


def spm_model(folder: Path) -> None:
    """Write a SentencePiece model as the only file of a tokenizer, as DeBERTa-v3 on the hub has it."""
    proto = import_protobuf().ModelProto()
    control = {"[PAD]": 3, "[CLS]": 3, "[SEP]": 3, "[UNK]": 2}
    for rank, piece in enumerate([*control, "▁", *"redgnblu", "▁red", "▁green"]):
        proto.pieces.add(piece=piece, score=-float(rank), type=control.get(piece, 1))
    proto.trainer_spec.model_type = 1
    proto.trainer_spec.unk_id = 3
    (folder / "tokenizer.json").unlink()
    (folder / "spm.model").write_bytes(proto.SerializeToString())
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": False, "vocab_type": "spm"}))


def test_deberta_v3_from_the_hub_has_torch_weights_and_a_sentencepiece_file(hub, tmp_path, monkeypatch):
    folder = tmp_path / "deberta"
    save_encoder(folder, config_of("deberta-v2", pad_token_id=0))
    bin_only(folder)
    spm_model(folder)
    encoder = resolved(hub(folder, "microsoft/deberta-v3-base"))
    assert load_backbone(encoder).config.model_type == "deberta-v2"
    monkeypatch.setattr("raybert.models.encoder.find_spec", lambda name: None)
    message = r"^model\.encoder: microsoft/deberta-v3-base: its tokenizer needs the package `sentencepiece`; install it"
    with pytest.raises(ModelError, match=message):
        load_tokenizer(encoder)
    monkeypatch.undo()
    pytest.importorskip("sentencepiece")
    tokenizer = load_tokenizer(encoder)
    assert tokenizer.convert_ids_to_tokens(tokenizer("red green")["input_ids"]) == ["[CLS]", "▁red", "▁green", "[SEP]"]


def test_a_tiktoken_file_names_its_package(tmp_path, monkeypatch):
    encoder = save_encoder(tmp_path, config_of("bert"))
    (tmp_path / "tokenizer.json").rename(tmp_path / "tiktoken.model")
    monkeypatch.setattr("raybert.models.encoder.find_spec", lambda name: None)
    with pytest.raises(ModelError, match="its tokenizer needs the package `tiktoken`"):
        load_tokenizer(encoder)


CODE = """
import torch
from torch import nn
from transformers import BertConfig, BertModel
from .sizes import WIDTH

class OwnConfig(BertConfig):
    model_type = "own-bert"

class OwnModel(BertModel):
    config_class = OwnConfig
"""


def own_code(folder: Path, code: str = CODE, reference: str = "") -> None:
    save_encoder(folder, config_of("bert"))
    places = {"AutoConfig": f"{reference}modeling_own.OwnConfig", "AutoModel": f"{reference}modeling_own.OwnModel"}
    edit_json(folder / "config.json", model_type="own-bert", auto_map=places)
    edit_json(folder / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
    if not reference:
        (folder / "modeling_own.py").write_text(code)
        (folder / "sizes.py").write_text("WIDTH = 16\n")


@pytest.mark.slow
def test_code_of_its_own_runs_only_where_the_key_allows_it(hub, tmp_path, monkeypatch):
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    own_code(tmp_path / "own")
    name = hub(tmp_path / "own")
    refused = resolved(name)
    for load in (load_backbone, lambda encoder: load_classifier(encoder, ("x", "y"), 0)):
        with pytest.raises(ModelError, match=r"^model\.encoder: org/name: .*model\.trust_remote_code: true \("):
            load(refused)
    allowed = resolved(name, trust_remote_code=True)
    assert type(load_backbone(allowed)).__name__ == "OwnModel"
    assert load_tokenizer(allowed)("red")["input_ids"]
    with pytest.raises(ModelError, match=r"cannot be loaded: .*"):
        load_classifier(allowed, ("x", "y"), 0)  # its files have no classifier: `model.pooling` is the way
    (tmp_path / "own" / "sizes.py").write_text("WIDTH = 17\n")
    changed = resolved(str(tmp_path / "own"), trust_remote_code=True).fingerprint
    assert changed != allowed.fingerprint
    assert resolved(str(tmp_path / "own")).fingerprint == refused.fingerprint


def test_code_of_another_hub_model_is_found_and_part_of_the_fingerprint(hub, tmp_path):
    own_code(tmp_path / "code")
    hub(tmp_path / "code", "org/code")
    own_code(tmp_path / "own", reference="org/code--")
    name = hub(tmp_path / "own")
    first = resolved(name, trust_remote_code=True).fingerprint
    assert first != resolved(name).fingerprint
    shutil.rmtree(tmp_path / "hub" / "models--org--code")
    with pytest.raises(ModelError, match=r"code of 'org/code' is not on this machine .*hf download org/code"):
        resolved(name, trust_remote_code=True)


@pytest.mark.parametrize(
    ("first", "message"),
    [
        ("import not_there_at_all\n", "needs the package `not_there_at_all`; install it"),
        ("import not_there_at_all.part\n", "needs the package `not_there_at_all`; install it"),
        ("raise RuntimeError('no')\n", "cannot be read: no|cannot be loaded: no"),
        ("def\n", "invalid syntax|expected"),
    ],
)
def test_code_that_cannot_run_is_one_line(first, message, tmp_path, monkeypatch):
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    own_code(tmp_path / "own", first + CODE)
    encoder = resolved(str(tmp_path / "own"), trust_remote_code=True)
    with pytest.raises(ModelError, match=message) as raised:
        load_backbone(encoder)
    assert "\n" not in str(raised.value)


def test_an_encoder_that_needs_a_package_for_its_weights_names_it(tmp_path):
    encoder = save_encoder(tmp_path / "e", config_of("bert"))
    quantized = {"quant_method": "bitsandbytes", "load_in_8bit": True}
    edit_json(tmp_path / "e" / "config.json", quantization_config=quantized)
    with pytest.raises(ModelError, match=r"model\.encoder: .* cannot be loaded: ") as raised:
        check_capacity(encoder, load_tokenizer(encoder), Demand(16), lambda: load_backbone(encoder))
    assert "\n" not in str(raised.value)
    assert "bitsandbytes" in str(raised.value) or "accelerate" in str(raised.value)


def test_a_model_that_is_not_in_the_cache_says_how_to_get_it(hub, tmp_path):
    with pytest.raises(
        ModelError, match=r"^model\.encoder: 'org/other' is not on this machine .*hf download org/other"
    ):
        resolved("org/other")
    save_encoder(tmp_path / "e", config_of("bert"))
    (tmp_path / "e" / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="has no weights"):
        resolved(hub(tmp_path / "e"))
