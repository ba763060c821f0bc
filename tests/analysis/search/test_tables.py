import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from raybert.analysis.search.studies import StudiedArm, open_studies, read_arms
from raybert.analysis.search.tables import (
    best_table,
    find_parameters,
    history_table,
    pruning_table,
    suggestions_table,
)
from tests.analysis.studies import RATE, suggestion, write_arm

optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.fixture
def memory():
    return optuna.storages.InMemoryStorage()


def tables_of(storage):
    arms = read_arms(storage)
    parameters = find_parameters(arms)
    return suggestions_table(arms, parameters), parameters


def rate(value):
    return {RATE: value}


TRIALS = [
    suggestion(rate(1e-3), [0.7, 0.8], examples_seen=2000, seconds=20.0),
    suggestion(rate(1e-2), [], "failed", examples_seen=100, seconds=1.0, why="nan: loss is not finite"),
    suggestion(rate(1e-4), [0.5], "pruned", examples_seen=500, seconds=6.0, why="worse than half at 500"),
    suggestion(rate(5e-4), [0.9, 0.8], examples_seen=2000, seconds=21.0),
    suggestion(rate(2e-3), [0.8, 0.8], examples_seen=2400, seconds=22.0),
]


def test_a_suggestion_is_a_row_with_its_parameters_by_dotted_key(tmp_path, memory):
    write_arm(tmp_path, "el2n", TRIALS, grid={"selection.budget": 0.1}, storage=memory)
    rows, _ = tables_of(memory)
    assert rows["arm"].unique().tolist() == ["el2n selection.budget=0.1"]
    assert rows["number"].tolist() == [0, 1, 2, 3, 4]
    assert rows["state"].tolist() == ["complete", "failed", "pruned", "complete", "complete"]
    assert rows["selection.budget"].tolist() == [0.1] * 5
    assert rows[RATE].tolist() == [1e-3, 1e-2, 1e-4, 5e-4, 2e-3]
    assert rows["num_seeds"].tolist() == [2, 0, 1, 2, 2]
    assert rows["seed_values"].tolist() == [[0.7, 0.8], [], [0.5], [0.9, 0.8], [0.8, 0.8]]
    assert rows["seeds"].tolist() == [[1000, 1001], [], [1000], [1000, 1001], [1000, 1001]]
    assert rows["value"][[0, 2, 3]].tolist() == pytest.approx([0.75, 0.5, 0.85])
    assert np.isnan(rows["value"][1])
    assert rows["why"][1] == "nan: loss is not finite"


def test_arms_stand_in_the_order_of_the_file(tmp_path, memory):
    write_arm(tmp_path, "b", TRIALS, order=1, storage=memory)
    write_arm(tmp_path, "a", TRIALS, order=2, storage=memory)
    write_arm(tmp_path, "c", TRIALS, order=0, storage=memory)
    optuna.create_study(study_name="somebody else's", storage=memory)
    assert [arm.strategy for arm in read_arms(memory)] == ["c", "b", "a"]


def test_running_suggestions_are_rows_without_a_value(tmp_path, memory):
    study = write_arm(tmp_path, "random", [], storage=memory)
    trial = study.ask()
    trial.suggest_float(RATE, 1e-5, 1e-2, log=True)
    trial.report(0.5, 100)
    rows, parameters = tables_of(memory)
    assert rows["state"].tolist() == ["running"]
    assert rows["value"].isna().all()
    assert best_table(rows, parameters, True).empty
    assert history_table(rows, True).empty
    assert pruning_table(rows)["num_running"].tolist() == [1]
    assert pruning_table(rows)["pruned_rate"].isna().all()


def test_the_best_is_complete_and_compared_with_the_median_and_the_first(tmp_path, memory):
    write_arm(tmp_path, "el2n", TRIALS, storage=memory)
    best = best_table(*tables_of(memory), True).iloc[0]
    assert (best["number"], best[RATE], best["num_complete"]) == (3, 5e-4, 3)
    assert best["value"] == pytest.approx(0.85)
    assert best["gain_over_median"] == pytest.approx(0.85 - 0.8)
    assert best["gain_over_first"] == pytest.approx(0.85 - 0.75)


def test_with_a_metric_to_minimize_less_is_better(tmp_path, memory):
    losses = [suggestion(rate(1e-3), [value]) for value in (0.5, 0.3, 0.4)]
    write_arm(tmp_path, "el2n", losses, direction="minimize", storage=memory)
    rows, parameters = tables_of(memory)
    best = best_table(rows, parameters, False).iloc[0]
    assert (best["number"], best["value"]) == (1, 0.3)
    assert best["gain_over_median"] == pytest.approx(0.1)
    assert best["gain_over_first"] == pytest.approx(0.2)
    assert history_table(rows, False)["best_value"].tolist() == [0.5, 0.3, 0.3]


def test_of_equal_bests_the_first_is_named(tmp_path, memory):
    write_arm(tmp_path, "a", [suggestion(rate(r), [0.8]) for r in (1e-3, 1e-4)], storage=memory)
    assert best_table(*tables_of(memory), True)["number"].tolist() == [0]


def test_a_first_point_that_is_not_complete_is_not_compared_with(tmp_path, memory):
    write_arm(tmp_path, "a", [TRIALS[2], TRIALS[0]], storage=memory)
    assert best_table(*tables_of(memory), True)["gain_over_first"].isna().all()


def test_history_grows_by_number_and_by_what_was_spent(tmp_path, memory):
    write_arm(tmp_path, "a", [TRIALS[2], *TRIALS], storage=memory)
    write_arm(tmp_path, "b", TRIALS[:1], order=1, storage=memory)
    rows, _ = tables_of(memory)
    history = history_table(rows, True)
    own = history[history["arm"] == "a"]
    assert own["best_value"].isna().tolist() == [True, *[False] * 5]  # before the first complete one
    assert own["best_value"].tolist()[1:] == pytest.approx([0.75, 0.75, 0.75, 0.85, 0.85])
    assert own["cumulated_examples"].tolist() == [500, 2500, 2600, 3100, 5100, 7500]
    assert own["cumulated_seconds"].tolist() == [6, 26, 27, 33, 54, 76]
    assert history[history["arm"] == "b"]["cumulated_examples"].tolist() == [2000]


def test_pruning_rates_and_costs_are_counted_by_hand(tmp_path, memory):
    write_arm(tmp_path, "a", TRIALS, storage=memory)
    row = pruning_table(tables_of(memory)[0]).iloc[0]
    counts = [row[f"num_{state}"] for state in ("suggestions", "complete", "pruned", "failed", "running")]
    assert counts == [5, 3, 1, 1, 0]
    assert [row[f"{state}_rate"] for state in ("complete", "pruned", "failed")] == [0.6, 0.2, 0.2]
    assert (row["examples_seen"], row["examples_pruned"]) == (7000, 500)
    assert (row["seconds"], row["seconds_pruned"], row["seconds_per_suggestion"]) == (70, 6, 14)
    # All five to the end: 5 x 2,000, the median of the complete ones.
    assert row["full_cost_fraction"] == pytest.approx(0.7)


def test_without_a_complete_suggestion_the_full_cost_is_not_known(tmp_path, memory):
    write_arm(tmp_path, "a", TRIALS[1:3], storage=memory)
    assert pruning_table(tables_of(memory)[0])["full_cost_fraction"].isna().all()


def test_choices_are_numbers_where_all_are_and_text_otherwise(tmp_path, memory):
    space = {
        "numbers": CategoricalDistribution([16, 32]),
        "mixed": CategoricalDistribution([None, 0.5, "auto", True]),
        "whole": IntDistribution(1, 9),
    }
    trials = [
        suggestion({"numbers": 16, "mixed": None, "whole": 3}, [0.5], space=space),
        suggestion({"numbers": 32, "mixed": 0.5}, [0.5], space=space),
        suggestion({"mixed": True}, [0.5], space=space),
    ]
    write_arm(tmp_path, "a", trials, storage=memory)
    rows, parameters = tables_of(memory)
    assert rows["numbers"].dropna().tolist() == [16, 32]
    assert rows["mixed"].tolist() == ["null", "0.5", "true"]
    assert (str(rows["whole"].dtype), rows["whole"].dropna().tolist()) == ("Int64", [3])
    assert parameters["mixed"].choices == ("null", "0.5", "auto", "true")
    rows.to_parquet(tmp_path / "search.parquet")
    pd.testing.assert_frame_equal(
        pd.read_parquet(tmp_path / "search.parquet")[["mixed", "whole"]], rows[["mixed", "whole"]]
    )


def test_a_space_that_was_widened_is_the_union(tmp_path, memory):
    for order, (low, high) in enumerate([(0.1, 1.0), (0.01, 0.5)]):
        space = {"x": FloatDistribution(low, high, log=True)}
        write_arm(tmp_path, f"s{order}", [suggestion({"x": 0.2}, [1.0], space=space)], order=order, storage=memory)
    parameter = find_parameters(read_arms(memory))["x"]
    assert (parameter.low, parameter.high, parameter.log) == (0.01, 1.0, True)


def test_parameters_of_several_arms_come_first(tmp_path, memory):
    own = {"strategies.a.k": FloatDistribution(0, 1), RATE: FloatDistribution(0.1, 1)}
    write_arm(tmp_path, "a", [suggestion({"strategies.a.k": 0.5, RATE: 0.2}, [1.0], space=own)], storage=memory)
    write_arm(tmp_path, "b", [suggestion({RATE: 0.2}, [1.0], space=own)], order=1, storage=memory)
    assert list(find_parameters(read_arms(memory))) == [RATE, "strategies.a.k"]


def test_a_shared_study_is_split_by_the_strategy_that_it_chose(memory):
    space = {"strategy": CategoricalDistribution(["a", "b"]), RATE: FloatDistribution(0.1, 1)}
    trials = [suggestion({"strategy": s, RATE: 0.5}, [v], space=space) for s, v in (("a", 0.5), ("b", 0.7), ("a", 0.6))]
    numbered = []
    for number, trial in enumerate(trials):
        trial.number = number
        numbered.append(trial)
    arm = StudiedArm("all strategies", None, {}, "accuracy", True, tuple(numbered))
    parameters = find_parameters([arm])
    assert list(parameters) == [RATE]
    rows = suggestions_table([arm], parameters)
    assert rows["strategy"].tolist() == ["a", "b", "a"]
    best = best_table(rows, parameters, True)
    assert list(zip(best["strategy"], best["value"], strict=True)) == [("a", 0.6), ("b", 0.7)]
    assert pruning_table(rows)["num_suggestions"].tolist() == [2, 1]


def test_no_study_is_no_search(tmp_path):
    assert open_studies(tmp_path) is None
    assert open_studies(tmp_path, "journal") is None
    assert not list(tmp_path.iterdir())
