"""Which models a sweep keeps: the best ones, within a number and a size."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from raybert.config import RaybertConfig
from raybert.pretraining.run import MODEL
from raybert.sweeping.folder.best import Ranking
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.folder.predictions import validation_value
from raybert.sweeping.plan.roles import TRIAL
from raybert.sweeping.plan.specs import RunSpec

GIGABYTE = 10**9


@dataclass
class ModelKeeper:
    """Deletes the models of finished trials that are not among the best, whenever one ends.

    A trial ranks as it does for `best/` (`Ranking`). So whatever goes on the way, the best configuration has a model in
    the end: with its last trial it is in front for good, and that trial's model is there. Models of proxies and parts
    are left alone: scoring needs them. Results are read once: a sweep of thousands of trials would else read all of
    them whenever one ends.

    Attributes:
        folder: of the sweep.
        config: `sweep.keep_best`, `limits.disk_gb`, `train.best_metric`.
        trials: all runs that may end.
        note: told once when the checkpoints of running trials alone are above the limit.
        ranking: of the finished trials.
        models: trial id -> bytes of finished trials whose models are still there.
    """

    folder: SweepFolder
    config: RaybertConfig
    trials: Sequence[RunSpec]
    note: Callable[[str], None]
    ranking: Ranking = field(init=False)
    models: dict[str, int] = field(default_factory=dict)
    has_warned: bool = False

    def __post_init__(self) -> None:
        self.ranking = Ranking([spec.summary() for spec in self.trials], self.config.train.best_metric)

    @property
    def is_active(self) -> bool:
        """Whether anything limits what is kept."""
        return self.config.sweep.keep_best is not None or self.config.limits.disk_gb is not None

    def begin(self) -> None:
        """Learn what was finished earlier."""
        for spec in self.trials:
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
        self.ranking.add(spec.trial_id, validation_value(trial, self.config.train.best_metric))
        if trial.has_model():
            self.models[spec.trial_id] = _checkpoint_bytes(trial.path)

    def _prune(self) -> None:
        if not self.is_active:
            return
        ranked = self._ranked()
        most = self.config.sweep.keep_best
        for trial_id in ranked[most:] if most is not None else []:
            self._remove(trial_id)
        if self.config.limits.disk_gb is not None:
            self._fit(ranked[:most], self.config.limits.disk_gb * GIGABYTE)

    def _fit(self, ranked: list[str], limit: float) -> None:
        """Delete models from the worst on until all checkpoints fit, but never the best one."""
        others = checkpoint_bytes(self.folder, self.models)

        def size() -> int:
            return others + sum(self.models.values())

        while size() > limit and len(ranked) > 1:
            self._remove(ranked.pop())
        if size() > limit and not self.has_warned:
            self.has_warned = True
            self.note(
                f"note: limits.disk_gb: checkpoints must fit into {limit / GIGABYTE:g} GB, but the best model and what "
                f"running trials, proxies and pretrained encoders need take {size() / GIGABYTE:.2f} GB"
            )

    def _remove(self, trial_id: str) -> None:
        self.folder.trial(trial_id).remove_models()
        del self.models[trial_id]

    def _ranked(self) -> list[str]:
        """Return the finished trials whose models are there, best first; those without a value are the last."""
        ranked = [trial_id for trial_id in self.ranking.trials() if trial_id in self.models]
        known = set(ranked)
        return [*ranked, *(trial_id for trial_id in self.models if trial_id not in known)]


def checkpoint_bytes(folder: SweepFolder, without: Container[str] = ()) -> int:
    """Return the size of all checkpoints and pretrained encoders of a results folder, without some trials'."""
    trials = (folder.path / "trials").glob("*")
    encoders = (_checkpoint_bytes(run) + _bytes_in(run / MODEL) for run in folder.models.glob("*"))
    return sum(encoders) + sum(_checkpoint_bytes(path) for path in trials if path.name not in without)


def _checkpoint_bytes(trial: Path) -> int:
    """Return the size of a run's checkpoints."""
    return _bytes_in(trial / "checkpoint")


def _bytes_in(folder: Path) -> int:
    """Return the size of all files of a folder; what vanishes meanwhile counts nothing."""
    total = 0
    for path in folder.glob("**/*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue
    return total
