"""Perplexity under causal language models, against one forward pass of transformers for each piece."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import torch
from transformers import BertConfig, BertForMaskedLM, GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from raybert.config import ModelConfig, SelectionConfig, validate_config
from raybert.errors import ConfigError, ModelError
from raybert.models import load_tokenizer, resolve_encoder
from raybert.models.tiny import train_tokenizer
from raybert.selection.price import price_in_words
from raybert.selection.scorers.causal_perplexity import (
    CausalPerplexityScorer,
    causal_perplexity,
    check_causal_model,
    encode,
    load_causal_model,
)
from raybert.selection.scorers.perplexity import PerplexityScorer
from raybert.selection.scorers.scorer import Arithmetic, ScoringData
from raybert.selection.signals import needed_signals
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.phases.prepare import facts_of_pools, prepare_design
from raybert.sweeping.phases.scoring_jobs import JobPlanner
from raybert.sweeping.plan.comparison import plan_sweep
from raybert.sweeping.plan.design import read_design
from tests.sweeping.planning import plan_of

TEXTS = ["red green blue", "one", "one two three north south red green", "", "two two two", "north"]
POSITIONS = 32


def make_gpt2(folder, *, bos=True, seed=0):
    """A random GPT-2 of 2 layers, whose tokenizer has no padding piece, as that of GPT-2."""
    trained = train_tokenizer(["red green blue", "one two three", "north south"] * 3, 120)
    special = {"bos_token": "[CLS]", "eos_token": "[SEP]"} if bos else {}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=trained.backend_tokenizer, unk_token="[UNK]", **special)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    config = GPT2Config(vocab_size=120, n_positions=POSITIONS, n_embd=16, n_layer=2, n_head=2)
    model = GPT2LMHeadModel(config)
    with torch.no_grad():
        model.transformer.wte.weight.mul_(20)  # random weights are nearly uniform
    model.save_pretrained(folder)
    return resolve_encoder(ModelConfig(encoder=str(folder)), [], folder)


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory):
    return make_gpt2(tmp_path_factory.mktemp("gpt2"))


def brute_force(model, ids: list[int], start: list[int]) -> float:
    """One forward pass for each piece, on all that is before it and nothing else."""
    total, count = 0.0, 0
    for place, piece in enumerate(ids):
        context = [*start, *ids[:place]]
        if context:
            with torch.no_grad():
                log_probs = model(input_ids=torch.tensor([context])).logits[0, -1].log_softmax(-1)
            total -= float(log_probs[piece])
            count += 1
    return math.exp(total / count) if count else math.nan


def scored(encoder, texts, max_length=POSITIONS, max_tokens=16384):
    data = ScoringData(SimpleNamespace(), pa.table({"text": texts}), Arithmetic("fp32", max_tokens))
    return CausalPerplexityScorer(encoder, max_length).load(data)(np.arange(len(texts)))["perplexity"]


@pytest.mark.parametrize("bos", [True, False])
@pytest.mark.parametrize("max_tokens", [16384, 9])
def test_values_equal_a_forward_pass_for_each_piece(tmp_path, bos, max_tokens):
    encoder = make_gpt2(tmp_path, bos=bos)
    tokenizer, model = load_tokenizer(encoder), GPT2LMHeadModel.from_pretrained(tmp_path).eval()
    start = [tokenizer.bos_token_id] if bos else []
    pieces = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in TEXTS]
    expected = [brute_force(model, ids, start) for ids in pieces]
    found = scored(encoder, TEXTS, max_tokens=max_tokens)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert np.isnan(found[3])
    assert np.ptp(found[[0, 2, 4]]) > 1
    counted = [len(ids) - (not bos) for ids in pieces]  # without a piece to begin with the first one is not predicted
    assert [math.isnan(value) for value in expected] == [count < 1 for count in counted]


def test_the_mean_is_that_of_transformers_own_loss(gpt2):
    tokenizer, model = load_tokenizer(gpt2), GPT2LMHeadModel.from_pretrained(gpt2.path).eval()
    ids = torch.tensor([[tokenizer.bos_token_id, *tokenizer(TEXTS[2], add_special_tokens=False)["input_ids"]]])
    with torch.no_grad():
        loss = model(input_ids=ids, labels=ids).loss.item()
    assert scored(gpt2, [TEXTS[2]])[0] == pytest.approx(math.exp(loss), rel=1e-5)


def test_a_model_that_knows_nothing_has_the_perplexity_of_its_vocabulary(gpt2):
    model = load_causal_model(gpt2)
    with torch.no_grad():
        model.lm_head.weight.zero_()
    found = causal_perplexity(model, [np.array([5, 6, 7])], [np.array([False, True, True])])
    np.testing.assert_allclose(found, [120.0], rtol=1e-5)


def test_special_pieces_never_count_and_long_texts_are_cut(gpt2):
    tokenizer = load_tokenizer(gpt2)
    rows, counted = encode(tokenizer, ["red [SEP] green", "red " * 50], 8)
    assert rows[0][0] == tokenizer.bos_token_id
    assert not counted[0][0]
    assert [piece for piece, counts in zip(rows[0].tolist(), counted[0], strict=True) if not counts] == [
        tokenizer.bos_token_id,
        tokenizer.eos_token_id,
    ]
    assert len(rows[1]) == 8


def test_both_texts_of_a_pair_are_one(gpt2):
    data = ScoringData(
        SimpleNamespace(), pa.table({"text": ["red"], "text_pair": ["one two"]}), Arithmetic("fp32", 1024)
    )
    pair = CausalPerplexityScorer(gpt2, POSITIONS).load(data)(np.array([0]))["perplexity"]
    np.testing.assert_allclose(pair, scored(gpt2, ["red\n\none two"]), rtol=1e-6)


def test_what_is_no_causal_model_is_refused(tmp_path, gpt2, tiny_bert):
    check_causal_model(gpt2, POSITIONS)
    with pytest.raises(ConfigError, match=rf"data.max_length: must be <= {POSITIONS} \(positions of .*got 64; set it"):
        check_causal_model(gpt2, 64)
    BertForMaskedLM(BertConfig.from_pretrained(tiny_bert.path)).save_pretrained(tmp_path)
    load_tokenizer(tiny_bert).save_pretrained(tmp_path)
    masked = replace(tiny_bert, name="masked", path=tmp_path)
    with pytest.raises(ModelError, match="'masked' sees the pieces that follow the one it predicts"):
        check_causal_model(masked, 16)
    with pytest.raises(ModelError, match="the files of .* lack cls.predictions"):
        check_causal_model(tiny_bert, 16)
    with pytest.raises(ConfigError, match="model: must name a causal language model with `kind: causal`"):
        validate_config({"selection": {"scorers": {"perplexity": {"kind": "causal"}}}})


def test_one_pass_is_what_it_costs():
    selection = SelectionConfig(scorers={"perplexity": {"kind": "causal", "model": "gpt2"}})
    assert price_in_words(needed_signals({"perplexity"}, selection), selection) == "1 forward pass over the pool"
    assert price_in_words(needed_signals({"perplexity"}, SelectionConfig())) == "8 forward passes over the pool"


def document(models, kind="causal"):
    return {
        "data": {"train_examples": 40, "validation_examples": 20, "test_examples": 20, "max_length": 16},
        "model": {"encoder": "raybert-tiny"},
        "train": {"length": {"steps": 4}},
        "selection": {"budget": 8, "scorers": {"perplexity": {"kind": kind, "model": str(models[0])}}},
        "sweep": {
            "strategies": ["perplexity"],
            "seeds": 1,
            "grid": {"selection.scorers.perplexity.model": [str(model) for model in models]},
        },
    }


@pytest.mark.slow
def test_every_model_of_a_grid_scores_its_own_trials(tmp_path, corpus):
    folders = [make_gpt2(tmp_path / f"gpt{seed}", seed=seed).path for seed in (1, 2)]
    design = read_design(validate_config(document(folders)))
    prepared = prepare_design(design, corpus)
    assert len(prepared) == 1
    planner = JobPlanner(prepared, SweepFolder(tmp_path / "run"))
    found = {}
    for spec in plan_sweep(design, facts_of_pools(prepared)).trials:
        (job,) = planner.jobs(spec)
        model = spec.grid["selection.scorers.perplexity.model"]
        assert str(job.scorer.model.path) == model
        ready = prepared[spec.data_key]
        found[model] = job.key, job.scorer.load(ScoringData(ready.data, ready.texts))(np.arange(5))["perplexity"]
    (one, values), (other, others) = found.values()
    assert one != other
    assert not np.allclose(values, others)


def test_settings_of_a_masked_model_are_identified_as_before_there_was_another_kind():
    masked, causal = (SelectionConfig(scorers={"perplexity": {"kind": k, "model": "m"}}) for k in ("masked", "causal"))
    assert masked.scorers.perplexity.identity() == {"model": "m", "revision": None, "mask_every": 8}
    assert causal.scorers.perplexity.identity() == {"model": "m", "revision": None, "kind": "causal"}
    specs = [
        next(spec for spec in plan_of(validate_config(document(["m"], kind))).trials if spec.label == "perplexity")
        for kind in ("masked", "causal")
    ]
    assert specs[0].trial_id != specs[1].trial_id


def test_the_scorers_of_both_kinds_are_told_apart(gpt2):
    causal, masked = CausalPerplexityScorer(gpt2, 16), PerplexityScorer(gpt2, 8, 16)
    assert causal.identity() != masked.identity()
    assert causal.passes == 1
