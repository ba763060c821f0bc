"""The commands on the cache: what is kept to have it again, and how it is freed."""

from __future__ import annotations

from typing import Annotated

import typer

from raybert import commands, terminal
from raybert.cli_completion import completer
from raybert.cli_options import JsonOption, argument
from raybert.commands import describe
from raybert.commands.cache import PARTS

app = typer.Typer(no_args_is_help=True, help="Show and free what is kept to have it again: tokens, scores, ...")


@app.command("ls")
def list_cache(as_json: JsonOption = False) -> None:
    """Print what the cache holds: how many of each kind, their size, and when one was written or used last."""
    found = commands.list_cache()
    if as_json:
        terminal.print_json(describe.cache_document(found))
        return
    terminal.print_cache([vars(part) for part in found.parts], found.size_bytes, found.folder)


@app.command("clear")
def clear_cache(
    parts: Annotated[list[str] | None, argument("Parts, as `cache ls` calls them.", completer(*PARTS))] = None,
    everything: Annotated[bool, typer.Option("--all", help="All parts, the score store included.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Delete parts of the cache; what a command needs again is made again, and what a running one uses stays."""
    if bool(parts) == everything:
        raise typer.BadParameter(f"give parts ({', '.join(PARTS)}), or --all")
    cleared = commands.clear_cache(parts or (), everything=everything)
    if as_json:
        terminal.print_json(describe.cache_clear_document(cleared))
        return
    for part in cleared:
        stays = f"; {part.num_in_use} in use stay" if part.num_in_use else ""
        terminal.echo(f"{part.name}: {part.num_removed} removed, {part.freed_bytes / 2**20:,.1f} MiB freed{stays}")
