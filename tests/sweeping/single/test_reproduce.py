"""A trial of a sweep again, alone: the same bits, the same error, or what differs."""

import io
import json
import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from raybert.config import validate_config
from raybert.errors import SweepError
from raybert.files import write_json
from raybert.selection.store import ScoreStore, SignalRef
from raybert.selection.strategies import LabelErrors
from raybert.sweeping.folder.failures import Failure
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.folder.manifest import describe_run
from raybert.sweeping.folder.spec_file import read_spec
from raybert.sweeping.phases.prepare import prepare_plan
from raybert.sweeping.plan.design import read_design
from raybert.sweeping.single.held import find_trial
from raybert.sweeping.single.reproduce import _changed_rule, reproduce_trial
from raybert.sweeping.trial.run import run_trial
from raybert.terminal.run_progress import RunLines
from tests.e2e.commands import ROOT

CONFIG = {
    "data": {"max_length": 32, "train_examples": 200, "validation_examples": 40, "test_examples": 40},
    "train": {"length": {"steps": 6}, "batch_size": 16, "learning_rate": 1e-3, "eval_every": 2},
    "sweep": {
        "strategies": [
            "random",
            "random_epoch",
            {"name": "k_center", "label": "centres"},
            "el2n",
            {"name": "test_reproduce_strategy:Broken"},
        ],
        "seeds": [4],
    },
}
BROKEN = "from raybert import Strategy\nclass Broken(Strategy):\n    def choose(self, pool, budget):\n        raise ValueError('no')\n"


def progress():
    return RunLines(Console(file=io.StringIO()))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A results folder with a complete trial of every kind, and one that fails."""
    path = tmp_path_factory.mktemp("run")
    (path / "test_reproduce_strategy.py").write_text(BROKEN)
    sys.path.insert(0, str(path))
    plan, prepared = prepare_plan(read_design(validate_config(CONFIG)))
    folder, store = SweepFolder(path), ScoreStore(path / "store")
    for spec in plan.trials:
        ready = prepared[spec.data_key]
        signals = (stored_embeddings(store),) if spec.label == "centres" else ()
        if spec.label != "el2n":  # whose proxy's outputs nobody has scored here
            run_trial(spec, ready.data, ready.encoder, signals, folder, report=lambda row: None)
    write_json(path / "manifest.json", describe_run(None))
    write_json(path / "trials.json", {spec.label: spec.trial_id for spec in plan.trials})
    yield folder
    sys.path.remove(str(path))


def stored_embeddings(store: ScoreStore) -> SignalRef:
    embeddings = np.random.default_rng(0).normal(size=(200, 8)).astype(np.float32)
    store.begin("ab" * 10, {"scorer": "embeddings"})
    store.write_block("ab" * 10, 0, np.arange(200), {"embeddings": embeddings})
    store.finish("ab" * 10, 1, 200)
    return SignalRef(store, "ab" * 10, 2.0, 1.0, 200)


def trial_id(run: SweepFolder, label: str) -> str:
    return json.loads((run.path / "trials.json").read_text())[label]


@pytest.mark.slow
@pytest.mark.parametrize("label", ["random", "random_epoch", "centres", "proxy"])
def test_a_complete_trial_gives_the_same_bits_again_whatever_it_reads(run, label):
    found = reproduce_trial(run, trial_id(run, label), progress())
    assert (found.status, found.notes, found.exit_code) == ("complete", (), 0)
    kinds = {part.what: part.differences for part in found.comparisons}
    assert kinds == dict.fromkeys(["evaluations", "result", "selection", "losses", "predictions", "weights"], ())
    assert found.again.path.parents[1] == run.path / "reproductions" / found.spec.trial_id


def test_a_failed_trial_fails_with_the_same_error_and_says_where(run):
    found = reproduce_trial(run, trial_id(run, "Broken"), progress())
    assert (found.status, found.error, found.error_again) == ("failed", "ValueError: no", "ValueError: no")
    assert found.exit_code == 0
    assert "test_reproduce_strategy.py" in found.again.error()


@pytest.mark.slow
def test_a_failure_that_does_not_come_again_is_a_difference(run, tmp_path):
    other = copy_of(run, tmp_path)
    trial = other.trial(trial_id(run, "random"))
    trial.forget_result("for a test")
    trial.fail("TrialError: the trial's process died\n\nno reason given by Ray\n")
    found = reproduce_trial(other, trial.path.name, progress())
    assert (found.status, found.error_again, found.exit_code) == ("complete", "", 1)


@pytest.mark.slow
def test_an_unfinished_trial_is_run_and_compared_as_far_as_it_came(run, tmp_path):
    other = copy_of(run, tmp_path)
    trial = other.trial(trial_id(run, "random"))
    rows = trial.rows()
    trial.forget_result("for a test")
    (trial.path / "evaluations.jsonl").unlink()
    trial.append_row(rows[0])
    found = reproduce_trial(other, trial.path.name, progress(), output=tmp_path / "alone")
    assert [(part.what, part.size, part.differences) for part in found.comparisons] == [("evaluations", "1 rows", ())]
    assert found.again.path.parents[1] == tmp_path / "alone"


@pytest.mark.slow
def test_what_was_changed_in_a_result_and_in_the_surroundings_is_named(run, tmp_path):
    other = copy_of(run, tmp_path)
    trial = other.trial(trial_id(run, "random"))
    result = trial.result()
    trial.finish({**result, "test_accuracy": result["test_accuracy"] + 0.25})
    manifest = json.loads((other.path / "manifest.json").read_text())
    manifest["versions"]["torch"] = "1.0"
    write_json(other.path / "manifest.json", manifest)
    found = reproduce_trial(other, trial.path.name, progress())
    (changed,) = [part for part in found.comparisons if part.differences]
    assert changed.what == "result"
    assert changed.differences[0].endswith("(0.25)")
    assert found.exit_code == 1
    assert [note for note in found.notes if note.startswith("torch was 1.0, is ")]


def test_signals_that_are_gone_are_named_with_the_command_that_computes_them(run, tmp_path):
    other = copy_of(run, tmp_path)
    (run.path / "store").rename(run.path / "hidden")
    try:
        with pytest.raises(SweepError, match=r"its signal (ab){10} must be .*, but is gone; .*--set selection.store="):
            reproduce_trial(other, trial_id(run, "centres"), progress())
    finally:
        (run.path / "hidden").rename(run.path / "store")


@pytest.mark.slow
def test_other_data_than_the_trials_is_refused(run, tmp_path):
    other = copy_of(run, tmp_path)
    path = other.trial(trial_id(run, "random")).path / "spec.json"
    path.write_text(path.read_text().replace('"train_examples": 200', '"train_examples": 190'))
    with pytest.raises(SweepError, match=r"the content of data.source 'docstrings' \(or the tokenizer\) changed"):
        reproduce_trial(other, trial_id(run, "random"), progress())


def test_a_trial_that_never_began_points_to_the_run_that_failed(run, tmp_path):
    other = copy_of(run, tmp_path)
    other.trial("el2n").fail_because("0123abcd", Failure("error", "ValueError: no"))
    with pytest.raises(SweepError, match="a run that it reads failed; reproduce that one: 0123abcd"):
        reproduce_trial(other, "el2n", progress())


def test_a_results_folder_is_never_written_into(run, tmp_path):
    other = copy_of(run, tmp_path)
    (other.path / "plan.json").write_text("{}")
    with pytest.raises(SweepError, match="must not be the results folder of a sweep"):
        reproduce_trial(other, trial_id(run, "random"), progress(), output=other.path)


def test_a_trial_is_found_by_its_folder_or_by_the_beginning_of_its_id(run):
    wanted = trial_id(run, "random")
    assert find_trial(run.path / "trials" / wanted, None) == (run, wanted)
    assert find_trial(run.path, wanted[:8]) == (run, wanted)
    with pytest.raises(SweepError, match="must have one trial whose id is or begins with 'nine', got 0"):
        find_trial(run.path, "nine")
    with pytest.raises(SweepError, match="must be the folder of a trial"):
        find_trial(run.path, None)


def copy_of(run: SweepFolder, tmp_path) -> SweepFolder:
    shutil.copytree(run.path, tmp_path / "copy", ignore=shutil.ignore_patterns("reproductions"))
    return SweepFolder((tmp_path / "copy").resolve())


def test_a_trial_of_an_earlier_rule_is_told_from_one_of_todays():
    folders = sorted((ROOT / "tests" / "fixtures" / "folder_0_1" / "trials").glob("*/spec.json"))
    stored = {read_spec(path.parent).spec.label: read_spec(path.parent) for path in folders}
    assert all(_changed_rule(one) == [] for one in stored.values())
    el2n = stored["el2n"]
    turned = replace(el2n, spec=replace(el2n.spec, strategy=LabelErrors()))
    (note,) = _changed_rule(turned)
    assert note.startswith("'el2n' has another rule since the trial ran")
