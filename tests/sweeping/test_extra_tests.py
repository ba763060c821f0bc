"""Trials that are measured on further test sets, and strategies that are compared there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from scipy import stats
from sklearn.metrics import accuracy_score, brier_score_loss, f1_score, mean_squared_error, r2_score
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import raybert
from raybert.config import validate_config
from raybert.data import load_splits
from raybert.data.extra_tests import with_extra_tests
from raybert.errors import SweepError
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.folder.spec_file import StoredSpec
from raybert.sweeping.phases.prepare import prepare
from raybert.sweeping.phases.unchanged import check_data, describe_contents
from raybert.sweeping.single.reproduce import _changed_rule
from raybert.sweeping.trial.run import run_trial
from raybert.tables import EXTRA_TESTS
from tests.in_one_process import sweep_in_this_process
from tests.processes import called
from tests.sweeping.planning import plan_of

pytestmark = pytest.mark.slow
SEEDS = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pool of two classes whose words tell them, and two other files with the same classes."""
    folder = tmp_path_factory.mktemp("elsewhere")
    generator = np.random.default_rng(4)

    def write(name: str, count: int, words: list[list[str]]) -> None:
        labels = generator.integers(0, 2, count)
        texts = [" ".join(generator.choice([*words[label], "and", "or", "is"], 6)) for label in labels]
        rows = {
            "text": [f"{text} {number}" for number, text in enumerate(texts)],
            "label": labels,
            "score": labels * 2.5,
        }
        pd.DataFrame(rows).to_csv(folder / name, index=False)

    write("pool.csv", 300, [["rain", "cold"], ["sun", "warm"]])
    write("near.csv", 90, [["rain", "wind"], ["sun", "light"]])
    write("far.csv", 60, [["snow"], ["heat"]])
    return folder


def document(folder: Path, **data: Any) -> dict[str, Any]:
    extra = {"near": {"source": str(folder / "near.csv"), "examples": 80}, "far": str(folder / "far.csv")}
    return {
        "data": {"source": str(folder / "pool.csv"), "max_length": 16, "extra_tests": extra, **data},
        "train": {"length": {"steps": 12}, "batch_size": 8, "learning_rate": 1e-3, "precision": "fp32"},
        "selection": {"budget": 0.3},
        "sweep": {"strategies": ["random", "all", "random_stratified", "el2n"], "seeds": SEEDS},
    }


@pytest.fixture(scope="module")
def run(folder: Path) -> Path:
    file, output = folder / "sweep.yaml", folder / "run"
    file.write_text(yaml.safe_dump(document(folder), sort_keys=False))
    called(sweep_in_this_process, file, output)
    return output


def predictions(run: Path, trial_id: str) -> dict[str, pd.DataFrame]:
    frame = pd.read_parquet(run / "trials" / trial_id / "extra_predictions.parquet")
    return {str(name): part for name, part in frame.groupby("split")}


def measured(run: Path, trial_id: str) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = json.loads((run / "trials" / trial_id / "extra_metrics.json").read_text())
    return found


def test_metrics_are_those_of_scikit_learn_on_the_rows_of_the_file(run, folder):
    sweep = raybert.load_sweep(run)
    far = pd.read_csv(folder / "far.csv")
    trials = sweep.trials[sweep.trials["role"] == "trial"]
    assert len(trials) == 4 * SEEDS
    for trial_id in trials["trial_id"]:
        of_trial = predictions(run, trial_id)
        assert {name: len(part) for name, part in of_trial.items()} == {"near": 80, "far": 60}
        assert of_trial["far"]["label"].tolist() == far["label"].tolist()
        for name, part in of_trial.items():
            predicted = part[["prob_0", "prob_1"]].to_numpy().argmax(axis=1)
            found = measured(run, trial_id)[name]
            assert found["accuracy"] == pytest.approx(accuracy_score(part["label"], predicted), abs=1e-12)
            assert found["macro_f1"] == pytest.approx(f1_score(part["label"], predicted, average="macro"), abs=1e-12)
    proxies = sweep.trials[sweep.trials["role"] == "proxy"]["trial_id"]
    assert len(proxies) == SEEDS
    assert not any((run / "trials" / trial_id / "extra_metrics.json").exists() for trial_id in proxies)


def test_predictions_are_those_of_the_published_model_by_transformers(run, folder):
    model = AutoModelForSequenceClassification.from_pretrained(run / "best").eval()
    tokenizer = AutoTokenizer.from_pretrained(run / "best")
    texts = pd.read_csv(folder / "far.csv")["text"].tolist()
    with torch.inference_mode():
        batch = tokenizer(texts, truncation=True, max_length=16, padding=True, return_tensors="pt")
        expected = model(**batch).logits.softmax(-1).numpy()
    found = predictions(run, (run / "best" / "trial_id").read_text().strip())["far"][["prob_0", "prob_1"]]
    np.testing.assert_allclose(found.to_numpy(), expected, atol=2e-6)


def test_strategies_are_compared_there_as_on_test(run):
    sweep = raybert.load_sweep(run)
    assert sweep.extra_test_names == ("near", "far")
    table = pd.read_parquet(run / "results" / "extra_tests.parquet")
    assert list(table) == EXTRA_TESTS.order()
    trials = sweep.trials[sweep.trials["role"] == "trial"]
    for test in sweep.extra_test_names:
        values = pd.Series({t: measured(run, t)[test]["accuracy"] for t in trials["trial_id"]}, name="value")
        wide = trials.join(values, on="trial_id").pivot(index="seed", columns="strategy", values="value")
        for strategy in ("random_stratified", "el2n"):
            (row,) = table[(table["test"] == test) & (table["strategy"] == strategy)].to_dict("records")
            difference = wide[strategy] - wide["random"]
            assert row["mean"] == pytest.approx(wide[strategy].mean(), abs=1e-12)
            assert row["difference"] == pytest.approx(difference.mean(), abs=1e-12)
            low, high = stats.t.interval(0.95, SEEDS - 1, difference.mean(), stats.sem(difference))
            assert (row["difference_low"], row["difference_high"]) == pytest.approx((low, high), abs=1e-9)
            assert row["p"] == pytest.approx(stats.ttest_rel(wide[strategy], wide["random"]).pvalue, abs=1e-9)
            assert row["test_mean"] == pytest.approx(
                trials.loc[trials["strategy"] == strategy, "test_accuracy"].mean(), abs=1e-12
            )
        assert {*table.loc[table["test"] == test, "strategy"]} == {"random", "all", "random_stratified", "el2n"}
        briers = [
            brier_score_loss(part["label"], part["prob_1"])
            for trial_id in trials.loc[trials["strategy"] == "el2n", "trial_id"]
            for part in [predictions(run, trial_id)[test]]
        ]
        summary = sweep.on_test(test).summary("brier").set_index("strategy")
        assert summary.loc["el2n", "test_brier_mean"] == pytest.approx(np.mean(briers), abs=1e-6)
    metrics = pd.read_parquet(run / "results" / "metrics.parquet")
    assert {*metrics["split"]} == {"validation", "test", "near", "far"}
    with pytest.raises(SweepError, match=r"test: must be a further test set of the sweep \(near, far\), got 'nah'"):
        sweep.on_test("nah")


@pytest.mark.parametrize("content", ["", "[]", '{"far": 3}', '{"far": {"accuracy": "much"}}', None])
def test_where_its_metrics_are_damaged_a_run_is_measured_by_what_it_predicted(run, tmp_path, content):
    expected = raybert.load_sweep(run).extra_tests
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    for path in copy.glob("trials/*/extra_metrics.json"):
        path.unlink() if content is None else path.write_text(content)
    found = raybert.load_sweep(copy).extra_tests
    pd.testing.assert_frame_equal(found[found["test"] == "far"], expected[expected["test"] == "far"])


def test_terminal_and_page_show_them(run):
    page = (run / "report.html").read_text()
    assert "On further test sets" in page
    words = str(raybert.load_sweep(run).on_test("far").claims())
    assert "test set far 60 examples" in words


def prepared_of(folder: Path, data: dict[str, Any], **sweep: Any) -> Any:
    config = validate_config(
        {**document(folder, **data), "sweep": {"strategies": ["random", "el2n"], "seeds": 2, **sweep}}
    )
    splits = with_extra_tests(load_splits(config.data, folder), config.data, folder)
    ready = prepare(config, splits, folder)
    return config, ready, plan_of(config, ready.facts)


def test_only_ids_of_what_is_measured_there_change_and_nothing_else_that_is_measured(folder, tmp_path):
    _, ready, plan = prepared_of(folder, {})
    _, plain, without = prepared_of(folder, {"extra_tests": {}})
    changed = {
        spec.role: spec.trial_id != other.trial_id for spec, other in zip(plan.trials, without.trials, strict=True)
    }
    assert changed == {"proxy": False, "trial": True}
    specs = [next(s for s in each.trials if s.label == "random") for each in (plan, without)]
    found = []
    for spec, each in zip(specs, (ready, plain), strict=True):
        sweep = SweepFolder(tmp_path / spec.trial_id)
        assert run_trial(spec, each.data, each.encoder, (), sweep, lambda row: None) == "complete"
        found.append(sweep.trial(spec.trial_id).path)
    assert (found[0] / "extra_predictions.parquet").exists()
    assert not (found[1] / "extra_predictions.parquet").exists()
    pd.testing.assert_frame_equal(*(pd.read_parquet(path / "predictions.parquet") for path in found))


def test_numbers_are_measured_as_scikit_learn_does(folder, tmp_path):
    _, ready, plan = prepared_of(folder, {"task": "regression", "label": "score"}, strategies=["random"])
    spec, sweep = plan.trials[0], SweepFolder(tmp_path)
    assert run_trial(spec, ready.data, ready.encoder, (), sweep, lambda row: None) == "complete"
    run = tmp_path
    part, found = predictions(run, spec.trial_id)["far"], measured(run, spec.trial_id)["far"]
    assert part["target_0"].tolist() == pd.read_csv(folder / "far.csv")["score"].tolist()
    assert found["rmse"] == pytest.approx(np.sqrt(mean_squared_error(part["target_0"], part["prob_0"])), abs=1e-5)
    assert found["r2"] == pytest.approx(r2_score(part["target_0"], part["prob_0"]), abs=1e-5)


def test_a_test_set_that_changed_is_refused_and_another_run_of_a_trial_says_nothing_of_rules(run, folder, tmp_path):
    _, ready, plan = prepared_of(folder, {})
    spec = next(spec for spec in plan.trials if spec.role == "trial")
    assert spec.extra_tests == ready.data.extra_tests_digest
    stored = StoredSpec(spec, ready.data.fingerprint, ready.encoder.fingerprint)
    assert _changed_rule(stored) == []
    document = {"data": {spec.data_key: describe_contents(ready)}}
    prepared = {spec.data_key: ready}
    check_data(SweepFolder(tmp_path), document, prepared)
    pd.read_csv(folder / "far.csv").head(50).to_csv(tmp_path / "far.csv", index=False)
    changed = {"extra_tests": {"near": str(folder / "near.csv"), "far": str(tmp_path / "far.csv")}}
    _, other, _ = prepared_of(folder, changed)
    with pytest.raises(SweepError, match=r"the content of data.extra_tests.near changed since this folder was begun"):
        check_data(SweepFolder(tmp_path), document, {spec.data_key: other})
