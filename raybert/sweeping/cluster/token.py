"""The token by which a Ray cluster knows its own: where it is, and one for a Ray that is started here."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ray._private.authentication.authentication_token_setup import maybe_enable_token_auth_if_token_available
from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined]  # of Cython, as `ray start` does

from raybert.errors import ResourceError
from raybert.passwords import write_private_text
from raybert.sweeping.cluster.quiet import cxx_lines_kept

_PATH = "RAY_AUTH_TOKEN_PATH"
_MODE = "RAY_AUTH_MODE"


def use_token() -> None:
    """Let this process show the token that is here to a cluster that is joined, as `ray start` does on a node.

    Raises:
        ResourceError: a file of a token is named and not there.
    """
    check_token_file()
    logging.getLogger(maybe_enable_token_auth_if_token_available.__module__).setLevel(logging.ERROR)
    maybe_enable_token_auth_if_token_available(warn_if_disabled=False)


def token_is_here() -> bool:
    """Tell whether this process has a token: in `RAY_AUTH_TOKEN`, in a file that is named, or in the home folder."""
    with cxx_lines_kept():  # it warns of a user without a home folder
        return bool(AuthenticationTokenLoader.instance().has_token(ignore_auth_mode=True))


@contextmanager
def token_kept_back() -> Iterator[None]:
    """Let this process ask a head without its token in a `with` block: what answers has none itself."""
    mode = os.environ.get(_MODE)
    os.environ[_MODE] = "disabled"
    Config.initialize("")  # reads the environment anew
    try:
        yield
    finally:
        os.environ.pop(_MODE)
        if mode is not None:
            os.environ[_MODE] = mode
        Config.initialize("")


def check_token_file() -> None:
    """Refuse a file of a token that is named and not there, for which Ray would end the process.

    Raises:
        ResourceError: says so.
    """
    path = os.environ.get(_PATH)
    if path and not os.environ.get("RAY_AUTH_TOKEN") and not _holds_something(Path(path)):
        raise ResourceError(f"RAY_AUTH_TOKEN_PATH: must name a file with the token of a Ray cluster, got {path}")


def make_token(folder: Path) -> None:
    """Give a Ray that is started here a token of its own, in a file that only this user may read, and name that file.

    Ray would write one into the home folder, which may not be there, for every Ray of this user and readable by
    everybody (0644). One that the environment names is taken. Processes that join this Ray inherit the environment.

    Args:
        folder: that only this user may enter.
    """
    if os.environ.get("RAY_AUTH_TOKEN") or os.environ.get(_PATH):
        return
    path = folder / "token"
    write_private_text(path, secrets.token_hex(32))
    os.environ[_PATH] = str(path)
    AuthenticationTokenLoader.instance().reset_cache()


def forget_token(folder: Path) -> None:
    """Let this process not name a token of `make_token` any more."""
    if os.environ.get(_PATH) == str(folder / "token"):
        del os.environ[_PATH]
        AuthenticationTokenLoader.instance().reset_cache()


def _holds_something(path: Path) -> bool:
    try:
        return bool(path.read_text(encoding="utf-8").strip())
    except (OSError, ValueError):
        return False
