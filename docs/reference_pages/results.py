"""The page of the results folder: its files, and a dictionary of the columns of its tables."""

from __future__ import annotations

from collections.abc import Mapping

from raybert.tables import RENAMED_COLUMNS, RENAMED_TABLES, TABLES, Table, describe_columns
from reference_pages.markdown import code, page, table

INTRODUCTION = """
What is in `runs/<name>/`, or where `--output` says. Tables in `results/` are parquet and csv, or csv alone; which table
answers which question: [Read the results](../how-to/results.md). `raybert.load_sweep(folder)` gives data frames.

All can be deleted that *comes again*: `raybert report` writes it from the rest.
"""

FILES: Mapping[str, Mapping[str, str]] = {
    "The sweep": {
        "sweep.yaml": "the file as it was given",
        "resolved.yaml": "the file with every key resolved",
        "manifest.json": "versions, git, hardware, command, and what the data are",
        "plan.json": "the trials with their ids",
        "pool.parquet": "example_id, label and length (word pieces) of the pool; with folds, the fold",
        "held_out.parquet": "split, row, example_id and group of the validation and test examples",
        "state.json": "what the driver is doing, for `raybert status`",
        "estimate.json": "what the sweep was expected to take, and what it took",
        "attempt": "number of the process that owns the folder; a newer owner fences older ones off",
        "lock": "held by the owner",
        "signals/": "score store of this sweep, where it does not use the shared one",
        "study.db": "of a search: the Optuna studies",
        "decisions.jsonl": "of a search: the log of suggestions and decisions, from which it continues",
    },
    "Tables that come again": {
        "results/trials": "a row per planned run",
        "results/evaluations": "a row per evaluation on validation",
        "results/summary": "a row per configuration over its seeds and folds, with intervals and differences",
        "results/equal_cost": "accuracy once 1, 2, 3, 5 and 10 times the cost of `random` is spent",
        "results/overlap": "agreement of every two strategies: Jaccard beside chance, Spearman of their scores",
        "results/selected_classes": "classes of what was selected, beside the pool",
        "results/selected_lengths": "histogram of lengths of what was selected, beside the pool",
        "results/selected_length_quantiles": "quantiles of the same",
        "results/notes.txt": "what a reader of the tables should know, a note a line",
        "results/errors": "distinct failures with kind, message, trials, and the command that repeats one",
        "results/estimate": "what the sweep was expected to take, beside what it took",
        "results/search": "of a search: a row per suggestion",
        "results/best_configurations": "of a search: the best suggestion of each strategy",
        "results/near_best": "of a search: where all suggestions lie that may be the best",
        "results/importances": "of a search: fANOVA per parameter, per strategy and over all",
        "results/pruning": "of a search: how many were complete, pruned, failed; what was spent",
    },
    "Plots and the model that come again": {
        "plots/": "figures: accuracy, cost, overlap, learning curves, classes, lengths, passes, the search",
        "best/": "the best model: a transformers folder with a model card, and `raybert.json`, how texts are read",
    },
    "A trial": {
        "trials/<id>/config.yaml": "what the run is, to read",
        "trials/<id>/spec.json": "the same, complete, for `raybert reproduce`",
        "trials/<id>/evaluations.jsonl": "evaluations as they happen",
        "trials/<id>/log.txt": "log",
        "trials/<id>/selection.parquet": "what was chosen",
        "trials/<id>/losses.npz": "the last training loss of every pool example, and its pass",
        "trials/<id>/pool_scores.npy": "(n,) score of every pool example, higher = harder, of strategies that rank all",
        "trials/<id>/conflicts.parquet": "near-duplicates with different labels, where a filter looked for them",
        "trials/<id>/predictions.parquet": "split, row, label and probability of each class at the best evaluation",
        "trials/<id>/checkpoint/": "`last` (to continue) and `best` (a transformers folder)",
        "trials/<id>/monitor.parquet": "what `monitor` measured",
        "trials/<id>/result.json": "what the run measured; written last, marks completion",
        "trials/<id>/error.txt": "of a failed run: the error and its traceback",
        "trials/<id>/failure.json": "of a failed run: kind, message, host",
        "trials/<id>/attempts.jsonl": "every attempt that failed: when, where, why",
        "trials/<id>/pruned.json": "of a run of a search that was not finished on purpose: why",
        "trials/<id>/heartbeat.json": "signs of life",
        "trials/<id>/.lock": "held by the process that writes here",
    },
    "Commands of their own": {
        "evaluation/": "of `raybert evaluate`: `metrics.json`, tables by class, group, threshold, plots, predictions",
        "reproductions/<id>/": "of `raybert reproduce`: the run again",
    },
}
"""Path in a results folder -> what it holds; a table without its ending, a folder with a slash."""


def results_page() -> str:
    """Return the files of a results folder and the columns of its tables."""
    parts = []
    for title, files in FILES.items():
        parts += [f"## {title}", table(["path", "holds"], [(code(path), text) for path, text in files.items()])]
    for columns in TABLES.values():
        parts += [f"## Columns of {columns.name}", f"A row is {columns.description}.", _dictionary(columns)]
    renamed = [(code(old), code(new)) for old, new in {**RENAMED_TABLES, **RENAMED_COLUMNS}.items()]
    parts += [
        "## Old names",
        "Of tables and columns. Folders of raybert 0.1 are read as they are, and shown by the new names.",
    ]
    return page("The results folder", INTRODUCTION, *parts, table(["name in raybert 0.1", "name now"], renamed))


def _dictionary(columns: Table) -> str:
    rows = [(code(entry.name), entry.type, entry.unit, entry.description) for entry in describe_columns(columns)]
    return table(["column", "type", "unit", "is"], rows)
