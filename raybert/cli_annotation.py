"""The command that says which texts to label next."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from raybert import commands, terminal
from raybert.cli_completion import complete_strategy
from raybert.cli_options import FileArgument, JsonOption, SafeOption, SetOption, option
from raybert.commands import describe


def annotate(
    file: FileArgument,
    output: Annotated[Path, option("Folder of the rounds.")],
    budget: Annotated[float, option("Texts to label, or a share below 1 of those without a label.")],
    strategy: Annotated[
        str | None,
        option(
            "Strategy or label of the file, or any other strategy's name; default: typiclust until there are labels of "
            "two classes, then badge.",
            complete_strategy,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the model, ties and random draws.")] = 0,
    model: Annotated[
        Path | None, option("Folder of a trained model that is asked, in place of one trained on the labels.")
    ] = None,
    clusters: Annotated[
        int | None, option("So many clusters of embeddings stand for classes while no two classes have labels.")
    ] = None,
    overrides: SetOption = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="Import the model of your own that --model names (`model.kind`).")
    ] = False,
    safe: SafeOption = False,
    as_json: JsonOption = False,
) -> None:
    """Choose the texts that should be labelled next, and write them into a file with an empty column for the label.

    Write labels there, and give the same command again: it is the next round. Needs no Ray.
    """
    found = commands.annotate(
        file,
        output,
        budget=budget,
        strategy=strategy,
        seed=seed,
        model=model,
        clusters=clusters,
        overrides=overrides or (),
        trust=trust,
        safe=safe,
        progress=None if as_json else "auto",
    )
    if as_json:
        terminal.print_json(describe.annotate_document(found))
    else:
        terminal.print_round(found)
