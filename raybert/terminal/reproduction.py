"""Two runs of one trial: the same bits, or what differs."""

from __future__ import annotations

from raybert.errors import ExitCode
from raybert.sweeping.single.reproduce import Reproduction
from raybert.terminal.console import Console, relative, say

_LAST_LINES = 8
"""Of a traceback."""


def print_reproduction(found: Reproduction) -> None:
    """Print whether two runs of a trial left the same bits, and what differs."""
    console = Console()
    say(console, found.title, "bold")
    for part in found.comparisons:
        verdict = "; ".join(part.differences) if part.differences else "bit-identical"
        style = "red" if part.differences else None
        say(console, f"{part.what:<12} {part.size:<14} {verdict}", style)
    if found.error or found.error_again:
        same = found.error == found.error_again
        say(console, f"failed then: {found.error or 'no'}", None)
        say(console, "failed now:  " + ("the same" if same else found.error_again or "no"), None if same else "red")
    if found.error_again:
        for line in found.again.error().strip().splitlines()[-_LAST_LINES:-1]:
            say(console, f"    {line}", "dim")
    for note in found.notes:
        say(console, f"note: {note}", None)
    identical = "the same error" if found.error else "bit-identical"
    verdict = identical if found.is_identical else "stopped" if found.exit_code is ExitCode.INTERRUPTED else "different"
    say(console, f"{verdict}: {relative(found.again.path)}", "bold")
