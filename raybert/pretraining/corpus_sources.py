"""The documents of a source: any that a sweep reads, without its labels, and plain text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raybert.config import suggest
from raybert.config.corpora import CorpusConfig
from raybert.data.columns import check_keys, texts_of
from raybert.data.cut import assign_units
from raybert.data.docstrings import read_docstrings
from raybert.data.formats import format_of
from raybert.data.hub import read_hub
from raybert.data.kinds import BUILT_IN, source_kind
from raybert.data.local import read_local
from raybert.data.raw import SPLIT_NAMES, RawTable, check_columns
from raybert.data.text_files import read_text
from raybert.data.units import Units
from raybert.errors import DataError
from raybert.pretraining.documents import Documents, plain_form
from raybert.pretraining.prose import PROSE, read_prose

SPLITS = ("train", "validation", "test")
TEXT = ".txt"
_KEY = re.compile(r"(?<![\w/.'-])data\.(source|config|revision|text|group)\b")
"""A key of the section `data`, as the readers of sources name it in messages."""
_BETWEEN_PARAGRAPHS = re.compile(r"\n[^\S\n]*\n\s*")


@dataclass(frozen=True)
class SourceDocuments:
    """All documents of a source by split, in an order that depends on their content and the seed alone.

    Attributes:
        splits: train, validation, test.
        notes: what a user should know of it.
    """

    splits: Mapping[str, Documents]
    notes: tuple[str, ...]


def read_documents(name: str, config: CorpusConfig, cache_folder: Path, *, is_plain: bool = False) -> SourceDocuments:
    """Return the documents of a corpus that has a source; splits that it lacks are cut from train.

    Copies of a text (or the documents of a group, where there are groups) stay on one side of a cut. Documents without
    anything to see are left out, and counted in a note.

    Args:
        name: of the corpus, for messages.
        config: its section.
        cache_folder: where the parsed built-in corpus is kept.
        is_plain: whether texts are brought to their plain form.

    Raises:
        DataError: what is wrong with the source; it starts with the key in `corpora`.
    """
    try:
        tables, notes = _read(config, cache_folder)
        if is_plain:
            tables = {split: _plain(table) for split, table in tables.items()}
        for split, table in tables.items():
            kept, num_blank = _without_blank(table)
            tables[split] = kept
            if num_blank:
                notes.append(f"{split}: {num_blank:,} of {table.num_rows:,} documents are blank and left out")
            if kept.num_rows == 0:
                raise DataError(f"data.source: {split} of '{config.source}' must have a document with text, got none")
        tables = _cut(tables, config)
    except DataError as error:
        raise DataError(in_words_of(f"corpora.{name}", str(error))) from None
    splits = {split: _documents(name, tables[split]).shuffled(config.split_seed) for split in SPLITS}
    return SourceDocuments(splits, tuple(f"{name}: {note}" for note in notes))


def _documents(name: str, table: pa.Table) -> Documents:
    """Return the documents of a split; their groups bear the name of the corpus, so that mixes keep them apart."""
    groups = None
    if "group" in table.column_names:
        values = table["group"].combine_chunks().cast(pa.large_string())
        groups = pc.binary_join_element_wise(
            pa.scalar(f"{name}:", pa.large_string()), values, pa.scalar("", pa.large_string())
        )
    return Documents(table["text"].combine_chunks(), groups=groups)


def in_words_of(key: str, message: str) -> str:
    """Return a message about a `data` section as one about the corpus at another key."""
    return _KEY.sub(lambda found: f"{key}.{found[1]}", message)


def wanted_columns(config: CorpusConfig) -> dict[str, str]:
    """Return key of the section -> name of the column that it asks for."""
    return {"text": config.text} | ({"group": config.group} if config.group else {})


def _read(config: CorpusConfig, cache_folder: Path) -> tuple[dict[str, pa.Table], list[str]]:
    """Return the tables (text, [group]) of the splits that the source has, and notes."""
    data = config.as_data()
    wanted = wanted_columns(config)
    if data.source == PROSE:
        return _read_prose(wanted, cache_folder)
    kind = source_kind(data.source)
    path = Path(data.source).expanduser()
    if kind == "local" or format_of(path).ending == TEXT:
        files = text_files(path)
        if files:
            return _read_text_files(files, config)
        raw = read_local(path, wanted)
    elif kind == "built-in":
        corpus, _ = read_docstrings(cache_folder)
        check_columns(corpus.column_names, wanted, f"'{data.source}'")
        raw = {"train": RawTable(pa.table({key: corpus[column] for key, column in wanted.items()}))}
    else:
        raw = read_hub(data, wanted, BUILT_IN)
    notes = list(dict.fromkeys(note for table in raw.values() for note in table.notes))
    return {split: _typed(table, wanted, split) for split, table in raw.items()}, notes


def _read_prose(wanted: Mapping[str, str], cache_folder: Path) -> tuple[dict[str, pa.Table], list[str]]:
    prose = read_prose(cache_folder)
    corpus = pa.table({"text": pa.array(prose.texts, pa.string()), "package": pa.array(prose.packages, pa.string())})
    check_columns(corpus.column_names, wanted, f"'{PROSE}'")
    note = f"docstrings of {', '.join(f'{name} {version}' for name, version in sorted(prose.versions.items()))}"
    num_left_out = sum(prose.left_out.values())
    note += f"; {num_left_out:,} that share words with the corpus `docstrings` are left out"
    return {"train": pa.table({key: corpus[column] for key, column in wanted.items()})}, [note]


def _typed(raw: RawTable, wanted: Mapping[str, str], split: str) -> pa.Table:
    columns = {"text": texts_of(raw, "text", wanted["text"], split)[0]}
    if "group" in wanted:
        columns["group"] = check_keys(raw, "group", wanted["group"], split)
    return pa.table(columns)


def text_files(path: Path) -> dict[str, list[Path]]:
    """Return split -> its txt files of a txt file or a folder of some; empty: this is something else.

    Raises:
        DataError: there is no such file.
    """
    if format_of(path).ending == TEXT:
        if not path.is_file():
            near = suggest(path.name, (entry.name for entry in path.parent.iterdir())) if path.parent.is_dir() else ""
            raise DataError(f"data.source: no such file or folder '{path}'{near}")
        return {"train": [path]}
    if not path.is_dir() or any(format_of(file).is_read for file in path.iterdir()):
        return {}
    found = sorted(file for file in path.rglob("*") if file.is_file() and format_of(file).ending == TEXT)
    of_split = {
        split: [file for file in found if format_of(file).stem in names] for split, names in SPLIT_NAMES.items()
    }
    return {split: files for split, files in of_split.items() if files} if of_split["train"] else {"train": found}


def check_text_group(config: CorpusConfig) -> None:
    """Refuse a column as the group of txt files."""
    if config.group not in (None, "file"):
        raise DataError(f"data.group: txt files have no columns, only the group `file`, got '{config.group}'")


def _read_text_files(
    files: Mapping[str, Sequence[Path]], config: CorpusConfig
) -> tuple[dict[str, pa.Table], list[str]]:
    check_text_group(config)
    notes: list[str] = []
    tables = {}
    for split, paths in files.items():
        texts: list[str] = []
        groups: list[str] = []
        for path in paths:
            text, found = read_text(path)
            notes += found
            documents = _documents_of(text.replace("\r\n", "\n"), config.documents)
            texts += documents
            groups += [str(path)] * len(documents)
        columns = {"text": texts} | ({"group": groups} if config.group else {})
        tables[split] = pa.table({key: pa.array(values, pa.string()) for key, values in columns.items()})
    return tables, notes


def _documents_of(text: str, kind: str) -> list[str]:
    """Return the documents of a txt file; blank lines are none."""
    if kind == "files":
        return [text]
    parts: Iterable[str] = text.split("\n") if kind == "lines" else _BETWEEN_PARAGRAPHS.split(text)
    return [part for part in (part.strip("\n") for part in parts) if part.strip()]


def _plain(table: pa.Table) -> pa.Table:
    texts = pa.array(
        [plain_form(text) for text in Documents(table["text"].combine_chunks().fill_null(""))], pa.string()
    )
    return table.set_column(0, "text", texts)


def _without_blank(table: pa.Table) -> tuple[pa.Table, int]:
    """Return the documents with something in them but blanks, and how many had nothing."""
    texts = Documents(table["text"].combine_chunks().fill_null(""))
    kept = np.fromiter((bool(text.strip()) for text in texts), bool, len(texts))
    return table.filter(pa.array(kept)), int((~kept).sum())


def _cut(tables: dict[str, pa.Table], config: CorpusConfig) -> dict[str, pa.Table]:
    """Return all three splits, those that are not there cut from train.

    Raises:
        DataError: there are too few documents, or groups, for it.
    """
    missing = [split for split in ("test", "validation") if split not in tables]
    if not missing:
        return tables
    train = tables["train"]
    fractions = [float(getattr(config, f"{split}_fraction")) for split in missing]
    units = Units.of_table(train)
    if len(units) <= len(missing):
        noun = "groups" if "group" in train.column_names else "distinct documents"
        raise DataError(
            f"data.source: '{config.source}' must have at least {len(missing) + 1} {noun} to cut "
            f"{' and '.join(missing)} from train, got {len(units)}"
        )
    taken = assign_units(units, np.zeros(train.num_rows, np.int64), fractions, config.split_seed)
    cut = {split: train.filter(pa.array(taken == number)) for number, split in enumerate(missing, start=1)}
    return {**tables, "train": train.filter(pa.array(taken == 0)), **cut}
