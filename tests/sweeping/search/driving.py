"""Drives a search the way Tune does, without Ray processes: a planted objective reports in place of training runs."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ray.tune.search import Searcher

from raybert.config import RaybertConfig, validate_config
from raybert.sweeping.cluster.tune_run import RUN_ENDED
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.plan.arms import Arm, build_arms
from raybert.sweeping.plan.design import read_design
from raybert.sweeping.plan.specs import PoolFacts, RunSpec
from raybert.sweeping.search.log import DecisionLog
from raybert.sweeping.search.resume import reconcile
from raybert.sweeping.search.search_state import SearchState
from raybert.sweeping.search.storage import open_storage, study_name
from raybert.sweeping.search.study import ArmStudy
from raybert.sweeping.search.tune import ArmScheduler, ArmSearcher
from tests.sweeping.planning import FACTS, pools_of

RATE = {"train.learning_rate": {"low": 1e-5, "high": 1e-3, "log": True}}
Curve = Callable[[RunSpec], list[float]]
"""Validation values of a run's evaluations, at equal distances; NaN at the end: the run fails."""


def config_of(tune: Mapping[str, Any] | None = None, **sections: Any) -> RaybertConfig:
    """Two strategies without signals, 100 examples, 100 steps of 10, no disk to wait for."""
    sweep = {
        "strategies": ["random", "random_stratified"],
        "seeds": 2,
        "tune": {"suggestions_per_strategy": 4, "space": RATE, "asha": {"grace_fraction": 0.1}, **(tune or {})},
        **sections.pop("sweep", {}),
    }
    train = {"length": {"steps": 100}, "batch_size": 10, **sections.pop("train", {})}
    return validate_config({"sweep": sweep, "train": train, **sections})


def arms_of(config: RaybertConfig, facts: PoolFacts = FACTS) -> tuple[Arm, ...]:
    design = read_design(config)
    return build_arms(design, pools_of(design, facts))


class Killed(BaseException):
    """The driver is gone."""


@contextmanager
def opened(config: RaybertConfig, folder: Path, log: DecisionLog | None = None) -> Iterator[SearchState]:
    """What a driver has after its start."""
    tune = config.sweep.tune
    assert tune is not None
    arms = arms_of(config)
    with open_storage(tune, folder) as storage:
        studies = {arm.name: ArmStudy(arm, tune, storage, study_name(config, arm.name)) for arm in arms}
        search = SearchState(
            arms, tune, studies, log or DecisionLog(SweepFolder(folder).decisions), SweepFolder(folder)
        )
        reconcile(search)
        yield search


@dataclass
class TuneTrial:
    """What a scheduler sees of a Tune trial."""

    trial_id: str
    config: dict[str, Any]
    reports: Iterator[dict[str, Any]] = field(default_factory=lambda: iter(()))


def drive(
    search: SearchState,
    curve: Curve,
    slots: int = 1,
    most: float = math.inf,
    should_stop: Callable[[], bool] = lambda: False,
) -> int:
    """Run suggestions until the search has no more, or `most` reports were made; return how many were."""
    searcher, scheduler = ArmSearcher(search, should_stop), ArmScheduler(search)
    running: list[TuneTrial] = []
    num_given = num_reports = 0
    is_finished = False
    while True:
        while not is_finished and len(running) < slots:
            suggested = searcher.suggest(str(num_given))
            if suggested is None:
                break
            if suggested == Searcher.FINISHED:
                is_finished = True
                break
            trial = TuneTrial(str(num_given), suggested)
            trial.reports = _reports(search, trial, curve)
            running.append(trial)
            num_given += 1
        if not running:
            return num_reports
        for trial in list(running):
            report = next(trial.reports, None)
            num_reports += report is not None
            if num_reports > most:
                return num_reports
            if report is None or scheduler.on_trial_result(None, trial, report) == "STOP":
                running.remove(trial)
                searcher.on_trial_complete(trial.trial_id)


def _reports(search: SearchState, trial: TuneTrial, curve: Curve) -> Iterator[dict[str, Any]]:
    """What the actor's function reports; after a restart all rows come again, as from `evaluations.jsonl`."""
    arm = next(arm for arm in search.arms if arm.name == trial.config["arm"])
    for spec in arm.runs(trial.config["params"]):
        rows = rows_of(spec, curve(spec), arm.metric)
        for row in rows:
            if not math.isnan(row[f"validation_{arm.metric}"]):
                yield {**row, "raybert_seed": spec.seed}
        has_failed = math.isnan(rows[-1][f"validation_{arm.metric}"])
        run = search.folder.trial(spec.trial_id)
        run.path.mkdir(parents=True, exist_ok=True)
        if has_failed:
            run.fail("TrialError: the loss must be finite", "nan")
            yield {RUN_ENDED: "failed", "raybert_seed": spec.seed}
            return
        yield {RUN_ENDED: "complete", "raybert_seed": spec.seed}


def rows_of(spec: RunSpec, values: list[float], metric: str) -> list[dict[str, Any]]:
    every = spec.total_steps / len(values)
    return [
        {
            "evaluation": i,
            "step": round(i * every),
            "examples_seen": round(i * every) * spec.config.train.batch_size,
            f"validation_{metric}": value,
            "seconds": float(i),
        }
        for i, value in enumerate(values, start=1)
    ]


def run_whole(config: RaybertConfig, folder: Path, curve: Curve, slots: int = 1) -> SearchState:
    folder.mkdir(parents=True, exist_ok=True)
    with opened(config, folder) as search:
        drive(search, curve, slots)
        return search


def events(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (SweepFolder(folder).decisions).read_text().splitlines()]


def study_rows(search: SearchState) -> dict[tuple[str, int], tuple[Any, ...]]:
    """State, value, parameters, intermediate values and attributes of every suggestion in the studies."""
    return {
        (name, trial.number): (
            trial.state.name,
            trial.value,
            trial.params,
            trial.intermediate_values,
            trial.user_attrs,
        )
        for name, study in search.studies.items()
        for trial in study.trials()
    }


def rungs(search: SearchState) -> dict[str, Any]:
    """Milestone (examples) -> suggestion -> value, higher is better, of every arm with early stopping."""
    found = {name: stopper._asha for name, stopper in search.stoppers.items() if stopper._asha is not None}
    return {name: {at: dict(values) for at, values in asha._brackets[0]._rungs} for name, asha in found.items()}
