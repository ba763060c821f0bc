"""Which commands tokenize: each text once, in the first of them; what follows maps what is kept."""

import random

import numpy as np
import pytest

import raybert
from raybert.data.tokens import TextEncoder
from tests.e2e.commands import run

pytestmark = [pytest.mark.long, pytest.mark.slow, pytest.mark.ray, pytest.mark.usefixtures("no_pixels")]

WORDS = {"ham": ("tea", "garden", "walk", "lunch", "home"), "spam": ("win", "cash", "free", "prize", "claim")}
SIZE = 360
"""Texts of a split: of more than 200 kB, below which nothing is kept."""
FILE = """\
name: kept
data: {source: DATA, max_length: 16, truncation_side: right}
train: {length: {steps: 4}, batch_size: 8, learning_rate: 3.0e-3}
selection: {budget: 16}
sweep: {strategies: [random, el2n], seeds: 1, plots: []}
resources: {concurrent_trials: 1}
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder of three splits, a sweep file, and a cache of their own."""
    generator = random.Random(0)
    (tmp_path / "data").mkdir()
    for split in ("train", "validation", "test"):
        labels = [generator.choice(("ham", "spam")) for _ in range(SIZE)]
        texts = [" ".join(generator.choices(WORDS[label], k=120)) + f" {split} {n}" for n, label in enumerate(labels)]
        frame = "text,label\n" + "".join(f"{t},{y}\n" for t, y in zip(texts, labels, strict=True))
        (tmp_path / "data" / f"{split}.csv").write_text(frame)
    (tmp_path / "kept.yaml").write_text(FILE.replace("DATA", str(tmp_path / "data")))
    monkeypatch.setenv("RAYBERT_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def tokenized(monkeypatch):
    """How many texts this process, which is the driver, tokenizes; trials and scoring workers map its tables."""
    counts = []
    original = TextEncoder._parts

    def parts(self, table, done):
        counts.append(table.num_rows)
        return original(self, table, done)

    monkeypatch.setattr(TextEncoder, "_parts", parts)

    def by(*arguments):
        counts.clear()
        done = run(*arguments)
        assert done.code == 0, done.said
        return sum(count for count in counts if count >= SIZE)

    return by


def test_a_sweep_tokenizes_each_text_once_and_what_comes_after_it_none(place, ray_cluster, tokenized):
    file, folder = place / "kept.yaml", place / "runs"
    assert tokenized("sweep", file, "--output", folder) == 3 * SIZE
    results = raybert.load_sweep(folder)
    trial = results.trials.set_index("strategy").loc["el2n", "trial_id"]
    other = ("--set", "sweep.strategies=[all, k_center]", "--set", "sweep.seeds=2", "--set", "selection.budget=24")
    assert {
        "the same": tokenized("sweep", file, "--output", folder),
        "other strategies": tokenized("sweep", file, "--output", place / "other", *other),
        "plan": tokenized("plan", file, "--output", place / "new", "--no-probe"),
        "select": tokenized("select", file, "--strategy", "el2n", "--output", place / "chosen.csv"),
        "train": tokenized("train", file, "--output", place / "one"),
        "reproduce": tokenized("reproduce", folder, trial),
        "report": tokenized("report", folder),
        "evaluate": tokenized("evaluate", folder, "--output", place / "evaluated"),
    } == dict.fromkeys(
        ("the same", "other strategies", "plan", "select", "train", "reproduce", "report", "evaluate"), 0
    )
    assert tokenized("sweep", file, "--output", place / "cut", "--set", "data.max_length=12") == 3 * SIZE
    assert np.isfinite(results.trials["test_accuracy"].dropna()).all()


def test_texts_to_predict_are_never_kept(place, ray_cluster, tokenized):
    file = place / "kept.yaml"
    assert tokenized("train", file, "--output", place / "one") == 3 * SIZE
    test = place / "data" / "test.csv"
    labelled = ("evaluate", place / "one", "--data", test, "--output", place / "evaluated")
    assert tokenized(*labelled) == SIZE  # as a model reads them, without the sweep's data
    assert tokenized(*labelled) == 0
    (place / "unlabelled.csv").write_text((place / "data" / "train.csv").read_text().replace("train", "unseen"))
    for _ in range(2):
        assert tokenized("predict", place / "one", place / "unlabelled.csv", "--output", place / "p.csv") == SIZE
