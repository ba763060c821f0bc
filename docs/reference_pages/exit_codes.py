"""The page of exit codes, from the errors of raybert and what its commands say of themselves."""

from __future__ import annotations

import inspect
import re

import raybert.errors
from reference_pages.commands import all_commands
from reference_pages.markdown import code, page, table


def exit_codes_page() -> str:
    """Return the exit codes by command, then the errors with theirs."""
    rows = [
        (code(name), "; ".join(found))
        for name, command in all_commands()
        if (found := re.findall(r"Exit codes: ([^.]+)\.", inspect.cleandoc(command.__doc__ or "")))
    ]
    tree = (raybert.errors.__doc__ or "").partition("\n\n")[2].strip()
    return page(
        "Exit codes",
        "Every command exits with 0 when it did what was asked, and with 2 on bad input: a wrong option, a wrong key "
        "of the sweep file, unreadable data. Commands that train say more:",
        table(["command", "exit codes"], rows),
        "## Errors",
        "The errors of `raybert.errors`, which Python users catch, and the exit code that each gives the command line:",
        f"```text\n{tree}\n```",
    )
