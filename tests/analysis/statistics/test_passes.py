"""The table per pass, by hand: means over seeds with their spread, folds averaged first, early stopping counted."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from raybert.analysis.statistics.passes import per_pass_table
from tests.analysis.statistics.test_summary import trials_of


def evaluations_of(trials, losses):
    """An evaluation per loss of each trial, two steps and 64 examples apart."""
    return pd.DataFrame(
        [
            {
                "trial_id": row["trial_id"],
                **{key: row[key] for key in ("strategy", "seed", "fold", "budget")},
                "configuration": row["strategy"],
                "evaluation": number + 1,
                "pass": number + 0.5,
                "step": 2 * (number + 1),
                "examples_seen": 64 * (number + 1),
                "samples": 32,
                "train_loss": loss,
                "validation_accuracy": 1 - loss / 2,
                "learning_rate": 0.01,
            }
            for row in trials.to_dict("records")
            for number, loss in enumerate(losses[row["trial_id"]])
        ]
    )


def test_means_and_intervals_over_seeds():
    trials = trials_of({"random": [0.5, 0.5, 0.5]}).assign(configuration="random")
    losses = {"random-0": [0.9, 0.3], "random-1": [0.8, 0.2], "random-2": [0.4]}
    table = per_pass_table(trials, evaluations_of(trials, losses))
    assert table[["evaluation", "step", "num_replicates"]].to_numpy().tolist() == [[1, 2, 3], [2, 4, 2]]
    assert table["pass"].tolist() == [0.5, 1.5]
    assert table["examples_seen_mean"].tolist() == [64, 128]
    assert table["train_loss_mean"].tolist() == pytest.approx([0.7, 0.25])
    accuracy = 1 - np.array([0.9, 0.8, 0.4]) / 2
    assert table.loc[0, "validation_accuracy_mean"] == pytest.approx(accuracy.mean())
    mean, std = accuracy.mean(), accuracy.std(ddof=1)
    half = stats.t.ppf(0.975, 2) * std / np.sqrt(3) / (mean * (1 - mean))
    low = 1 / (1 + np.exp(-(np.log(mean / (1 - mean)) - half)))
    assert table.loc[0, "validation_accuracy_low"] == pytest.approx(low)
    assert np.isnan(table.loc[1, "train_loss_low"])  # two seeds have no interval
    assert table.loc[1, "train_loss_std"] == pytest.approx(np.sqrt(0.005))
    assert np.isnan(table.loc[0, "learning_rate_low"])  # the same in all seeds
    assert table["validation_loss_mean"].isna().all()  # was not measured


def test_a_fold_is_the_mean_of_its_seeds_and_unfinished_runs_are_left_out():
    parts = [trials_of({"random": [0.5, 0.5]}).assign(fold=fold, configuration="random") for fold in (0, 1)]
    trials = pd.concat(parts, ignore_index=True)
    trials["trial_id"] = [f"{row.trial_id}-{row.fold}" for row in trials.itertuples()]
    trials.loc[3, "status"] = "pending"
    losses = {"random-0-0": [0.2], "random-1-0": [0.4], "random-0-1": [0.5], "random-1-1": [0.9]}
    (row,) = per_pass_table(trials, evaluations_of(trials, losses)).to_dict("records")
    assert (row["num_replicates"], row["train_loss_mean"]) == (2, pytest.approx(0.4))
