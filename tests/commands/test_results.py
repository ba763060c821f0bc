"""`raybert results`: one comparison in every form, of a folder that it leaves as it is."""

import csv
import io

import pytest

from raybert import cli_results
from raybert.analysis import load_sweep
from raybert.analysis.results.pasted import CSV_TABLES
from tests.analysis.folders import write_grid_sweep
from tests.e2e.commands import run

pytestmark = [pytest.mark.slow, pytest.mark.long]
VALUES = {"random": (0.60, 0.62, 0.61), "el2n": (0.70, 0.71, 0.73), "all": (0.80, 0.82, 0.81), "=1+1|*x*": (0.5,) * 3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("results") / "run"
    return write_grid_sweep(place, list(VALUES), [{}], lambda name, _: VALUES[name])


def test_the_table_is_that_of_the_sweep_and_nothing_is_written(folder):
    before = sorted(path for path in folder.rglob("*"))
    done = run("results", folder)
    assert done.code == 0, done.said
    (line,) = [line for line in done.out.splitlines() if line.startswith("el2n")]
    assert line.split()[:4] == ["el2n", "40", "3", "71.3"]
    assert sorted(path for path in folder.rglob("*")) == before


def test_csv_has_the_columns_and_rows_of_a_table_and_no_formula(folder):
    sweep = load_sweep(folder)
    assert set(cli_results._TABLES) == set(CSV_TABLES)
    for name, frame in (("comparisons", sweep.comparisons), ("trials", sweep.trials)):
        done = run("results", folder, "--format", "csv", "--table", name)
        rows = list(csv.DictReader(io.StringIO(done.out)))
        assert list(rows[0]) == list(frame.columns)
        assert len(rows) == len(frame)
    assert {row["strategy"] for row in rows} == {"random", "el2n", "all", "'=1+1|*x*"}
    losses = csv.DictReader(io.StringIO(run("results", folder, "--format", "csv", "--metric", "loss").out))
    assert {row["metric"] for row in losses} == {"loss"}


def test_latex_has_means_intervals_marks_and_a_caption(folder):
    text = run("results", folder, "--format", "latex").out
    assert r"\usepackage{booktabs}" in text
    (row,) = [line for line in text.splitlines() if line.strip().startswith("el2n")]
    cells = [cell.strip() for cell in row.removesuffix(r"\\").split("&")]
    shown = {cells[0]: cells for cells in ([*r.cells] for r in load_sweep(folder).comparison().rows)}["el2n"]
    assert cells[:3] == list(shown[:3])
    assert cells[3] == shown[3] + r"\rlap{$^{b}$}"  # its letter: all three differ
    assert cells[4] == shown[5].removesuffix(" +") + r"\rlap{$^{+}$}"  # a page has no room for the second metric
    assert r"=1+1\textbar{}{*}x{*} &" in text
    caption = next(line for line in text.splitlines() if r"\caption" in line)
    assert "sample: test accuracy in percent, mean over 3 seeds with its 95 \\% interval." in caption
    assert "+: better than random" in caption
    assert "Holm's correction" in caption
    assert "Holds for: " in caption


def test_markdown_is_a_table_with_what_is_to_say_below_it(folder):
    lines = run("results", folder, "--format", "markdown", "--metric", "macro_f1").out.splitlines()
    assert lines[0].startswith("| strategy | budget | seeds | macro F1 | accuracy | vs random")
    assert lines[1].startswith("| --- | ---: | ---: |")
    names = [line.split(" | ")[0] for line in lines[2:6]]
    assert names == ["| all", "| el2n", "| random", "| =1+1\\|\\*x\\*"]
    assert "- sample: test macro F1 in percent, mean over 3 seeds with its 95 % interval." in lines
