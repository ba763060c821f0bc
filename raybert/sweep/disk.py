"""Which models a sweep keeps: the best ones, within a number and a size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from raybert.config import LOWER_IS_BETTER, RaybertConfig
from raybert.sweep.folder import SweepFolder
from raybert.sweep.specs import TRIAL, TrialSpec

GIGABYTE = 10**9


@dataclass
class ModelKeeper:
    """Deletes the models of finished trials that are not among the best, whenever one ends.

    A trial ranks by the mean validation metric of its configuration over the seeds that are finished, then by its own.
    Models of proxies and parts are left alone: scoring needs them.

    Attributes:
        folder: of the sweep.
        config: `sweep.keep_best`, `limits.disk_gb`, `train.best_metric`.
        note: told once when the checkpoints of running trials alone are above the limit.
    """

    folder: SweepFolder
    config: RaybertConfig
    note: Callable[[str], None]
    finished: dict[str, TrialSpec] = field(default_factory=dict)
    has_warned: bool = False

    @property
    def is_active(self) -> bool:
        """Whether anything limits what is kept."""
        return self.config.sweep.keep_best is not None or self.config.limits.disk_gb is not None

    def begin(self, trials: Sequence[TrialSpec]) -> None:
        """Learn what was finished earlier."""
        for spec in trials:
            self._learn(spec)
        self._prune()

    def ended(self, spec: TrialSpec) -> None:
        """Learn that a trial has ended."""
        self._learn(spec)
        self._prune()

    def _learn(self, spec: TrialSpec) -> None:
        if self.is_active and spec.role == TRIAL and self.folder.trial(spec.trial_id).status() == "complete":
            self.finished[spec.trial_id] = spec

    def _prune(self) -> None:
        if not self.is_active:
            return
        ranked = [spec for spec in self._ranked() if self.folder.trial(spec.trial_id).has_model()]
        most = self.config.sweep.keep_best
        for spec in ranked[most:] if most is not None else []:
            self.folder.trial(spec.trial_id).remove_models()
        if self.config.limits.disk_gb is not None:
            self._fit(ranked[:most], self.config.limits.disk_gb * GIGABYTE)

    def _fit(self, ranked: list[TrialSpec], limit: float) -> None:
        """Delete models from the worst on until all checkpoints fit, but never the best one."""
        size = checkpoint_bytes(self.folder)
        while size > limit and len(ranked) > 1:
            self.folder.trial(ranked.pop().trial_id).remove_models()
            size = checkpoint_bytes(self.folder)
        if size > limit and not self.has_warned:
            self.has_warned = True
            self.note(
                f"note: limits.disk_gb: checkpoints must fit into {limit / GIGABYTE:g} GB, but the best model and what "
                f"running trials and proxies need take {size / GIGABYTE:.2f} GB"
            )

    def _ranked(self) -> list[TrialSpec]:
        """Return finished trials, best first."""
        scores = {trial_id: self._score(trial_id) for trial_id in self.finished}
        groups: dict[tuple[str, int, str], list[float]] = {}
        for trial_id, spec in self.finished.items():
            groups.setdefault(_configuration(spec), []).append(scores[trial_id])
        means = {key: float(np.mean(values)) for key, values in groups.items()}
        return sorted(
            self.finished.values(),
            key=lambda spec: (-means[_configuration(spec)], -scores[spec.trial_id], spec.trial_id),
        )

    def _score(self, trial_id: str) -> float:
        metric = self.config.train.best_metric
        value = float(self.folder.trial(trial_id).result()[f"validation_{metric}"])
        return -value if metric in LOWER_IS_BETTER else value


def checkpoint_bytes(folder: SweepFolder) -> int:
    """Return the size of all checkpoints of a results folder; what vanishes meanwhile counts nothing."""
    total = 0
    for path in (folder.path / "trials").glob("*/checkpoint/**/*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue
    return total


def _configuration(spec: TrialSpec) -> tuple[str, int, str]:
    return spec.label, spec.budget, str(sorted(spec.grid.items(), key=str))
