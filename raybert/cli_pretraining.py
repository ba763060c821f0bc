"""The commands on pretraining files: tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from raybert import commands, terminal
from raybert.cli_completion import complete_sweep_file
from raybert.cli_options import JsonOption, SetOption, argument, option
from raybert.commands import describe

PretrainingFileArgument = Annotated[Path, argument("Pretraining file (YAML).", complete_sweep_file)]


def tokenizer(
    file: PretrainingFileArgument,
    output: Annotated[Path | None, option("Folder for the tokenizer; default: `runs/<name>/tokenizer`.")] = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train the tokenizer of a pretraining file, and print how it cuts the corpora: the same on every machine.

    Pieces per word (fertility), unknown pieces, and words in one piece, of every corpus and split.
    """
    found = commands.tokenizer(file, output=output, overrides=overrides or ())
    if as_json:
        terminal.print_json(describe.tokenizer_document(found))
    else:
        terminal.print_tokenizer(found)


COMMANDS = (tokenizer,)
"""In the order of the help."""
