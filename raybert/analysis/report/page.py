"""The page of a sweep: what was found, how it is known, and all that stands behind it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from raybert.analysis.report import browser, cost, tables
from raybert.analysis.report.about import configuration_section, data_section, reproduce_section, versions_section
from raybert.analysis.report.layout import Section
from raybert.analysis.report.pictures import Pictures, left_out_words, read_pictures
from raybert.analysis.report.render import render
from raybert.analysis.report.swatches import Swatch, swatches_of
from raybert.analysis.results.claims import Claims
from raybert.analysis.results.sweep import Sweep
from raybert.analysis.statistics.configurations import KEY, has_budget
from raybert.analysis.statistics.scales import Scale
from raybert.config.tasks import MULTI_LABEL, REGRESSION
from raybert.files import write_text
from raybert.sweeping.folder.owner import is_alive, read_owner
from raybert.version import __version__

REPORT_FILE = "report.html"
_MOST_NOTES = 30


@dataclass(frozen=True)
class Standing:
    """How far the sweep is, in words, with the style of these."""

    words: str
    style: str


@dataclass(frozen=True)
class Fact:
    """A name with a value."""

    name: str
    value: str


@dataclass(frozen=True)
class Page:
    """What `report.html.j2` shows.

    Attributes:
        name: of the sweep.
        standing: how far it is.
        claims: what the statistics say.
        facts: what a reader asks first.
        notes: what to know before one believes it.
        sections: the rest, in order.
        version: of raybert.
        written: when.
        left_out: what the page does not show.
    """

    name: str
    standing: Standing
    claims: Claims
    facts: tuple[Fact, ...]
    notes: tuple[str, ...]
    sections: tuple[Section, ...]
    version: str
    written: str
    left_out: tuple[str, ...]

    @property
    def contents(self) -> tuple[Section, ...]:
        """The sections, the verdict first."""
        return (Section("verdict", "Verdict"), *self.sections)


@dataclass(frozen=True)
class Published:
    """Tables that are not those of the sweep itself, as they were written beside the page.

    Attributes:
        examples: `EXAMPLES`, with texts where these are known and wanted.
        estimate: `ESTIMATE`.
    """

    examples: pd.DataFrame
    estimate: pd.DataFrame


def write_report(sweep: Sweep, published: Published) -> Path:
    """Write `report.html` into the results folder, atomically, and return its path."""
    path = sweep.folder / REPORT_FILE
    write_text(path, report_html(sweep, published))
    return path


def report_html(sweep: Sweep, published: Published) -> str:
    """Return the page of a sweep, finished or not; plots are those that are in its folder."""
    pictures = read_pictures(sweep.folder, Scale(sweep.metric).words)
    has_trials = bool((sweep.trials["status"] == "complete").any())
    swatches = swatches_of(sweep) if has_trials else {}
    sections = _sections(sweep, published, pictures, swatches)
    page = Page(
        name=sweep.name,
        standing=standing(sweep),
        claims=sweep.claims(),
        facts=tuple(_facts(sweep)),
        notes=tuple(_notes(sweep)),
        sections=tuple(section for section in sections if not section.is_empty),
        version=__version__,
        written=time.strftime("%d %B %Y, %H:%M UTC", time.gmtime()),
        left_out=tuple(left_out_words(pictures.left_out)),
    )
    return render(page)


def standing(sweep: Sweep) -> Standing:
    """Return how far a sweep is: from its trials, and from whether a process is at work in its folder."""
    counts = sweep.trials["status"].value_counts()
    complete, failed, pending = (int(counts.get(state, 0)) for state in ("complete", "failed", "pending"))
    pending = max(pending, sweep.outcome.num_pending if sweep.outcome is not None else 0)
    done = f"{complete:,} of {len(sweep.trials):,} trials are complete"
    done += f", {failed:,} failed" if failed else ""
    done += f", {pending:,} have not finished" if pending else ""
    is_running = sweep.outcome is None and read_owner(sweep.folder) is not None and is_alive(sweep.folder)
    if is_running:
        return Standing(f"Running: {done}. Numbers will change.", "warn")
    if pending:
        return Standing(f"Interrupted: {done}. The same sweep command goes on.", "warn")
    return Standing(f"Finished: {done}.", "bad" if failed else "good")


def _facts(sweep: Sweep) -> Iterator[Fact]:
    trials, summary = sweep.trials, sweep.summary()
    compared = trials[trials["role"] == "trial"]
    yield Fact("metric", f"{Scale(sweep.metric).words} on test")
    yield Fact("strategies", f"{compared['strategy'].nunique():,}")
    yield Fact("configurations", f"{int((summary['role'] == 'trial').sum()):,}")
    yield Fact("seeds", f"{compared['seed'].nunique():,}")
    if (compared["fold"] > 0).any():
        yield Fact("folds", f"{compared['fold'].nunique():,}")
    budgets = sorted(set(compared.loc[has_budget(compared), "budget"].astype(int)))
    if budgets:
        shown = budgets if len(budgets) <= 4 else [budgets[0], budgets[-1]]
        yield Fact(
            "budgets" if len(budgets) > 1 else "budget",
            (", " if len(budgets) <= 4 else " to ").join(f"{budget:,}" for budget in shown),
        )
    pools = sorted(set(compared["pool_size"].astype(int)))
    if pools:
        yield Fact("pool", f"{pools[0]:,}" if len(pools) == 1 else f"{pools[0]:,} to {pools[-1]:,}")
    spent = trials["wall_seconds"].sum()
    if spent:
        yield Fact("time in trials", _duration(float(spent)))
    best = sweep.best()
    if best is not None:
        yield Fact("best by validation", str(best[KEY]))


def _notes(sweep: Sweep) -> Iterator[str]:
    search = sweep.search.notes if sweep.search is not None else []
    notes = [*dict.fromkeys((*sweep.notes, *sweep.selection_notes, *search))]
    yield from notes[:_MOST_NOTES]
    if len(notes) > _MOST_NOTES:
        yield f"{len(notes) - _MOST_NOTES:,} more notes: results/notes.txt"


def _sections(
    sweep: Sweep, published: Published, pictures: Pictures, swatches: Mapping[str, Swatch]
) -> Iterator[Section]:
    """Yield the parts of the page in order; what there is none of is empty."""
    is_begun = bool((sweep.trials["status"] == "complete").any())
    comparison = pictures.of("comparison")
    if is_begun:
        yield Section(
            "comparison",
            "Comparison",
            first_pictures=comparison[:1],
            tables=(tables.comparison(sweep, swatches),),
            below=_below(sweep),
            pictures=comparison[1:],
        )
        if sweep.extra_test_names:
            yield Section("elsewhere", "On further test sets", tables=(tables.extra_tests(sweep, swatches),))
        yield cost.section(sweep, published.estimate, pictures.of("cost"), swatches)
        label = {MULTI_LABEL: "rarest label", REGRESSION: "range"}.get(sweep.task, "label")
        yield browser.section(published.examples, swatches, wanted=sweep.shows_texts, label=label)
        yield Section("selected", "What was selected", pictures=pictures.of("selected"))
        yield Section("training", "Training", pictures=pictures.of("training"))
        yield Section("models", "Predictions", pictures=pictures.of("models"))
    yield _search_section(sweep, pictures)
    yield Section(
        "ran",
        "What ran and what failed",
        tables=(tables.trials(sweep, swatches),),
        failures=tables.failures(sweep),
    )
    yield data_section(sweep)
    yield configuration_section(sweep.folder)
    yield versions_section(sweep)
    yield reproduce_section(sweep)


def _below(sweep: Sweep) -> tuple[str, ...]:
    """Return what is to say of the comparison, without what the verdict has said."""
    said = set(sweep.claims().sentences)
    lines = [*sweep.letters_lines(), *sweep.comparison_lines()]
    return tuple(line for line in lines if line not in said)


def _search_section(sweep: Sweep, pictures: Pictures) -> Section:
    search = sweep.search
    if search is None or search.suggestions.empty:
        return Section("search", "Search", pictures=pictures.of("search"))
    shown: list[Any] = [
        tables.of_frame("best-configurations", "The best hyperparameters of each strategy.", search.best)
    ]
    shown.append(
        tables.of_frame(
            "suggestions", "Every suggestion of the search.", search.suggestions, (), 300, "results/search.csv"
        )
    )
    return Section("search", "Search", tables=tuple(shown), pictures=pictures.of("search"))


def _duration(seconds: float) -> str:
    from raybert.sweeping.estimate.describe import duration

    return duration(seconds)
