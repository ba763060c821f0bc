"""The strategy `column`: examples by a number that the data bring along."""

import numpy as np
import pandas as pd
import pytest

import raybert
from raybert.config import validate_config
from raybert.errors import ConfigError, DataError, SelectionError
from raybert.sweeping.phases.prepare import prepare_design
from raybert.sweeping.plan.design import read_design
from tests.selection.test_columns import signals_of

VALUES = np.array([0.1, 0.9, np.nan, 0.5, 0.9, 0.2])


def chosen(values, budget=6, **parameters):
    found = raybert.select(
        "column",
        budget,
        labels=[0] * len(values),
        columns={"quality": values},
        parameters={"column": "quality"} | parameters,
    )
    return found.positions.tolist()


def test_each_end_and_the_middle_come_first_and_what_has_no_value_last():
    for given in ({}, {"direction": "top"}):
        order = chosen(VALUES, **given)
        assert (set(order[:2]), order[2:]) == ({1, 4}, [3, 5, 0, 2])
    order = chosen(VALUES, direction="bottom")
    assert (order[:3], set(order[3:5]), order[5]) == ([0, 5, 3], {1, 4}, 2)
    assert chosen(VALUES, direction="middle")[0] == 3
    assert chosen(VALUES, budget=2, window=[0, 0.4]) == [5, 0]
    assert set(chosen(VALUES, budget=3, drop_hardest=0.4)) == {0, 3, 5}


def test_equal_values_are_drawn_and_do_not_go_by_position():
    flat = np.repeat([1.0, 0.0], 60)
    draws = [
        set(raybert.select("column", 20, labels=[0] * 120, seed=seed, columns={"score": flat}).positions.tolist())
        for seed in range(3)
    ]
    assert all(draw <= set(range(60)) for draw in draws)
    assert len(set(map(frozenset, draws))) == 3
    assert len(draws[0] & draws[1]) < 15  # 6.7 by chance


def test_classes_have_their_quotas_unless_balance_is_none():
    labels, values = [0] * 8 + [1] * 2, np.arange(10.0)[::-1]
    by = {
        balance: raybert.select(
            "column", 5, labels=labels, columns={"score": values}, parameters={"balance": balance}
        ).positions.tolist()
        for balance in ("class", "none")
    }
    assert sorted(by["class"]) == [0, 1, 2, 3, 8]
    assert by["none"] == [0, 1, 2, 3, 4]


def test_truth_values_and_whole_numbers_are_numbers():
    assert set(chosen(np.array([False, True, False, True]), budget=2)) == {1, 3}
    assert chosen(np.array([2**40, 2**40 + 1, 3]), budget=2) == [1, 0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["good", "bad"], "must hold numbers, got texts such as 'good'"),
        (["0.5", "n/a"], "must hold numbers, got texts such as 'n/a'"),
        ([np.nan, np.nan], "must have a value for some example, got none for 2"),
        (np.array([None, None], object), "must have a value for some example, got none for 2"),
        (np.zeros((2, 2)), r"must hold a number each, got float64 of \(2, 2\)"),
        (np.array(["2026-01-01", "2026-01-02"], "datetime64[D]"), "must hold a number each, got datetime64"),
    ],
)
def test_what_is_no_number_is_refused_in_one_line(values, message):
    with pytest.raises(SelectionError, match=f"^column:quality: {message}"):
        chosen(values, budget=1)


def test_directions_of_other_rankings_are_none_of_a_column():
    with pytest.raises(ConfigError, match="direction: must be one of 'top', 'bottom' or 'middle' or null, got 'hard'"):
        chosen(VALUES, direction="hard")


N = 60


def frame():
    rows = range(N)
    return pd.DataFrame(
        {
            "text": [f"red green {'blue ' * (i % 4)}{i}" for i in rows],
            "label": [i % 2 for i in rows],
            "quality": [np.nan if i % 9 == 0 else ((i * 7) % 11) / 10 for i in rows],
            "verdict": ["good" if i % 3 else "bad" for i in rows],
        }
    )


WRITERS = {
    "csv": lambda rows, path: rows.to_csv(path, index=False),
    "parquet": lambda rows, path: rows.to_parquet(path),
    "jsonl": lambda rows, path: rows.to_json(path, orient="records", lines=True),
}


def design_of(source, *strategies):
    document = {
        "data": {"source": str(source), "max_length": 16, "validation_fraction": 0.2, "test_fraction": 0.2},
        "train": {"length": {"steps": 4}},
        "selection": {"budget": 8},
        "sweep": {"strategies": list(strategies), "seeds": 1},
    }
    return read_design(validate_config(document))


TOP = {"name": "column", "column": "quality", "balance": "none"}


def check_best(design, cache, tmp_path):
    """The eight best of the pool that a trial sees are those of the file."""
    ((spec, ready, pool),) = signals_of(design, cache, tmp_path)
    quality = dict(zip(frame()["text"], frame()["quality"], strict=True))
    expected = np.array([quality[text] for text in ready.splits.train["text"].to_pylist()])
    np.testing.assert_array_equal(pool.signals["column:quality"], expected)
    best = spec.strategy.choose(pool, 8).positions
    assert np.sort(expected[best]).tolist() == np.sort(expected[~np.isnan(expected)])[-8:].tolist()


@pytest.mark.slow
@pytest.mark.parametrize("ending", WRITERS)
def test_files_of_every_kind_are_ranked_by_their_column(tmp_path, corpus, ending):
    path = tmp_path / f"posts.{ending}"
    WRITERS[ending](frame(), path)
    check_best(design_of(path, TOP), corpus, tmp_path)


@pytest.mark.slow
def test_datasets_of_the_hub_are_ranked_by_their_column(tmp_path, corpus, monkeypatch):
    datasets = pytest.importorskip("datasets")
    kept = datasets.DatasetDict({"train": datasets.Dataset.from_pandas(frame(), preserve_index=False)})
    monkeypatch.setattr(datasets, "load_dataset", lambda *names, **options: kept)
    check_best(design_of("somebody/posts", TOP), corpus, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "entry",
    [
        {"name": "column", "column": "verdict"},
        {"name": "el2n", "then": {"name": "column", "column": "verdict"}},
        {"name": "curriculum", "score": {"name": "column", "column": "verdict"}},
    ],
    ids=str,
)
def test_texts_are_refused_before_anything_is_trained(tmp_path, corpus, entry):
    path = tmp_path / "posts.csv"
    frame().to_csv(path, index=False)
    line = r"^sweep.strategies: '.*' of '.*posts.csv': column:verdict: must hold numbers, got texts such as 'bad'"
    with pytest.raises(DataError, match=line):
        prepare_design(design_of(path, "random", entry), corpus)
