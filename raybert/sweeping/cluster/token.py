"""The token by which a Ray cluster knows its own: where it is, and one for a Ray that is started here."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from ray._raylet import AuthenticationTokenLoader  # type: ignore[attr-defined]  # of Cython, where `ray start` looks, too

from raybert.errors import ResourceError
from raybert.sweeping.cluster.quiet import cxx_lines_kept


def token_is_here() -> bool:
    """Tell whether this process has a token: in `RAY_AUTH_TOKEN`, in a file that is named, or in the home folder."""
    with cxx_lines_kept():  # it warns of a user without a home folder
        return bool(AuthenticationTokenLoader.instance().has_token(ignore_auth_mode=True))


def check_token_file() -> None:
    """Refuse a file of a token that is named and not there, for which Ray would end the process.

    Raises:
        ResourceError: says so.
    """
    path = os.environ.get("RAY_AUTH_TOKEN_PATH")
    if path and not os.environ.get("RAY_AUTH_TOKEN") and not _holds_something(Path(path)):
        raise ResourceError(f"RAY_AUTH_TOKEN_PATH: must name a file with the token of a Ray cluster, got {path}")


def have_token() -> None:
    """Give this process a token where it has none: Ray would write one into the home folder, which may not be there.

    It stays for processes that join this Ray, which inherit the environment.
    """
    if not token_is_here():
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
        AuthenticationTokenLoader.instance().reset_cache()


def _holds_something(path: Path) -> bool:
    try:
        return bool(path.read_text(encoding="utf-8").strip())
    except (OSError, ValueError):
        return False
