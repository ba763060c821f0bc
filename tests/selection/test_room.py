"""How many actors score at once, and what they leave of the CPUs, by hand."""

import pytest

from raybert.selection.room import Room


@pytest.mark.parametrize(
    ("room", "blocks", "actors", "share"),
    [
        (Room(2), 100, (2, 2), 0.9),  # 1.8 of 2 are taken, and a task of 0.2 has room
        (Room(1), 100, (1, 1), 0.8),
        (Room(8), 100, (8, 8), 0.9),
        (Room(8), 4, (4, 4), 1.0),
        (Room(8, gpus=1, gpus_per_actor=1), 100, (1, 1), 1.0),
        (Room(8, gpus=2, gpus_per_actor=0.4), 100, (4, 4), 1.0),  # two on each GPU: a fifth of each is left over
        (Room(0, most_cpus=16), 100, (1, 16), 0.9),  # a head alone, whose autoscaler may start two workers of 8
        (Room(8, most_cpus=8), 100, (8, 8), 0.9),  # nodes of a joined cluster may leave it
        (Room(8, 1, 1, most_cpus=64, most_gpus=8), 100, (1, 8), 1.0),
        (Room(8, 1, 0.25, most_cpus=64, most_gpus=8), 100, (4, 32), 1.0),
        (Room(8, 1, 1, most_cpus=64, most_gpus=8), 3, (1, 3), 1.0),
    ],
)
def test_actors_and_their_cpus(room, blocks, actors, share):
    assert room.actors(blocks) == actors
    assert room.cpu_share(blocks) == pytest.approx(share)


@pytest.mark.parametrize("cpus", range(1, 65))
def test_actors_never_take_all_cpus(cpus):
    for room in (Room(cpus), Room(cpus, most_cpus=cpus), Room(cpus, most_cpus=4 * cpus)):
        now, most = room.actors(10_000)
        share = room.cpu_share(10_000)
        assert now * share < cpus - 0.09
        assert most * share < max(cpus, room.most_cpus or 0) - 0.09
