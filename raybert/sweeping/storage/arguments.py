"""Results folders in object stores (`s3://bucket/runs/imdb`), where commands take folders of this machine."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar

from raybert.errors import StorageWarning
from raybert.storage import check_local, check_url, is_url

P = ParamSpec("P")
R = TypeVar("R")

Level = Literal["status", "results", "signals", "models"]


def publishes(command: Callable[P, R]) -> Callable[P, R]:
    """Let `output` of a command be a URL: it works in a folder of this machine, which is published all the while."""
    signature = inspect.signature(command)

    @functools.wraps(command)
    def run(*arguments: P.args, **named: P.kwargs) -> R:
        given = signature.bind(*arguments, **named).arguments.get("output")
        if given is None or not is_url(given):
            _check("output", given)
            return command(*arguments, **named)
        from raybert.sweeping.storage.work import working_folder

        with working_folder(given, _note) as folder:
            named["output"] = folder
            return command(*arguments, **named)

    return run


def reads(
    level: Level, *names: str, is_followed: bool = False, gives_back: bool = False, may_lack: bool = False
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let arguments of a command be URLs: it reads a copy of what is there.

    Args:
        level: what of a results folder it reads.
        names: of the arguments; default: `folder`.
        is_followed: it looks again and again; so it does where it returns an iterator.
        gives_back: what it writes into the folder goes into the store.
        may_lack: there may be no results yet.
    """

    def decorate(command: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(command)
        copied_to = functools.partial(
            _copied, level=level, is_followed=is_followed, gives_back=gives_back, may_lack=may_lack
        )

        @functools.wraps(command)
        def run(*arguments: P.args, **named: P.kwargs) -> R:
            bound = signature.bind(*arguments, **named)
            with ExitStack() as stack:
                for name in names or ("folder",):
                    given = bound.arguments.get(name)
                    if isinstance(given, (list, tuple)):
                        bound.arguments[name] = [copied_to(one, stack) for one in given]
                    elif given is not None:
                        bound.arguments[name] = copied_to(given, stack)
                result = command(*bound.args, **bound.kwargs)
                if is_followed and isinstance(result, Iterator):
                    return _going_on(result, stack.pop_all())  # type: ignore[return-value]
                return result

        return run

    return decorate


def needs_path(*names: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Refuse URLs in arguments of a command that writes files of this machine."""

    def decorate(command: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(command)

        @functools.wraps(command)
        def run(*arguments: P.args, **named: P.kwargs) -> R:
            bound = signature.bind(*arguments, **named)
            for name in names:
                _check(name, bound.arguments.get(name))
            return command(*arguments, **named)

        return run

    return decorate


def _check(name: str, given: Any) -> None:
    """Refuse what would be taken for a folder called `s3:`, or `http:`.

    Raises:
        ConfigError: it is a URL.
    """
    if isinstance(given, (str, Path)):
        remedy = "s3://, gs:// and abfs:// are for results folders of sweeps, runs and studies"
        check_local(given, name, remedy)


def _copied(given: Any, stack: ExitStack, *, level: Level, is_followed: bool, gives_back: bool, may_lack: bool) -> Any:
    if not isinstance(given, (str, Path)) or not is_url(given):
        return given
    from raybert.sweeping.storage.copy import Needs, copied, has_results
    from raybert.sweeping.storage.work import folder_of

    if may_lack and not has_results(given):
        return folder_of(check_url(given))
    needs = Needs[level.upper()]
    return stack.enter_context(copied(given, needs, is_followed=is_followed, gives_back=gives_back))


def _going_on(results: Any, stack: ExitStack) -> Iterator[Any]:
    with stack:
        yield from results


def _note(words: str) -> None:
    warnings.warn(words.removeprefix("note: "), StorageWarning, stacklevel=2)
