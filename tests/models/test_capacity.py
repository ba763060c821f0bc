"""Encoders are asked what they can compute: lengths, word pieces and token types that they cannot are refused."""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import pyarrow as pa
import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from raybert.cli import main
from raybert.config import ModelConfig, RaybertConfig
from raybert.data import Splits
from raybert.errors import ConfigError, ModelError
from raybert.models import (
    Encoder,
    load_backbone,
    load_tokenizer,
    new_classifier,
    resolve_encoder,
)
from raybert.models.capacity import Demand, check_capacity, longest_computed
from raybert.sweeping.phases.prepare import prepare_with
from tests.models.folders import config_of, edit_json, save_encoder, tokenizer_of

FROM_THE_PADDING_PIECE_ON = [
    "camembert",
    "data2vec-text",
    "esm",
    "ibert",
    "longformer",
    "luke",
    "mpnet",
    "roberta",
    "roberta-prelayernorm",
    "xlm-roberta",
    "xmod",
]


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RAYBERT_CACHE", str(tmp_path / "cache"))


def ask(encoder: Encoder, demand: Demand, build: Any = None) -> None:
    tokenizer = load_tokenizer(encoder)
    check_capacity(encoder, tokenizer, demand, build or partial(new_classifier, encoder, ("x", "y"), ModelConfig()))


@pytest.mark.parametrize("kind", FROM_THE_PADDING_PIECE_ON)
def test_positions_that_are_counted_from_the_padding_piece_on_are_two_fewer_than_stated(kind, tmp_path):
    encoder = save_encoder(tmp_path / "encoder", config_of(kind))
    ask(encoder, Demand(32))
    for length in (33, 34, 64):
        message = rf"^data\.max_length: must be <= 32 \(positions of model\.encoder '.*'\), got {length}; set .* to 32"
        with pytest.raises(ConfigError, match=message):
            ask(encoder, Demand(length))


@pytest.mark.parametrize("kind", ["bert", "electra", "albert", "distilbert", "deberta-v2", "convbert", "roformer"])
def test_all_stated_positions_are_used_where_they_are_counted_from_zero(kind, tmp_path):
    encoder = save_encoder(tmp_path / "encoder", config_of(kind))
    ask(encoder, Demand(34))
    with pytest.raises(ConfigError, match=r"must be <= 34 "):
        ask(encoder, Demand(35, has_pairs=True))


def test_a_padding_piece_of_another_number_moves_the_first_position(tmp_path):
    encoder = save_encoder(tmp_path / "encoder", config_of("roberta", pad_token_id=5))
    with pytest.raises(ConfigError, match=r"must be <= 28 "):
        ask(encoder, Demand(32))


def test_an_encoder_that_could_go_on_for_ever_is_held_to_what_it_states(tmp_path):
    rotary = save_encoder(tmp_path / "rotary", config_of("modernbert"))
    with pytest.raises(ConfigError, match=r"must be <= 34 "):
        ask(rotary, Demand(40))
    relative = config_of("deberta-v2", position_biased_input=False, relative_attention=True, pos_att_type=["p2c"])
    ask(save_encoder(tmp_path / "relative", relative), Demand(100))


class NamedOtherwiseConfig(PreTrainedConfig):
    model_type = "raybert-test"

    def __init__(self, max_seq_len: int = 24, hidden_size: int = 8, **others: Any) -> None:
        super().__init__(**others)
        self.max_seq_len, self.hidden_size = max_seq_len, hidden_size


class NamedOtherwise(PreTrainedModel):
    """Its limit is called `max_seq_len`; without a head."""

    config_class = NamedOtherwiseConfig
    base_model_prefix = "encoder"

    def __init__(self, config: NamedOtherwiseConfig) -> None:
        super().__init__(config)
        self.pieces = nn.Embedding(100, config.hidden_size)
        self.positions = nn.Embedding(config.max_seq_len, config.hidden_size)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.pieces

    def _init_weights(self, module: nn.Module) -> None:
        pass

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> BaseModelOutput:
        return BaseModelOutput(self.pieces(input_ids) + self.positions(torch.arange(input_ids.shape[1])))


def test_a_limit_of_another_name_is_found_all_the_same(tmp_path):
    AutoConfig.register("raybert-test", NamedOtherwiseConfig, exist_ok=True)
    AutoModel.register(NamedOtherwiseConfig, NamedOtherwise, exist_ok=True)
    config = NamedOtherwiseConfig()
    encoder = save_encoder(tmp_path / "e", config, model=NamedOtherwise(config), trust_remote_code=True)
    pooled = partial(new_classifier, encoder, ("x", "y"), ModelConfig(pooling="mean"))
    ask(encoder, Demand(24), pooled)
    with pytest.raises(ConfigError, match=r"must be <= 24 \(positions of .*, got 25"):
        ask(encoder, Demand(25), pooled)
    assert longest_computed(load_backbone(encoder), load_tokenizer(encoder), 1000) == 24


def test_a_tokenizer_with_more_pieces_than_embeddings_is_refused(tmp_path):
    count = len(tokenizer_of())
    with pytest.raises(
        ModelError, match=rf"pieces up to number {count - 1}, but the encoder has {count - 1} embeddings"
    ):
        ask(save_encoder(tmp_path / "one", config_of("bert", vocab_size=count - 1)), Demand(16))
    as_many = config_of("bert", vocab_size=count)
    ask(save_encoder(tmp_path / "as-many", as_many), Demand(16))
    added = tokenizer_of()
    added.add_tokens(["<url>"])
    with pytest.raises(ModelError, match=rf"up to number {count}, .* `resize_token_embeddings\({count + 1}\)`"):
        ask(save_encoder(tmp_path / "added", as_many, added), Demand(16))
    new_padding = tokenizer_of()
    new_padding.add_special_tokens({"pad_token": "<filler>"})
    for settings in ({}, {"pooling": "mean"}):
        build = partial(new_classifier, save_encoder(tmp_path / "p", as_many, new_padding), ("x", "y"))
        with pytest.raises(ModelError, match=rf"has {count} embeddings"):
            ask(build.args[0], Demand(16), partial(build, ModelConfig(**settings)))


TYPES = {"model_input_names": ["input_ids", "token_type_ids", "attention_mask"]}


def test_token_types_that_an_encoder_does_not_know_are_refused_where_texts_have_them(tmp_path):
    encoder = save_encoder(tmp_path / "one", config_of("roberta", type_vocab_size=1), tokenizer_of(**TYPES))
    ask(encoder, Demand(16))
    with pytest.raises(ModelError, match=r"token types up to 1, .* \(type_vocab_size 1\); set \"model_input_names\""):
        ask(encoder, Demand(16, has_pairs=True))
    ask(save_encoder(tmp_path / "two", config_of("roberta"), tokenizer_of(**TYPES)), Demand(16, has_pairs=True))


def test_what_cannot_compute_at_all_is_refused_with_its_own_words(tmp_path):
    silent = save_encoder(tmp_path / "xmod", config_of("xmod", default_language=None))
    with pytest.raises(ModelError, match=r"cannot compute a batch of two short texts: ValueError: Input language"):
        ask(silent, Demand(16))
    encoder = save_encoder(tmp_path / "nan", config_of("bert"))
    with torch.no_grad():
        broken = load_backbone(encoder)
        broken.encoder.layer[0].output.dense.weight.fill_(torch.nan)
    encoder = save_encoder(tmp_path / "nan", broken.config, model=broken)
    with pytest.raises(ModelError, match="two short texts: what it computes is not finite"):
        ask(encoder, Demand(16))


def test_where_attention_would_not_fit_into_memory_only_positions_are_asked_for(tmp_path, monkeypatch):
    encoder = save_encoder(tmp_path / "roberta", config_of("roberta"))
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"available": 1000}))
    with pytest.raises(ConfigError, match=r"must be <= 32 "):
        ask(encoder, Demand(34))
    ask(encoder, Demand(32))


def test_an_encoder_is_asked_once(tmp_path):
    encoder = save_encoder(tmp_path / "bert", config_of("bert"))
    built = []

    def build() -> Any:
        built.append(1)
        return new_classifier(encoder, ("x", "y"), ModelConfig())

    state = torch.get_rng_state()
    for demand in (Demand(16), Demand(16), Demand(16, has_pairs=True), Demand(17)):
        ask(encoder, demand, build)
    assert len(built) == 3
    assert torch.equal(state, torch.get_rng_state())


def splits_of(columns: dict[str, list[str]]) -> Splits:
    table = pa.table({"example_id": ["a", "b"], **columns, "label": pa.array([0, 1], pa.int64())})
    return Splits(table, table, table, ("x", "y"), fingerprint="f")


def test_chunks_of_iris_and_first_texts_of_its_pairs_are_held_to_the_positions(tmp_path):
    encoder = save_encoder(tmp_path / "roberta", config_of("roberta"))
    texts = splits_of({"text": ["one two", "three"]})
    iris = {"kind": "iris", "iris": {"chunk_tokens": 30, "stride": 8}}
    prepare_with(RaybertConfig(model=iris), texts, encoder)
    iris["iris"]["chunk_tokens"] = 31
    with pytest.raises(ConfigError, match=r"^model\.iris\.chunk_tokens: must be <= 30 .*, got 31; set .* to 30"):
        prepare_with(RaybertConfig(model=iris), texts, encoder)
    iris["iris"]["chunk_tokens"] = 8
    pairs = splits_of({"text": ["one two", "three"], "text_pair": ["one", "two"]})
    with pytest.raises(ConfigError, match=r"^data\.max_length: must be <= 32 .*, got 33"):
        prepare_with(RaybertConfig(model=iris, data={"text_pair": "b", "max_length": 33}), pairs, encoder)


def test_a_frozen_layer_too_many_is_refused_before_the_sweep(tmp_path):
    encoder = save_encoder(tmp_path / "bert", config_of("bert"))
    texts = splits_of({"text": ["one two", "three"]})
    with pytest.raises(ModelError, match=r"model\.freeze_layers: must be in 0\.\.1"):
        prepare_with(RaybertConfig(model={"freeze_layers": 2}, data={"max_length": 16}), texts, encoder)


def test_the_command_line_says_it_in_one_line(tmp_path, monkeypatch, capsys):
    save_encoder(tmp_path / "luke", config_of("luke"))
    rows = "\n".join(f"red {number},{number % 2}" for number in range(30))
    (tmp_path / "texts.csv").write_text(f"text,label\n{rows}\n")
    file = tmp_path / "sweep.yaml"
    source = f"source: {tmp_path / 'texts.csv'}, max_length: 34"
    file.write_text(f"name: s\nmodel: {{encoder: {tmp_path / 'luke'}}}\ndata: {{{source}}}\n")
    monkeypatch.setattr(sys, "argv", ["raybert", "plan", str(file)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "data.max_length: must be <= 32 (positions of model.encoder" in line


@pytest.mark.parametrize("change", ["dropped", "shape"])
def test_files_that_lack_weights_of_the_encoder_are_no_encoder(tmp_path, change):
    encoder = save_encoder(tmp_path / "bert", config_of("bert"))
    if change == "dropped":
        wider = config_of("bert", num_hidden_layers=2)
        wider.save_pretrained(tmp_path / "bert")
        message = r"must hold all weights of a model of type 'bert', but lack bert\.encoder\.layer\.1\..* and 15 more"
    else:
        edit_json(tmp_path / "bert" / "config.json", vocab_size=120)
        message = r"word_embeddings\.weight is \[100, 16\] in the files and \[120, 16\] by config\.json; repair"
    encoder = resolve_encoder(ModelConfig(encoder=str(tmp_path / "bert")), [], tmp_path)
    with pytest.raises(ModelError, match=message):
        ask(encoder, Demand(16))
    with pytest.raises(ModelError):
        load_backbone(encoder)
