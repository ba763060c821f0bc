"""Text files: unpacked, and decoded by their byte order mark or by what they unmistakably are."""

from __future__ import annotations

import bz2
import codecs
import gzip
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from raybert.data.formats import format_of
from raybert.data.raw import first_line
from raybert.errors import DataError

_BYTE_ORDER_MARKS = (  # the longer ones first: UTF-32-LE begins like UTF-16-LE
    (codecs.BOM_UTF8, "utf-8", ""),
    (codecs.BOM_UTF32_LE, "utf-32-le", "UTF-32"),
    (codecs.BOM_UTF32_BE, "utf-32-be", "UTF-32"),
    (codecs.BOM_UTF16_LE, "utf-16-le", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16-be", "UTF-16"),
)
_PACKED_BY: dict[str, tuple[str, Callable[[Path], Any]]] = {
    ".gz": ("gzip", gzip.GzipFile),
    ".bz2": ("bzip2", bz2.BZ2File),
    ".xz": ("xz", lzma.LZMAFile),
    ".zst": ("zstandard", lambda path: pa.CompressedInputStream(str(path), "zstd")),
}
_UNPACKERS = {".gz": "gzip -dc", ".bz2": "bzip2 -dc", ".xz": "xz -dc", ".zst": "zstd -dc"}
_NOT_TEXT = {
    b"PK\x03\x04": "a spreadsheet (.xlsx, .ods) or a zip file",
    b"\xd0\xcf\x11\xe0": "a spreadsheet (.xls)",
    b"\x1f\x8b": "packed with gzip; let its name end with .gz",
    b"PAR1": "parquet; let its name end with .parquet",
    b"ARROW1": "an Arrow file; let its name end with .arrow",
    b"SQLite format 3": "a database of SQLite",
    b"%PDF": "a PDF",
}
_MARKS = b'\t\n\r,;|:"{}[]'
"""Characters that every table has many of, whatever its language."""
_UNPACKED_LIMIT = 100
"""A file may unpack to so many times its size (texts take 3 to 10), or to 64 MiB: more is a mistake or a trap."""


def read_text(path: Path) -> tuple[str, tuple[str, ...]]:
    """Return the text of a file, and what was recognised.

    Raises:
        DataError: it cannot be unpacked, is no text, or not in UTF-8, UTF-16 or UTF-32; says where, and what to do.
    """
    packed = format_of(path).packed
    content = _unpack(path, packed) if packed else _read_bytes(path)
    if not content:
        raise DataError(f"data.source: '{path}' is empty (0 bytes)")
    for magic, words in _NOT_TEXT.items():
        if content.startswith(magic):
            raise DataError(f"data.source: '{path}' must be text, but is {words}")
    if not content.strip(b"\0"):
        raise DataError(f"data.source: '{path}' must be text, got nothing but zero bytes: it is damaged")
    text, name = _decode(content, path)
    return text, ((f"'{path}': read as {name}",) if name else ())


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"data.source: '{path}' cannot be read: {error.strerror}") from None


def _unpack(path: Path, packed: str) -> bytes:
    name, opened = _PACKED_BY[packed]
    limit = max(64 << 20, _UNPACKED_LIMIT * path.stat().st_size)
    try:
        with opened(path) as file:
            content: bytes = file.read(limit + 1)
    except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, pa.ArrowException) as error:
        raise DataError(
            f"data.source: '{path}' cannot be unpacked with {name}: {first_line(error)}; it is damaged or misnamed"
        ) from None
    if len(content) > limit:
        raise DataError(
            f"data.source: '{path}' must not unpack to more than {_UNPACKED_LIMIT} times its size, as no text does; "
            "unpack it first if it is right"
        )
    return content


def _decode(content: bytes, path: Path) -> tuple[str, str]:
    """Return the text, and the name of its encoding if it is not UTF-8."""
    for mark, encoding, name in _BYTE_ORDER_MARKS:
        if content.startswith(mark):
            return _decode_as(content[len(mark) :], encoding, path, len(mark)), name
    wide = _wide_encoding(content)
    if wide is not None and (_is_mostly_wide(content) or not _is_utf8(content)):
        return _decode_as(content, wide, path), f"{wide.upper()} without a byte order mark"
    return _decode_as(content, "utf-8", path), ""


def _wide_encoding(content: bytes) -> str | None:
    """Return UTF-16 or UTF-32 if separators, quotes and brackets have zero bytes beside them, on one side only."""
    if b"\0" not in content:
        return None
    codes = np.frombuffer(content, np.uint8)
    if len(codes) % 4 == 0:
        zeros = (codes.reshape(-1, 4) == 0).mean(axis=0)
        if zeros[3] == 1 and zeros[2] > 0.9 > zeros[0]:
            return "utf-32-le"
        if zeros[0] == 1 and zeros[1] > 0.9 > zeros[3]:
            return "utf-32-be"
    pairs = codes[: len(codes) // 2 * 2].reshape(-1, 2)
    is_mark = np.zeros(256, bool)
    is_mark[list(_MARKS)] = True
    marks = is_mark[pairs]
    little, big = ((marks[:, own] & (pairs[:, other] == 0)).sum() for own, other in ((0, 1), (1, 0)))
    return "utf-16-le" if little > 10 * big else "utf-16-be" if big > 10 * little else None


def _is_mostly_wide(content: bytes) -> bool:
    text = content.rstrip(b"\0")  # zeros at the end may be what a crash has left
    return text.count(b"\0") > len(text) // 5


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _decode_as(content: bytes, encoding: str, path: Path, skipped: int = 0) -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        before = content[: error.start]
        place = f"position {error.start + skipped}"
        if encoding != "utf-8":
            line = before.decode(encoding, "replace").count("\n") + 1
            raise DataError(
                f"data.source: '{path}' is {encoding.upper()} text, but broken off in a character, or damaged, "
                f"at {place} (line {line}); write it anew as UTF-8"
            ) from None
        line = before.count(b"\n" if b"\n" in content else b"\r") + 1
        form = format_of(path)
        source, unpack = (path.name, "") if not form.packed else ("", f"{_UNPACKERS[form.packed]} {path.name} | ")
        command = (
            f"{unpack}iconv -f {_likely_encoding(content)} -t utf-8 {source}{' ' * bool(source)}> utf8{form.ending}"
        )
        raise DataError(
            f"data.source: '{path}' must be UTF-8 text, got byte 0x{content[error.start]:02x} at {place} (line "
            f"{line}); convert it first, e.g. `{command}`"
        ) from None


def _likely_encoding(content: bytes) -> str:
    """Return what text of one byte a character most likely is: Windows uses bytes that Latin-1 has no letters for."""
    return "cp1252" if any(byte in content for byte in range(0x80, 0xA0)) else "latin1"
