"""What files are read: their endings, how they are packed, and how others become one of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FORMATS = (".parquet", ".csv", ".tsv", ".jsonl", ".json", ".arrow")
"""Endings of the files that are read."""

PACKED = (".gz", ".bz2", ".xz", ".zst")
"""Endings that text files may have besides."""

_ALIASES = {".ndjson": ".jsonl", ".jsonlines": ".jsonl", ".pq": ".parquet", ".feather": ".arrow", ".tab": ".tsv"}
_TEXT_FORMATS = (".csv", ".tsv", ".jsonl", ".json", ".txt")
_WITH_PANDAS = {
    ".xlsx": "read_excel",
    ".xls": "read_excel",
    ".xlsm": "read_excel",
    ".ods": "read_excel",
    ".orc": "read_orc",
    ".pkl": "read_pickle",
    ".pickle": "read_pickle",
    ".dta": "read_stata",
    ".sav": "read_spss",
    ".xml": "read_xml",
    ".h5": "read_hdf",
    ".hdf5": "read_hdf",
}
"""Ending -> the function of pandas that reads such a file."""


@dataclass(frozen=True)
class FileFormat:
    """What a file's name says about it.

    Attributes:
        stem: the name without its endings.
        ending: one of `FORMATS`, or what else it ends with, in small letters.
        packed: one of `PACKED`, or nothing.
    """

    stem: str
    ending: str
    packed: str = ""

    @property
    def is_data(self) -> bool:
        """Whether such a file can hold a table, read or not."""
        return self.ending in (*FORMATS, *_WITH_PANDAS) or bool(self.packed)

    @property
    def is_read(self) -> bool:
        """Whether there is a reader for it."""
        return self.ending in FORMATS and (not self.packed or self.ending in _TEXT_FORMATS)


def format_of(path: Path) -> FileFormat:
    """Return what a file's name says about it."""
    ending = path.suffix.lower()
    if ending not in PACKED:
        return FileFormat(path.stem, _ALIASES.get(ending, ending))
    inner = Path(path.stem)
    return FileFormat(inner.stem, _ALIASES.get(inner.suffix.lower(), inner.suffix.lower()), ending)


def describe_conversion(path: Path) -> str:
    """Return how a file of a format that is not read becomes one that is, in one line."""
    ending = format_of(path).ending
    if ending in _WITH_PANDAS:
        target = path.with_suffix(".parquet").name
        call = f"pandas.{_WITH_PANDAS[ending]}('{path.name}').to_parquet('{target}')"
        return f'convert it first, e.g. `python -c "import pandas; {call}"`'
    if ending in {".zip", ".tar", ".tgz", ".7z", ".rar"} or format_of(path).packed:
        return "unpack it first"
    if ending in {".db", ".sqlite", ".sqlite3"}:
        return "export its table first, e.g. `sqlite3 -header -csv FILE 'SELECT * FROM table' > rows.csv`"
    return "name it by what it holds, e.g. rows.csv, rows.tsv or rows.jsonl"
