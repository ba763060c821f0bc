"""Sentences on what is as good as training on everything (`all`), within the margin of the sweep file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from raybert.analysis.results.listed import listed
from raybert.analysis.statistics.as_good_as_all import AS_GOOD, FULL, is_flattered
from raybert.analysis.statistics.configurations import KEY
from raybert.analysis.statistics.decision import NOT_SETTLED
from raybert.analysis.statistics.scales import Scale
from raybert.analysis.statistics.verdicts import pairs_words


def as_good_words(table: pd.DataFrame) -> str:
    """Return what the headline of the claims says: `el2n is as good as all within 0.5 points (p = 0.003)`, or nothing.

    Args:
        table: `AS_GOOD_AS_ALL`.
    """
    is_shown = [row["verdict"] == AS_GOOD and not is_flattered(row) for row in table.to_dict("records")]
    shown = table[is_shown]
    if shown.empty:
        return ""
    largest = shown["holm_p"].max()
    by = p_words(largest)
    if len(shown) > 1:
        by = f"{by} each" if largest < _SMALL else by.replace("p =", "p up to")
    return f"{listed(shown[KEY])} {'is' if len(shown) == 1 else 'are'} as good as {FULL} within {_margin(table)} ({by})"


def as_good_sentences(table: pd.DataFrame) -> list[str]:
    """Return a sentence per configuration that is as good as `all`, one on the others, and one on the method.

    Nothing where nothing was tested, as with fewer than three seeds.

    Args:
        table: `AS_GOOD_AS_ALL`.
    """
    tested = table[table["holm_p"].notna()]
    if tested.empty:
        return []
    margin, number = _margin(tested), len(tested)
    shown = [row for row in tested.to_dict("records") if row["verdict"] in _WORDS]
    if not shown:
        whom = f"None of {number} configurations" if number > 1 else f"{tested[KEY].iloc[0]}"
        verb = "is" if number > 1 else "is not"
        return [f"{whom} {verb} shown to be as good as {FULL} within {margin}: {_TESTS} with Holm's correction."]
    said = [f"{row[KEY]}: {_WORDS[row['verdict']].format(margin)} ({_size(row)}){_but(row)}." for row in shown]
    rest = number - len(shown)
    if rest:
        others = f"{rest} other configurations" if rest > 1 else "the other configuration"
        said.append(f"Of {others} that is not shown.")
    confirmed = ", which a paired bootstrap over test examples must confirm" if _has_examples(tested) else ""
    over = f"{number} configuration{'s' if number > 1 else ''}"
    return [*said, f"As good as {FULL}: {_TESTS} at 5 % with Holm's correction over {over}{confirmed}."]


def p_words(p: float) -> str:
    """Return a p-value in a sentence: `p = 0.012`, `p < 0.001`."""
    return f"p < {_SMALL:g}" if p < _SMALL else f"p = {p:.3f}"


_SMALL = 0.001
_TESTS = "one-sided paired t-tests of a loss of sweep.margin or more"
_WORDS = {
    AS_GOOD: f"as good as {FULL} within {{}}",
    NOT_SETTLED: f"as good as {FULL} within {{}} by its seeds, which test examples do not confirm: not settled",
}


def _size(row: Mapping[Any, Any]) -> str:
    scale, dropped = Scale(row["metric"]), int(row["num_dropped_pairs"])
    mean, at_worst = (scale.difference(row[name]) for name in ("difference", "difference_at_worst"))
    left_out = f"; {_pairs(dropped)} left out because a run failed" if dropped else ""
    return f"{mean}{scale.points}, at worst {at_worst}, {p_words(row['holm_p'])}, {pairs_words(row)}{left_out}"


def _but(row: Mapping[Any, Any]) -> str:
    return ", but only if failed runs do not count" if is_flattered(row) else ""


def _pairs(number: int) -> str:
    return f"{number} pair{'' if number == 1 else 's'}"


def _margin(table: pd.DataFrame) -> str:
    first = table.iloc[0]
    return Scale(str(first["metric"])).margin(float(first["margin"]))


def _has_examples(table: pd.DataFrame) -> bool:
    return bool(table["examples_low"].notna().any())
