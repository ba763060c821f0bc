"""The commands on pretraining files: study, tokenizer, pretrain, crosseval, probe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from raybert import commands, terminal
from raybert.cli_completion import complete_results_folder, complete_sweep_file, completer
from raybert.cli_options import (
    AddressOption,
    JsonOption,
    SafeOption,
    SetOption,
    argument,
    check_retry_option,
    option,
)
from raybert.commands import describe
from raybert.sweeping.folder.failure_kinds import KINDS, RETRY_CHOICES

PretrainingFileArgument = Annotated[Path, argument("Pretraining file (YAML).", complete_sweep_file)]
StudyOption = Annotated[
    Path | None, option("Folder of the study, with its models; default: `runs/<name>`.", complete_results_folder)
]
RetryModelsOption = Annotated[
    str,
    typer.Option(
        "--retry",
        help="Which of the models that failed are tried again, from their last checkpoint: failed (all of them), or "
        f"only those that failed by {', '.join(KINDS)}.",
        autocompletion=completer(*RETRY_CHOICES),
    ),
]


def tokenizer(
    file: PretrainingFileArgument,
    output: Annotated[Path | None, option("Folder for the tokenizer; default: `runs/<name>/tokenizer`.")] = None,
    overrides: SetOption = None,
    safe: SafeOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train the tokenizer of a pretraining file, and print how it cuts the corpora: the same on every machine.

    Pieces per word (fertility), unknown pieces, and words in one piece, of every corpus and split.
    """
    found = commands.tokenizer(file, output=output, overrides=overrides or (), safe=safe)
    if as_json:
        terminal.print_json(describe.tokenizer_document(found))
    else:
        terminal.print_tokenizer(found)


def pretrain(
    file: PretrainingFileArgument,
    output: Annotated[Path | None, option("Folder of the study; default: `runs/<name>`.")] = None,
    overrides: SetOption = None,
    safe: SafeOption = False,
    corpus: Annotated[
        list[str] | None, typer.Option(help="Only models of this corpus; repeatable.", show_default=False)
    ] = None,
    seed: Annotated[
        list[int] | None, typer.Option(min=0, help="Only this seed; repeatable.", show_default=False)
    ] = None,
    address: AddressOption = None,
    retry: RetryModelsOption = "failed",
    as_json: JsonOption = False,
) -> None:
    """Pretrain a model of every corpus and seed of a pretraining file, as many at once as fit.

    The same command again continues interrupted models exactly, leaves finished ones alone, and tries failed ones
    again.
    """
    check_retry_option(retry)
    found = commands.pretrain(
        file,
        output=output,
        overrides=overrides or (),
        safe=safe,
        corpora=corpus or (),
        seeds=seed or (),
        address=address,
        retry=retry,
        progress="stderr" if as_json else "auto",
    )
    if as_json:
        terminal.print_json(describe.pretrain_document(found))
    else:
        terminal.print_pretrained(found)
    raise typer.Exit(found.exit_code)


def study(
    file: PretrainingFileArgument,
    output: Annotated[Path | None, option("Folder of the study; default: `runs/<name>`.")] = None,
    overrides: SetOption = None,
    safe: SafeOption = False,
    address: AddressOption = None,
    retry: RetryModelsOption = "failed",
    as_json: JsonOption = False,
) -> None:
    """Do all that a pretraining file asks for: tokenizer, models, cross-evaluation, probes, and one page of them.

    It is `pretrain`, `crosseval`, `probe` and `report` one after the other. The same command again goes on where it was
    interrupted: nothing is trained or measured twice.
    """
    check_retry_option(retry)
    found = commands.study(
        file,
        output=output,
        overrides=overrides or (),
        safe=safe,
        address=address,
        retry=retry,
        progress="stderr" if as_json else "auto",
        told=_say,
    )
    if as_json:
        terminal.print_json(describe.study_document(found.results, found.models.failures))
    else:
        terminal.print_pretrained(found.models)
        terminal.print_study(found.results)
    raise typer.Exit(found.models.exit_code)


def crosseval(
    file: PretrainingFileArgument,
    output: StudyOption = None,
    overrides: SetOption = None,
    safe: SafeOption = False,
    address: AddressOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure how surprised each model is by each corpus, with intervals over documents and seeds.

    Perplexity of masked words, the same for every model, and pseudo-perplexity; pairs of models with Holm; in and out
    of the domain; the corpora that a model knows best and worst. Tables and pictures go to `crosseval/` of the study.
    """
    found = commands.crosseval(file, output=output, overrides=overrides or (), safe=safe, told=_say)
    if as_json:
        terminal.print_json(describe.crosseval_document(found))
    else:
        terminal.print_cross_evaluation(found)


def probe(
    file: PretrainingFileArgument,
    output: StudyOption = None,
    overrides: SetOption = None,
    safe: SafeOption = False,
    as_json: JsonOption = False,
) -> None:
    """Ask models what they fill into templates, and which of two sentences they prefer, with intervals and tests.

    Of each model the share of prompts that prefer each group of words, differences of log-probabilities, and the most
    probable pieces. Tables and pictures go to `probes/` of the study.
    """
    found = commands.probe(file, output=output, overrides=overrides or (), safe=safe, told=_say)
    if as_json:
        terminal.print_json(describe.probe_document(found))
    else:
        terminal.print_probes(found)


def _say(line: str) -> None:
    terminal.echo(line, to_stderr=True)


COMMANDS = (tokenizer, crosseval, probe)
"""In the order of the help; `pretrain` and `study`, whose exit codes say more, come behind them."""
