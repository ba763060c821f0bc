"""Everything that raybert prints, a module a screen. Prints and writes nothing; the only room that imports rich."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raybert.lazy import names_on_first_use

if TYPE_CHECKING:
    from raybert.terminal.annotation import print_round
    from raybert.terminal.catalogue import print_cache, print_scores, print_signals, print_strategies
    from raybert.terminal.compared import print_compared
    from raybert.terminal.comparison import print_comparison, print_pairs, print_results, print_watched
    from raybert.terminal.console import command_again, echo, is_trusted, print_error, print_note
    from raybert.terminal.doctor import print_diagnosis, print_finding
    from raybert.terminal.documents import print_json
    from raybert.terminal.downloads import print_download, print_downloads
    from raybert.terminal.evaluation import (
        print_all_evaluated,
        print_checkpoints,
        print_evaluation,
        print_predictions,
    )
    from raybert.terminal.explanation import print_explanation
    from raybert.terminal.failures import print_failures
    from raybert.terminal.language_models import print_cross_evaluation, print_probes, print_study
    from raybert.terminal.logs import print_log_lines, print_logs
    from raybert.terminal.plan import print_plan, print_planned_study
    from raybert.terminal.pretraining import print_pretrained
    from raybert.terminal.reproduction import print_reproduction
    from raybert.terminal.run import print_run
    from raybert.terminal.status import print_status
    from raybert.terminal.subset import print_subset
    from raybert.terminal.sweeps import print_sweeps
    from raybert.terminal.tokenizer import print_tokenizer

_HOMES = {
    "raybert.terminal.annotation": ("print_round",),
    "raybert.terminal.catalogue": (
        "print_cache",
        "print_scores",
        "print_signals",
        "print_strategies",
    ),
    "raybert.terminal.compared": ("print_compared",),
    "raybert.terminal.comparison": (
        "print_comparison",
        "print_pairs",
        "print_results",
        "print_watched",
    ),
    "raybert.terminal.console": (
        "command_again",
        "echo",
        "is_trusted",
        "print_error",
        "print_note",
    ),
    "raybert.terminal.doctor": ("print_diagnosis", "print_finding"),
    "raybert.terminal.documents": ("print_json",),
    "raybert.terminal.downloads": ("print_download", "print_downloads"),
    "raybert.terminal.evaluation": (
        "print_all_evaluated",
        "print_checkpoints",
        "print_evaluation",
        "print_predictions",
        "print_probes",
        "print_pretrained",
    ),
    "raybert.terminal.explanation": ("print_explanation",),
    "raybert.terminal.failures": ("print_failures",),
    "raybert.terminal.language_models": ("print_cross_evaluation", "print_probes", "print_study"),
    "raybert.terminal.logs": (
        "print_log_lines",
        "print_logs",
    ),
    "raybert.terminal.plan": ("print_plan", "print_planned_study"),
    "raybert.terminal.reproduction": ("print_reproduction",),
    "raybert.terminal.run": ("print_run",),
    "raybert.terminal.status": ("print_status",),
    "raybert.terminal.subset": ("print_subset",),
    "raybert.terminal.sweeps": ("print_sweeps",),
    "raybert.terminal.tokenizer": ("print_tokenizer",),
    "raybert.terminal.pretraining": ("print_pretrained",),
}
if not TYPE_CHECKING:
    __getattr__ = names_on_first_use(__name__, _HOMES)

__all__ = [
    "command_again",
    "echo",
    "is_trusted",
    "print_all_evaluated",
    "print_cache",
    "print_checkpoints",
    "print_compared",
    "print_comparison",
    "print_cross_evaluation",
    "print_diagnosis",
    "print_download",
    "print_downloads",
    "print_error",
    "print_evaluation",
    "print_explanation",
    "print_failures",
    "print_finding",
    "print_json",
    "print_log_lines",
    "print_logs",
    "print_note",
    "print_pairs",
    "print_plan",
    "print_planned_study",
    "print_predictions",
    "print_pretrained",
    "print_probes",
    "print_reproduction",
    "print_results",
    "print_round",
    "print_run",
    "print_scores",
    "print_signals",
    "print_status",
    "print_strategies",
    "print_study",
    "print_subset",
    "print_sweeps",
    "print_tokenizer",
    "print_watched",
]
