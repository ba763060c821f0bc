"""Every strategy of a sweep over its seeds: files of validation and test, tables of five metrics, what is missing."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import confusion_matrix, recall_score

import raybert
from raybert.errors import SweepError
from tests.analysis.folders import (
    make_spec,
    write_error,
    write_evaluations,
    write_plan,
    write_predictions,
    write_result,
)
from tests.e2e.commands import run

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_pixels")]


@pytest.fixture
def sweep(tmp_path):
    """Two strategies of three seeds, one trial failed; what each predicted."""
    folder = tmp_path / "run"
    specs = [make_spec(name, seed) for name in ("random", "el2n") for seed in range(3)]
    write_plan(folder, specs, ("no", "yes"))
    kept = {}
    for number, spec in enumerate(specs):
        if number == 5:
            write_error(folder, spec)
            continue
        generator = np.random.default_rng(number)
        labels = np.tile([0, 1], 20)
        predicted = np.where(generator.random(40) < 0.7, labels, 1 - labels)
        write_result(folder, spec, 0.7)
        write_evaluations(folder, spec, (0.4, 0.5))
        write_predictions(folder, spec, labels.tolist(), predicted.tolist())
        kept[spec["trial_id"]] = (labels, predicted)
    return folder, kept


def test_each_strategy_has_its_metrics_predictions_and_confusions(sweep):
    folder, kept = sweep
    found = raybert.evaluate_all(folder)
    assert {name: place.relative_to(folder).as_posix() for name, place in found.folders.items()} == {
        "random": "artifacts/random",
        "el2n": "artifacts/el2n",
    }
    own = [kept[f"random-40-{seed}"] for seed in range(3)]
    recalls = [recall_score(labels, predicted) for labels, predicted in own]
    for split in ("validation", "test"):
        place = folder / "artifacts" / "random" / split
        metrics = json.loads((place / "metrics.json").read_text())
        assert (metrics["num_trials"], metrics["over"]) == (3, "seeds")
        recall = metrics["metrics"]["most probable"]["recall"]
        assert (recall["mean"], recall["std"]) == pytest.approx((np.mean(recalls), np.std(recalls, ddof=1)))
        together = confusion_matrix(*(np.concatenate(part) for part in zip(*own, strict=True)))
        assert pd.read_csv(place / "confusion.csv", index_col=0).to_numpy().tolist() == together.tolist()
        predictions = pd.read_parquet(place / "predictions.parquet")
        assert predictions.groupby("seed").size().tolist() == [40] * 3
        assert (predictions["predicted"] == "yes").sum() == sum(int(predicted.sum()) for _, predicted in own)
        assert {"roc.png", "precision_recall.png", "calibration.png", "confusion.png"} <= {
            p.name for p in place.iterdir()
        }
    assert "2 of 3" not in " ".join(found.notes)
    assert found.notes == (
        "el2n: 1 of 3 trials not evaluated (failed); raybert sweep FILE --retry failed tries them again",
    )


@pytest.mark.long
@pytest.mark.slow
def test_the_command_prints_the_five_metrics_and_can_be_repeated(sweep):
    folder, kept = sweep
    for _ in range(2):
        done = run("evaluate", folder, "--all")
        assert done.code == 0, done.said
    accuracies = [float((labels == predicted).mean()) for labels, predicted in (kept[f"el2n-40-{s}"] for s in range(2))]
    cell = f"{100 * np.mean(accuracies):.1f} ± {100 * np.std(accuracies, ddof=1):.1f}"
    lines = [line.split() for line in done.out.splitlines()]
    assert max(map(len, done.out.splitlines()[:5])) <= 80
    assert [line[:2] for line in lines[1:5]] == [[n, s] for n in ("random", "el2n") for s in ("validation", "test")]
    assert cell.replace(" ± ", "±") in done.out
    assert f"| el2n | {cell} | {cell} |" in (folder / "artifacts" / "metrics.md").read_text()
    document = json.loads(run("evaluate", folder, "--all", "--json").out)
    means = {(row["configuration"], row["split"], row["metric"]): row["mean"] for row in document["metrics"]}
    assert means["el2n", "test", "accuracy"] == pytest.approx(np.mean(accuracies))
    wrong = run("evaluate", folder, "--all", "--data", "x.csv")
    assert (wrong.code, wrong.err.count("\n")) == (2, 1)
    assert "--data: must be left out with --all" in wrong.err


def test_other_peoples_files_and_empty_sweeps_are_refused(sweep, tmp_path):
    folder, _ = sweep
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    with pytest.raises(SweepError, match="output: must be an empty folder or a folder of `raybert evaluate --all`"):
        raybert.evaluate_all(folder, output=tmp_path / "mine")
    write_plan(tmp_path / "empty", [make_spec("random", 0)], ("no", "yes"))
    with pytest.raises(SweepError, match="must hold a complete trial with its predictions to evaluate"):
        raybert.evaluate_all(tmp_path / "empty")
