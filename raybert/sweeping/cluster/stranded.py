"""Places for the workers of a trial that nobody gives back: their trial was on a node that has left."""

from __future__ import annotations

import ray
from ray._raylet import PlacementGroupID  # of Cython, which has no public name
from ray.util import placement_group_table, remove_placement_group
from ray.util.placement_group import PlacementGroup

_HALF_LOST = "RESCHEDULING"
"""A group of places of which some were on a node that has left."""


def give_back_stranded_places() -> int:
    """Remove the groups of this driver's distributed trials that have lost a node; return how many there were.

    Where the controller of a Ray Train run has died, what gives its group back asks the dashboard about it, and without
    one keeps the group (Ray 2.60). The head then tries without a pause to place what has no room, and places nothing
    else. A controller that lives ends its workers anyway, and asks for a new group.
    """
    of_job = ray.get_runtime_context().get_job_id()  # the end of the ids of its groups
    stranded = [
        group
        for group, facts in placement_group_table().items()
        if facts["state"] == _HALF_LOST and group.endswith(of_job) and _is_of_workers(facts["bundles"])
    ]
    for group in stranded:
        remove_placement_group(PlacementGroup(PlacementGroupID(bytes.fromhex(group))))
    return len(stranded)


def _is_of_workers(bundles: dict[int, dict[str, float]]) -> bool:
    """Tell whether these are workers of Ray Train: what Ray Tune holds for such a trial itself has no CPU."""
    return any(bundle.get("CPU") or bundle.get("GPU") for bundle in bundles.values())
