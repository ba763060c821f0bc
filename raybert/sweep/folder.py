"""The results folder of a sweep: where everything is, what is finished, and who may write."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock

from raybert.errors import SweepError
from raybert.files import read_json_lines, write_json, write_text


@dataclass(frozen=True)
class TrialFolder:
    """The files of one trial. `result.json` is written last: it marks completion."""

    path: Path

    @property
    def checkpoints(self) -> Path:
        """Folder of `last` and `best`."""
        return self.path / "checkpoint"

    def status(self) -> str:
        """Return `complete`, `failed` or `pending`."""
        if (self.path / "result.json").exists():
            return "complete"
        return "failed" if (self.path / "error.txt").exists() else "pending"

    def result(self) -> dict[str, Any]:
        """Return what the finished trial measured.

        Raises:
            SweepError: the file is damaged.
        """
        path = self.path / "result.json"
        try:
            result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            raise SweepError(f"{path}: damaged; delete it to run the trial again") from None
        return result

    def error(self) -> str:
        """Return the recorded failure: `ErrorType: message`, then the traceback."""
        return (self.path / "error.txt").read_text(encoding="utf-8", errors="replace")

    def finish(self, result: Mapping[str, Any]) -> None:
        """Mark the trial complete."""
        write_json(self.path / "result.json", dict(result))
        (self.path / "error.txt").unlink(missing_ok=True)

    def fail(self, text: str) -> None:
        """Record a failure, unless the trial is complete."""
        if self.status() != "complete":
            write_text(self.path / "error.txt", text)

    def forget_failure(self) -> None:
        """Make a failed trial pending again."""
        (self.path / "error.txt").unlink(missing_ok=True)

    def has_model(self) -> bool:
        """Tell whether the weights of its best evaluation are there."""
        return (self.checkpoints / "best" / "COMPLETE").exists()

    def forget_result(self) -> None:
        """Make a finished trial pending again, because its model is needed and gone."""
        (self.path / "result.json").unlink(missing_ok=True)

    def adopt(self, kept: Path) -> None:
        """Take over what the same run left elsewhere, `result.json` last."""
        self.path.mkdir(parents=True, exist_ok=True)
        shutil.copytree(kept, self.path, ignore=shutil.ignore_patterns("result.json"), dirs_exist_ok=True)
        write_text(self.path / "result.json", (kept / "result.json").read_text(encoding="utf-8"))

    def remove_models(self) -> None:
        """Free the disk of what only scoring needed."""
        for folder in (self.checkpoints, self.path / "dynamics"):
            shutil.rmtree(folder, ignore_errors=True)

    def append_row(self, row: Mapping[str, Any]) -> None:
        """Append an evaluation to `epochs.jsonl`; after a torn line a new one is begun."""
        path = self.path / "epochs.jsonl"
        with path.open("ab") as file:
            if file.tell() and not _ends_with_newline(path):
                file.write(b"\n")
            file.write(json.dumps(dict(row)).encode() + b"\n")

    def rows(self) -> list[dict[str, Any]]:
        """Return the evaluations; of one that was repeated after a restart, the last."""
        return list({row["evaluation"]: row for row in read_json_lines(self.path / "epochs.jsonl")}.values())


@dataclass(frozen=True)
class SweepFolder:
    """A results folder (DESIGN.md, section 6)."""

    path: Path

    @property
    def signals(self) -> Path:
        """The score store."""
        return self.path / "signals"

    @property
    def stop_request(self) -> Path:
        """Exists while the owner wants its trials to save and stop."""
        return self.path / "stop-requested"

    def trial(self, trial_id: str) -> TrialFolder:
        """Return the folder of one trial."""
        return TrialFolder(self.path / "trials" / trial_id)

    def completed(self, trial_ids: Iterable[str]) -> set[str]:
        """Return those trials whose result is there."""
        return {trial_id for trial_id in trial_ids if self.trial(trial_id).status() == "complete"}

    @contextmanager
    def owned(self) -> Iterator[None]:
        """Hold the folder: one process at a time runs a sweep in it.

        Raises:
            SweepError: another process holds it; says which.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(self.path / "lock")
        owner = self.path / "owner.json"
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            who = owner.read_text(encoding="utf-8").strip() if owner.exists() else "unknown"
            raise SweepError(
                f"{self.path}: in use by another raybert process ({who}); wait for it or give --output another folder"
            ) from None
        try:
            write_text(
                owner,
                json.dumps({"pid": os.getpid(), "host": os.uname().nodename, "since": time.strftime("%F %T")}),
            )
            self.stop_request.unlink(missing_ok=True)
            yield
        finally:
            owner.unlink(missing_ok=True)
            self.stop_request.unlink(missing_ok=True)
            lock.release()


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
