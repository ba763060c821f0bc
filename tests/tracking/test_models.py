"""Pretrained models as runs of trackers: of a pretraining file, and of a sweep that begins with pretraining."""

from __future__ import annotations

import json
import os
import signal
import time

import pandas as pd
import pytest

import raybert
from raybert.config.pretraining import load_pretraining
from raybert.errors import ConfigError, ExitCode
from raybert.files import read_json, read_json_lines, write_json
from raybert.sweeping.driver.progress import Progress
from raybert.sweeping.folder.layout import SweepFolder
from raybert.tracking.delivery import trial_ids
from raybert.tracking.news import read_artifacts, read_news, read_trial
from tests.pretraining.packed import documents
from tests.tracking.folders import FakeTracker, delivery, write_folder
from tests.tracking.test_libraries import book, wandb_records

PERPLEXITIES = [(3, 80.5), (6, 40.25)]
SUMMARY = {
    "best": {"step": 6, "validation_perplexity": 40.25, "validation_loss": 3.695},
    "before": {"validation_perplexity": 5000.0},
    "steps": 6,
    "tokens": 1500,
    "seconds": 3.0,
    "padding_share": 0.01,
    "parameters": 21495,
    "notes": ["a note"],
}


def write_study(folder, names=("north-s0", "north-s1")):
    """A study's folder with models that have not begun, or not ended."""
    runs = [{"trial_id": name, "strategy": "north", "role": "pretrain", "seed": n} for n, name in enumerate(names)]
    (folder / "attempt").write_text("1")
    (folder / "lock").touch()
    write_json(folder / "plan.json", {"name": "study", "trials": runs})
    write_json(folder / "resolved.yaml", {"name": "study", "corpora": {"north": "north.csv"}})
    for run in runs:
        write_model(folder / "models" / run["trial_id"], run)
    return SweepFolder(folder)


def write_model(place, run):
    place.mkdir(parents=True)
    config = {"pretrain": {"learning_rate": 1e-3, "masked": {"share": 0.15}}, "train": {"best_metric": "loss"}}
    spec = {**run, "label": run["strategy"], "fold": 0, "pool_size": 160, "words": 3044, "config": config}
    write_json(place / "spec.json", {"spec": {**spec, "total_steps": 0}})
    write_json(place / "run.json", {"identity": {}, "total_steps": 6})


def evaluate(place, *numbers):
    with (place / "evaluations.jsonl").open("a") as log:
        for number in numbers:
            step, perplexity = PERPLEXITIES[number - 1]
            row = {"evaluation": number, "step": step, "pass": 0.5, "examples_seen": 8 * step, "seconds": 1.0 + number}
            row |= {"tokens": 250 * step, "train_loss": 4.0, "validation_perplexity": perplexity}
            log.write(json.dumps(row) + "\n")


def complete(place):
    write_json(place / "training_summary.json", SUMMARY)


def test_a_model_is_a_run_with_its_settings_evaluations_and_summary(tmp_path):
    folder = write_study(tmp_path)
    place = folder.models / "north-s1"
    evaluate(place, 1, 2)
    complete(place)
    run = read_trial(folder, "north-s1", "abc")
    assert (run.name, run.key, run.kind) == ("north-s1", "north-s1-abc", "pretrain")
    assert run.parameters == {
        "trial_id": "north-s1",
        "role": "pretrain",
        "corpus": "north",
        "documents": 160,
        "seed": 1,
        "words": 3044,
        "total_steps": 6,
        "pretrain.learning_rate": 0.001,
        "pretrain.masked.share": 0.15,
    }
    news = read_news(folder.trial("north-s1"))
    assert news.status == "complete"
    assert [(step, row["validation/perplexity"]) for step, row in news.rows] == PERPLEXITIES
    assert [row["progress/tokens_per_second"] for _, row in news.rows] == [750 / 2, 750 / 1]
    assert [row["progress/tokens"] for _, row in news.rows] == [750, 1500]
    assert news.summary == {
        "best_validation/perplexity": 40.25,
        "best_validation/loss": 3.695,
        "before_validation/perplexity": 5000.0,
        "cost/best_step": 6,
        "cost/optimizer_steps": 6,
        "cost/tokens": 1500,
        "cost/train_seconds": 3.0,
        "cost/tokens_per_second": 500.0,
        "cost/padding_share": 0.01,
        "cost/parameters": 21495,
    }


def test_a_study_leaves_the_tables_and_pictures_of_its_commands_by_folder(tmp_path):
    folder = write_study(tmp_path)
    for name in ("crosseval/differences.csv", "probes/differences.csv", "crosseval/matrix.png", "plots/training.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    complete(folder.models / "north-s0")
    found = read_artifacts(tmp_path, model=True)
    assert found.tables == {name: tmp_path / name for name in ("crosseval/differences.csv", "probes/differences.csv")}
    assert found.plots == {
        "training": tmp_path / "plots/training.png",
        "crosseval/matrix": tmp_path / "crosseval/matrix.png",
    }
    assert found.summary == {"models/complete": 1.0, "models/failed": 0.0, "models/pending": 1.0}
    assert (found.status, found.model) == ("stopped", None)


def test_an_encoder_that_a_sweep_pretrains_is_a_run_beside_its_trials(tmp_path):
    folder, tracker = write_folder(tmp_path), FakeTracker()
    place = folder.models / "0123abcd"
    write_model(place, {"trial_id": "0123abcd", "strategy": "pool", "role": "pretrain", "seed": 0})
    evaluate(place, 1, 2)
    complete(place)
    assert trial_ids(tmp_path) == ["a", "b", "0123abcd"]
    sender = delivery(folder, tracker)
    assert list(sender.pending(trial_ids(tmp_path))) == ["0123abcd"]
    sender.send_trial("0123abcd")
    assert tracker.calls[-1] == ("end", "run-0123abcd", "complete")
    run = read_trial(folder, "0123abcd", "abc")
    assert (run.name, run.kind) == ("pretrain-pool-s0-0123abcd", "pretrain")
    assert read_artifacts(tmp_path, model=False).summary == {  # it is none of what is compared
        "trials/complete": 0.0,
        "trials/failed": 0.0,
        "trials/pending": 2.0,
    }


def test_raybert_track_sends_a_study_that_is_there_and_says_models(tmp_path, monkeypatch):
    fake = FakeTracker()
    monkeypatch.setattr("raybert.tracking.makers.RemoteTracker", lambda name, config, folder: fake)
    monkeypatch.setattr("raybert.config.packages.find_spec", lambda name: object())
    folder = write_study(tmp_path)
    evaluate(folder.models / "north-s0", 1, 2)
    complete(folder.models / "north-s0")
    assert str(raybert.track(tmp_path, "mlflow")) == f"mlflow: 1 models of {tmp_path} are there"
    assert ("log", "run-north-s0", [3, 6]) in fake.calls
    with pytest.raises(ConfigError, match="to: must name a tracker"):
        raybert.track(tmp_path)
    write_json(tmp_path / "resolved.yaml", {"corpora": {"north": "north.csv"}, "track": {"wandb": {"project": "mine"}}})
    assert raybert.track(tmp_path).sent == {"wandb": 1}


def test_a_tracker_that_is_not_installed_or_has_a_password_is_refused_before_anything_is_read(monkeypatch):
    monkeypatch.setattr("raybert.config.packages.find_spec", lambda name: None)
    file = {"corpora": {"a": "missing.csv"}, "track": {"mlflow": {}}}
    for command in (raybert.pretrain, raybert.study, raybert.validate):
        with pytest.raises(
            ConfigError, match=r"track.mlflow: needs the package mlflow; `pip install raybert\[mlflow\]`"
        ):
            command(file)
    with pytest.raises(ConfigError, match="track.mlflow.uri: must not hold a password"):
        load_pretraining(file, {"track.mlflow.uri": "https://me:secret@host/"})


class StopsAt(Progress):
    """Sends this process a Ctrl-C in the second model, after its first evaluation."""

    def __init__(self):
        self.models = 0

    def started(self, spec):
        self.models += 1

    def stepped(self, spec, step):
        if self.models == 2 and step == 4:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.6)  # it is looked for twice a second


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A pretraining file of two models that train here, each in a fraction of a second."""
    monkeypatch.chdir(tmp_path)
    pd.DataFrame({"text": documents(80, 0)}).to_csv("north.csv", index=False)
    tiny = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 48}
    return {
        "name": "study",
        "corpora": {"north": "north.csv"},
        "tokenizer": {"vocabulary": 120},
        "model": {"kind": "bert", "config": tiny},
        "pretrain": {"length": {"steps": 6}, "eval_every": 3, "max_length": 32, "batch_size": 8, "precision": "fp32"},
        "seeds": 2,
        "resources": {"concurrent_trials": 1},
        "track": {"mlflow": {}, "wait_seconds": 300},
    }


def test_models_are_sent_while_they_train_and_a_second_command_goes_on_with_the_same_runs(file, tmp_path, monkeypatch):
    calls = []

    class Sent(FakeTracker):
        def tell(self, *call):
            calls.append(call)

        def log(self, run, rows):
            calls.extend(("row", run, step, row["validation/perplexity"]) for step, row in rows)

    monkeypatch.setattr("raybert.tracking.makers.RemoteTracker", lambda name, config, folder: Sent())
    monkeypatch.setattr("raybert.config.packages.find_spec", lambda name: object())
    assert raybert.pretrain(file, progress=StopsAt()).exit_code == ExitCode.INTERRUPTED
    assert ("end", "run-north-s0", "complete") in calls
    assert ("end", "run-north-s1", "stopped") in calls
    raybert.pretrain(file)
    rows = [call[1:] for call in calls if call[0] == "row"]
    for name in ("north-s0", "north-s1"):
        told = read_json_lines(tmp_path / f"runs/study/models/{name}/evaluations.jsonl")
        expected = [(f"run-{name}", row["step"], row["validation_perplexity"]) for row in told]
        assert [row for row in rows if row[0] == f"run-{name}"] == expected  # each once
    assert [call for call in calls if call[0] == "end"][-1] == ("end", "run-north-s1", "complete")
    assert read_json(tmp_path / "runs/study/tracking/mlflow.json")["runs"]["north-s1"]["status"] == "complete"


@pytest.mark.long
def test_tensorboard_has_what_a_real_study_measured(file):
    pytest.importorskip("tensorboard", reason="needs raybert[tensorboard]")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    file |= {"track": {"tensorboard": {}, "wait_seconds": 300}, "crosseval": {"pseudo_perplexity": 0}}
    found = raybert.study(file)
    for model in found.models.models:
        events = EventAccumulator(f"runs/study/tracking/tensorboard/{model.name}")
        events.Reload()
        rows = read_json_lines(model.folder / "evaluations.jsonl")
        seen = [(event.step, event.value) for event in events.Scalars("validation/perplexity")]
        assert seen == [(row["step"], pytest.approx(row["validation_perplexity"])) for row in rows]
        assert events.Scalars("best_validation/perplexity")[0].value == pytest.approx(
            model.summary["best"]["validation_perplexity"]
        )
        assert events.Scalars("cost/tokens")[0].value == model.summary["tokens"]
    whole = EventAccumulator("runs/study/tracking/tensorboard/sweep")
    whole.Reload()
    assert [event.value for event in whole.Scalars("models/complete")] == [2.0]


@pytest.fixture
def sent(tmp_path):
    """A study with one finished model and a table of each command."""
    folder = write_study(tmp_path)
    evaluate(folder.models / "north-s0", 1, 2)
    complete(folder.models / "north-s0")
    for name in ("crosseval/differences.csv", "probes/differences.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    return folder


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
def test_mlflow_has_a_run_of_a_model_below_that_of_the_study(sent, tmp_path, monkeypatch):
    pytest.importorskip("mlflow", reason="needs raybert[mlflow]")
    from mlflow import MlflowClient

    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path}/store.db"
    assert raybert.track(tmp_path, "mlflow", overrides={"track.mlflow.uri": uri}).exit_code == ExitCode.DONE
    written, client = book(sent, "mlflow"), MlflowClient(uri)
    run = client.get_run(written["runs"]["north-s0"]["run"])
    assert (run.info.run_name, run.info.status, run.data.tags["raybert.role"]) == ("north-s0", "FINISHED", "pretrain")
    assert run.data.tags["mlflow.parentRunId"] == written["sweep"]
    assert run.data.params["pretrain.learning_rate"] == "0.001"
    history = client.get_metric_history(run.info.run_id, "validation/perplexity")
    assert [(metric.step, metric.value) for metric in history] == PERPLEXITIES
    assert run.data.metrics["cost/tokens_per_second"] == 500.0
    tables = [client.list_artifacts(written["sweep"], f"tables/{part}") for part in ("crosseval", "probes")]
    assert [item.path for (item,) in tables] == ["tables/crosseval/differences.csv", "tables/probes/differences.csv"]


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
def test_wandb_has_an_offline_run_of_a_model(sent, tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="needs raybert[wandb]")
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert raybert.track(tmp_path, "wandb").exit_code == ExitCode.DONE
    run = book(sent, "wandb")["runs"]["north-s0"]["run"]
    (path,) = (tmp_path / "tracking" / "wandb").glob(f"offline-run-*/run-{run}.wandb")
    records = list(wandb_records(path))
    first = next(record.run for record in records if record.HasField("run"))
    assert (first.display_name, first.job_type) == ("north-s0", "pretrain")
    rows = [
        {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
        for record in records
        if record.HasField("history")
    ]
    assert [(row["_step"], row["validation/perplexity"]) for row in rows] == PERPLEXITIES


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
def test_trackio_and_clearml_have_a_run_of_a_model(sent, tmp_path, monkeypatch):
    pytest.importorskip("trackio", reason="needs raybert[trackio]")
    pytest.importorskip("clearml", reason="needs raybert[clearml]")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    monkeypatch.setenv("CLEARML_OFFLINE_MODE", "1")
    assert raybert.track(tmp_path, ["trackio", "clearml"]).exit_code == ExitCode.DONE
    offline = tmp_path / "tracking" / "clearml" / "offline"
    task = offline / book(sent, "clearml")["runs"]["north-s0"]["run"]
    assert json.loads((task / "task.json").read_text())["name"] == "north-s0"
    events = [event for line in (task / "metrics.jsonl").read_text().splitlines() for event in json.loads(line)]
    seen = [
        (e["iter"], e["value"]) for e in events if (e.get("metric"), e.get("variant")) == ("validation", "perplexity")
    ]
    assert seen == PERPLEXITIES
    (study,) = [
        found for path in offline.glob("*/task.json") if (found := json.loads(path.read_text()))["name"] == "study"
    ]
    keys = {artifact["key"] for artifact in study["execution"]["artifacts"]}
    assert keys == {"crosseval/differences.csv", "probes/differences.csv"}
    assert book(sent, "trackio")["runs"]["north-s0"]["status"] == "complete"
