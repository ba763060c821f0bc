"""What a results folder holds: every file, and what it is for. The reference lists it, tests hold writers to it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from raybert.tables import TABLES


@dataclass(frozen=True)
class Content:
    """A file, files of one pattern, or a folder.

    Attributes:
        path: in the results folder, or in that of a trial; `<name>` stands for any name, a slash at the end for a
            folder with all that is in it.
        description: what it holds.
        is_lasting: whether it stays once the process that wrote it has ended well.
    """

    path: str
    description: str
    is_lasting: bool = True

    def covers(self, path: str) -> bool:
        """Tell whether a path is this file, one of these, or in this folder."""
        parts = (re.escape(part) for part in re.split(r"<\w+>", self.path))
        return re.fullmatch("[^/]+".join(parts) + (".+" if self.path.endswith("/") else ""), path) is not None


def _passing(path: str, description: str) -> Content:
    return Content(path, description, is_lasting=False)


SWEEP = (
    Content("sweep.yaml", "the file as it was given"),
    Content("resolved.yaml", "the file with every key resolved"),
    Content("manifest.json", "versions, git, hardware, what the data are, and on what its runs were trained"),
    Content("plan.json", "the runs with their ids"),
    Content("trials.txt", "what a person calls each run (`el2n-s0-<id>`), and its folder; for reading only"),
    Content("pool.parquet", "the examples that may be selected"),
    Content("held_out.parquet", "the examples of validation and test"),
    Content("report.html", "the results as one page to read and to send: it loads nothing from elsewhere"),
    Content("state.json", "what the driver is doing, for `raybert status`"),
    Content("estimate.json", "what the sweep was expected to take, and what it took"),
    Content("refit.json", "with `sweep.refit`: which run trained on train and validation, and of which trial"),
    Content(
        "pretrained.json", "with `pretrain`: what encoders were pretrained on, and their perplexity before and after"
    ),
    Content("models/", "with `pretrain`: an encoder a folder (`model/`), its evaluations and `training_summary.json`"),
    Content(
        "tracking/",
        "with `track`: ids of the trackers' runs (`<tracker>.json`), events of TensorBoard, runs of W&B that wait",
    ),
    Content("attempt", "number of the process that owns the folder; a newer owner fences older ones off"),
    Content("lock", "held by the owner"),
    Content("signals/", "score store of this sweep, where it does not use the shared one"),
    Content("decisions.jsonl", "of a search: the log of suggestions and decisions, from which it continues"),
    Content("study.db", "of a search: the Optuna studies"),
    Content("study.journal", "the same, with `sweep.tune.storage: journal`"),
    _passing("study.db-<part>", "what SQLite has not yet moved into `study.db`"),
    _passing("study.journal.lock", "held by who writes the journal"),
    _passing("owner.json", "the process that runs the sweep; its time of change is a heartbeat"),
    _passing("control.json", "what `raybert pause`, `resume`, `stop` or `cancel` asks for"),
    _passing("stop-requested", "there while running trials are to save and stop"),
    _passing(".tune/", "scratch of Ray Tune"),
)
STUDY = (
    Content(
        "models/<name>/model/", "a transformers folder with its tokenizer: the weights of the lowest validation loss"
    ),
    Content("models/<name>/run.json", "what is trained, by content, and for how many steps: another one is refused"),
    Content(
        "models/<name>/training_summary.json",
        "best and last evaluation, word pieces, padding, configuration, versions; written last, marks completion",
    ),
    Content(
        "models/<name>/evaluations.jsonl", "its evaluations, as they happen; its other files are those of a run below"
    ),
    Content("tokenizer/", "that the study has trained: a transformers folder"),
    Content(
        "crosseval/", "of `raybert crosseval`: tables, the matrix of models and corpora, what was asked (`scores/`)"
    ),
    Content("probes/", "of `raybert probe`: tables, a summary, a picture of each probe"),
    Content("plots/training_curves.png", "of `raybert study`: losses and perplexities while models train"),
)
TRIAL = (
    Content("config.yaml", "what the run is, to read"),
    Content("spec.json", "the same, complete, for `raybert reproduce`"),
    Content("evaluations.jsonl", "its evaluations, as they happen"),
    Content("log.txt", "its log, as it happens, a line for every evaluation; `raybert logs` prints it"),
    Content("result.json", "what it measured; written last, marks completion"),
    Content("selection.parquet", "what was chosen"),
    Content("losses.npz", "the last training loss of every pool example, and its pass"),
    Content("pool_scores.npy", "(n,) score of every pool example, higher = harder, of strategies that rank all"),
    Content("conflicts.csv", "near-duplicates with different labels, where a filter looked for them"),
    Content("predictions.parquet", "label and probabilities of held-out examples at the best evaluation"),
    Content("extra_predictions.parquet", "the same of the further test sets of `data.extra_tests`, by their names"),
    Content("extra_metrics.json", "every metric on these, by their names"),
    Content(
        "checkpoint/", "`last` (to continue), `best` (a transformers folder), and `step-<n>` of `train.checkpoints`"
    ),
    Content("dynamics/", "of a run behind the signal `dynamics`: probabilities of the pool after every pass"),
    Content("monitor.parquet", "what `monitor` measured"),
    Content("monitor_histograms.parquet", "histograms of weights that it took"),
    Content("monitor_spikes.parquet", "steps whose loss stood out"),
    Content("monitor_nan.json", "what was not finite first, and where"),
    Content("tensorboard/", "the same as events, with `monitor.tensorboard`"),
    Content("error.txt", "of a failed run: the error and its traceback"),
    Content("failure.json", "of a failed run: kind, message, host"),
    Content("attempts.jsonl", "every attempt that failed: when, where, why"),
    Content("restarts.jsonl", "every time that the run was begun again, and why"),
    Content("pruned.json", "of a run of a search that was not finished on purpose: why"),
    Content("heartbeat.json", "its last heartbeat: process, host, step, seconds"),
    Content(".lock", "held by the process that writes here"),
    _passing(".worker.lock", "the same among the workers of a trial"),
    Content("<file>.damaged", "a torn file that was set aside before the run was repeated"),
    _passing("stack.txt", "where its process is, on request of the detector of hangs"),
    _passing("stall.json", "why its process is about to be ended"),
    _passing("stop-requested", "there while this run alone is to save and stop"),
    _passing("monitor/", "measurements that are not yet in `monitor*.parquet`"),
    _passing("epoch_plans/", "what each pass trained on, until it is in `selection.parquet`"),
    _passing(".train-<name>/", "scratch of Ray Train, and what the workers of a trial give back to it"),
)
PLOTS = (
    Content("plots/accuracy.png", "the metric of the sweep (`train.best_metric`) on test, with intervals"),
    Content(
        "plots/budget.png", "the metric on test over the budget, where there are several, with each curve's mean height"
    ),
    Content("plots/cost.png", "the metric on test over what a strategy costs, signals included"),
    Content(
        "plots/forest.png", "every comparison: the paired difference with interval, single seeds, Holm's p and verdict"
    ),
    Content("plots/ranks.png", "the place of each strategy among those of its budget, seed by seed; nothing is tested"),
    Content("plots/learning_curves.png", "the metric of the sweep on validation over examples seen"),
    Content("plots/samples_per_pass.png", "examples of each pass"),
    Content("plots/per_pass.png", "losses, accuracies, learning rate and examples per pass, with bands over seeds"),
    Content(
        "plots/pair_<baseline>_<strategy>.png",
        "a pair of `sweep.compare` or `raybert report --pair`: both while they train, with bands, and their difference",
    ),
    Content("plots/label_f1.png", "of several labels: the F1 of each on test per strategy, over seeds"),
    Content("plots/predicted_numbers.png", "of numbers: predicted over true ones on test per strategy"),
    Content(
        "plots/prediction_curves.png", "ROC, precision over recall and calibration on test per strategy, over seeds"
    ),
    Content("plots/confusions.png", "what each strategy takes for what on test, mean over seeds"),
    Content("plots/overlap.png", "how far the subsets of every two strategies agree"),
    Content("plots/embeddings.png", "where in the pool each strategy chooses, by embeddings from the score store"),
    Content("plots/selected_classes.png", "classes of what was selected, beside the pool"),
    Content("plots/selected_examples.png", "which examples each strategy keeps, most often kept and hardest first"),
    Content("plots/last_losses.png", "the last training loss of each example, and the pass that it is from"),
    Content("plots/selected_lengths.png", "lengths of what was selected, beside the pool"),
    Content("plots/search_history.png", "how the search of each strategy went: its suggestions, and the best so far"),
    Content("plots/search_best_values.png", "the best value of each parameter by strategy, and what is as good"),
    Content("plots/search_slices.png", "what each value of a parameter gave"),
    Content("plots/search_parallel.png", "which combinations of values were good"),
    Content("plots/search_importances.png", "which parameters the results of a search depend on"),
    Content("plots/search_cost.png", "what became of the suggestions of a search, and what they cost"),
    Content("plots/monitor/<quantity>.png", "what `monitor` measured in the best trial"),
    Content("plots/<name>.svg", "each of the plots above once more, to print at any size; its text is text"),
    Content("plots/monitor/<quantity>.svg", "likewise"),
)
BEST = (
    Content("best/", "the best model: a transformers folder with a model card, and `raybert.json`, how texts are read"),
)
COMMANDS = (
    Content(
        "evaluation/",
        "of `raybert evaluate`: `metrics.json`, tables by class, group, column (`--by`), threshold, plots, predictions",
    ),
    Content(
        "artifacts/<strategy>/<split>/",
        "of `raybert evaluate --all`: metrics over seeds, predictions, confusions and curves of validation and test",
    ),
    Content("artifacts/metrics.md", "the same as one text to paste, beside `metrics.csv`"),
    Content("reproductions/<id>/", "of `raybert reproduce`: the run again"),
)


def tables() -> tuple[Content, ...]:
    """Return the files of `results/`, from the tables that say as what they are published."""
    published = (table for table in TABLES.values() if table.suffixes)
    files = (
        Content(f"results/{table.name}{suffix}", f"a row is {table.description}")
        for table in published
        for suffix in table.suffixes
    )
    return (
        *files,
        Content("results/metrics.md", "metrics of validation and test, mean ± deviation, as Markdown to paste"),
        Content("results/claims.txt", "what may be claimed: the verdict, a finding a line, and what they hold for"),
        Content("results/notes.txt", "what a reader of the tables should know, a note a line"),
        Content("results/summaries/<strategy>.txt", "a strategy to read: metrics, comparisons, cost, a line per pass"),
    )


@cache
def sections() -> Mapping[str, tuple[Content, ...]]:
    """Return everything in a results folder by subject; the files of a trial are below `trials/<id>/`."""
    trial = tuple(Content(f"trials/<id>/{c.path}", c.description, c.is_lasting) for c in TRIAL)
    return {
        "The sweep": SWEEP,
        "Tables": tables(),
        "Plots and the best model": (*PLOTS, *BEST),
        "A run": trial,
        "A pretraining study": STUDY,
        "Commands of their own": COMMANDS,
    }


def contents() -> Iterator[Content]:
    """Yield everything in a results folder."""
    for section in sections().values():
        yield from section
