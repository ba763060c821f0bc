"""The commands on results: compare, in many forms, and write tables and plots again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from raybert import commands, terminal
from raybert.cli_completion import complete_results_folder, completer
from raybert.cli_options import FolderArgument, JsonOption, argument, option
from raybert.commands import describe
from raybert.commands.studies import is_study

TrustOption = Annotated[bool, typer.Option("--trust", help="Ask a database that the folder names for the search.")]
_RUNS = Path("runs")
_FORMATS = ("table", "csv", "json", "markdown", "latex")
FormatOption = Annotated[
    str,
    typer.Option(
        "--format",
        help="`table` for a terminal, `csv`, `json`, `markdown`, or `latex` (booktabs, with its caption).",
        autocompletion=completer(*_FORMATS),
    ),
]
_TABLES = (
    *("summary", "comparisons", "trials", "evaluations", "metrics", "extra_tests", "per_pass", "overlap", "pareto"),
    *("equal_cost", "cost_to_reach", "budget_curve", "as_good_as_all", "letters"),
)
_PROJECTIONS = ("pca", "umap")


class OrFolder(TyperGroup):
    """A group of commands whose first word may also be a folder to list, or none."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the command in front of what is none; a shell that completes gets the commands."""
        is_folder = not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names)
        if is_folder and not ctx.resilient_parsing:
            args = ["sweeps", *args]
        return super().parse_args(ctx, args)


def list_sweeps(
    folder: Annotated[Path, argument("Where results folders lie; default: `runs`.", complete_results_folder)] = _RUNS,
    as_json: JsonOption = False,
) -> None:
    """Print the results folders in a folder: what each is, how it stands, and how many trials have ended."""
    found = commands.list_sweeps(folder)
    if as_json:
        terminal.print_json(describe.sweeps_document(folder, found))
    else:
        terminal.print_sweeps(found, folder)


def results(
    folder: FolderArgument,
    form: FormatOption = "table",
    metric: Annotated[
        str | None, typer.Option(help="What strategies are compared by, on test; default: the metric of the sweep.")
    ] = None,
    table: Annotated[
        str,
        typer.Option(
            help=f"Which table `csv` prints: {', '.join(_TABLES)}.",
            autocompletion=completer(*_TABLES),
        ),
    ] = "summary",
    test: Annotated[
        str | None,
        typer.Option(
            help="Which further test set (`data.extra_tests`) stands for test; default: the test split of the data.",
            show_default=False,
        ),
    ] = None,
    trust: TrustOption = False,
    as_json: JsonOption = False,
) -> None:
    """Print the comparison of a results folder, finished or not. Nothing is written, and no code that it names runs."""
    _check_format(form, as_json=as_json)
    if table != "summary" and form != "csv":
        raise typer.BadParameter("must be left out without --format csv", param_hint="--table")
    if table not in _TABLES:
        raise typer.BadParameter(f"must be one of {', '.join(_TABLES)}, got {table!r}", param_hint="--table")
    found = commands.results(folder, trust=trust)
    if test is not None:
        found = found.on_test(test)
    if as_json or form == "json":
        terminal.print_json(describe.results_document(found, metric))
    elif form == "table":
        terminal.print_comparison(found, metric)
        terminal.print_failures(found)
    else:
        from raybert.analysis.results.pasted import results_text

        typer.echo(results_text(found, form, metric=metric, table=table), nl=False)


def report(
    folder: FolderArgument,
    trust: TrustOption = False,
    projection: Annotated[
        str | None,
        typer.Option(
            help="Embeddings of the pool are drawn by `pca` (the default, where they are stored) or `umap`.",
            autocompletion=completer(*_PROJECTIONS),
            show_default=False,
        ),
    ] = None,
    pair: Annotated[
        tuple[str, str] | None,
        typer.Option(
            metavar="BASELINE STRATEGY",
            help="Draw these two beside each other, too: strategies, configurations, or strategies at a budget "
            "(`el2n@10%`).",
            show_default=False,
        ),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Write them anew whenever trials have ended, as long as the sweep runs.")
    ] = False,
    every_seconds: Annotated[
        float, typer.Option("--every", help="With --watch: seconds between two looks.", show_default=True)
    ] = 30.0,
    as_json: JsonOption = False,
) -> None:
    """Write tables, plots and `report.html` of a results folder again, and print the comparison.

    Of a pretraining study: its picture of training and `report.html`. No code that the folder names runs.
    """
    if projection not in (None, *_PROJECTIONS):
        raise typer.BadParameter(f"must be one of pca, umap, got {projection!r}", param_hint="--projection")
    if watch and (as_json or trust or pair or projection is not None):
        raise typer.BadParameter("must be left out with --json, --trust, --pair or --projection", param_hint="--watch")
    if is_study(folder):
        given = {"--watch": watch, "--trust": trust, "--pair": pair is not None, "--projection": projection is not None}
        for name in (name for name, is_given in given.items() if is_given):
            raise typer.BadParameter("must be left out, the folder is of a pretraining file", param_hint=name)
        study = commands.report_study(folder)
        if as_json:
            terminal.print_json(describe.study_document(study))
        else:
            terminal.print_study(study)
        return
    if watch:
        try:
            terminal.print_watched(commands.watch_report(folder, every_seconds=every_seconds, note=terminal.print_note))
        except KeyboardInterrupt:  # the way to leave it
            raise typer.Exit from None
        return
    pairs = [pair] if pair is not None else []
    found = commands.report(folder, trust=trust, projection=projection, pairs=pairs)  # type: ignore[arg-type]
    if as_json:
        terminal.print_json(describe.report_document(found, pairs))
        return
    terminal.print_comparison(found)
    terminal.print_pairs(found, pairs)
    terminal.print_failures(found)


def compare(
    folders: Annotated[list[Path], argument("Results folders of sweeps, two at least.", complete_results_folder)],
    form: FormatOption = "table",
    metric: Annotated[
        str | None, typer.Option(help="What they are compared by, on test; default: that of the sweeps.")
    ] = None,
    baseline: Annotated[
        str, typer.Option(help="What ranks over data sets are compared with, where it is there.")
    ] = "random",
    output: Annotated[
        Path | None,
        option("Folder for tables, and from five data sets on critical-difference diagrams; default: none."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Print several sweeps beside each other: other data sets, encoders or budgets in one table, and ranks.

    Strategies are rows, sweeps columns: means with intervals, + and - by the tests inside of each sweep. From five data
    sets on mean ranks are tested, too (Friedman, Nemenyi, Holm).
    """
    _check_format(form, as_json=as_json)
    found = commands.compare(folders, metric=metric, baseline=baseline, output=output)
    if as_json or form == "json":
        terminal.print_json(describe.compare_document(found))
    elif form == "table":
        terminal.print_compared(found, output)
    else:
        typer.echo({"csv": found.to_csv, "latex": found.to_latex, "markdown": found.to_markdown}[form](), nl=False)


def _check_format(form: str, *, as_json: bool) -> None:
    if form not in _FORMATS:
        raise typer.BadParameter(f"must be one of {', '.join(_FORMATS)}, got {form!r}", param_hint="--format")
    if as_json and form not in ("table", "json"):
        raise typer.BadParameter("must be left out with --json", param_hint="--format")


COMMANDS = (results, compare, report)
"""In the order of the help."""
