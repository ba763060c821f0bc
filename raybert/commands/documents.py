"""What `--json` prints: a document for each command, with declared keys, of which the reference has a page."""

from __future__ import annotations

from raybert.commands.document import Document, Key


def _rows(table: str) -> str:
    return f"rows of {table}"


_ERRORS = Key("errors", "list", "distinct failures, most frequent first: `kind`, `message`, and ids of the `trials`")
_NOTES = Key("notes", "list of text", "what a reader should know")
_FOLDER = Key("folder", "path", "the results folder")
_RESULTS = (
    Key("name", "text", "of the sweep"),
    _FOLDER,
    Key("metric", "text", "what strategies are compared by"),
    Key("replicates", "text", "what means are over: `seeds` or `folds`"),
    Key("counts", "object", "trials by status: `complete`, `failed`, `pending`"),
    Key("grid_columns", "list of text", "varied hyperparameters, which are columns of the rows"),
    Key("summary", _rows("summary"), "configurations"),
    Key("comparisons", _rows("comparisons"), "configurations beside their baselines"),
    Key("as_good_as_all", _rows("as_good_as_all"), "configurations beside `all`, within `sweep.margin`"),
    Key("best", "row of summary, or null", "the best configuration by validation"),
    Key(
        "claims",
        "object",
        "`headline` (the verdict), `sentences` (a finding each, the method last), `scope` (what they hold for)",
    ),
    _NOTES,
    _ERRORS,
)
RESULTS = Document("results", "raybert results DIR --json", _RESULTS)
_NOT_WRITTEN = Key("not_written", "text or null", "why tables and plots could not be written")
REPORT = Document(
    "report",
    "raybert report DIR --json",
    (
        *_RESULTS,
        Key(
            "pairs",
            "list",
            "of `raybert report DIR --pair A B`: `baseline`, `strategy`, `rows` (of comparisons), `sentences`, "
            "`notes`, `picture` (a path)",
        ),
        _NOT_WRITTEN,
    ),
)
SWEEP = Document(
    "sweep",
    "raybert sweep FILE --json",
    (
        Key("outcome", "object", "`complete`, `failed`, `pending`: trials, and suggestions of the search before them"),
        *_RESULTS,
        _NOT_WRITTEN,
    ),
)
TRAIN = Document(
    "train",
    "raybert train FILE --json",
    (
        _FOLDER,
        Key("status", "text", "complete, failed, or pending (interrupted; `raybert train FILE --resume` continues)"),
        Key("model", "path or null", "the trained model; null: there is none"),
        Key("trial", "row of trials", "the run: what it was trained on, what it cost, and every metric"),
        _NOTES,
        _ERRORS,
        _NOT_WRITTEN,
    ),
)
COMPARE = Document(
    "compare",
    "raybert compare DIR DIR ... --json",
    (
        Key("sweeps", "list", "`label`, `folder`, `name`, `data`, `encoder`, `metric`"),
        Key("metric", "text", "what they are compared by"),
        Key("baseline", "text or null", "what ranks are compared with; null: it is not among the strategies"),
        Key("rows", "rows of compared", "a strategy in a sweep each"),
        Key("ranks", "rows of mean_ranks", "over data sets"),
        Key("sentences", "list of text", "what the table holds, and what its ranks show"),
        Key("plots", "list of path", "that were written"),
        _NOTES,
    ),
)
PLAN = Document(
    "plan",
    "raybert plan FILE --json",
    (
        Key("name", "text", "of the sweep"),
        Key("num_trials", "number", "trials and the runs that they need"),
        Key("trials", "rows", "one a run: `trial_id`, `role`, `strategy`, `seed`, `fold`, `budget`, ... and the grid"),
        Key("strategies", "rows", "`strategy`, `budget`, `steps`, `num_trials`, `examples_seen`, `signals`"),
        Key("search", "rows", "one an arm of `sweep.tune`: what it takes at most"),
        Key("data", "list of text", "sizes of every data set"),
        _NOTES,
        Key(
            "estimate",
            "object or null",
            "as `estimate.json`: `quantities`, `phases` with `low`, `expected`, `high`; null: not probed, or nothing "
            "is left to do",
        ),
        Key(
            "problem", "text or null", "why nobody can tell: a trial that could never be placed; the exit code says so"
        ),
    ),
)
PLAN_STUDY = Document(
    "plan_study",
    "raybert plan FILE --json of a pretraining file",
    (
        Key("name", "text", "of the study"),
        Key("num_models", "number", "corpora x seeds"),
        Key(
            "models",
            "rows",
            "`model`, `corpus`, `seed`, `status`, `documents`, `words`, `sequences`, `pass_tokens`, `steps`, `tokens`, "
            "`seconds` (what is left, or null), `bytes` (of its model, or null)",
        ),
        _NOTES,
        Key(
            "estimate",
            "object or null",
            "`quantities` and `phases` with `low`, `expected`, `high`, `slots`, `model_seconds`, `probe`; null: not "
            "probed, or nothing is left to do",
        ),
        Key(
            "problem", "text or null", "why nobody can tell: a model that could never be placed; the exit code says so"
        ),
    ),
)
VALIDATE = Document(
    "validate",
    "raybert validate FILE --json",
    (
        Key("file", "path", "the file"),
        Key("kind", "text", "`sweep`, or `pretraining`: it has `corpora`"),
        Key("num_trials", "number", "strategies x grid points x seeds, at most"),
        Key("num_suggestions", "number", "of the search before them, at most"),
        Key("num_models", "number", "of a pretraining file: corpora x seeds"),
    ),
)
STATUS = Document(
    "status",
    "raybert status DIR --json",
    (
        _FOLDER,
        Key("owner", "text or null", "who runs it; null: nobody"),
        Key("left_by", "text or null", "who ran it and ended without leaving"),
        Key("owner_silent_seconds", "number or null", "since the owner's last heartbeat"),
        Key("phase", "text", "what it is doing, or how it ended"),
        Key("phase_seconds", "number or null", "for how long; null: it is over"),
        Key("remaining_seconds", "number or null", "estimate of what is left"),
        Key("strategies", "object", "label -> trials by state"),
        Key(
            "running",
            "list",
            "trials at work: `trial_id`, `strategy`, `seed`, `step`, `total_steps`, `silent_seconds`, `host`, "
            "`restarted`, `last` (newest evaluation)",
        ),
        Key("restarted", "list", "others that were begun again: `trial_id`, `strategy`, `seed`, `restarts`"),
        _ERRORS,
        Key("search", "object", "by arm: suggestions by state"),
        Key("damaged", "list of text", "files that cannot be read"),
    ),
)
LOGS = Document(
    "logs",
    "raybert logs DIR [TRIAL] --json",
    (
        _FOLDER,
        Key("why", "text", "why these are shown; empty: they were asked for by name"),
        Key(
            "trials",
            "list",
            "`trial_id`, `name`, `strategy`, `seed`, `fold`, `role`, `status`, `folder`, and `lines`: the log, or as "
            "many of its last lines as are shown",
        ),
    ),
)
SWEEPS = Document(
    "sweeps",
    "raybert ls sweeps [FOLDER] --json",
    (
        Key("folder", "path", "where they lie"),
        Key(
            "sweeps",
            "list",
            "`folder`, `name`, `state` (running, paused, ended, interrupted, unreadable), `owner`, `trials` by state, "
            "and `problem` (why it cannot be read, or what is damaged)",
        ),
    ),
)
STRATEGIES = Document(
    "strategies",
    "raybert ls strategies --json",
    (Key("strategies", "rows", "`name`, `summary`, what it needs, costs and takes"),),
)
SIGNALS = Document(
    "signals",
    "raybert ls signals --json",
    (Key("signals", "rows", "`name`, `description`, `shape`, `dtype`, `runs`, `reads`, `scorer`, `price`"),),
)
SCORES = Document(
    "scores",
    "raybert scores ls --json",
    (
        Key("folder", "path", "of the score store"),
        Key("size_bytes", "number", "of all of them"),
        Key(
            "signals",
            "list",
            "`key`, `identity`, `size_bytes`, and `completion`: `num_rows`, `seconds`, ...; null: unfinished",
        ),
    ),
)
SCORES_RM = Document(
    "scores_rm",
    "raybert scores rm KEY ... --json",
    (
        Key("folder", "path", "of the score store"),
        Key("freed_bytes", "number", "of disk space"),
        Key("removed", "list", "signals that are gone: `key`, `identity`, `size_bytes`, `completion`"),
    ),
)
CACHE = Document(
    "cache",
    "raybert cache ls --json",
    (
        Key("folder", "path", "of the cache"),
        Key("size_bytes", "number", "of all parts"),
        Key(
            "parts",
            "list",
            "`name`, `holds`, `num_entries`, `size_bytes`, `used`: seconds of the epoch; null where there is nothing",
        ),
    ),
)
CACHE_CLEAR = Document(
    "cache_clear",
    "raybert cache clear PART ... --json",
    (Key("parts", "list", "`name`, `num_removed`, `num_in_use` (they stay), `freed_bytes`"),),
)
DOWNLOAD = Document(
    "download",
    "raybert download FILE --json",
    (
        Key("items", "list", "`key` of the file, `name`, `status`, `size_bytes`, `place`, `problem`"),
        Key("num_missing", "number", "of them that are not on this machine"),
    ),
)
DOCTOR = Document(
    "doctor",
    "raybert doctor --json",
    (
        Key("findings", "list", "`check`, `node` (empty: all), `status` (ok, warning, failure), `text`, `remedy`"),
        Key("num_warnings", "number", "sweeps run, slower or with less"),
        Key("num_failures", "number", "sweeps will not run, or not all of them"),
    ),
)
SELECT = Document(
    "select",
    "raybert select FILE --json",
    (
        Key("output", "path", "file of the subset"),
        Key("num_chosen", "number", "its examples"),
        Key("pool_size", "number", "examples to choose from"),
        Key("classes", "object", "class -> chosen examples"),
        Key("refilled", "number", "taken back from what a filter had dropped"),
        Key("num_conflicts", "number or null", "near-duplicates with different labels; null: nobody looked"),
        Key("signal_seconds", "number", "what its signals cost"),
    ),
)
ANNOTATE = Document(
    "annotate",
    "raybert annotate FILE --json",
    (
        Key("round", "number", "of the round, from 1"),
        Key("file", "path", "to write labels into"),
        Key("labelled", "path or null", "file of everything that has a label; null: nothing has"),
        Key("rounds", "list", "a row per round, as in `rounds.csv`"),
        Key("stop", "list of text", "criteria by which labelling may stop"),
        Key("notes", "list of text", "what a user should know"),
    ),
)
EVALUATE = Document(
    "evaluate",
    "raybert evaluate TARGET --json",
    (
        Key("model", "path", "which was evaluated"),
        Key("folder", "path", "where tables, plots and predictions are"),
        Key("num_examples", "number", "evaluated"),
        Key("label_names", "list of text", "classes by number"),
        Key("threshold", "number or null", "from which class 1 of two is predicted"),
        Key("metrics", "object", "metric -> `value`, `low`, `high`"),
        Key("per_class", "rows of per_class", "each class"),
        Key("confusion", "list of lists", "counts: a row a class, a column a predicted one"),
        Key("per_group", "rows of per_group, or null", "each group"),
        Key("by", "rows of by, or null", "each value of the columns that were asked for"),
        Key("plots", "list of path", "that were written"),
        _NOTES,
    ),
)
EVALUATE_ALL = Document(
    "evaluate_all",
    "raybert evaluate DIR --all --json",
    (
        Key("folder", "path", "with a folder for each strategy"),
        Key("folders", "object", "configuration -> its folder"),
        Key("metrics", _rows("metrics"), "every metric of every configuration on validation and test"),
        Key("replicates", "text", "what means are over"),
        _NOTES,
    ),
)
EVALUATE_CHECKPOINTS = Document(
    "evaluate_checkpoints",
    "raybert evaluate RUN --checkpoints --json",
    (
        Key("folder", "path", "where the table is"),
        Key("checkpoints", _rows("checkpoints"), "by step"),
        _NOTES,
    ),
)
PREDICT = Document(
    "predict",
    "raybert predict MODEL FILE --json",
    (
        Key("output", "path", "file of the predictions"),
        Key("num_texts", "number", "predicted"),
        Key("predicted", "object", "class -> texts"),
        _NOTES,
    ),
)
EXPLAIN = Document(
    "explain",
    "raybert explain DIR --json",
    (
        Key("kind", "text", "`iris`, or `attention` of a token model"),
        Key("label_names", "list of text", "classes by number"),
        Key("probs", "list of lists", "a row a document or text: the probability of every class"),
        Key("documents", "rows of explained, or of attended", "terms of IRIS; word pieces of a token model"),
        Key("queries", "rows of explained, or null", "chunks of the pool that each query of IRIS looks for"),
        Key("overlap", "rows of query_overlap, or null", "every pair of queries of IRIS"),
        Key("layer", "number or null", "of a token model, from 0"),
        Key("output", "path or null", "file of all rows"),
        Key("plots", "path or null", "folder of pictures"),
    ),
)
TRACK = Document(
    "track",
    "raybert track DIR --json",
    (
        _FOLDER,
        Key("sent", "object", "tracker -> trials, or models of a study, that it has now"),
        Key("failed", "list of text", "trackers that did not get all"),
    ),
)
REPRODUCE = Document(
    "reproduce",
    "raybert reproduce DIR TRIAL --json",
    (
        Key("trial_id", "text", "of both runs"),
        Key("is_identical", "flag", "whether every bit is the same, failures included"),
        Key("status", "text", "of the new run: complete, failed or stopped"),
        Key("first", "path", "folder of the trial"),
        Key("again", "path", "folder of the new run"),
        Key("comparisons", "list", "`what`, `size`, and `differences`"),
        Key("error", "text", "of the trial; empty: it did not fail"),
        Key("error_again", "text", "of the new run"),
        _NOTES,
    ),
)
PRETRAIN = Document(
    "pretrain",
    "raybert pretrain FILE --json",
    (
        Key("folder", "path", "of the study"),
        Key(
            "models",
            "list",
            "`name`, `folder` (transformers'), `is_new`, `summary` (`training_summary.json`)",
        ),
        Key("failures", "object", "name of a model: why it could not be trained"),
        Key("num_left", "number", "models that are not finished"),
    ),
)
TOKENIZER = Document(
    "tokenizer",
    "raybert tokenizer FILE --json",
    (
        Key("folder", "path", "of the tokenizer, as transformers loads it"),
        Key("kind", "text", "wordpiece, byte_bpe, or given: it was there"),
        Key("vocabulary", "number", "pieces, special ones included"),
        Key("is_new", "flag", "whether it has been trained just now"),
        Key("trained_on", "list of text", "corpora; none: it was there"),
        Key("cuts", _rows("tokenizer_cuts"), "each corpus and split"),
        _NOTES,
    ),
)
CROSSEVAL = Document(
    "crosseval",
    "raybert crosseval FILE --json",
    (
        Key("folder", "path", "of the tables and pictures"),
        Key("unit", "text", "piece or word: what models are compared by"),
        Key("perplexities", _rows("perplexities"), "each model on each corpus"),
        Key("differences", _rows("perplexity_differences"), "each pair of models on each corpus"),
        Key("domains", _rows("domains"), "each model"),
        Key("plots", "list of path", "that were written"),
        _NOTES,
    ),
)
PROBE = Document(
    "probe",
    "raybert probe FILE --json",
    (
        Key("folder", "path", "of the tables and pictures"),
        Key("groups", _rows("probe_groups"), "each group of each probe, as each model takes it"),
        Key("differences", _rows("probe_differences"), "each pair of groups"),
        Key("models", _rows("probe_models"), "each pair of models"),
        Key("predictions", _rows("probe_predictions"), "the most probable pieces of each template"),
        Key("plots", "list of path", "that were written"),
        _NOTES,
    ),
)
STUDY = Document(
    "study",
    "raybert study FILE --json, raybert report DIR --json where DIR is a study's",
    (
        Key("folder", "path", "of the study"),
        Key("report", "path", "the page"),
        Key("models", "list", "one a model: `model`, `seed`, `state`, and its best evaluation"),
        Key("failures", "object", "name of a model that has just failed: why"),
        Key("num_left", "number", "models that are not finished"),
        Key("perplexities", f"{_rows('perplexities')} or null", "each model on each corpus; null: not compared yet"),
        Key("differences", f"{_rows('perplexity_differences')} or null", "each pair of models on each corpus"),
        Key("domains", f"{_rows('domains')} or null", "each model"),
        Key("probe_groups", f"{_rows('probe_groups')} or null", "each group of each probe; null: no probes"),
        Key("probe_models", f"{_rows('probe_models')} or null", "each pair of models in each probe"),
        _NOTES,
    ),
)
DOCUMENTS = (
    *(SWEEP, TRAIN, RESULTS, REPORT, COMPARE, STATUS, LOGS, SWEEPS, PLAN, VALIDATE, SELECT, ANNOTATE, EVALUATE),
    *(
        EVALUATE_ALL,
        EVALUATE_CHECKPOINTS,
        PREDICT,
        EXPLAIN,
        REPRODUCE,
        TRACK,
        DOWNLOAD,
        STRATEGIES,
        SIGNALS,
        SCORES,
        SCORES_RM,
    ),
    *(DOCTOR, CACHE, CACHE_CLEAR, TOKENIZER, PLAN_STUDY, PRETRAIN, CROSSEVAL, PROBE, STUDY),
)
"""In the order of the reference."""
