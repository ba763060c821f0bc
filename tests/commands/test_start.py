"""What a command meets before its imports, and streams that nobody reads any more."""

import io
import os
import subprocess
import sys
import textwrap

import pytest

from raybert.errors import ExitCode
from raybert.terminal.streams import LastingStream

pytestmark = pytest.mark.slow  # every one is a process of its own

VALID = "name: size\nmodel: {encoder: größe}\n"
INTERRUPTED_IMPORT = """
    import os, signal, sys
    import raybert.__main__ as start

    class Interrupting:
        def find_spec(self, name, *rest):
            if name == "typer":
                os.kill(os.getpid(), signal.NUMBER)

    sys.meta_path.insert(0, Interrupting())
    start.main()
"""


@pytest.mark.fault("signal during the imports")
@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_ctrl_c_during_the_imports_is_one_line(number):
    script = textwrap.dedent(INTERRUPTED_IMPORT).replace("NUMBER", number)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr, done.stdout) == (ExitCode.INTERRUPTED, "stopped at once\n", "")


def said_by(command: str, tmp_path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run a shell line in which RAYBERT is the command."""
    (tmp_path / "file.yaml").write_text(VALID, encoding="utf-8")
    line = command.replace("RAYBERT", f"{sys.executable} -m raybert")
    return subprocess.run(
        ["bash", "-c", line],
        capture_output=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), **environment},
        check=False,
    )


@pytest.mark.parametrize(
    ("command", "out"),
    [
        ("RAYBERT render file.yaml <&-", b"name: size"),
        ("RAYBERT render file.yaml <&- >&-", b""),
        ("RAYBERT render file.yaml <&- >&- 2>&-", b""),
        ("set -o pipefail; RAYBERT schema | head -c 1", b"{"),
    ],
)
def test_streams_that_are_closed_are_no_error(command, out, tmp_path):
    done = said_by(command, tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
    assert out in done.stdout


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
    ids=str,
)
def test_letters_that_the_terminal_does_not_have_are_no_error(environment, tmp_path):
    done = said_by("RAYBERT render file.yaml; RAYBERT sweep größe.yaml", tmp_path, **environment)
    assert b"Traceback" not in done.stderr
    assert done.returncode == ExitCode.BAD_INPUT
    assert b"name: size" in done.stdout


class Broken(io.StringIO):
    """A stream that fails."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def write(self, text: str) -> int:
        raise OSError(self.number, os.strerror(self.number))


def test_a_pipe_that_was_closed_swallows_what_follows():
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as pipe:
        stream = LastingStream(pipe)
        assert stream.write("words" * 10_000) == 50_000
        stream.flush()
        os.write(writer, b"also by its number")
        assert not stream.isatty()


def test_a_disk_that_is_full_is_still_an_error():
    import errno

    with pytest.raises(OSError, match="No space left"):
        LastingStream(Broken(errno.ENOSPC)).write("words")
