"""Results folders of a later raybert: one line from every command that reads or continues them, and nothing written."""

import json
import shutil

import pytest

import raybert
from raybert.errors import SweepError
from raybert.models.description import read_description
from raybert.sweeping.folder.spec_file import read_spec
from raybert.sweeping.folder.versions import check_version, is_later
from raybert.version import __version__
from tests.e2e.commands import ROOT, run

OLD = ROOT / "tests" / "fixtures" / "folder_0_1"
FILE = ROOT / "tests" / "fixtures" / "folder_0_1.yaml"


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(OLD, tmp_path / "run")
    return tmp_path / "run"


def change(path, **values):
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_only_the_first_two_numbers_tell_what_can_be_read():
    assert not is_later(__version__)
    assert not is_later("0.0.9")
    assert not is_later("0.1.99")
    assert is_later("0.2.0.dev3")
    assert is_later("1.0")
    assert not is_later("unknown")


@pytest.mark.fault("results folder of a later version")
@pytest.mark.parametrize("command", ["report", "status", "sweep", "train", "reproduce", "explain"])
def test_a_folder_of_a_later_version_is_one_line_and_stays_as_it_is(folder, command, fault):
    change(folder / "manifest.json", versions={"raybert": "7.1.0"})
    before = contents(folder)
    trial = next((folder / "trials").iterdir()).name
    arguments = {
        "sweep": (FILE, "--output", folder),
        "train": (FILE, "--output", folder),
        "reproduce": (folder, trial),
    }
    with fault.once():
        done = run(command, *arguments.get(command, (folder,)))
        assert done.code == 2
        assert done.out == ""
        (line,) = (line for line in done.err.splitlines() if not line.startswith("note: "))
        assert line == (
            f"error: {folder}: was written by raybert 7.1.0, this is {__version__}; pip install 'raybert>=7.1.0' reads it"
        )
        assert contents(folder) == before


def test_python_users_read_the_same_line(folder):
    change(folder / "manifest.json", versions={"raybert": "0.2.0"})
    for read in (raybert.load_sweep, raybert.status, check_version):
        with pytest.raises(SweepError, match=r"was written by raybert 0\.2\.0, this is .*; pip install 'raybert>=0"):
            read(folder)


@pytest.mark.slow
@pytest.mark.fault("results folder of a later version")
def test_a_specification_of_a_later_version_stops_a_report_before_it_writes_anything(folder, fault):
    best = (folder / "best" / "trial_id").read_text().strip()
    path = folder / "trials" / best / "spec.json"
    with fault.once():
        change(path, raybert="0.9.1")
        before = contents(folder)
        done = run("report", folder)
        assert (done.code, done.out) == (2, "")
        assert done.err.replace("\n", " ") == (
            f"error: {path}: was written by raybert 0.9.1, this is {__version__}; pip install 'raybert>=0.9.1' reads it "
        )
        assert contents(folder) == before


def test_a_key_that_this_version_does_not_know_is_said_with_who_wrote_it(folder):
    path = next((folder / "trials").glob("*/spec.json"))
    document = json.loads(path.read_text())
    change(path, spec=document["spec"] | {"colour": "red"}, raybert="0.1.7")
    with pytest.raises(SweepError, match=r"spec\.json: .*colour.*; it was written by raybert 0\.1\.7, this is"):
        read_spec(path.parent)


def test_a_model_of_a_later_version_says_so(folder):
    path = folder / "best" / "raybert.json"
    change(path, raybert_version="0.9.0", colour="red")
    with pytest.raises(Exception, match=r"must be as raybert wrote it \(it is of raybert 0\.9\.0, this is"):
        read_description(path.parent)
