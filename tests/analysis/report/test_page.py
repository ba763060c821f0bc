import json
import re

import pytest

from raybert.analysis import load_sweep
from raybert.analysis.report.page import standing
from raybert.sweeping.folder.outcome import Outcome
from tests.analysis.folders import make_spec, write_plan, write_resolved
from tests.analysis.report.pages import (
    IMAGE,
    LABEL,
    LINK,
    SCRIPT,
    Found,
    hash_of,
    page_of,
    planted_texts,
    write_planted,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_planted(tmp_path_factory.mktemp("planted"))


@pytest.fixture(scope="module")
def page(folder):
    return Found(page_of(folder, planted_texts()))


def test_the_page_is_whole_html(page):
    assert page.open_tags == []
    assert page.tags[0][0] == "html"
    assert page.tags[0][1] == {"lang": "en"}
    ids = page.attributes("id")
    assert len(ids) == len(set(ids))


def test_the_policy_knows_the_only_script_and_the_only_style_by_their_hashes(page):
    assert [len(blocks) for blocks in page.blocks.values()] == [1, 1]
    (script,), (style,) = page.blocks.values()
    assert page.policy() == (
        f"default-src 'none'; img-src data:; style-src {hash_of(style)}; script-src {hash_of(script)}; "
        "base-uri 'none'; form-action 'none'"
    )


def test_nothing_of_the_page_is_elsewhere(page):
    assert {value.partition(",")[0] for value in page.attributes("src")} <= {"data:image/png;base64"}
    assert {value for value in page.attributes("href") if not value.startswith("#")} == {"data:,"}
    assert "http" not in re.sub("http-equiv", "", page.html[: page.html.index("<main")])


def test_planted_markup_stays_text_wherever_it_stands(page):
    for planted in (SCRIPT, IMAGE, LINK):
        assert planted in page.words
    assert [tag for tag, _ in page.tags if tag in ("script", "iframe", "object", "embed", "form", "base")] == ["script"]
    handlers = [name for _, attributes in page.tags for name in attributes if name.startswith("on") or name == "style"]
    assert handlers == []
    assert LABEL in page.words
    title = page.words.partition("raybert report")[0]
    assert f"x{SCRIPT}: " in title


def test_sequences_of_terminals_and_turned_directions_are_shown_as_what_they_are(page):
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", page.html)
    assert r"\x1b[31mred" in page.words
    assert r"\u202egnp.exe" in page.words
    assert "geheim" not in page.html  # of an error; a password is one in a report, too


def test_pictures_tables_and_regions_have_names(page):
    ids = set(page.attributes("id"))
    assert set(page.attributes("aria-labelledby")) <= ids
    assert {value[1:] for value in page.attributes("href") if value.startswith("#")} <= ids
    for tag, attributes in page.tags:
        if tag == "th":
            assert attributes["scope"] in ("col", "row")
        if tag == "img":
            assert len(attributes["alt"]) > 20
        if "scroll" in str(attributes.get("class", "")).split():
            assert attributes["tabindex"] == "0"
            assert attributes.get("aria-label") or attributes.get("aria-labelledby")


def test_the_comparison_has_every_configuration_with_the_number_it_sorts_by(page):
    rows = page.rows["table-comparison"]
    assert rows[0][:3] == ["strategy", "budget", "seeds"]
    assert [row[0] for row in rows[1:]] == [LABEL, "all", "random", "k_center"]  # what has failed is last
    cells = [attributes for tag, attributes in page.tags if tag == "td" and attributes.get("data-v") == "81.0"]
    assert len(cells) >= 1


def test_names_may_break_after_an_underscore(page):
    assert "k_<wbr>center</span></span></th>" in page.html


def test_trials_say_how_they_stand(page):
    rows = page.rows["table-trials"]
    state = rows[0].index("state")
    states = [row[state] for row in rows[1:]]
    assert {state: states.count(state) for state in set(states)} == {"complete": 9, "failed": 1, "pending": 1}
    test = rows[0].index("test accuracy")
    assert [row[test] for row in rows[1:4]] == ["70.0", "71.0", "72.0"]


def test_a_failure_says_what_it_was_and_how_to_see_it_again(page, folder):
    assert "1 trial: error" in page.words
    assert f"raybert reproduce {folder} f0" in page.words


def test_examples_show_label_score_and_text_of_what_is_kept_and_dropped(page):
    tables = {rows[1][0]: rows for name, rows in page.rows.items() if name.startswith("table-examples")}
    rows = page.rows["table-examples-2"]
    assert rows[0] == ["part", "score", "label", "text", "length", "kept by", "example"]
    assert rows[1][:3] == ["hardest kept", "40", f"ham {IMAGE}"]
    assert rows[1][3].endswith("number 0")
    assert rows[1][4:] == ["5", "2 of 2", "e0"]
    assert [row[0] for row in rows[1::5]] == ["hardest kept", "easiest kept", "hardest dropped", "easiest dropped"]
    assert len(tables) >= 2


def test_without_texts_the_page_says_why(folder, tmp_path):
    found = Found(page_of(folder))
    assert "Their texts are not in this folder" in found.words
    other = write_planted(tmp_path / "other", seeds=1)
    write_resolved(other, sweep={"strategies": ["all"], "report": {"texts": False}})
    found = Found(page_of(other, planted_texts()))
    assert "as `sweep.report.texts` of the sweep file says" in found.words
    assert "number 0" not in found.words


def test_the_page_says_how_the_sweep_stands(folder, tmp_path):
    words = standing(load_sweep(folder)).words
    assert words == (
        "Interrupted: 9 of 11 trials are complete, 1 failed, 1 have not finished. The same sweep command goes on."
    )
    done = write_planted(tmp_path / "done", seeds=1)
    plan = json.loads((done / "plan.json").read_text())
    trials = [trial for trial in plan["trials"] if trial["trial_id"] not in ("f0", "f1")]
    (done / "plan.json").write_text(json.dumps(plan | {"trials": trials}))
    assert standing(load_sweep(done)).words == "Finished: 3 of 3 trials are complete."


def test_a_sweep_that_has_only_begun_has_a_page(tmp_path):
    folder = write_plan(tmp_path, [make_spec("random"), make_spec("el2n")])
    found = Found(page_of(folder))
    assert "Interrupted: 0 of 2 trials are complete, 2 have not finished." in found.words
    assert [row[0] for row in found.rows["table-trials"]] == ["strategy", "random", "el2n"]
    assert "table-comparison" not in found.rows


def test_an_outcome_that_leaves_trials_is_an_interruption(folder):
    from dataclasses import replace

    sweep = replace(load_sweep(folder), outcome=Outcome(folder, 9, 1, 4, ()))
    assert "4 have not finished" in standing(sweep).words


def test_the_page_stays_small_whatever_is_in_the_folder(folder, tmp_path):
    assert len(page_of(folder).encode()) < 400_000
