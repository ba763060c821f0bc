"""SIGKILL of the driver at ten random moments of a search and a comparison, resumed each time."""

import io
import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from rich.console import Console

import raybert
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.single.reproduce import reproduce_trial
from raybert.terminal.run_progress import RunLines
from tests.faults.search_state import assert_consistent, decisions, num_zombies, studies
from tests.faults.sweeps import Finished, assert_same_end, finish, started
from tests.faults.table import Fault
from tests.processes import Forked, wait_until

pytestmark = [pytest.mark.long, pytest.mark.slow, pytest.mark.ray]

Drive = Callable[[], AbstractContextManager[Forked]]
NUM_KILLS = 10
PER_ARM = 5
TUNE = {
    "suggestions_per_strategy": PER_ARM,
    "seeds_per_suggestion": 2,
    "startup_suggestions": 2,
    "space": {"train.learning_rate": {"low": 1e-5, "high": 1e-2, "log": True}},
}


def write_search(ground, path, slots):
    return ground.write(
        path, sweep__strategies=["random", "random_epoch"], sweep__tune=TUNE, resources__concurrent_trials=slots
    )


def num_events(folder: Path) -> int:
    """Return how much has happened in a sweep: decisions, evaluations, results."""
    logs = [folder / "decisions.jsonl", *folder.glob("trials/*/evaluations.jsonl")]
    lines = sum(path.read_bytes().count(b"\n") for path in logs if path.exists())
    return lines + len(list(folder.glob("trials/*/result.json")))


def kill_again_and_again(drive: Drive, folder: Path, moments: list[int], kills: Fault, zombies: Fault) -> None:
    """Kill the driver whenever so much has happened, and finish at last; what was finished stays as it was."""
    for moment in moments:
        finished = Finished.of(folder)
        with kills.once(), drive() as driver:
            kill_at(driver, folder, moment)
            kills.lost += finished.num_lost()
            assert kills.lost == 0
        zombies.tried += num_zombies(folder)
    finished = Finished.of(folder)
    with drive() as driver:
        code, said = driver.end()
    assert code == 0, said
    kills.lost += finished.num_lost()
    assert kills.lost == 0
    assert num_zombies(folder) == 0
    zombies.survived = zombies.tried


def kill_at(driver: Forked, folder: Path, moment: int) -> None:
    """Kill a driver once so much has happened; a moment that has passed already falls into its start."""
    wait_until(lambda: f'"pid": {driver.pid}' in read(folder / "owner.json"), "the driver owns the folder")
    wait_until(lambda: num_events(folder) >= moment or not driver.is_alive(), f"{moment} events")
    assert driver.is_alive(), "it ended before it was killed"
    driver.kill()


def read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""


@pytest.mark.fault("SIGKILL of the driver, one slot")
@pytest.mark.fault("zombies in study.db")
def test_ten_kills_of_the_driver_change_nothing_with_one_slot(ground, address, tmp_path, faults):
    file = write_search(ground, tmp_path / "sweep.yaml", slots=1)
    undisturbed, folder = tmp_path / "undisturbed", tmp_path / "run"
    code, said = finish(file, undisturbed, "--address", address)
    assert code == 0, said
    moments = sorted(random.Random(5).choices(range(num_events(undisturbed)), k=NUM_KILLS))
    kill_again_and_again(lambda: started(file, folder, "--address", address), folder, moments, *faults)
    assert decisions(folder) == decisions(undisturbed)
    assert studies(folder) == studies(undisturbed)
    assert_same_end(folder, undisturbed)
    assert_consistent(folder, PER_ARM)


@pytest.mark.fault("SIGKILL of the driver, two slots")
@pytest.mark.fault("zombies in study.db")
def test_ten_kills_of_the_driver_with_two_slots_leave_results_that_can_be_had_again(ground, address, tmp_path, faults):
    file, folder = write_search(ground, tmp_path / "sweep.yaml", slots=2), tmp_path / "run"
    num_expected = 2 * PER_ARM * 6  # at least, by what one slot takes
    moments = sorted(random.Random(7).choices(range(num_expected), k=NUM_KILLS))
    kill_again_and_again(lambda: started(file, folder, "--address", address), folder, moments, *faults)
    assert_consistent(folder, PER_ARM)
    results = raybert.load_sweep(folder)
    assert results.trials["status"].tolist() == ["complete"] * 4
    complete = [path.parent.name for path in sorted(folder.glob("trials/*/result.json"))]
    assert len(complete) > 4
    for trial_id in complete:
        again = reproduce_trial(SweepFolder(folder), trial_id, RunLines(Console(file=io.StringIO())))
        assert again.is_identical, (trial_id, again.comparisons)
