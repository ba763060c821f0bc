"""One pretraining of a results folder, in whatever process it runs: a trial whose loop has another objective."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from raybert.config import LimitsConfig, ResourcesConfig
from raybert.files import read_json, write_json
from raybert.pretraining.progress import PretrainingProgress
from raybert.pretraining.records import SUMMARY, RunRecords
from raybert.pretraining.request import PretrainRequest
from raybert.pretraining.run import MODEL, FitFunction, known_steps, pretrain_within
from raybert.sweeping.folder.failures import Failure
from raybert.sweeping.folder.fence import Superseded
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.folder.trial_folder import TrialFolder
from raybert.sweeping.folder.trial_log import BEGINNING, opened_log
from raybert.sweeping.trial.journal import Journal
from raybert.sweeping.trial.pretraining_run import PretrainingRun
from raybert.sweeping.trial.process import check_time, device_of, prepare_process, run_recorded
from raybert.sweeping.trial.surroundings import (
    Report,
    ReportStart,
    ReportStep,
    TrialSurroundings,
    no_report,
)
from raybert.training.loop import fit
from raybert.training.ran_on import RanOn


@dataclass(frozen=True)
class PretrainingOutcome:
    """What became of a pretraining.

    Attributes:
        name: of its folder.
        folder: of the run.
        status: `complete`, `failed`, or `stopped`: it goes on another time, or has not begun.
        summary: what `training_summary.json` holds; None: it is not complete.
        failure: why it failed; None: it did not.
    """

    name: str
    folder: Path
    status: str
    summary: Mapping[str, Any] | None = None
    failure: Failure | None = None

    @property
    def model(self) -> Path:
        """The transformers folder."""
        return self.folder / MODEL


def status_of(request: PretrainRequest) -> str:
    """Return `complete`, `failed` or `pending`; a summary that is damaged is deleted, and written anew by its run."""
    folder = TrialFolder(request.folder)
    path = request.folder / SUMMARY
    if path.exists() and read_json(path) is None:
        path.unlink()
    return folder.status()


def read_outcome(request: PretrainRequest) -> PretrainingOutcome:
    """Return what became of a pretraining, by its files."""
    folder, status = TrialFolder(request.folder), status_of(request)
    summary = read_json(request.folder / SUMMARY) if status == "complete" else None
    failure = folder.failure() if status == "failed" else None
    status = status if status in ("complete", "failed") else "stopped"
    return PretrainingOutcome(request.name, request.folder, status, summary, failure)


@dataclass
class PretrainingSurroundings(TrialSurroundings):
    """The surroundings of a pretraining, whose records write its files.

    Attributes:
        records: of the run, once its model is built.
    """

    records: RunRecords | None = field(default=None)

    def write_row(self, row: Mapping[str, Any]) -> None:
        """Write an evaluation in its place."""
        assert self.records is not None
        self.records.write(row)

    def begun(self, ran_on: RanOn) -> None:
        """Remember on what the run computes, for its summary, too."""
        assert self.records is not None
        self.records.ran_on = ran_on
        super().begun(ran_on)

    def with_records(self, records: RunRecords) -> PretrainingSurroundings:
        """Learn what is to be recorded, and T with it; returns itself."""
        self.records, self.model_files = records, records.complete
        self.total_steps = records.total_steps
        if self.heart is not None:
            self.heart.total_steps = records.total_steps
            self.heart.beat(force=True)
        if self.journal is not None:
            self.journal = replace(self.journal, total_steps=records.total_steps)
        return self


class _Logged(PretrainingProgress):
    """Logs what happens before the first step."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log

    def note(self, text: str) -> None:
        self._log.info("%s", text)

    def preparing(self, name: str) -> None:
        self._log.info("tokenizes and packs its corpus")

    def ended(self, name: str, summary: Mapping[str, Any]) -> None:
        best = summary["best"]
        self._log.info(
            "complete: validation loss %.4f at step %s, after %.1f s",
            best.get("validation_loss", float("nan")),
            f"{best.get('step', 0):,}",
            summary["seconds"],
        )


def run_pretraining(
    request: PretrainRequest,
    sweep: SweepFolder,
    resources: ResourcesConfig,
    limits: LimitsConfig,
    *,
    report: Report = no_report,
    report_step: ReportStep | None = None,
    report_start: ReportStart | None = None,
    fit_function: FitFunction = fit,
) -> str:
    """Run a pretraining to its end and return `complete`, `failed` or `stopped`; its own failure is no exception.

    Args:
        request: what is trained, and where.
        sweep: the results folder that it belongs to, whose owner may ask it to stop.
        resources: of the run.
        limits: of the run.
        report: told of evaluations.
        report_step: told of steps, in this process.
        report_start: told on what it runs, in this process.
        fit_function: trains; by default in this process.

    Raises:
        TrialError: a process that an earlier owner of the folder left behind does not let go of it.
        OSError: the failure cannot be recorded, because the disk is full.
    """
    run, folder = PretrainingRun(request), TrialFolder(request.folder)
    if status_of(request) == "complete":
        return "complete"
    surroundings = PretrainingSurroundings(
        folder,
        sweep.stop_request,
        sweep.fence,
        known_steps(request.folder),
        report,
        limits.trial_seconds,
        report_step=report_step,
        report_start=report_start,
        journal=Journal(run.best_metric, run.total_steps),
    )
    try:
        with surroundings.alive() as why_again:
            if status_of(request) == "complete":  # by the process that was waited for
                return "complete"
            write_json(folder.path / "spec.json", {"spec": run.spec()})
            with opened_log(folder.path) as log:
                _log_beginning(log, run, why_again)
                prepare_process(resources.cpus_per_worker, request.seed)

                def train() -> bool:
                    placed = replace(request, device=_device(request, resources))
                    made = pretrain_within(placed, surroundings.with_records, _Logged(log), fit_function)
                    if made.summary is not None:
                        folder.forget_failure()
                        return True
                    check_time(surroundings, surroundings.heart.step if surroundings.heart is not None else 0)
                    log.info("stopped, resumable")
                    return False

                return run_recorded(train, folder, log)
    except Superseded:
        return "stopped"


def _device(request: PretrainRequest, resources: ResourcesConfig) -> str:
    """Return of which kind the devices are that train; where several workers are started from, there may be none."""
    if request.device is not None:
        return request.device
    if resources.workers_per_trial > 1:
        return "cuda" if resources.num_gpus else "cpu"
    return str(device_of(resources))


def _log_beginning(log: logging.Logger, run: PretrainingRun, why_again: str | None) -> None:
    """Log which run an attempt is at, and why there is another one; None: it begins for the first time."""
    log.info(
        "%s %s, %s: %s, process %d on %s",
        BEGINNING,
        run.label,
        run.replicate,
        run.role,
        os.getpid(),
        os.uname().nodename,
    )
    if why_again is not None:
        log.warning("begun again: %s", why_again)
    config = run.request.pretrain
    log.info(
        "pretrains on %s, learning rate %g, batches of %d sequences",
        run.trains_on,
        config.learning_rate,
        config.batch_size,
    )
