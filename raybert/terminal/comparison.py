"""The comparison of a sweep: the table, what a reader should know, what went wrong, how to go on."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Group, RenderableType

from raybert.analysis.publish_pairs import picture_of_pair
from raybert.analysis.report import REPORT_FILE
from raybert.analysis.results.comparison import LETTERS_HEAD
from raybert.analysis.results.cost_words import cost_lines
from raybert.analysis.results.estimates import estimate_line
from raybert.analysis.results.metric_texts import METRICS_TEXT, spread_words
from raybert.analysis.results.sweep import Sweep
from raybert.config.extra_tests import TEST
from raybert.terminal.console import Console, command_again, relative, say, text
from raybert.terminal.failures import print_failures
from raybert.terminal.search import search_table
from raybert.terminal.streams import has_reader
from raybert.terminal.table import FittingTable, WhereShown


def summary_table(sweep: Sweep, metric: str | None = None) -> Group:
    """Return the comparison as `Sweep.comparison` has it, then what is to say of it, the verdict last."""
    said = sweep.comparison_lines(metric)
    costs = (f"cost: {line}" for line in cost_lines(sweep, metric))
    lines = [*said, *costs, *(f"note: {note}" for note in sweep.notes)]
    table = sweep.comparison(metric)
    shown: list[RenderableType] = [FittingTable(table)] if table.rows else []  # no header over nothing
    shown += [WhereShown(table, LETTERS_HEAD, text(line, "dim")) for line in sweep.letters_lines(metric)]
    claims = sweep.claims(metric)
    lines += [f"verdict: {claims.headline}", claims.scope]
    return Group(*shown, *(text(line, "dim") for line in lines))


def extra_tests(sweep: Sweep) -> Group:
    """Return every configuration on each further test set."""
    table = sweep.extra_tests_words()
    names = ", ".join(sweep.extra_test_names)
    lines = [
        f"further test sets ({names}): means; in brackets the difference there, with the mark of its verdict (each "
        "has its own correction). Intervals: results/extra_tests.csv, or raybert results DIR --test NAME."
    ]
    shown: list[RenderableType] = [FittingTable(table)] if table.rows else []
    return Group(*shown, *(text(line, "dim") for line in lines)) if shown else Group()


def print_comparison(results: Sweep, metric: str | None = None) -> None:
    """Print the table by a metric (default: that of the sweep), and what a reader of it should know."""
    console = Console()
    if results.test != TEST:
        say(console, f"on the further test set {results.test}, which stands for test here:")
    console.print(summary_table(results, metric))
    if metric is None and results.test == TEST and results.extra_test_names:
        console.print(extra_tests(results))
    if results.search is not None and not results.search.best.empty:
        console.print(search_table(results.search, console.width))
    for note in results.selection_notes:
        say(console, f"note: {note}")


def print_pairs(results: Sweep, pairs: Iterable[tuple[str, str]]) -> None:
    """Print what is to say of pairs that were asked for, and where their pictures are."""
    console = Console()
    for labels in dict.fromkeys(pairs):
        pair = results.pair(*labels)
        for sentence in pair.sentences:
            say(console, sentence)
        for note in pair.notes:
            say(console, f"note: {note}")
        picture = picture_of_pair(results, pair)
        shown = [path for path in (picture, picture.with_suffix(".svg")) if path.is_file()]
        if shown and results.not_written is None:
            say(console, f"{relative(shown[0])}, {relative(results.folder / 'results' / 'pairs.csv')}")


def print_watched(watched: Iterable[Sweep]) -> None:
    """Print a line each time that the report of a sweep is written anew; the comparison when the sweep has ended."""
    console, last = Console(), None
    for results in watched:
        last = results
        complete = int((results.trials["status"] == "complete").sum())
        say(console, f"{complete:,} of {len(results.trials):,} trials: {relative(results.folder / REPORT_FILE)}")
        if not has_reader():
            return
    if last is not None:
        print_comparison(last)


def print_results(results: Sweep) -> None:
    """Print the comparison of what has just been run, then where it is, then what went wrong and how to go on."""
    console, outcome = Console(), results.outcome
    assert outcome is not None
    print_comparison(results)
    for name in ("accuracy.png", "cost.png", "overlap.png", "samples_per_pass.png"):
        plot = outcome.folder / "plots" / name
        if plot.exists():
            say(console, f"plot: {relative(plot)}")
    metrics = outcome.folder / METRICS_TEXT
    if metrics.exists():
        words = spread_words(results.metrics, results.replicates)
        say(console, f"metrics of validation and test ({words}): {relative(metrics)}")
    if (outcome.folder / REPORT_FILE).exists():
        say(console, f"report: {relative(outcome.folder / REPORT_FILE)}")
    say(console, f"results: {relative(outcome.folder)}")
    line = estimate_line(results)
    if line is not None:
        say(console, line, None)
    print_failures(results)
    if outcome.num_failed:
        say(console, f"run the failed trials again:  {command_again()} --retry failed")
    if outcome.num_pending:
        say(console, f"{outcome.num_pending} trials are left; continue with:  {command_again()}")
