"""Texts and columns of the data as signals of strategies of one's own."""

from typing import ClassVar

import numpy as np
import pandas as pd
import pytest

import raybert
from raybert.config import SelectionConfig, validate_config
from raybert.errors import ConfigError, DataError, SelectionError
from raybert.selection.scorers.scorer import ScoringData
from raybert.selection.scorers.source import ColumnScorer
from raybert.selection.signals import check_signals, columns_read, find_signal
from raybert.selection.store import ScoreStore
from raybert.sweeping.first_look import look_first
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.folder.spec_file import spec_document, spec_of
from raybert.sweeping.phases.prepare import facts_of_pools, prepare_design
from raybert.sweeping.phases.scoring_jobs import JobPlanner
from raybert.sweeping.phases.unchanged import describe_contents
from raybert.sweeping.plan.comparison import plan_sweep
from raybert.sweeping.plan.design import read_design
from raybert.sweeping.trial.run import make_pool
from raybert.testing import CHECKS


class Rated(raybert.RankedStrategy):
    """What has the highest value in a column, and of equal ones the longest text."""

    name: ClassVar[str] = "rated"
    needs = ("texts",)
    uses_seed = False
    column: str = "rating"

    def required_signals(self):
        return frozenset({*self.needs, f"column:{self.column}"})

    def scores(self, pool):
        lengths = [len(text) for text in pool.signals["texts"]]
        return pool.signals[f"column:{self.column}"] + np.array(lengths) / 1000


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_contract_has_texts_and_columns(check):
    check(Rated(balance="none"))


def test_of_arrays_texts_and_columns_are_given_by_name():
    found = raybert.select(
        Rated(balance="none", direction="hard"),
        3,
        labels=[0, 1, 0, 1],
        texts=["aaaa", "b", "cc", "d"],
        columns={"rating": [3, 1, 3, 2]},
    )
    assert found.positions.tolist() == [0, 2, 3]
    with pytest.raises(SelectionError, match="needs the signals column:rating; given: texts"):
        raybert.select(Rated(), 1, labels=[0, 1], texts=["a", "b"])
    with pytest.raises(SelectionError, match=r"column:rating: must have one row per label \(2\), got 3"):
        raybert.select(Rated(), 1, labels=[0, 1], texts=["a", "b"], columns={"rating": [1, 2, 3]})


def test_a_name_behind_column_is_a_signal_and_none_is_not():
    assert find_signal("column:rating").column == "rating"
    assert columns_read({"probs", "column:b", "column:a", "column:"}) == ["a", "b"]
    check_signals({"column:whatever it is", "texts"}, SelectionConfig(), "here", "mine")
    with pytest.raises(ConfigError, match="here: 'mine' needs the signal 'column:', which a sweep does not compute"):
        check_signals({"column:"}, SelectionConfig(), "here", "mine")


def test_scores_are_kept_by_the_name_and_the_content_of_a_column():
    identities = [ColumnScorer(*facts).identity() for facts in (("a", "1"), ("a", "2"), ("b", "1"))]
    assert len({str(identity) for identity in identities}) == 3


def test_a_store_gives_texts_and_whole_numbers_back(tmp_path):
    store = ScoreStore(tmp_path)
    store.begin("k", {"scorer": "test"})
    texts = np.array(["é\n", None, "", "long " * 50, None, None], object)
    whole, flags = np.array([5, -1, 2, 2**40, 0, 7]), np.array([True, False, True, True, False, False])
    for block, rows in enumerate((np.array([3, 0, 2]), np.array([1, 4, 5]))):
        arrays = {"texts": texts[rows], "whole": whole[rows], "flags": flags[rows]}
        store.write_block("k", block, rows, arrays)
    store.finish("k", 2, 6)
    found = store.load("k")
    assert found["texts"].tolist() == texts.tolist()
    assert (found["whole"].dtype, found["whole"].tolist()) == (np.int64, whole.tolist())
    assert (found["flags"].dtype, found["flags"].tolist()) == (bool, flags.tolist())


N = 90


def write(folder, shift=0):
    ratings = [(i * 7 + shift) % 11 for i in range(N)]
    texts = [f"red green {'blue ' * (i % 4)}{i // 2 if i < 10 else i}" for i in range(N)]
    frame = pd.DataFrame({"text": texts, "label": [i % 2 for i in range(N)], "rating": ratings, "who": texts})
    frame.to_csv(folder / "posts.csv", index=False)
    return {(text, i % 2, rating) for i, (text, rating) in enumerate(zip(texts, ratings, strict=True))}


@pytest.fixture
def design_of(tmp_path, monkeypatch):
    """A design of the file with the strategy above under a name, and some data of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(raybert.selection.registry.strategies, "rated", Rated)

    def design(strategy, **data):
        document = {
            "data": {"source": "posts.csv", "max_length": 16, "validation_fraction": 0.2, **data},
            "train": {"length": {"steps": 4}},
            "selection": {"budget": 8},
            "sweep": {"strategies": ["random", strategy], "seeds": 1},
        }
        return read_design(validate_config(document))

    return design


def signals_of(design, cache, tmp_path):
    """The signals of every trial of a design, as its sweep computes them, with the texts of its pool."""
    prepared = prepare_design(design, cache)
    planner, store = JobPlanner(prepared, SweepFolder(tmp_path / "run")), ScoreStore(tmp_path / "store")
    for spec in plan_sweep(design, facts_of_pools(prepared)).trials:
        ready = prepared[spec.data_key]
        for job in planner.jobs(spec):
            score = job.scorer.load(ScoringData(ready.data, ready.texts))
            rows = np.arange(job.num_rows)
            store.begin(job.key, job.identity)
            store.write_block(job.key, 0, rows, score(rows))
            store.finish(job.key, 1, job.num_rows)
        refs = planner.refs([spec], store)[spec.trial_id]
        yield spec, ready, make_pool(spec, ready.data, refs)


@pytest.mark.slow
@pytest.mark.parametrize("data", [{"test_fraction": 0.2, "train_examples": 30}, {"folds": 2}])
def test_in_a_sweep_they_stand_beside_their_examples(tmp_path, corpus, design_of, data):
    given = write(tmp_path)
    seen = 0
    for spec, ready, pool in signals_of(design_of("rated", **data), corpus, tmp_path):
        if spec.label != "rated":
            assert "texts" not in pool.signals
            continue
        seen += 1
        texts, ratings = pool.signals["texts"].tolist(), pool.signals["column:rating"].tolist()
        assert texts == ready.splits.train["text"].to_pylist()
        assert set(zip(texts, pool.labels.tolist(), ratings, strict=True)) <= given
        assert spec.strategy.inner.choose(pool, 8).positions.shape == (8,)
        assert spec_of(spec_document(spec)).columns == spec.columns == ready.column_digests
        assert describe_contents(ready)["column:rating"] == spec.columns["rating"]
    assert seen == data.get("folds", 1)


@pytest.mark.slow
def test_another_content_of_the_column_is_another_trial_and_others_stay(tmp_path, corpus, design_of):
    ids = []
    for shift in (0, 0, 1):
        write(tmp_path, shift)
        design = design_of("rated", test_fraction=0.2)
        trials = plan_sweep(design, facts_of_pools(prepare_design(design, corpus))).trials
        ids.append({spec.label: spec.trial_id for spec in trials})
    assert ids[0] == ids[1]
    assert ids[0]["random"] == ids[2]["random"]
    assert ids[0]["rated"] != ids[2]["rated"]


def test_a_column_that_is_not_there_is_one_line_at_the_first_look(tmp_path, design_of):
    write(tmp_path)
    design = design_of({"name": "rated", "column": "ratings"}, test_fraction=0.2)
    line = (
        r"^sweep.strategies: 'rated\(column=ratings\)' needs 'column:ratings': 'posts.csv' has no column 'ratings'; it "
        r"has text, label, rating, who; did you mean 'rating'\?$"
    )
    with pytest.raises(DataError, match=line):
        look_first(design)
