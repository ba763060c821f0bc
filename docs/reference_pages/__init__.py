"""A Sphinx extension that writes the reference from the code, so that it cannot be out of date.

Every function in `PAGES` returns the Markdown of one page of `docs/reference/`. The files are written when a build
begins, are ignored by git, and are left alone where nothing changed, so that a second build is quick.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from reference_pages.commands import commands_page
from reference_pages.exit_codes import exit_codes_page
from reference_pages.json_documents import json_page
from reference_pages.losses import losses_page
from reference_pages.metrics import metrics_page
from reference_pages.python import python_page
from reference_pages.results import results_page
from reference_pages.signals import signals_page
from reference_pages.strategies import strategies_page
from reference_pages.sweep_file import pretraining_file_page, sweep_file_page

PAGES: Mapping[str, Callable[[], str]] = {
    "sweep_file": sweep_file_page,
    "pretraining_file": pretraining_file_page,
    "strategies": strategies_page,
    "signals": signals_page,
    "losses": losses_page,
    "metrics": metrics_page,
    "command_line": commands_page,
    "exit_codes": exit_codes_page,
    "json": json_page,
    "results_folder": results_page,
    "python": python_page,
}


def write_pages(folder: Path) -> list[Path]:
    """Write every generated page into a folder; return those that changed."""
    changed = []
    for name, page in PAGES.items():
        path, text = folder / f"{name}.md", page()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            changed.append(path)
    return changed


def setup(app: Any) -> dict[str, Any]:
    """Let Sphinx write the pages before it looks for sources."""
    app.connect("builder-inited", lambda app: write_pages(Path(app.srcdir) / "reference"))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
