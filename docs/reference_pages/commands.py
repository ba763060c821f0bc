"""The page of the command line, from the signatures of the commands."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, get_args, get_type_hints

import typer
from typer.models import ArgumentInfo, OptionInfo

from raybert import cli
from raybert.cli_options import ENDINGS, exit_codes
from reference_pages.markdown import code, page, table

INTRODUCTION = """
`raybert --help` and `raybert COMMAND --help` print the same, `raybert --version` the version. `raybert --debug COMMAND`
shows tracebacks in place of one line. Behind every command is a function of the same name: [Python](python.md). Exit
codes: [](exit_codes.md).

`raybert --install-completion` lets the shell complete commands, options, sweep files, strategies and labels, keys after
`--set`, results folders, trials and keys of the score store.
"""
_METAVARS = {str: "TEXT", int: "WHOLE NUMBER", float: "NUMBER", Path: "PATH"}

Command = Callable[..., Any]


def commands_page() -> str:
    """Return the reference of the command line: a section per command, with arguments and options."""
    commands = list(all_commands())
    overview = table(
        ["command", "does"],
        [(f"[{code(name)}](#{name.replace(' ', '-')})", _paragraphs(command)[0]) for name, command in commands],
    )
    return page("The command line", INTRODUCTION, overview, *(part for entry in commands for part in _section(*entry)))


def all_commands(app: typer.Typer = cli.app, name: str = "raybert") -> Iterator[tuple[str, Command]]:
    """Yield every command's name, as it is typed, and its function."""
    for info in app.registered_commands:
        if info.callback is not None:
            yield f"{name} {info.name or info.callback.__name__.replace('_', '-')}", info.callback
    for group in app.registered_groups:
        if group.typer_instance is not None:
            yield from all_commands(group.typer_instance, f"{name} {group.name}")


def _section(name: str, command: Command) -> list[str]:
    hints = get_type_hints(command, include_extras=True)
    arguments, options = [], []
    for parameter in inspect.signature(command).parameters.values():
        kind, info = _declared(hints[parameter.name])
        default = None if parameter.default is inspect.Parameter.empty else parameter.default
        is_required = parameter.default is inspect.Parameter.empty
        if isinstance(info, ArgumentInfo):
            metavar = parameter.name.upper()
            arguments.append((code(metavar if is_required else f"[{metavar}]"), info.help or ""))
        else:
            shown = (
                "*required*" if is_required else "" if default is None or default is False else code(_shown(default))
            )
            options.append((code(_option(parameter.name, kind, info)), shown, info.help or ""))
    usage = " ".join([name, *(cell.strip("`") for cell, _ in arguments), *(["[OPTIONS]"] if options else [])])
    return [
        f"## {name}",
        f"```text\n{usage}\n```",
        *_paragraphs(command),
        exit_codes(name.partition(" ")[2]) if name.partition(" ")[2] in ENDINGS else "",
        table(["argument", "meaning"], arguments) if arguments else "",
        table(["option", "default", "meaning"], options) if options else "",
    ]


def _declared(hint: Any) -> tuple[Any, Any]:
    """Return what type a parameter has, and what typer was told about it."""
    if not isinstance(hint, type(Annotated[int, 0])):
        raise TypeError(f"{hint}: must be Annotated with a typer Option or Argument")
    kind, *notes = get_args(hint)
    info = next(note for note in notes if isinstance(note, (ArgumentInfo, OptionInfo)))
    kind = (
        next((part for part in get_args(kind) if part is not NoneType), kind) if type(None) in get_args(kind) else kind
    )
    return (get_args(kind) or (kind,))[0], info


def _option(name: str, kind: Any, info: OptionInfo) -> str:
    # Inside Annotated the first name that is given stands where a default would.
    flag = next((str(text) for text in (info.default, *(info.param_decls or ())) if str(text).startswith("--")), None)
    if kind is bool:
        return flag or f"--{_dashed(name)}, --no-{_dashed(name)}"
    return f"{flag or '--' + _dashed(name)} {info.metavar or _METAVARS[kind]}"


def _shown(default: Any) -> str:
    return "on" if default is True else str(default)


def _dashed(name: str) -> str:
    return name.replace("_", "-")


def _paragraphs(command: Command) -> list[str]:
    return inspect.cleandoc(command.__doc__ or "").split("\n\n")
