"""The command line: parse, call one function, print."""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from raybert.config import RaybertConfig, dump_yaml, load_config
from raybert.errors import ConfigError, RaybertError, RenamedWarning
from raybert.sweeping.driver.control import send_command
from raybert.sweeping.folder.failure_kinds import KINDS, RETRY_CHOICES
from raybert.terminal.console import command_again, print_notes, relative

if TYPE_CHECKING:
    from raybert.selection.store import ScoreStore

app = typer.Typer(
    name="raybert",
    help="Which training examples are worth training on, and which selection strategy finds them?",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
listing = typer.Typer(no_args_is_help=True, help="List what raybert knows.")
app.add_typer(listing, name="ls")

scores = typer.Typer(no_args_is_help=True, help="Show and free what scoring has computed.")
app.add_typer(scores, name="scores")

FileArgument = Annotated[Path, typer.Argument(help="Sweep file (YAML).", show_default=False)]
FolderArgument = Annotated[Path, typer.Argument(help="Results folder of a sweep.", show_default=False)]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the file by its dotted path; repeatable."),
]
AddressOption = Annotated[
    str | None,
    typer.Option(help="Ray cluster to join, e.g. `auto`; without it Ray is started on this machine."),
]
StoreOption = Annotated[
    Path | None,
    typer.Option(
        help="Folder of the store; default: the one that the sweeps of this machine share.", show_default=False
    ),
]
TargetArgument = Annotated[
    Path,
    typer.Argument(
        help="Results folder (its best model), folder of a trial, or folder of a model.", show_default=False
    ),
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
MISTAKE, CANCELLED = 2, 3
_python_shows = warnings.showwarning
_CTRL_C = 130
"""What typer makes of a KeyboardInterrupt."""


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks instead of one line.")] = False,
) -> None:
    if debug:
        os.environ["RAYBERT_DEBUG"] = "1"


@app.command()
def sweep(
    file: FileArgument,
    output: Annotated[
        Path | None,
        typer.Option(help="Results folder; default: runs/<name of the sweep>.", show_default=False),
    ] = None,
    overrides: SetOption = None,
    address: AddressOption = None,
    retry: Annotated[
        str | None,
        typer.Option(
            help="Run failed trials again, from their last checkpoint: `failed` or `all` of them, or those of a kind: "
            + "; ".join(f"`{kind}` ({text})" for kind, text in KINDS.items())
            + "."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
) -> None:
    """Run a sweep file: train every strategy x seed x grid point, compare them, write tables and plots.

    The same command again continues an interrupted sweep or extends a finished one.

    Exit codes: 0 all complete, 2 bad input, 3 interrupted (resumable), 4 some trials failed, 5 all failed.
    """
    from raybert.terminal.comparison import print_results
    from raybert.terminal.plan import print_plan
    from raybert.terminal.sweep_progress import sweep_progress

    if retry is not None and retry not in RETRY_CHOICES:
        raise typer.BadParameter(f"must be one of {', '.join(RETRY_CHOICES)}, got {retry!r}", param_hint="--retry")
    config = load_config(file, overrides or ())
    if dry_run:
        print_plan(config)
        return
    from raybert.sweeping.plan.placement import check_here

    check_here(config, address)  # before the imports that take seconds
    from raybert.sweeping.runner import run_sweep

    folder = output or Path("runs") / config.name
    with sweep_progress() as progress:
        outcome = run_sweep(
            config,
            folder,
            progress,
            source_text=file.read_text(encoding="utf-8"),
            address=address,
            retry=retry,
        )
    from raybert.analysis import publish_results

    print_results(outcome, publish_results(outcome.folder))
    raise typer.Exit(outcome.exit_code)


@app.command()
def train(
    file: FileArgument,
    strategy: Annotated[str, typer.Option(help="Strategy or label of the file, or any other strategy's name.")] = "all",
    seed: Annotated[int, typer.Option(min=0, help="Of head, order, ties and random draws.")] = 0,
    output: Annotated[
        Path | None,
        typer.Option(help="Results folder; default: runs/<name of the sweep>-train.", show_default=False),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run that is in the folder.")] = False,
    overrides: SetOption = None,
    address: AddressOption = None,
) -> None:
    """Train one model from a sweep file: one strategy (default: on all examples), one seed, no grid.

    The results folder is that of a sweep, for `evaluate`, `predict` and `report`.

    Exit codes: 0 complete, 2 bad input, 3 interrupted (`--resume` continues), 5 failed.
    """
    from raybert.sweeping.single.train import train_one
    from raybert.terminal.run import print_run
    from raybert.terminal.run_progress import run_progress

    config = load_config(file, overrides or ())
    with run_progress() as progress:
        outcome = train_one(
            config,
            strategy,
            seed,
            output or Path("runs") / f"{config.name}-train",
            progress,
            resume=resume,
            source_text=file.read_text(encoding="utf-8"),
            address=address,
        )
    from raybert.analysis import publish_results

    print_run(outcome, publish_results(outcome.folder))
    raise typer.Exit(outcome.exit_code)


@app.command()
def reproduce(
    target: Annotated[
        Path, typer.Argument(help="Folder of a trial (RUN/trials/ID), or results folder (RUN ID).", show_default=False)
    ],
    trial: Annotated[
        str | None, typer.Argument(help="Trial id, or its beginning, in a results folder.", show_default=False)
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder of the new run; default: RUN/reproductions/ID.", show_default=False)
    ] = None,
    address: AddressOption = None,
) -> None:
    """Run one trial of a sweep again, alone, from what its folder says, and compare bit by bit.

    A failed trial should fail with the same error, a proxy is a trial like any other.

    Exit codes: 0 bit-identical (or the same error), 1 different, 2 bad input, 3 interrupted.
    """
    from raybert.sweeping.single.reproduce import find_trial, reproduce_trial
    from raybert.terminal.reproduction import print_reproduction
    from raybert.terminal.run_progress import run_progress

    run, trial_id = find_trial(target, trial)
    with run_progress() as progress:
        found = reproduce_trial(run, trial_id, progress, output=output, address=address)
    print_reproduction(found)
    raise typer.Exit(found.exit_code)


@app.command()
def evaluate(
    target: TargetArgument,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Labelled file (parquet, csv, jsonl) or folder with a file per split; default: what the run itself "
            "held out.",
            show_default=False,
        ),
    ] = None,
    split: Annotated[str, typer.Option(help="Split of the run, or of the folder.")] = "test",
    text: TextOption = None,
    text_pair: TextPairOption = None,
    label: LabelOption = None,
    group: GroupOption = None,
    id_column: IdOption = None,
    threshold: ThresholdOption = 0.5,
    resamples: Annotated[int, typer.Option(min=0, help="Bootstrap resamples behind the intervals; 0: none.")] = 1000,
    output: Annotated[
        Path | None,
        typer.Option(help="Where it goes; default: evaluation/ in the run, or here.", show_default=False),
    ] = None,
) -> None:
    """Evaluate a trained model: every metric with its interval, by class and group, plots, predictions."""
    from raybert.evaluation.evaluate import Question, evaluate_target, write_answer
    from raybert.terminal.evaluation import format_evaluation

    columns = _given(text=text, text_pair=text_pair, label=label, group=group, id=id_column)
    question = Question(data, split, columns, threshold, resamples)
    answer = evaluate_target(target, question)
    console = Console()
    console.print(format_evaluation(answer.evaluation))
    print_notes(answer.notes)
    folder = output or (answer.target.run or Path.cwd()) / "evaluation"
    for plot in write_answer(answer, question, folder):
        typer.echo(f"plot: {relative(plot)}")
    typer.echo(f"metrics, tables, predictions: {relative(folder)}")


@app.command()
def predict(
    model: TargetArgument,
    file: Annotated[
        Path, typer.Argument(help="Texts: parquet, csv, jsonl, or txt with one text a line.", show_default=False)
    ],
    output: Annotated[
        Path, typer.Option(help="Where the predictions go: .parquet, .csv or .jsonl.", show_default=False)
    ],
    text: TextOption = None,
    text_pair: TextPairOption = None,
    id_column: IdOption = None,
    threshold: ThresholdOption = 0.5,
) -> None:
    """Predict a file of texts: a row per text with its class, the confidence, and the probability of every class."""
    from raybert.evaluation.evaluate import predict_file
    from raybert.files import check_frame_path, write_frame

    check_frame_path(output, "--output")
    columns = _given(text=text, text_pair=text_pair, id=id_column)
    frame, notes = predict_file(model, file, columns=columns, threshold=threshold)
    write_frame(frame, output)
    print_notes(notes)
    typer.echo(f"{len(frame):,} texts: {relative(output)}")
    counts = frame["predicted"].value_counts()
    typer.echo("predicted: " + ", ".join(f"{name} {count:,}" for name, count in counts.items()))


@app.command()
def plan(
    file: FileArgument,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Results folder, for what is finished already; default: runs/<name of the sweep>.", show_default=False
        ),
    ] = None,
    overrides: SetOption = None,
    address: AddressOption = None,
    probe: Annotated[
        bool, typer.Option(help="Run a few steps of every model shape, and estimate time, compute and disk.")
    ] = True,
) -> None:
    """Print what a sweep file asks for, and what is left of it will take, from a probe of a few steps.

    Trials, examples, optimizer steps and signals; then wall time on this machine (or the cluster at --address) with a
    range, CPU- or GPU-hours, and disk. Nothing is kept of the probe.
    """
    from raybert.terminal.plan import print_plan

    print_plan(load_config(file, overrides or ()), output, address=address, probe=probe)


@app.command()
def validate(file: FileArgument, overrides: SetOption = None) -> None:
    """Check a sweep file, without loading its data."""
    from raybert.sweeping.plan.check_space import count_suggestions
    from raybert.sweeping.plan.design import build_strategies
    from raybert.sweeping.plan.grid import expand_grid

    config = load_config(file, overrides or ())
    count = len(build_strategies(config)) * len(expand_grid(config)) * len(config.sweep.seeds)
    search = f", after up to {count_suggestions(config)} suggestions of the search" if config.sweep.tune else ""
    typer.echo(f"{file}: valid, up to {count} trials{search}")


@app.command()
def render(file: FileArgument, overrides: SetOption = None) -> None:
    """Print a sweep file fully resolved: every key with its value."""
    typer.echo(dump_yaml(load_config(file, overrides or ())), nl=False)


@app.command()
def schema() -> None:
    """Print the JSON Schema of sweep files, for editors."""
    typer.echo(json.dumps(RaybertConfig.model_json_schema(), indent=2))


@app.command()
def select(
    file: FileArgument,
    strategy: Annotated[
        str, typer.Option(help="Strategy or label of the file, or any other strategy's name.", show_default=False)
    ],
    output: Annotated[Path, typer.Option(help="Where the subset goes: .parquet, .csv or .jsonl.", show_default=False)],
    budget: Annotated[
        str | None, typer.Option(help="Examples, or a fraction of the pool; default: the file's.", show_default=False)
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of ties, random draws and proxies.")] = 0,
    overrides: SetOption = None,
    address: AddressOption = None,
) -> None:
    """Score the pool and write the subset that a strategy chooses, for any other trainer. Nothing is trained on it."""
    from raybert.files import check_frame_path, write_frame
    from raybert.sweeping.single.select import choose_subset
    from raybert.terminal.sweep_progress import sweep_progress

    check_frame_path(output, "--output")
    if budget is not None:
        overrides = [*(overrides or ()), f"selection.budget={budget}"]
    config = load_config(file, overrides or ())
    with sweep_progress() as progress:
        subset = choose_subset(config, strategy, seed, progress, address=address)
    write_frame(subset.frame, output)
    chosen = len(subset.frame)
    typer.echo(f"{chosen:,} of {subset.pool_size:,} examples, best first: {output}")
    counts = subset.frame["label"].value_counts().sort_index()
    typer.echo("classes: " + ", ".join(f"{label} {count:,}" for label, count in counts.items()))
    if subset.refilled:
        typer.echo(f"note: filters left too few; the last {subset.refilled:,} were taken back from what they dropped")
    if subset.conflicts is not None and len(subset.conflicts):
        path = output.with_name(f"{output.stem}.conflicts.csv")
        subset.conflicts.to_csv(path, index=False)
        typer.echo(f"note: {len(subset.conflicts):,} pairs of near-duplicates have different labels: {path}")
    if subset.signal_seconds:
        typer.echo(f"signals cost {subset.signal_seconds:,.1f} s of computing, once; they are kept in the score store")


@scores.command("ls")
def list_scores(store: StoreOption = None) -> None:
    """Print what the score store holds: key, scorer, rows, size, and what computing it took."""
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for column in ("key", "scorer", "rows", "size", "seconds", "parameters"):
        table.add_column(column, justify="right" if column in ("rows", "size", "seconds") else "left")
    entries = list(_store(store).entries())
    for entry in entries:
        done = entry.completion
        identity = {key: value for key, value in entry.identity.items() if key not in ("scorer", "data")}
        table.add_row(
            entry.key,
            str(entry.identity.get("scorer", "?")),
            f"{done['num_rows']:,}" if done else "unfinished",
            f"{entry.size_bytes / 2**20:,.1f} MiB",
            f"{done['seconds']:,.1f}" if done else "",
            json.dumps(identity),
        )
    Console().print(table)
    size = sum(entry.size_bytes for entry in entries) / 2**20
    typer.echo(f"{len(entries)} signals, {size:,.1f} MiB in {_store(store).folder}")


@scores.command("rm")
def remove_scores(
    keys: Annotated[list[str] | None, typer.Argument(help="Keys, or beginnings of keys.", show_default=False)] = None,
    everything: Annotated[bool, typer.Option("--all", help="Everything.")] = False,
    store: StoreOption = None,
) -> None:
    """Delete signals; what a sweep needs again is computed again."""
    if bool(keys) == everything:
        raise typer.BadParameter("give keys, or --all")
    found = _store(store)
    known = {entry.key: entry.size_bytes for entry in found.entries()}
    chosen: list[str] = list(known) if everything else []
    for prefix in keys or ():
        matches = [key for key in known if key.startswith(prefix)]
        if len(matches) != 1:
            raise ConfigError(
                f"{prefix}: must be the beginning of one key, got {len(matches)}; see `raybert scores ls`"
            )
        chosen += matches
    for key in chosen:
        found.remove(key)
    typer.echo(f"{len(chosen)} signals removed, {sum(known[key] for key in chosen) / 2**20:,.1f} MiB freed")


@app.command()
def report(folder: Annotated[Path, typer.Argument(help="Results folder of a sweep.")]) -> None:
    """Write tables and plots of a results folder again, and print the comparison."""
    from raybert.analysis import publish_results
    from raybert.terminal.comparison import print_comparison
    from raybert.terminal.failures import print_failures

    results = publish_results(folder)
    print_comparison(results, Console())
    print_failures(results)


@app.command()
def status(
    folder: FolderArgument,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Print how a sweep stands, from any terminal: who runs it, what is done, what runs, what failed."""
    from raybert.sweeping.driver.status import read_status
    from raybert.terminal.status import print_status

    found = read_status(folder)
    if as_json:
        typer.echo(json.dumps(found.to_json(), indent=1))
    else:
        print_status(found)


@app.command()
def pause(folder: FolderArgument) -> None:
    """Make a running sweep wait: its trials save and give their resources back. `raybert resume` goes on."""
    send_command(folder, "pause")
    typer.echo(f"pausing; continue with:  raybert resume {folder}")


@app.command()
def resume(folder: FolderArgument) -> None:
    """Make a paused sweep go on."""
    send_command(folder, "resume")
    typer.echo("resumed")


@app.command()
def stop(folder: FolderArgument) -> None:
    """End a running sweep: its trials save, and the command that started it continues it another time."""
    send_command(folder, "stop")
    typer.echo("stopping: running trials save")


@app.command()
def cancel(folder: FolderArgument) -> None:
    """End a running sweep at once; running trials lose what they did since their last checkpoint."""
    send_command(folder, "cancel")
    typer.echo("cancelled")


@app.command()
def explain(
    folder: Annotated[Path, typer.Argument(help="Results folder of a sweep with `model.kind: iris`.")],
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    documents: Annotated[
        list[int] | None, typer.Option("--document", help="Row of the split; repeatable.", show_default=False)
    ] = None,
    num_documents: Annotated[int, typer.Option(min=1, help="How many, if no row is given.")] = 3,
    chunks: Annotated[int, typer.Option(min=1, help="Chunks printed per query.")] = 2,
    trial: Annotated[str | None, typer.Option(help="Trial id; default: the best one.", show_default=False)] = None,
    output: Annotated[
        Path | None, typer.Option(help="Where all rows go: .parquet, .csv or .jsonl.", show_default=False)
    ] = None,
) -> None:
    """Print what the queries of an IRIS model read in documents, and which chunks of the pool each looks for."""
    from raybert.evaluation.explain import explain_run
    from raybert.files import check_frame_path, write_frame
    from raybert.terminal.explanation import explanation_lines

    if split not in ("train", "validation", "test"):
        raise ConfigError(f"--split: must be train, validation or test, got '{split}'")
    if output is not None:
        check_frame_path(output, "--output")
    found = explain_run(
        folder, trial_id=trial, split=split, rows=documents, num_documents=num_documents, num_chunks=chunks
    )
    for line in explanation_lines(found, chunks):
        Console().print(line, markup=False, highlight=False, soft_wrap=True)
    if output is not None:
        write_frame(found.documents, output)
        typer.echo(f"{len(found.documents):,} rows: {output}")


@listing.command("strategies")
def list_strategies() -> None:
    """Print every selection strategy: what it does, needs and takes."""
    from raybert.selection.catalogue import COMPOSITION, describe_strategies

    console = Console()
    for row in describe_strategies():
        console.print(f"[bold]{row['name']}[/bold]  {row['summary']}", highlight=False, soft_wrap=True)
        for key, value in row.items():
            if key not in ("name", "summary") and value:
                console.print(f"    {key}: {value}", highlight=False, markup=False, soft_wrap=True)
    console.print("\nStrategies of budget kind distinct that choose once or in rounds also take:", highlight=False)
    for key, text in COMPOSITION.items():
        console.print(f"    {key}: {text}", highlight=False, markup=False, soft_wrap=True)


def main() -> None:
    """Run the command line; a mistake of the user's is one line and its exit code, an old name a note."""
    warnings.showwarning = _show_warning  # type: ignore[assignment]  # the arguments after the first two go on as they are
    warnings.simplefilter("always", RenamedWarning)
    try:
        app(standalone_mode=True)
    except RaybertError as error:
        if os.environ.get("RAYBERT_DEBUG"):
            raise
        Console(stderr=True).print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except SystemExit as ended:
        if ended.code != _CTRL_C:
            raise
        is_train = "train" in sys.argv[1:3]  # after --debug, at most
        print(f"stopped at once; continue with:  {command_again(*['--resume'] * is_train)}", file=sys.stderr)
        sys.exit(CANCELLED)


def _show_warning(message: Warning | str, category: type[Warning], *where: Any) -> None:
    """Print that a name is an old one as a note, and every other warning as Python does."""
    if issubclass(category, RenamedWarning):
        print(f"note: {message}", file=sys.stderr)
    else:
        _python_shows(message, category, *where)


def _given(**columns: str | None) -> dict[str, str]:
    """Return the options that were given."""
    return {key: column for key, column in columns.items() if column is not None}


def _store(folder: Path | None) -> ScoreStore:
    from raybert.files import cache_folder
    from raybert.selection.store import ScoreStore

    return ScoreStore(folder or cache_folder() / "scores")


if __name__ == "__main__":
    main()
