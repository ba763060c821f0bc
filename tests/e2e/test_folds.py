"""Cross-validation as a user runs it: a csv file with groups, three folds, one seed."""

import random
from pathlib import Path

import pandas as pd
import pytest

import raybert
from raybert.evaluation.evaluate import Question, evaluate_target
from tests.e2e.commands import run

pytestmark = [pytest.mark.long, pytest.mark.slow, pytest.mark.ray, pytest.mark.usefixtures("no_pixels")]

WORDS = {"ham": ("tea", "garden", "walk", "lunch", "home"), "spam": ("win", "cash", "free", "prize", "claim")}
FILE = """\
name: folds
data: {source: texts.csv, group: author, folds: 3, max_length: 16}
train: {length: {steps: 16}, batch_size: 8, learning_rate: 3.0e-3}
selection: {budget: 0.2}
sweep: {strategies: [all, random], seeds: 1}
"""


def write_inputs(folder: Path) -> pd.DataFrame:
    generator = random.Random(0)
    rows = []
    for i in range(240):
        label = "spam" if generator.random() < 0.25 else "ham"
        words = WORDS[label if generator.random() < 0.8 else "ham"]  # so that folds differ in accuracy
        text = " ".join([*generator.choices(words, k=6), str(i)])
        rows.append({"text": text, "label": label, "author": f"author {generator.randrange(30)}"})
    frame = pd.DataFrame(rows)
    frame.to_csv(folder / "texts.csv", index=False)
    (folder / "folds.yaml").write_text(FILE)
    return frame


def test_a_sweep_over_three_folds_of_a_csv_file_with_groups(ray_cluster: object, tmp_path: Path, monkeypatch) -> None:
    frame = write_inputs(tmp_path)
    monkeypatch.chdir(tmp_path)
    done = run("sweep", "folds.yaml", "--output", "out")
    assert done.code == 0, done.said
    results = raybert.load_sweep(tmp_path / "out")
    assert (results.trials["status"] == "complete").all()
    assert sorted(zip(results.trials["strategy"], results.trials["fold"], strict=True)) == [
        *(("all", fold) for fold in range(3)),
        *(("random", fold) for fold in range(3)),
    ]
    summary = results.summary().set_index("strategy")
    assert summary["num_folds"].to_dict() == {"all": 3, "random": 3}
    assert summary["test_accuracy_low"].notna().any()  # where folds differ
    assert "one seed" not in done.out
    assert "Nadeau and Bengio (2003)" in " ".join(done.out.split())

    tested = []
    for row in results.trials[results.trials["strategy"] == "random"].to_dict("records"):
        predictions = results.predictions(row["trial_id"])
        tested.append(int((predictions["split"] == "test").sum()))
        pool = results.pool(row["fold"])
        chosen = results.selection(row["trial_id"])
        assert len(pool) == row["pool_size"]
        assert pool["example_id"].to_numpy()[chosen["position"]].tolist() == chosen["example_id"].tolist()
    assert sum(tested) == len(frame)
    assert (tmp_path / "out" / "best" / "trial_id").exists()
    answer = evaluate_target(tmp_path / "out", Question(num_resamples=0))
    assert sorted(answer.predictions["example_id"]) == sorted(set(answer.predictions["example_id"]))
    assert len(answer.predictions) == len(frame)
    assert answer.per_group is not None
    assert answer.per_group["num_examples"].sum() == len(frame)
    assert answer.notes == ("out of fold: test of 3 folds, each predicted by its own fold's model",)
