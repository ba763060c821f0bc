import json
import subprocess
import sys

import pytest

from raybert.errors import SweepError
from raybert.sweep.folder import SweepFolder


@pytest.fixture
def trial(tmp_path):
    trial = SweepFolder(tmp_path).trial("t")
    trial.path.mkdir(parents=True)
    return trial


def test_a_torn_line_is_skipped_and_the_next_row_is_whole(trial):
    trial.append_row({"evaluation": 1, "loss": 0.5})
    with (trial.path / "epochs.jsonl").open("ab") as file:
        file.write(b'{"evaluation": 2, "lo')
    trial.append_row({"evaluation": 2, "loss": 0.4})
    trial.append_row({"evaluation": 2, "loss": 0.3})
    assert trial.rows() == [{"evaluation": 1, "loss": 0.5}, {"evaluation": 2, "loss": 0.3}]


def test_a_result_marks_completion_and_outweighs_an_error(trial):
    assert trial.status() == "pending"
    trial.fail("ValueError: no\n\ntraceback")
    assert trial.status() == "failed"
    trial.finish({"test_accuracy": 1.0})
    assert trial.status() == "complete"
    trial.fail("late")
    assert trial.status() == "complete"
    assert trial.result() == {"test_accuracy": 1.0}


def test_a_damaged_result_is_said(trial):
    (trial.path / "result.json").write_text("{")
    with pytest.raises(SweepError, match=r"result\.json: damaged; delete it"):
        trial.result()


def test_a_second_process_is_refused_and_a_dead_owner_is_not(tmp_path):
    script = (
        "import sys; from pathlib import Path; from raybert.sweep.folder import SweepFolder\n"
        "with SweepFolder(Path(sys.argv[1])).owned():\n    print('mine', flush=True); sys.stdin.read()"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert owner.stdout.readline() == "mine\n"
    with (
        pytest.raises(SweepError, match=rf"in use by another raybert process .*\"pid\": {owner.pid}"),
        SweepFolder(tmp_path).owned(),
    ):
        raise AssertionError("two owners")
    owner.kill()
    owner.communicate()
    with SweepFolder(tmp_path).owned():
        assert json.loads((tmp_path / "owner.json").read_text())["pid"] != owner.pid
