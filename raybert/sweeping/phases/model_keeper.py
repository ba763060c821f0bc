"""Which models a sweep keeps: the best ones, within a number and a size."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from raybert.config import RaybertConfig, sign_of
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.folder.trial_folder import TrialFolder
from raybert.sweeping.plan.specs import TRIAL, RunSpec

GIGABYTE = 10**9
_Configuration = tuple[str, int, str]


@dataclass(frozen=True)
class _Model:
    spec: RunSpec
    num_bytes: int


@dataclass
class ModelKeeper:
    """Deletes the models of finished trials that are not among the best, whenever one ends.

    A trial ranks by the mean validation metric of its configuration over the seeds that are finished, then by its own.
    Models of proxies and parts are left alone: scoring needs them. Results are read once: a sweep of thousands of
    trials would else read all of them whenever one ends.

    Attributes:
        folder: of the sweep.
        config: `sweep.keep_best`, `limits.disk_gb`, `train.best_metric`.
        note: told once when the checkpoints of running trials alone are above the limit.
        scores: of finished trials by configuration and id, higher is better.
        models: of finished trials, those that are still there.
    """

    folder: SweepFolder
    config: RaybertConfig
    note: Callable[[str], None]
    scores: dict[_Configuration, dict[str, float]] = field(default_factory=dict)
    models: dict[str, _Model] = field(default_factory=dict)
    has_warned: bool = False

    @property
    def is_active(self) -> bool:
        """Whether anything limits what is kept."""
        return self.config.sweep.keep_best is not None or self.config.limits.disk_gb is not None

    def begin(self, trials: Sequence[RunSpec]) -> None:
        """Learn what was finished earlier."""
        for spec in trials:
            self._learn(spec)
        self._prune()

    def ended(self, spec: RunSpec) -> None:
        """Learn that a trial has ended."""
        self._learn(spec)
        self._prune()

    def _learn(self, spec: RunSpec) -> None:
        trial = self.folder.trial(spec.trial_id)
        if not self.is_active or spec.role != TRIAL or trial.status() != "complete":
            return
        self.scores.setdefault(_configuration(spec), {})[spec.trial_id] = self._score(trial)
        if trial.has_model():
            self.models[spec.trial_id] = _Model(spec, _checkpoint_bytes(trial.path))

    def _prune(self) -> None:
        if not self.is_active:
            return
        ranked = self._ranked()
        most = self.config.sweep.keep_best
        for spec in ranked[most:] if most is not None else []:
            self._remove(spec)
        if self.config.limits.disk_gb is not None:
            self._fit(ranked[:most], self.config.limits.disk_gb * GIGABYTE)

    def _fit(self, ranked: list[RunSpec], limit: float) -> None:
        """Delete models from the worst on until all checkpoints fit, but never the best one."""
        others = checkpoint_bytes(self.folder, self.models)

        def size() -> int:
            return others + sum(model.num_bytes for model in self.models.values())

        while size() > limit and len(ranked) > 1:
            self._remove(ranked.pop())
        if size() > limit and not self.has_warned:
            self.has_warned = True
            self.note(
                f"note: limits.disk_gb: checkpoints must fit into {limit / GIGABYTE:g} GB, but the best model and what "
                f"running trials and proxies need take {size() / GIGABYTE:.2f} GB"
            )

    def _remove(self, spec: RunSpec) -> None:
        self.folder.trial(spec.trial_id).remove_models()
        del self.models[spec.trial_id]

    def _ranked(self) -> list[RunSpec]:
        """Return the finished trials whose models are there, best first."""

        def rank(spec: RunSpec) -> tuple[float, float, str]:
            scores = self.scores[_configuration(spec)]
            return -float(np.mean(list(scores.values()))), -scores[spec.trial_id], spec.trial_id

        return sorted((model.spec for model in self.models.values()), key=rank)

    def _score(self, trial: TrialFolder) -> float:
        metric = self.config.train.best_metric
        return sign_of(metric) * float(trial.result()[f"validation_{metric}"])


def checkpoint_bytes(folder: SweepFolder, without: Container[str] = ()) -> int:
    """Return the size of all checkpoints of a results folder, or of those without some trials'."""
    paths = (folder.path / "trials").glob("*")
    return sum(_checkpoint_bytes(path) for path in paths if path.name not in without)


def _checkpoint_bytes(trial: Path) -> int:
    """Return the size of a trial's checkpoints; what vanishes meanwhile counts nothing."""
    total = 0
    for path in (trial / "checkpoint").glob("**/*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue
    return total


def _configuration(spec: RunSpec) -> _Configuration:
    return spec.label, spec.budget, str(sorted(spec.grid.items(), key=str))
