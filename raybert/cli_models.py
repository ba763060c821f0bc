"""The commands on a trained model: evaluate, predict, explain."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from raybert import commands, terminal
from raybert.cli_completion import complete_trial, completer
from raybert.cli_options import (
    DataOption,
    DocumentOption,
    FolderArgument,
    GroupOption,
    IdOption,
    JsonOption,
    LabelOption,
    TargetArgument,
    TextOption,
    TextPairOption,
    ThresholdOption,
    argument,
    option,
)
from raybert.commands import describe
from raybert.errors import ConfigError

_SPLITS = ("train", "validation", "test")


def evaluate(
    target: TargetArgument,
    data: DataOption = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="Split of the sweep, or of the folder in --data; default: test, with --checkpoints validation.",
            autocompletion=completer(*_SPLITS),
        ),
    ] = None,
    text: TextOption = None,
    text_pair: TextPairOption = None,
    label: LabelOption = None,
    group: GroupOption = None,
    by: Annotated[
        list[str] | None,
        option("Column of what is evaluated: metrics of each of its values, with intervals; may be given again."),
    ] = None,
    quantiles: Annotated[
        int | None, typer.Option(min=2, help="Put columns of numbers in --by together, into so many parts.")
    ] = None,
    id_column: IdOption = None,
    threshold: ThresholdOption = 0.5,
    resamples: Annotated[int, typer.Option(min=0, help="Bootstrap resamples behind the intervals; 0: none.")] = 1000,
    everything: Annotated[
        bool,
        typer.Option(
            "--all", help="Every strategy of a sweep over its seeds, on validation and test, into artifacts/."
        ),
    ] = False,
    trust: Annotated[
        bool,
        typer.Option(
            "--trust", help="Import what of your own the run names: metrics; the model with --data or --checkpoints."
        ),
    ] = False,
    checkpoints: Annotated[
        bool, typer.Option("--checkpoints", help="Compare the checkpoints that the run has kept, on validation.")
    ] = False,
    output: Annotated[Path | None, option("Where it goes; default: evaluation/ of the sweep, or here.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Evaluate a trained model: every metric with its interval, by class and group, plots, predictions."""
    if everything:
        given = {"--data": data, "--by": by, "--group": group, "--threshold": None if threshold == 0.5 else threshold}
        for name, value in given.items():
            if value:
                raise ConfigError(
                    f"{name}: must be left out with --all, which evaluates what the trials have predicted"
                )
        every = commands.evaluate_all(target, output=output)
        if as_json:
            terminal.print_json(describe.evaluate_all_document(every))
        else:
            terminal.print_all_evaluated(every)
        return
    from raybert.evaluation.find import default_folder

    folder = output or default_folder(target)
    if checkpoints:
        if any(each is not None for each in (data, text, text_pair, label, group, id_column, by, quantiles)):
            raise typer.BadParameter("checkpoints are measured on the run's own data; leave out --data and its columns")
        measured = commands.evaluate_checkpoints(target, split=split or "validation", output=folder, trust=trust)
        if as_json:
            terminal.print_json(describe.checkpoints_document(measured, folder))
        else:
            terminal.print_checkpoints(measured, folder)
        return
    found = commands.evaluate(
        target,
        data,
        split=split or "test",
        text=text,
        text_pair=text_pair,
        label=label,
        group=group,
        by=by or (),
        quantiles=quantiles,
        id=id_column,
        threshold=threshold,
        resamples=resamples,
        trust=trust,
        output=folder,
    )
    if as_json:
        terminal.print_json(describe.evaluate_document(found, folder))
    else:
        terminal.print_evaluation(found, folder)


def predict(
    model: TargetArgument,
    file: Annotated[Path, argument("Texts: parquet, csv, tsv, jsonl, json, or txt with one text a line.")],
    output: Annotated[Path, option("Where the predictions go: .parquet, .csv or .jsonl.")],
    text: TextOption = None,
    text_pair: TextPairOption = None,
    id_column: IdOption = None,
    threshold: ThresholdOption = 0.5,
    trust: Annotated[
        bool, typer.Option("--trust", help="Import the model of your own that the folder names (`model.kind`).")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Predict a file of texts: a row per text with its class, the confidence, and the probability of every class."""
    frame = commands.predict(
        model, file, text=text, text_pair=text_pair, id=id_column, threshold=threshold, trust=trust, output=output
    )
    if as_json:
        terminal.print_json(describe.predict_document(frame, output))
    else:
        terminal.print_predictions(frame, output)


def explain(
    folder: FolderArgument,
    split: Annotated[str, typer.Option(help="train, validation or test.", autocompletion=completer(*_SPLITS))] = "test",
    documents: DocumentOption = None,
    num_documents: Annotated[int, typer.Option(min=1, help="How many, if no row is given.")] = 3,
    given: Annotated[
        list[str] | None,
        typer.Option("--given", help="A text for a token model, in place of rows; repeatable.", show_default=False),
    ] = None,
    chunks: Annotated[int, typer.Option(min=1, help="Chunks printed per query of an IRIS model.")] = 2,
    layer: Annotated[int | None, option("Layer of a token model, from 0; default: the last one.")] = None,
    trial: Annotated[str | None, option("Trial id; default: the best one.", complete_trial)] = None,
    output: Annotated[Path | None, option("Where all rows go: .parquet, .csv or .jsonl.")] = None,
    plots: Annotated[Path | None, option("Folder where pictures go; default: none are drawn.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Print what a model read: chunks that queries of IRIS retrieve, or word pieces that a token model attends to."""
    found = commands.explain(
        folder,
        texts=given or None,
        split=split,
        documents=documents,
        num_documents=num_documents,
        chunks=chunks,
        layer=layer,
        trial=trial,
        output=output,
        plots=plots,
    )
    if as_json:
        terminal.print_json(describe.explain_document(found, output, plots))
        return
    terminal.print_explanation(found, chunks)
    for what, place in ((f"{len(found.documents):,} rows", output), ("pictures", plots)):
        if place is not None:
            terminal.echo(f"{what}: {place}")
