"""What pretraining gives the embedded encoder: `raybert-tiny` beside its random start and `raybert-tiny-random`.

Every encoder is fine-tuned at the best of one grid of learning rates (the one of the highest mean validation accuracy over
the first two seeds) on every task; then test accuracies are compared, paired over seeds (t intervals). The random start has the
architecture and the vocabulary of `raybert-tiny`, its weights are drawn anew with every seed. Besides: k-NN purity (the share
of a text's ten nearest neighbours that are of its class, by cosines of mean-pooled embeddings, nothing trained).
`docstrings` is the main job's task (all 4,000 examples, or 400 of them for 100 steps); TREC and SST-2 (samples) need
RAYBERT_DATA.

    python -m tests.benchmarks.embedded [--seeds 5] [--tasks docstrings ...] [--encoder NAME=FOLDER ...]
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
from scipy import stats
from transformers import AutoConfig, AutoModel, AutoTokenizer

from raybert.config import DataConfig, ModelConfig, TrainConfig
from raybert.data import TokenizedData, load_splits, tokenize_splits
from raybert.files import cache_folder
from raybert.models import Encoder, load_backbone, load_classifier, load_tokenizer, resolve_encoder
from raybert.models.quiet import quiet_transformers
from raybert.training import FitRequest, FixedPasses, Inference, LocalSurroundings, fit
from raybert.training.memory.allocator import keep_memory
from tests.benchmarks.material import dataset

RATES = (1e-3, 2e-3, 4e-3)
SEARCHED = 2
"""Seeds on which every rate is tried."""
NEIGHBOURS = 10
PRETRAINED, START, ON_POOL = "raybert-tiny", "random start", "raybert-tiny-random"


@dataclass(frozen=True)
class Task:
    """A data set, and how long to train on how much of it."""

    source: str
    train: int | None
    kept: int | None
    max_length: int
    least_steps: int = 100
    passes: int = 3

    @property
    def config(self) -> DataConfig:
        source = self.source if self.source == "docstrings" else str(dataset(self.source))
        sizes = {"validation_examples": 500, "test_examples": 1000} if self.source == "docstrings" else {}
        return DataConfig(source=source, max_length=self.max_length, train_examples=self.train, **sizes)


TASKS = {
    "docstrings": Task("docstrings", 4000, None, 64),
    "docstrings 10 %": Task("docstrings", 4000, 400, 64),
    "trec": Task("trec", 2000, None, 32),
    "sst2": Task("sst2", 2000, None, 64),
}


def random_start(of: Path, seed: int, folder: Path) -> Path:
    """Make the same encoder with first weights of a seed."""
    with quiet_transformers(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        AutoModel.from_config(AutoConfig.from_pretrained(of), dtype=torch.float32).save_pretrained(folder)
        AutoTokenizer.from_pretrained(of).save_pretrained(folder)
    return folder


def encoder_of(name: str, seed: int, texts: list[str], scratch: Path) -> Encoder:
    """Return a contender; names are those of `model.encoder`, NAME=FOLDER or the random start of `raybert-tiny`."""
    where = name.partition("=")[2] or name
    if name.startswith(START):
        shipped = resolve_encoder(ModelConfig(encoder=name.partition("=")[2] or PRETRAINED), [], cache_folder()).path
        where = str(random_start(shipped, seed, scratch / f"start-{seed}"))
    return resolve_encoder(ModelConfig(encoder=where), texts, cache_folder())


def tune(task: Task, name: str, seed: int, rates: tuple[float, ...]) -> dict[str, Any]:
    """Return validation and test accuracy at every rate, and the purity of the embeddings before."""
    torch.set_num_threads(1)
    keep_memory()
    splits = load_splits(task.config, cache_folder())
    with tempfile.TemporaryDirectory() as scratch:
        encoder = encoder_of(name, seed, splits.train["text"].to_pylist(), Path(scratch))
        data = tokenize_splits(splits, load_tokenizer(encoder), task.max_length)
        kept = np.arange(len(data.train))
        if task.kept is not None:
            kept = np.sort(np.random.default_rng(seed).choice(kept, task.kept, replace=False))
        steps = max(task.least_steps, task.passes * math.ceil(len(kept) / 32))
        found = {}
        for rate in rates:
            model = load_classifier(encoder, data.label_names, seed)
            config = TrainConfig(batch_size=32, learning_rate=rate)
            result = fit(model, data, FixedPasses(kept), FitRequest(config, steps, seed), LocalSurroundings())
            assert result.test_metrics is not None
            found[rate] = (result.best_row["validation_accuracy"], result.test_metrics["accuracy"])
        return {"accuracy": found, "purity": purity(encoder, data)}


def purity(encoder: Encoder, data: TokenizedData) -> float:
    """Return the mean share of the nearest texts of test, itself left out, that are of a text's class."""
    embeddings = Inference(load_backbone(encoder), data, "fp32").embeddings(data.test)
    cosines = embeddings @ embeddings.T
    np.fill_diagonal(cosines, -np.inf)
    nearest = np.argpartition(-cosines, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
    return float((data.test.labels[nearest] == data.test.labels[:, None]).mean())


def best_rate(answers: list[dict[str, Any]], rates: tuple[float, ...]) -> float:
    """Return the rate of the highest mean validation accuracy."""
    return max(rates, key=lambda rate: float(np.mean([one["accuracy"][rate][0] for one in answers])))


def interval(values: np.ndarray) -> tuple[float, float, float]:
    """Return the mean and its 95 % t interval."""
    mean = float(values.mean())
    half = float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)) if len(values) > 1 else math.nan
    return mean, mean - half, mean + half


def _job(job: tuple[str, str, int, tuple[float, ...]]) -> dict[str, Any]:
    task, name, seed, rates = job
    return tune(TASKS[task], name, seed, rates)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--encoder", nargs="+", default=[PRETRAINED, START, ON_POOL], metavar="NAME[=FOLDER]")
    parser.add_argument("--rates", nargs="+", type=float, default=list(RATES))
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    names, rates = arguments.encoder, tuple(arguments.rates)
    found: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)

    def search(jobs: list[tuple[str, str, int, tuple[float, ...]]]) -> None:
        for (task, name, seed, _), answer in zip(jobs, pool.imap(_job, jobs), strict=True):
            found[task, name].append(answer)
            shown = "  ".join(f"{rate:g}: {100 * of[1]:.1f}" for rate, of in answer["accuracy"].items())
            print(f"{task}, {name}, seed {seed}: test {shown}  purity {100 * answer['purity']:.1f}", flush=True)

    for task in arguments.tasks:
        with multiprocessing.get_context("spawn").Pool(arguments.processes) as pool:
            first = range(min(SEARCHED, arguments.seeds))
            search([(task, name, seed, rates) for name in names for seed in first])
            best_of = {name: best_rate(found[task, name], rates) for name in names}
            rest = range(SEARCHED, arguments.seeds)
            search([(task, name, seed, (best_of[name],)) for name in names for seed in rest])
        test: dict[str, np.ndarray] = {}
        for name in names:
            answers, best = found[task, name], best_of[name]
            test[name] = 100 * np.array([one["accuracy"][best][1] for one in answers])
            mean, low, high = interval(test[name])
            less, below, above = interval(test[names[0]] - test[name])
            row = {
                "benchmark": "embedded", "task": task, "encoder": name.partition("=")[0], "learning_rate": best,
                "test_accuracy": round(mean, 2), "low": round(low, 2), "high": round(high, 2),
                "difference": round(less, 2), "difference_low": round(below, 2), "difference_high": round(above, 2),
                "purity": round(100 * float(np.mean([one["purity"] for one in answers])), 2),
            }  # fmt: skip
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
