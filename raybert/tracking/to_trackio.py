"""Trackio: a run a trial, all in a group of the sweep, and a run of the sweep with what it leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from raybert.config.packages import no_tracker
from raybert.config.track import TrackioConfig
from raybert.errors import ConfigError
from raybert.passwords import whole
from raybert.tracking.tracker import Artifacts, Row, Scalar, TrackedSweep, TrackedTrial

try:
    import trackio
    from trackio import context_vars
except ImportError:
    raise ConfigError(no_tracker("trackio")) from None


class TrackioTracker:
    """Sends to a Space or a server of Trackio, or writes to its database on this machine.

    Trackio ends the run before when it begins another one in its context, so it is told to forget that one.
    """

    is_live = True

    def __init__(self, config: TrackioConfig) -> None:
        self._config = config
        self._server = None if config.server is None else whole(config.server, "track.trackio.server")
        self._runs: dict[str, Any] = {}
        self._group = self._sweep = ""

    def open_sweep(self, sweep: TrackedSweep, run: str | None) -> str:
        self._group, self._sweep = sweep.group, run or f"{sweep.group}-sweep"
        self._begin(self._sweep, sweep.parameters)
        return self._sweep

    def begin_trial(self, trial: TrackedTrial, run: str | None) -> str:
        run = run or f"{trial.name}-{trial.key.rpartition('-')[2]}"
        self._begin(run, trial.parameters)
        return run

    def log(self, run: str, rows: Sequence[Row]) -> None:
        for step, row in rows:
            self._runs[run].log(dict(row), step=step)

    def end_trial(self, run: str, status: str, summary: Mapping[str, float]) -> None:
        self._runs[run].log({**summary, "status": status})
        self._runs[run].finish()
        del self._runs[run]

    def finish(self, artifacts: Artifacts) -> str:
        run = self._runs[self._sweep]
        if artifacts.plots:
            run.log({f"plots/{name}": trackio.Image(str(path)) for name, path in artifacts.plots.items()})
        files = dict(artifacts.tables) | ({} if artifacts.report is None else {artifacts.report.name: artifacts.report})
        if files:
            results = trackio.Artifact(f"{self._group}-results", type="results")
            for name, path in files.items():
                results.add_file(str(path), name=name)
            run.log_artifact(results)
        if artifacts.model is not None:
            run.log_artifact(str(artifacts.model), name=f"{self._group}-best", type="model")
        self.end_trial(self._sweep, artifacts.status, artifacts.summary)
        return self._sweep

    def close(self) -> None:
        for run in list(self._runs):
            self.end_trial(run, "stopped", {})

    def _begin(self, run: str, parameters: Mapping[str, Scalar]) -> None:
        context_vars.current_run.set(None)
        self._runs[run] = trackio.init(
            self._config.project,
            name=run,
            group=self._group,
            space_id=self._config.space,
            server_url=self._server,
            config=dict(parameters),
            resume="allow",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )
        context_vars.current_run.set(None)


def make(config: TrackioConfig, folder: Path) -> TrackioTracker:
    """Return the tracker of a section of the sweep file."""
    return TrackioTracker(config)
