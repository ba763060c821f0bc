"""What the bootstrap over test examples takes: 10 strategies beside `random`, 5 seeds, 1,000 resamples.

python -m tests.benchmarks.example_bootstrap
"""

from __future__ import annotations

import time

import numpy as np

from raybert.analysis.statistics.on_examples import MeanOverExamples, MeasuredOnResamples, OnExamples
from raybert.config import METRICS

STRATEGIES, SEEDS = 10, 5


def predictions(size: int, num_classes: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return labels and probabilities of every run of a sweep, by trial."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, num_classes, size)
    found = {}
    for strategy in range(STRATEGIES + 1):
        for seed in range(SEEDS):
            scores = generator.normal(0, 1, (size, num_classes)) + 2 * np.eye(num_classes)[labels]
            shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
            found[f"{strategy}-{seed}"] = (labels, shares.astype(np.float32))
    return found


def seconds_of(metric: str, known: dict[str, tuple[np.ndarray, np.ndarray]]) -> float:
    """Return how long all intervals of a metric take."""
    start = time.perf_counter()
    on_examples: OnExamples = MeasuredOnResamples(metric, known.get)
    if metric == "accuracy":
        on_examples = MeanOverExamples(lambda name: (known[name][1].argmax(axis=1) == known[name][0]).astype(float))
    for strategy in range(1, STRATEGIES + 1):
        on_examples.interval([(0, [f"{strategy}-{seed}"], [f"0-{seed}"]) for seed in range(SEEDS)])
    return time.perf_counter() - start


def main() -> None:
    """Print a line per test set and metric."""
    for size, num_classes in ((1_000, 2), (1_000, 6), (10_000, 2), (10_000, 6)):
        known = predictions(size, num_classes)
        for metric in ("accuracy", "macro_f1", "mcc", "loss", "ece", "auc_roc", "auc_pr"):
            if num_classes == 2 or not METRICS[metric].two_classes_only:
                print(f"{size:,} examples, {num_classes} classes, {metric:>9}: {seconds_of(metric, known):5.2f} s")


if __name__ == "__main__":
    main()
