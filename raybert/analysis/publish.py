"""Write the tables and plots of a results folder, and its best model."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow.parquet as pq

from raybert.analysis.plot_formats import in_formats
from raybert.analysis.publish_pairs import find_pairs, pairs_table, write_pair_pictures
from raybert.analysis.report import Published, write_report
from raybert.analysis.results.embeddings import stored_embeddings
from raybert.analysis.results.estimates import estimate_table
from raybert.analysis.results.examples import shown_examples
from raybert.analysis.results.failures import failures_table, find_failures
from raybert.analysis.results.kept import of_one_fold
from raybert.analysis.results.left_out import uncounted_failures, uncounted_on_test, unequal_passes
from raybert.analysis.results.load import load_sweep
from raybert.analysis.results.metric_texts import METRICS_TEXT, metrics_markdown
from raybert.analysis.results.pair import Pair
from raybert.analysis.results.shown import at_best_points
from raybert.analysis.results.strategy_texts import strategy_texts
from raybert.analysis.results.sweep import Sweep
from raybert.analysis.results.task import groups_words
from raybert.analysis.search import Search
from raybert.analysis.statistics.columns import arrow_table
from raybert.analysis.statistics.projection import Method, project
from raybert.analysis.statistics.subsets import Subset, first_of_each, length_histogram, length_quantiles
from raybert.analysis.strategy_pictures import write_strategy_pictures
from raybert.durable import atomic_folder, atomic_path
from raybert.errors import SweepError
from raybert.files import NOT_WRITABLE, write_text
from raybert.links import refuse_links, without_links
from raybert.plain import csv_frame, printable, printable_lines
from raybert.sweeping.folder.best import read_refit
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.folder.spec_file import read_spec
from raybert.tables import (
    AS_GOOD_AS_ALL,
    BEST_CONFIGURATIONS,
    BUDGET_CURVE,
    COMPARISONS,
    COST_TO_REACH,
    EQUAL_COST,
    ERRORS,
    ESTIMATE,
    EVALUATIONS,
    EXAMPLES,
    EXTRA_TESTS,
    IMPORTANCES,
    LETTERS,
    METRIC_MEANS,
    METRICS_PER_TRIAL,
    NEAR_BEST,
    OVERLAP,
    PAIRS,
    PARETO,
    PER_PASS,
    PLANTED,
    PRUNING,
    RENAMED_PLOTS,
    RENAMED_TABLES,
    SELECTED_CLASSES,
    SELECTED_LENGTH_QUANTILES,
    SELECTED_LENGTHS,
    SUGGESTIONS,
    SUMMARY,
    TRIALS,
    Table,
)

if TYPE_CHECKING:
    from raybert.sweeping.folder.outcome import Outcome
    from raybert.sweeping.folder.pool_texts import PoolTexts


@dataclass(frozen=True)
class BestModel:
    """Whose model `best/` holds.

    Attributes:
        trial_id: of the run.
        refit: what `refit.json` says, if that run is the refit.
    """

    trial_id: str
    refit: Mapping[str, Any] | None = None

    def has_spec(self, sweep: Sweep) -> bool:
        """Tell whether its folder says what the run was; results of an older raybert do not."""
        return (sweep.folder / "trials" / self.trial_id / "spec.json").exists()


_MOST_PER_PASS = 3
"""Points of a grid whose passes are drawn: each has a row of panels for every budget."""


def publish_results(
    folder: str | Path,
    outcome: Outcome | None = None,
    *,
    trust: bool = False,
    projection: Method | None = None,
    pairs: Sequence[tuple[str, str]] = (),
) -> Sweep:
    """Write `results/`, `plots/`, `best/` and `report.html` of a sweep, finished or not, and return it.

    The tables are those of `raybert.tables` that say as what they are published; `notes.txt` has a note a line,
    `claims.txt` the verdict, a finding a line, and what they hold for.

    In a folder that may only be read (another user's, an archive) nothing is written, and `not_written` says so; a
    sweep that has just been run (`outcome`) must be published.

    Args:
        folder: of the results.
        outcome: of what has just been run there.
        trust: ask a database that the folder names for the search, as is done after a run.
        projection: how embeddings of the pool are drawn; default: by `pca`, where the score store has them.
        pairs: what is set beside each other besides `sweep.compare` of the file, as `Sweep.pair` takes it.

    Raises:
        SweepError: the folder is not a sweep's, a file of a trial is damaged, there are no embeddings to project, or a
            pair is not in the sweep.
        OSError: the disk is full, or what has just been run cannot be published.
    """
    sweep = replace(load_sweep(folder, trust=trust or outcome is not None), outcome=outcome)
    texts = sweep.outcome.texts if sweep.outcome is not None else None
    if sweep.outcome is not None and texts is not None:  # which who keeps the results need not keep
        sweep = replace(sweep, outcome=replace(sweep.outcome, texts=None))
    try:
        with in_formats(sweep.plot_formats):
            _write(sweep, projection, texts, pairs)
    except OSError as error:
        if outcome is not None or error.errno not in NOT_WRITABLE:
            raise
        return replace(sweep, not_written=f"{error.strerror}: '{error.filename}'")
    return sweep


def _write(sweep: Sweep, projection: Method | None, texts: PoolTexts | None, asked: Sequence[tuple[str, str]]) -> None:
    refuse_links(sweep.folder)
    model, pairs = (
        _best_model(sweep),
        find_pairs(sweep, asked),
    )  # what is wrong of them is said first
    _remove_old_names(sweep.folder)
    for table, frame in (
        (EVALUATIONS, sweep.evaluations),
        (TRIALS, sweep.trials),
        (SUMMARY, sweep.summary()),
        (COMPARISONS, sweep.comparisons),
    ):
        _write_table(sweep.folder, table, frame)
    _write_table(sweep.folder, ERRORS, failures_table(find_failures(sweep), sweep.folder))
    estimate, examples = estimate_table(sweep), pd.DataFrame(columns=EXAMPLES.order())
    _write_table(sweep.folder, ESTIMATE, estimate)
    if (sweep.trials["role"] != "part")[sweep.trials["status"] == "complete"].any():
        _write_comparison(sweep, pairs)
        _write_selected(sweep, projection)
        examples = shown_examples(sweep, texts)
        _write_table(sweep.folder, EXAMPLES, examples)
        _write_best(sweep, model)
    if sweep.search is not None:
        _write_search(sweep, sweep.search)
    lines = [*sweep.notes, *sweep.selection_notes, *(sweep.search.notes if sweep.search is not None else [])]
    write_text(sweep.folder / "results" / "claims.txt", f"{printable_lines(str(sweep.claims()))}\n")
    write_text(sweep.folder / "results" / "notes.txt", "".join(f"{printable(line)}\n" for line in lines))
    write_report(sweep, Published(examples, estimate))  # last: it shows the plots that are there


def _write_table(folder: Path, table: Table, frame: pd.DataFrame) -> None:
    for suffix in table.suffixes:
        with atomic_path(folder / "results" / f"{table.name}{suffix}") as temporary:
            if suffix == ".parquet":
                pq.write_table(arrow_table(frame, table), temporary)
            else:
                csv_frame(frame).to_csv(temporary, index=False)


def _remove_old_names(folder: Path) -> None:
    """Delete what raybert 0.1 has published under other names: it would not be written anew."""
    for name in RENAMED_TABLES:
        for suffix in (".parquet", ".csv"):
            (folder / "results" / f"{name}{suffix}").unlink(missing_ok=True)
    for name in RENAMED_PLOTS:
        (folder / "plots" / f"{name}.png").unlink(missing_ok=True)


def _write_comparison(sweep: Sweep, pairs: Sequence[Pair]) -> None:
    from raybert.analysis import plots  # matplotlib is slow to import

    _write_table(sweep.folder, EQUAL_COST, sweep.equal_cost)
    _write_table(sweep.folder, AS_GOOD_AS_ALL, sweep.as_good_as_all())
    _write_table(sweep.folder, LETTERS, sweep.letters())
    _write_table(sweep.folder, PARETO, sweep.pareto())
    _write_table(sweep.folder, COST_TO_REACH, sweep.cost_to_reach)
    if sweep.configurations.budgets_vary:
        _write_table(sweep.folder, BUDGET_CURVE, sweep.budget_curve())
    _write_table(sweep.folder, PER_PASS, sweep.per_pass)
    _write_table(sweep.folder, METRICS_PER_TRIAL, sweep.metrics_per_trial)
    _write_table(sweep.folder, METRIC_MEANS, sweep.metrics)
    if sweep.extra_test_names:
        _write_table(sweep.folder, EXTRA_TESTS, sweep.extra_tests)
    write_text(sweep.folder / METRICS_TEXT, metrics_markdown(sweep.name, sweep.metrics, sweep.replicates))
    shown, left_out = at_best_points(sweep)
    few, left_out_of_few = at_best_points(sweep, _MOST_PER_PASS)
    for name, drawn, words in (
        ("accuracy", shown, [left_out, *uncounted_on_test(shown, shows_lost=True)]),
        ("cost", shown, [left_out, *uncounted_on_test(shown), *unequal_passes(shown)]),
        ("samples_per_pass", shown, [left_out]),
        ("learning_curves", shown, [left_out, *uncounted_failures(shown)]),
        ("per_pass", few, [left_out_of_few, *uncounted_failures(few)]),
    ):
        figure = getattr(plots, f"draw_{name}")(drawn)
        plots.save_figure(figure, sweep.folder / "plots" / f"{name}.png", *words)
    if pairs:
        _write_table(sweep.folder, PAIRS, pairs_table(pairs))
    else:  # of earlier results
        (sweep.folder / "results" / f"{PAIRS.name}.csv").unlink(missing_ok=True)
    write_pair_pictures(sweep, pairs)
    write_strategy_pictures(sweep)
    _write_texts(sweep)


def _write_texts(sweep: Sweep) -> None:
    """Write `results/summaries/<strategy>.txt`, and delete those of strategies that are no longer there."""
    folder = sweep.folder / "results" / "summaries"
    texts = {f"{name}.txt": text for name, text in strategy_texts(sweep).items()}
    for name, text in texts.items():
        write_text(folder / name, printable_lines(text))
    for path in folder.glob("*.txt"):
        if path.name not in texts:
            path.unlink()


def _write_search(sweep: Sweep, search: Search) -> None:
    from raybert.analysis import plots

    for table, frame in (
        (SUGGESTIONS, search.suggestions),
        (BEST_CONFIGURATIONS, search.best),
        (NEAR_BEST, search.near_best),
        (IMPORTANCES, search.importances),
        (PRUNING, search.pruning),
    ):
        _write_table(sweep.folder, table, frame)
    figures = {
        "history": plots.draw_search_history(search, plots.styles_of(sweep)),
        "cost": plots.draw_search_cost(search),
        "slices": plots.draw_search_slices(search, plots.styles_of(sweep)),
        "parallel": plots.draw_search_parallel(search),
        "importances": plots.draw_importances(search),
        "best_values": plots.draw_best_values(search, plots.styles_of(sweep)),
    }
    for name, figure in figures.items():
        if figure is not None:
            plots.save_figure(figure, sweep.folder / "plots" / f"search_{name}.png")


def _write_selected(sweep: Sweep, projection: Method | None) -> None:
    """Write how far the subsets agree, and their classes and lengths."""
    from raybert.analysis import plots

    pictures = sweep.folder / "plots"
    overlap = sweep.overlap()
    _write_table(sweep.folder, OVERLAP, overlap)
    if not overlap.empty:
        plots.save_figure(plots.draw_overlap(overlap, sweep.configurations.headers), pictures / "overlap.png")
    pools = sweep.pools()
    subsets = list(sweep.subsets(of_pools=pools))
    if not subsets:
        return
    lengths = {fold: pool["length"].to_numpy() for fold, pool in pools.items()}
    shares = sweep.class_shares
    quantiles = length_quantiles(subsets, lengths)
    _write_table(sweep.folder, SELECTED_CLASSES, shares)
    _write_table(sweep.folder, SELECTED_LENGTHS, length_histogram(subsets, lengths))
    _write_table(sweep.folder, SELECTED_LENGTH_QUANTILES, quantiles)
    if any("planted" in pool for pool in pools.values()):
        _write_table(sweep.folder, PLANTED, sweep.planted)
    if (shares["strategy"] != "all").any():  # which is the pool itself
        shown, left_out = at_best_points(sweep)
        if left_out:
            shares, quantiles = shown.class_shares, length_quantiles(list(shown.subsets(of_pools=pools)), lengths)
        groups, words = groups_words(sweep.task)
        plots.save_figure(plots.draw_classes(shares, groups), pictures / "selected_classes.png", left_out, words)
        plots.save_figure(
            plots.draw_lengths(quantiles, plots.styles_of(sweep)), pictures / "selected_lengths.png", left_out
        )
    _write_embeddings(sweep, subsets, pools, projection)


def _write_embeddings(
    sweep: Sweep, subsets: list[Subset], pools: Mapping[int, pd.DataFrame], method: Method | None
) -> None:
    """Draw where in the pool each strategy chooses, where its embeddings are there.

    Raises:
        SweepError: a method is asked for, and they are not.
    """
    from raybert.analysis import plots

    path, embeddings = sweep.folder / "plots" / "embeddings.png", stored_embeddings(sweep)
    shown = first_of_each(subsets)
    if embeddings is None or not shown:
        plots.remove_figure(path)
        if method is not None:
            raise SweepError(
                f"projection: {sweep.folder} has no embeddings to project by {method}: no finished trial of a strategy "
                "with a budget has read any that are still in the score store"
            )
        return
    labels = pools[0]["label"].to_numpy()
    projection = project(embeddings, method or "pca")
    figure = plots.draw_embeddings(projection, labels, sweep.label_names, shown, plots.styles_of(sweep))
    words = groups_words(sweep.task)[1] if figure.legends else ""  # of more groups none is told from others
    plots.save_figure(figure, path, of_one_fold(sweep), words)


def _best_model(sweep: Sweep) -> BestModel | None:
    """Return whose model `best/` is to hold: of the best configuration, by validation, the best trial that has one.

    In place of the trial, the configuration's refit on train and validation, if there is one. None: no trial is
    complete, the metric is undefined in all of them, or no model was kept.

    Raises:
        SweepError: what its run was cannot be read.
    """
    if not (sweep.trials["status"] == "complete").any():
        return None
    folder, refit = SweepFolder(sweep.folder), read_refit(SweepFolder(sweep.folder))
    found: BestModel | None = None
    if refit is not None and refit["of"] in sweep.best_trials and folder.trial(refit["trial_id"]).has_model():
        found = BestModel(refit["trial_id"], refit)
    else:  # `sweep.keep_best` may have deleted some
        kept = [trial_id for trial_id in sweep.best_trials if folder.trial(trial_id).has_model()]
        found = BestModel(kept[0]) if kept else None
    if found is not None and found.has_spec(sweep):
        read_spec(folder.trial(found.trial_id).path)
    return found


def _write_best(sweep: Sweep, model: BestModel | None) -> None:
    """Publish the best model, and draw what the best trial measured."""
    from raybert.analysis.plots.monitor import write_monitor_plots

    if sweep.best_trials:  # else the metric is undefined in all of them
        write_monitor_plots(sweep.folder / "trials" / sweep.best_trials[0], sweep.folder / "plots" / "monitor")
    if model is not None:
        _publish_model(sweep, model)


def _publish_model(sweep: Sweep, model: BestModel) -> None:
    """Swap a trial's best model into `best/`, with a model card."""
    from raybert.analysis.model_card import write_model_card  # which loads torch

    trial = SweepFolder(sweep.folder).trial(model.trial_id)
    with atomic_folder(sweep.folder / "best") as fresh:
        shutil.copytree(trial.checkpoints / "best", fresh, ignore=without_links(), dirs_exist_ok=True)
        (fresh / "trial_id").write_text(model.trial_id + "\n", encoding="utf-8")
        if model.has_spec(sweep):
            write_model_card(fresh, sweep, model.trial_id, model.refit)
