"""`raybert ls`: results folders below a folder, and how each stands."""

import json
from pathlib import Path

import pytest

from raybert.errors import SweepError
from raybert.files import write_json
from raybert.sweeping.driver.listing import find_sweeps
from raybert.sweeping.folder.ownership import own
from tests.analysis.folders import make_spec, write_error, write_plan, write_result
from tests.e2e.commands import run


@pytest.fixture
def runs(tmp_path) -> Path:
    """Four folders: finished, with a trial left, one inside of another folder, and one of a later raybert."""
    for name, accuracies in (("a", (0.5, 0.6)), ("b", (0.5,)), ("group/c", (0.5, 0.6))):
        specs = [make_spec("random", seed) for seed in range(2)]
        write_plan(tmp_path / name, specs)
        for spec, accuracy in zip(specs, accuracies, strict=False):
            write_result(tmp_path / name, spec, accuracy)
        write_json(tmp_path / name / "state.json", {"phase": "ended"})
    write_error(tmp_path / "b", specs[1])
    write_plan(tmp_path / "b" / "trials" / "inner", specs)
    write_plan(tmp_path / "d", specs)
    write_json(tmp_path / "d" / "manifest.json", {"versions": {"raybert": "99.0"}})
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    (tmp_path / "linked").symlink_to(tmp_path / "a")
    return tmp_path


def test_every_results_folder_is_listed_once_with_its_state(runs):
    found = {str(one.folder.relative_to(runs)): one for one in find_sweeps(runs)}
    assert {name: (one.state, one.trials) for name, one in found.items()} == {
        "a": ("ended", {"complete": 2}),
        "b": ("ended", {"complete": 1, "failed": 1}),
        "d": ("unreadable", {}),
        "group/c": ("ended", {"complete": 2}),
    }
    assert {one.name for one in found.values()} == {"sample"}
    assert "99.0" in found["d"].problem


def test_a_folder_with_trials_left_is_interrupted_and_one_that_is_owned_runs(runs):
    plan = json.loads((runs / "a" / "plan.json").read_text())
    plan["trials"].append(make_spec("el2n"))
    write_json(runs / "a" / "plan.json", plan)
    assert find_sweeps(runs / "a")[0].state == "interrupted"
    assert find_sweeps(runs / "a")[0].trials == {"complete": 2, "pending": 1}
    with own(runs / "a", note=print):
        (found,) = find_sweeps(runs / "a")
    assert (found.state, found.owner is None) == ("running", False)
    write_json(runs / "a" / "plan.json", {"trials": "x"})
    (found,) = find_sweeps(runs / "a")
    assert (found.state, found.problem) == ("interrupted", "damaged: plan.json")


def test_the_command_prints_a_line_a_folder_and_the_same_as_json(runs, monkeypatch):
    monkeypatch.chdir(runs)
    lines = run("ls", ".").out.splitlines()
    assert lines[0].split() == ["folder", "sweep", "state", "complete", "running", "failed", "pruned", "pending"]
    assert lines[1].split() == ["a", "sample", "ended", "2"]
    found = json.loads(run("ls", "sweeps", ".", "--json").out)
    assert [row["folder"] for row in found["sweeps"]] == ["a", "b", "d", "group/c"]
    assert found["sweeps"][1]["trials"] == {"complete": 1, "failed": 1}
    done = run("ls")
    assert (done.code, done.err) == (
        2,
        "error: runs: must be a folder with results folders in it, but does not exist; give another one\n",
    )


def test_what_is_no_folder_is_refused_and_an_empty_one_has_none(runs):
    with pytest.raises(SweepError, match="thesis.txt: must be a folder with results folders in it, but is a file"):
        find_sweeps(runs / "mine" / "thesis.txt")
    assert find_sweeps(runs / "mine") == []
    assert run("ls", runs / "mine").out.startswith("no results folders in ")
