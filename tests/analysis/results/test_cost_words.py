"""What is said of cost beside quality: golden lines of a sweep whose every number is chosen here."""

import pandas as pd
import pytest

from raybert.analysis import load_sweep
from raybert.analysis.results.cost_words import _by_full, _front, _near_all, cost_lines
from raybert.analysis.statistics.configurations import KEY
from raybert.analysis.statistics.pareto import FRONT
from raybert.terminal.comparison import summary_table
from tests.analysis.folders import make_spec, write_evaluations, write_plan, write_resolved, write_result
from tests.terminal.test_screens import lines_of

SEEDS = (0, 1, 2)
FULL = (0.4, 0.6, 0.7, 0.8)
"""Of `all`, after 1,000, 2,000, ... examples, which are 3,000 forward passes each: 95 % are 0.76, 99 % 0.792."""
CURVES = {
    "all": lambda seed: FULL,
    "random": lambda seed: (0.5, 0.6, 0.6, 0.6),
    "el2n": lambda seed: (0.5, 0.7, 0.77 + 0.01 * seed, 0.77 + 0.01 * seed),
    "k_center": lambda seed: (0.5, 0.7, 0.7, 0.8 if seed else 0.7),
}
PASSES = {"all": 4000, "random": 400, "el2n": 400, "k_center": 400}
TEST = {"all": 0.82, "random": 0.6, "el2n": 0.75, "k_center": 0.5}


def write_costs(folder, names=tuple(CURVES), seeds=SEEDS):
    """Write a sweep in which the test accuracy of every seed is 0.01 above that of the one before."""
    specs = [make_spec(name, seed, 400 if name == "all" else 40) for name in names for seed in seeds]
    write_plan(folder, specs, ("no", "yes"))
    write_resolved(folder, resources={"cpus_per_worker": 2})
    for spec in specs:
        name, seed = spec["strategy"], spec["seed"]
        wobble = 0.1 * seed * (name == "el2n")
        write_result(
            folder,
            spec,
            TEST[name] + 0.01 * seed + wobble,
            examples_seen=PASSES[name],
            examples_scored=100 if name == "el2n" else 0,
            wall_seconds=300.0,
            selection_seconds=0.0,
        )
        write_evaluations(folder, spec, CURVES[name](seed), PASSES[name])
    return folder


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    return load_sweep(write_costs(tmp_path_factory.mktemp("costs")))


def test_lines_of_cost_by_hand(sweep):
    # el2n pays 100 passes for its scores, then 300 between two evaluations. It crosses 0.76 at 700 + 300 x 6/7, 6/8
    # and 6/9, and `all` at 9,000 + 3,000 x 0.6; k_center is there in two of three runs, after 900 + 300 x 0.6.
    assert cost_lines(sweep) == [
        "Pareto front of test accuracy and forward passes (training counts 3): el2n 86.0 (1.30k). By the means only: "
        "random 61.0 (1.20k).",
        "95 % of what all reaches on validation: el2n alone gets there in all 3 runs, with 927 forward passes (9 % [8, 9] "
        "of what all takes) and 0.862 s (8 % [7, 8]).",
        "99 % of what all reaches on validation: no other configuration gets there in every run; k_center does in 2 of 3, "
        "with medians of 1.18k forward passes (10 % of what all takes) and 1.23 s (10 %); a saving is not shown.",
        "All runs took 2 CPU-hours, scoring of the pool apart.",  # 12 trials of 300 s on 2 CPUs
    ]


def test_they_stand_below_the_table_and_before_the_verdict(sweep):
    shown = lines_of(summary_table(sweep), 300)
    heads = [line.partition(": ")[0] for line in shown]
    assert [line.removeprefix("cost: ") for line in shown if line.startswith("cost: ")] == cost_lines(sweep)
    assert heads.index("cost") < heads.index("verdict")


def test_by_another_metric_only_the_front_is_known(sweep):
    lines = cost_lines(sweep, "macro_f1")
    assert [line.partition(" of ")[2].partition(" and ")[0] for line in lines if "Pareto" in line] == ["test macro F1"]
    assert not any("validation" in line for line in lines)


def test_who_is_never_there_and_who_has_nothing_to_be_compared_with(tmp_path):
    (line,) = (
        line for line in cost_lines(load_sweep(write_costs(tmp_path / "a", ("all", "random")))) if line.startswith("95")
    )
    assert line == (
        "95 % of what all reaches on validation: no other configuration gets there in more than half of its runs."
    )
    assert len(cost_lines(load_sweep(write_costs(tmp_path / "b", ("random", "el2n"))))) == 2  # the front, the hours
    assert [line[:8] for line in cost_lines(load_sweep(write_costs(tmp_path / "c", ("all",))))] == ["All runs"]


def test_one_seed_shows_no_saving(tmp_path):
    lines = cost_lines(load_sweep(write_costs(tmp_path, ("all", "el2n"), seeds=(1,))))
    assert lines[1] == (
        "95 % of what all reaches on validation: el2n alone gets there in its one run, with 925 forward passes (9 % of "
        "what all takes) and 0.859 s (8 %); a saving is not shown."
    )
    assert lines[0].endswith("el2n 86.0 (1.30k).")  # nothing is cheaper, which is sure


def test_a_target_that_the_most_frequent_class_reaches_is_called_trivial(sweep):
    table = sweep.cost_to_reach.assign(num_trivial=3)
    assert _near_all(table, 0.95).endswith("(8 % [7, 8]); always saying the most frequent class gets there, too.")


def test_of_several_that_get_there_in_every_run_the_cheapest_is_named(sweep):
    table = sweep.cost_to_reach
    dearer = table[table["strategy"] == "el2n"].assign(**{KEY: "d2", "strategy": "d2"})
    dearer["spent"] *= 2
    line = _near_all(pd.concat([dearer, table]), 0.95)
    assert line.startswith(
        "95 % of what all reaches on validation: el2n is the cheapest of 2 that get there in all 3 runs, with 927 "
    )


def test_a_long_front_names_the_cheapest(tmp_path):
    names = [f"s{number}" for number in range(9)]
    rows = [
        {KEY: name, "front": "all budgets", "cost": "examples", "spent": 10.0**number, "mean": number / 10}
        for number, name in enumerate(names)
    ]
    (line,) = _front(pd.DataFrame(rows).assign(place=FRONT, metric="accuracy"))
    assert line.endswith(
        ": s0 0.0 (1); s1 10.0 (10); s2 20.0 (100); s3 30.0 (1.00k); s4 40.0 (10.0k); 4 more in results/pareto."
    )


def test_a_loss_asks_of_the_lowest(sweep):
    table = sweep.cost_to_reach
    losses = pd.concat([table, table.assign(full_configuration="all, other", target=table["target"] / 2)])
    assert _by_full(losses)[0]["full_configuration"].unique().tolist() == ["all"]
    assert _by_full(losses.assign(metric="loss"))[0]["full_configuration"].unique().tolist() == ["all, other"]


def test_of_a_grid_of_encoders_each_has_its_own_full_training_and_passes_are_no_common_unit(tmp_path):
    specs = [
        make_spec(
            name,
            seed,
            400 if name == "all" else 40,
            grid={"model.encoder": encoder},
            trial_id=f"{name}-{encoder}-{seed}",
        )
        for name in ("all", "el2n")
        for encoder in ("small", "large")
        for seed in SEEDS
    ]
    write_plan(tmp_path, specs, ("no", "yes"))
    for spec in specs:
        more = 0.1 * (spec["grid"]["model.encoder"] == "large")
        write_result(tmp_path, spec, TEST[spec["strategy"]] + more, examples_seen=PASSES[spec["strategy"]])
        curve = [value + more for value in CURVES[spec["strategy"]](spec["seed"])]
        write_evaluations(tmp_path, spec, curve, PASSES[spec["strategy"]])
    front, *near = cost_lines(load_sweep(tmp_path))
    assert front.endswith("Forward passes do not cost the same at every model.encoder: look at seconds.")
    # 95 % of .9 are .855: .87, .88, .89 get there; 99 % are .891: none does. Of .8 they are .76 and .792.
    assert [line.partition(",")[0] for line in near] == [
        *["95 % of what all", "99 % of what all"] * 2,
    ]
    assert ["large" in line and "small" not in line for line in near] == [True, True, False, False]
    assert ["no other configuration gets there" in line for line in near] == [False, True, False, True]


def test_hours_are_those_of_gpus_where_trials_have_them(tmp_path):
    folder = write_costs(tmp_path, ("random",), seeds=(0,))
    write_resolved(folder, resources={"gpus_per_worker": 1, "workers_per_trial": 2})
    assert cost_lines(load_sweep(folder)) == ["All runs took 0.17 GPU-hours, scoring of the pool apart."]
    (folder / "resolved.yaml").unlink()
    assert cost_lines(load_sweep(folder)) == []
