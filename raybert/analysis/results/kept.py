"""What the trials of a sweep kept of single examples: who chose them, and their last training losses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from raybert.analysis.results.sweep import Sweep
from raybert.analysis.statistics.configurations import KEY
from raybert.analysis.statistics.examples import OfExamples, kept_shares, mean_over_trials


@dataclass(frozen=True)
class Hardness:
    """By what the examples of a pool are sorted.

    Attributes:
        values: (n,) float32, higher = harder; NaN: not known.
        words: what it is.
    """

    values: np.ndarray
    words: str


@dataclass(frozen=True)
class LastLosses:
    """The last training losses of every strategy, and when they were measured.

    Attributes:
        losses: in nat; NaN: the example was never trained on.
        passes: in which pass that was, as a share of the run: 0 the first, 1 the last.
        num_damaged: trials whose file of losses cannot be read.
    """

    losses: list[OfExamples]
    passes: list[OfExamples]
    num_damaged: int = 0

    @property
    def left_out(self) -> str:
        """What a picture of them does not show, in words; empty: nothing."""
        trials = "1 trial" if self.num_damaged == 1 else f"{self.num_damaged} trials"
        return f"without {trials} whose losses.npz is damaged" if self.num_damaged else ""


def of_one_fold(sweep: Sweep) -> str:
    """Return what pictures of single examples do not show: folds have other pools; empty: there is one."""
    return "fold 0 alone: every fold has a pool of its own" if sweep.replicates == "folds" else ""


def kept_examples(sweep: Sweep) -> list[OfExamples]:
    """Return how often each pool example of fold 0 was kept by each strategy; `all`, which keeps all, is left out."""
    own = (subset for subset in sweep.subsets(of_pools=sweep.pools()) if subset.fold == 0)
    return kept_shares(subset for subset in own if subset.strategy != "all")


def last_losses(sweep: Sweep) -> LastLosses:
    """Return the last training losses of the pool of fold 0; empty where no trial has kept any."""
    losses, passes, num_damaged = [], [], 0
    pool = sweep.pool()
    trials = sweep.comparable_trials()
    for trial in trials[trials["fold"] == 0].to_dict("records"):
        found = sweep.whole_losses(trial["trial_id"])
        num_damaged += found is None and sweep.has_losses(trial["trial_id"])
        if found is None or pool is None or len(found) != len(pool):
            continue
        name = "all" if trial["strategy"] == "all" else sweep.configurations[trial[KEY]].label
        key = (name, int(trial["budget"]), str(trial["budget_kind"]))
        losses.append(OfExamples(*key, found["loss"].to_numpy(np.float32)))
        number = found["loss_pass"].to_numpy()
        last = max(1, int(number.max()))
        passes.append(OfExamples(*key, np.where(number < 0, np.nan, number / last).astype(np.float32)))
    return LastLosses(mean_over_trials(losses), mean_over_trials(passes), num_damaged)


def hardness_of(sweep: Sweep) -> Hardness | None:
    """Return the mean last loss of each example of fold 0 where the whole pool was trained on: by `all`, or proxies.

    None: there is no such run that has kept its losses.
    """
    complete = sweep.trials[(sweep.trials["status"] == "complete") & (sweep.trials["fold"] == 0)]
    pool = sweep.pool()
    for rows, words in (
        (complete[complete["strategy"] == "all"], "last loss in the training of all"),
        (complete[complete["role"] == "proxy"], "last loss in the training of the proxies"),
    ):
        found = [sweep.whole_losses(str(trial_id)) for trial_id in rows["trial_id"]]
        own = [
            OfExamples("", 0, "none", losses["loss"].to_numpy(np.float32))
            for losses in found
            if losses is not None and pool is not None and len(losses) == len(pool)
        ]
        if own:
            return Hardness(mean_over_trials(own)[0].values, words)
    return None
