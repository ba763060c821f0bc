"""The comparison of a sweep ready to paste: Markdown for a page, LaTeX for a paper."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import pandas as pd

from raybert.analysis import latex, markdown
from raybert.analysis.results.comparison import LETTERS_HEAD, WARNING, usual_baseline
from raybert.analysis.results.failed_runs import failure_sentences, with_failed_lines
from raybert.analysis.results.sweep import Sweep
from raybert.analysis.statistics.decision import BETTER, EQUIVALENT, NOT_SETTLED, WORSE
from raybert.analysis.statistics.intervals import FEWEST
from raybert.analysis.statistics.scales import Scale
from raybert.analysis.statistics.verdicts import method_sentences, range_words
from raybert.display import Row, TextTable
from raybert.plain import csv_frame

CSV_TABLES: Mapping[str, Callable[[Sweep, str | None], pd.DataFrame]] = {
    "summary": lambda sweep, metric: sweep.summary(metric),
    "comparisons": lambda sweep, metric: sweep.compare(None, metric),
    "trials": lambda sweep, _: sweep.trials,
    "evaluations": lambda sweep, _: sweep.evaluations,
    "metrics": lambda sweep, _: sweep.metrics,
    "extra_tests": lambda sweep, _: sweep.extra_tests,
    "per_pass": lambda sweep, _: sweep.per_pass,
    "as_good_as_all": lambda sweep, metric: sweep.as_good_as_all(metric),
    "letters": lambda sweep, metric: sweep.letters(metric),
    "overlap": lambda sweep, _: sweep.overlap(),
    "pareto": lambda sweep, metric: sweep.pareto(metric),
    "equal_cost": lambda sweep, _: sweep.equal_cost,
    "cost_to_reach": lambda sweep, _: sweep.cost_to_reach,
    "budget_curve": lambda sweep, metric: sweep.budget_curve(metric),
}
"""By the names of their files in `results/`; those that a metric makes no difference to are about that of the sweep."""


def results_markdown(sweep: Sweep, metric: str | None = None) -> str:
    """Return the comparison of a sweep as a table of Markdown, with what is to say below it.

    Args:
        sweep: with its tables.
        metric: what strategies are compared by; default: the metric of the sweep.

    Raises:
        SweepError: no metric has this name, or no finished trial has it.
    """
    shown = sweep.comparison(metric)
    said = [*sweep.letters_lines(metric), *sweep.comparison_lines(metric)]
    claims = sweep.claims(metric)
    lines = [claims.headline, *_caption(sweep, metric), *said, claims.scope]
    lines += [f"note: {note}" for note in sweep.notes]
    lines = [line for line in dict.fromkeys(lines) if line]
    return "\n".join([markdown.table(shown), "", *(f"- {markdown.words(line)}" for line in lines)]) + "\n"


def results_latex(sweep: Sweep, metric: str | None = None) -> str:
    r"""Return the comparison of a sweep as a table of LaTeX with its caption; needs `\usepackage{booktabs}`.

    Args:
        sweep: with its tables.
        metric: what strategies are compared by; default: the metric of the sweep.

    Raises:
        SweepError: no metric has this name, or no finished trial has it.
    """
    shown = sweep.comparison(metric)
    marked = any(cell.endswith(f" {WARNING}") for row in shown.rows for cell in row.cells)
    warning = [f"{WARNING}: a trial that never predicts a class, or a weak proxy."] if marked else []
    caption = [
        *_caption(sweep, metric),
        *warning,
        *sweep.letters_lines(metric),
        *with_failed_lines(sweep.summary(metric)),
        *failure_sentences(sweep.summary(metric), sweep.compare(None, metric)),
        *method_sentences(sweep.compare(None, metric)),
        sweep.claims(metric).scope,
    ]
    comment = f"Made by raybert from {sweep.folder}."
    return latex.table(_with_raised_letters(shown), caption, sweep.name, comment)


def _with_raised_letters(shown: TextTable) -> TextTable:
    """Return a table with the letters of all pairs behind the metric, where LaTeX raises them."""
    if LETTERS_HEAD not in shown.columns:
        return shown
    place = shown.columns.index(LETTERS_HEAD)
    value = place - 3  # the metric, the second one, the difference

    def raised(row: Row) -> Row:
        if len(row.cells) <= place:
            return row
        cells = list(row.cells)
        cells[value] = f"{cells[value]} {cells[place]}".strip()
        return replace(row, cells=tuple(cells))

    return replace(shown, rows=tuple(map(raised, shown.rows))).without(place)


def results_text(sweep: Sweep, form: str, *, metric: str | None = None, table: str = "summary") -> str:
    """Return the results of a sweep in a form for other programs.

    Args:
        sweep: with its tables.
        form: `markdown`, `latex`, or `csv`, whose texts are harmless in a spreadsheet.
        metric: what strategies are compared by; default: the metric of the sweep.
        table: which one `csv` is of, a name of `CSV_TABLES`.

    Raises:
        SweepError: no metric has this name, or no finished trial has it.
    """
    if form != "csv":
        return {"markdown": results_markdown, "latex": results_latex}[form](sweep, metric)
    return csv_frame(CSV_TABLES[table](sweep, metric)).to_csv(index=False)


_FURTHER = ((NOT_SETTLED, "?", "not settled"), (EQUIVALENT, "=", "no difference beyond the margin"))


def _caption(sweep: Sweep, metric: str | None) -> list[str]:
    """Return what the numbers are, a sentence each."""
    scale = Scale(metric or sweep.metric)
    comparisons = sweep.compare(None, metric)
    share = " in percent" if scale.is_percent else ""
    sentences = [f"{sweep.name}: test {scale.words}{share}, {_spread(sweep.summary(metric), sweep.replicates)}."]
    marks = [
        f"{mark}: {verdict} than {usual_baseline(comparisons)}"
        for mark, verdict in (("+", BETTER), ("-", WORSE))
        if (comparisons["verdict"] == verdict).any()
    ]
    marks += [f"{mark}: {words}" for verdict, mark, words in _FURTHER if (comparisons["verdict"] == verdict).any()]
    return [*sentences, *([f"{', '.join(marks)}."] if marks else [])]


def _spread(summary: pd.DataFrame, replicates: str) -> str:
    """Return what a number of the table is, for as many replicates as its rows have."""
    trained = summary[(summary["num_complete"] > 0) & (summary["role"] != "proxy")]
    if trained.empty:
        return f"none of {int(summary['num_trials'].sum())} trials is complete"
    counts = trained["num_replicates"]
    over = range_words(counts, replicates)
    if counts.max() < FEWEST:
        one = f"one {replicates.rstrip('s')}"
        return one if counts.max() == 1 else f"both {replicates}" if counts.min() > 1 else f"{one}, or both values"
    few = f" (fewer than {FEWEST}: the values)" if counts.min() < FEWEST else ""
    return f"mean over {over} with its 95 % interval{few}"
