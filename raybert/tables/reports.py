"""The tables of a report beside the comparison: what failed, and what the sweep was expected to take."""

from __future__ import annotations

from raybert.tables.runs import TRIALS
from raybert.tables.schema import Table, computed

ERRORS = Table(
    "errors",
    "a distinct error: failures that are the same but for numbers, ids and paths",
    (
        computed("error", "text", "type and message, as the first trial has it"),
        computed("kind", "text", "kind of failure, which `retry` takes"),
        computed("num_trials", "whole", "runs that failed with it", "runs"),
        computed("num_readers", "whole", "those of them that never began: they read a run that failed with it", "runs"),
        computed("first_trial", "text", "id of the run to look at"),
        computed("strategy", "text", TRIALS["strategy"].description),
        computed("seed", "whole", "its seed"),
        computed("fold", "whole", TRIALS["fold"].description),
        computed("node", "text", "host where it failed; empty: unknown"),
        computed("attempts", "whole", "how often it was tried", "attempts"),
        computed("reproduce", "text", "the command that runs it again, alone"),
        computed("trials", "text", "ids of all, the first one first, with spaces between"),
    ),
    suffixes=(".csv",),
)

ESTIMATE = Table(
    "estimate",
    "a quantity that `raybert plan` and a sweep estimate: `wall_seconds`, `cpu_hours` or `gpu_hours`, `disk_bytes`",
    (
        computed("quantity", "text", "its name, with its unit"),
        computed("estimated", "number", "what was expected"),
        computed("low", "number", "lower end of the range that was given"),
        computed("high", "number", "upper end"),
        computed("measured", "number", "what it was; NaN: not known before all trials of the estimate are finished"),
    ),
    suffixes=(".csv",),
)
