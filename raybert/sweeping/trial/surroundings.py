"""What a trial's training loop sees of the sweep around it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from raybert.polling import Guard, Throttle
from raybert.sweeping.folder.fence import Fence, Superseded, sole_writer
from raybert.sweeping.folder.heartbeat import Heart, read_beat, stack_on_request
from raybert.sweeping.folder.restarts import note_restart
from raybert.sweeping.folder.trial_folder import TrialFolder
from raybert.sweeping.folder.trial_log import opened_log, trial_log
from raybert.sweeping.trial.journal import Journal
from raybert.training.pulse import heard_by
from raybert.training.ran_on import RanOn

Report = Callable[[Mapping[str, Any]], None]
ReportStep = Callable[[int], None]
ReportStart = Callable[[RanOn], None]

SECONDS_BETWEEN_LOOKS = 0.5
"""The loop asks after every step; the files may lie on a shared disk."""
_TRIAL_LOCK, _WORKER_LOCK = ".lock", ".worker.lock"
"""The second one is held by rank 0 of a distributed trial, whose process is not the one that holds the first."""


def no_report(row: Mapping[str, Any]) -> None:
    """Take a row where there is no driver to tell."""


@dataclass
class TrialSurroundings:
    """A trial in one process: rows go to `evaluations.jsonl` and to the driver.

    Attributes:
        folder: of the trial.
        stop_request: a file that exists while trials should save and stop.
        fence: raises `Superseded` where the sweep has a newer owner.
        total_steps: optimizer steps T.
        report_row: tells the driver of an evaluation.
        trial_seconds: the trial saves and stops when its attempts together have taken this long.
        rank: of the worker.
        world_size: number of workers.
        report_step: tells whoever follows the trial step by step in this process.
        report_start: tells whoever follows the trial in this process on what it runs.
        journal: words for the trial's log; None: it says nothing of its progress.
        heart: heartbeats of this process, where it is the one that trains.
        model_files: adds to a folder what belongs beside the weights of the best model; goes to the workers.
        is_begun_again: whether an earlier process was at the trial; known while it is alive.
    """

    folder: TrialFolder
    stop_request: Path
    fence: Fence
    total_steps: int
    report_row: Report = no_report
    trial_seconds: float | None = None
    rank: int = 0
    world_size: int = 1
    report_step: ReportStep | None = None
    report_start: ReportStart | None = None
    journal: Journal | None = None
    heart: Heart | None = None
    model_files: Callable[[Path], None] | None = None
    is_begun_again: bool = False
    looks: Throttle = field(default_factory=lambda: Throttle(SECONDS_BETWEEN_LOOKS))
    answer: bool = False
    forwarded: set[int] = field(default_factory=set)
    guard: Guard = field(init=False)
    """A file server that is away for a moment does not fail a trial that only looks at it."""

    def __post_init__(self) -> None:
        self.guard = Guard("looking at requests", trial_log(self.folder.path).warning, OSError)

    @property
    def checkpoint_folder(self) -> Path:
        """Where `last` and `best` are."""
        return self.folder.checkpoints

    def report(self, row: Mapping[str, Any]) -> None:
        """Append the row to the trial's file and to its log, then tell the driver."""
        self.guard(self.fence.check, None)
        self.write_row(row)
        if self.journal is not None:
            self.journal.evaluated(trial_log(self.folder.path), row, self.written_rows)
        self.report_row(row)

    def write_row(self, row: Mapping[str, Any]) -> None:
        """Append the row to the trial's file."""
        self.folder.append_row(row)

    def begun(self, ran_on: RanOn) -> None:
        """Log on what and how the trial runs, and tell whoever follows it in this process."""
        trial_log(self.folder.path).info("runs %s", ran_on)
        if self.report_start is not None:
            self.report_start(ran_on)

    def should_stop(self) -> bool:
        """Tell whether the sweep's owner asked its trials to stop, or the trial's time is used up.

        Raises:
            Superseded: the sweep has a newer owner; nothing more must be written.
        """
        if self.looks.is_due():
            self.answer = self.guard(self._look, self.answer)
        return self.answer

    def _look(self) -> bool:
        self.fence.check()
        return self.stop_request.exists() or self.folder.is_asked_to_stop() or self.is_out_of_time()

    def stepped(self, step: int) -> None:
        """Send a heartbeat, and tell whoever follows the trial step by step in this process."""
        if self.heart is not None and self.heart.beat(step) and self.journal is not None:
            self.journal.stepped(trial_log(self.folder.path), step)
        if self.report_step is not None:
            self.report_step(step)

    def complete_model(self, folder: Path) -> None:
        """Add what belongs beside the weights of the best model, such as the tokenizer."""
        if self.model_files is not None:
            self.model_files(folder)

    def is_out_of_time(self) -> bool:
        """Tell whether all attempts together have taken longer than the limit."""
        if self.trial_seconds is None:
            return False
        seconds = self.heart.seconds if self.heart is not None else float(read_beat(self.folder.path).get("seconds", 0))
        return seconds >= self.trial_seconds

    @contextmanager
    def alive(self, lock: str = _TRIAL_LOCK, why: str | None = None) -> Iterator[str | None]:
        """Be the trial's only writer, with heartbeats, for the length of a `with` block.

        Yields why the trial is begun again; None: it is begun for the first time.

        Args:
            lock: of this process.
            why: the trial begins anew; default: what its files say.

        Raises:
            TrialError: another process does not let go of the folder.
            Superseded: the sweep has a newer owner.
        """
        path = self.folder.path
        with sole_writer(path, self.fence, lock), stack_on_request(path):
            again = None
            if lock == _TRIAL_LOCK and self.folder.status() != "complete":
                again = note_restart(path, self.fence.attempt, why)
                self.is_begun_again = again is not None
            self.heart = Heart.begin(path, self.fence.attempt, self.total_steps)
            try:
                with heard_by(self.heart.beat):
                    yield again
            except Superseded:
                raise
            except BaseException:
                self.heart.end()
                raise
            self.heart.end()

    def at_rank(self, rank: int, world_size: int) -> TrialSurroundings:
        """Return the surroundings of one worker of a distributed trial."""
        return replace(self, rank=rank, world_size=world_size)

    @contextmanager
    def working(self) -> Iterator[None]:
        """Enter what a worker of a distributed trial needs around its run: rank 0 writes."""
        if self.rank > 0:
            yield
            return
        with self.alive(_WORKER_LOCK), opened_log(self.folder.path):
            yield

    def forward(self, rows: list[dict[str, Any]]) -> None:
        """Tell the driver about rows that are in the trial's file already, each once."""
        for row in rows:
            if row["evaluation"] not in self.forwarded:
                self.forwarded.add(row["evaluation"])
                self.report_row(row)

    def written_rows(self) -> list[dict[str, Any]]:
        """Return the rows that are in the trial's file; none, where it cannot be read now."""
        return self.guard(self.folder.rows, [])

    def __getstate__(self) -> dict[str, Any]:
        """Leave behind what belongs to this process: a worker has its own heart, and no line to the driver."""
        own = {"report_row": no_report, "report_step": None, "report_start": None, "heart": None}
        journal = None if self.journal is None else self.journal.anew()
        return {**vars(self), **own, "looks": Throttle(SECONDS_BETWEEN_LOOKS), "guard": None, "journal": journal}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Have what belongs to this process."""
        vars(self).update(state)
        self.__post_init__()
