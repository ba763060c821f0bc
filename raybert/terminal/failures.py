"""Why trials failed: distinct errors, at most a screenful."""

from __future__ import annotations

from pathlib import Path

from rich.text import Text

from raybert.analysis.results.failures import end_of_log, find_failures, reproduce_command
from raybert.analysis.results.sweep import Sweep
from raybert.sweeping.folder.failures import FailureGroup
from raybert.terminal.console import Console, relative, say, shorten, text

_ERROR_LENGTH = 400
"""Most of an error that the first screen shows."""


def print_failures(results: Sweep) -> None:
    """Print the distinct errors of a sweep, at most a screenful: the most frequent first, the rest counted."""
    groups = find_failures(results)
    if not groups:
        return
    console = Console()
    num_failed, distinct = sum(len(group.failures) for group in groups), f"{len(groups)} distinct error"
    title = f"failed: {num_failed} trial{'s' if num_failed > 1 else ''}, {distinct}{'s' if len(groups) > 1 else ''}"
    say(console, title, "bold red")
    rows_left = console.height - 4  # the title, what is not shown, and the command that goes on
    for shown, group in enumerate(groups):
        lines = _failure_lines(group, results.folder)
        rows_left -= sum(-(-line.cell_len // console.width) or 1 for line in lines)
        if shown and rows_left < 0:
            rest = groups[shown:]
            num_trials = sum(len(other.failures) for other in rest)
            where = relative(results.folder / "results" / "errors.csv")
            say(console, f"and {len(rest)} more distinct errors of {num_trials} trials: {where}", "red")
            return
        for line in lines:
            console.print(line, soft_wrap=True)


def _failure_lines(group: FailureGroup, folder: Path) -> list[Text]:
    first, number = group.first, len(group.failures)
    failure = first.failure
    trials = f"{number} trial{'s' if number > 1 else ''}"
    if group.num_readers:
        trials += f" ({group.num_readers} of them because a run that they read failed)"
    strategies = [run.strategy for run in group.failures]
    labels = ", ".join(f"{label} x {strategies.count(label)}" for label in dict.fromkeys(strategies))
    fold = f" fold {first.fold}" if first.fold else ""
    facts = [f"kind {group.kind}" if group.kind != "error" else "", f"node {failure.node}" if failure.node else ""]
    facts.append(f"{failure.attempts} attempts" if failure.attempts > 1 else "")
    where = relative(folder / "trials" / first.trial_id)
    width = Console().width - 8
    return [
        text(shorten(group.message, _ERROR_LENGTH), "red"),
        text(f"    in {trials}: {shorten(labels, 2 * width)}"),
        text(", ".join([f"    first: {first.strategy} seed {first.seed}{fold}, {where}", *filter(None, facts)])),
        *(text(f"      | {shorten(line, width)}", "dim") for line in end_of_log(folder, first)),
        text(f"    again: {reproduce_command(relative(folder), first)}"),
    ]
