"""What a picture of a sweep does not show, or counts in a way of its own, in words that stand above it."""

from __future__ import annotations

from raybert.analysis.results.failed_runs import failures_counted
from raybert.analysis.results.sweep import Sweep
from raybert.analysis.statistics.configurations import KEY
from raybert.analysis.statistics.scales import Scale

_MOST_NAMES = 4


def uncounted_on_test(sweep: Sweep, *, shows_lost: bool = False) -> list[str]:
    """Return how a picture of the metric on test counts runs that failed, and runs in which it is undefined.

    Args:
        sweep: what is shown of it.
        shows_lost: whether configurations of which every run failed are in the picture.
    """
    return [*failures_counted(sweep.summary(), shows_lost=shows_lost), *_undefined(sweep)]


def uncounted_failures(sweep: Sweep) -> list[str]:
    """Return which runs a picture of complete runs alone leaves out."""
    return failures_counted(sweep.summary(), is_scored=False)


def unequal_passes(sweep: Sweep) -> list[str]:
    """Say where forward passes are no common unit of cost: of several models, or lengths of texts."""
    varied = [name for name in sweep.configurations.headers if name.startswith("model.") or name == "data.max_length"]
    return [f"forward passes do not cost the same at every {', '.join(varied)}: look at seconds"] if varied else []


def _undefined(sweep: Sweep) -> list[str]:
    """Name the configurations with runs in which the metric is undefined, as PR-AUC is where a class is missing."""
    name = f"test_{sweep.metric}"
    complete = sweep.compared.trials
    complete = complete[complete["status"] == "complete"]
    missing = complete[name].isna() if name in complete else complete["trial_id"].isna()
    if not missing.any() or missing.all():  # of nothing at all there is no picture but words
        return []
    counts = missing.groupby(complete[KEY], sort=False).agg(["sum", "size"])
    counts = counts[counts["sum"] > 0]
    names = [
        f"{key} ({'all' if few == size else f'{few} of'} {size} run{'' if size == 1 else 's'})"
        for key, few, size in counts.head(_MOST_NAMES).itertuples(name=None)
    ]
    more = [f"{len(counts) - _MOST_NAMES} more"] if len(counts) > _MOST_NAMES else []
    return [f"left out, since test {Scale(sweep.metric).words} is undefined: {'; '.join([*names, *more])}"]
