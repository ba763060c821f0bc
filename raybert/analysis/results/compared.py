"""The statistics of a sweep by any metric: its summary, and what is compared with what."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import pandas as pd

from raybert.analysis.results.held_out import add_held_out, on_examples_of, predictions_of
from raybert.analysis.results.majority import majority_classes, predictions_with_failures
from raybert.analysis.results.task import task_of_runs
from raybert.analysis.statistics.as_good_as_all import as_good_as_all_table
from raybert.analysis.statistics.comparisons import Pairs, compare
from raybert.analysis.statistics.configurations import KEY
from raybert.analysis.statistics.failed_runs import add_with_failures, compare_with_failures, score_failures
from raybert.analysis.statistics.letters import letters_table
from raybert.analysis.statistics.on_examples import OnExamples
from raybert.analysis.statistics.pareto import pareto_table
from raybert.analysis.statistics.summary import summarize
from raybert.config import DEFAULT_MARGIN, METRICS, is_metric
from raybert.config.extra_tests import TEST
from raybert.errors import SweepError
from raybert.tables import own_metric_columns


@dataclass(frozen=True)
class Compared:
    """A sweep's statistics by one metric.

    Attributes:
        summary: a row per configuration, see `summarize`.
        comparisons: a row per configuration and baseline, see `compare`.
        with_failures: the rows that a failed run has a part in, once each is scored as the majority class, those of
            strategies included of which every run failed.
        trials: what they are of: all runs but parts, with the metric.
        grid_columns: the varied hyperparameters.
        metric: what is compared.
        on_examples: it on the test examples of trials; None: not known.
        margin: `sweep.margin`.
        scored: `trials` with failed ones scored as the majority class; None: none failed.
    """

    summary: pd.DataFrame
    comparisons: pd.DataFrame
    with_failures: pd.DataFrame
    trials: pd.DataFrame
    grid_columns: tuple[str, ...]
    metric: str
    on_examples: OnExamples | None = None
    margin: float = DEFAULT_MARGIN
    scored: pd.DataFrame | None = None

    @classmethod
    def of(
        cls,
        trials: pd.DataFrame,
        grid_columns: Sequence[str],
        metric: str,
        pairs: Pairs,
        folder: Path | None = None,
        margin: float = DEFAULT_MARGIN,
        test: str = TEST,
    ) -> Compared:
        """Return the statistics of trials that have the metric.

        Args:
            trials: as in `Sweep.trials`.
            grid_columns: its columns that hold varied hyperparameters.
            metric: a name of `METRICS`, or of one of a user's own.
            pairs: what is compared; empty: the default.
            folder: of the sweep, whose predictions verdicts are checked by; None: they are not.
            margin: within which there is no difference, in units of the metric.
            test: the test set that trials are measured on, a name of `data.extra_tests`; default: that of the data.
        """
        compared = trials[trials["role"] != "part"]
        if folder is None:
            comparisons = compare(compared, grid_columns, metric, pairs, None, margin)
            summary = summarize(compared, grid_columns, metric, comparisons)
            return cls(summary, comparisons, comparisons.iloc[:0], compared, tuple(grid_columns), metric, None, margin)
        failed = compared[(compared["status"] == "failed") & (compared["role"] == "trial")]
        majority = majority_classes(folder, failed["trial_id"], test) if len(failed) else {}
        predictions = predictions_with_failures(folder, predictions_of(folder, test), majority)
        known = (tuple(grid_columns), metric, on_examples_of(metric, predictions), margin)
        comparisons = compare(compared, grid_columns, metric, pairs, *known[2:])
        if failed.empty:
            summary = summarize(compared, grid_columns, metric, comparisons)
            return cls(summary, comparisons, comparisons.iloc[:0], compared, *known)
        scored = score_failures(compared, {name: one.value(metric) for name, one in majority.items()}, metric)
        touched = compare_with_failures(compared, scored, grid_columns, metric, pairs, *known[2:])
        comparisons = add_with_failures(comparisons, touched)
        summary = summarize(compared, grid_columns, metric, comparisons, scored)
        return cls(summary, comparisons, touched, compared, *known, scored)

    @cached_property
    def as_good_as_all(self) -> pd.DataFrame:
        """Which configurations are as good as `all`, see `as_good_as_all_table`."""
        return as_good_as_all_table(
            self.trials, self.grid_columns, self.metric, self.margin, self.on_examples, self.scored
        )

    @property
    def counted(self) -> pd.DataFrame:
        """The trials of what stands on one number a configuration: failed ones scored, where that is known.

        Letters, the Pareto front, curves over budgets and ranks have no second row for a strategy whose runs fail:
        without these runs it would look as good as one that never fails.
        """
        return self.trials if self.scored is None else self.scored

    @cached_property
    def letters(self) -> pd.DataFrame:
        """Which configurations of a budget differ, of all pairs, see `letters_table`."""
        return letters_table(self.counted, self.grid_columns, self.metric)

    @cached_property
    def pareto(self) -> pd.DataFrame:
        """Where every configuration stands between quality and cost, see `pareto_table`."""
        return pareto_table(self.counted, self.grid_columns, self.metric)

    def only(self, names: Collection[str]) -> Compared:
        """Return these statistics of some configurations; verdicts stay those of the whole family."""
        tables = (self.summary, self.comparisons, self.with_failures, self.trials)
        summary, comparisons, with_failures, trials = (table[table[KEY].isin(names)] for table in tables)
        scored = self.scored if self.scored is None else self.scored[self.scored[KEY].isin(names)]
        cut = replace(self, summary=summary, comparisons=comparisons, trials=trials, scored=scored)
        return replace(cut, with_failures=with_failures)

    def with_baseline(self, baseline: str) -> pd.DataFrame:
        """Return the rows of `comparisons` with one baseline; where it has none, all strategies beside it.

        Raises:
            SweepError: no strategy has this name.
        """
        strategies = list(dict.fromkeys(map(str, self.trials.loc[self.trials["role"] == "trial", "strategy"])))
        if baseline not in strategies:
            raise SweepError(f"baseline: must be one of {', '.join(strategies) or 'no strategies'}, got {baseline!r}")
        own = self.comparisons[self.comparisons["baseline"] == baseline]
        if len(own):
            return own.reset_index(drop=True)
        pairs = [(baseline, name) for name in strategies if name != baseline]
        if not pairs:
            return own
        return compare(self.trials, self.grid_columns, self.metric, pairs, self.on_examples, self.margin)


def compared_by(
    metric: str,
    trials: pd.DataFrame,
    folder: Path,
    grid_columns: Sequence[str],
    pairs: Pairs,
    margin: float = DEFAULT_MARGIN,
    test: str = TEST,
) -> Compared:
    """Return the statistics of a sweep by a metric, which is measured from predictions if runs did not.

    Args:
        metric: its name.
        trials: as in `Sweep.trials`.
        folder: of the sweep.
        grid_columns: the varied hyperparameters.
        pairs: what is compared; empty: the default.
        margin: `sweep.margin`.
        test: as of `Compared.of`.

    Raises:
        SweepError: no metric has this name, or no finished trial has it.
    """
    if not is_metric(metric):
        own = [name.partition("_")[2] for name in own_metric_columns(trials, "test")]
        task = task_of_runs(trials)
        known = [*(name for name, each in METRICS.items() if task in each.tasks), *own]
        raise SweepError(f"metric: must be one of {', '.join(known)}, got {metric!r}")
    measured = add_held_out(trials.copy(), folder, metric, test)
    if measured[f"test_{metric}"].isna().all():
        raise SweepError(f"metric: no finished trial has {metric} on test")
    return Compared.of(measured, grid_columns, metric, pairs, folder, margin, test)
