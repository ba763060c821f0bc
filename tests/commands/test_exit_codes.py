"""Exit codes have one table, and nothing ends with a number that is not in it."""

import ast
import errno
import os
import re
import sys
from itertools import product
from pathlib import Path

import pytest
from typer.testing import CliRunner

import raybert
from raybert import cli, commands, errors
from raybert.cli_options import ENDINGS
from raybert.errors import ExitCode, RaybertError
from raybert.sweeping.folder.outcome import Outcome

PACKAGE = Path(raybert.__file__).parent
ERRORS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, RaybertError)]


def test_the_codes_are_those_that_scripts_know():
    assert [(code.value, code.name) for code in ExitCode] == [
        (0, "DONE"),
        (1, "DIFFERENT"),
        (2, "BAD_INPUT"),
        (3, "INTERRUPTED"),
        (4, "SOME_FAILED"),
        (5, "FAILED"),
    ]
    assert all(code.meaning for code in ExitCode)


def test_every_error_has_a_code_of_the_table_and_is_in_the_tree():
    assert {kind.__name__: kind.exit_code.value for kind in ERRORS} == {
        "RaybertError": 2,
        "ConfigError": 2,
        "DataError": 2,
        "ModelError": 2,
        "SelectionError": 2,
        "ScoringError": 5,
        "ResourceError": 2,
        "SweepError": 2,
        "StorageError": 2,
        "StorageAway": 2,
        "UntrustedCode": 2,
        "Interrupted": 3,
        "TrialError": 5,
    }
    assert all(isinstance(kind.exit_code, ExitCode) for kind in ERRORS)
    tree = errors.__doc__.split("\n\n")[1]
    assert re.findall(r"^[^\w\n]*(\w+)", tree, re.MULTILINE) == [kind.__name__ for kind in ERRORS]


def test_however_a_sweep_stands_its_command_has_words_for_it():
    stands = product((0, 1), repeat=3)
    found = {Outcome(Path(), complete, failed, pending, ()).exit_code for complete, failed, pending in stands}
    assert found == {ExitCode.DONE, ExitCode.INTERRUPTED, ExitCode.SOME_FAILED, ExitCode.FAILED}
    assert found <= ENDINGS["sweep"].keys()


def exits_of(module: Path) -> list[str]:
    """What a module gives to `sys.exit`, `os._exit` and `typer.Exit`."""
    calls = [node for node in ast.walk(ast.parse(module.read_text())) if isinstance(node, ast.Call)]
    names = ("sys.exit", "os._exit", "typer.Exit", "SystemExit")
    return [ast.unparse(call.args[0]) for call in calls if ast.unparse(call.func) in names and call.args]


@pytest.mark.slow
def test_no_module_ends_with_a_number_of_its_own():
    found = {path.relative_to(PACKAGE).as_posix(): exits_of(path) for path in PACKAGE.rglob("*.py")}
    assert {name: exits for name, exits in found.items() if exits} == {
        "__main__.py": ["ExitCode.INTERRUPTED"],
        "cli.py": [
            "_exit_code(results)",
            "_exit_code(results)",
            "fetched.exit_code",
            "found.exit_code",
            "found.exit_code",
            "error.exit_code",
            "ExitCode.BAD_INPUT",
            "ExitCode.INTERRUPTED",
        ],
        "cli_pretraining.py": ["found.exit_code", "found.models.exit_code"],
        "cli_running.py": ["found.exit_code"],
        "cli_submit.py": [
            "code",
            "ExitCode.DONE",
            "code",
            "ExitCode.DONE",
            "ExitCode.INTERRUPTED",
        ],  # `code`: the job's
        "sweeping/submit/send.py": ["main(*sys.argv[1:3])"],  # of `raybert report` alone, which looks at no number
        "sweeping/cluster/processes.py": ["ExitCode.INTERRUPTED"],  # past a main thread that hears nothing
    }


def ending(monkeypatch, line, error):
    """Run a command line whose command ends with an exception, and return what the process would exit with."""

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(commands, "validate", fail)
    monkeypatch.setattr(sys, "argv", ["raybert", *line.split()])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_an_error_ends_the_command_with_its_code_on_one_line(kind, monkeypatch, capsys):
    assert ending(monkeypatch, "validate f.yaml", kind("budget: must be in 1..9, got 0")) == kind.exit_code
    assert capsys.readouterr().err.count("\n") == 1


def refused(number, *path):
    return OSError(number, os.strerror(number), *path)


def caused(outer, inner):
    outer.__cause__ = inner
    return outer


@pytest.mark.fault("what the system refuses, in one line")
@pytest.mark.parametrize(
    ("error", "line"),
    [
        (refused(errno.EACCES, "/runs/x"), "/runs/x: Permission denied; give another place"),
        (refused(errno.ENOSPC, "/runs/x"), "/runs/x: No space left on device; make room, and give the same command"),
        (refused(errno.ENOSPC), "No space left on device; make room"),
        (refused(errno.ESTALE, "/nfs/x"), "/nfs/x: Stale file handle; the disk or the file server does not answer"),
        (refused(errno.EIO, b"/disk/\xff"), "/disk/\\xff: Input/output error; the disk or the file server"),
        (refused(errno.EMFILE, "/x"), "/x: Too many open files; raise the limit on open files (`ulimit -n 4096`)"),
        (refused(errno.EBADF), "Bad file descriptor"),
        (refused(errno.EXDEV, "/a", None, "/b"), "/a -> /b: Invalid cross-device link"),
        (OSError("[Errno 28] Error writing bytes to file. Detail: No space left"), "[Errno 28] Error writing bytes"),
        (
            caused(OSError("could not be written\nat all"), refused(errno.ENOSPC, "/x")),
            "/x: could not be written; make",
        ),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), "Connection refused"),
        (MemoryError(), "memory: none is left; give it more memory, or raise the limit (`ulimit -v`"),
        (RuntimeError("can't start new thread"), "memory: can't start new thread; give it more memory"),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
            "memory: [enforce fail] DefaultCPUAllocator: not enough memory",
        ),
    ],
    ids=str,
)
def test_what_the_system_refuses_is_one_line_with_its_path_and_a_remedy(error, line, monkeypatch, capsys):
    assert ending(monkeypatch, "validate f.yaml", error) == ExitCode.BAD_INPUT
    said = capsys.readouterr().err
    assert said.startswith(f"error: {line}")
    assert said.count("\n") == 1


def test_what_it_refuses_keeps_its_traceback_for_who_looks_for_it(monkeypatch):
    monkeypatch.setenv("RAYBERT_DEBUG", "1")
    with pytest.raises(OSError, match="Bad file descriptor"):
        ending(monkeypatch, "validate f.yaml", refused(errno.EBADF))


def test_a_mistake_of_raybert_keeps_its_traceback(monkeypatch):
    with pytest.raises(RuntimeError, match="ours"):
        ending(monkeypatch, "validate f.yaml", RuntimeError("ours"))


def test_a_second_interrupt_is_an_interruption(monkeypatch, capsys):
    assert ending(monkeypatch, "validate f.yaml", KeyboardInterrupt()) == ExitCode.INTERRUPTED
    assert capsys.readouterr().err == "stopped at once\n"


def test_a_wrong_option_is_bad_input(monkeypatch):
    assert ending(monkeypatch, "validate", ValueError()) == ExitCode.BAD_INPUT
    assert ending(monkeypatch, "validate f.yaml --no-such-option", ValueError()) == ExitCode.BAD_INPUT


@pytest.mark.parametrize("command", ENDINGS)
def test_the_help_of_a_command_says_how_it_ends(command):
    shown = CliRunner().invoke(cli.app, [command, "--help"], env={"COLUMNS": "200"}).output
    for code, words in ENDINGS[command].items():
        assert f"{code.value} {words.replace('`', '')}" in " ".join(shown.split())
