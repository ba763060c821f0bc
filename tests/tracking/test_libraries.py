"""The real libraries, each in its process, offline or with a store on this machine: what they have is read back."""

import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from raybert.config import load_config
from raybert.config.track import TrackConfig
from raybert.errors import ConfigError
from raybert.links import refuse_links
from raybert.tracking.follow import tracking
from raybert.tracking.tracker import BeginAgain, TrackedSweep
from tests.tracking.folders import complete, evaluate, write_folder
from tests.tracking.test_follow import Notes, Spec

pytestmark = [pytest.mark.long, pytest.mark.filterwarnings("ignore")]
"""Libraries warn of their own parts."""

PARAMETERS = {"strategy": "el2n", "train.learning_rate": 0.001}


@pytest.fixture
def folder(tmp_path):
    found = write_folder(tmp_path)
    for name in ("results/summary.csv", "plots/accuracy.png", "best/trial_id", "best/model.bin", "report.html"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("a")
    (tmp_path / "plots" / "accuracy.png").write_bytes(one_pixel())
    return found


def one_pixel() -> bytes:
    from io import BytesIO

    from PIL import Image

    file = BytesIO()
    Image.new("RGB", (1, 1)).save(file, "PNG")
    return file.getvalue()


def track(folder, config, *steps, end="complete", view=None):
    """A command that evaluates trial `a` so often, and then ends; `b` fails."""
    view = view or Notes()
    with tracking(TrackConfig(**config, wait_seconds=300), folder.path, view) as trackers:
        trackers.progress.begin([Spec("a"), Spec("b")], {})
        for step in steps:
            evaluate(folder, "a", step)
            trackers.progress.evaluated(Spec("a"), {})
        if end == "complete":
            complete(folder, "a")
            trackers.progress.ended(Spec("a"), "complete")
            folder.trial("b").fail("TrialError: out of memory")
            trackers.progress.ended(Spec("b"), "failed")
        trackers.publish(lambda: None)
    notes = [note for note in view.events if note.startswith("note") and "what is left is sent" not in note]
    assert notes == [], log_of(folder, config)


def log_of(folder, config):
    return "".join((folder.path / "tracking" / f"{name}.log").read_text() for name in config)


def book(folder, name):
    return json.loads((folder.path / "tracking" / f"{name}.json").read_text())


def test_mlflow_has_nested_runs_that_a_second_command_goes_on_with(folder, tmp_path, monkeypatch):
    pytest.importorskip("mlflow", reason="needs raybert[mlflow]")
    from mlflow import MlflowClient

    monkeypatch.chdir(tmp_path)
    config = {"mlflow": {"uri": f"sqlite:///{tmp_path}/store.db", "experiment": "mine"}}
    track(folder, config, 1, end="stopped")
    before = book(folder, "mlflow")
    client = MlflowClient(config["mlflow"]["uri"])
    assert [client.get_run(run).info.status for run in (before["sweep"], before["runs"]["a"]["run"])] == ["KILLED"] * 2
    track(folder, config, 2)
    after = book(folder, "mlflow")
    runs = {run.info.run_id: run for run in client.search_runs([client.get_experiment_by_name("mine").experiment_id])}
    a, b, sweep = runs[after["runs"]["a"]["run"]], runs[after["runs"]["b"]["run"]], runs[after["sweep"]]
    assert len(runs) == 3
    assert (before["sweep"], before["runs"]["a"]["run"]) == (after["sweep"], after["runs"]["a"]["run"])
    assert [run.info.status for run in (a, b, sweep)] == ["FINISHED", "FAILED", "FINISHED"]
    assert a.data.tags["mlflow.parentRunId"] == sweep.info.run_id
    assert {run.data.tags["raybert.group"] for run in runs.values()} == {f"demo-{after['token']}"}
    assert sweep.data.metrics == {"trials/complete": 1.0, "trials/failed": 1.0, "trials/pending": 0.0}
    assert a.info.run_name == "el2n-s0-a"
    assert {name: a.data.params[name] for name in PARAMETERS} == {name: str(v) for name, v in PARAMETERS.items()}
    history = client.get_metric_history(a.info.run_id, "validation/accuracy")
    assert [(metric.step, metric.value) for metric in history] == [(10, 0.1), (20, 0.2)]
    assert a.data.metrics["test/accuracy"] == 0.75
    files = {item.path for item in client.list_artifacts(sweep.info.run_id)}
    assert files == {"tables", "plots", "model", "report.html"}


def test_a_mode_that_wandb_does_not_have_is_refused(folder, monkeypatch):
    pytest.importorskip("wandb", reason="needs raybert[wandb]")
    from raybert.tracking.to_wandb import make

    monkeypatch.setenv("WANDB_MODE", "dryrun")
    with pytest.raises(ConfigError, match="WANDB_MODE must be one of online, offline, disabled, shared, got 'dryrun'"):
        make(load_config({"track": {"wandb": {}}}).track.wandb, folder.path)


def test_wandb_writes_offline_runs_that_have_the_same_id_in_a_second_command(folder, monkeypatch):
    pytest.importorskip("wandb", reason="needs raybert[wandb]")
    monkeypatch.setenv("WANDB_MODE", "offline")
    track(folder, {"wandb": {}}, 1, end="stopped")
    track(folder, {"wandb": {}}, 2)
    run, token = book(folder, "wandb")["runs"]["a"]["run"], book(folder, "wandb")["token"]
    assert run == f"a-{token}"
    files = sorted((folder.path / "tracking" / "wandb").glob(f"offline-run-*/run-{run}.wandb"))
    records = [record for file in files for record in wandb_records(file)]
    (first, *_) = [record.run for record in records if record.HasField("run")]
    assert (first.run_id, first.run_group, first.display_name) == (run, f"demo-{token}", "el2n-s0-a")
    config = {item.key: json.loads(item.value_json) for item in first.config.update}
    assert {name: config[name] for name in PARAMETERS} == PARAMETERS
    rows = [
        {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
        for record in records
        if record.HasField("history")
    ]
    assert [(row["_step"], row["validation/accuracy"]) for row in rows] == [(10, 0.1), (20, 0.2)]
    assert not list((folder.path / "tracking" / "wandb").rglob("requirements.txt"))  # of this process, and of no trial
    refuse_links(folder.path)  # a second command would


def test_a_run_that_wandb_could_not_begin_is_begun_by_another_process(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb", reason="needs raybert[wandb]")
    from raybert.config.track import WandbConfig
    from raybert.tracking.to_wandb import WandbTracker

    def init(**_):
        raise wandb.errors.CommError("no route")

    monkeypatch.setattr(wandb, "init", init)  # the real one takes half a minute; then its service has the run in use
    tracker = WandbTracker(WandbConfig(mode="offline"), tmp_path)
    with pytest.raises(BeginAgain, match="^CommError: no route$"):
        tracker.open_sweep(TrackedSweep("demo", "demo-1", tmp_path, {}), None)


def wandb_records(path: Path):
    """What a file of W&B holds: records in blocks of 32 KiB, as LevelDB writes its logs, behind seven bytes."""
    from wandb.proto import wandb_internal_pb2

    content, place, parts = path.read_bytes(), 7, b""
    while place + 7 <= len(content):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        length, kind = struct.unpack("<HB", content[place + 4 : place + 7])
        parts += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            record = wandb_internal_pb2.Record()
            record.ParseFromString(parts)
            parts = b""
            yield record


def test_trackio_has_a_run_a_trial_that_a_second_command_goes_on_with(folder, tmp_path, monkeypatch):
    pytest.importorskip("trackio", reason="needs raybert[trackio]")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    track(folder, {"trackio": {"project": "mine"}}, 1, end="stopped")
    track(folder, {"trackio": {"project": "mine"}}, 2)
    name = book(folder, "trackio")["runs"]["a"]["run"]
    script = f"""
import json
from trackio.sqlite_storage import SQLiteStorage as store
print(json.dumps([store.get_runs("mine"), store.get_logs("mine", {name!r}), store.get_run_config("mine", {name!r})]))
"""
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    runs, rows, config = json.loads(said)
    assert len(runs) == 3
    values = [(row["step"], row["validation/accuracy"]) for row in rows if "validation/accuracy" in row]
    assert values == [(10, 0.1), (20, 0.2)]
    assert rows[-1]["test/accuracy"] == 0.75
    assert {key: config[key] for key in PARAMETERS} == PARAMETERS


def test_clearml_writes_an_offline_task_for_each_trial_that_has_ended(folder, tmp_path):
    pytest.importorskip("clearml", reason="needs raybert[clearml]")
    track(folder, {"clearml": {"offline": True}}, 1, 2)
    task = folder.path / "tracking" / "clearml" / "offline" / book(folder, "clearml")["runs"]["a"]["run"]
    found = json.loads((task / "task.json").read_text())
    assert found["name"] == "el2n-s0-a"
    parameters = found["hyperparams"]["General"]
    assert {name: parameters[name]["value"] for name in PARAMETERS} == {name: str(v) for name, v in PARAMETERS.items()}
    events = [event for line in (task / "metrics.jsonl").read_text().splitlines() for event in json.loads(line)]
    rows = [(event["iter"], event["value"]) for event in events if event.get("metric") == "validation"]
    assert rows == [(10, 0.1), (20, 0.2)]
    tasks = [json.loads(path.read_text()) for path in task.parent.glob("*/task.json")]
    assert sorted(task["name"] for task in tasks) == ["demo", "el2n-s0-a", "el2n-s1-b"]
    (sweep,) = [task for task in tasks if task["name"] == "demo"]
    assert {artifact["key"] for artifact in sweep["execution"]["artifacts"]} == {"summary.csv", "report.html", "model"}


def test_tensorboard_has_the_scalars_of_both_commands_in_one_folder(folder):
    pytest.importorskip("tensorboard", reason="needs raybert[tensorboard]")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    track(folder, {"tensorboard": {}}, 1, end="stopped")
    track(folder, {"tensorboard": {}}, 2)
    (run,) = (folder.path / "tracking" / "tensorboard").glob("el2n-s0-a")
    events = EventAccumulator(str(run))
    events.Reload()
    assert [(event.step, round(event.value, 6)) for event in events.Scalars("validation/accuracy")] == [
        (10, 0.1),
        (20, 0.2),
    ]
    assert events.Scalars("test/accuracy")[0].value == 0.75
    text = events.Tensors("parameters/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "| train.learning_rate | 0.001 |" in text
    ends = [(event.step, event.tensor_proto.string_val[0]) for event in events.Tensors("status/text_summary")]
    assert ends == [(10, b"stopped"), (20, b"complete")]


def test_a_process_that_is_killed_is_replaced_and_goes_on_with_the_same_runs(folder, monkeypatch):
    pytest.importorskip("tensorboard", reason="needs raybert[tensorboard]")
    monkeypatch.setattr("raybert.tracking.courier._SECONDS_BETWEEN_ATTEMPTS", (0.0,))
    view = Notes()
    with tracking(TrackConfig(tensorboard={}), folder.path, view) as trackers:
        (courier,) = trackers.progress.begun()
        courier.delivery.tracker.kill()
        complete(folder, "a")
        trackers.publish(lambda: None)
    assert book(folder, "tensorboard")["runs"]["a"]["status"] == "complete"
    assert ["track.tensorboard: its process ended" in note for note in view.events] == [True]


def test_what_a_library_says_of_a_wrong_place_is_one_line_and_the_command_ends_well(folder, monkeypatch):
    pytest.importorskip("mlflow", reason="needs raybert[mlflow]")
    view = Notes()
    track_config = TrackConfig(mlflow={"uri": "http://127.0.0.1:9/"}, wait_seconds=0.0)
    with tracking(track_config, folder.path, view) as trackers:
        complete(folder, "a")
        trackers.publish(lambda: None)
    assert view.events[-1].startswith("note: track.mlflow: not sent: 1 trial, tables and plots;  raybert track ")


def test_the_driver_itself_imports_no_library_of_a_tracker():
    script = (
        "import sys, raybert.tracking.follow, raybert.tracking.remote; "
        "print(sorted({'mlflow', 'wandb', 'trackio', 'clearml', 'tensorboard'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "[]\n"
