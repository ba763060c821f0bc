"""What one run of `raybert train` came to."""

from __future__ import annotations

import shlex

from raybert.analysis.results.run_summary import run_lines
from raybert.analysis.results.sweep import Sweep
from raybert.terminal.console import Console, command_again, relative, say
from raybert.terminal.failures import print_failures


def print_run(results: Sweep) -> None:
    """Print what a run that has just ended came to, where it is, and how to go on."""
    outcome = results.outcome
    assert outcome is not None
    if outcome.num_complete:
        for line in run_lines(results):
            say(Console(), line)
        say(Console(), f"model: {relative(outcome.folder / 'best')}")
        say(Console(), f"results: {relative(outcome.folder)}")
        say(Console(), f"all metrics and plots:  raybert evaluate {shlex.quote(relative(outcome.folder))}")
    print_failures(results)
    if outcome.num_failed or outcome.num_pending:
        what = "try again" if outcome.num_failed else "stopped; continue with"
        say(Console(), f"{what}:  {command_again('--resume')}")
