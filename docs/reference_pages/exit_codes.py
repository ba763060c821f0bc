"""The page of exit codes, from their table, what commands say of them, and the errors that give them."""

from __future__ import annotations

import inspect

from raybert import errors
from raybert.cli_options import ENDINGS
from raybert.errors import ExitCode, RaybertError
from reference_pages.commands import all_commands
from reference_pages.markdown import code, doc_summary, page, table


def exit_codes_page() -> str:
    """Return the exit codes, what they say of each command, then the errors with theirs."""
    names = [name.partition(" ")[2] for name, _ in all_commands()]
    rows = [
        (f"`raybert {name}`", ", ".join(f"{end.value} {words}" for end, words in ENDINGS[name].items()))
        for name in names
        if name in ENDINGS
    ]
    rest = ", ".join(code(name) for name in names if name not in ENDINGS)
    return page(
        "Exit codes",
        "How a command ends, for scripts:",
        table(["exit code", "says"], [(end.value, end.meaning) for end in ExitCode]),
        "## Of each command",
        table(["command", "exit codes"], rows),
        f"All others ({rest}) end with {ExitCode.DONE.value}, or {ExitCode.BAD_INPUT.value} on bad input.",
        "## Errors",
        "The errors of `raybert.errors`, which Python users catch, and the exit code that each gives the command line:",
        table(["error", "is raised when", "exit code"], [_row(kind) for kind in error_kinds()]),
        "What the system refuses is an `OSError` (or `MemoryError`) in Python, as it comes; the command line says it "
        "in one line, with the path and what to do about it, and ends with "
        f"{ExitCode.BAD_INPUT.value}. `--debug` shows the traceback of any error.",
    )


def error_kinds() -> list[type[RaybertError]]:
    """Return the classes of errors, each after the one that it is a kind of."""
    found = [thing for thing in vars(errors).values() if inspect.isclass(thing) and issubclass(thing, RaybertError)]
    return sorted(found, key=lambda kind: [base.__name__ for base in reversed(kind.__mro__)])


def _row(kind: type[RaybertError]) -> tuple[str, str, int]:
    (parent, *_) = kind.__bases__
    of = "" if parent in (Exception, RaybertError) else f" (a {code(parent.__name__)})"
    return f"{code(kind.__name__)}{of}", doc_summary(kind), kind.exit_code.value
