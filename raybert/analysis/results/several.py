"""Several sweeps as one: other data sets, encoders or budgets in the same tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from raybert.analysis.results.load import load_sweep
from raybert.analysis.results.sweep import Sweep
from raybert.errors import SweepError


@dataclass(frozen=True, repr=False)
class Sweeps:
    """The results of several sweeps. Their tables have the columns `sweep`, `data` and `encoder` in front.

    Attributes:
        sweeps: label -> results, in the order in which they were given.
    """

    sweeps: dict[str, Sweep]

    def __repr__(self) -> str:
        return f"<Sweeps: {', '.join(self.sweeps)}>"

    @cached_property
    def trials(self) -> pd.DataFrame:
        """The trials of all, as in `Sweep.trials`."""
        return self._together(lambda sweep: sweep.trials)

    @cached_property
    def evaluations(self) -> pd.DataFrame:
        """The evaluations of all, as in `Sweep.evaluations`."""
        return self._together(lambda sweep: sweep.evaluations)

    def summary(self, metric: str | None = None) -> pd.DataFrame:
        """Return the configurations of all, as `Sweep.summary` does.

        Args:
            metric: what verdicts are about; default: that of each sweep.

        Raises:
            SweepError: no metric has this name, or no finished trial of a sweep has it.
        """
        return self._together(lambda sweep: sweep.summary(metric))

    def compare(self, baseline: str | None = "random", metric: str | None = None) -> pd.DataFrame:
        """Return what is compared with a baseline inside of each sweep, as `Sweep.compare` does.

        Args:
            baseline: a strategy of every sweep; None: all that each compares.
            metric: what is compared on test; default: that of each sweep.

        Raises:
            SweepError: a sweep has no such strategy, or no such metric.
        """
        return self._together(lambda sweep: sweep.compare(baseline, metric))

    def metric(self, metric: str | None = None) -> str:
        """Return what all of them are compared by.

        Raises:
            SweepError: none is given, and theirs differ.
        """
        own = {label: sweep.metric for label, sweep in self.sweeps.items()}
        if metric is None and len(set(own.values())) > 1:
            told = ", ".join(f"{label} by {name}" for label, name in own.items())
            raise SweepError(f"metric: must be given, since the sweeps are about different ones ({told})")
        return metric or next(iter(own.values()))

    def _together(self, table: Callable[[Sweep], pd.DataFrame]) -> pd.DataFrame:
        parts = []
        for label, sweep in self.sweeps.items():
            frame = table(sweep)
            known = {"sweep": label, "data": data_of(sweep), "encoder": encoder_of(sweep)}
            front = pd.DataFrame({name: [value] * len(frame) for name, value in known.items()}, index=frame.index)
            parts.append(pd.concat([front.astype(object), frame], axis=1))
        return pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)


def load_sweeps(folders: Sequence[str | Path | Sweep], *, trust: bool = False) -> Sweeps:
    """Return the results of several sweeps as one, finished or not.

    Args:
        folders: of the results, or sweeps.
        trust: ask databases that the folders name for their searches.

    Raises:
        SweepError: there are none, one is given twice, or one has no readable plan.

    Example:
        >>> both = raybert.load_sweeps(["runs/sst2", "runs/agnews"])
        >>> both.summary().pivot_table(index="strategy", columns="sweep", values="test_accuracy_mean")
    """
    if not folders or isinstance(folders, str):
        raise SweepError(f"folders: must be a list of results folders, got {folders!r}")
    sweeps = [one if isinstance(one, Sweep) else load_sweep(one, trust=trust) for one in folders]
    places = [sweep.folder.resolve() for sweep in sweeps]
    twice = [sweep.folder for number, sweep in enumerate(sweeps) if places[number] in places[:number]]
    if twice:
        raise SweepError(f"folders: must be different, got {twice[0]} twice")
    return Sweeps(dict(zip(_labels(sweeps), sweeps, strict=True)))


def data_of(sweep: Sweep) -> str:
    """Return the data of a sweep, as its file names them; of a path the last part."""
    return _named(sweep, "source")


def encoder_of(sweep: Sweep) -> str:
    """Return the encoder of a sweep, as its file names it; of a path the last part."""
    return _named(sweep, "encoder")


def fingerprints_of(sweep: Sweep) -> frozenset[str]:
    """Return what tells the data of a sweep from others; of a folder that does not say, the folder."""
    found = {str(entry["fingerprint"]) for entry in _described(sweep) if entry.get("fingerprint")}
    return frozenset(found or {str(sweep.folder.resolve())})


def _described(sweep: Sweep) -> list[dict[str, object]]:
    data = sweep.manifest.get("data")
    return [dict(entry) for entry in data.values()] if isinstance(data, dict) else []


def _named(sweep: Sweep, key: str) -> str:
    names = (str(entry[key]) for entry in _described(sweep) if entry.get(key))
    return ", ".join(dict.fromkeys(Path(name).name if Path(name).is_absolute() else name for name in names))


def _labels(sweeps: Sequence[Sweep]) -> list[str]:
    """Return the names of the sweeps, or if these are not different those of their folders, or their paths."""
    choices = [
        [sweep.name for sweep in sweeps],
        [sweep.folder.resolve().name for sweep in sweeps],
        [str(sweep.folder) for sweep in sweeps],
    ]
    return next((names for names in choices if len(set(names)) == len(names)), choices[-1])
