"""How the results of a sweep show themselves: in a console, and in a notebook."""

import base64
import io
import re
import xml.etree.ElementTree as ElementTree

import pytest
from rich.console import Console

from raybert.analysis import load_sweep, publish_results
from raybert.terminal.comparison import summary_table
from tests.analysis.folders import make_spec, write_error, write_plan, write_result, write_sample_sweep

pytestmark = pytest.mark.slow


def rows_of(html: str) -> list[list[str]]:
    """The cells of every row of the first table; also proves that the HTML is well-formed."""
    table = ElementTree.fromstring(html.replace("<br>", "<br/>")).find(".//table")
    return [["".join(cell.itertext()) for cell in row] for row in table.iter("tr")]


def closed(html: str) -> str:
    return re.sub(r"(<img [^>]*)>", r"\1/>", html)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    return publish_results(
        write_sample_sweep(tmp_path_factory.mktemp("sample") / "run", ("random", "el2n", "k_center"))
    )


def test_terminal_text_and_notebook_show_the_same_table(sweep):
    html = rows_of(closed(sweep._repr_html_()))
    heading = ["strategy", "budget", "seeds", "accuracy", "macro F1", "vs random [95 %]"]
    heading += ["of all", "trained", "scored", "s"]
    assert html[0] == heading
    strategies = [row[0] for row in html[1:]]
    assert sorted(strategies) == sorted(["proxy", "all", "infobatch", "loss_threshold", "random", "el2n", "k_center"])
    console = Console(file=io.StringIO(), width=160)
    console.print(summary_table(sweep))
    printed = console.file.getvalue().splitlines()
    text = str(sweep).splitlines()
    for number, cells in enumerate(html):
        words = " ".join(cells).split()
        assert printed[number].split() == words
        assert text[number + 1].split() == words
    width = len(text[1])
    assert {len(line) for line in text[2:9]} <= {width, *range(width - 2, width)}  # columns stand below each other


def test_a_notebook_shows_the_plot_and_the_notes(sweep):
    html = sweep._repr_html_()
    (image,) = re.findall(r"src='data:image/png;base64,([^']+)'", html)
    assert base64.b64decode(image) == (sweep.folder / "plots" / "accuracy.png").read_bytes()
    for note in (*sweep.notes, *sweep.selection_notes):
        assert f"note: {note}".replace("'", "&#x27;") in html
    assert "Holm" in html


def test_one_line_says_what_it_is(sweep):
    assert repr(sweep) == f"<Sweep 'sample' in {sweep.folder}: 24 trials: 24 complete>"


def test_what_users_wrote_is_escaped(tmp_path):
    specs = [make_spec("<b>mine</b>", trial_id="a"), make_spec("[red]x[/red]", trial_id="b")]
    folder = write_plan(tmp_path / "<i>run</i>", specs)
    write_result(folder, specs[0], 0.8)
    write_error(folder, specs[1], "ValueError: <script>alert(1)</script>")
    sweep = load_sweep(folder)
    html = sweep._repr_html_()
    assert "<script>" not in html
    assert "<b>mine" not in html
    assert "<i>run" not in html
    assert rows_of(closed(html))[1][0] == "<b>mine</b>"
    assert "failed (1 trial): ValueError: &lt;script&gt;" in html
    console = Console(file=io.StringIO(), width=160)
    console.print(summary_table(sweep))
    assert "[red]x[/red]" in console.file.getvalue()


def test_a_sweep_without_a_finished_trial_shows_itself(tmp_path):
    sweep = load_sweep(write_plan(tmp_path, [make_spec("random")]))
    assert repr(sweep) == f"<Sweep 'sample' in {tmp_path}: 1 trial: 1 pending>"
    assert "none of 1 trials is complete" in str(sweep)
    assert "data:image" not in sweep._repr_html_()
