"""The section `data`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from raybert.config.augment import AugmentConfig
from raybert.config.extra_tests import ExtraTestConfig, check_names
from raybert.config.noise import NoiseConfig
from raybert.config.section import Section
from raybert.config.tasks import CLASSIFICATION, MULTI_LABEL, Task

AFTER_LOADING = frozenset({"augment", "extra_tests"})
"""Keys that do not decide what is loaded, split and tokenized."""


class DataConfig(Section):
    """Where the texts come from and how they are cut into splits."""

    stands_for: ClassVar[str] = "source"
    in_words: ClassVar[Mapping[str, str]] = {"label": "a column, or a list of columns with one label each"}

    source: str = Field(
        "docstrings",
        min_length=1,
        description="built-in corpus (`docstrings`), path of a file (parquet, csv, tsv, jsonl, json, arrow; text also "
        "packed, e.g. .csv.gz), folder with one file per split or written by `save_to_disk`, or hub id",
    )
    config: str | None = Field(None, description="configuration of a hub dataset, e.g. `sst2` of `glue`")
    revision: str | None = Field(None, description="git revision of a hub dataset")
    text: str = Field("text", description="column of the text")
    text_pair: str | None = Field(None, description="column of the second text, for pairs")
    label: str | tuple[str, ...] = Field(
        "label",
        description="column of the label: whole numbers or strings; with `task: multi_label` lists of labels, or "
        "several columns of 0 and 1, one a label; with `task: regression` numbers",
    )
    task: Literal["auto", "classification", "multi_label", "regression"] = Field(
        "auto",
        description="what is predicted: one class, any number of labels, or a number (ordinal scales, too); auto: "
        "multi_label where `label` names several columns, else classification; labels that cannot be classes are "
        "refused",
    )
    label_separator: str | None = Field(
        None, min_length=1, description="multi_label: what stands between the labels of a text, e.g. `;`"
    )
    unlabelled: bool = Field(
        False,
        description="whether rows of train may lack a label: they are left out, in place of an error, and `raybert "
        "annotate` chooses among them which to label next",
    )
    id: str | None = Field(None, description="column of unique example ids; default: a hash of the content")
    group: str | None = Field(None, description="column of the group that must not be split up")
    max_length: int = Field(128, ge=4, le=32768, description="word pieces per example, special ones included")
    lowercase: bool | Literal["auto"] = Field(
        "auto",
        description="whether texts are lower-cased before they are cut into word pieces; auto: as the tokenizer does",
    )
    truncation_side: Literal["right", "left"] | None = Field(
        None,
        description="end at which texts lose what is beyond `max_length`; left keeps their ends; default: the "
        "tokenizer's, nearly always right",
    )
    pair_truncation: Literal["longest_first", "only_first", "only_second"] | None = Field(
        None, description="which text of a pair is shortened; default: longest_first, piece by piece"
    )
    train_examples: int | None = Field(None, gt=0, description="examples in the pool; default: all")
    validation_examples: int | None = Field(None, gt=0, description="validation examples; default: all")
    test_examples: int | None = Field(None, gt=0, description="test examples; default: all")
    validation_fraction: float = Field(
        0.1, gt=0, lt=1, description="share held out if there is no such split; with `folds`, of the other folds"
    )
    test_fraction: float = Field(
        0.2, gt=0, lt=1, description="share held out if there is no such split; not used with `folds`"
    )
    rare_classes: Literal["error", "drop", "train"] = Field(
        "error",
        description="classes with too few examples to be in every split that is cut: an error, left out, or all of "
        "their examples in train, where nothing measures them",
    )
    folds: int | None = Field(
        None,
        ge=2,
        le=20,
        description="cross-validation: all rows of the source are cut into so many folds, each is the test split once",
    )
    split_seed: int = Field(0, ge=0, description="seed of splits and of subsampling, shared by all trials")
    noise: NoiseConfig | None = Field(
        None,
        description="noise planted in the pool, not in validation and test, to see what strategies make of it; "
        "default: none",
    )
    augment: AugmentConfig | None = Field(
        None, description="changes the chosen examples while they are trained on; default: they stay as they are"
    )
    extra_tests: dict[str, ExtraTestConfig] = Field(
        {},
        description="name -> a further test set, from another domain perhaps: every trial is measured on it, and "
        "strategies are compared there, too",
    )

    @model_validator(mode="after")
    def _columns_differ(self) -> DataConfig:
        for key, other in (("label", "text"), ("text_pair", "text"), ("label", "text_pair")):
            columns = getattr(self, key)
            for column in columns if isinstance(columns, tuple) else (columns,):
                if column is not None and column == getattr(self, other):
                    raise ValueError(f"{key}: must be another column than that of `{other}`, got '{column}' for both")
        return self

    @model_validator(mode="after")
    def _extra_tests_have_names(self) -> DataConfig:
        check_names(self.extra_tests)
        return self

    @model_validator(mode="after")
    def _labels_fit_the_task(self) -> DataConfig:
        if isinstance(self.label, tuple):
            if self.task not in ("auto", MULTI_LABEL):
                raise ValueError(f"label: must be one column with `task: {self.task}`, got {len(self.label)}")
            if len(set(self.label)) < max(2, len(self.label)):
                raise ValueError(f"label: must name at least two different columns, got {list(self.label)}")
        if self.label_separator is not None and (self.task != MULTI_LABEL or isinstance(self.label, tuple)):
            raise ValueError("label_separator: must be left out without `task: multi_label` and one column of labels")
        if self.predicts != CLASSIFICATION and self.unlabelled:
            raise ValueError(f"unlabelled: must be false with `task: {self.predicts}`, got true")
        if self.predicts != CLASSIFICATION and self.rare_classes != "error":
            raise ValueError(f"rare_classes: must be error with `task: {self.predicts}`, got {self.rare_classes}")
        return self

    @property
    def predicts(self) -> Task:
        """The task, `auto` settled: the file alone says it."""
        if self.task == "auto":
            return MULTI_LABEL if isinstance(self.label, tuple) else CLASSIFICATION
        return self.task

    def of_extra_test(self, name: str) -> DataConfig:
        """Return the section by which the source of a further test set is read: columns as here, or its own."""
        wanted = self.extra_tests[name]
        named = {
            key: getattr(wanted, key) for key in ("text", "text_pair", "label") if getattr(wanted, key) is not None
        }
        source = {"source": wanted.source, "config": wanted.config, "revision": wanted.revision}
        return self.model_copy(update={**source, **named, "id": None, "group": None, "task": self.predicts})

    @property
    def label_words(self) -> str:
        """What messages call the column or columns of labels."""
        return ", ".join(self.label) if isinstance(self.label, tuple) else self.label

    @model_validator(mode="after")
    def _pairs_are_truncated(self) -> DataConfig:
        if self.pair_truncation is not None and self.text_pair is None:
            raise ValueError(f"pair_truncation: must be left out without `text_pair`, got {self.pair_truncation}")
        return self

    def identity(self) -> dict[str, Any]:
        """Return what decides the content of a data set, folds apart, as JSON; keys of finished folders hold it."""
        added = (
            "rare_classes",
            "lowercase",
            "truncation_side",
            "pair_truncation",
            "noise",
            "task",
            "label_separator",
            "unlabelled",
        )  # older folders know nothing of them
        later = {key for key in added if getattr(self, key) == DataConfig.model_fields[key].default}
        part = self.model_dump(mode="json", exclude={"folds", *AFTER_LOADING, *later})
        return {"subset" if key == "config" else key: value for key, value in part.items()}
