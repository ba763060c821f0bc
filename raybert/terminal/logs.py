"""Logs of trials, one after another or as they grow."""

from __future__ import annotations

from collections.abc import Iterable

from raybert.sweeping.driver.follow_logs import LogLine
from raybert.sweeping.driver.trial_logs import ShownLogs, TrialLog
from raybert.terminal.console import Console, say
from raybert.terminal.streams import has_reader


def print_logs(shown: ShownLogs) -> None:
    """Print logs, each below a line that says whose it is."""
    console = Console()
    if shown.why:
        say(console, shown.why)
    for trial in shown.trials:
        _head(console, trial)
        for line in trial.lines(shown.last):
            say(console, line)


def print_log_lines(lines: Iterable[LogLine]) -> None:
    """Print lines as they come, and whose they are wherever that changes; ends where nobody reads them any more."""
    console, before = Console(), ""
    for line in lines:
        if line.trial.trial_id != before:
            _head(console, line.trial)
            before = line.trial.trial_id
        say(console, line.text)
        if not has_reader():
            return


def _head(console: Console, trial: TrialLog) -> None:
    say(console, f"==> {trial} <==", "bold")
