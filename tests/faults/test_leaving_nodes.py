"""Nodes that leave a cluster at any moment, and nodes that join it: the same tables, and little work done twice."""

import json
import re
import time

import numpy as np
import pandas as pd
import pytest

import raybert
from tests.clusters import cluster_of
from tests.e2e.commands import forked_command
from tests.in_one_process import sweep_in_this_process
from tests.processes import called, wait_until
from tests.same_results import assert_same_results

pytestmark = [pytest.mark.long, pytest.mark.slow, pytest.mark.ray]

PATIENCE = 400
STEPS, STEPS_BETWEEN_EVALUATIONS = 120, 12
NUM_ROWS = 12 * STEPS // STEPS_BETWEEN_EVALUATIONS
SECONDS_TO_USE_A_NODE = 60
TWELVE = {"sweep__strategies": ["random", "random_epoch", "all"], "sweep__seeds": 4, "train__length__steps": STEPS}


@pytest.fixture(scope="module")
def nodes():
    with cluster_of(1, 1) as found:
        yield found


@pytest.fixture(autouse=True)
def _two_nodes_and_no_traps(ground, nodes):
    while len(nodes.nodes) < 2:
        nodes.add(1)
    yield
    ground.traps.clear()


@pytest.fixture(scope="module")
def file(ground, tmp_path_factory):
    return ground.write(tmp_path_factory.mktemp("twelve") / "sweep.yaml", resources__concurrent_trials=None, **TWELVE)


@pytest.fixture(scope="module")
def expected(file, tmp_path_factory):
    """The sweep in one process, trial by trial, without Ray."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    called(sweep_in_this_process, file, folder)
    return folder


def started(file, folder, nodes):
    """Run the command on the cluster; checkpoints come with every evaluation."""
    join = ("--address", nodes.address)
    return forked_command(
        "sweep", file, "--output", folder, *join, environment={**nodes.environment, "COLUMNS": "200"}, draws=False
    )


def wait_for_gate(ground):
    """Wait as long as it takes on a busy machine until a trial waits at the gate."""
    wait_until(lambda: list(ground.traps.folder.glob("*.waiting")), "a trial at the gate", PATIENCE)


def num_rows(folder):
    return sum(path.read_bytes().count(b"\n") for path in folder.glob("trials/*/evaluations.jsonl"))


def beats(folder):
    """The last heartbeats of runs that are at work."""
    found = [json.loads(path.read_text()) for path in folder.glob("trials/*/heartbeat.json")]
    return [beat for beat in found if not beat.get("ended")]


def node_at_work(folder, nodes):
    """A node on which a run is under way."""
    return next((node for beat in beats(folder) if (node := nodes.by_id(beat["node_id"]))), None)


def lines_of(folder, name):
    return [json.loads(line) for path in folder.glob(f"trials/*/{name}") for line in path.read_text().splitlines()]


def steps_done_twice(folder):
    """Of every run that was begun again: steps that its lost process had done, as far as known, since its checkpoint."""
    found = {}
    for path in folder.glob("trials/*/restarts.jsonl"):
        lost = [json.loads(line)["step"] for line in path.read_text().splitlines()]
        log = (path.parent / "log.txt").read_text()
        resumed = [int(step) for step in re.findall(r"goes on from checkpoint/last, at step (\d+)", log)]
        found[path.parent.name] = sum(lost) - sum(resumed)
    return found


@pytest.mark.fault("a node that is lost at a random moment")
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_node_lost_at_any_moment_costs_no_more_than_the_work_since_a_checkpoint(
    seed, file, expected, nodes, tmp_path, fault
):
    moment = int(np.random.default_rng(seed).integers(1, NUM_ROWS - STEPS // STEPS_BETWEEN_EVALUATIONS))
    folder = tmp_path / "run"
    with fault.once(), started(file, folder, nodes) as driver:
        wait_until(lambda: num_rows(folder) >= moment, f"evaluation {moment}", PATIENCE)
        lost = wait_until(lambda: node_at_work(folder, nodes), "a node at work")
        if seed == 0:
            nodes.remove(lost)
        else:
            lost.kill_raylet()
            nodes.nodes.remove(lost)
        code, said = driver.end(PATIENCE)
        assert code == 0, said
        assert_same_results(folder, expected)
    named = [line for line in said.splitlines() if f"node {lost.node_id[:8]} " in line]
    # Where trials still ran when Ray found it dead, some 10 s later.
    assert all("has left the cluster" in line for line in named[:1]), named
    assert all(line["kind"] == "lost" for line in lines_of(folder, "attempts.jsonl"))
    again = steps_done_twice(folder)
    assert len(again) <= 1, said
    assert all(steps <= STEPS_BETWEEN_EVALUATIONS for steps in again.values()), again


@pytest.mark.fault("a node that joins")
def test_a_node_that_joins_is_used_within_a_minute(ground, nodes, tmp_path, fault):
    while len(nodes.nodes) > 1:
        nodes.remove(nodes.nodes[-1])
    file = ground.write(tmp_path / "sweep.yaml", resources__concurrent_trials=None)
    ground.traps.lay("gate")
    folder = tmp_path / "run"
    with fault.once(), started(file, folder, nodes) as driver:
        wait_for_gate(ground)
        joined_at, joined = time.time(), nodes.add(1)
        beat = wait_until(
            lambda: next((beat for beat in beats(folder) if beat["node_id"] == joined.node_id), None),
            "its first run",
            PATIENCE,
        )
        ground.traps.open()
        code, said = driver.end(PATIENCE)
        assert code == 0, said
        assert beat["started"] - joined_at < SECONDS_TO_USE_A_NODE
    assert re.search(rf"node {joined.node_id[:8]} \(.*\) has joined the cluster: 2 at once fit now, 1 did", said), said


@pytest.mark.fault("a node of one of a trial's workers that is lost")
def test_a_trial_of_two_workers_goes_on_with_the_one_that_is_left(ground, nodes, tmp_path, fault):
    (trapped, _) = ground.document()["sweep"]["strategies"]
    alone = {"sweep__strategies": [trapped], "sweep__seeds": 1, "model__dropout": 0.0}  # ranks draw their own
    one, two = tmp_path / "one", tmp_path / "two"
    called(sweep_in_this_process, ground.write(tmp_path / "one.yaml", **alone), one)
    file = ground.write(tmp_path / "two.yaml", **alone, resources__workers_per_trial=2)
    ground.traps.lay("gate")
    with fault.once(), started(file, two, nodes) as driver:
        wait_for_gate(ground)
        lost = wait_until(lambda: node_at_work(two, nodes), "the node of rank 0", PATIENCE)
        nodes.remove(lost)
        code, said = driver.end(PATIENCE)
        assert code == 0, said
        ours, expected = raybert.load_sweep(two), raybert.load_sweep(one)
        assert list(ours.evaluations["step"]) == list(expected.evaluations["step"])  # none of them twice
        for column in ("validation_loss", "train_loss"):
            pd.testing.assert_series_equal(ours.evaluations[column], expected.evaluations[column], rtol=1e-4)
        assert ours.trials["optimizer_steps"].tolist() == expected.trials["optimizer_steps"].tolist()
    assert "1 of 2 workers" in ours.trials["notes"].iloc[0]
