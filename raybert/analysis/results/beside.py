"""Sweeps beside each other: a row per strategy, a column per sweep, and ranks over data sets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from raybert.analysis import latex, markdown
from raybert.analysis.results.several import Sweeps, data_of, encoder_of, fingerprints_of
from raybert.analysis.statistics.columns import typed_frame
from raybert.analysis.statistics.configurations import KEY
from raybert.analysis.statistics.data_sets import RankTest, rank_data_sets
from raybert.analysis.statistics.decision import BETTER, EQUIVALENT, NOT_SETTLED, WORSE
from raybert.analysis.statistics.ranks import FEWEST_DATA_SETS, FEWEST_STRATEGIES
from raybert.analysis.statistics.scales import Scale
from raybert.analysis.statistics.verdicts import value_words
from raybert.display import Row, TextTable, html_section
from raybert.plain import csv_frame, printable_lines
from raybert.tables.several import COMPARED_SWEEPS, MEAN_RANKS

_MARKS = {BETTER: " +", WORSE: " -", NOT_SETTLED: " ?", EQUIVALENT: " ="}


@dataclass(frozen=True, repr=False)
class ComparedSweeps:
    """Several sweeps beside each other.

    Attributes:
        sweeps: which.
        metric: what they are compared by, on test.
        baseline: what ranks are compared with; None: it is not among them.
        rows: `raybert.tables.several.COMPARED_SWEEPS`, a cell of the table each.
        ranks: `MEAN_RANKS`, over data sets.
        tests: what is behind the ranks, by budget.
        notes: what is left out, and what nothing can be said of.
        plots: that were written.
    """

    sweeps: Sweeps
    metric: str
    baseline: str | None
    rows: pd.DataFrame = field(repr=False)
    ranks: pd.DataFrame = field(repr=False)
    tests: Mapping[str, RankTest] = field(repr=False)
    notes: tuple[str, ...]
    plots: tuple[Path, ...] = ()

    @property
    def table(self) -> TextTable:
        """A row per strategy (and budget), a column per sweep: mean on test, interval, and verdict in the sweep."""
        return self._table(self.rows)

    @property
    def narrow_table(self) -> TextTable:
        """The table without intervals."""
        return self._table(self.rows.assign(low=np.nan, high=np.nan))

    def _table(self, rows: pd.DataFrame) -> TextTable:
        budgets = self.rows["at"].ne("").any()
        keys = [tuple(key) for key in self.rows[["row", "at"]].drop_duplicates().itertuples(index=False)]
        cells = {(row["row"], row["at"], row["sweep"]): self._cell(row) for row in rows.to_dict("records")}
        ranks = {(row["row"], row["at"]): row for row in self.ranks.to_dict("records")}
        shown = []
        sizes = {at: 0 if at == "" else budget for at, budget in self.rows.groupby("at")["budget"].min().items()}
        order = {key: (sizes[key[1]], ranks[key]["mean_rank"] if key in ranks else np.inf) for key in keys}
        for row, at in sorted(keys, key=lambda key: order[key]):
            rank = ranks.get((row, at))
            words = "" if rank is None else f"{rank['mean_rank']:.2f}{_MARKS.get(rank['verdict'], '')}"
            values = (cells.get((row, at, label), "") for label in self.sweeps.sweeps)
            shown.append(Row((row, *([at] if budgets else []), *values, *([words] if ranks else []))))
        columns = ("strategy", *(["budget"] if budgets else []), *self.sweeps.sweeps, *(["mean rank"] if ranks else []))
        return TextTable(columns, tuple(shown))

    @property
    def lines(self) -> list[str]:
        """What is to say below the table."""
        scale = Scale(self.metric)
        share = " in percent" if scale.is_percent else ""
        head = [f"Test {scale.words}{share}: mean with its 95 % interval over seeds or folds."]
        given = {*self.rows["verdict"], *self.ranks["verdict"]}
        words = {
            BETTER: "better than its baseline",
            WORSE: "worse than its baseline",
            NOT_SETTLED: "not settled, since not every test of its sweep agrees",
            EQUIVALENT: f"no difference to its baseline beyond {self._margins}",
        }
        if marks := [f"{_MARKS[verdict].strip()}: {words[verdict]}" for verdict in _MARKS if verdict in given]:
            head.append(f"{'; '.join(marks)} (by the tests inside of each sweep).")
        if self.rows["num_failed"].any():
            failed = self.rows[self.rows["num_failed"] > 0].groupby("sweep", sort=False)["num_failed"].sum()
            counts = ", ".join(f"{count} of {label}" for label, count in failed.items())
            head.append(f"Failed runs are left out, which flatters who has them: {counts}.")
        about = [
            f"{label}: data {data_of(sweep) or 'unknown'}, encoder {encoder_of(sweep) or 'unknown'}."
            for label, sweep in self.sweeps.sweeps.items()
        ]
        return [*head, *about, *(sentence for at, test in self.tests.items() for sentence in self._said(at, test))]

    @property
    def _margins(self) -> str:
        """What sweeps call no difference: one margin, or that of each, all in the unit of the metric."""
        scale = Scale(self.metric)
        margins = {label: scale.margin(sweep.margin(self.metric)) for label, sweep in self.sweeps.sweeps.items()}
        if len(set(margins.values())) == 1:
            return f"{next(iter(margins.values()))} (sweep.margin)"
        return f"the margin of its sweep ({', '.join(f'{label} {margin}' for label, margin in margins.items())})"

    def _said(self, at: str, test: RankTest) -> Iterator[str]:
        where = f"Budget {at}: mean ranks" if at else "Mean ranks"
        friedman = f"Friedman, p = {test.friedman_p:.2g}"
        if not test.is_tested:
            yield f"{where} over {test.num_data_sets} data sets; nothing is tested with fewer than {FEWEST_DATA_SETS}."
            return
        if not test.differs:
            yield f"{where} over {test.num_data_sets} data sets: no difference shown ({friedman})."
            return
        yield (
            f"{where} over {test.num_data_sets} data sets differ ({friedman}); two of them by the test of Nemenyi if "
            f"they are {test.difference:.2f} or more apart."
        )
        if self.baseline is not None:
            verdicts = test.verdicts(self.baseline)
            for verdict in (BETTER, WORSE):
                names = [str(name) for name in verdicts.index[verdicts == verdict]]
                if names:
                    yield f"Ranks {verdict} than {self.baseline} (Holm): {', '.join(names)}."

    def _cell(self, row: Mapping[Any, Any]) -> str:
        """Return a value of the table; means of two seeds are shown as such, both values would be too wide."""
        parts = {"_mean": row["mean"], "_low": row["low"], "_high": row["high"]}
        named = {f"test_{self.metric}{end}": value for end, value in parts.items()}
        return value_words({**named, "num_replicates": max(3, row["num_replicates"])}, self.metric) + _MARKS.get(
            row["verdict"], ""
        )

    def to_csv(self) -> str:
        """Return `rows` as csv, whose texts are harmless in a spreadsheet."""
        return csv_frame(self.rows).to_csv(index=False)

    def to_markdown(self) -> str:
        """Return the table as Markdown, with what is to say below it."""
        lines = [*self.lines, *(f"note: {note}" for note in self.notes)]
        return "\n".join([markdown.table(self.table), "", *(f"- {markdown.words(line)}" for line in lines)]) + "\n"

    def to_latex(self) -> str:
        r"""Return the table as LaTeX with its caption; needs `\usepackage{booktabs}`."""
        places = ", ".join(str(sweep.folder) for sweep in self.sweeps.sweeps.values())
        return latex.table(self.table, self.lines, "compared-sweeps", f"Made by raybert from {places}.")

    def __repr__(self) -> str:
        return f"<ComparedSweeps of {', '.join(self.sweeps.sweeps)}, by {self.metric}>"

    def __str__(self) -> str:
        lines = [str(self.table), *self.lines, *(f"note: {note}" for note in self.notes)]
        return printable_lines("\n".join(lines))

    def _repr_html_(self) -> str:
        """Show the table in a notebook."""
        return html_section("sweeps", self.sweeps.sweeps, self.table._repr_html_(), notes=[*self.lines, *self.notes])


def compare_sweeps(sweeps: Sweeps, metric: str | None = None, baseline: str = "random") -> ComparedSweeps:
    """Return sweeps beside each other.

    Strategies are the same if their labels and what varies of the grid are. Budgets are the same if they are as many
    examples in all sweeps, else as the same share of the pool; sweeps of one budget each are compared at these.

    Args:
        sweeps: at least two.
        metric: on test; default: that of the sweeps.
        baseline: what ranks are compared with, where it is among the strategies.

    Raises:
        SweepError: no metric is given and theirs differ, or a sweep has no such metric.
    """
    chosen = sweeps.metric(metric)
    rows = _rows(sweeps, chosen)
    ranks, tests, notes = _ranks(sweeps, rows, chosen, baseline)
    known = any(baseline in test.ranks for test in tests.values())
    return ComparedSweeps(sweeps, chosen, baseline if known else None, rows, ranks, tests, tuple(notes))


_TAKEN = ("sweep", "data", "encoder", "strategy", "budget", "num_replicates", "num_failed", KEY)


def _rows(sweeps: Sweeps, metric: str) -> pd.DataFrame:
    summary = sweeps.summary(metric)
    summary = summary[(summary["num_complete"] > 0) & (summary["role"] == "trial")]
    compared = sweeps.compare(None, metric).drop_duplicates(["sweep", KEY]).set_index(["sweep", KEY])
    at = _budgets(sweeps, summary)
    records = []
    for row in summary.to_dict("records"):
        key = (row["sweep"], row[KEY])
        beside = compared.loc[key].to_dict() if key in compared.index else {}
        records.append(
            {name: row[name] for name in _TAKEN}
            | {"row": sweeps.sweeps[row["sweep"]].configurations[row[KEY]].label, "at": at[key], "metric": metric}
            | {end: row[f"test_{metric}_{end}"] for end in ("mean", "low", "high")}
            | {"baseline": beside.get("baseline", ""), "verdict": beside.get("verdict", row["verdict"])}
            | {name: beside.get(name, np.nan) for name in ("difference", "holm_p")}
        )
    return typed_frame(records, COMPARED_SWEEPS)


def _budgets(sweeps: Sweeps, summary: pd.DataFrame) -> dict[tuple[str, str], str]:
    """Return what budget every configuration of a sweep stands at, in words; empty where a sweep has but one."""
    own = {
        (label, name): configuration.budget
        for label, sweep in sweeps.sweeps.items()
        for name, configuration in sweep.configurations.by_name.items()
    }
    limited = summary["budget_kind"] != "none"
    known = {(row["sweep"], row[KEY]) for row in summary[limited].to_dict("records")}
    sets = {label: frozenset(own[key] for key in known if key[0] == label) for label in sweeps.sweeps}
    if all(len(budgets) <= 1 for budgets in sets.values()):
        return dict.fromkeys(own, "")
    pools = sweeps.trials.groupby("sweep", sort=False)["pool_size"].max()
    are_equal = len({budgets for budgets in sets.values() if budgets}) == 1

    def words(label: str, budget: int) -> str:
        return f"{budget:,}" if are_equal else f"{100 * budget / pools[label]:.3g} %"

    return {key: words(key[0], budget) if key in known and budget else "" for key, budget in own.items()}


def _ranks(
    sweeps: Sweeps, rows: pd.DataFrame, metric: str, baseline: str
) -> tuple[pd.DataFrame, dict[str, RankTest], list[str]]:
    """Return mean ranks of strategies with a budget over data sets, the tests behind them, and what is left out."""
    numbers = {prints: n for n, prints in enumerate(dict.fromkeys(map(fingerprints_of, sweeps.sweeps.values())))}
    data = {label: numbers[fingerprints_of(sweep)] for label, sweep in sweeps.sweeps.items()}
    kinds = sweeps.trials.drop_duplicates(["sweep", KEY]).set_index(["sweep", KEY])["budget_kind"]
    limited = [kinds[key] != "none" for key in rows[["sweep", KEY]].itertuples(index=False, name=None)]
    own = rows[limited].assign(data_set=[data[label] for label in rows.loc[limited, "sweep"]])
    records: list[dict[str, Any]] = []
    tests: dict[str, RankTest] = {}
    notes = [f"{len(sweeps.sweeps)} sweeps of {len(numbers)} data sets: sweeps of one are averaged in the ranks"]
    notes = notes if len(numbers) < len(sweeps.sweeps) and len(numbers) > 1 else []
    for key, at_budget in own.groupby("at", sort=True):
        at = str(key)
        values = at_budget.pivot_table(index="data_set", columns="row", values="mean", aggfunc="mean")
        whole = values.dropna(axis=1)
        missing = [str(name) for name in values if name not in whole]
        if len(whole) < 2 or whole.shape[1] < FEWEST_STRATEGIES:
            continue
        if missing:
            where = f" at budget {at}" if at else ""
            notes.append(f"no rank{where}, since not every data set has a finished trial: {', '.join(missing)}")
        test = rank_data_sets(whole, metric, baseline if baseline in whole else None)
        tests[at] = test
        verdicts = test.verdicts(baseline)
        records += [
            {
                "at": at,
                "row": name,
                "mean_rank": float(test.ranks[name]),
                "num_data_sets": test.num_data_sets,
                "num_strategies": len(test.ranks),
                "friedman_p": test.friedman_p,
                "critical_difference": test.difference,
                "baseline": baseline if baseline in whole else "",
                "holm_p": float(test.holm_p[name]),
                "verdict": str(verdicts[name]),
            }
            for name in map(str, test.ranks.index)
        ]
    return typed_frame(records, MEAN_RANKS), tests, notes
