"""`train.metrics`: metrics of a user's own, as the sweep file names them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from raybert.config.metrics import METRICS, Metric, declare_metric, nearest_metric
from raybert.config.section import Section
from raybert.config.tasks import EVERY_TASK
from raybert.config.words import list_choices

_ENDINGS = re.compile(r"_(mean|std|low|high|p)$|_vs_|_fraction")
"""What columns of tables put behind the name of a metric."""


class MetricConfig(Section):
    """A metric of your own, measured on validation at every evaluation, and on test by every trial."""

    stands_for: ClassVar[str] = "function"
    in_words: ClassVar[Mapping[str, str]] = {
        "function": "`module:callable` of your own; raybert's metrics are measured anyway",
        "name": "letters, digits and `_`, a letter first",
        "range": "[lowest, highest], two numbers, the lower one first",
    }

    function: str = Field(
        pattern=r"^[\w.]+:\w+$",
        description="`module:callable`: (labels (m,), probabilities (m, C)) -> a number; NaN: undefined. Of several "
        "labels both are (m, L), of numbers (m,)",
    )
    name: str = Field(
        "",
        pattern=r"^([A-Za-z]\w*)?$",
        description="in columns, tables and `best_metric`; default: the name of the callable",
    )
    direction: Literal["auto", "higher", "lower"] = Field(
        "auto", description="which is better; auto: what the callable's attribute `direction` says, else higher"
    )
    reads: Literal["probs", "predictions"] = Field(
        "probs",
        description="what it is called with beside the labels: (m, C) probabilities, or (m,) predicted classes; of "
        "several labels (m, L) 0 or 1",
    )
    range: tuple[float, float] | None = Field(
        None, description="lowest and highest value; [0, 1] is shown in percent; default: any number"
    )

    @model_validator(mode="before")
    @classmethod
    def _named_by_its_callable(cls, document: Any) -> Any:
        if not isinstance(document, Mapping) or document.get("name") or not isinstance(document.get("function"), str):
            return document
        return {**document, "name": document["function"].partition(":")[2]}

    @model_validator(mode="after")
    def _is_a_metric_of_its_own(self) -> MetricConfig:
        if self.name in METRICS:
            raise ValueError(f"name: must not be that of a metric of raybert, got '{self.name}'; give another `name`")
        if _ENDINGS.search(self.name):
            raise ValueError(
                f"name: must not end in _mean, _std, _low, _high or _p, nor have _vs_ or _fraction in it, as columns "
                f"of tables do, got '{self.name}'; give another `name`"
            )
        if self.range is not None and not self.range[0] < self.range[1]:
            raise ValueError(f"range: must be {self.in_words['range']}, got {list(self.range)}")
        return self

    @property
    def metric(self) -> Metric:
        """What is known of it without its function; of direction `auto` what holds if that says nothing."""
        lowest, highest = (-math.inf, math.inf) if self.range is None else self.range
        return Metric(
            self.name,
            self.name.replace("_", " "),
            f"your own, {self.function}",
            "every evaluation",
            lowest,
            highest,
            lower_is_better=self.direction == "lower",
            needs_probs=self.reads == "probs",
            function=self.function,
            tasks=EVERY_TASK,
        )


def declare_own(metrics: Sequence[MetricConfig]) -> None:
    """Make metrics of a file known by their names in this process.

    Raises:
        ValueError: two have one name, or another of this process has it.
    """
    names = [one.name for one in metrics]
    for number, one in enumerate(metrics):
        if one.name in names[:number]:
            raise ValueError(
                f"metrics: must have a name each, got '{one.name}' twice ({metrics[names.index(one.name)].function} "
                f"and {one.function}); give one of them another `name`"
            )
        try:
            declare_metric(one.metric, is_settled=one.direction != "auto")
        except ValueError as error:
            raise ValueError(f"metrics: {error}") from None


def check_is_metric(key: str, name: str | None, own: Iterable[MetricConfig]) -> None:
    """Refuse a name that is no metric.

    Args:
        key: that has it.
        name: of the metric; None: none is given.
        own: those of the file.

    Raises:
        ValueError: begins with the key.
    """
    known = [*METRICS, *(one.name for one in own)]
    if name is not None and name not in known:
        raise ValueError(f"{key}: must be {list_choices(known)}, got '{name}'{nearest_metric(name, known)}")
