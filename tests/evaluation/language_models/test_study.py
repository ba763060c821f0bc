"""A study's folder read back, what is said of it, its picture and its page; and one command for a whole file."""

import json
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import raybert
from raybert.errors import ConfigError, ExitCode, SweepError
from raybert.evaluation.language_models.study import load_study
from raybert.evaluation.language_models.study_claims import study_claims
from raybert.evaluation.language_models.study_page import standing
from raybert.evaluation.language_models.study_plots import draw_training_curves
from raybert.files import read_json
from raybert.terminal.pretraining import print_pretrained
from tests.analysis.report.pages import Found
from tests.e2e.commands import ROOT, run
from tests.evaluation.language_models.studies import MATRIX, PLANTED, cross_evaluation, probes, write_model, write_study
from tests.pretraining.packed import documents

pytestmark = pytest.mark.usefixtures("no_pixels")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, no_pixels):
    return write_study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def found(folder):
    return raybert.report_study(folder)


@pytest.fixture(scope="module")
def page(found):
    return Found(found.report.read_text(encoding="utf-8"))


def test_a_study_is_read_back_as_its_commands_wrote_it(found):
    pd.testing.assert_frame_equal(
        found.cross_evaluation.perplexities, cross_evaluation(MATRIX).perplexities, check_dtype=False
    )
    assert (found.cross_evaluation.unit, found.cross_evaluation.notes) == ("piece", ("north: few groups",))
    pd.testing.assert_frame_equal(found.probes.groups, probes().groups, check_dtype=False)
    assert found.models["state"].tolist() == ["complete"] * 4
    assert found.models["validation_perplexity"].tolist() == pytest.approx([100 / 3, 100 / 3 + 10] * 2)
    assert len(found.evaluations) == 12


def test_what_is_not_finished_or_not_measured_says_so(tmp_path):
    write_study(tmp_path, trained=("north",), measured=False)
    write_model(tmp_path / "models" / "south-s0", "south", 0, finished=False)
    study = raybert.report_study(tmp_path)
    assert study.models["state"].tolist() == ["complete", "complete", "interrupted", "missing"]
    assert (study.cross_evaluation, study.probes) == (None, None)
    assert standing(study).words == "Not finished: 2 of 4 models are complete. The same command goes on."
    write_model(tmp_path / "models" / "south-s1", "south", 1)
    write_model(tmp_path / "models" / "south-s0x", "south", 0)  # of no seed: not a model
    (tmp_path / "models" / "south-s0" / "training_summary.json").write_text(
        (tmp_path / "models" / "south-s1" / "training_summary.json").read_text()
    )
    study = load_study(tmp_path)
    assert standing(study).words == "Trained: 4 of 4 models are complete; they are not cross-evaluated and probed yet."
    assert "Nothing has been compared yet." in (tmp_path / "report.html").read_text()


def test_other_folders_are_none_of_a_study(tmp_path):
    (tmp_path / "resolved.yaml").write_text("data: {source: docstrings}")
    with pytest.raises(SweepError, match="must be the folder of a pretraining file"):
        raybert.report_study(tmp_path)


@pytest.mark.parametrize(
    ("matrix", "p", "headline"),
    [
        (MATRIX, 0.001, "own corpus, significantly so against every other model."),
        (MATRIX, 0.2, "own corpus; on 0 of 2 corpora significantly so against every other model."),
        (
            MATRIX | {("north", "south"): 39.0},
            0.001,
            "The least surprised model is not always the corpus's own: on south it is north.",
        ),
    ],
)
def test_the_verdict_is_whether_the_diagonal_is_lowest_and_settled(found, matrix, p, headline):
    said = study_claims(replace(found, cross_evaluation=cross_evaluation(matrix, p)))
    assert said[0].endswith(headline)


def test_findings_are_those_of_the_tables(found):
    _, sentences, scope = study_claims(found)
    assert sentences == (
        "north is 3.00 times (2.00 to 4.00) as surprised by south as by north.",
        "south is 3.00 times (2.00 to 4.00) as surprised by south as by north.",
        "place: 1 of 1 pairs of models differ (north prefers here more than south).",
    )
    assert "intervals over groups of documents and seeds" in scope


def test_curves_are_means_over_seeds_with_a_band_from_the_lowest_to_the_highest(found):
    perplexity, accuracy = draw_training_curves(found.evaluations).axes
    line = next(line for line in perplexity.lines if len(line.get_xdata()) == 3)
    np.testing.assert_allclose(line.get_xdata(), [1000, 2000, 3000])
    np.testing.assert_allclose(line.get_ydata(), [105, 55, 100 / 3 + 5])
    corners = perplexity.collections[0].get_paths()[0].vertices
    assert {(1000, 100), (1000, 110), (2000, 50), (2000, 60)} <= {tuple(corner) for corner in corners}
    np.testing.assert_allclose(accuracy.lines[0].get_ydata(), [0.1, 0.2, 0.3])


def test_the_page_is_whole_and_loads_nothing(page):
    assert page.open_tags == []
    ids = page.attributes("id")
    assert len(ids) == len(set(ids))
    assert {value.partition(",")[0] for value in page.attributes("src")} <= {"data:image/png;base64"}
    assert "http" not in re.sub("http-equiv", "", page.html[: page.html.index("<main")])
    for tag, attributes in page.tags:
        if tag == "img":
            assert len(attributes["alt"]) > 20
    headings = ["Cross-evaluation", "Probes", "Training", "Corpora", "Configuration", "How to reproduce"]
    assert [word in page.words for word in headings] == [True] * 6


def test_planted_markup_stays_text(page):
    assert page.words.count(PLANTED) >= 3  # a template, a source, a note
    assert [tag for tag, _ in page.tags].count("script") == 1


def test_tables_of_the_page_have_the_numbers_of_the_study(page):
    assert page.rows["table-matrix-0"] == [
        ["model", "north", "south"],
        ["north", "20.0 (18.0 to 22.0)", "60.0 (54.0 to 66.0)"],
        ["south", "50.0 (45.0 to 55.0)", "40.0 (36.0 to 44.0)"],
    ]
    assert page.rows["table-domains"][1] == [
        "north",
        "north",
        "20.0",
        "60.0",
        "3.00 (2.00 to 4.00)",
        *("south / north", "3.00 (2.00 to 4.00)"),
    ]
    assert page.rows["table-differences"][1] == ["north", "north", "south", "0.40 (0.36 to 0.44)", "0.001"]
    assert page.rows["table-probe-0"][1] == ["north", "100% (60% to 100%)*", "0% (0% to 40%)*"]
    assert page.rows["table-predictions"][1][2] == "ice 50%, ice 25%"
    assert [row[:3] for row in page.rows["table-models"][1:3]] == [
        ["north", "0", "complete"],
        ["north", "1", "complete"],
    ]
    assert page.rows["table-corpora"][1] == ["north", *["10", "1,234"] * 3]


def test_the_command_prints_a_study_and_its_json(folder, found):
    done = run("report", folder)
    assert done.code == 0, done.said
    assert f"report: {folder / 'report.html'}" in done.out.replace("\n", "")
    printed = json.loads(run("report", folder, "--json").out)
    assert (printed["document"], printed["num_left"], len(printed["models"])) == ("study", 0, 4)
    assert printed["perplexities"][0]["piece_perplexity"] == 20.0
    for option in ("--trust", "--watch"):
        refused = run("report", folder, option)
        assert refused.code == ExitCode.BAD_INPUT
        assert f"{option}: must be left out, the folder is of a pretraining file" in " ".join(refused.err.split())


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("north", "south")):
        pd.DataFrame({"text": documents(80, number)}).to_csv(f"{name}.csv", index=False)
    return {
        "name": "study",
        "corpora": {"north": "north.csv", "south": "south.csv"},
        "tokenizer": {"vocabulary": 120},
        "model": {"kind": "bert", "config": {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 48}},
        "pretrain": {"length": {"steps": 3}, "max_length": 32, "batch_size": 8, "precision": "fp32"},
        "crosseval": {"resamples": 100, "pseudo_perplexity": 0},
        "resources": {"concurrent_trials": 1},  # in this process: Ray takes seconds to start
    }


def test_templates_and_words_are_looked_at_before_anything_is_trained(file, tmp_path):
    file["probes"] = {"p": {"templates": "nowhere.txt", "groups": {"a": ["x"], "b": ["y"]}}}
    with pytest.raises(ConfigError, match=r"probes\.p\.templates: 'nowhere\.txt' cannot be read"):
        raybert.study(file)
    assert not (tmp_path / "runs").exists()


@pytest.mark.long
def test_one_command_trains_compares_and_writes_a_page_and_goes_on(file, tmp_path):
    words = documents(3, 0)[0].split()
    file["probes"] = {"p": {"templates": [f"{words[0]} [MASK]"], "groups": {"a": [words[1]], "b": [words[2]]}}}
    (tmp_path / "file.yaml").write_text(json.dumps(file))
    done = run("study", "file.yaml")
    assert done.code == ExitCode.DONE, done.said
    assert "Perplexity of masked words per piece" in done.out
    assert (tmp_path / "runs/study/report.html").is_file()
    said = []
    again = raybert.study(file, told=said.append)
    assert [model.is_new for model in again.models.models] == [False, False]
    assert said[:2] == ["measured before: north, seed 0", "measured before: south, seed 0"]
    assert again.results.probes is not None
    assert len(again.results.cross_evaluation.documents) > 0


@pytest.mark.long
def test_the_file_of_three_corpora_runs_with_sources_by_set(file, tmp_path):
    """Shrunk; two tables of words stand for the corpora, and the probe's words are among theirs."""
    template, words = "we spoke about it", ["today", "now", "then", "here", "there", "everywhere"]
    for number, name in enumerate(("north", "south")):
        texts = [f"{text} {template} {words[n % 6]}" for n, text in enumerate(documents(120, number))]
        pd.DataFrame({"speech": texts}).to_csv(f"{name}.csv", index=False)
    sources = {
        f"corpora.{key}.{part}": value
        for key, name in (("a", "north"), ("b", "south"))
        for part, value in (("source", f"{name}.csv"), ("text", "speech"))
    }
    small = {"pretrain.length": {"steps": 2}, "seeds": 1, "tokenizer.vocabulary": 150, "crosseval.resamples": 100}
    found = raybert.study(ROOT / "sweeps" / "three_corpora.yaml", output="out", overrides=sources | small)
    assert [model.name for model in found.models.models] == ["a-s0", "b-s0", "mixed-s0"]
    assert len(found.results.cross_evaluation.perplexities) == 9
    assert found.results.probes.groups["prompts"].unique().tolist() == [8]
    words_of_train = {summary["corpora"]["train"]["words"] for summary in found.results.summaries.values()}
    assert max(words_of_train) - min(words_of_train) < 30
    assert (tmp_path / "out" / "report.html").is_file()


def test_a_note_that_several_models_share_is_printed_once(folder, capsys):
    models = tuple(
        SimpleNamespace(name=name, summary=read_json(folder / "models" / name / "training_summary.json"))
        for name in ("north-s0", "north-s1")
    )
    print_pretrained(SimpleNamespace(models=models, failures={}, num_left=0, num_wanted=2, folder=folder))
    said = capsys.readouterr()
    assert (said.out + said.err).count(f"note: north: {PLANTED}") == 1
