"""Temporary folders: nobody but their user enters them, and a kill leaves them to the next start alone."""

import signal
import stat
import subprocess
import sys

import pytest

from raybert.private_folders import MARK, PrivateFolder, private_folder

_KILLED = """
import os, signal, sys
os.umask(0)
from raybert.private_folders import private_folder
with private_folder() as folder:
    (folder / "secret").write_text("x")
    print(folder, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    return tmp_path


@pytest.mark.fault("scratch folders of a Ray whose driver was killed")
def test_what_a_kill_leaves_is_private_and_gone_after_the_next_start(place, fault):
    killed = subprocess.run([sys.executable, "-c", _KILLED], capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    (left,) = place.iterdir()
    assert killed.stdout.strip() == str(left)
    assert stat.S_IMODE(left.stat().st_mode) == 0o700
    with fault.once(), private_folder() as folder:
        assert list(place.iterdir()) == [folder]
    assert list(place.iterdir()) == []


def test_what_others_hold_or_have_made_stays(place):
    (place / "raybert-ofothers").mkdir()
    (place / "raybert-torn____").mkdir()
    (place / "raybert-torn____" / MARK).touch()
    first = PrivateFolder.make()
    with private_folder() as second:
        assert {path.name for path in place.iterdir()} == {"raybert-ofothers", first.path.name, second.name}
    first.remove()
    first.remove()
    assert [path.name for path in place.iterdir()] == ["raybert-ofothers"]
