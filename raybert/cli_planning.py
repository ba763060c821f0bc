"""The command that says what a file asks for and what it will take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from raybert import commands, terminal
from raybert.cli_completion import complete_results_folder
from raybert.cli_options import AddressOption, FileArgument, JsonOption, SafeOption, SetOption, option
from raybert.commands import describe
from raybert.commands.planning import is_pretraining_file


def plan(
    file: FileArgument,
    output: Annotated[
        Path | None,
        option("Results folder, for what is finished already; default: `runs/<name>`.", complete_results_folder),
    ] = None,
    overrides: SetOption = None,
    safe: SafeOption = False,
    address: AddressOption = None,
    probe: Annotated[
        bool, typer.Option(help="Run a few steps of every model shape, and estimate time, compute and disk.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Print what a sweep file asks for, and what is left of it will take, from a probe of a few steps.

    Trials, examples, optimizer steps and signals; of a pretraining file models, words, steps and word pieces. Then wall
    time on this machine (or the cluster at --address) with a range, CPU- or GPU-hours, and disk. Nothing is kept of the
    probe.
    """
    if is_pretraining_file(file):
        study = commands.plan_study(
            file, output=output, overrides=overrides or (), safe=safe, address=address, probe=probe
        )
        if as_json:
            terminal.print_json(describe.plan_study_document(study))
        else:
            terminal.print_planned_study(study)
        problem = study.problem
    else:
        sweep = commands.plan(file, output=output, overrides=overrides or (), safe=safe, address=address, probe=probe)
        if as_json:
            terminal.print_json(describe.plan_document(sweep))
        else:
            terminal.print_plan(sweep)
        problem = sweep.problem
    if problem is not None:
        raise problem
