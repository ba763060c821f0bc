"""What the operating system refuses, in one line: the path, the reason, and what to do about it where that is known."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Mapping

_NO_ROOM = "make room, and give the same command again: it goes on"
_NO_ANSWER = "the disk or the file server does not answer; give the same command again once it does"
_NO_RIGHT = "give another place, or the right to use this one"
_NO_MEMORY = "give it more memory, or raise the limit (`ulimit -v`, the container's)"
REMEDIES: Mapping[int, str] = {
    errno.ENOSPC: _NO_ROOM,
    errno.EDQUOT: _NO_ROOM,
    errno.EFBIG: "raise the limit on the size of files (`ulimit -f`)",
    errno.EMFILE: "raise the limit on open files (`ulimit -n 4096`)",
    errno.ENFILE: "too many files are open on this machine; end what holds them",
    errno.EAGAIN: "raise the limit on processes (`ulimit -u`), or of memory (`ulimit -v`)",
    errno.ENOMEM: _NO_MEMORY,
    errno.EIO: _NO_ANSWER,
    errno.ESTALE: _NO_ANSWER,
    errno.ETIMEDOUT: _NO_ANSWER,
    errno.EHOSTDOWN: _NO_ANSWER,
    errno.EHOSTUNREACH: _NO_ANSWER,
    errno.ENOTCONN: _NO_ANSWER,
    errno.EACCES: _NO_RIGHT,
    errno.EPERM: _NO_RIGHT,
    errno.EROFS: _NO_RIGHT,
    errno.ENOLCK: "the file system has no locks; give a place on another one",
}
_OF_MEMORY = re.compile(r"can't start new thread|not enough memory: you tried to allocate|cannot allocate memory", re.I)
"""What Python and torch say, by a RuntimeError, where a limit of memory or of threads is reached."""


def refusal_in_words(error: BaseException) -> str | None:
    """Return what the system has refused as one line; None: the error is none of its."""
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and _OF_MEMORY.search(str(error))):
        return f"memory: {_first_line(error) or 'none is left'}; {_NO_MEMORY}"
    if not isinstance(error, OSError):
        return None
    path = next((name for one in _causes(error) if (name := _path_of(one))), None)
    number = next((one.errno for one in _causes(error) if one.errno), None)
    reason = error.strerror or _first_line(error) or type(error).__name__
    remedy = REMEDIES.get(number, "") if number is not None else ""
    return (f"{path}: " if path and path not in reason else "") + reason + (f"; {remedy}" if remedy else "")


def _causes(error: OSError) -> Iterator[OSError]:
    """Yield an error and those behind it: what names the path may lie deeper than what names the reason."""
    seen: list[BaseException] = []
    one: BaseException | None = error
    while one is not None and one not in seen:
        seen.append(one)
        if isinstance(one, OSError):
            yield one
        one = one.__cause__ or one.__context__


def _path_of(error: OSError) -> str | None:
    names = [name for name in (error.filename, error.filename2) if isinstance(name, (str, bytes, os.PathLike))]
    return " -> ".join(os.fsencode(name).decode("utf-8", "backslashreplace") for name in names) or None


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [""])[0][:300]
