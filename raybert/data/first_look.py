"""What can be seen of data before they are read: paths, formats, columns; it comes before what takes time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from raybert.config import DataConfig
from raybert.data.kinds import columns_of, naming_extra_test, source_kind
from raybert.errors import DataError


def look_at_source(config: DataConfig, further: Mapping[str, str] | None = None) -> None:
    """Refuse a `data` section whose source is not there, is of a format that is not read, or lacks a column.

    The hub is not asked, and of large text files the columns are not looked at.

    Args:
        config: the section.
        further: columns that its train table must have besides: what asks for one, in words -> its name.

    Raises:
        DataError: as `read_source`.
    """
    kind, wanted = source_kind(config.source), columns_of(config)
    if kind == "local":
        from raybert.data.local import look_at_local, look_at_train  # Arrow

        path = Path(config.source).expanduser()
        look_at_local(path, wanted)
        if further:
            look_at_train(path, {**wanted, **further})
    elif kind == "built-in":
        usual = {config.model_fields[key].default for key in ("text", "label")}
        if further or set(wanted.values()) - usual:
            from raybert.data.docstrings import COLUMNS
            from raybert.data.raw import check_columns

            check_columns(list(COLUMNS), {**wanted, **(further or {})}, f"'{config.source}'")


def look_at_extra_tests(config: DataConfig) -> None:
    """Refuse further test sets whose local source is not there, is of no format that is read, or lacks a column.

    Args:
        config: the `data` section.

    Raises:
        DataError: names the key.
    """
    for name, wanted in config.extra_tests.items():
        section = config.of_extra_test(name)
        with naming_extra_test(name):
            if source_kind(section.source) == "local":
                from raybert.data.local import look_at_local, split_to_test  # Arrow

                path = Path(section.source).expanduser()
                look_at_local(path, columns_of(section), split=split_to_test(path, wanted.split))


def look_at_unseen(path: Path, columns: Mapping[str, str], split: str = "test") -> None:
    """Refuse a file or folder of examples for a trained model that is not there, or lacks one of some columns.

    Args:
        path: the file, or a folder with one per split.
        columns: key of the `data` section -> name of the column, of those that are asked for.
        split: of a folder.

    Raises:
        DataError: as `read_unseen`.
    """
    if not path.exists():
        raise DataError(f"data: no such file or folder '{path}'")
    if path.is_file() and path.suffix.lower() == ".txt":
        return
    from raybert.data.local import look_at_local

    look_at_local(path, columns, split=split)
