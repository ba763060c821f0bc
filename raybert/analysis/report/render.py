"""The page as HTML: everything that comes from data is escaped, in one place, and nothing is loaded from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from raybert.plain import printable_lines

if TYPE_CHECKING:
    from jinja2 import Template


def render(page: Any) -> str:
    """Return a page as HTML.

    Scripts and styles are the two blocks of ours, which the browser knows by their hash; it runs nothing else, loads
    nothing, and sends nothing, whatever a text may hold.

    Args:
        page: what `report.html.j2` shows.
    """
    css, script = _asset("report.css"), _asset("report.js")
    policy = (
        f"default-src 'none'; img-src data:; style-src {_hash(css)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    return _template().render(page=page, css=css, script=script, policy=policy)


@cache
def _template() -> Template:
    from jinja2 import DictLoader, Environment, StrictUndefined  # only who writes a report waits for it

    environment = Environment(
        loader=DictLoader({"report.html": _asset("report.html.j2")}),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html")


def _shown(value: Any) -> Any:
    """Return a value as it goes into the page: a text without sequences of terminals and without turned directions."""
    return printable_lines(value) if type(value) is str else value


def _asset(name: str) -> str:
    return (files("raybert.analysis.report") / "templates" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
