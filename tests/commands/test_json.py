"""`--json`: one document on standard output and nothing else, with declared keys; exit codes as without it."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from raybert.analysis import load_sweep
from raybert.commands import describe
from raybert.commands.document import FORMAT, as_json
from raybert.commands.documents import DOCUMENTS, SCORES
from raybert.commands.trackers import Tracked
from raybert.evaluation.explain_tokens import TokenExplanation
from raybert.selection.store import ScoreStore
from raybert.sweeping.folder.outcome import Outcome
from raybert.tables import COMPARISONS, SUMMARY
from raybert.tables.evaluation import ATTENDED
from tests.analysis.folders import make_spec, write_error, write_plan, write_result
from tests.e2e.commands import FILE, SHRUNK_OPTIONS, run, sweep

pytestmark = pytest.mark.slow
KEYS = {document.name: ["document", "format", *(key.name for key in document.keys)] for document in DOCUMENTS}


def document_of(*arguments, code=0):
    """What a command prints with `--json`, which is all that it prints."""
    done = run(*arguments, "--json")
    assert done.code == code, done.said
    found = json.loads(done.out, parse_constant=lambda constant: pytest.fail(f"{constant} is no JSON"))
    assert list(found) == KEYS[found["document"]]
    assert found["format"] == FORMAT
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two strategies of three trials; one has failed, one has not begun, and a label is hostile."""
    place = tmp_path_factory.mktemp("json") / "run"
    specs = [make_spec(name, seed) for name in ("random", "el2n") for seed in range(3)]
    write_plan(place, specs)
    for spec, accuracy in zip(specs[:4], (0.6, 0.62, 0.61, 0.7), strict=True):
        write_result(place, spec, accuracy)
    write_error(place, specs[4], 'ValueError: "password": "hunter2", \x1b[2J')
    return place


def test_results_have_the_rows_of_the_tables_with_null_for_nan(folder):
    found = document_of("results", folder)
    assert (found["name"], found["metric"], found["folder"]) == ("sample", "accuracy", str(folder))
    assert found["counts"] == {"complete": 4, "failed": 1, "pending": 1}
    rows = {row["strategy"]: row for row in found["summary"]}
    assert list(rows["el2n"]) == SUMMARY.order()
    assert rows["random"]["test_accuracy_mean"] == pytest.approx(0.61)
    assert rows["el2n"]["test_accuracy_low"] is None
    assert [list(row) for row in found["comparisons"]] == [COMPARISONS.order()]
    assert found["comparisons"][0]["difference"] == pytest.approx(0.1)
    assert found["best"]["strategy"] == load_sweep(folder).best()["strategy"]
    assert found["claims"] == as_json(load_sweep(folder).claims())
    assert [error["trials"] for error in found["errors"]] == [["el2n-40-1"]]
    assert "1 of 6 trials failed; it is left out of all means" in found["notes"]


@pytest.mark.long
def test_another_metric_and_the_same_by_format(folder):
    found = document_of("results", folder, "--metric", "loss")
    assert found["metric"] == "loss"
    assert found["comparisons"][0]["difference"] == pytest.approx(-0.1)
    assert json.loads(run("results", folder, "--format", "json").out) == document_of("results", folder)


@pytest.mark.long
def test_what_acts_or_is_secret_stands_in_no_document(folder):
    done = run("results", folder, "--json")
    assert "\x1b" not in done.out
    assert "hunter2" not in done.out
    assert "***" in json.loads(done.out)["errors"][0]["message"]


def test_the_status_of_a_sweep(folder):
    found = document_of("status", folder)
    assert found["strategies"] == {"random": {"complete": 3}, "el2n": {"complete": 1, "failed": 1, "pending": 1}}
    assert (found["owner"], found["running"]) == (None, [])


def test_lists_of_what_there_is(tmp_path):
    strategies = {row["name"]: row for row in document_of("ls", "strategies")["strategies"]}
    assert strategies["el2n"]["summary"]
    signals = {row["name"]: row for row in document_of("ls", "signals")["signals"]}
    assert signals["probs"]["dtype"] == "float32"
    key = "ab" * 10
    (tmp_path / key).mkdir()
    (tmp_path / key / "identity.json").write_text(json.dumps({"scorer": "probs"}))
    found = document_of("scores", "ls", "--store", tmp_path)
    assert found["folder"] == str(tmp_path)
    assert [(row["key"], row["identity"], row["completion"]) for row in found["signals"]] == [
        (key, {"scorer": "probs"}, None)
    ]
    assert found == json.loads(
        json.dumps(SCORES.of(**{name: found[name] for name in ("folder", "size_bytes", "signals")}))
    )
    assert len(list(ScoreStore(tmp_path).entries())) == 1


def test_signals_that_are_removed(tmp_path):
    for key in ("ab" * 10, "cd" * 10):
        (tmp_path / key).mkdir()
        (tmp_path / key / "identity.json").write_text(json.dumps({"scorer": "probs"}))
    found = document_of("scores", "rm", "ab", "--store", tmp_path)
    assert [row["key"] for row in found["removed"]] == ["ab" * 10]
    assert found["freed_bytes"] == len('{"scorer": "probs"}')
    assert [path.name for path in tmp_path.iterdir()] == ["cd" * 10]


def test_a_cache_that_is_cleared(tmp_path, monkeypatch):
    monkeypatch.setenv("RAYBERT_CACHE", str(tmp_path))
    (tmp_path / "docstrings").mkdir()
    (tmp_path / "docstrings" / "corpus").write_text("abc")
    assert document_of("cache", "clear", "docstrings")["parts"] == [
        {"name": "docstrings", "num_removed": 1, "num_in_use": 0, "freed_bytes": 3}
    ]


def test_logs_are_those_that_are_printed_without_it(folder):
    found = document_of("logs", folder)
    assert found["why"] == "nothing is at work; 1 run failed"
    (trial,) = found["trials"]
    assert (trial["trial_id"], trial["name"], trial["status"]) == ("el2n-40-1", "el2n-s1", "failed")
    assert trial["lines"][-1] == "  ..."
    assert [len(trial["lines"]) for trial in document_of("logs", folder, "el2n-s1", "--lines", 1)["trials"]] == [1]
    done = run("logs", folder, "--follow", "--json")
    assert (done.code, done.out) == (2, "")


def test_what_a_sweep_and_a_run_come_to(folder):
    results = replace(load_sweep(folder), outcome=Outcome(folder, 4, 1, 1, ()))
    found = describe.sweep_document(results)
    assert list(found) == KEYS["sweep"]
    assert found["outcome"] == {"complete": 4, "failed": 1, "pending": 1}
    assert found["summary"] == describe.results_document(results)["summary"]
    one = replace(results, trials=results.trials.iloc[:1])
    found = describe.train_document(one)
    assert list(found) == KEYS["train"]
    assert (found["status"], found["model"], found["errors"], found["notes"]) == ("complete", None, [], [])
    assert found["trial"]["test_accuracy"] == 0.6


def test_what_a_token_model_attends_to(tmp_path):
    attention = np.full((1, 2, 2, 2), 0.5)
    read = TokenExplanation(("no", "yes"), ("test 3",), ("a",), (("[CLS]", "a"),), (attention,), np.array([[1, 0]]), 0)
    found = describe.explain_document(read, tmp_path / "rows.csv", None)
    assert list(found) == KEYS["explain"]
    assert (found["kind"], found["layer"], found["queries"], found["probs"]) == ("attention", 0, None, [[1, 0]])
    assert [row["piece"] for row in found["documents"]] == ["[CLS]", "a"]
    assert list(found["documents"][0]) == ATTENDED.order()


def test_trackers_that_have_a_folder(tmp_path):
    found = describe.track_document(Tracked(tmp_path, {"mlflow": 2, "wandb": 1}, ("wandb",)))
    assert (found["sent"], found["failed"]) == ({"mlflow": 2, "wandb": 1}, ["wandb"])


@pytest.mark.long
@pytest.mark.ray
def test_a_sweep_and_a_run_print_a_document_and_progress_on_standard_error(tmp_path, ray_cluster):
    strategies = ("--set", "sweep.strategies=[all, random]", "--set", "sweep.plots=[]")
    done = sweep(tmp_path / "sweep", *strategies, "--json")
    assert done.code == 0, done.said
    found = json.loads(done.out)
    assert (found["document"], list(found)) == ("sweep", KEYS["sweep"])
    assert found["outcome"] == {"complete": 4, "failed": 0, "pending": 0}
    assert "[4/4]" in done.err
    done = run("train", FILE, "--output", tmp_path / "run", *SHRUNK_OPTIONS, "--json")
    assert done.code == 0, done.said
    found = json.loads(done.out)
    assert (found["document"], list(found), found["status"]) == ("train", KEYS["train"], "complete")
    assert found["model"] == str(tmp_path / "run" / "best")
    assert "step " in done.err
    assert json.loads(run("sweep", FILE, "--dry-run", *SHRUNK_OPTIONS, *strategies, "--json").out)["num_trials"] == 4


def test_the_size_of_a_sweep_file(tmp_path):
    (tmp_path / "file.yaml").write_text("sweep: {strategies: [random, all], seeds: 4}\n")
    found = document_of("validate", tmp_path / "file.yaml")
    assert (found["num_trials"], found["num_suggestions"]) == (8, 0)


@pytest.mark.long
def test_a_mistake_is_a_line_on_standard_error_and_nothing_on_standard_output(tmp_path, folder):
    for arguments in (("results", tmp_path), ("status", tmp_path), ("results", folder, "--metric", "acuracy")):
        done = run(*arguments, "--json")
        assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    done = run("results", folder, "--json", "--format", "latex")
    assert (done.code, done.out) == (2, "")
    assert "must be left out with --json" in done.err
    assert run("results", folder, "--table", "trials").code == 2
    done = run("report", folder, "--pair", "random", "el2m")
    assert (done.code, done.err.strip()) == (
        2,
        "error: pair: no strategy or configuration is called 'el2m'; did you mean 'el2n'?",
    )
    assert not (folder / "results").exists()  # it is said before anything is written


@pytest.mark.long
def test_a_report_says_whether_it_was_written(folder, no_pixels):
    found = document_of("report", folder, "--pair", "random", "el2n")
    assert found["not_written"] is None
    (pair,) = found["pairs"]
    assert pair["sentences"] == ["el2n: no verdict against random (+10.0 points, 1 seed)"]
    assert pair["picture"] == str(folder / "plots" / "pair_random_el2n.png")
    assert (folder / "plots" / "pair_random_el2n.svg").is_file()
    assert (folder / "results" / "pairs.csv").is_file()
    assert (folder / "results" / "summary.csv").is_file()
    assert found["summary"] == document_of("results", folder)["summary"]


def test_values_become_json_whatever_they_are(tmp_path):
    frame = pd.DataFrame({"a": [1.5, np.nan], "b": pd.array([1, None], dtype="Int64"), "c": ["x", None]})
    assert as_json(frame) == [{"a": 1.5, "b": 1, "c": "x"}, {"a": None, "b": None, "c": None}]
    assert as_json({1: np.float32(0.5), "low": -np.inf, "path": tmp_path, "all": (np.array([1, 2]), True)}) == {
        "1": 0.5,
        "low": None,
        "path": str(tmp_path),
        "all": [[1, 2], True],
    }


def test_a_document_with_other_keys_than_declared_is_refused():
    with pytest.raises(ValueError, match="scores: must have the keys folder, size_bytes, signals, got folder"):
        SCORES.of(folder="x")


def test_every_document_has_a_function_that_makes_it():
    made = {name.removesuffix("_document") for name in vars(describe) if name.endswith("_document")}
    assert made - {"checkpoints"} | {"evaluate_checkpoints"} == set(KEYS)
