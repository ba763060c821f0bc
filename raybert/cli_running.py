"""The commands on a sweep that runs, or has run: how it stands, what its trials say, and how to steer it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from raybert import commands, terminal
from raybert.cli_completion import complete_results_folder, complete_trial
from raybert.cli_options import AddressOption, FolderArgument, JsonOption, argument, option
from raybert.commands import describe


def status(
    folder: FolderArgument,
    as_json: JsonOption = False,
) -> None:
    """Print how a sweep stands, from any terminal: who runs it, what is done, what runs, what failed."""
    found = commands.status(folder)
    if as_json:
        terminal.print_json(describe.status_document(found))
        return
    terminal.print_status(found)


def logs(
    folder: FolderArgument,
    trial: Annotated[
        str | None,
        argument(
            "Trial: its id or the beginning of it, a strategy, or STRATEGY-sSEED; default: those at work, else what "
            "failed, else what ended last.",
            complete_trial,
        ),
    ] = None,
    follow: Annotated[
        bool,
        typer.Option(
            "--follow", "-f", help="Go on with what is written next, until the sweep (or the one trial) ends."
        ),
    ] = False,
    lines: Annotated[
        int | None,
        typer.Option("--lines", "-n", min=0, help="Last lines of each; default: all of one trial, 10 of several."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Print the logs of trials, from any terminal: what each trains on, its evaluations, checkpoints and errors."""
    if as_json and follow:
        raise typer.BadParameter("must be left out with --json", param_hint="--follow")
    if not follow:
        shown = commands.logs(folder, trial, lines=lines)
        if as_json:
            terminal.print_json(describe.logs_document(folder, shown))
        else:
            terminal.print_logs(shown)
        return
    try:
        terminal.print_log_lines(commands.follow_logs(folder, trial, lines=lines, note=terminal.print_note))
    except KeyboardInterrupt:  # the way to leave it
        raise typer.Exit from None


def pause(folder: FolderArgument) -> None:
    """Make a running sweep wait: its trials save and release their resources. `raybert resume` goes on."""
    commands.pause(folder)
    terminal.echo(f"pausing; continue with:  raybert resume {folder}")


def resume(folder: FolderArgument) -> None:
    """Make a paused sweep go on."""
    commands.resume(folder)
    terminal.echo("resumed")


def stop(folder: FolderArgument) -> None:
    """End a running sweep: its trials save, and the command that started it continues it another time."""
    commands.stop(folder)
    terminal.echo("stopping: running trials save")


def cancel(folder: FolderArgument) -> None:
    """End a running sweep at once; running trials lose what they did since their last checkpoint."""
    commands.cancel(folder)
    terminal.echo("cancelled")


def doctor(
    address: AddressOption = None,
    output: Annotated[
        Path,
        option(
            "Where results would go (a folder, or s3://bucket/runs): every node writes there; default: `runs`.",
            complete_results_folder,
        ),
    ] = Path("runs"),
    trial: Annotated[bool, typer.Option(help="Train twenty steps on a node of each kind.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Examine this machine, or every node of a cluster: what sweeps need, and what to do about what is missing.

    Versions, CPUs, memory, shared memory, GPUs, disks, storage, limits, proxies, clocks, the hub, and a short trial.
    Ray is started if it has to be, and nothing is left behind.
    """
    told = (lambda finding: None) if as_json else terminal.print_finding
    found = commands.doctor(address, output=output, trial=trial, told=told)
    if as_json:
        terminal.print_json(describe.doctor_document(found))
    else:
        terminal.print_diagnosis(found)
    raise typer.Exit(found.exit_code)


COMMANDS = (status, logs, pause, resume, stop, cancel)
"""In the order of the help."""
