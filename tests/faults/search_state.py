"""What a search has left behind: the decisions of its log, the studies, and whether both say the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import optuna
import pytest

from raybert.files import read_json_lines

Decision = tuple[Any, ...]


def decisions(folder: Path) -> list[dict[str, Any]]:
    """Return all events of the log in order, without what a clock measured."""
    events = [json.loads(line) for line in (folder / "decisions.jsonl").read_text().splitlines()]
    return [{key: value for key, value in event.items() if key != "seconds"} for event in events]


def studies(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Return all suggestions of all studies, without what a clock measured."""
    storage = optuna.storages.RDBStorage(f"sqlite:///{folder / 'study.db'}")
    try:
        loaded = {
            name: optuna.load_study(study_name=name, storage=storage).get_trials()
            for name in optuna.get_all_study_names(storage)
        }
    finally:
        storage.engine.dispose()
    return {name: [_plain(trial) for trial in trials] for name, trials in sorted(loaded.items())}


def _plain(trial: optuna.trial.FrozenTrial) -> dict[str, Any]:
    attributes = {key: value for key, value in trial.user_attrs.items() if key != "seconds"}
    return {
        "number": trial.number,
        "state": trial.state.name,
        "value": trial.value,
        "params": trial.params,
        "curve": trial.intermediate_values,
        "attributes": attributes,
    }


def num_zombies(folder: Path) -> int:
    """Return how many suggestions a killed driver has left as running."""
    if not (folder / "study.db").exists():
        return 0
    return sum(trial["state"] == "RUNNING" for trials in studies(folder).values() for trial in trials)


def assert_consistent(folder: Path, per_arm: int) -> None:
    """Every decision is in the log once, on what a run reported, and the studies hold exactly that."""
    events = decisions(folder)
    keys = [
        (event["event"], event["arm"], event["number"], event.get("seed"), event.get("evaluation")) for event in events
    ]
    assert len(keys) == len(set(keys))
    for name, trials in studies(folder).items():
        assert [trial["number"] for trial in trials] == list(range(per_arm))
        for trial in trials:
            assert trial["state"] in ("COMPLETE", "PRUNED")
            own = [event for event in events if event["arm"] == name and event["number"] == trial["number"]]
            _assert_says_the_same(folder, trial, own)


def _assert_says_the_same(folder: Path, trial: dict[str, Any], events: list[dict[str, Any]]) -> None:
    (begun,) = [event for event in events if event["event"] == "suggest"]
    (ended,) = [event for event in events if event["event"] == "end"]
    reports = [event for event in events if event["event"] == "report"]
    assert begun["params"] == trial["params"]
    assert ended["status"] == trial["state"].lower()
    first = [event for event in reports if event["seed"] == trial["attributes"]["seeds"][0]]
    assert {event["examples_seen"]: event["value"] for event in first} == trial["curve"]
    for run, seed in zip(trial["attributes"]["runs"], trial["attributes"]["seeds"], strict=True):
        rows = {row["evaluation"]: row for row in read_json_lines(folder / "trials" / run / "evaluations.jsonl")}
        own = sorted((event for event in reports if event["seed"] == seed), key=lambda event: event["evaluation"])
        best = -float("inf")
        for event in own:
            best = max(best, rows[event["evaluation"]]["validation_accuracy"])
            assert event["value"] == best
            assert event["examples_seen"] == rows[event["evaluation"]]["examples_seen"]
    if ended["status"] == "complete":
        values = trial["attributes"]["values"]
        assert trial["value"] == ended["value"] == pytest.approx(sum(values) / len(values))
