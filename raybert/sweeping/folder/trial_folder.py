"""The folder of one trial: every file of it, what they say of how it stands, and who writes them."""

from __future__ import annotations

import dataclasses
import logging
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import numpy as np

from raybert.durable import make_folder, remove_folder, sync_tree
from raybert.errors import SweepError
from raybert.files import (
    append_json_line,
    is_whole_array,
    is_whole_parquet,
    read_json,
    read_json_lines,
    reading_back,
    save_arrays,
    write_json,
    write_json_lines,
    write_text,
)
from raybert.links import without_links
from raybert.plain import hide
from raybert.sweeping.folder.failure_kinds import KINDS
from raybert.sweeping.folder.failures import Failure, because_of, cause_in_words
from raybert.sweeping.folder.heartbeat import forget_beat
from raybert.sweeping.folder.restarts import ATTEMPTS_FILE, note_restart
from raybert.sweeping.folder.trial_log import append_to_log
from raybert.tables import EVALUATIONS, TRIALS, with_new_names

EXTRA_METRICS_FILE = "extra_metrics.json"
"""Every metric on the further test sets of `data.extra_tests`, by their names."""
_SUMMARY = "training_summary.json"
"""Of a pretrained model, in the place of `result.json`."""
_MARKS = (
    ("result.json", "complete"),
    (_SUMMARY, "complete"),
    ("error.txt", "failed"),
    ("failure.json", "failed"),
    ("pruned.json", "pruned"),
)
"""Which file makes a trial what; the first one counts."""
_ROWS, _OLD_ROWS = "evaluations.jsonl", "epochs.jsonl"
_PASSING = ("heartbeat.json", ".lock", ".worker.lock")
"""Of no use to a run that is complete."""
_PUBLISHED = (".parquet", ".npz", ".npy", ".csv", ".json", ".yaml", "checkpoint", "dynamics")
"""Ends of the names of what is on disk as soon as it has its name: to sync it again takes a millisecond or two each."""


REPAIR = "the same sweep command repairs it, and repeats a trial where it must"
"""What to do about a damaged file of a results folder: every later start looks at all of them."""


def damaged_model_files(model: Path) -> list[Path]:
    """Return the files of a model's folder that are empty, as a power cut leaves what was not on disk."""
    if not model.is_dir():
        return []
    return [path for path in sorted(model.iterdir()) if path.name != "COMPLETE" and _is_empty(path)]


def _is_evaluation(row: Mapping[str, Any]) -> bool:
    is_numbered = isinstance(row.get("evaluation"), int)
    return is_numbered and all(EVALUATIONS[name].fits(value) for name, value in row.items() if name in EVALUATIONS)


def _is_empty(path: Path) -> bool:
    return path.is_file() and path.stat().st_size == 0


@dataclass(frozen=True)
class TrialFolder:
    """The files of one trial. `result.json` is written last: it marks completion."""

    path: Path

    @property
    def is_model(self) -> bool:
        """Whether it is that of a pretrained model."""
        return self.path.parent.name == "models"

    @property
    def checkpoints(self) -> Path:
        """Folder of `last` and `best`."""
        return self.path / "checkpoint"

    @property
    def losses_path(self) -> Path:
        """What `write_losses` writes."""
        return self.path / "losses.npz"

    def status(self) -> str:
        """Return `complete`, `failed`, `pruned` (not finished on purpose) or `pending`."""
        for name, status in _MARKS:
            if (self.path / name).exists():
                return status
        return "pending"

    def result(self) -> dict[str, Any]:
        """Return what the finished trial measured.

        Raises:
            SweepError: the file is damaged.
        """
        result = self.whole_result()
        if result is None:
            raise SweepError(f"{self.path / 'result.json'}: must be as raybert wrote it, but is damaged; {REPAIR}")
        return result

    def whole_result(self) -> dict[str, Any] | None:
        """Return what the finished trial measured; None: it is not finished, or the file is damaged."""
        result = read_json(self.path / "result.json")
        if result is None:
            return None
        result = with_new_names(result)
        own = ((TRIALS[name], value) for name, value in result.items() if name in TRIALS)
        return result if all(column.fits(value) for column, value in own if column.origin == "run") else None

    def pretraining_summary(self) -> dict[str, Any] | None:
        """Return `training_summary.json` of a pretrained model; None: it is none, not finished, or damaged."""
        return read_json(self.path / _SUMMARY)

    def error(self) -> str:
        """Return the recorded failure: `ErrorType: message`, then the traceback; what a damaged file still holds."""
        try:
            return (self.path / "error.txt").read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""

    def failure(self) -> Failure:
        """Return why the trial failed, as far as its files still say."""
        found = read_json(self.path / "failure.json") or {}
        lines = self.error().strip().splitlines()
        message = lines[0] if lines else str(found.get("message") or f"unknown: {self.path / 'error.txt'} is damaged")
        kind = str(found.get("kind"))
        caused_by, cause = cause_in_words(message)
        return Failure(
            kind=kind if kind in KINDS else "error",
            message=message,
            node=found.get("node"),
            attempts=max(1, len(self.attempts())),
            caused_by=found.get("caused_by", caused_by),
            cause=found.get("cause", cause),
        )

    def attempts(self) -> list[dict[str, Any]]:
        """Return every attempt that failed, also of a trial that has succeeded since."""
        return read_json_lines(self.path / ATTEMPTS_FILE)

    def finish(self, result: Mapping[str, Any]) -> None:
        """Mark the trial complete, once everything that it leaves is on disk: its log of evaluations, for example."""
        make_folder(self.path)
        sync_tree(
            self.path,
            without={path.name for path in self.path.iterdir() if path.name.endswith((*_PUBLISHED, *_PASSING))},
        )
        write_json(self.path / "result.json", dict(result))
        self.forget_failure()

    def fail(self, text: str, kind: str = "error", node: str | None = None) -> None:
        """Record a failure, unless the trial is complete.

        Args:
            text: `ErrorType: message`, then the traceback.
            kind: of `raybert.sweeping.folder.failure_kinds`.
            node: host where it happened; default: this one.
        """
        if self.status() != "complete":
            self._fail(self.add_attempt(kind, text, node), hide(text))

    def fail_because(self, run_id: str, failure: Failure) -> Failure:
        """Record that this run never begins, because it reads one that failed; return its own failure."""
        own = self._add_attempt(because_of(run_id, failure))
        self._fail(own, own.message)
        return own

    def _fail(self, failure: Failure, text: str) -> None:
        write_json(self.path / "failure.json", dataclasses.asdict(failure))
        write_text(self.path / "error.txt", text)

    def add_attempt(self, kind: str, text: str, node: str | None = None) -> Failure:
        """Record an attempt that failed, whether or not another one follows; return it."""
        message = (hide(text).strip().splitlines() or ["unknown error"])[0]
        return self._add_attempt(Failure(kind, message, node or os.uname().nodename))

    def _add_attempt(self, failure: Failure) -> Failure:
        make_folder(self.path)
        failure = dataclasses.replace(failure, attempts=len(self.attempts()) + 1)
        line = {**dataclasses.asdict(failure), "time": time.strftime("%F %T")}
        append_json_line(self.path / ATTEMPTS_FILE, line, is_durable=True)
        return failure

    def forget_failure(self) -> None:
        """Make a failed trial pending again."""
        for name in ("error.txt", "failure.json"):
            (self.path / name).unlink(missing_ok=True)

    def damaged(self) -> list[Path]:
        """Return the files of a finished trial that are torn or empty, or lack evaluations.

        Tables that were deleted are not among them: they take space, and nothing else reads them.
        """
        summary = self.path / _SUMMARY
        if summary.exists():
            return [summary] if read_json(summary) is None else []
        torn = [path for path in sorted(self.path.glob("*.parquet")) if not is_whole_parquet(path)]
        torn += [path for path in (self.path / "pool_scores.npy",) if path.exists() and not is_whole_array(path)]
        torn += [path for path in (self.path / EXTRA_METRICS_FILE,) if path.exists() and read_json(path) is None]
        if self.losses_path.exists() and not is_zipfile(self.losses_path):  # its directory is at the end
            torn.append(self.losses_path)
        result = self.whole_result()
        if result is None:
            return [self.path / "result.json", *torn]
        if "optimizer_steps" in result and not self._has_rows_until(result["optimizer_steps"]):
            torn.append(self._rows_path)
        return torn

    def _has_rows_until(self, last_step: int) -> bool:
        """Tell whether no evaluation is missing; the last one is after the last step."""
        rows = self.rows()
        numbers = [row["evaluation"] for row in rows]
        return bool(rows) and numbers == [*range(1, len(rows) + 1)] and rows[-1].get("step") == last_step

    def prune(self, why: str) -> None:
        """Mark a run that is not finished on purpose, unless it has an outcome."""
        if self.path.exists() and self.status() == "pending":
            append_to_log(self.path, f"not finished: {why}", logging.INFO)
            write_json(self.path / "pruned.json", {"why": why})

    def forget_pruning(self) -> None:
        """Make a run pending again that was not finished on purpose."""
        (self.path / "pruned.json").unlink(missing_ok=True)
        self._stop_request.unlink(missing_ok=True)

    def ask_to_stop(self) -> None:
        """Ask this run alone to save and stop."""
        self._stop_request.touch()

    def is_asked_to_stop(self) -> bool:
        """Tell whether this run alone was asked to stop."""
        return self._stop_request.exists()

    @property
    def _stop_request(self) -> Path:
        return self.path / "stop-requested"

    def has_model(self) -> bool:
        """Tell whether the weights of its best evaluation are there."""
        return (self.checkpoints / "best" / "COMPLETE").exists()

    def forget_result(self, why: str) -> None:
        """Make a finished trial pending again, for a reason that `restarts.jsonl` keeps."""
        (self.path / "result.json").unlink(missing_ok=True)
        note_restart(self.path, None, why)
        forget_beat(self.path)

    def forget_training(self) -> None:
        """Make an unfinished trial begin from its start."""
        for folder in (self.checkpoints, self.path / "dynamics", self.path / "epoch_plans"):
            remove_folder(folder)
        for name in (_ROWS, _OLD_ROWS, self.losses_path.name):
            (self.path / name).unlink(missing_ok=True)

    def adopt(self, kept: Path) -> None:
        """Take over what the same run left elsewhere, `result.json` last."""
        make_folder(self.path)
        shutil.copytree(kept, self.path, ignore=without_links("result.json"), dirs_exist_ok=True)
        sync_tree(self.path, without=_PASSING)
        write_text(self.path / "result.json", (kept / "result.json").read_text(encoding="utf-8"))

    def remove_models(self) -> None:
        """Free the disk of what only scoring needed."""
        for folder in (self.checkpoints, self.path / "dynamics"):
            remove_folder(folder)

    def write_losses(self, losses: np.ndarray, loss_passes: np.ndarray) -> None:
        """Write each pool example's last training loss (NaN: never trained on) and its pass (-1), in pool order."""
        save_arrays(self.losses_path, loss=losses.astype(np.float32), loss_pass=loss_passes.astype(np.int32))

    def read_losses(self) -> dict[str, np.ndarray] | None:
        """Return `loss` (n,) float32 and `loss_pass` (n,) int32 as `write_losses` wrote them, if they are there.

        Raises:
            SweepError: the file is damaged.
        """
        if not self.losses_path.is_file():
            return None
        with reading_back(self.losses_path, REPAIR), np.load(self.losses_path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in ("loss", "loss_pass")}

    def append_row(self, row: Mapping[str, Any]) -> None:
        """Append an evaluation to `evaluations.jsonl`; after a torn line a new one is begun."""
        append_json_line(self._rows_path, row)

    def complete_rows(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write `evaluations.jsonl` anew where it has lost evaluations that the run's checkpoint still knew."""
        if len(self.rows()) < len(rows):
            write_json_lines(self._rows_path, rows)

    def rows(self) -> list[dict[str, Any]]:
        """Return the evaluations; of one that was repeated after a restart, the last."""
        rows = map(with_new_names, read_json_lines(self._rows_path))
        return list({row["evaluation"]: row for row in rows if _is_evaluation(row)}.values())

    def take_new_names(self) -> None:
        """Rename what a run of raybert 0.1 left, before today's goes on with it; its owner alone may do so."""
        if self._rows_path.name == _OLD_ROWS:
            self._rows_path.rename(self.path / _ROWS)

    @property
    def _rows_path(self) -> Path:
        """`evaluations.jsonl`, or `epochs.jsonl` in a folder that raybert 0.1 wrote."""
        path, old = self.path / _ROWS, self.path / _OLD_ROWS
        return old if old.exists() and not path.exists() else path
