"""raybert: which training examples are worth training on, and which selection strategy finds them?

    results = raybert.sweep("sweeps/strategies.yaml")  # a file, or a mapping like one
    results.summary()  # a table; so are results.trials and results.evaluations
    raybert.evaluate(results)  # its best model, on what was held out
    raybert.predict(results, ["a text", "another"])
    raybert.fit(model, (texts, labels), tokenizer=tokenizer)  # a model of your own, in the same loop

Behind every command of the command line is the function of the same name (`raybert select` is `select_subset`: `select`
takes arrays).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from raybert.lazy import names_on_first_use
from raybert.version import __version__

if TYPE_CHECKING:
    from raybert import folds as folds
    from raybert import losses as losses
    from raybert import metrics as metrics
    from raybert.analysis import Sweep, Sweeps, load_sweep, load_sweeps
    from raybert.analysis.results.beside import ComparedSweeps
    from raybert.annotation.annotate import AnnotationRound
    from raybert.commands import (
        CacheContents,
        StoredSignals,
        Study,
        StudySize,
        SubmittedJob,
        SweepSize,
        Tracked,
        annotate,
        attach,
        cancel,
        clear_cache,
        compare,
        crosseval,
        doctor,
        download,
        evaluate,
        evaluate_all,
        evaluate_checkpoints,
        explain,
        follow_logs,
        list_cache,
        list_scores,
        list_signals,
        list_strategies,
        list_sweeps,
        logs,
        pause,
        plan,
        plan_study,
        predict,
        pretrain,
        probe,
        remove_scores,
        render,
        report,
        report_study,
        reproduce,
        results,
        resume,
        schema,
        select_subset,
        status,
        stop,
        study,
        submit,
        sweep,
        tokenizer,
        track,
        train,
        validate,
        watch_report,
    )
    from raybert.config import RaybertConfig, load_config
    from raybert.errors import (
        ConfigError,
        DataError,
        Interrupted,
        ModelError,
        RaybertError,
        ResourceError,
        ScoringError,
        SelectionError,
        SweepError,
        TrialError,
        UntrustedCode,
    )
    from raybert.evaluation.evaluate import ModelEvaluation
    from raybert.evaluation.every_strategy import SweepEvaluation
    from raybert.evaluation.explain import Explanation
    from raybert.evaluation.language_models.crosseval import CrossEvaluation
    from raybert.evaluation.language_models.probes import ProbeResults
    from raybert.evaluation.language_models.study import StudyResults
    from raybert.fitting.fit import fit
    from raybert.fitting.fitted import FittedModel
    from raybert.models import load_model
    from raybert.pretraining.tokenizer import MeasuredTokenizer
    from raybert.selection import (
        PassPlan,
        PassRequest,
        Pool,
        PoolView,
        RankedStrategy,
        Selection,
        Strategy,
        TextSignal,
        register,
        register_signal,
    )
    from raybert.selection.select import select
    from raybert.sweeping.doctor.finding import Diagnosis, Finding
    from raybert.sweeping.downloads import Downloads
    from raybert.sweeping.driver.events import Event
    from raybert.sweeping.driver.follow_logs import LogLine
    from raybert.sweeping.driver.listing import ListedSweep
    from raybert.sweeping.driver.progress import Progress
    from raybert.sweeping.driver.status import SweepStatus
    from raybert.sweeping.driver.trial_logs import ShownLogs, TrialLog
    from raybert.sweeping.folder.outcome import Outcome
    from raybert.sweeping.preview import PlannedSweep
    from raybert.sweeping.preview_study import PlannedStudy
    from raybert.sweeping.single.reproduce import Reproduction
    from raybert.sweeping.single.select import ChosenSubset
    from raybert.sweeping.study import PretrainedModels

_HOMES = {
    "raybert.commands": (
        "sweep",
        "train",
        "plan",
        "plan_study",
        "validate",
        "render",
        "schema",
        "download",
        "results",
        "compare",
        "report",
        "watch_report",
        "track",
        "evaluate",
        "evaluate_all",
        "evaluate_checkpoints",
        "predict",
        "explain",
        "reproduce",
        "select_subset",
        "annotate",
        "status",
        "logs",
        "follow_logs",
        "pause",
        "resume",
        "stop",
        "cancel",
        "submit",
        "attach",
        "doctor",
        "list_sweeps",
        "list_strategies",
        "list_signals",
        "list_scores",
        "remove_scores",
        "list_cache",
        "clear_cache",
        "study",
        "report_study",
        "tokenizer",
        "pretrain",
        "crosseval",
        "probe",
        "CacheContents",
        "StoredSignals",
        "Study",
        "StudySize",
        "SubmittedJob",
        "SweepSize",
        "Tracked",
    ),
    "raybert.analysis": ("load_sweep", "load_sweeps", "Sweep", "Sweeps"),
    "raybert.analysis.results.beside": ("ComparedSweeps",),
    "raybert.config": ("load_config", "RaybertConfig"),
    "raybert.models": ("load_model",),
    "raybert.sweeping.study": ("PretrainedModels",),
    "raybert.pretraining.tokenizer": ("MeasuredTokenizer",),
    "raybert.selection": (
        "register",
        "register_signal",
        "Strategy",
        "RankedStrategy",
        "TextSignal",
        "Pool",
        "Selection",
        "PassRequest",
        "PassPlan",
        "PoolView",
        "EpochRequest",  # of raybert 0.1, for one release
    ),
    "raybert.selection.select": ("select",),
    "raybert.evaluation.language_models.crosseval": ("CrossEvaluation",),
    "raybert.evaluation.language_models.probes": ("ProbeResults",),
    "raybert.evaluation.language_models.study": ("StudyResults",),
    "raybert.fitting.fit": ("fit",),
    "raybert.fitting.fitted": ("FittedModel",),
    "raybert.sweeping.folder.outcome": ("Outcome",),
    "raybert.sweeping.driver.events": ("Event",),
    "raybert.sweeping.driver.listing": ("ListedSweep",),
    "raybert.sweeping.driver.progress": ("Progress",),
    "raybert.sweeping.driver.status": ("SweepStatus",),
    "raybert.sweeping.driver.trial_logs": ("ShownLogs", "TrialLog"),
    "raybert.sweeping.driver.follow_logs": ("LogLine",),
    "raybert.sweeping.preview": ("PlannedSweep",),
    "raybert.sweeping.preview_study": ("PlannedStudy",),
    "raybert.sweeping.downloads": ("Downloads",),
    "raybert.sweeping.doctor.finding": ("Diagnosis", "Finding"),
    "raybert.sweeping.single.select": ("ChosenSubset",),
    "raybert.annotation.annotate": ("AnnotationRound",),
    "raybert.sweeping.single.reproduce": ("Reproduction",),
    "raybert.evaluation.evaluate": ("ModelEvaluation",),
    "raybert.evaluation.every_strategy": ("SweepEvaluation",),
    "raybert.evaluation.explain": ("Explanation",),
    "raybert.errors": (
        "RaybertError",
        "ConfigError",
        "DataError",
        "ModelError",
        "ResourceError",
        "SelectionError",
        "ScoringError",
        "SweepError",
        "Interrupted",
        "TrialError",
        "UntrustedCode",
    ),
}
_MODULES = ("losses", "metrics", "folds")
"""Public as a whole: `raybert.losses.focal`."""
if not TYPE_CHECKING:
    __getattr__ = names_on_first_use(__name__, _HOMES, _MODULES)

__all__ = [  # noqa: RUF022 - by subject, as the table above
    "__version__",
    "sweep",
    "train",
    "plan",
    "plan_study",
    "validate",
    "render",
    "schema",
    "download",
    "results",
    "compare",
    "report",
    "watch_report",
    "track",
    "evaluate",
    "evaluate_all",
    "evaluate_checkpoints",
    "predict",
    "explain",
    "reproduce",
    "select_subset",
    "annotate",
    "status",
    "logs",
    "follow_logs",
    "pause",
    "resume",
    "stop",
    "attach",
    "cancel",
    "doctor",
    "list_sweeps",
    "list_strategies",
    "list_signals",
    "list_scores",
    "remove_scores",
    "list_cache",
    "clear_cache",
    "study",
    "submit",
    "report_study",
    "tokenizer",
    "pretrain",
    "crosseval",
    "probe",
    "CacheContents",
    "MeasuredTokenizer",
    "PretrainedModels",
    "StoredSignals",
    "Study",
    "StudyResults",
    "StudySize",
    "SubmittedJob",
    "SweepSize",
    "Tracked",
    "load_sweep",
    "load_sweeps",
    "Sweep",
    "Sweeps",
    "ComparedSweeps",
    "load_config",
    "RaybertConfig",
    "load_model",
    "select",
    "fit",
    "FittedModel",
    "register",
    "register_signal",
    "Strategy",
    "RankedStrategy",
    "TextSignal",
    "Pool",
    "Selection",
    "PassRequest",
    "PassPlan",
    "PoolView",
    "Outcome",
    "Event",
    "Progress",
    "SweepStatus",
    "ListedSweep",
    "ShownLogs",
    "TrialLog",
    "LogLine",
    "PlannedStudy",
    "PlannedSweep",
    "Downloads",
    "Diagnosis",
    "Finding",
    "ChosenSubset",
    "AnnotationRound",
    "Reproduction",
    "ModelEvaluation",
    "SweepEvaluation",
    "Explanation",
    "CrossEvaluation",
    "ProbeResults",
    "RaybertError",
    "ConfigError",
    "DataError",
    "ModelError",
    "ResourceError",
    "SelectionError",
    "ScoringError",
    "SweepError",
    "Interrupted",
    "TrialError",
    "UntrustedCode",
]


def __dir__() -> list[str]:
    """Return the public names, imported or not."""
    return sorted([*__all__, *_MODULES])
