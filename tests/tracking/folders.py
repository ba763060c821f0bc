"""A tracker that remembers what it was told, and results folders written by hand."""

import json
from pathlib import Path

from raybert.sweeping.folder.layout import SweepFolder
from raybert.tracking.delivery import Delivery


class FakeTracker:
    """Remembers every call; a run is called by the key of its trial."""

    def __init__(self, is_live=True):
        self.is_live = is_live
        self.calls = []
        self.before = {}
        self.errors = []
        self.at_log = lambda run: None

    def open_sweep(self, sweep, run):
        self.tell("open", sweep.name)
        self.before["sweep"] = run
        return "the-sweep"

    def begin_trial(self, trial, run):
        self.tell("begin", trial.trial_id)
        self.before[trial.trial_id] = run
        self.parameters = trial.parameters
        return run or f"run-{trial.trial_id}"

    def log(self, run, rows):
        self.at_log(run)
        self.tell("log", run, [step for step, _ in rows])
        self.rows = rows

    def end_trial(self, run, status, summary):
        self.tell("end", run, status)
        self.summary = summary

    def finish(self, artifacts):
        self.tell("finish", artifacts.model_name if artifacts.model else None)
        self.artifacts = artifacts
        return "the-sweep"

    def close(self):
        self.tell("close")

    def tell(self, *call):
        if self.errors and (error := self.errors.pop(0)) is not None:
            raise error
        self.calls.append(call)


def write_folder(folder: Path, trials=("a", "b"), **keys) -> SweepFolder:
    lines = [{"trial_id": trial, "strategy": "el2n", "role": "trial", "seed": n} for n, trial in enumerate(trials)]
    (folder / "attempt").write_text("1")
    (folder / "lock").touch()
    (folder / "plan.json").write_text(json.dumps({"name": "demo", "trials": lines}))
    (folder / "resolved.yaml").write_text(json.dumps({"name": "demo", **keys}))
    for line in lines:
        trial = folder / "trials" / line["trial_id"]
        trial.mkdir(parents=True)
        config = {
            "train": {"learning_rate": 1e-3},
            "data": {"source": "https://me:s3cret@host/x"},
            "sweep": {"seeds": [0]},
        }
        spec = {**line, "label": "el2n", "budget": 4, "config": config, "strategy": {"name": "el2n", "rounds": 5}}
        (trial / "spec.json").write_text(json.dumps({"spec": spec}))
    return SweepFolder(folder)


def evaluate(folder: SweepFolder, trial: str, *steps: int) -> None:
    for step in steps:
        row = {"evaluation": step, "step": 10 * step, "pass": 0.5, "examples_seen": 40, "seconds": 1.0}
        row |= {"train_loss": 2.0 / step, "validation_accuracy": step / 10, "validation_loss": None}
        folder.trial(trial).append_row(row)


def complete(folder: SweepFolder, trial: str) -> None:
    result = {
        "test_accuracy": 0.75,
        "validation_accuracy": 0.5,
        "train_seconds": 3.0,
        "device": "cpu",
        "samples_per_pass": [4],
    }
    folder.trial(trial).finish(result)


def delivery(folder: SweepFolder, tracker: FakeTracker, place="here", **keys) -> Delivery:
    return Delivery("mlflow", place, lambda: tracker, folder, keys.get("wants_model", True))
