"""The page in a real browser: it sorts, filters, is accessible, asks for nothing, and is read without scripts too."""

import importlib.util
from pathlib import Path

import pytest

from raybert.analysis import publish_results
from raybert.evaluation.language_models.publish_study import publish_study
from tests.analysis.folders import write_sample_sweep
from tests.analysis.report.pages import page_of, planted_texts, write_planted
from tests.browser import CHROMIUM, chromium
from tests.evaluation.language_models.studies import write_study

pytestmark = [
    pytest.mark.long,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium: apt-get install chromium"),
]
AXE = importlib.util.find_spec("axe_core_python")
SIZES = {"phone": {"width": 360, "height": 740}, "wide": {"width": 1280}}


@pytest.fixture(scope="module")
def tab():
    with chromium() as browser:
        yield browser.page()


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    folder = write_planted(tmp_path_factory.mktemp("planted"))
    path = folder / "report.html"
    path.write_text(page_of(folder, planted_texts()), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A page with plots, of two budgets."""
    folder = write_sample_sweep(tmp_path_factory.mktemp("whole"), ("random", "el2n", "k_center"), budgets=(20, 40))
    publish_results(folder)
    return folder / "report.html"


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """The page of a pretraining study."""
    folder = write_study(tmp_path_factory.mktemp("study"), seeds=2)
    publish_study(folder)
    return folder / "report.html"


@pytest.fixture(params=["planted", "whole", "study"])
def path(request):
    return request.getfixturevalue(request.param)


def column(tab, table, number):
    script = f"[...document.querySelector('#{table}').closest('table').tBodies[0].rows].map(r => r.cells[{number}].textContent)"
    return tab.run(script)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_the_page_fits_is_quiet_and_asks_for_nothing(tab, path, size, dark, tmp_path):
    tab.look(**SIZES[size], dark=dark)
    tab.open(path)
    assert tab.problems == []
    assert [url for url in tab.requests if not url.startswith("data:")] == []
    assert tab.run("document.documentElement.scrollWidth") <= SIZES[size]["width"]
    assert tab.run("[...document.images].every(i => i.naturalWidth > 0)")
    picture = tab.picture(whole=True)
    assert picture.startswith(b"\x89PNG")
    Path(tmp_path / f"{size}.png").write_bytes(picture)  # to be looked at


@pytest.mark.skipif(AXE is None, reason='there is no axe-core: pip install -e ".[dev]"')
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_axe_finds_nothing_to_object_to(tab, path, size, dark):
    tab.look(**SIZES[size], dark=dark)
    tab.open(path)
    tab.run("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    tab.run((Path(AXE.origin).parent / "axe.min.js").read_text(encoding="utf-8") + "; 0")
    found = tab.run(
        "axe.run(document).then(r => ({bad: r.violations.map(v => `${v.id}: ${v.nodes[0].html}`), good: r.passes.map(p => p.id)}))"
    )
    assert found["bad"] == []
    assert {"color-contrast", "image-alt", "scrollable-region-focusable", "th-has-data-cells"} - set(found["good"]) <= (
        {"image-alt"} if "planted" in path.as_posix() else set()
    )


def test_a_table_sorts_by_a_click_and_says_so(tab, planted):
    tab.look()
    tab.open(planted)
    head = "document.querySelector('#table-trials').closest('table').tHead.rows[0].cells"
    place = column_of(tab, head, "test accuracy")
    tab.run(f"{head}[{place}].querySelector('button').click()")
    assert tab.run(f"{head}[{place}].getAttribute('aria-sort')") == "descending"
    values = column(tab, "table-trials", place)
    assert values == ["82.0", "81.0", "80.0", "72.0", "72.0", "71.0", "71.0", "70.0", "70.0", "", ""]
    tab.run(f"{head}[{place}].querySelector('button').click()")
    assert tab.run(f"{head}[{place}].getAttribute('aria-sort')") == "ascending"
    assert column(tab, "table-trials", place) == [*reversed(values[:9]), "", ""]
    tab.run(f"{head}[0].querySelector('button').click()")
    assert tab.run(f"[...{head}].filter(h => h.hasAttribute('aria-sort')).length") == 1


def column_of(tab, head, title):
    return tab.run(f"[...{head}].findIndex(h => h.textContent === '{title}')")


def test_a_table_sorts_from_the_keyboard(tab, planted):
    tab.look()
    tab.open(planted)
    button = "document.querySelector('#table-trials').closest('table').tHead.rows[0].cells[1].querySelector('button')"
    tab.run(f"{button}.focus()")
    tab.press("Enter")
    assert column(tab, "table-trials", 1)[:3] == ["40", "40", "40"]
    tab.press("Tab")
    assert tab.run("document.activeElement.closest('th').cellIndex") == 2


def test_a_filter_leaves_the_rows_that_hold_all_words_and_counts_them(tab, planted):
    tab.look()
    tab.open(planted)
    tools = "document.querySelector('[aria-label=\"Find trials\"]')"
    tab.run(f"{tools}.querySelector('input').focus()")
    for letter in "el2n":
        tab.press(letter)
    shown = "[...document.querySelectorAll('#ran ~ * tr[data-status]')].filter(r => !r.hidden).length"
    assert tab.run(f"{tools}.querySelector('output').textContent") == "3 of 11 rows"
    assert tab.run(shown) == 3
    tab.run(
        f"{tools}.querySelector('input').value = ''; {tools}.querySelector('select').value = 'failed';"
        f"{tools}.querySelector('select').dispatchEvent(new Event('input', {{bubbles: true}}))"
    )
    assert tab.run(f"{tools}.querySelector('output').textContent") == "1 of 11 rows"


def test_the_browser_of_examples_finds_texts_and_opens_what_holds_them(tab, planted):
    tab.look()
    tab.open(planted)
    groups = "[...document.querySelectorAll('#example-groups details')].filter(d => d.open && !d.hidden).length"
    assert tab.run(groups) == 1
    tools = "document.querySelector('[aria-label=\"Find examples\"]')"
    tab.run(
        f"{tools}.querySelector('input').value = 'number 39';"
        f"{tools}.querySelector('input').dispatchEvent(new Event('input', {{bubbles: true}}))"
    )
    assert tab.run(groups) >= 1
    rows = tab.run(
        "[...document.querySelectorAll('#example-groups tbody tr')].filter(r => !r.hidden).every("
        "r => r.textContent.includes('number') && r.textContent.includes('39'))"
    )
    assert rows


def test_planted_scripts_do_not_run_even_where_markup_would_get_through(tab, planted, tmp_path):
    tab.open(planted)
    tab.run("window.hit = 0; document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.hit = 1\">')")
    tab.run("new Promise(done => setTimeout(done, 300))")
    assert tab.run("window.hit") == 0
    assert any("Content Security Policy" in problem for problem in tab.problems)


def test_without_scripts_everything_is_there(tab, planted):
    tab.look()
    tab.open(planted, scripts=False)
    words = tab.send("DOM.getOuterHTML", nodeId=tab.send("DOM.getDocument")["root"]["nodeId"])["outerHTML"]
    assert "<thead" in words
    assert 'class="tools"' not in words  # boxes that would do nothing
    assert "<button" not in words
    tab.open(planted)


def test_the_page_prints(tab, whole):
    tab.look()
    tab.open(whole)
    printed = tab.printed()
    assert printed.startswith(b"%PDF")
    tab.look(media="print", width=800)
    assert tab.run("document.documentElement.scrollWidth") <= 800
    assert tab.run("getComputedStyle(document.querySelector('nav')).display") == "none"
    assert tab.run("getComputedStyle(document.querySelector('.scroll')).overflow") == "visible"
