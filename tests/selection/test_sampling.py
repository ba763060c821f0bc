"""Signals of a share of the pool: which rows are computed, what the others get, and how well that agrees."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from raybert.config import validate_config
from raybert.errors import ConfigError
from raybert.selection.room import Room
from raybert.selection.sampling import is_extended, sample_sizes, sampled_rows
from raybert.selection.scorers.lexical import Lexical
from raybert.selection.scorers.models import EmbeddingScorer
from raybert.selection.scorers.sampled import (
    GUESSED,
    NUM_NEIGHBOURS,
    ExtendedScorer,
    SampledScorer,
    agreement_notes,
    mean_of,
    nearest_sampled,
)
from raybert.selection.scorers.scorer import Arithmetic, ScoringData
from raybert.selection.scorers.text import TextScorer
from raybert.selection.store import ScoreStore
from tests.sweeping.planning import plan_of

IDS = np.array([f"example-{number}" for number in range(200)])
POINTS = np.random.default_rng(3).normal(size=(200, 5)).astype(np.float32)
LABELS = np.arange(200) % 3


@dataclass(frozen=True)
class Counting:
    """Says of every example its position and the square of it, and remembers whom it was asked for."""

    signals = ("probs", "irreducible_loss")
    uses_model = True
    passes = 3
    runs = ("a",)

    def identity(self) -> dict[str, Any]:
        return {"scorer": "counting"}

    def load(self, scoring_data: Any) -> Any:
        def score(positions: np.ndarray) -> dict[str, np.ndarray]:
            scoring_data.asked.extend(positions.tolist())
            values = positions.astype(np.float32)
            return {"probs": np.stack([values, -values], axis=1), "irreducible_loss": values**2}

        return score


def scoring_data() -> Any:
    data = SimpleNamespace(example_ids=IDS, train=SimpleNamespace(labels=LABELS))
    return SimpleNamespace(data=data, asked=[])


def test_rows_depend_on_ids_alone_and_a_larger_share_computes_what_a_smaller_one_does():
    small, checked = sampled_rows(IDS, 0.2)
    assert (small.sum(), checked.sum()) == sample_sizes(200, 0.2) == (40, 20)
    assert not (small & checked).any()
    order = np.random.default_rng(1).permutation(200)
    for one, other in zip(sampled_rows(IDS[order], 0.2), (small, checked), strict=True):
        assert one.tolist() == other[order].tolist()
    large, _ = sampled_rows(IDS, 0.5)
    assert (large[small]).all()
    assert sample_sizes(100_000, 0.1) == (10_000, 500)
    assert sample_sizes(10, 0.95) == (10, 0)


def test_only_the_sample_and_its_check_go_through_the_model():
    given, scorer = scoring_data(), SampledScorer(Counting(), 0.2)
    score = scorer.load(given)
    parts = [score(np.arange(start, start + 40)) for start in range(0, 200, 40)]
    computed = np.flatnonzero(np.logical_or(*sampled_rows(IDS, 0.2)))
    assert sorted(given.asked) == computed.tolist()
    losses = np.concatenate([part["irreducible_loss"] for part in parts])
    assert losses.shape == (200,)
    np.testing.assert_array_equal(np.flatnonzero(~np.isnan(losses)), computed)
    np.testing.assert_array_equal(losses[computed], computed.astype(np.float32) ** 2)
    assert scorer.num_computed(200) == 60
    assert (scorer.passes, scorer.runs, scorer.signals) == (3, ("a",), Counting.signals)
    assert scorer.identity() != Counting().identity()
    outside = np.setdiff1d(np.arange(200), computed)[
        :5
    ]  # a block of which nothing is computed has the shapes of others
    assert {name: part.shape for name, part in score(outside).items()} == {"probs": (5, 2), "irreducible_loss": (5,)}
    assert all(np.isnan(part).all() for part in score(outside).values())


def by_brute_force(values: np.ndarray, sampled: np.ndarray, row: int, labels: np.ndarray | None = None) -> np.ndarray:
    unit = POINTS.astype(np.float64) / np.linalg.norm(POINTS.astype(np.float64), axis=1, keepdims=True)
    rows = [other for other in np.flatnonzero(sampled) if labels is None or labels[other] == labels[row]]
    nearest = sorted(rows, key=lambda other: -float(unit[row] @ unit[other]))[:NUM_NEIGHBOURS]
    return np.mean([values[other] for other in nearest], axis=0)


def extended(share: float = 0.2) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    sampled, checked = sampled_rows(IDS, share)
    generator = np.random.default_rng(5)
    truth = {"probs": generator.dirichlet(np.ones(3), 200), "irreducible_loss": generator.gamma(1.0, size=200)}
    known = {
        name: np.where((sampled | checked).reshape(-1, *(1,) * (v.ndim - 1)), v, np.nan) for name, v in truth.items()
    }
    found = ExtendedScorer(("probs", "irreducible_loss"), share).compute(scoring_data(), known | {"embeddings": POINTS})
    return found, sampled, checked, truth


def test_the_rest_gets_the_mean_of_its_nearest_of_the_sample_and_losses_of_those_with_its_label():
    found, sampled, checked, truth = extended()
    for row in range(200):
        guesses = {
            "probs": by_brute_force(truth["probs"], sampled, row),
            "irreducible_loss": by_brute_force(truth["irreducible_loss"], sampled, row, LABELS),
        }
        for name, guess in guesses.items():
            expected = truth[name][row] if sampled[row] or checked[row] else guess
            np.testing.assert_allclose(found[name][row], expected, rtol=1e-5)
            if checked[row]:
                np.testing.assert_allclose(found[GUESSED + name][row], guess, rtol=1e-5)
            else:
                assert np.isnan(found[GUESSED + name][row]).all()


def test_a_class_without_a_sampled_example_gets_the_nearest_of_all():
    sampled = (LABELS == 0) & (np.arange(200) < 60)
    near = nearest_sampled(POINTS, sampled, LABELS)
    assert near.tolist() == nearest_sampled(POINTS, sampled).tolist()
    few = sampled | (np.arange(200) == 1)  # of class 1 a single one
    rows = nearest_sampled(POINTS, few, LABELS)[LABELS == 1]
    assert (rows[:, 0] == 1).all()
    assert (rows[:, 1:] == -1).all()
    assert mean_of(np.arange(200.0), nearest_sampled(POINTS, few, LABELS))[LABELS == 1].tolist() == [1.0] * 67


def test_notes_say_how_well_neighbours_agree_with_what_is_computed():
    found, _, checked, truth = extended()
    guessed, values = (found[name][checked, LABELS[checked]] for name in ("guessed:probs", "probs"))
    expected = spearmanr(guessed, values).statistic
    (note,) = agreement_notes(found, LABELS, {"probs"})
    assert note.endswith(f"its rank correlation with what is computed is {expected:.2f} on the 20 that check it")
    assert ";" not in note  # notes of a trial are joined by it
    assert len(agreement_notes(found, LABELS, {"probs", "irreducible_loss"})) == 2
    assert agreement_notes({"probs": truth["probs"]}, LABELS, {"probs"}) == []
    flat = found | {"irreducible_loss": np.ones(200), "guessed:irreducible_loss": np.where(checked, 1.0, np.nan)}
    (note,) = agreement_notes(flat, LABELS, {"irreducible_loss"})
    assert note.endswith("on 20 examples that check it one of both is constant")


def test_a_smooth_signal_is_told_well_by_neighbours():
    ids = np.array([f"x{number}" for number in range(2000)])
    points = np.random.default_rng(1).normal(size=(2000, 3)).astype(np.float32)
    truth = (points / np.linalg.norm(points, axis=1, keepdims=True))[:, 0]
    sampled, checked = sampled_rows(ids, 0.2)
    data = SimpleNamespace(data=SimpleNamespace(example_ids=ids, train=SimpleNamespace(labels=np.zeros(2000, int))))
    known = {"perplexity": np.where(sampled | checked, truth, np.nan), "embeddings": points}
    found = ExtendedScorer(("perplexity",), 0.2).compute(data, known)["perplexity"]
    rest = ~(sampled | checked)
    assert spearmanr(found[rest], truth[rest]).statistic > 0.98


def test_signals_that_place_examples_or_that_runs_leave_are_not_extended():
    kept = {"embeddings", "features", "dynamics", "loss", "class_error", "aflite", "knn_shapley", "texts", "column:x"}
    assert not any(map(is_extended, kept))
    assert all(map(is_extended, ["probs", "perplexity", "influence", "influence:targets.csv", "dropout_probs"]))


def test_only_trials_that_read_such_a_signal_are_others():
    def plan(**scorers: Any) -> Any:
        document = {
            "sweep": {"strategies": ["random", "k_center", "el2n", "forgetting"], "seeds": 1},
            "selection": {"scorers": scorers},
        }
        return {spec.label: spec.trial_id for spec in plan_of(validate_config(document)).trials}

    without, with_sample = plan(), plan(sample=0.2)
    changed = {label for label in without if without[label] != with_sample[label]}
    assert changed == {"el2n"}
    assert plan(sample=0.3)["el2n"] != with_sample["el2n"]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"selection": {"scorers": {"sample": 1}}}, "selection.scorers.sample: must be < 1"),
        (
            {"selection": {"scorers": {"sample": 0.2}, "embedding": "proxy"}},
            "must be left out with `selection.embedding",
        ),
        (
            {"selection": {"scorers": {"sample": 0.2}}, "model": {"kind": "iris"}},
            "must be left out with `model.kind: iris`",
        ),
    ],
)
def test_what_cannot_be_is_refused(document, message):
    with pytest.raises(ConfigError, match=message):
        validate_config(document)


@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
def test_the_pipeline_computes_a_share_and_extends_it(prepared, tmp_path):
    import ray

    from raybert.selection import pipeline

    data, arithmetic = prepared.data, Arithmetic("fp32", 4096)

    def job(scorer: Any, **more: Any) -> pipeline.ScoringJob:
        return pipeline.ScoringJob(
            scorer, "data", data.fingerprint, len(data.train), arithmetic, block_rows=128, **more
        )

    text = TextScorer.of(Lexical())
    embedding, whole, sampled = (
        job(scorer) for scorer in (EmbeddingScorer(prepared.encoder, "mean"), text, SampledScorer(text, 0.3))
    )
    extended_job = job(ExtendedScorer(("lexical",), 0.3), depends=(sampled.key, embedding.key))
    jobs, store = [embedding, whole, sampled, extended_job], ScoreStore(tmp_path)
    given = {"data": ray.put(ScoringData(data, prepared.splits.train, arithmetic))}
    assert pipeline.run_scoring(jobs, given, store, room=Room(1.0))
    computed = np.logical_or(*sampled_rows(data.example_ids, 0.3))
    expected, part, found = (store.load(each.key)["lexical"] for each in (whole, sampled, extended_job))
    assert sampled.num_computed == computed.sum() < whole.num_computed == len(data.train)
    np.testing.assert_array_equal(part[computed], expected[computed])
    assert np.isnan(part[~computed]).all()
    np.testing.assert_array_equal(found[computed], expected[computed])
    near = nearest_sampled(store.load(embedding.key)["embeddings"], sampled_rows(data.example_ids, 0.3)[0])
    np.testing.assert_allclose(found[~computed], expected[near].mean(axis=1)[~computed], rtol=1e-5)
