"""One function a command: each runs, writes what the command writes, and returns a value; none prints.

The command line calls the same functions. What is heavy is imported inside them: `raybert --help` waits for none of it.
"""

from raybert.commands.annotation import annotate
from raybert.commands.cache import CacheContents, CachePart, ClearedPart, clear_cache, list_cache
from raybert.commands.diagnosis import doctor
from raybert.commands.downloads import download
from raybert.commands.language_models import crosseval, probe
from raybert.commands.models import evaluate, evaluate_all, evaluate_checkpoints, explain, predict
from raybert.commands.planning import (
    StudySize,
    SweepSize,
    list_signals,
    list_strategies,
    plan,
    plan_study,
    render,
    schema,
    validate,
)
from raybert.commands.pretraining import pretrain
from raybert.commands.running import cancel, follow_logs, logs, pause, resume, status, stop
from raybert.commands.studies import Study, report_study, study
from raybert.commands.submission import SubmittedJob, attach, submit
from raybert.commands.subsets import StoredSignals, list_scores, remove_scores, select_subset
from raybert.commands.sweeps import (
    compare,
    list_sweeps,
    report,
    reproduce,
    results,
    sweep,
    train,
    watch_report,
)
from raybert.commands.tokenizers import tokenizer
from raybert.commands.trackers import Tracked, track

__all__ = [
    "CacheContents",
    "CachePart",
    "ClearedPart",
    "StoredSignals",
    "Study",
    "StudySize",
    "SubmittedJob",
    "SweepSize",
    "Tracked",
    "annotate",
    "attach",
    "cancel",
    "clear_cache",
    "compare",
    "crosseval",
    "doctor",
    "download",
    "evaluate",
    "evaluate_all",
    "evaluate_checkpoints",
    "explain",
    "follow_logs",
    "list_cache",
    "list_scores",
    "list_signals",
    "list_strategies",
    "list_sweeps",
    "logs",
    "pause",
    "plan",
    "plan_study",
    "predict",
    "pretrain",
    "probe",
    "remove_scores",
    "render",
    "report",
    "report_study",
    "reproduce",
    "results",
    "resume",
    "schema",
    "select_subset",
    "status",
    "stop",
    "study",
    "submit",
    "sweep",
    "tokenizer",
    "track",
    "train",
    "validate",
    "watch_report",
]
