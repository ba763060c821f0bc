"""`data.extra_tests`: labelled examples from elsewhere that every trial is measured on, too."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import ClassVar, Literal

from pydantic import Field

from raybert.config.section import Section

TEST = "test"
"""The test split of the data itself; extra tests stand beside it, under names of their own."""
_TAKEN = ("train", "validation", TEST, "scoring", "all")
"""Words that tables have for other things than an extra test."""
_NAME = re.compile(r"[A-Za-z][\w.-]{0,39}")


class ExtraTestConfig(Section):
    """A test set from elsewhere, whose classes are those of the data."""

    stands_for: ClassVar[str] = "source"

    source: str = Field(
        min_length=1,
        description="as of `data.source`: path of a file or folder, or hub id; its labels are classes of the pool",
    )
    config: str | None = Field(None, description="configuration of a hub dataset")
    revision: str | None = Field(None, description="git revision of a hub dataset")
    split: Literal["auto", "train", "validation", "test"] = Field(
        "auto", description="of a folder or hub dataset; auto: test, else validation, else train"
    )
    text: str | None = Field(None, description="column of the text; default: `data.text`")
    text_pair: str | None = Field(None, description="column of the second text; default: `data.text_pair`")
    label: str | tuple[str, ...] | None = Field(None, description="column of the label; default: `data.label`")
    examples: int | None = Field(
        None, gt=0, description="examples, stratified by class and chosen by `data.split_seed`; default: all"
    )


def check_names(names: Iterable[str]) -> None:
    """Refuse names that tables cannot tell from what else they have.

    Raises:
        ValueError: begins with the key.
    """
    for name in names:
        if name in _TAKEN or not _NAME.fullmatch(name):
            raise ValueError(
                f"extra_tests: must be named by letters, digits, `_`, `.` and `-`, a letter first, other than "
                f"{', '.join(_TAKEN)}, got '{name}'; give it another name"
            )
