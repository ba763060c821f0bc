"""Runs at once follow the nodes that are there, and whoever joins or leaves is said."""

import pytest
from ray.tune.search import Searcher

from raybert.config import ResourcesConfig
from raybert.sweeping.cluster.connect import Cluster
from raybert.sweeping.cluster.slots import NodeWatch, SlotLimiter
from raybert.sweeping.cluster.stateless import StatelessSearcher

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]


def node(name, cpus=1.0, *, alive=True, reason=0):
    known = {"NodeID": name * 8, "NodeManagerHostname": f"host-{name}", "NodeManagerAddress": "10.0.0.1"}
    return {**known, "Alive": alive, "Resources": {"CPU": cpus} if alive else {}, "DeathReason": reason}


def watch_of(*nodes, max_nodes=None, **resources):
    said = []
    there = Cluster.of_nodes(tuple(one["Resources"] for one in nodes), is_local=False)
    watch = NodeWatch(ResourcesConfig(**resources), there, max_nodes, said.append)
    watch.look(nodes)
    return watch, said


def test_a_node_that_joins_and_one_that_leaves_change_how_many_run_at_once():
    watch, said = watch_of(node("a", 2.0))
    assert (watch.slots, said) == (2, [])
    watch.look([node("a", 2.0), node("b", 4.0)])
    assert watch.slots == 6
    assert said.pop() == "node bbbbbbbb (host-b, 10.0.0.1) has joined the cluster: 6 at once fit now, 2 did"
    gone = node("b", alive=False, reason=2)
    watch.look([node("a", 2.0), gone])
    assert watch.slots == 2
    assert said.pop() == "node bbbbbbbb (host-b, 10.0.0.1) has left the cluster unexpectedly: 2 at once fit now, 6 did"
    watch.look([node("a", 2.0), gone])  # Ray lists it for long
    assert not said


def test_a_spot_machine_that_is_taken_away_and_replaced_is_one_line():
    watch, said = watch_of(node("a"), node("b"))
    watch.look([node("a"), node("b", alive=False, reason=3), node("c")])
    (line,) = said
    assert "has left the cluster, its machine is taken away; node cccccccc" in line
    assert line.endswith("has joined the cluster: 2 at once fit now")


def test_workers_of_a_run_and_the_limits_of_the_file_count():
    watch, _ = watch_of(node("a", 2.0), workers_per_trial=2, concurrent_trials=3)
    assert watch.slots == 1
    watch.look([node("a", 2.0), node("b", 8.0)])
    assert watch.slots == 3  # 5 would fit
    watch, _ = watch_of(node("a", 2.0), max_nodes=4)
    assert watch.slots == 8  # an autoscaler is asked for as many
    watch.look([node("a", 2.0), *(node(name, 2.0) for name in "bcdef")])
    assert watch.slots == 12


class Numbers(StatelessSearcher):
    """Suggests 0, 1, 2, and has finished."""

    def __init__(self):
        super().__init__()
        self.given, self.ended = 0, []

    def suggest(self, trial_id):
        self.given += 1
        return Searcher.FINISHED if self.given > 3 else {"index": self.given - 1}

    def on_trial_complete(self, trial_id, result=None, error=False):
        self.ended.append((trial_id, error))


def test_a_searcher_is_asked_for_as_many_as_fit_now():
    watch, _ = watch_of(node("a"))
    numbers = Numbers()
    limiter = SlotLimiter(numbers, watch)
    assert limiter.suggest("x") == {"index": 0}
    assert limiter.suggest("y") is None
    assert numbers.given == 1  # what is not run yet is not chosen yet
    watch.look([node("a"), node("b")])
    assert limiter.suggest("y") == {"index": 1}
    assert limiter.suggest("z") is None
    watch.look([node("b")])
    limiter.on_trial_complete("x", error=True)
    limiter.on_trial_complete("nobody")
    assert numbers.ended == [("x", True)]
    assert limiter.suggest("z") is None  # one node, one run
    limiter.on_trial_complete("y")
    assert limiter.suggest("z") == {"index": 2}
    limiter.on_trial_complete("z")
    assert limiter.suggest("w") == Searcher.FINISHED
    assert numbers.ended == [("x", True), ("y", False), ("z", False)]
