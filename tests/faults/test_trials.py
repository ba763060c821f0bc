"""Trials that die, fail or hang on the way: the others go on, and another attempt comes to the same end."""

import os
import signal

import pytest

from tests.faults.sweeps import assert_same_end, run

pytestmark = [pytest.mark.slow, pytest.mark.ray]


@pytest.fixture(autouse=True)
def _no_traps_left(ground):
    yield
    ground.traps.clear()


@pytest.mark.fault("SIGKILL of a trial's process")
def test_a_trial_whose_process_is_killed_continues_from_its_checkpoint(ground, file, undisturbed, tmp_path, fault):
    ground.traps.lay("gate")

    def kill():
        pid = ground.traps.wait_for_trial()
        os.kill(pid, signal.SIGKILL)

    with fault.once():
        ended = run(file, tmp_path, meanwhile=kill)
        assert ended.outcome.exit_code == 0, ended.said
        assert_same_end(tmp_path, undisturbed)
    attempts = [line for path in tmp_path.glob("trials/*/attempts.jsonl") for line in path.read_text().splitlines()]
    assert len(attempts) == 1
    assert '"kind": "lost"' in attempts[0]
