"""`plan.json`: which trials a sweep asks for, and what it searches."""

from __future__ import annotations

from collections.abc import Sequence

from raybert.files import write_json
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.folder.trial_index import write_index
from raybert.sweeping.plan.comparison import Plan
from raybert.sweeping.plan.specs import RunSpec


def write_plan(folder: SweepFolder, name: str, plan: Plan, further: Sequence[RunSpec] = ()) -> None:
    """Write the trials of the comparison (known once the search is over), and what is searched.

    Args:
        folder: of the results.
        name: of the sweep.
        plan: of the sweep.
        further: runs that only the search has read.
    """
    trials = list({spec.trial_id: spec for spec in (*plan.trials, *further)}.values())
    search = {"search": [arm.summary() for arm in plan.arms]} if plan.arms else {}
    write_json(
        folder.path / "plan.json",
        {"name": name, "trials": [{**spec.summary(), "data_key": spec.data_key} for spec in trials], **search},
    )
    write_index(folder)
