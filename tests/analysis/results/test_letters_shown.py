"""Where letters of all pairs stand: in the table of a page, raised in LaTeX, and not in a narrow terminal."""

import io

import pytest
from rich.console import Console

from raybert.analysis import load_sweep
from raybert.analysis.results.pasted import results_latex, results_markdown
from raybert.terminal.comparison import summary_table
from tests.analysis.folders import write_grid_sweep

SAID = "Configurations that share no letter differ (t-tests of all pairs, with Holm's correction)."
RUNS = {
    "all": [0.900, 0.912, 0.905],
    "random": [0.700, 0.712, 0.704],
    "el2n": [0.705, 0.701, 0.712],
}


@pytest.fixture
def sweep(tmp_path):
    return load_sweep(write_grid_sweep(tmp_path, list(RUNS), [{}], lambda name, _: RUNS[name]))


def printed(sweep, width):
    console = Console(file=io.StringIO(), width=width)
    console.print(summary_table(sweep))
    return console.file.getvalue()


def test_the_table_has_them_beside_the_difference(sweep):
    table = sweep.comparison()
    place = table.columns.index("letters")
    assert table.columns[place - 1].startswith("vs random")
    assert {row.cells[0]: row.cells[place] for row in table.rows} == {"all": "a", "random": "b", "el2n": "b"}
    assert SAID in str(sweep)
    assert SAID in results_markdown(sweep)


def test_a_narrow_terminal_leaves_them_and_what_is_said_of_them_out(sweep):
    assert "letters" in printed(sweep, 200)
    assert SAID in printed(sweep, 200)
    assert "letter" not in printed(sweep, 60)


def test_latex_raises_them_behind_the_metric(sweep):
    text = results_latex(sweep)
    assert "letters &" not in text
    assert SAID in text.replace("\n", " ")
    rows = {line.split("&")[0].strip(): line for line in text.splitlines() if " & " in line}
    assert r"]\rlap{$^{a}$} &" in rows["all"]
    assert r"]\rlap{$^{b}$} &" in rows["el2n"]


def test_where_no_pair_differs_there_are_none(tmp_path):
    runs = {"random": [0.70, 0.72, 0.71], "el2n": [0.71, 0.70, 0.72]}
    sweep = load_sweep(write_grid_sweep(tmp_path, list(runs), [{}], lambda name, _: runs[name]))
    assert "letters" not in sweep.comparison().columns
    assert sweep.letters()["letters"].tolist() == ["a", "a"]
    assert "letter" not in str(sweep)
