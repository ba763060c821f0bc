"""Passwords in values: never written, known to this process alone; `${NAME}` in their place, filled in at use."""

from __future__ import annotations

import ctypes
import os
import re
from pathlib import Path
from urllib.parse import quote, unquote

from raybert.durable import atomic_path
from raybert.errors import ConfigError
from raybert.plain import HIDDEN, hide, remember_secret

_REFERENCE = re.compile(r"\$\{(\w+)\}")
_CREDENTIALS = re.compile(r"(?<=://)[^\s/@]*@")
_SECRET = re.compile(r"://[^:/@]*:(?P<secret>.*)@")
_WHOLE_URL = re.compile(r"(?s)\A([A-Za-z][\w+.-]*://[^:/@]*:)(.+)(@[^@]*)\Z")
"""A value that is a URL and nothing else: its password may have blanks and quotes."""
_ASSIGNED = re.compile(r"[?&;][\w-]+=(?P<secret>[^&;#]+)")
_kept: dict[str, str] = {}
"""Values with a hidden password -> the whole, of this process."""
PRIVATE = 0o600


def keep_password(value: str) -> str:
    """Return a value of a sweep file without its password, which only this process still knows: see `whole`."""
    hidden = hide(_WHOLE_URL.sub(_hidden, value))
    if hidden != value:
        _kept[hidden] = value
        _remember(value)
    return hidden


def holds_password(value: str) -> bool:
    """Tell whether a value was given with a password in clear."""
    return value in _kept


def whole(value: str, path: str) -> str:
    """Return a value as it is used: with its password, and with every `${NAME}` filled in from the environment.

    Inside a URL, what stands in for a user, a password or a parameter may have any letters: they are encoded.

    Args:
        value: what `keep_password` returned.
        path: dotted key of the sweep file, for the error.

    Raises:
        ConfigError: a variable is not set, or the value is of a copy, in which the password is hidden.
    """
    found = _kept.get(value, value)
    if f":{HIDDEN}@" in found or f"={HIDDEN}" in found:
        raise ConfigError(
            f"{path}: its password is hidden here ({HIDDEN}), as in every copy of a sweep file; write ${{NAME}} in its "
            "place and set NAME"
        )
    head, at, tail = found.rpartition("@") if "://" in found else ("", "", found)
    place, question, query = tail.partition("?") if "://" in found else (tail, "", "")
    filled = (
        _fill(head, path, is_encoded=True) + at + _fill(place, path) + question + _fill(query, path, is_encoded=True)
    )
    if filled != found:
        _remember(filled)
    return filled


def without_credentials(value: str) -> str:
    """Return a URL without user and password, to compare it by: another password is no other place."""
    return _CREDENTIALS.sub("", value)


def write_private_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file that only its owner may read, atomically, whatever the umask."""
    with atomic_path(path) as temporary:
        temporary.touch()
        temporary.chmod(PRIVATE)  # before anything is in it
        temporary.write_text(text, encoding="utf-8")


def blank_arguments() -> bool:
    """Take passwords out of the command line that `ps` shows to everybody, where the system is Linux; tell of one.

    They are overwritten where the kernel reads them; `sys.argv` keeps them.
    """
    try:
        content = Path("/proc/self/cmdline").read_bytes()
        start, end = map(int, Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()[45:47])
    except (OSError, ValueError):
        return False
    blanked = b"\0".join(map(_blanked, content.split(b"\0")))
    if blanked == content or ctypes.string_at(start, end - start) != content:
        return blanked != content
    ctypes.memmove(start, blanked, len(blanked))
    return True


def _blanked(argument: bytes) -> bytes:
    """Return an argument of the same length, with stars in the place of a password and what is between two of them."""
    text = argument.decode("latin-1")
    hidden = hide(text)
    if hidden == text:
        return argument
    head = _num_common(text, hidden)
    tail = min(_num_common(text[::-1], hidden[::-1]), len(text) - head)
    return argument[:head] + b"*" * (len(text) - head - tail) + argument[len(text) - tail :]


def _num_common(one: str, other: str) -> int:
    """Return with how many of the same letters two texts begin."""
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _hidden(match: re.Match[str]) -> str:
    is_reference = not _REFERENCE.sub("", match[2])
    return match[0] if is_reference else f"{match[1]}{HIDDEN}{match[3]}"


def _fill(text: str, path: str, *, is_encoded: bool = False) -> str:
    def value_of(match: re.Match[str]) -> str:
        value = os.environ.get(match[1])
        if not value:
            raise ConfigError(f"{path}: needs the environment variable {match[1]}, which is not set")
        return quote(value, safe="") if is_encoded else value

    return _REFERENCE.sub(value_of, text)


def _remember(value: str) -> None:
    """Let what is printed and raised be without the secrets of a value, as they are and as URLs have them."""
    found = [match["secret"] for match in _SECRET.finditer(value)]
    found += [match["secret"] for match in _ASSIGNED.finditer(value) if HIDDEN in hide(match[0])]
    for secret in found:
        remember_secret(secret)
        remember_secret(unquote(secret))
