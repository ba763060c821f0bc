"""Arguments and options of the command line that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from raybert.sweeping.folder.failure_kinds import KINDS


def argument(text: str) -> Any:
    """Return an argument with its help, which also says what it is by default."""
    return typer.Argument(help=text, show_default=False)


def option(text: str) -> Any:
    """Return an option with its help, which also says what it is by default."""
    return typer.Option(help=text, show_default=False)


FileArgument = Annotated[Path, argument("Sweep file (YAML).")]
FolderArgument = Annotated[Path, argument("Results folder of a sweep.")]
TargetArgument = Annotated[Path, argument("Results folder (its best model), folder of a trial, or folder of a model.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the file by its dotted path; repeatable."),
]
AddressOption = Annotated[
    str | None,
    typer.Option(help="Ray cluster to join, e.g. `auto`; without it Ray is started on this machine."),
]
RetryOption = Annotated[
    str | None,
    typer.Option(
        help="Run failed trials again, from their last checkpoint: `failed` or `all` of them, or those of a kind: "
        + "; ".join(f"`{kind}` ({text})" for kind, text in KINDS.items())
        + "."
    ),
]
StoreOption = Annotated[
    Path | None, option("Folder of the store; default: the one that the sweeps of this machine share.")
]
DataOption = Annotated[
    Path | None,
    option("Labelled file (parquet, csv, jsonl, ...) or folder of splits; default: what the run itself held out."),
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
    float, typer.Option(min=0, max=1, help="Two classes: the second is predicted from this probability on.")
]
