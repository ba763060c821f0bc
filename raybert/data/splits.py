"""Clean, labelled, identified examples in three splits."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from raybert.config import DataConfig
from raybert.data.sources import RawSplits, read_source
from raybert.errors import DataError

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Splits:
    """The examples of a sweep.

    Attributes:
        train: the pool; columns example_id, text, [text_pair], label (class number), [group].
        validation: likewise.
        test: likewise.
        label_names: class number -> name.
        fingerprint: hex digest of content and order of all three.
        notes: what a user should know: shared texts, repeats, cut splits.
        details: for the manifest.
    """

    train: pa.Table
    validation: pa.Table
    test: pa.Table
    label_names: tuple[str, ...]
    fingerprint: str
    notes: tuple[str, ...]
    details: dict[str, Any]


def load_splits(config: DataConfig, cache_folder: Path) -> Splits:
    """Return the three splits that a data section describes.

    Splits that the source lacks are cut from its train split: seeded, stratified by label, copies of a text (and
    examples of a group) never on two sides. Which examples are where does not depend on their order in the file.

    Raises:
        DataError: the source is missing, unreadable or unfit; the message starts with the key at fault.
    """
    raw = read_source(config, cache_folder)
    for name, frame in raw.splits.items():
        _check_texts(frame, config, name)
    frames, label_names = _number_labels(raw, config)
    frames = {name: _identify(frame, label_names, config, name) for name, frame in frames.items()}
    notes = list(raw.notes)
    frames = _cut_missing(frames, config, notes)
    wanted = {"train": config.train_examples, "validation": config.validation_examples, "test": config.test_examples}
    for name in SPLITS:
        frames[name] = _subsample(frames[name], wanted[name], config, name)
    if frames["train"]["label"].nunique() < 2:
        raise DataError(f"data.train_examples: the pool must hold at least two classes, {len(frames['train'])} do not")
    notes += _sharing_notes(frames)
    tables = {name: _to_table(frames[name]) for name in SPLITS}
    details = {
        **raw.details,
        "class_counts": {
            name: frames[name]["label"].value_counts().sort_index().rename(lambda c: label_names[c]).to_dict()
            for name in SPLITS
        },
    }
    return Splits(
        **tables,
        label_names=label_names,
        fingerprint=_fingerprint(tables.values(), label_names),
        notes=tuple(notes),
        details=details,
    )


def normalize_text(text: str) -> str:
    """Return a text as duplicates are compared: NFKC, lower case, single spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).lower().split())


def _check_texts(frame: pd.DataFrame, config: DataConfig, split: str) -> None:
    for role in ("text", "text_pair"):
        if role not in frame:
            continue
        column = getattr(config, role)
        is_text = frame[role].map(lambda value: isinstance(value, str) and bool(value.strip()))
        if not is_text.all():
            rows = np.flatnonzero(~is_text)
            first = ", ".join(str(row) for row in rows[:5])
            raise DataError(
                f"data.{role}: every row of column '{column}' must be a text, {len(rows)} of {len(frame)} in the "
                f"{split} split are empty or not text (rows {first}{', ...' if len(rows) > 5 else ''})"
            )


def _number_labels(raw: RawSplits, config: DataConfig) -> tuple[dict[str, pd.DataFrame], tuple[str, ...]]:
    """Return the frames with class numbers 0..C-1 as labels, and the names of the classes."""
    values = {name: _clean_labels(frame["label"], config, name) for name, frame in raw.splits.items()}
    in_train = sorted(set(values["train"]))
    if raw.class_names is not None:
        in_train = [value for value in in_train if 0 <= value < len(raw.class_names)]
    if len(in_train) < 2:
        raise DataError(f"data.label: column '{config.label}' must hold at least two classes, got only {in_train}")
    number = {value: i for i, value in enumerate(in_train)}
    frames = {}
    for name, labels in values.items():
        unknown = sorted(set(labels) - set(number))
        if unknown:
            raise DataError(f"data.label: the {name} split has classes that train lacks: {unknown[:5]}")
        frames[name] = raw.splits[name].assign(label=labels.map(number).astype(np.int64))
    names = tuple(raw.class_names[v] if raw.class_names else str(v) for v in in_train)
    return frames, names


def _clean_labels(labels: pd.Series, config: DataConfig, split: str) -> pd.Series:
    """Return whole numbers or strings.

    Raises:
        DataError: missing values, or numbers with a fraction.
    """
    where = f"data.label: column '{config.label}' of the {split} split must hold whole numbers or strings"
    if labels.isna().any():
        raise DataError(f"{where}, got {int(labels.isna().sum())} empty cells")
    if pd.api.types.is_bool_dtype(labels) or pd.api.types.is_integer_dtype(labels):
        return labels.astype(np.int64)
    if pd.api.types.is_float_dtype(labels):
        if (labels % 1 != 0).any():
            raise DataError(f"{where}, got {labels[labels % 1 != 0].iloc[0]}")
        return labels.astype(np.int64)
    is_string = labels.map(lambda value: isinstance(value, str))
    if not is_string.all():
        wrong = labels[~is_string].iloc[0]
        raise DataError(f"{where}, got {wrong!r} of type {type(wrong).__name__}")
    return labels.astype(object)


def _identify(frame: pd.DataFrame, label_names: tuple[str, ...], config: DataConfig, split: str) -> pd.DataFrame:
    """Return the frame with `example_id` (the user's, or a hash of the content) and `same`, the normalised text."""
    pairs = frame["text_pair"] if "text_pair" in frame else pd.Series([""] * len(frame))
    same = [f"{normalize_text(a)}\x1f{normalize_text(b)}" for a, b in zip(frame["text"], pairs, strict=True)]
    if config.id is not None:
        ids = frame["id"].astype(str)
        if ids.duplicated().any():
            raise DataError(
                f"data.id: column '{config.id}' must be unique, got {ids[ids.duplicated()].iloc[0]!r} more than "
                f"once in the {split} split"
            )
    else:
        content = [
            f"{text}\x1f{pair}\x1f{label_names[label]}"
            for text, pair, label in zip(frame["text"], pairs, frame["label"], strict=True)
        ]
        copy = pd.Series(content).groupby(content).cumcount()
        ids = pd.Series(
            [
                hashlib.blake2b(f"{text}\x1f{number}".encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
                for text, number in zip(content, copy, strict=True)
            ]
        )
    return frame.assign(example_id=ids.to_numpy(), same=same)


def _cut_missing(frames: dict[str, pd.DataFrame], config: DataConfig, notes: list[str]) -> dict[str, pd.DataFrame]:
    """Cut the splits that the source lacks from train, test first."""
    whole = len(frames["train"])
    for name, fraction in (("test", config.test_fraction), ("validation", config.validation_fraction)):
        if name in frames:
            continue
        held_out = _held_out(frames["train"], fraction * whole, config.split_seed, name)
        frames[name] = frames["train"][held_out].reset_index(drop=True)
        frames["train"] = frames["train"][~held_out].reset_index(drop=True)
        if frames["train"]["label"].nunique() < 2 or frames[name].empty:
            raise DataError(
                f"data.{name}_fraction: {whole} examples are too few to cut a {name} split of "
                f"{fraction:g} from; give more examples or a split of your own"
            )
    return frames


def _held_out(frame: pd.DataFrame, target: float, seed: int, name: str) -> np.ndarray:
    """Return a mask of about `target` rows: whole units (copies of a text, or groups), in every class its share.

    Units come in the order of a keyed hash; each class gives rows until its share is full.
    """
    unit = frame["group"].astype(str) if "group" in frame else frame["same"]
    order = np.argsort(_keys(unit, f"{seed}:{name}"), kind="stable")
    share = target / len(frame)
    room = frame["label"].value_counts() * share
    is_held_out = np.zeros(len(frame), bool)
    labels = frame["label"].to_numpy()
    codes = pd.factorize(unit.to_numpy()[order])[0]
    members = pd.Series(order).groupby(codes, sort=False)
    for _, rows in members:
        positions = rows.to_numpy()
        wanted = pd.Series(labels[positions]).value_counts()
        if all(room[label] >= count / 2 for label, count in wanted.items()):
            is_held_out[positions] = True
            for label, count in wanted.items():
                room[label] -= count
    return is_held_out


def _subsample(frame: pd.DataFrame, count: int | None, config: DataConfig, name: str) -> pd.DataFrame:
    """Return a stratified part in canonical order: sorted by a keyed hash, so a larger part begins with the smaller."""
    if count is not None and count > len(frame):
        raise DataError(f"data.{name}_examples: must be <= {len(frame)} (examples in the {name} split), got {count}")
    keys = _keys(frame["example_id"], f"{config.split_seed}:subsample")
    frame = frame.iloc[np.argsort(keys, kind="stable")].reset_index(drop=True)
    if count is None or count == len(frame):
        return frame
    # Row r of a class of m examples stands at (r + 1/2) / m of the way: a prefix of that order is stratified.
    within = frame.groupby("label").cumcount().to_numpy()
    sizes = frame["label"].map(frame["label"].value_counts()).to_numpy()
    chosen = np.lexsort((np.arange(len(frame)), (within + 0.5) / sizes))[:count]
    return frame.iloc[chosen].reset_index(drop=True)


def _keys(values: Iterable[Any], salt: str) -> np.ndarray:
    """Return a 64-bit hash per value, keyed by a salt."""
    key = hashlib.blake2b(salt.encode(), digest_size=16).digest()
    digests = (
        hashlib.blake2b(str(value).encode("utf-8", "surrogatepass"), digest_size=8, key=key).digest()
        for value in values
    )
    return np.array([int.from_bytes(digest, "big") for digest in digests], np.uint64)


def _sharing_notes(frames: dict[str, pd.DataFrame]) -> list[str]:
    notes = []
    for i, one in enumerate(SPLITS):
        for other in SPLITS[i + 1 :]:
            shared = frames[other]["same"].isin(set(frames[one]["same"])).sum()
            if shared:
                notes.append(f"{shared} of {len(frames[other])} {other} texts are in {one} too")
    repeats = int(frames["train"]["same"].duplicated().sum())
    if repeats:
        notes.append(f"{repeats} of {len(frames['train'])} train texts are repeats inside train")
    return notes


def _to_table(frame: pd.DataFrame) -> pa.Table:
    columns = [c for c in ("example_id", "text", "text_pair", "label", "group") if c in frame]
    arrays = [
        pa.array(frame[c].astype(str) if c in ("example_id", "group") else frame[c].to_numpy(), _type(c))
        for c in columns
    ]
    return pa.table(arrays, names=columns)


def _type(column: str) -> pa.DataType:
    return pa.int64() if column == "label" else pa.large_string()


def _fingerprint(tables: Iterable[pa.Table], label_names: tuple[str, ...]) -> str:
    """Hash names and buffers: content and order, without a Python object per row."""
    digest = hashlib.sha256("\x1f".join(label_names).encode())
    for table in tables:
        for name in table.column_names:
            digest.update(f"\x1e{name}:{len(table)}".encode())
            for buffer in table[name].combine_chunks().buffers():
                if buffer is not None:
                    digest.update(buffer)
    return digest.hexdigest()
