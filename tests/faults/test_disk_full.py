"""A disk that fills up while trials save: they fail, it says why, and with room again they go on."""

import os
import subprocess

import pytest

from tests.faults.sweeps import Finished, assert_same_end, run

pytestmark = [pytest.mark.long, pytest.mark.slow, pytest.mark.ray]

NUM_BYTES = 8 * 2**20


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a file system of 8 MiB, or a skip."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={NUM_BYTES}", "raybert-test", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small disk needs the right to mount one")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder):
    """Leave not a byte."""
    with (folder / "filler").open("wb", buffering=0) as file:
        for size in (2**16, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue


@pytest.mark.fault("disk full while saving")
def test_a_full_disk_fails_trials_and_with_room_again_they_go_on(ground, undisturbed, small_disk, tmp_path, fault):
    file = ground.write(tmp_path / "sweep.yaml", limits__retries=0)
    folder = small_disk / "run"
    ground.traps.lay("gate")

    def fill_up():
        ground.traps.wait_for_trial()
        fill(small_disk)
        ground.traps.open()

    with fault.once():
        ended = run(file, folder, meanwhile=fill_up)
        assert ended.outcome.exit_code in (3, 4, 5), ended.said
        assert "No space left on device" in ended.said
        finished = Finished.of(folder)
        (small_disk / "filler").unlink()
        again = run(file, folder, retry="disk")
        assert again.outcome.exit_code == 0, again.said
        fault.lost += finished.num_lost()
        assert fault.lost == 0
        assert_same_end(folder, undisturbed)
