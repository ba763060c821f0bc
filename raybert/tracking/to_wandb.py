"""Weights & Biases: a run a trial, all in a group of the sweep, and a run of the sweep with what it leaves."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast, get_args

from raybert.config.packages import no_tracker
from raybert.config.track import WandbConfig
from raybert.errors import ConfigError
from raybert.tracking.book import FOLDER
from raybert.tracking.tracker import Artifacts, BeginAgain, Row, Scalar, TrackedSweep, TrackedTrial

try:
    import wandb
except ImportError:
    raise ConfigError(no_tracker("wandb")) from None

_Mode = Literal["online", "offline", "disabled", "shared"]
_FAILED = 1
"""Exit code of a run that did not end well."""
_SECONDS_TO_FINISH = 60.0
"""A run that cannot be sent is given up after these: its files stay, and `wandb sync` sends them."""
_SECONDS_TO_BEGIN = 30.0


class WandbTracker:
    """Sends to W&B, or writes what `wandb sync` sends later.

    Args:
        config: section of the sweep file.
        folder: where its files are.
    """

    is_live = True

    def __init__(self, config: WandbConfig, folder: Path) -> None:
        self._config, self._folder = config, folder
        self._mode = _mode_of(os.environ.get("WANDB_MODE") or "online") if config.mode == "auto" else config.mode
        if self._mode == "online" and not wandb.login(prompt=False, verify=False):
            raise ConfigError("track.wandb: needs WANDB_API_KEY, or `wandb login`; `mode: offline` needs neither")
        self._runs: dict[str, Any] = {}
        self._group = self._sweep = ""

    def open_sweep(self, sweep: TrackedSweep, run: str | None) -> str:
        self._group, self._sweep = sweep.group, run or f"{sweep.group}-sweep"
        self._begin(self._sweep, sweep.name, "sweep", sweep.parameters)
        return self._sweep

    def begin_trial(self, trial: TrackedTrial, run: str | None) -> str:
        run = run or trial.key
        self._begin(run, trial.name, trial.kind, trial.parameters)
        return run

    def log(self, run: str, rows: Sequence[Row]) -> None:
        for step, row in rows:
            self._runs[run].log(dict(row), step=step)

    def end_trial(self, run: str, status: str, summary: Mapping[str, float]) -> None:
        found = self._runs[run]
        found.summary.update({**summary, "status": status})
        found.finish(exit_code=0 if status == "complete" else _FAILED)
        del self._runs[run]

    def finish(self, artifacts: Artifacts) -> str:
        found = self._runs[self._sweep]
        found.log({f"plots/{name}": wandb.Image(str(path)) for name, path in artifacts.plots.items()})
        if artifacts.report is not None:
            found.log({"report": wandb.Html(str(artifacts.report), inject=False)})
        if artifacts.tables:
            results = wandb.Artifact(f"{self._group}-results", "results")
            for name, path in artifacts.tables.items():
                results.add_file(str(path), name=name)
            found.log_artifact(results)
        if artifacts.model is not None:
            model = wandb.Artifact(f"{self._group}-best", "model", metadata={"trial_id": artifacts.model_name})
            model.add_dir(str(artifacts.model))
            found.log_artifact(model)
        self.end_trial(self._sweep, artifacts.status, artifacts.summary)
        return self._sweep

    def close(self) -> None:
        for run in list(self._runs):
            self.end_trial(run, "stopped", {})

    def _begin(self, run: str, name: str, kind: str, parameters: Mapping[str, Scalar]) -> None:
        self._folder.mkdir(exist_ok=True)
        try:
            self._runs[run] = wandb.init(
                entity=self._config.entity,
                project=self._config.project,
                group=self._group,
                job_type=kind,
                id=run,
                name=name,
                config=dict(parameters),
                resume="allow",
                reinit="create_new",
                dir=str(self._folder),
                mode=self._mode,
                settings=_settings(),
            )
        except wandb.Error as error:  # its service takes the run for open from now on, and refuses to open it
            raise BeginAgain(f"{type(error).__name__}: {error}") from error


def make(config: WandbConfig, folder: Path) -> WandbTracker:
    """Return the tracker of a section of the sweep file."""
    return WandbTracker(config, Path(os.environ.get("WANDB_DIR") or folder / FOLDER))


def _mode_of(name: str) -> _Mode:
    """Return what WANDB_MODE says, as one of the library's modes."""
    for mode in get_args(_Mode):
        if name == mode:
            return cast("_Mode", mode)
    raise ConfigError(f"track.wandb: WANDB_MODE must be one of {', '.join(get_args(_Mode))}, got {name!r}")


def _settings() -> Any:
    """Return settings by which nothing of this process is read, printed or linked: runs are told of trials alone."""
    return wandb.Settings(
        console="off",
        silent=True,
        symlink=False,  # results folders have no links
        disable_git=True,
        save_code=False,
        disable_job_creation=True,
        x_disable_stats=True,
        x_disable_meta=True,
        x_save_requirements=False,
        init_timeout=_SECONDS_TO_BEGIN,
        finish_timeout=_SECONDS_TO_FINISH,
        finish_timeout_raises=True,
    )
