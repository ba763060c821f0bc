"""Places of a distributed trial that has lost a node are given back, and no others; a real node is lost."""

import contextlib
import os
import signal

import pytest

import raybert.sweeping  # noqa: F401 - sets what Ray reads, for the processes of below, too
from tests.clusters import OF_OTHER_RAYS, cluster_of
from tests.processes import called, wait_until

pytestmark = [pytest.mark.long, pytest.mark.slow, pytest.mark.ray]

PATIENCE = 300


@contextlib.contextmanager
def joined(address, environment):
    """Join a cluster in this process."""
    for name in OF_OTHER_RAYS:
        os.environ.pop(name, None)
    os.environ.update(environment)
    from raybert.sweeping.cluster.connect import connected

    with connected(address, check_versions=False):
        yield


def hold(size, num_nodes, **options):
    """Hold a place of a size on each of so many nodes; return the id of the group."""
    from ray.util import placement_group

    group = placement_group([size] * num_nodes, strategy="STRICT_SPREAD", **options)
    assert group.wait(PATIENCE)
    return group.id.hex()


def hold_for_another_driver(address, environment):
    """Hold a place on each node that outlives this driver; return the id of the group."""
    with joined(address, environment):
        return hold({"CPU": 1}, 3, lifetime="detached", name="of another")


def lose_a_node(address, environment, raylet, of_another):
    """Hold three groups, lose a node, give back; return what was given back early and late, and the states around it."""
    with joined(address, environment):
        from ray.util import placement_group_table

        from raybert.sweeping.cluster.stranded import give_back_stranded_places

        ids = {
            "workers": hold({"CPU": 1}, 3),
            "driving": hold({"memory": 1}, 3),  # as Ray Tune holds for itself
            "on the head": hold({"CPU": 3}, 1),  # no other node has so many
            "of another": of_another,
        }

        def states():
            table = placement_group_table()
            return {name: table[key]["state"] for name, key in ids.items()}

        early = give_back_stranded_places()  # all is well
        os.kill(raylet, signal.SIGKILL)
        wait_until(lambda: [*states().values()].count("RESCHEDULING") == 3, "groups that have lost a node", PATIENCE)
        before = states()
        late = give_back_stranded_places()
        wait_until(lambda: states()["workers"] == "REMOVED", "the group of the workers to be gone", PATIENCE)
        return early, before, late, states()


def test_the_places_of_workers_that_lost_a_node_are_given_back_and_no_others():
    with cluster_of(2, 2, head_cpus=5) as nodes:
        join = (nodes.address, nodes.environment)
        of_another = called(hold_for_another_driver, *join)
        early, before, late, after = called(lose_a_node, *join, nodes.nodes[0].raylet, of_another)
    assert (early, late) == (0, 1)
    assert before == {
        "workers": "RESCHEDULING",
        "driving": "RESCHEDULING",
        "on the head": "CREATED",
        "of another": "RESCHEDULING",
    }
    assert after == {**before, "workers": "REMOVED"}
