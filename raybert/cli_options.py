"""What several commands of the command line take, and how each ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from raybert.cli_completion import complete_key, complete_results_folder, complete_sweep_file, completer
from raybert.errors import ExitCode
from raybert.sweeping.folder.failure_kinds import KINDS, RETRY_CHOICES

_BAD_INPUT = {ExitCode.BAD_INPUT: "bad input"}
ENDINGS: Mapping[str, Mapping[ExitCode, str]] = {
    "sweep": {
        ExitCode.DONE: "all complete",
        **_BAD_INPUT,
        ExitCode.INTERRUPTED: "interrupted (the same command continues)",
        ExitCode.SOME_FAILED: "some trials failed",
        ExitCode.FAILED: "all failed",
    },
    "submit": {
        ExitCode.DONE: "all complete, or detached",
        **_BAD_INPUT,
        ExitCode.INTERRUPTED: "interrupted (the same command continues)",
        ExitCode.SOME_FAILED: "some trials failed",
        ExitCode.FAILED: "all failed",
    },
    "train": {
        ExitCode.DONE: "complete",
        **_BAD_INPUT,
        ExitCode.INTERRUPTED: "interrupted (`--resume` continues)",
        ExitCode.FAILED: "failed",
    },
    "download": {
        ExitCode.DONE: "all is on this machine",
        **_BAD_INPUT,
        ExitCode.SOME_FAILED: "some of it cannot be fetched",
        ExitCode.FAILED: "none of it can be fetched",
    },
    "doctor": {
        ExitCode.DONE: "no failures (warnings may be)",
        **_BAD_INPUT,
        ExitCode.FAILED: "something is missing that sweeps need",
    },
    "track": {
        ExitCode.DONE: "all trackers have all",
        **_BAD_INPUT,
        ExitCode.SOME_FAILED: "some trackers have not got all",
        ExitCode.FAILED: "none has",
    },
    "pretrain": {
        ExitCode.DONE: "all models are there",
        **_BAD_INPUT,
        ExitCode.INTERRUPTED: "interrupted (the same command continues)",
        ExitCode.SOME_FAILED: "some failed",
        ExitCode.FAILED: "all failed",
    },
    "study": {
        ExitCode.DONE: "all models are there",
        **_BAD_INPUT,
        ExitCode.INTERRUPTED: "interrupted (the same command continues)",
        ExitCode.SOME_FAILED: "some failed",
        ExitCode.FAILED: "all failed",
    },
    "reproduce": {
        ExitCode.DONE: "bit-identical (or the same error)",
        ExitCode.DIFFERENT: "different",
        ExitCode.BAD_INPUT: "bad input, or code that is not trusted",
        ExitCode.INTERRUPTED: "interrupted",
    },
    "select": {
        ExitCode.DONE: "chosen",
        **_BAD_INPUT,
        ExitCode.INTERRUPTED: "interrupted (the same command continues)",
        ExitCode.FAILED: "a signal could not be computed",
    },
}
"""What exit codes say of a command; every other command is done, or has bad input."""


def exit_codes(command: str) -> str:
    """Return how a command ends, for the foot of its help."""
    return f"Exit codes: {', '.join(f'{code.value} {words}' for code, words in ENDINGS[command].items())}."


def argument(text: str, complete: Callable[..., Any] | None = None) -> Any:
    """Return an argument with its help, which also says what it is by default, and what completes it in a shell."""
    return typer.Argument(help=text, show_default=False, autocompletion=complete)


def option(text: str, complete: Callable[..., Any] | None = None) -> Any:
    """Return an option with its help, which also says what it is by default, and what completes it in a shell."""
    return typer.Option(help=text, show_default=False, autocompletion=complete)


FileArgument = Annotated[Path, argument("Sweep file (YAML).", complete_sweep_file)]
FolderArgument = Annotated[Path, argument("Results folder of a sweep.", complete_results_folder)]
TargetArgument = Annotated[
    Path,
    argument("Results folder (its best model), folder of a trial, or folder of a model.", complete_results_folder),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a key of the file by its dotted path; repeatable.",
        autocompletion=complete_key,
    ),
]
AddressOption = Annotated[
    str | None,
    typer.Option(
        help="Ray cluster to join, `auto` or HOST:PORT; without it that of `RAY_ADDRESS`, else Ray is started here "
        "(`local`: whatever `RAY_ADDRESS` says)."
    ),
]
SafeOption = Annotated[
    bool,
    typer.Option(
        "--safe",
        help="Refuse code that the file names (`module:attribute`, `model.trust_remote_code`), and weights that are no "
        "safetensors; RAYBERT_IMPORTS=0 does it for all commands.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else on standard output.")]
LongJsonOption = Annotated[
    bool,
    typer.Option("--json", help="Print JSON, and nothing else on standard output; progress goes to standard error."),
]


def check_retry_option(retry: str | None) -> None:
    """Refuse a value of `--retry` that it does not have, before anything else.

    Raises:
        BadParameter: it is none.
    """
    if retry is not None and retry not in RETRY_CHOICES:
        raise typer.BadParameter(f"must be one of {', '.join(RETRY_CHOICES)}, got {retry!r}", param_hint="--retry")


RetryOption = Annotated[
    str | None,
    typer.Option(
        help="Run failed trials again, from their last checkpoint: `failed` or `all` of them, or those of a kind: "
        + "; ".join(f"`{kind}` ({text})" for kind, text in KINDS.items())
        + ".",
        autocompletion=completer(*RETRY_CHOICES),
    ),
]
StoreOption = Annotated[
    Path | None, option("Folder of the store; default: the one that the sweeps of this machine share.")
]
DataOption = Annotated[
    Path | None,
    option("Labelled file (parquet, csv, jsonl, ...) or folder of splits; default: what the sweep itself held out."),
]
DocumentOption = Annotated[
    list[int] | None, typer.Option("--document", help="Row of the split; repeatable.", show_default=False)
]
TextOption = Annotated[str | None, typer.Option(help="Column of the text; default: that of training.")]
TextPairOption = Annotated[str | None, typer.Option(help="Column of the second text; default: that of training.")]
LabelOption = Annotated[str | None, typer.Option(help="Column of the label; default: that of training.")]
IdOption = Annotated[
    str | None, typer.Option("--id", help="Column of ids; default: that of training, else row numbers.")
]
GroupOption = Annotated[
    str | None, typer.Option(help="Column of groups, for metrics of each; default: that of training.")
]
ThresholdOption = Annotated[
    float,
    typer.Option(min=0, max=1, help="From which probability on the second of two classes is predicted, or a label."),
]
