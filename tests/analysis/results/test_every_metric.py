"""Every metric of validation and test, per trial and as mean and deviation over folds; metrics of a user's own among them."""

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as reference

from raybert.analysis import load_sweep
from raybert.analysis.results.metric_texts import five_table, metrics_markdown
from raybert.config import dump_yaml, validate_config
from raybert.errors import SweepError
from raybert.tables import BEST_F1, METRIC_MEANS, METRICS_PER_TRIAL, MOST_PROBABLE
from raybert.training.measures.metrics import evaluation_metrics
from raybert.training.measures.weighted import best_f1_threshold, every_metric
from tests.analysis.folders import make_spec, write_evaluations, write_plan, write_result

ALARMS = [0.0, 0.05, 0.1, 0.15, 0.2, 0.26, 0.3, 0.36]
"""On test, of the folds of random and of el2n."""


def probabilities(seed, num_examples=60, num_classes=2):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, num_classes, num_examples)
    scores = generator.normal(size=(num_examples, num_classes)).round(1)
    scores[np.arange(num_examples), labels] += 1
    probs = (np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)).astype(np.float32)
    return labels, probs


def write_splits(folder, spec, splits):
    parts = [
        pd.DataFrame(probs, columns=[f"prob_{c}" for c in range(probs.shape[1])]).assign(split=split, label=labels)
        for split, (labels, probs) in splits.items()
    ]
    path = folder / "trials" / spec["trial_id"] / "predictions.parquet"
    pd.concat(parts).assign(row=0).to_parquet(path, index=False)


@pytest.fixture(scope="module")
def folds(tmp_path_factory):
    """A sweep of two strategies over four folds, with predictions, and a metric of a user's own that nobody can import."""
    folder = tmp_path_factory.mktemp("folds") / "run"
    specs = [
        make_spec(name, 0, fold=fold, trial_id=f"{name}-{fold}") for name in ("random", "el2n") for fold in range(4)
    ]
    write_plan(folder, specs, ("no", "yes"))
    kept = {}
    for number, spec in enumerate(specs):
        own = {"validation_alarms": number / 10, "test_alarms": ALARMS[number]}
        write_result(folder, spec, 0.7 + number / 100, **own)
        write_evaluations(folder, spec, (0.4, 0.5))
        kept[spec["trial_id"]] = {"validation": probabilities(number), "test": probabilities(100 + number)}
        write_splits(folder, spec, kept[spec["trial_id"]])
    metric = {"function": "gone_module:alarms", "direction": "lower", "range": [0, 1]}
    config = validate_config(
        {"sweep": {"strategies": ["random", "el2n"]}, "train": {"metrics": [metric], "best_metric": "alarms"}}
    )
    (folder / "resolved.yaml").write_text(dump_yaml(config))
    return folder, kept


@pytest.mark.parametrize("num_classes", [2, 3])
def test_the_fast_way_gives_what_scikit_learn_gives(num_classes):
    labels, probs = probabilities(3, 200, num_classes)
    found, expected = every_metric(labels, probs), evaluation_metrics(labels, probs)
    assert list(found) == list(expected)
    assert found == pytest.approx(expected, abs=1e-12)


def test_the_threshold_has_the_highest_f1_of_all():
    for seed in range(20):
        labels, probs = probabilities(seed, 40)
        tried = np.unique(probs[:, 1])
        values = [reference.f1_score(labels, probs[:, 1] >= threshold) for threshold in tried]
        assert best_f1_threshold(labels, probs[:, 1]) == tried[int(np.argmax(values))], "the lowest of equals"
    assert np.isnan(best_f1_threshold(np.zeros(4, int), np.linspace(0, 1, 4)))


def test_each_fold_has_every_metric_by_both_decisions(folds):
    folder, kept = folds
    table = load_sweep(folder).metrics_per_trial
    assert len(table) == 8 * 2 * 2
    assert {column.name for column in METRICS_PER_TRIAL.columns} <= {*table}
    for row in table.to_dict("records"):
        labels, probs = kept[row["trial_id"]][row["split"]]
        own, scores = kept[row["trial_id"]]["validation"]
        is_plain = row["decision"] == MOST_PROBABLE
        predicted = probs.argmax(axis=1) if is_plain else probs[:, 1] >= best_f1_threshold(own, scores[:, 1])
        assert row["recall"] == pytest.approx(reference.recall_score(labels, predicted))
        assert row["mcc"] == pytest.approx(reference.matthews_corrcoef(labels, predicted))
        assert (np.isnan(row["threshold"]), np.isnan(row["alarms"])) == (is_plain, not is_plain)
        if is_plain:
            assert row["brier"] == pytest.approx(np.mean((probs[:, 1] - labels) ** 2), abs=1e-6)
            assert row["num_examples"] == 60


def test_means_and_deviations_are_those_of_the_folds(folds):
    folder, kept = folds
    sweep = load_sweep(folder)
    table = sweep.metrics.set_index(["configuration", "split", "decision", "metric"])
    assert {column.name for column in METRIC_MEANS} == {*sweep.metrics}
    for split in ("validation", "test"):
        values = [
            reference.f1_score(labels, probs.argmax(axis=1))
            for labels, probs in (kept[f"el2n-{k}"][split] for k in range(4))
        ]
        row = table.loc[("el2n", split, MOST_PROBABLE, "f1")]
        assert (row["num_replicates"], row["mean"]) == (4, pytest.approx(np.mean(values)))
        assert row["std"] == pytest.approx(np.std(values, ddof=1))
        assert row["low"] < row["mean"] < row["high"]
    thresholds = [
        best_f1_threshold(labels, probs[:, 1]) for labels, probs in (kept[f"el2n-{k}"]["validation"] for k in range(4))
    ]
    assert table.loc[("el2n", "test", BEST_F1, "threshold"), "mean"] == pytest.approx(np.mean(thresholds))
    assert table.loc[("random", "test", MOST_PROBABLE, "alarms"), "mean"] == pytest.approx(np.mean(ALARMS[:4]))


def test_the_texts_have_the_five_metrics_of_both_splits(folds):
    sweep = load_sweep(folds[0])
    shown = five_table(sweep.metrics)
    assert shown.columns == ("strategy", "split", "accuracy", "precision", "recall", "F1", "ROC-AUC")
    assert [row.cells[:2] for row in shown.rows] == [(n, s) for n in ("random", "el2n") for s in ("validation", "test")]
    mean, std = sweep.metrics.query("configuration == 'el2n' and split == 'test' and metric == 'accuracy'")[
        ["mean", "std"]
    ].iloc[0]
    assert shown.rows[3].cells[2] == f"{100 * mean:.1f}±{100 * std:.1f}"
    text = metrics_markdown("x", sweep.metrics, sweep.replicates).splitlines()
    assert text[2] == "Shares in percent; mean ± standard deviation over 4 folds."
    assert text[4].startswith("| strategy | accuracy, validation | accuracy, test | precision, validation |")
    assert text[7].split(" | ")[2].replace(" ± ", "±") == shown.rows[3].cells[2]
    assert "| alarms | 15.0 ± 12.9 | 7.5 ± 6.5 |  |  |" in text


def test_results_with_a_metric_of_ones_own_are_read_without_its_module(folds):
    """It decides: less of it is better, so random is best, though el2n is more accurate."""
    sweep = load_sweep(folds[0])
    assert sweep.metric == "alarms"
    assert sweep.best()["configuration"] == "random"
    row = sweep.summary().set_index("strategy").loc["el2n"]
    assert (row["metric"], row["verdict"]) == ("alarms", "worse")
    assert row["test_alarms_vs_random"] == pytest.approx(0.205)
    assert row["validation_alarms_mean"] == pytest.approx(0.55)
    assert [line.cells[0] for line in sweep.comparison().rows] == ["random", "el2n"]
    assert sweep.comparison().rows[0].cells[3].startswith("7.5")
    assert sweep.compare(None, "alarms")["verdict"].tolist() == ["worse"]
    with pytest.raises(SweepError, match="metric: must be one of .*loss, alarms, got 'sirens'"):
        sweep.summary("sirens")
