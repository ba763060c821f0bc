import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from raybert.analysis import load_sweep
from raybert.analysis.results.examples import example_table, shown_examples
from raybert.sweeping.folder.pool_texts import MOST_LETTERS, PoolTexts
from tests.analysis.folders import (
    make_spec,
    write_plan,
    write_pool,
    write_pool_scores,
    write_resolved,
    write_result,
    write_selection,
)

N = 24


@pytest.fixture
def folder(tmp_path):
    """`all` with losses, `el2n` with scores (kept: the ten hardest), `k_center` without, `infobatch` of two passes."""
    kept = {"all": [range(N)], "el2n": [range(10)], "k_center": [range(20, 24)], "infobatch": [range(N), range(6)]}
    specs = {name: make_spec(name, budget=len(passes[-1]), pool_size=N) for name, passes in kept.items()}
    write_plan(tmp_path, list(specs.values()), ("ham", "spam"))
    for name, passes in kept.items():
        write_result(tmp_path, specs[name], 0.8)
        write_selection(tmp_path, specs[name], *passes)
    write_pool_scores(tmp_path, specs["el2n"], np.arange(N, 0, -1))  # the first is the hardest
    np.savez(
        tmp_path / "trials" / specs["all"]["trial_id"] / "losses.npz",
        loss=np.arange(N, dtype=np.float32) / 10,  # the last is the hardest
        loss_pass=np.zeros(N, np.int32),
    )
    write_pool(tmp_path, [i % 2 for i in range(N)], list(range(5, 5 + N)))
    return tmp_path


def parts(table, strategy):
    own = table[table["strategy"] == strategy]
    return {str(name): rows["position"].tolist() for name, rows in own.groupby("part", sort=False)}


def test_a_strategy_with_scores_shows_the_ends_of_what_it_kept_and_dropped(folder):
    assert parts(example_table(load_sweep(folder)), "el2n") == {
        "hardest kept": [0, 1, 2, 3, 4],
        "easiest kept": [9, 8, 7, 6, 5],
        "hardest dropped": [10, 11, 12, 13, 14],
        "easiest dropped": [23, 22, 21, 20, 19],
    }


def test_a_strategy_without_scores_is_ordered_by_the_losses_of_all(folder):
    table = example_table(load_sweep(folder))
    assert parts(table, "k_center") == {
        "hardest kept": [23, 22, 21, 20],
        "hardest dropped": [19, 18, 17, 16, 15],
        "easiest dropped": [0, 1, 2, 3, 4],
    }
    own = table[table["strategy"] == "k_center"]
    assert own["score"].isna().all()
    assert own["loss"].tolist() == pytest.approx(own["position"] / 10)


def test_without_losses_nothing_orders_the_pool(folder):
    (folder / "trials" / "all-24-0" / "losses.npz").unlink()
    table = example_table(load_sweep(folder))
    assert parts(table, "k_center") == {"kept": [20, 21, 22, 23], "dropped": [0, 1, 2, 3, 4]}
    assert table["loss"].isna().all()


def test_what_changes_from_pass_to_pass_keeps_what_was_in_its_last_pass(folder):
    table = example_table(load_sweep(folder))
    assert parts(table, "infobatch")["hardest kept"] == [5, 4, 3, 2, 1]
    own = table[table["strategy"] == "infobatch"].set_index("position")
    assert (own.loc[5, "num_passes"], own.loc[23, "num_passes"]) == (2, 1)


def test_each_example_says_what_it_is_and_how_many_strategies_keep_it(folder):
    table = example_table(load_sweep(folder))
    row = table[(table["strategy"] == "el2n") & (table["position"] == 3)].iloc[0]
    assert (row["example_id"], row["label"], row["label_name"], row["length"], row["score"]) == ("e3", 1, "spam", 8, 21)
    assert (row["kept_by"], row["kept_by_of"]) == (2, 3)  # el2n and infobatch; all leaves nothing out


def test_beginnings_of_texts_come_from_the_pool_in_memory_and_stay_for_later_reports(folder):
    ids = [f"e{i}" for i in range(N)]
    texts = PoolTexts(pa.table({"example_id": ids, "text": [f"text {i} " + "x" * 500 for i in range(N)]}))
    first = shown_examples(load_sweep(folder), texts)
    assert first["text"].str.len().eq(MOST_LETTERS).all()
    assert first.loc[first["position"] == 3, "text"].iloc[0].startswith("text 3 x")
    (folder / "results").mkdir()
    first.to_parquet(folder / "results" / "examples.parquet")
    pd.testing.assert_frame_equal(shown_examples(load_sweep(folder)), first)


def test_no_text_is_shown_where_the_file_wants_none(folder):
    write_resolved(folder, sweep={"strategies": ["all"], "report": {"texts": False}})
    ids = [f"e{i}" for i in range(N)]
    texts = PoolTexts(pa.table({"example_id": ids, "text": ids}))
    assert "text" not in shown_examples(load_sweep(folder), texts)


def test_trials_of_another_pool_are_left_out(folder):
    path = folder / "trials" / "el2n-10-0" / "selection.parquet"
    pd.read_parquet(path).assign(example_id="other").to_parquet(path)
    assert set(example_table(load_sweep(folder))["strategy"]) == {"all", "k_center", "infobatch"}


def test_without_a_pool_there_are_no_examples(folder):
    (folder / "pool.parquet").unlink()
    assert example_table(load_sweep(folder)).empty


def test_texts_of_pairs_are_both_there_and_unknown_ids_are_not():
    table = pa.table({"example_id": ["a", "b"], "text": ["one", "two"], "text_pair": ["uno", "due"]})
    found = PoolTexts(table).of(["b", "c"])
    assert found.to_dict("index") == {"b": {"text": "two", "text_pair": "due"}}
