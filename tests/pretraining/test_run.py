"""One pretraining: it ends where it would have ended, whatever happened on the way."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer

from raybert.config.pretrain import PretrainConfig, PretrainedModelConfig
from raybert.errors import ConfigError, DataError, ModelError, TrialError
from raybert.files import read_json, read_json_lines
from raybert.pretraining.assemble import packed_data
from raybert.pretraining.build import build_model
from raybert.pretraining.corpora import Corpus
from raybert.pretraining.documents import Documents, fingerprint_of
from raybert.pretraining.length import steps_of
from raybert.pretraining.progress import PretrainingProgress
from raybert.pretraining.request import PretrainRequest
from raybert.pretraining.run import pretrain
from tests.pretraining.packed import documents, tokenizer

TINY = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 48}
MODEL = PretrainedModelConfig(kind="modernbert", config=TINY)
FAST = {"max_length": 32, "batch_size": 8, "length": {"steps": 12}, "eval_every": 4, "learning_rate": 5e-3}
FAST |= {"precision": "fp32", "checkpoint_seconds": 0, "early_stopping": None}


@pytest.fixture(scope="module")
def corpus():
    splits = [Documents(documents(count, seed)) for count, seed in ((80, 1), (20, 2), (20, 3))]
    return Corpus("north", *splits, fingerprint=fingerprint_of(*splits))


@pytest.fixture(scope="module")
def tokenizer_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def request_in(corpus, tokenizer_folder, tmp_path):
    def make(name="run", *, model=MODEL, seed=0, **pretrain_keys):
        config = PretrainConfig.model_validate({**FAST, **pretrain_keys})
        return PretrainRequest(model, config, corpus, tokenizer_folder, seed, tmp_path / name, "cpu")

    return make


class KilledAt(PretrainingProgress):
    """Ends the process's work in the middle of a run, as a kill does: nothing is saved then."""

    def __init__(self, step):
        self.step = step

    def stepped(self, step):
        if step == self.step:
            raise KeyboardInterrupt


def weights(folder):
    return load_file(folder / "model.safetensors")


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def without_seconds(rows):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def test_a_finished_model_is_a_plain_folder_of_transformers_with_its_summary(request_in):
    request = request_in()
    made = pretrain(request)
    mlm = AutoModelForMaskedLM.from_pretrained(made.model)
    reader = AutoTokenizer.from_pretrained(made.model)
    assert AutoModel.from_pretrained(made.model).config.model_type == "modernbert"
    assert reader(["budget"])["input_ids"] == tokenizer()(["budget"])["input_ids"]
    assert mlm.config.vocab_size == len(tokenizer())
    rows = read_json_lines(request.folder / "evaluations.jsonl")
    assert [row["step"] for row in rows] == [4, 8, 12]
    summary = read_json(request.folder / "training_summary.json")
    assert summary == made.summary
    assert summary["best"] == min(rows, key=lambda row: row["validation_loss"])
    assert summary["tokens"] == rows[-1]["tokens"]
    assert summary["corpora"]["train"]["documents"] == 80
    assert summary["train"]["documents"] == 80
    assert 0 <= summary["padding_share"] < 0.15
    assert rows[-1]["validation_perplexity"] == pytest.approx(math.exp(rows[-1]["validation_loss"]))
    assert not (request.folder / "checkpoint").exists()


def test_a_finished_model_is_not_trained_again(request_in):
    request = request_in(length={"steps": 4})
    made = pretrain(request)
    before = (made.model / "model.safetensors").stat().st_mtime_ns
    again = pretrain(request, KilledAt(1))
    assert (again.is_new, again.summary) == (False, made.summary)
    assert (made.model / "model.safetensors").stat().st_mtime_ns == before


@pytest.mark.parametrize("objective", ["masked", "both"])
@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_what_was_stopped_or_killed_goes_on_bit_identically(request_in, objective, how):
    keys = {} if objective == "masked" else {"contrastive": {"group": 4}}
    whole = pretrain(request_in("whole", **keys))
    request = request_in("torn", **keys)
    if how == "stopped":
        asked = iter([False] * 5 + [True] * 9)
        assert pretrain(request, should_stop=lambda: next(asked)).summary is None
    else:
        with pytest.raises(KeyboardInterrupt):
            pretrain(request, KilledAt(7))
    assert (request.folder / "checkpoint" / "last" / "COMPLETE").exists()
    assert not (request.folder / "training_summary.json").exists()
    torn = pretrain(request)
    assert same(weights(torn.model), weights(whole.model))
    rows, expected = (read_json_lines(each.folder / "evaluations.jsonl") for each in (torn, whole))
    assert without_seconds(rows) == without_seconds(expected)
    assert torn.summary["tokens"] == whole.summary["tokens"]


def test_a_kill_between_the_last_step_and_the_summary_trains_nothing_again(request_in):
    request = request_in(length={"steps": 4})
    made = pretrain(request)
    (request.folder / "training_summary.json").unlink()
    again = pretrain(request, KilledAt(1))
    assert again.summary == made.summary
    (request.folder / "training_summary.json").unlink()
    (request.folder / "checkpoint").mkdir()
    made.model.rename(request.folder / "checkpoint" / "best")
    assert pretrain(request, KilledAt(1)).summary == made.summary


def test_seeds_differ_and_the_same_seed_is_the_same_model(request_in):
    one, same_seed, other = (
        pretrain(request_in(name, seed=seed, length={"steps": 3})) for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert same(weights(one.model), weights(same_seed.model))
    assert not same(weights(one.model), weights(other.model))


def test_a_request_may_be_sent_to_another_process(request_in):
    request = request_in(length={"steps": 3})
    made = pretrain(pickle.loads(pickle.dumps(request)))
    assert pretrain(request, KilledAt(1)).summary == made.summary


def test_a_folder_of_another_request_is_refused(request_in):
    pretrain(request_in(length={"steps": 2}))
    with pytest.raises(TrialError, match=r"belongs to another pretraining \(differs in pretrain.learning_rate\)"):
        pretrain(request_in(length={"steps": 2}, learning_rate=1e-3))
    assert pretrain(request_in(length={"steps": 2}, micro_batch_size=8)).summary is not None


def test_it_stops_early_when_validation_gets_no_better(request_in):
    keys = {"learning_rate": 1e-12, "weight_decay": 0.0, "early_stopping": 2, "length": {"steps": 40}, "eval_every": 1}
    made = pretrain(request_in(**keys))
    assert made.summary["stopped_early"]
    assert made.summary["steps"] < 40


def test_an_encoder_goes_on_and_a_missing_head_is_said(request_in, tmp_path):
    begun = pretrain(request_in("first", length={"steps": 2}))
    goes_on = PretrainedModelConfig(encoder=str(begun.model))
    further = pretrain(request_in("second", model=goes_on, length={"steps": 2}, learning_rate=1e-9))
    assert further.summary["notes"] == []
    for name, tensor in weights(begun.model).items():
        torch.testing.assert_close(weights(further.model)[name], tensor, atol=1e-6, rtol=0)
    bare = tmp_path / "bare"
    AutoModel.from_pretrained(begun.model).save_pretrained(bare)
    AutoTokenizer.from_pretrained(begun.model).save_pretrained(bare)
    made = pretrain(request_in("third", model=PretrainedModelConfig(encoder=str(bare)), length={"steps": 2}))
    assert "has no head of masked language modelling" in made.summary["notes"][0]


@pytest.mark.parametrize(
    ("kind", "size", "layers", "width"), [("bert", "mini", 4, 256), ("modernbert", "tiny", 2, 128)]
)
def test_sizes_have_their_shapes_and_keys_of_the_file_go_before(kind, size, layers, width):
    built = build_model(PretrainedModelConfig(kind=kind, size=size), PretrainConfig(), tokenizer(), 0)
    made = built.model.config
    assert (made.num_hidden_layers, made.hidden_size, made.num_attention_heads) == (layers, width, width // 64)
    own = PretrainedModelConfig(kind=kind, size=size, config={"num_hidden_layers": 1})
    assert build_model(own, PretrainConfig(), tokenizer(), 0).model.config.num_hidden_layers == 1


def test_what_no_model_can_be_built_of_is_refused(request_in):
    with pytest.raises(
        ConfigError, match="model.config.hiden_size: must be a key of BertConfig; did you mean 'hidden_size'"
    ):
        build_model(PretrainedModelConfig(kind="bert", config={"hiden_size": 1}), PretrainConfig(), tokenizer(), 0)
    short = PretrainedModelConfig(kind="bert", config={**TINY, "max_position_embeddings": 16})
    with pytest.raises(ConfigError, match="pretrain.max_length: must be <= 16"):
        build_model(short, PretrainConfig(max_length=32), tokenizer(), 0)
    with pytest.raises(ModelError, match="model.encoder: must be an existing folder"):
        pretrain(request_in(model=PretrainedModelConfig(encoder="nowhere")))


def test_a_loss_that_is_not_finite_is_said_with_the_keys_of_the_file(request_in):
    with pytest.raises(TrialError, match=r"must be finite, .*lower pretrain.learning_rate or set pretrain.precision"):
        pretrain(request_in(learning_rate=1e30, max_grad_norm=None, optimizer="sgd"))


def test_lengths_in_epochs_and_tokens_become_steps(corpus):
    config = PretrainConfig.model_validate(FAST)
    table = packed_data(corpus, tokenizer(), config).train
    steps = math.ceil(len(table) / 8)
    assert steps_of(PretrainConfig(length={"epochs": 2.5}).length, table, 8) == math.ceil(2.5 * steps)
    tokens = PretrainConfig(length={"tokens": 10_000}).length
    assert steps_of(tokens, table, 8) == math.ceil(10_000 / (8 * table.lengths.mean()))


@pytest.mark.parametrize(
    "keys",
    [
        {"averaging": "ema"},
        {"gradient_checkpointing": True},
        {"micro_batch_size": "auto"},
        {"precision": "bf16", "masked": {"whole_words": True}},
        {"optimizer": "lion", "schedule": "wsd", "learning_rate": 1e-4},
        {"masked": None, "contrastive": {"group": 2, "sentences": "lines"}, "micro_batch_size": 4},
    ],
    ids=lambda keys: next(iter(keys)),
)
def test_keys_of_the_loop_mean_what_they_mean_in_train(request_in, keys):
    made = pretrain(request_in(length={"steps": 3}, **keys))
    assert made.summary["steps"] == 3
    assert math.isfinite(made.summary["best"]["validation_loss"])
    name = "contrastive_accuracy" if keys.get("masked", 1) is None else "masked_accuracy"
    assert 0 <= made.summary["best"][f"validation_{name}"] <= 1


def test_checkpoints_that_stay_are_models_too(request_in):
    made = pretrain(request_in(length={"steps": 6}, checkpoints={"every": 3}))
    kept = sorted(path.name for path in (made.folder / "checkpoint").iterdir())
    assert kept == ["step-000003", "step-000006"]
    model = AutoModelForMaskedLM.from_pretrained(made.folder / "checkpoint" / "step-000003")
    assert model.config.vocab_size == len(AutoTokenizer.from_pretrained(made.folder / "checkpoint" / "step-000003"))


def test_attention_is_plain_for_short_sequences_on_a_cpu_and_the_saved_model_says_nothing_of_it(request_in):
    made = pretrain(request_in(length={"steps": 2}))
    assert made.summary["ran_on"]["attention"] == "eager"
    assert AutoModel.from_pretrained(made.model).config._attn_implementation == "sdpa"
    built = build_model(MODEL, PretrainConfig(), tokenizer(), 0).model
    built.choose_attention(64, 2048, torch.device("cpu"))
    assert built.config._attn_implementation == "sdpa"


@pytest.mark.long
def test_hours_are_kept_for_restarts(request_in):
    request = request_in(length={"hours": 0.0006})
    asked = iter([False] * 2 + [True])
    pretrain(request, should_stop=lambda: next(asked))
    total = read_json(request.folder / "run.json")["total_steps"]
    made = pretrain(request)
    assert made.summary["total_steps"] == total == made.summary["steps"]
    assert total > 5


def test_lines_are_sentences_of_their_own(corpus):
    texts = Documents(["budget water\nminister\n\n", "land"])
    assert list(texts.lines()) == ["budget water", "minister", "land"]
    two = Corpus("lines", texts, texts, texts, "")
    config = PretrainConfig(contrastive={"sentences": "lines", "group": 1}, max_length=32)
    assert len(np.unique(packed_data(two, tokenizer(), config).train.documents)) == 3


def test_a_corpus_without_words_is_refused(request_in, corpus):
    empty = Documents([" "])
    with pytest.raises(DataError, match="must have documents with words"):
        packed_data(Corpus("empty", empty, empty, empty, ""), tokenizer(), PretrainConfig())
