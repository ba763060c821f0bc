"""Where texts and labels come from: the built-in corpus, local files, or the hub; checked, and columns renamed."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from raybert.config import DataConfig, suggest
from raybert.data.docstrings import read_docstrings
from raybert.errors import DataError

DOCSTRINGS = "docstrings"
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
_READERS: dict[str, Callable[[Path], pd.DataFrame]] = {}


@dataclass(frozen=True)
class RawSplits:
    """What a source holds, before anything is cut.

    Attributes:
        splits: `train` and maybe `validation`, `test`: frames with text, label, and maybe text_pair, id, group.
        class_names: names of whole-number labels, where the source knows them.
        notes: what a user should know.
        details: for the manifest.
    """

    splits: dict[str, pd.DataFrame]
    class_names: tuple[str, ...] | None = None
    notes: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)


def read_source(config: DataConfig, cache_folder: Path) -> RawSplits:
    """Return the rows of `data.source`, with the columns that the data section names.

    Raises:
        DataError: the source is missing, unreadable, or lacks a column.
    """
    source = config.source
    if source == DOCSTRINGS:
        table, versions = read_docstrings(cache_folder)
        raw = RawSplits({"train": table.to_pandas()}, details={"package_versions": versions})
        columns = {"text": "text", "label": "label"}
        return _replace_splits(raw, {"train": raw.splits["train"].rename(columns=columns)[["text", "label"]]})
    raw = _read_local(Path(source).expanduser()) if _is_local(source) else _read_hub(config)
    return _replace_splits(
        raw, {name: _pick_columns(frame, config, name) for name, frame in raw.splits.items()}
    )


def _replace_splits(raw: RawSplits, splits: dict[str, pd.DataFrame]) -> RawSplits:
    return RawSplits(splits, raw.class_names, raw.notes, raw.details)


def _is_local(source: str) -> bool:
    path = Path(source).expanduser()
    looks_local = source.startswith((".", "~", os.sep)) or path.suffix.lower() in _READERS
    return path.exists() or looks_local


def _read_local(path: Path) -> RawSplits:
    if path.is_dir():
        return RawSplits(_read_folder(path))
    if not path.exists():
        near = suggest(path.name, (f.name for f in path.parent.glob("*"))) if path.parent.is_dir() else ""
        raise DataError(f"data.source: no such file or folder: {path}{near}")
    return RawSplits({"train": _read_file(path)})


def _read_folder(folder: Path) -> dict[str, pd.DataFrame]:
    """Return one frame per split file, e.g. train.parquet, dev.csv."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        split = SPLIT_NAMES.get(path.stem.lower())
        if split is None or path.suffix.lower() not in _READERS:
            continue
        if split in found:
            raise DataError(f"data.source: one file per split, got {found[split].name} and {path.name} in {folder}")
        found[split] = path
    if "train" not in found:
        names = ", ".join(sorted(path.name for path in folder.iterdir())[:10]) or "nothing"
        raise DataError(
            f"data.source: {folder} must hold train.parquet, train.csv or train.jsonl (and maybe validation, test); "
            f"it holds {names}"
        )
    return {split: _read_file(path) for split, path in found.items()}


def _read_file(path: Path) -> pd.DataFrame:
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"data.source: {path}: must end in one of {', '.join(_READERS)}")
    if path.stat().st_size == 0:
        raise DataError(f"data.source: {path}: the file is empty")
    try:
        frame = reader(path)
    except UnicodeDecodeError as error:
        raise DataError(
            f"data.source: {path}: must be UTF-8 text, cannot decode byte 0x{error.object[error.start]:02x} at "
            f"position {error.start}; convert it, e.g. `iconv -f latin1 -t utf-8`"
        ) from None
    except (pa.ArrowException, ValueError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise DataError(f"data.source: {path}: cannot be read as {path.suffix[1:]}: {reason}") from None
    if frame.empty:
        raise DataError(f"data.source: {path}: has no rows")
    return frame


def _read_parquet(path: Path) -> pd.DataFrame:
    return pa.parquet.read_table(path, partitioning=None).to_pandas()


def _read_csv(path: Path) -> pd.DataFrame:
    _check_utf8(path)
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    frame: pd.DataFrame = pd.read_csv(path, sep=delimiter, encoding="utf-8")
    return frame


def _read_json_lines(path: Path) -> pd.DataFrame:
    _check_utf8(path)
    options = pa.json.ReadOptions(block_size=1 << 26)
    return pa.json.read_json(path, read_options=options).to_pandas()


def _check_utf8(path: Path) -> None:
    """Raise UnicodeDecodeError with the position in the file, which the parsers do not tell."""
    path.read_bytes().decode("utf-8")


_READERS.update(
    {
        ".parquet": _read_parquet,
        ".csv": _read_csv,
        ".tsv": _read_csv,
        ".jsonl": _read_json_lines,
        ".json": _read_json_lines,
    }
)


def _read_hub(config: DataConfig) -> RawSplits:
    """Return the splits of a hub dataset, from the cache when there is no network."""
    import datasets  # slow to import, and only needed here

    name = config.source
    try:
        loaded = datasets.load_dataset(name, config.subset, revision=config.revision)
    except (datasets.exceptions.DatasetNotFoundError, ConnectionError, FileNotFoundError, ValueError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        near = difflib.get_close_matches(name, [DOCSTRINGS], n=1, cutoff=0.6)
        hint = f"did you mean '{near[0]}'? Otherwise " if near else ""
        raise DataError(
            f"data.source: '{name}' is not built in, not a local path, and could not be loaded from the hub ({reason}); "
            f"{hint}download it first where there is a network (`hf download --repo-type dataset {name}`), "
            "or give the path of a parquet, csv or jsonl file"
        ) from None
    splits = {SPLIT_NAMES[split]: part for split, part in loaded.items() if split in SPLIT_NAMES}
    if "train" not in splits:
        raise DataError(f"data.source: hub dataset '{name}' must have a split 'train', has {', '.join(loaded)}")
    feature = splits["train"].features.get(config.label)
    names = tuple(feature.names) if isinstance(feature, datasets.ClassLabel) else None
    frames, notes = {}, []
    for split, part in splits.items():
        frame = part.to_pandas()
        if split != "train" and config.label in frame and (frame[config.label] == -1).all():
            notes.append(f"the labels of split '{split}' of {name} are hidden (-1): it is cut from train instead")
        else:
            frames[split] = frame
    return RawSplits(frames, names, notes)


def _pick_columns(frame: pd.DataFrame, config: DataConfig, split: str) -> pd.DataFrame:
    """Return the named columns under raybert's names."""
    wanted = {
        "text": config.text,
        "text_pair": config.text_pair,
        "label": config.label,
        "id": config.id,
        "group": config.group,
    }
    picked = {}
    for role, column in wanted.items():
        if column is None:
            continue
        if column not in frame.columns:
            known = [str(name) for name in frame.columns]
            near = difflib.get_close_matches(column, known, n=1, cutoff=0.6)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            raise DataError(
                f"data.{role}: no column '{column}' in the {split} split; it has {', '.join(known)}{hint}"
            )
        picked[role] = frame[column]
    return pd.DataFrame(picked).reset_index(drop=True)
