import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.distributions import FloatDistribution
from optuna.importance import FanovaImportanceEvaluator

from raybert.analysis.search.importances import OVERALL, importances_table
from raybert.analysis.search.tables import Parameter

pytestmark = pytest.mark.slow

X, Y, RATE = Parameter("x", 0.0, 1.0), Parameter("y", 0.0, 1.0), Parameter("rate", 1e-5, 1e-1, log=True)
SCHEDULE = Parameter("schedule", choices=("linear", "cosine"))


def draw(num=24, seed=0, strategy="a", **columns):
    generator = np.random.default_rng(seed)
    points = {"x": generator.uniform(0, 1, num), "y": generator.uniform(0, 1, num)}
    rows = {"arm": strategy, "strategy": strategy, "number": range(num), "state": "complete"} | points | columns
    return pd.DataFrame(rows)


def by_parameter(rows, parameters=(X, Y), strategy=OVERALL):
    table = importances_table(rows, {p.name: p for p in parameters})
    return table[table["strategy"] == strategy].set_index("parameter")


def centred(values):
    """Values whose mean is 0 to the last bit: centring leaves them alone, where rounding moves splits of equal gain."""
    steps = np.round(64 * (values - values.mean()))
    steps.iloc[-1] -= steps.sum()
    return steps / 64


def optunas(rows, values, columns, spaces):
    study = optuna.create_study(direction="maximize")
    for value, *params in zip(values, *(rows[c] for c in columns), strict=True):
        params = dict(zip(columns, params, strict=True))
        study.add_trial(optuna.trial.create_trial(value=value, params=params, distributions=spaces))
    return FanovaImportanceEvaluator(seed=0).evaluate(study)


def test_importances_are_optunas_on_the_same_study():
    rows = draw()
    rows["value"] = centred(2 * rows["x"] + rows["y"] ** 2)
    reference = optunas(rows, rows["value"], ["x", "y"], {name: FloatDistribution(0, 1) for name in "xy"})
    ours = by_parameter(rows, strategy="a")["importance"]
    assert ours.to_dict() == pytest.approx({name: float(share) for name, share in reference.items()})


def test_a_logarithmic_parameter_is_judged_by_its_logarithm():
    rates = np.geomspace(1e-5, 1e-1, 24)
    rows = draw(rate=rates)
    rows["value"] = centred(np.log10(rates) + rows["y"])
    spaces = {"log": FloatDistribution(np.log(1e-5), np.log(1e-1)), "y": FloatDistribution(0, 1)}
    reference = optunas(rows.assign(log=np.log(rates)), rows["value"], ["log", "y"], spaces)
    shares = by_parameter(rows, (RATE, Y))["importance"]
    assert shares["rate"] == pytest.approx(reference["log"])
    assert shares["rate"] > 0.8


def test_a_planted_parameter_comes_first_for_each_strategy_and_overall():
    noise = np.random.default_rng(1).normal(0, 0.02, 24)
    one, other = draw(strategy="by x"), draw(strategy="by y", seed=2)
    one["value"], other["value"] = one["x"] + noise, other["y"] - noise
    rows = pd.concat([one, other], ignore_index=True)
    table = importances_table(rows, {"x": X, "y": Y})
    assert table["strategy"].tolist() == [OVERALL, OVERALL, "by x", "by x", "by y", "by y"]
    assert table.drop_duplicates("strategy")["parameter"].tolist()[1:] == ["x", "y"]
    own = table[table["strategy"] == "by x"].set_index("parameter")
    assert own.loc["x", "importance"] > 0.9
    assert own.loc["x", "rank_correlation"] > 0.8
    assert own.loc["x", "p"] < 0.001


def test_what_strategies_differ_by_is_no_effect_of_a_parameter():
    good, bad = draw(strategy="good"), draw(strategy="bad", seed=2)
    good["x"], bad["x"] = 0.5 + good["x"] / 2, bad["x"] / 2  # a strategy is told by its x
    good["value"], bad["value"] = 0.9 + good["y"] / 10, 0.1 + bad["y"] / 10
    shares = by_parameter(pd.concat([good, bad], ignore_index=True))["importance"]
    assert shares["y"] > 0.9


def test_the_arms_of_a_strategy_are_centred_one_by_one():
    small, large = draw(strategy="a"), draw(strategy="a", seed=2).assign(arm="a budget=1")
    small["value"], large["value"] = small["y"], 5 + large["y"]
    small["x"], large["x"] = small["x"] / 2, 0.5 + large["x"] / 2
    assert by_parameter(pd.concat([small, large], ignore_index=True), strategy="a")["importance"]["y"] > 0.9


def test_nothing_but_noise_is_told_by_its_p():
    rows = draw(value=np.random.default_rng(3).normal(size=24))
    assert (by_parameter(rows)["p"] > 0.05).all()


def test_a_conditional_parameter_is_judged_where_it_is_set():
    rows = draw(48, schedule=["linear", "cosine"] * 24)
    is_set = rows["schedule"] == "linear"
    rows["value"] = np.where(is_set, 3 * rows["y"], 0.0) + 0.1 * rows["x"]
    rows["y"] = rows["y"].where(is_set)
    table = by_parameter(rows, (X, Y, SCHEDULE))
    assert table["is_conditional"].to_dict() == {"x": False, "schedule": False, "y": True}
    assert table["num_suggestions"].to_dict() == {"x": 48, "schedule": 48, "y": 24}
    assert table.loc["y", "importance"] > 0.9


def test_a_parameter_of_one_strategy_is_in_its_own_rows_only():
    one, other = draw(), draw(strategy="b", seed=2).drop(columns="y")
    one["value"], other["value"] = one["y"], other["x"]
    rows = pd.concat([one, other], ignore_index=True)
    assert list(by_parameter(rows).index) == ["x"]
    own = by_parameter(rows, strategy="a")
    assert own.index[0] == "y"
    assert not own.loc["y", "is_conditional"]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda rows: rows.head(9), "9 complete, must be at least 10 suggestions"),
        (lambda rows: rows.assign(value=0.5), "all complete suggestions have one value"),
        (lambda rows: rows.assign(x=0.5, y=0.5), "no parameter has two values"),
        (lambda rows: rows.assign(state="pruned"), "no complete suggestion"),
    ],
)
def test_too_little_is_said_instead_of_a_number(change, why):
    table = importances_table(change(draw().assign(value=lambda rows: rows["x"])), {"x": X, "y": Y})
    assert set(table["why"]) == {why}
    assert table["importance"].isna().all()
    assert set(table["strategy"]) == {OVERALL, "a"}


def test_pruned_suggestions_do_not_count():
    rows = draw()
    rows["value"] = rows["x"]
    pruned = draw(seed=5).assign(state="pruned", value=lambda r: -10 * r["y"])
    both = pd.concat([rows, pruned], ignore_index=True)
    pd.testing.assert_frame_equal(importances_table(both, {"x": X, "y": Y}), importances_table(rows, {"x": X, "y": Y}))


def test_many_suggestions_are_thinned_the_same_way_each_time():
    rows = draw(210)
    rows["value"] = rows["x"].round(1)
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    tables = [by_parameter(rows) for _ in range(2)]
    pd.testing.assert_frame_equal(*tables)
    assert tables[0]["num_suggestions"].tolist() == [200, 200]
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002


def test_optuna_announces_nothing(capfd):
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.INFO)
    optuna.logging.enable_default_handler()
    try:
        by_parameter(draw().assign(value=lambda rows: rows["x"]))
        assert optuna.logging.get_verbosity() == optuna.logging.INFO
    finally:
        optuna.logging.set_verbosity(before)
    assert capfd.readouterr() == ("", "")


def test_choices_that_are_numbers_are_choices():
    rows = draw(batch=np.tile([16.0, 32.0], 12))
    rows["value"] = rows["x"] + (rows["batch"] == 32)
    shares = by_parameter(rows, (X, Parameter("batch", choices=(16, 32))))["importance"]
    assert shares["batch"] > 0.6 > 0.3 > shares["x"]
