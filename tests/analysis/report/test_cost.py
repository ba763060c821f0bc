"""The part of the page about cost: its tables against numbers that are chosen, and what no folder can do to them."""

import re

import pandas as pd
import pytest

from raybert.analysis import load_sweep
from raybert.analysis.report.cost import budget_curve, cost_to_reach, equal_costs, pareto
from raybert.analysis.results.cost_words import cost_lines
from tests.analysis.folders import make_spec, write_evaluations, write_plan, write_resolved, write_result
from tests.analysis.report.pages import LABEL, Found, page_of
from tests.analysis.results.test_cost_words import write_costs


def texts(table):
    return [[cell.text for cell in row.cells] for row in table.rows]


def sorts_by(table, column):
    return [row.cells[column].value for row in table.rows]


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    return load_sweep(write_costs(tmp_path_factory.mktemp("costs")))


@pytest.fixture(scope="module")
def budgets(tmp_path_factory):
    """Three budgets, in multiples of 2, of three strategies: their curves are straight in the logarithm."""
    folder = tmp_path_factory.mktemp("budgets")
    heights = {"random": (0.5, 0.6, 0.7), "el2n": (0.4, 0.6, 0.8)}
    specs = [
        make_spec(name, seed, budget, grid={"selection.budget": budget / 400})
        for name in heights
        for seed in range(3)
        for budget in (40, 80, 160)
    ]
    specs += [make_spec("all", seed, 400) for seed in range(3)]
    write_plan(folder, specs, ("no", "yes"))
    write_resolved(folder)
    for spec in specs:
        values = dict(zip((40, 80, 160), heights.get(spec["strategy"], ()), strict=False))
        own = 0.02 * spec["seed"] * (spec["strategy"] == "el2n")
        write_result(folder, spec, values.get(spec["budget"], 0.9) + own, examples_seen=10 * spec["budget"])
        write_evaluations(folder, spec, [0.4, 0.5], 10 * spec["budget"])
    return load_sweep(folder)


def test_the_front_has_the_cheapest_first_with_the_difference_that_makes_it_sure(sweep):
    table = pareto(sweep.pareto(), "accuracy", {})
    assert [head.title for head in table.columns][:4] == ["configuration", "forward passes", "test accuracy", "place"]
    assert texts(table) == [
        ["random", "1.20k", "61.0", "front by the means", "+10.0", "k_center"],
        ["k_center", "1.20k", "51.0", "behind by the means", "-10.0", "random"],
        ["el2n", "1.30k", "86.0", "front", "+25.0 [+0.2, +49.8]", "random"],
        ["all", "12.0k", "83.0", "behind by the means", "-3.0 [-27.8, +21.8]", "el2n"],
    ]
    assert sorts_by(table, 1) == [1200, 1200, 1300, 12000]
    seconds = pareto(sweep.pareto(), "accuracy", {}, "seconds")
    assert seconds.id == "table-pareto-seconds"
    assert {row[1] for row in texts(seconds)} == {"10.0"}


def test_what_it_takes_to_come_near_all_is_a_row_of_those_that_do(sweep):
    table = cost_to_reach(sweep.cost_to_reach, {})
    assert [head.title for head in table.columns[:5]] == [
        "configuration",
        "95 %: runs",
        *(f"95 %: {x}" for x in ("passes", "of all", "s")),
    ]
    assert texts(table) == [
        ["el2n", "3 of 3", "927", "9 % [8, 9]", "0.9", "0 of 3", "", "", ""],
        ["all", "3 of 3", "10.8k", "100 %", "11.2", "3 of 3", "11.8k", "100 %", "12.2"],
        ["k_center", "2 of 3", "~1.08k", "~10 %", "~1.1", "2 of 3", "~1.18k", "~10 %", "~1.2"],
    ]
    assert table.left_out == "Never there: random."
    assert sorts_by(table, 2) == pytest.approx([927.38, 10800, 1080], abs=0.01)
    assert cost_to_reach(sweep.cost_to_reach.iloc[:0], {}).rows == ()


def test_beside_several_configurations_of_all_each_is_named(sweep):
    one = sweep.cost_to_reach
    table = cost_to_reach(pd.concat([one, one.assign(full_configuration="all, lr=0.1")]), {})
    assert [row[:2] for row in texts(table)][:2] == [["el2n", "all"], ["el2n", "all, lr=0.1"]]
    assert table.left_out == "Never there: random (beside all); random (beside all, lr=0.1)."


def test_over_all_budgets_the_mean_height_of_a_straight_curve_is_its_middle(budgets):
    table = budget_curve(budgets, {})
    (best, other) = texts(table)
    # By hand: of 0.6, 0.62, 0.64 the t interval of the difference is 2.0 +- 4.3027 x 2 / sqrt(3), its p 0.2254 (df = 2).
    assert best == ["el2n", "40, 80, 160", "62.0 [56.9, 66.8]", "+2.0 [-3.0, +7.0]", "random", "0.225", "3"]
    assert other == ["random", "40, 80, 160", "60.0", "", "", "", "3"]


def test_one_budget_has_no_curve(sweep):
    assert budget_curve(sweep, {}).rows == ()


def test_at_equal_cost_what_has_no_budget_stands_beside_each(budgets):
    examples, seconds = equal_costs(budgets, {})
    assert (examples.id, seconds.id) == ("table-equal-examples", "table-equal-seconds")
    assert [head.title for head in examples.columns] == [
        "configuration",
        "budget of random",
        "1 x",
        "2 x",
        "3 x",
        "5 x",
        "10 x",
    ]
    own = {(row[0], row[1]): row[2:] for row in texts(examples)}
    # random costs 3 x 400 at budget 40; all, of which an evaluation is known after 3 x 2,000, has begun at 5 times that.
    assert own["all", "40"] == ["", "", "", "40.0", "50.0"]
    assert own["all", "160"] == ["", "40.0", "50.0", "50.0", "50.0"]


def test_the_section_is_next_to_the_comparison_and_begins_with_words(sweep):
    page = Found(page_of(sweep.folder))
    ids = re.findall(r'<h2 id="(\w+)">', page.html)
    assert ids[:3] == ["verdict", "comparison", "cost"]
    for line in cost_lines(sweep):
        assert line in page.words
    assert {"table-costs", "table-pareto-examples", "table-reach", "table-equal-examples"} <= set(page.rows)
    folded = page.html[page.html.index("Quality beside seconds") :]
    assert "table-pareto-seconds" in folded
    assert "table-equal-seconds" in folded


def test_planted_names_stay_text_in_every_table_of_cost(tmp_path):
    names = ("all", "random", LABEL, f"{'y' * 3000}\x00\u202e")
    found = Found(page_of(write_hostile(tmp_path, names)))
    assert found.open_tags == []
    for name in ("table-costs", "table-pareto-examples", "table-equal-examples", "table-curves"):
        assert LABEL in {row[0].removesuffix(", budget 40") for row in found.rows[name]}, name
    assert LABEL in found.words[found.words.index("Pareto front") :][:900]
    assert not set("\x00\u202e\x1b") & set(found.html)
    assert [tag for tag, _ in found.tags if tag == "script"] == ["script"]


def write_hostile(folder, names):
    specs = [
        make_spec(
            name,
            seed,
            400 if name == "all" else budget,
            trial_id=f"t{number}{budget}{seed}",
            grid={} if name == "all" else {"selection.budget": budget / 400},
        )
        for number, name in enumerate(names)
        for budget in ((40, 80) if name != "all" else (400,))
        for seed in range(3)
    ]
    write_plan(folder, specs, ("no", "yes"))
    write_resolved(folder)
    for spec in specs:
        write_result(folder, spec, 0.5 + 0.1 * (spec["strategy"] == LABEL) + spec["budget"] / 4000)
        write_evaluations(folder, spec, [0.5, 0.6])
    return folder
