"""`trials.txt`: a person finds the folder of a run, while the sweep runs, after restarts and under another file."""

from dataclasses import replace

import pytest

from raybert.config import validate_config
from raybert.sweeping.driver.trial_logs import read_logs
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.folder.plan_file import write_plan
from raybert.sweeping.folder.spec_file import StoredSpec, write_spec
from raybert.sweeping.folder.trial_index import add_to_index, write_index
from raybert.sweeping.plan.roles import PART, TUNE
from tests.sweeping.planning import plan_of


def plan_for(*strategies, **sweep):
    return plan_of(validate_config({"sweep": {"strategies": list(strategies), "seeds": 2, **sweep}}))


def lines_of(folder):
    head, *lines = (folder.path / "trials.txt").read_text().splitlines()
    assert head.startswith("# strategy-sSEED-ID")
    return [line.split() for line in lines]


@pytest.fixture
def folder(tmp_path) -> SweepFolder:
    return SweepFolder(tmp_path)


def begin(folder, spec):
    folder.trial(spec.trial_id).path.mkdir(parents=True)
    write_spec(folder.trial(spec.trial_id).path, StoredSpec(spec, "data", "encoder"))


def test_every_planned_run_has_its_name_and_its_folder(folder):
    plan = plan_for("random", grid={"train.learning_rate": [0.1, 0.2]})
    write_plan(folder, "s", plan)
    assert lines_of(folder) == [
        [
            f"random-s{spec.seed}-{spec.trial_id}",
            f"trials/{spec.trial_id}",
            *("trial", "budget", "100", f"train.learning_rate={spec.grid['train.learning_rate']}"),
        ]
        for spec in plan.trials
    ]
    for name, *_ in lines_of(folder):  # as a user copies it
        (log,) = read_logs(folder.path, name, None).trials
        assert log.trial_id == name.rpartition("-")[2]


def test_runs_of_a_search_come_as_they_begin_once_and_stay_after_a_restart(folder):
    plan = plan_for("random")
    write_plan(folder, "s", replace(plan, trials=()))
    suggestion, part = (replace(spec, role=role) for spec, role in zip(plan.trials, (TUNE, PART), strict=True))
    for _ in range(2):
        add_to_index(folder, [suggestion, part])
    before = lines_of(folder)
    assert [line[2] for line in before] == ["tune", "part"]
    for spec in (suggestion, part):
        begin(folder, spec)
    write_plan(folder, "s", replace(plan, trials=()))
    assert sorted(lines_of(folder)) == sorted(before)


def test_what_another_file_has_left_is_listed_as_that(folder):
    old, new = plan_for("random", "el2n"), plan_for("random")
    for spec in old.trials:
        begin(folder, spec)
    write_plan(folder, "s", new)
    listed = {line[1].removeprefix("trials/"): " ".join(line[5:]) for line in lines_of(folder)}
    planned = {spec.trial_id for spec in new.trials}
    assert listed == {
        spec.trial_id: "" if spec.trial_id in planned else "(of an earlier sweep file)" for spec in old.trials
    }
    assert set(planned) < set(listed)


def test_a_hostile_label_ends_no_line(folder):
    plan = plan_for({"name": "random", "label": "a\nb\x1b[2J"})
    write_plan(folder, "s", plan)
    assert [line[0] for line in lines_of(folder)] == [
        f"a\\nb\\x1b[2J-s{spec.seed}-{spec.trial_id}" for spec in plan.trials
    ]
    found = read_logs(folder.path, None, None)
    assert found.trials == ()


def test_nothing_reads_the_index(folder):
    write_plan(folder, "s", plan_for("random"))
    (folder.path / "trials.txt").write_text("nonsense")
    assert len(folder.planned()) == 2
    write_index(folder)
    assert len(lines_of(folder)) == 2
