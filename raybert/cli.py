"""The command line: parse, call one function of `raybert.commands`, print."""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raybert import (
    cli_annotation,
    cli_cache,
    cli_models,
    cli_planning,
    cli_pretraining,
    cli_results,
    cli_running,
    cli_submit,
    commands,
    terminal,
)
from raybert.cli_completion import (
    complete_results_folder,
    complete_score_key,
    complete_strategy,
    complete_trial,
    completer,
)
from raybert.cli_options import (
    AddressOption,
    FileArgument,
    FolderArgument,
    JsonOption,
    LongJsonOption,
    RetryOption,
    SafeOption,
    SetOption,
    StoreOption,
    argument,
    check_retry_option,
    exit_codes,
    option,
)
from raybert.commands import describe
from raybert.config.track import TRACKERS
from raybert.errors import CacheWarning, ExitCode, RaybertError, RenamedWarning, StorageWarning, UntrustedCode
from raybert.refusals import refusal_in_words
from raybert.version import __version__

if TYPE_CHECKING:
    from raybert.analysis import Sweep
    from raybert.sweeping.single.reproduce import Reproduction

app = typer.Typer(
    name="raybert",
    help="Which training examples are worth training on, and which selection strategy finds them?",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
listing = typer.Typer(
    cls=cli_results.OrFolder,
    help="List results folders (`raybert ls FOLDER` is `raybert ls sweeps FOLDER`), and what raybert knows.",
)
app.add_typer(listing, name="ls")

scores = typer.Typer(no_args_is_help=True, help="Show and free what scoring has computed.")
app.add_typer(scores, name="scores")

app.add_typer(cli_cache.app, name="cache")

_STRATEGY = "Strategy or label of the file, or any other strategy's name."
_python_shows = warnings.showwarning
_CTRL_C = 130
"""What typer makes of a KeyboardInterrupt."""


def _show_version(is_wanted: bool) -> None:
    if is_wanted:
        terminal.echo(f"raybert {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks instead of one line.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    if debug:
        os.environ["RAYBERT_DEBUG"] = "1"


@app.command(epilog=exit_codes("sweep"))
def sweep(
    file: FileArgument,
    output: Annotated[
        Path | None, option("Results folder; default: `runs/<name of the sweep>`.", complete_results_folder)
    ] = None,
    overrides: SetOption = None,
    safe: SafeOption = False,
    address: AddressOption = None,
    retry: RetryOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
    as_json: LongJsonOption = False,
) -> None:
    """Run a sweep file: train every strategy x seed x grid point, compare them, write tables and plots.

    The same command again continues an interrupted sweep or extends a finished one.
    """
    check_retry_option(retry)
    if dry_run:
        planned = commands.plan(file, overrides=overrides or (), safe=safe, probe=False)
        if as_json:
            terminal.print_json(describe.plan_document(planned))
        else:
            terminal.print_plan(planned)
        return
    results = commands.sweep(
        file,
        output=output,
        overrides=overrides or (),
        safe=safe,
        address=address,
        retry=retry,
        progress="stderr" if as_json else "auto",
    )
    if as_json:
        terminal.print_json(describe.sweep_document(results))
    else:
        terminal.print_results(results)
    raise typer.Exit(_exit_code(results))


@app.command(epilog=exit_codes("train"))
def train(
    file: FileArgument,
    strategy: Annotated[str, typer.Option(help=_STRATEGY, autocompletion=complete_strategy)] = "all",
    seed: Annotated[int, typer.Option(min=0, help="Of head, order, ties and random draws.")] = 0,
    output: Annotated[
        Path | None, option("Results folder; default: `runs/<name of the sweep>-train`.", complete_results_folder)
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run that is in the folder.")] = False,
    resume_from: Annotated[
        Path | None,
        option("Begin from a checkpoint that `train.checkpoints` has kept: all of its state; only lengths may differ."),
    ] = None,
    weights_only: Annotated[
        bool, typer.Option("--weights-only", help="Of --resume-from, or any model of a run, take the weights alone.")
    ] = False,
    overrides: SetOption = None,
    safe: SafeOption = False,
    address: AddressOption = None,
    as_json: LongJsonOption = False,
) -> None:
    """Train one model from a sweep file: one strategy (default: on all examples), one seed, no grid.

    The results folder is that of a sweep, for `evaluate`, `predict` and `report`.
    """
    results = commands.train(
        file,
        strategy=strategy,
        seed=seed,
        output=output,
        resume=resume,
        resume_from=resume_from,
        weights_only=weights_only,
        overrides=overrides or (),
        safe=safe,
        address=address,
        progress="stderr" if as_json else "auto",
    )
    if as_json:
        terminal.print_json(describe.train_document(results))
    else:
        terminal.print_run(results)
    raise typer.Exit(_exit_code(results))


@app.command(epilog=exit_codes("download"))
def download(
    file: FileArgument, overrides: SetOption = None, safe: SafeOption = False, as_json: JsonOption = False
) -> None:
    """Fetch the data and the models that a sweep file names, for later work without a network.

    What is on this machine already is found and not fetched again.
    """
    told = None if as_json else terminal.print_download
    fetched = commands.download(file, overrides=overrides or (), safe=safe, progress=told)
    if as_json:
        terminal.print_json(describe.download_document(fetched))
    else:
        terminal.print_downloads(fetched)
    raise typer.Exit(fetched.exit_code)


@app.command(epilog=exit_codes("reproduce"))
def reproduce(
    target: Annotated[
        Path,
        argument(
            "Folder of a trial (FOLDER/trials/ID) or model (FOLDER/models/NAME), or results folder (FOLDER ID).",
            complete_results_folder,
        ),
    ],
    trial: Annotated[str | None, argument("Trial id, or its beginning, in a results folder.", complete_trial)] = None,
    output: Annotated[Path | None, option("Folder of the new run; default: reproductions/ID of the sweep.")] = None,
    address: AddressOption = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="Let code run that the folder names; without it you are asked, or it ends.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Run one trial of a sweep, or one model of a study, again, alone, and compare bit by bit.

    A failed trial should fail with the same error, a proxy is a trial like any other.
    """

    def again(*, trust: bool) -> Reproduction:
        return commands.reproduce(
            target, trial, output=output, address=address, trust=trust, progress=None if as_json else "auto"
        )

    try:
        found = again(trust=trust)
    except UntrustedCode as error:
        if as_json or not terminal.is_trusted(error.names):
            raise
        found = again(trust=True)
    if as_json:
        terminal.print_json(describe.reproduce_document(found))
    else:
        terminal.print_reproduction(found)
    raise typer.Exit(found.exit_code)


app.command()(cli_models.evaluate)
app.command()(cli_models.predict)


app.command()(cli_planning.plan)


@app.command()
def validate(
    file: FileArgument,
    overrides: SetOption = None,
    safe: SafeOption = False,
    no_import: Annotated[
        bool, typer.Option("--no-import", help="Check all but `module:attribute`, of which no code runs.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check a sweep file or a pretraining file: its keys, and the paths, columns and local encoders that it names.

    Data are not loaded. A pretraining file is one with `corpora`.
    """
    size = commands.validate(file, overrides=overrides or (), imports=not no_import, safe=safe)
    if as_json:
        terminal.print_json(describe.validate_document(file, size))
        return
    terminal.echo(f"{file}: valid, {size}")


@app.command()
def render(file: FileArgument, overrides: SetOption = None) -> None:
    """Print a sweep file or a pretraining file fully resolved: every key with its value."""
    typer.echo(commands.render(file, overrides=overrides or ()), nl=False)


@app.command()
def schema() -> None:
    """Print the JSON Schema of sweep files and pretraining files, for editors."""
    typer.echo(json.dumps(commands.schema(), indent=2))


@app.command(epilog=exit_codes("select"))
def select(
    file: FileArgument,
    strategy: Annotated[str, option(_STRATEGY, complete_strategy)],
    output: Annotated[Path, option("Where the subset goes: .parquet, .csv or .jsonl.")],
    budget: Annotated[str | None, option("Examples, or a fraction of the pool; default: the file's.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of ties, random draws and proxies.")] = 0,
    overrides: SetOption = None,
    safe: SafeOption = False,
    address: AddressOption = None,
    as_json: JsonOption = False,
) -> None:
    """Score the pool and write the subset that a strategy chooses, for any other trainer. Nothing is trained on it."""
    subset = commands.select_subset(
        file,
        strategy,
        budget=budget,
        seed=seed,
        output=output,
        overrides=overrides or (),
        safe=safe,
        address=address,
        progress=None if as_json else "auto",
    )
    if as_json:
        terminal.print_json(describe.select_document(subset, output))
    else:
        terminal.print_subset(subset, output)


app.command()(cli_annotation.annotate)


@scores.command("ls")
def list_scores(store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Print what the score store holds: key, scorer, rows, size, and what computing it took."""
    found = commands.list_scores(store)
    if as_json:
        terminal.print_json(describe.scores_document(found))
        return
    terminal.print_scores(found.entries, found.size_bytes, found.folder)


@scores.command("rm")
def remove_scores(
    keys: Annotated[list[str] | None, argument("Keys, or beginnings of keys.", complete_score_key)] = None,
    everything: Annotated[bool, typer.Option("--all", help="Everything.")] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete signals; what a sweep needs again is computed again."""
    if bool(keys) == everything:
        raise typer.BadParameter("give keys, or --all")
    removed = commands.remove_scores(keys or (), everything=everything, store=store)
    if as_json:
        terminal.print_json(describe.scores_rm_document(removed))
        return
    terminal.echo(f"{len(removed.entries)} signals removed, {removed.size_bytes / 2**20:,.1f} MiB freed")


@app.command(epilog=exit_codes("track"))
def track(
    folder: FolderArgument,
    to: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Tracker ({', '.join(TRACKERS)}); repeatable; default: those of the folder's own file.",
            autocompletion=completer(*TRACKERS),
            show_default=False,
        ),
    ] = None,
    overrides: SetOption = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="Send to servers and write to folders that the folder's own file names.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Send what trackers do not have yet of a results folder: trials, tables, plots, the best model.

    Keys of trackers are those of the section `track`: `--set track.mlflow.experiment=mine`.
    """
    found = commands.track(folder, to or (), overrides=overrides or (), trust=trust, note=terminal.print_note)
    if as_json:
        terminal.print_json(describe.track_document(found))
    else:
        terminal.echo(str(found))
    raise typer.Exit(found.exit_code)


for _command in (*cli_results.COMMANDS, *cli_running.COMMANDS, *cli_pretraining.COMMANDS):
    app.command()(cli_submit.on_cluster(_command))
for _ending in (cli_pretraining.pretrain, cli_running.doctor, cli_pretraining.study, cli_submit.submit):
    app.command(epilog=exit_codes(_ending.__name__))(_ending)
app.command()(cli_models.explain)


listing.command("sweeps")(cli_results.list_sweeps)


@listing.command("strategies")
def list_strategies(as_json: JsonOption = False) -> None:
    """Print every selection strategy: what it does, needs, costs and takes."""
    rows = commands.list_strategies()
    if as_json:
        terminal.print_json(describe.strategies_document(rows))
    else:
        terminal.print_strategies(rows)


@listing.command("signals")
def list_signals(as_json: JsonOption = False) -> None:
    """Print every signal that strategies read: its shape, the runs that train for it, its scorer, its price."""
    rows = commands.list_signals()
    if as_json:
        terminal.print_json(describe.signals_document(rows))
    else:
        terminal.print_signals(rows)


def main() -> None:
    """Run the command line; a mistake of the user's is one line and its exit code, an old name a note."""
    warnings.showwarning = _show_warning  # type: ignore[assignment]  # the arguments after the first two go on as they are
    warnings.simplefilter("always", RenamedWarning)
    warnings.simplefilter("always", StorageWarning)
    try:
        app(standalone_mode=True)
    except RaybertError as error:
        if os.environ.get("RAYBERT_DEBUG"):
            raise
        terminal.print_error(str(error))
        sys.exit(error.exit_code)
    except (OSError, MemoryError, RuntimeError) as error:
        words = refusal_in_words(error)  # no mistake of raybert's, so no traceback, wherever it comes from
        if os.environ.get("RAYBERT_DEBUG") or words is None:
            raise
        terminal.print_error(words)
        sys.exit(ExitCode.BAD_INPUT)
    except SystemExit as ended:
        if ended.code != _CTRL_C:
            raise
        terminal.echo(_after_cancelling(), to_stderr=True)
        sys.exit(ExitCode.INTERRUPTED)


def _after_cancelling() -> str:
    """Return what to say after a second Ctrl-C; only what trains has something to continue."""
    words = sys.argv[1:3]  # after --debug, at most
    if not {"sweep", "train", "pretrain", "study"} & set(words):
        return "stopped at once"
    return f"stopped at once; continue with:  {terminal.command_again(*['--resume'] * ('train' in words))}"


def _show_warning(message: Warning | str, category: type[Warning], *where: Any) -> None:
    """Print as a note that a name is an old one or a cache cannot be written, every other warning as Python does."""
    if issubclass(category, (CacheWarning, RenamedWarning, StorageWarning)):
        terminal.print_note(str(message))
    else:
        _python_shows(message, category, *where)


def _exit_code(results: Sweep) -> ExitCode:
    assert results.outcome is not None
    return results.outcome.exit_code


if __name__ == "__main__":
    main()
