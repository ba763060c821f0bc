"""Whose a folder is: results go into an empty one or one of raybert's, and nowhere else."""

import json
import shutil
from pathlib import Path

import pytest

from raybert.errors import SweepError
from raybert.evaluation.find import check_evaluation_folder
from raybert.sweeping.folder.whose import check_is_results_folder, check_results_folder
from tests.e2e.commands import FILE, ROOT, run

OLD = ROOT / "tests" / "fixtures" / "folder_0_1"


def fill(folder: Path, *names: str) -> Path:
    """Make files, and folders of names that end with a slash."""
    for name in names:
        path = folder / name
        (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            path.write_text("mine")
    return folder


FOREIGN = [
    ("best/model.safetensors", "results/table.csv", "plots/figure.png"),
    ("notes.txt",),
    (".git/config",),
    (".bashrc", ".profile"),
    ("plan.json", "trials/a/spec.json"),
    ("trials/", "signals/"),
    ("attempt/", "owner.json/"),
    ("lock", "notes.txt"),
    ("sweep.yaml",),
    ("state.json", "attempt"),
    ("strategies/plan.json", "strategies/attempt"),
]


@pytest.mark.parametrize("names", FOREIGN, ids=str)
def test_a_folder_of_somebody_else_is_refused_with_what_is_in_it(tmp_path, names):
    folder = fill(tmp_path / "mine", *names)
    first = sorted(path.name for path in folder.iterdir())[0]
    with pytest.raises(SweepError, match=rf"output: must be an empty folder or a results folder, got .*{first}"):
        check_results_folder(folder)


@pytest.mark.fault("output is somebody else's folder")
@pytest.mark.parametrize("command", ["sweep", "train"])
def test_no_command_writes_a_byte_into_somebody_elses_folder(tmp_path, command, fault):
    folder = fill(tmp_path / "mine", "best/model.safetensors", "results/table.csv", "plan.json", "a", "b")
    before = {path: path.read_text() for path in folder.rglob("*") if path.is_file()}
    with fault.once():
        done = run(command, FILE, "--output", folder)
        assert done.code == 2
        assert done.err == (
            f"error: output: must be an empty folder or a results folder, got {folder}, which holds other files (a, b, "
            "best and 2 more); give another one\n"
        )
        assert {path: path.read_text() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "names",
    [
        (),
        (".DS_Store", "lost+found/", ".Trash-1000/files/", "._x", ".nfs0001", ".gitkeep"),
        ("lock",),
        ("lock", ".attempt.0123abcd.tmp"),
        ("lock", "owner.json", "state.json"),
    ],
    ids=str,
)
def test_an_empty_folder_and_an_interrupted_start_are_gone_on_with(tmp_path, names):
    check_results_folder(fill(tmp_path / "empty", *names))
    check_results_folder(tmp_path / "not-there")


def test_a_folder_of_raybert_0_1_is_ours_whatever_one_file_of_it_is_lost(tmp_path):
    check_results_folder(OLD)
    for name in ("attempt", "plan.json", "manifest.json", "resolved.yaml"):
        shutil.rmtree(tmp_path / "old", ignore_errors=True)
        shutil.copytree(OLD, tmp_path / "old")
        (tmp_path / "old" / name).unlink()
        check_results_folder(tmp_path / "old")
    for path in tmp_path.joinpath("old").iterdir():
        if path.is_file():
            path.write_bytes(b"")  # as after a power cut of a system that synced nothing
    check_results_folder(tmp_path / "old")


def test_our_own_folder_may_hold_files_of_others_besides(tmp_path):
    fill(tmp_path, "notes.txt", "slurm-1.out")
    (tmp_path / "attempt").write_text("3")
    check_results_folder(tmp_path)


def test_an_evaluation_goes_into_an_empty_folder_or_over_another_one(tmp_path):
    check_evaluation_folder(tmp_path / "not-there")
    check_evaluation_folder(fill(tmp_path / "empty", ".DS_Store"))
    ours = fill(tmp_path / "ours", "confusion.png")
    (ours / "metrics.json").write_text(json.dumps({"intervals": {}}))
    check_evaluation_folder(ours)
    for names in (("metrics.json", "thresholds.csv"), ("notes.txt",), ("plan.json", "attempt", "best/")):
        folder = fill(tmp_path / names[0], *names)
        with pytest.raises(SweepError, match="must be an empty folder or a folder of `raybert evaluate`, got"):
            check_evaluation_folder(folder)


@pytest.mark.fault("output is somebody else's folder")
def test_evaluate_deletes_no_file_of_somebody_else(tmp_path, fault):
    folder = fill(tmp_path / "mine", "thresholds.csv", "roc.png")
    with fault.once():
        done = run("evaluate", OLD, "--output", folder)
        assert done.code == 2
        assert "which holds other files (roc.png, thresholds.csv)" in done.err
        assert sorted(path.name for path in folder.iterdir()) == ["roc.png", "thresholds.csv"]


@pytest.mark.parametrize("command", ["report", "status", "pause", "stop", "cancel", "resume"])
def test_a_file_in_place_of_a_results_folder_is_one_line(tmp_path, command):
    fill(tmp_path, "notes.txt")
    for name, wrong in (("notes.txt", "'notes.txt' is a file"), ("nothing", "does not exist")):
        done = run(command, tmp_path / name)
        assert done.code == 2
        line = f"error: {tmp_path / name}: must be the results folder of a sweep, but {wrong}"
        assert " ".join(done.err.split()) == " ".join(line.split())


def test_what_is_read_must_be_a_folder(tmp_path):
    check_is_results_folder(tmp_path)
    with pytest.raises(SweepError, match="does not exist"):
        check_is_results_folder(tmp_path / "nothing")
