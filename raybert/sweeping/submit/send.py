"""Print a file of a results folder as lines of base64: `python -m raybert.sweeping.submit.send FOLDER NAME`.

The log of a job is the one way back from a cluster of which nothing but the dashboard can be reached.
"""

from __future__ import annotations

import base64
import sys
import zlib
from pathlib import Path

from raybert.errors import ExitCode
from raybert.storage import is_url, url_of
from raybert.storage.store import open_store

MOST_BYTES = 64 * 2**20
_WIDTH = 4000


def main(folder: str, name: str) -> int:
    """Print it; return the exit code."""
    content = _read(folder, name)
    if content is None or len(content) > MOST_BYTES:
        return ExitCode.BAD_INPUT
    text = base64.b64encode(zlib.compress(content, 9)).decode()
    for start in range(0, len(text), _WIDTH):
        sys.stdout.write(f"data:{text[start : start + _WIDTH]}\n")
    return ExitCode.DONE


def _read(folder: str, name: str) -> bytes | None:
    if is_url(folder):
        return open_store(url_of(folder)).get_bytes(name)
    path = Path(folder).expanduser() / name
    return path.read_bytes() if path.is_file() else None


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
