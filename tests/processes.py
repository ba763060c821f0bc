"""Processes of their own, forked from one that has imported everything: the imports would take longer than most tests."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PATIENCE_SECONDS = 120.0
WARM_PARENT = multiprocessing.get_context("forkserver")
WARM_PARENT.set_forkserver_preload(  # without Ray, which reads the environment of its process when it is imported
    [
        "raybert.sweeping.cluster.warm_imports",
        "raybert.sweeping.single.train",
        "raybert.sweeping.phases.refit",
        "raybert.selection.scorers.perplexity",
        "raybert.selection.scorers.models",
        "raybert.evaluation.evaluate",
        "raybert.analysis.publish",
        "raybert.cli",
        "transformers.models.bert.modeling_bert",
        "optuna.storages",
    ]
)


def wait_until(condition: Callable[[], Any], what: str, seconds: float = PATIENCE_SECONDS) -> Any:
    """Return what a condition gives as soon as it gives something true."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.005)  # for files of other processes, which give no other sign
    return found


class Forked:
    """A function at work in a process of its own, and what it says."""

    def __init__(self, process: Any, said_file: Path) -> None:
        self.process, self.said_file = process, said_file
        self.num_read = 0

    @property
    def pid(self) -> int:
        return int(self.process.pid)

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def is_alive(self) -> bool:
        return bool(self.process.is_alive())

    def kill(self) -> None:
        """End it at once, by SIGKILL."""
        self.process.kill()
        self.process.join()

    def end(self, seconds: float = PATIENCE_SECONDS) -> tuple[int, str]:
        """Wait for its end; return its exit code (minus the number of the signal that ended it) and what it said."""
        self.process.join(seconds)
        said = self.said_file.read_text(encoding="utf-8")
        assert not self.is_alive(), f"not at its end within {seconds:g} s: {said}"
        return int(self.process.exitcode), said

    def read_until(self, words: str) -> list[str]:
        """Return the lines that it has said since it was read last, up to one with these words."""
        lines: list[str] = []

        def has_said_it() -> bool:
            is_over = not self.is_alive()
            whole = self.said_file.read_text(encoding="utf-8").rpartition("\n")[0].splitlines()
            for line in whole[self.num_read :]:
                lines.append(line.rstrip())
                self.num_read += 1
                if words in line:
                    return True
            assert not is_over, f"never said {words!r}: {lines}"
            return False

        wait_until(has_said_it, f"{words!r} said")
        return lines


@contextlib.contextmanager
def forked(
    function: Callable[..., object], *args: object, environment: dict[str, str] | None = None
) -> Iterator[Forked]:
    """Run a function of a module in a process of its own, which does not outlive the block.

    Args:
        function: of a module, for it is found there by its name.
        args: of the function.
        environment: variables besides those that this process has by now.
    """
    file, name = tempfile.mkstemp(suffix=".said")
    os.close(file)
    process = WARM_PARENT.Process(
        target=_speak_into, args=(name, {**os.environ, **(environment or {})}, function, args)
    )
    process.start()
    running = Forked(process, Path(name))
    try:
        yield running
    finally:
        running.kill()
        os.unlink(name)


def called(function: Callable[..., Any], *args: object) -> Any:
    """Return what a function of a module returns in a process of its own."""
    ours, theirs = WARM_PARENT.Pipe(duplex=False)
    with theirs, forked(_send_result, theirs, function, args) as running:
        theirs.close()
        try:
            return ours.recv()
        except EOFError:
            raise AssertionError(f"{function} gave nothing: {running.end()[1]}") from None


def on_ranks(function: Callable[..., Any], num_ranks: int, *args: object) -> list[Any]:
    """Return what a function returns as rank 0, 1, ... of a torch.distributed group, called with rank and arguments."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        rendezvous = Path(folder) / "rendezvous"
        ends = []
        for rank in range(num_ranks):
            ours, theirs = WARM_PARENT.Pipe(duplex=False)
            work = (theirs, _as_rank, (rank, num_ranks, rendezvous, function, args))
            ends.append((ours, stack.enter_context(forked(_send_result, *work))))
            theirs.close()
        results = []
        for ours, running in ends:
            try:
                results.append(ours.recv())
            except EOFError:
                raise AssertionError(f"{function} gave nothing: {running.end()[1]}") from None
        return results


def _speak_into(name: str, environment: dict[str, str], function: Callable[..., object], args: tuple[Any, ...]) -> None:
    file = os.open(name, os.O_WRONLY | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(file, stream)
    os.environ.clear()
    os.environ.update(environment)
    function(*args)


def _send_result(connection: Any, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
    with connection:
        connection.send(function(*args))


def _as_rank(rank: int, num_ranks: int, rendezvous: Path, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    import torch

    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=num_ranks)
    result = function(rank, *args)
    torch.distributed.destroy_process_group()
    return result
