"""Sweeps on a cluster that is reached by its dashboard alone: `raybert submit`, and commands on its results there."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raybert import commands, terminal
from raybert.cli_completion import complete_sweep_file
from raybert.cli_options import RetryOption, SafeOption, SetOption, argument, option
from raybert.commands import submission
from raybert.errors import ExitCode
from raybert.sweeping.folder.failure_kinds import RETRY_CHOICES

if TYPE_CHECKING:
    from raybert.sweeping.submit.bundle import Bundle

ON_CLUSTER = ("status", "logs", "pause", "resume", "stop", "cancel", "results", "report")
"""Commands that run on a cluster by `--address`."""
DashboardOption = Annotated[
    str | None,
    option("Dashboard of the cluster, http://HOST:PORT; default: RAY_API_SERVER_ADDRESS, else http://127.0.0.1:8265."),
]
ThereOption = Annotated[
    str | None,
    option(
        "Dashboard of a cluster (http://HOST:PORT): the command runs there, on a job of `raybert submit` or a results "
        "folder there."
    ),
]


def submit(
    file: Annotated[Path | None, argument("Sweep file, or pretraining file (YAML).", complete_sweep_file)] = None,
    address: DashboardOption = None,
    output: Annotated[
        str | None,
        option("Results folder on the cluster, or a URL (s3://bucket/x); default: `~/raybert-runs/<name>` there."),
    ] = None,
    overrides: SetOption = None,
    safe: SafeOption = False,
    retry: RetryOption = None,
    detach: Annotated[bool, typer.Option("--detach", help="Do not follow its log.")] = False,
    attach: Annotated[str | None, typer.Option(help="Follow the log of a job that was submitted.")] = None,
) -> None:
    """Send a file to a cluster as a job, and follow its log: it goes on when this machine does not.

    A sweep file is run as by `raybert sweep`, a pretraining file as by `raybert study`. The file, local data and models
    that it names, and modules of your own that it names go with it, nothing else.
    Ctrl-C detaches. `raybert status`, `logs`, `results`, `report` and `stop` take the job with the same --address.
    """
    if (file is None) == (attach is None):
        raise typer.BadParameter("must be given, or --attach JOB in its place", param_hint="FILE")
    if retry is not None and retry not in RETRY_CHOICES:
        raise typer.BadParameter(f"must be one of {', '.join(RETRY_CHOICES)}, got {retry!r}", param_hint="--retry")
    if attach is not None:
        _follow(attach, address)
    assert file is not None
    job = commands.submit(
        file, address, output=output, overrides=overrides or (), retry=retry, safe=safe, told=_say_what_is_sent
    )
    terminal.echo(f"job {job.job_id} at {job.address}, results in {job.output} there", to_stderr=True)
    if detach:
        _say_detached(job.job_id, job.address)
        raise typer.Exit(ExitCode.DONE)
    _follow(job.job_id, job.address)


def _follow(job_id: str, address: str | None) -> None:
    """Print the log of a job to its end, and leave as its command has; Ctrl-C leaves the job alone."""
    try:
        code = commands.attach(job_id, address, told=terminal.echo, note=terminal.print_note)
    except KeyboardInterrupt:
        _say_detached(job_id, submission.dashboard(address))
        raise typer.Exit(ExitCode.DONE) from None
    raise typer.Exit(code)


def _say_what_is_sent(bundle: Bundle) -> None:
    terminal.echo("sends", to_stderr=True)
    for line in bundle.lines():
        terminal.echo(f"    {line}", to_stderr=True)
    for line in bundle.stays:
        terminal.print_note(line)


def _say_detached(job_id: str, address: str) -> None:
    for line in submission.detached_lines(job_id, address):
        terminal.echo(line, to_stderr=True)


def on_cluster(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command on a results folder with `--address`, by which it runs on the cluster that has the folder.

    A command that is not of use there (`ON_CLUSTER`) is returned as it is.
    """
    if command.__name__ not in ON_CLUSTER:
        return command
    signature = inspect.signature(command, eval_str=True)
    place = inspect.Parameter("address", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=ThereOption)
    parameters = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in signature.parameters.values()]

    @functools.wraps(command)
    def run(*, address: str | None = None, **given: Any) -> None:
        if address is None:
            command(**given)
            return
        words = _words_of(sys.argv[1:], command.__name__, address)
        target = _typed(words, str(next(iter(given.values()))))
        try:
            code = submission.run_there(words, target, address, told=terminal.echo, note=terminal.print_note)
        except KeyboardInterrupt:
            raise typer.Exit(ExitCode.INTERRUPTED) from None
        if command.__name__ == "report" and not code and "--json" not in words:
            path = submission.fetch_report(target, address)
            terminal.echo(f"fetched {path}")
        raise typer.Exit(code)

    del run.__wrapped__  # by which typer would see the signature without the option
    run.__signature__ = signature.replace(parameters=[*parameters, place])  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in [*parameters, place]} | {"return": None}
    return run


def _typed(words: list[str], target: str) -> str:
    """Return a path as it was typed: as a `Path` it has lost a slash at its end, and one of `s3://`."""
    return next(word for word in words if target in (word, str(Path(word))))


def _words_of(arguments: list[str], name: str, address: str) -> list[str]:
    """Return the words of a command as they were typed, from its name on and without the address."""
    words = arguments[arguments.index(name) :]
    if f"--address={address}" in words:
        words.remove(f"--address={address}")
    else:
        at = words.index("--address")
        del words[at : at + 2]
    return words
