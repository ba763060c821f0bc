"""The results of a sweep: its tables, and what its trials kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from raybert.analysis.plot_formats import FORMATS, Format
from raybert.analysis.results import notes
from raybert.analysis.results.claims import Claims, make_claims, scope_words
from raybert.analysis.results.compared import Compared, compared_by
from raybert.analysis.results.comparison import comparison_lines, comparison_table, letters_lines
from raybert.analysis.results.every_metric import metrics_per_trial
from raybert.analysis.results.extra_tests import (
    extra_tests_table,
    extra_tests_words,
    names_of_extra_tests,
    trials_on_test,
)
from raybert.analysis.results.held_out import unreadable_predictions
from raybert.analysis.results.pair import Pair, make_pair
from raybert.analysis.results.pretrained import pretrained_notes
from raybert.analysis.results.task import task_of_runs
from raybert.analysis.results.trial_files import TrialFiles
from raybert.analysis.search import Search, foreign_database, load_search
from raybert.analysis.statistics.budget_curve import budget_curve_table
from raybert.analysis.statistics.configurations import KEY, Configurations
from raybert.analysis.statistics.cost_to_reach import cost_to_reach_table
from raybert.analysis.statistics.equal_cost import equal_cost_table
from raybert.analysis.statistics.metric_means import metric_means
from raybert.analysis.statistics.overlap import overlap_table
from raybert.analysis.statistics.passes import per_pass_table
from raybert.analysis.statistics.planted import planted_kept
from raybert.analysis.statistics.scales import Scale
from raybert.analysis.statistics.subsets import class_shares
from raybert.config import DEFAULT_MARGIN, is_metric, metric_of
from raybert.config.extra_tests import TEST
from raybert.config.tasks import CLASSIFICATION, Task
from raybert.display import TextTable, html_frame, html_image, html_section
from raybert.errors import SweepError
from raybert.lazy import warn_of_old_name
from raybert.plain import printable_lines
from raybert.sweeping.folder.best import best_trials

if TYPE_CHECKING:
    from raybert.sweeping.folder.outcome import Outcome

_SHOWN_ERRORS = 5


@dataclass(frozen=True, repr=False)
class Sweep(TrialFiles):
    """The results of a sweep, finished or not.

    Attributes:
        name: from the sweep file.
        folder: where the results are.
        trials: a row per planned run, in the order of the plan; `status` is complete, failed or pending; `role` is
            trial, proxy, or part (a run that only serves a score).
        evaluations: a row per evaluation of every run that has begun.
        make_compared: makes its statistics by `metric`; called once they are asked for, since they take seconds.
        grid_columns: the varied hyperparameters, which are columns of all tables.
        configurations: their names, and what varies between them.
        metric: what the sweep is about: its `train.best_metric`.
        pairs: `sweep.compare` of the file: (baseline, strategy); empty: the default.
        plot_formats: `sweep.plots` of the file.
        plan: `plan.json`.
        manifest: `manifest.json`, or empty.
        outcome: how the command that ran it ended; None: it was only read.
        not_written: why tables and plots could not be written, of a folder that is only to be read.
        trust: whether a database that the folder names is asked for the search.
        shows_texts: whether reports show texts of examples: `sweep.report.texts` of the file.
        test: what `test` stands for: that of the data, or the name of a further test set.
    """

    name: str
    folder: Path
    trials: pd.DataFrame
    evaluations: pd.DataFrame
    make_compared: Callable[[], Compared]
    grid_columns: tuple[str, ...]
    configurations: Configurations
    metric: str
    pairs: tuple[tuple[str, str], ...]
    plan: Mapping[str, Any]
    manifest: Mapping[str, Any]
    outcome: Outcome | None = None
    not_written: str | None = None
    trust: bool = False
    plot_formats: tuple[Format, ...] = FORMATS
    shows_texts: bool = True
    test: str = TEST

    @property
    def extra_test_names(self) -> tuple[str, ...]:
        """Names of the further test sets (`data.extra_tests`) that its trials are measured on."""
        return names_of_extra_tests(self.manifest)

    def on_test(self, name: str) -> Sweep:
        """Return the same sweep on a further test set: whatever it says of test is of that one.

        Args:
            name: a name of `data.extra_tests`.

        Raises:
            SweepError: no test set has this name.

        Example:
            >>> results.on_test("imdb").compare("random")
        """
        if name not in self.extra_test_names:
            known = ", ".join(self.extra_test_names) or "none, as the sweep file names no data.extra_tests"
            raise SweepError(f"test: must be a further test set of the sweep ({known}), got {name!r}")
        if name not in self._on_tests:
            trials = trials_on_test(self.trials, self.folder, self.metric, name)
            made = partial(
                Compared.of, trials, self.grid_columns, self.metric, self.pairs, self.folder, self.margin(), name
            )
            self._on_tests[name] = replace(self, trials=trials, make_compared=made, test=name)
        return self._on_tests[name]

    @cached_property
    def _on_tests(self) -> dict[str, Sweep]:
        return {}

    @cached_property
    def extra_tests(self) -> pd.DataFrame:
        """Every configuration on each further test set, compared as on test: the table `results/extra_tests`."""
        return extra_tests_table(self.compared, self._compared_there())

    def extra_tests_words(self) -> TextTable:
        """Return every configuration on each further test set beside the test split of the data."""
        return extra_tests_words(self.compared, self._compared_there(), self.configurations)

    def _compared_there(self) -> dict[str, Compared]:
        return {name: self.on_test(name).compared for name in self.extra_test_names}

    @property
    def epochs(self) -> pd.DataFrame:
        """The table `evaluations` under its name of raybert 0.1."""
        warn_of_old_name("Sweep.epochs", "Sweep.evaluations")
        return self.evaluations

    @cached_property
    def compared(self) -> Compared:
        """Its statistics by `metric`; `summary()` and `compare()` give them by any."""
        return self.make_compared()

    @cached_property
    def search(self) -> Search | None:
        """The hyperparameter search (`sweep.tune`) with its tables, or None where there is none.

        Raises:
            SweepError: its studies cannot be read.
        """
        return load_search(self.folder, self.trials, trust=self.trust)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the tables should know: what is missing, and where nothing can be compared."""
        torn = unreadable_predictions(self.trials, self.folder)
        return (
            *notes.comparison_notes(self.trials, self.compared.summary, self.comparisons),
            *notes.collapse_notes(self.trials),
            *notes.weak_notes(self.trials),
            *pretrained_notes(self.folder, self.trials.loc[self.trials["status"] == "complete", "trial_id"]),
            *notes.torn_notes(torn),
            *([f"tables and plots are not written: {self.not_written}"] if self.not_written else []),
            *([notes.foreign_database_note(self._foreign_database)] if self._foreign_database else []),
        )

    @cached_property
    def _foreign_database(self) -> str | None:
        return None if self.trust else foreign_database(self.folder)

    @cached_property
    def selection_notes(self) -> tuple[str, ...]:
        """What is the same by construction, what is missing from subsets, and what was refilled or contradictory."""
        trials = self.comparable_trials()
        return (
            *notes.ranking_notes(self.agreement, self.num_classes),
            *notes.choice_notes(self.agreement),
            *notes.class_notes(self.class_shares),
            *notes.planted_notes(self.planted),
            *notes.refill_notes(trials, self.configurations),
            *notes.conflict_notes(trials, self.folder),
        )

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the classes by number, of the first data set; empty where the manifest does not say."""
        described = [entry for entry in self._data_sets() if entry.get("label_names")]
        return tuple(described[0]["label_names"]) if described else ()

    @property
    def task(self) -> Task:
        """What its runs predict."""
        return task_of_runs(self.trials, self.metric)

    @property
    def num_classes(self) -> int | None:
        """How many classes the task has; None if unknown, of another task, or not the same in all data sets."""
        if self.task != CLASSIFICATION:
            return None
        numbers = {len(entry.get("label_names") or ()) for entry in self._data_sets()} - {0}
        if not numbers and (pool := self.pool()) is not None:
            numbers = {int(pool["label"].nunique())}
        return numbers.pop() if len(numbers) == 1 else None

    @property
    def replicates(self) -> str:
        """What means and intervals are over: `seeds`, or `folds` (each the mean of its seeds)."""
        return "folds" if (self.compared.summary["folds"] > 1).any() else "seeds"

    @cached_property
    def per_pass(self) -> pd.DataFrame:
        """A row per configuration and evaluation, over its seeds: `passes.per_pass_table`."""
        return per_pass_table(self.trials, self.evaluations, self.grid_columns, self.metric)

    @cached_property
    def cost_to_reach(self) -> pd.DataFrame:
        """What each configuration spends until it is near what `all` reaches: `cost_to_reach.cost_to_reach_table`."""
        return cost_to_reach_table(self.trials, self.evaluations, self.grid_columns, self.metric)

    @cached_property
    def equal_cost(self) -> pd.DataFrame:
        """What each configuration reaches once multiples of its baseline's cost are spent: `equal_cost_table`."""
        return equal_cost_table(self.trials, self.evaluations, self.grid_columns, self.metric, self.pairs)

    @cached_property
    def metrics_per_trial(self) -> pd.DataFrame:
        """Every metric of the complete trials on validation and test: `every_metric.metrics_per_trial`."""
        return metrics_per_trial(self.folder, self.trials, self.grid_columns, self.extra_test_names)

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """Means and deviations of every metric, per configuration and split: `metric_means.metric_means`."""
        return metric_means(self.metrics_per_trial, self.trials, self.grid_columns)

    @cached_property
    def best_trials(self) -> tuple[str, ...]:
        """The ids of the best configuration's finished trials, best first, by `metric` on validation.

        As for `best/`, `sweep.keep_best` and `sweep.refit`; empty: the metric is undefined in all of them.
        """
        finished = self.comparable_trials().set_index("trial_id")
        column = f"validation_{self.metric}"
        known = finished[column].items() if column in finished else ()
        values = {str(trial_id): float(value) for trial_id, value in known}
        return tuple(best_trials(self.plan["trials"], values, self.metric))

    def best(self) -> dict[str, Any] | None:
        """Return the row of `summary` of the best configuration by validation; None: there is none."""
        if not self.best_trials:
            return None
        trials = self.trials.set_index("trial_id")
        summary = self.compared.summary
        rows = summary[summary[KEY] == trials.loc[self.best_trials[0], KEY]]
        return {str(name): value for name, value in rows.iloc[0].items()}

    def summary(self, metric: str | None = None) -> pd.DataFrame:
        """Return a row per configuration (strategy x budget x grid values) over seeds or folds: `summarize`.

        Args:
            metric: what `holm_p`, `verdict` and the shares are about, measured from predictions if runs did not;
                default: the metric of the sweep.

        Raises:
            SweepError: no metric has this name, or no finished trial has it.
        """
        return self._by(metric).summary.copy()

    def compare(self, baseline: str | None = "random", metric: str | None = None) -> pd.DataFrame:
        """Return a row per configuration that is compared with a baseline: difference, interval, p-value, verdict.

        Args:
            baseline: a strategy. What the sweep compares with it (`sweep.compare`, or the default) is its family; if
                that is nothing, all other strategies are. None: all that the sweep compares, each with its baseline.
            metric: what is compared on test; default: the metric of the sweep.

        Raises:
            SweepError: no strategy or no metric has this name.
        """
        compared = self._by(metric)
        return compared.comparisons.copy() if baseline is None else compared.with_baseline(baseline)

    def pair(self, baseline: str, strategy: str, metric: str | None = None) -> Pair:
        """Return any two strategies or configurations beside each other, on test and while they train.

        Args:
            baseline: a strategy, a configuration as tables call it (`el2n, budget 400`), or a strategy at a budget
                (`el2n@400`, `el2n@10%`).
            strategy: another one. Of two strategies those configurations are paired that have the same budget and
                stand at the same point of the grid.
            metric: what is compared; default: the metric of the sweep.

        Raises:
            SweepError: nothing is called so, the two are the same or have no finished trials to pair, or no metric
                has this name.
        """
        return make_pair(self._by(metric), self.evaluations, self.configurations, baseline, strategy)

    @property
    def comparisons(self) -> pd.DataFrame:
        """All that the sweep compares, by its metric: `compare(None)`, the table `results/comparisons`."""
        return self.compared.comparisons

    def as_good_as_all(self, metric: str | None = None) -> pd.DataFrame:
        """Return which configurations are as good as `all` within `sweep.margin`: `as_good_as_all_table`.

        Args:
            metric: on test; default: the metric of the sweep.

        Raises:
            SweepError: no metric has this name, or no finished trial has it.
        """
        return self._by(metric).as_good_as_all.copy()

    def letters(self, metric: str | None = None) -> pd.DataFrame:
        """Return which configurations of a budget differ, of all pairs, as compact letters: `letters_table`.

        Args:
            metric: on test; default: the metric of the sweep.

        Raises:
            SweepError: no metric has this name, or no finished trial has it.
        """
        return self._by(metric).letters.copy()

    def overlap(self) -> pd.DataFrame:
        """Return how far the subsets of every two strategies agree, over seeds: `overlap.overlap_table`."""
        return overlap_table(self.agreement)

    def pareto(self, metric: str | None = None) -> pd.DataFrame:
        """Return where every configuration stands between quality and cost: `pareto.pareto_table`.

        Args:
            metric: on test; default: the metric of the sweep.

        Raises:
            SweepError: no metric has this name, or no finished trial has it.
        """
        return self._by(metric).pareto.copy()

    def budget_curve(self, metric: str | None = None) -> pd.DataFrame:
        """Return the area under each strategy's curve over its budgets: `budget_curve.budget_curve_table`.

        Args:
            metric: on test; default: the metric of the sweep.

        Raises:
            SweepError: no metric has this name, or no finished trial has it.
        """
        by = self._by(metric)
        return budget_curve_table(by.counted, self.grid_columns, by.metric, self.pairs)

    def claims(self, metric: str | None = None) -> Claims:
        """Return what the results allow to claim: the verdict, a sentence per finding, and what they hold for.

        Args:
            metric: on test; default: the metric of the sweep.

        Raises:
            SweepError: no metric has this name, or no finished trial has it.
        """
        by = self._by(metric)
        scope = scope_words(self.trials, self.plan["trials"], self.manifest, self.test)
        return make_claims(by.summary, by.comparisons, by.with_failures, by.as_good_as_all, scope)

    def summary_of(self, metric: str) -> pd.DataFrame:
        """Return `summary(metric)`, under its name of before."""
        warn_of_old_name("Sweep.summary_of", "Sweep.summary")
        return self.summary(metric)

    def comparisons_of(self, metric: str) -> pd.DataFrame:
        """Return `compare(None, metric)`, under its name of before."""
        warn_of_old_name("Sweep.comparisons_of(metric)", "Sweep.compare(None, metric)")
        return self.compare(None, metric)

    def _by(self, metric: str | None) -> Compared:
        """Return the statistics by a metric, each made once."""
        if metric is None or metric == self.metric:
            return self.compared
        if metric not in self._by_other:
            self._by_other[metric] = compared_by(
                metric, self.trials, self.folder, self.grid_columns, self.pairs, self.margin(metric), self.test
            )
        return self._by_other[metric]

    def margin(self, metric: str | None = None) -> float:
        """Return within what a metric makes no difference: `sweep.margin`, or its default.

        The sweep file gives it in the unit of the sweep's metric. Of two shares the unit is the same, a point; of
        another metric, such as a loss beside accuracy, a number chosen for that one says nothing.

        Args:
            metric: default: the metric of the sweep.
        """
        is_share = metric is not None and is_metric(metric) and Scale(metric).is_percent
        is_alike = metric in (None, self.metric) or (is_share and Scale(self.metric).is_percent)
        return self.compared.margin if is_alike else DEFAULT_MARGIN

    @cached_property
    def _by_other(self) -> dict[str, Compared]:
        return {}

    def comparison(self, metric: str | None = None) -> TextTable:
        """Return all configurations by their mean on test, best first.

        Args:
            metric: what they are compared by; default: the metric of the sweep.
        """
        by = self._by(metric)
        tables = (by.summary, by.comparisons, by.with_failures)
        return comparison_table(*tables, self.configurations, self.replicates, by.letters)

    def comparison_lines(self, metric: str | None = None) -> list[str]:
        """Return what is to say below that table, a line each, apart from its letters.

        Args:
            metric: as of `comparison`.
        """
        by = self._by(metric)
        lines = comparison_lines(by.summary, by.comparisons, self.best())
        if by.margin == self.compared.margin:
            return lines
        own, other = metric_of(self.metric).words, metric_of(by.metric).words
        return [*lines, f"sweep.margin is in units of {own}: of {other} the margin is the default, {by.margin:g}."]

    def letters_lines(self, metric: str | None = None) -> list[str]:
        """Return what the letters in that table say; nothing where it has none.

        Args:
            metric: as of `comparison`.
        """
        by = self._by(metric)
        return letters_lines(by.letters, by.summary)

    @cached_property
    def class_shares(self) -> pd.DataFrame:
        """How often every class is in each strategy's subsets, beside the pool: `subsets.class_shares`."""
        labels = {fold: pool["label"].to_numpy() for fold, pool in self.pools().items()}
        return class_shares(self.subsets(of_pools=self.pools()), labels, self.label_names)

    @cached_property
    def planted(self) -> pd.DataFrame:
        """How much of the noise of `data.noise` each strategy keeps: `planted.planted_kept`; without it no rows."""
        pools = self.pools()
        kinds = {fold: pool["planted"].to_numpy() for fold, pool in pools.items() if "planted" in pool}
        return planted_kept(self.subsets(of_pools=pools, with_scores=True) if kinds else (), kinds)

    def __repr__(self) -> str:
        return f"<Sweep '{self.name}' in {self.folder}: {self._progress()}>"

    def __str__(self) -> str:
        lines = [f"{self.name} ({self.folder}): {self._progress()}", str(self.comparison()), *self._lines()]
        return printable_lines("\n".join(lines))

    def _repr_pretty_(self, printer: Any, is_cycle: bool) -> None:
        """Show the comparison in IPython's terminal, too."""
        printer.text(repr(self) if is_cycle else str(self))

    def _repr_html_(self) -> str:
        """Show the comparison, its plot and its notes in a notebook."""
        parts = [self.comparison()._repr_html_()]
        if self.search is not None and not self.search.best.empty:
            parts.append(f"<div><b>best configuration per strategy</b></div>{html_frame(self.search.best)}")
        parts.append(
            html_image(self.folder / "plots" / "accuracy.png", f"test {metric_of(self.metric).words} per strategy")
        )
        return html_section(self.name, [self._progress(), str(self.folder)], *parts, notes=self._lines())

    def _progress(self) -> str:
        counts = self.trials["status"].value_counts()
        words = [f"{counts[status]} {status}" for status in ("complete", "failed", "pending") if counts.get(status)]
        return f"{_count_trials(len(self.trials))}: {', '.join(words)}"

    def _lines(self) -> list[str]:
        """Return what is to say below the table, distinct errors last."""
        search = self.search.notes if self.search is not None else []
        lines = [f"note: {note}" for note in (*self.notes, *self.selection_notes, *search)]
        errors = self.trials["error"].dropna().value_counts()
        failed = [f"failed ({_count_trials(count)}): {error}" for error, count in errors.head(_SHOWN_ERRORS).items()]
        return [*self.letters_lines(), *self.comparison_lines(), *lines, *failed]

    def _data_sets(self) -> list[Mapping[str, Any]]:
        described = self.manifest.get("data")
        return list(described.values()) if isinstance(described, dict) else []


def _count_trials(number: int) -> str:
    return f"{number} trial{'' if number == 1 else 's'}"
