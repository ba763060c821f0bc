"""What another terminal sees of a sweep."""

import dataclasses
import itertools
import json
import os
import subprocess
import sys
import threading
import time

import pytest

from raybert.errors import SweepError
from raybert.files import write_json
from raybert.sweeping.driver.progress import Progress
from raybert.sweeping.driver.state_file import RecordedProgress
from raybert.sweeping.driver.status import RunningTrial, read_status, status_lines
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.folder.ownership import own
from raybert.sweeping.folder.restarts import note_restart


@pytest.fixture
def folder(tmp_path) -> SweepFolder:
    """Two strategies of three trials: two complete, one failed twice over, the rest pending."""
    folder = SweepFolder(tmp_path)
    trials = [
        {"trial_id": f"{name}{seed}", "role": "trial", "strategy": name, "seed": seed, "total_steps": 100}
        for name in ("random", "el2n")
        for seed in range(3)
    ]
    write_json(tmp_path / "plan.json", {"name": "s", "trials": trials})
    folder.trial("random0").finish({"test_accuracy": 1.0})
    folder.trial("el2n0").finish({"test_accuracy": 1.0})
    for name in ("random1", "el2n1"):
        folder.trial(name).fail("OutOfMemoryError: one example must fit\n\ntraceback", "oom")
    return folder


def run_of(folder: SweepFolder, trial_id: str, **beat: object) -> None:
    folder.trial(trial_id).path.mkdir(parents=True, exist_ok=True)
    write_json(folder.trial(trial_id).path / "heartbeat.json", {"step": 40, "host": "node-a", **beat})


def test_a_running_sweep_is_seen_with_owner_phase_counts_and_trials_at_work(folder):
    run_of(folder, "random2")
    folder.trial("random2").add_attempt("lost", "TrialError: the trial's process died\n\nlong")
    note_restart(folder.trial("random2").path, 1)
    write_json(
        folder.path / "state.json",
        {
            "phase": "compare",
            "phase_seconds": 90.0,
            "running": ["random2"],
            "silent_seconds": {"random2": 3.0},
            "remaining_seconds": 61.0,
        },
    )
    with own(folder.path, print):
        status = read_status(folder.path)
    assert status.owner is not None
    assert f"pid {os.getpid()} on" in status.owner
    assert status.strategies == {
        "random": {"complete": 1, "failed": 1, "running": 1},
        "el2n": {"complete": 1, "failed": 1, "pending": 1},
    }
    (running,) = status.running
    assert dataclasses.replace(running, silent_seconds=None, restarted="") == RunningTrial(
        "random2", "random", 2, 40, 100, None, "node-a"
    )
    assert 3.0 <= running.silent_seconds < 13.1
    lines = list(status_lines(status))
    assert lines[0].startswith("running: pid")
    assert "phase: compare, for 1:30, about 1:0" in lines[1]
    assert lines[2].startswith("trial random2 (random seed 2): step 40 of 100 on node-a, last heartbeat ")
    assert lines[3].endswith(": attempt 1 failed (lost): TrialError: the trial's process died")
    assert lines[3].startswith("    begun again ")
    assert status.restarted == ()  # it is at work, and says so there
    told = json.loads(json.dumps(status.to_json()))
    assert told["errors"] == [
        {"kind": "oom", "message": "OutOfMemoryError: one example must fit", "trials": ["random1", "el2n1"]}
    ]


def test_a_sweep_whose_owner_died_is_told_from_one_that_ended(folder):
    write_json(folder.path / "state.json", {"phase": "compare", "phase_seconds": 0.0, "running": ["random2"]})
    write_json(folder.path / "owner.json", {"pid": 1, "host": os.uname().nodename, "since": "then", "attempt": 1})
    status = read_status(folder.path)
    assert status.owner is None
    assert status.phase == "ended in the middle of: compare"
    assert status.strategies["random"]["pending"] == 1
    assert next(status_lines(status)).startswith("not running: pid 1 on")
    (folder.path / "owner.json").unlink()
    write_json(folder.path / "state.json", {"phase": "stopped", "phase_seconds": 0.0})
    assert list(status_lines(read_status(folder.path))) == ["not running", "phase: stopped"]


def test_of_a_trial_at_work_the_newest_evaluation_is_said_by_the_metric_of_its_own(folder):
    run_of(folder, "random2")
    trial = folder.trial("random2")
    write_json(trial.path / "spec.json", {"spec": {"config": {"train": {"best_metric": "macro_f1"}}}})
    for number, seen in ((1, 100), (2, 300)):
        numbers = {
            "train_loss": 0.5,
            "learning_rate": 1e-4,
            "validation_macro_f1": number / 4,
            "seconds": float(number),
        }
        trial.append_row({"evaluation": number, "pass": 1.0, "step": 10 * number, "examples_seen": seen, **numbers})
    write_json(folder.path / "state.json", {"phase": "compare", "running": ["random2"]})
    with own(folder.path, print):
        status = read_status(folder.path)
    assert list(status_lines(status))[3] == ("    loss 0.500, validation macro_f1 0.500, rate 0.0001, 200 examples/s")
    assert json.loads(json.dumps(status.to_json()))["running"][0]["last"] == {
        "metric": "macro_f1",
        "value": 0.5,
        "train_loss": 0.5,
        "learning_rate": 1e-4,
        "examples_per_second": 200.0,
        "perplexity": None,
    }


@pytest.mark.fault("clock set while trials run")
@pytest.mark.parametrize("step", [-3600, 3600, 0])
def test_a_clock_that_is_set_changes_nothing_that_is_shown_of_a_running_sweep(folder, step):
    run_of(folder, "random2")
    state = {"phase": "compare", "phase_seconds": 90.0, "running": ["random2"], "silent_seconds": {"random2": 3.0}}
    with own(folder.path, print):
        write_json(folder.path / "state.json", {**state, "remaining_seconds": 61.0})
        for path in (folder.path / "state.json", folder.trial("random2").path / "heartbeat.json"):
            written = path.stat().st_mtime + step  # the clock was other by so much when it was written
            os.utime(path, (written, written))
        status = read_status(folder.path)
    assert status.owner is not None
    assert 90.0 <= status.phase_seconds <= 100.0
    assert 51.0 <= status.remaining_seconds <= 61.0
    (running,) = status.running
    assert 3.0 <= running.silent_seconds <= 13.0


@pytest.mark.fault("clock set while trials run")
def test_the_driver_counts_silences_by_its_own_clock(folder, monkeypatch):
    recorded = RecordedProgress(Progress(), folder.path / "state.json", attempt=1)
    recorded.tally.status["random2"] = "running"
    run_of(folder, "random2", attempt=1)
    now = time.monotonic()
    for passed, beats in ((0.0, 1), (2.0, 2), (40.0, 2)):
        monkeypatch.setattr(time, "monotonic", lambda passed=passed: now + passed)
        for watch in recorded.watches.values():
            watch.now = time.monotonic
        if beats != 2 or passed == 2.0:  # by a clock that goes back
            os.utime(folder.trial("random2").path / "heartbeat.json", (5000 - 1000 * beats,) * 2)
        recorded.catch_up()
        recorded._write(force=True)
    assert json.loads((folder.path / "state.json").read_text())["silent_seconds"] == {"random2": 38.0}


def test_the_search_is_counted_from_its_decisions(folder):
    plan = json.loads((folder.path / "plan.json").read_text())
    write_json(
        folder.path / "plan.json",
        {**plan, "search": [{"arm": "el2n", "strategy": "el2n", "grid": {}, "suggestions": 5}]},
    )
    events = [{"event": "suggest", "arm": "el2n", "number": number} for number in range(4)]
    events += [
        {"event": "end", "arm": "el2n", "number": number, "status": status}
        for number, status in enumerate(("complete", "pruned", "complete"))
    ]
    (folder.path / "decisions.jsonl").write_text(
        "".join(json.dumps(event) + "\n" for event in events) + '{"event": "su'
    )
    status = read_status(folder.path)
    assert status.search == {"el2n": {"planned": 5, "complete": 2, "pruned": 1, "running": 1}}
    assert "search el2n: 2 complete, 1 pruned, 1 running of 5 suggestions" in list(status_lines(status))


def test_a_suggestion_that_is_tried_again_counts_once(folder):
    plan = json.loads((folder.path / "plan.json").read_text())
    arm = {"arm": "el2n", "strategy": "el2n", "grid": {}, "suggestions": 1}
    write_json(folder.path / "plan.json", {**plan, "search": [arm]})
    events = [
        {"event": "suggest", "arm": "el2n", "number": 0},
        {"event": "end", "arm": "el2n", "number": 0, "status": "failed"},
        {"event": "suggest", "arm": "el2n", "number": 1, "retry_of": 0},
        {"event": "end", "arm": "el2n", "number": 1, "status": "complete"},
    ]
    (folder.path / "decisions.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    assert "search el2n: 1 complete of 1 suggestions" in list(status_lines(read_status(folder.path)))


def test_failures_of_the_search_are_among_the_errors(folder):
    run = folder.trial("searched")
    spec = {"trial_id": "searched", "role": "tune", "label": "el2n", "seed": 1000, "total_steps": 10}
    write_json(run.path / "spec.json", {"spec": spec})
    run.fail("ValueError: too steep\n\nTraceback ...", "error")
    (error,) = [error for error in read_status(folder.path).errors if error.message == "ValueError: too steep"]
    assert error.trial_ids == ("searched",)


@pytest.mark.parametrize("name", ["state.json", "owner.json", "plan.json", "manifest.json"])
@pytest.mark.parametrize("damage", ["", '{"phase": "comp'])
def test_a_damaged_file_is_named_and_the_rest_is_shown(folder, name, damage):
    (folder.path / name).write_text(damage)
    status = read_status(folder.path)
    assert name in status.damaged
    assert any(line.startswith(f"damaged: {name}") for line in status_lines(status))
    if name != "plan.json":
        assert status.strategies["random"]["complete"] == 1


def test_a_folder_without_a_sweep_is_refused(tmp_path):
    with pytest.raises(SweepError, match="must be the results folder of a sweep"):
        read_status(tmp_path)


@pytest.mark.slow
def test_the_command_answers_without_importing_ray_or_torch(folder):
    script = (
        "import sys; from typer.testing import CliRunner; from raybert.cli import app\n"
        "done = CliRunner().invoke(app, ['status', sys.argv[1], '--json'])\n"
        "print(done.exit_code, sorted({'ray', 'torch', 'pandas', 'optuna'} & set(sys.modules))); print(done.stdout)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(folder.path)], capture_output=True, text=True, check=True)
    first, _, rest = done.stdout.partition("\n")
    assert first == "0 []", done.stderr
    assert json.loads(rest)["strategies"]["el2n"]["complete"] == 1


class Quiet:
    """Progress that says nothing."""

    def __getattr__(self, name: str):
        return lambda *arguments: None


def test_the_state_follows_the_phases_and_is_written_at_most_once_a_second(folder, tmp_path, prepared):
    from tests.sweeping.trial.test_surroundings import spec_of

    spec = spec_of(prepared)
    recorded = RecordedProgress(Quiet(), tmp_path / "state.json")
    clock = itertools.chain([0.0, 0.1, 1.1], itertools.repeat(2.0))
    recorded.writes.now = lambda: next(clock)
    recorded.begin([spec], {})
    recorded.phase("compare")
    recorded.started(spec)
    assert json.loads((tmp_path / "state.json").read_text())["running"] == [spec.trial_id]
    recorded.ended(spec, "complete")
    assert json.loads((tmp_path / "state.json").read_text())["running"] == [spec.trial_id], "a second write within one"
    recorded.enter("ended")
    assert json.loads((tmp_path / "state.json").read_text())["phase"] == "ended"
    assert json.loads((tmp_path / "state.json").read_text())["running"] == []


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.long
def test_a_sweep_pauses_gives_its_resources_back_goes_on_and_stops_resumable(ray_cluster, tmp_path):
    import ray

    from raybert.config import validate_config
    from raybert.errors import ExitCode
    from raybert.sweeping.driver.control import send_command
    from raybert.sweeping.plan.design import read_design
    from raybert.sweeping.runner import run_sweep

    document = {
        "data": {"max_length": 32, "train_examples": 200, "validation_examples": 40, "test_examples": 40},
        "train": {"length": {"steps": 5000}, "batch_size": 16},
        "sweep": {"seeds": 1, "strategies": ["all", "random"]},
    }
    config, path = validate_config(document), tmp_path / "run"
    seen = {}

    def wait_for(condition) -> None:
        deadline = time.monotonic() + 120
        while not condition():
            assert time.monotonic() < deadline
            threading.Event().wait(0.1)

    def is_training() -> bool:
        beats = [json.loads(file.read_text()) for file in path.glob("trials/*/heartbeat.json")]
        return any(beat["step"] > seen.get("step", 0) and not beat.get("ended") for beat in beats)

    def command() -> None:
        wait_for(is_training)
        seen["running"] = read_status(path)
        send_command(path, "pause")
        wait_for(lambda: read_status(path).phase.startswith("paused"))
        wait_for(lambda: ray.available_resources().get("CPU") == ray.cluster_resources()["CPU"])
        seen["checkpoints"] = [file.parts[-4] for file in path.glob("trials/*/checkpoint/last/COMPLETE")]
        seen["step"] = max(json.loads(file.read_text())["step"] for file in path.glob("trials/*/heartbeat.json"))
        send_command(path, "resume")
        wait_for(is_training)
        send_command(path, "stop")

    other_terminal = threading.Thread(target=command)
    other_terminal.start()
    outcome = run_sweep(read_design(config), path, Quiet())
    other_terminal.join(120)
    assert outcome.exit_code is ExitCode.INTERRUPTED
    assert outcome.num_pending == 2
    assert seen["running"].owner is not None
    assert seen["running"].phase == "compare"
    assert len(seen["checkpoints"]) >= 1
    assert read_status(path).phase == "stopped"
    assert not (path / "owner.json").exists()
    short = validate_config({**document, "limits": {"sweep_seconds": 1.0}})
    assert run_sweep(read_design(short), path, Quiet()).exit_code is ExitCode.INTERRUPTED


def test_why_trials_were_begun_again_is_said_after_they_ended(folder):
    run_of(folder, "random0", pid=12)
    note_restart(folder.trial("random0").path, 2)
    folder.trial("el2n1").add_attempt("lost", "TrialError: the trial's process died\n\nlong")
    note_restart(folder.trial("el2n1").path, 2)
    status = read_status(folder.path)
    assert [(trial.trial_id, len(trial.restarts)) for trial in status.restarted] == [("random0", 1), ("el2n1", 1)]
    killed, lost = [line for line in status_lines(status) if "was begun again" in line]
    assert killed.startswith("trial random0 (random seed 0) was begun again ")
    assert killed.endswith(
        "(pid 12 on node-a) had ended without leaving a reason: the sweep was killed or cancelled, or the machine was lost"
    )
    assert lost.endswith("failed (lost): TrialError: the trial's process died")


def test_a_sweep_with_many_restarts_lists_ten_and_says_where_the_others_are(folder):
    names = [f"proxy{number}" for number in range(12)]
    trials = [{"trial_id": name, "role": "trial", "strategy": "all", "seed": 0, "total_steps": 1} for name in names]
    write_json(folder.path / "plan.json", {"name": "s", "trials": trials})
    for name in names:
        run_of(folder, name, ended=True)
        note_restart(folder.trial(name).path, 1)
    lines = [line for line in status_lines(read_status(folder.path)) if "begun again" in line]
    assert len(lines) == 11
    assert lines[0].endswith("it had been asked to save and stop")
    assert lines[10] == "2 more were begun again: trials/*/restarts.jsonl"
