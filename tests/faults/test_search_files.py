"""The two files of a search, torn, emptied or gone: each is written anew from the other, or named with the remedy."""

import shutil

import pytest

from raybert.errors import SweepError
from tests.faults.search_state import assert_consistent, decisions, studies
from tests.faults.sweeps import Finished, assert_same_end, run

pytestmark = [pytest.mark.long, pytest.mark.slow, pytest.mark.ray]

PER_ARM = 3


def halve(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def spoil(path):
    content = path.read_bytes()
    middle = len(content) // 2
    path.write_bytes(content[:middle] + b"\x00" * 64 + content[middle + 64 :])


def empty(path):
    path.write_bytes(b"")


def delete(path):
    path.unlink()


@pytest.fixture(scope="module")
def search(ground, tmp_path_factory):
    """A sweep file with a search."""
    tune = {
        "suggestions_per_strategy": PER_ARM,
        "space": {"train.learning_rate": {"low": 1e-5, "high": 1e-2, "log": True}},
    }
    path = tmp_path_factory.mktemp("search") / "sweep.yaml"
    return ground.write(path, sweep__strategies=["random", "random_epoch"], sweep__seeds=1, sweep__tune=tune)


@pytest.fixture(scope="module")
def searched(search, ray_cluster, tmp_path_factory):
    folder = tmp_path_factory.mktemp("searched") / "run"
    ended = run(search, folder)
    assert ended.outcome.exit_code == 0, ended.said
    assert_consistent(folder, PER_ARM)
    return folder


@pytest.mark.fault("decisions.jsonl, study.db torn, empty, deleted")
@pytest.mark.parametrize("name", ["decisions.jsonl", "study.db"])
@pytest.mark.parametrize("damage", [halve, spoil, empty, delete])
def test_a_damaged_file_of_a_search_costs_nothing_that_was_finished(search, searched, tmp_path, fault, name, damage):
    folder = tmp_path / "run"
    shutil.copytree(searched, folder)
    finished = Finished.of(folder)
    with fault.once():
        damage(folder / name)
        ended = run_as_told(search, folder, name)
        assert ended.outcome.exit_code == 0, ended.said
        fault.lost += finished.num_lost()
        assert fault.lost == 0
        assert_same_end(folder, searched)
        assert params(folder) == params(searched)
        assert {event["event"] for event in decisions(folder)} >= {"suggest", "report", "end"}


def run_as_told(file, folder, name):
    """Run a sweep; where it is refused for a damaged file, follow the advice."""
    try:
        return run(file, folder)
    except SweepError as error:
        advice = str(error)
    assert name in advice
    assert "delete" in advice
    for path in folder.glob(f"{name}*"):
        path.unlink()
    return run(file, folder)


def params(folder):
    """Return what was suggested, how it ended, and its value."""
    return {
        name: [(trial["number"], trial["state"], trial["value"], trial["params"]) for trial in trials]
        for name, trials in studies(folder).items()
    }
