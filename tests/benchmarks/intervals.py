"""How often intervals of a mean over few seeds hold the truth: the plain t interval, cut at the range, and raybert's.

Accuracies of seeds are drawn from a beta distribution and rounded to a test split of 1,000 examples; of every family the
95 % intervals are asked whether they hold the mean. No training, about 10 seconds.

    python -m tests.benchmarks.intervals
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from raybert.analysis.statistics.intervals import mean_interval, t_interval

FAMILIES = 40_000
TEST_EXAMPLES = 1000
CASES = ((0.5, 0.03), (0.75, 0.01), (0.9, 0.05), (0.95, 0.03), (0.99, 0.003), (0.99, 0.008), (0.995, 0.005))


def cut_interval(mean: np.ndarray, std: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the plain t interval, cut at 0 and 1."""
    low, high = t_interval(mean, std, count)
    return np.clip(low, 0, 1), np.clip(high, 0, 1)


def measure(
    interval: Callable[..., tuple[np.ndarray, np.ndarray]], shares: np.ndarray, truth: float
) -> tuple[float, float, float]:
    """Return the share of families whose interval holds the truth, of those beyond the range, and the mean width."""
    low, high = interval(shares.mean(axis=1), shares.std(axis=1, ddof=1), np.full(len(shares), shares.shape[1]))
    known = ~np.isnan(low)
    low, high = low[known], high[known]
    return float(((low <= truth) & (truth <= high)).mean()), float((high > 1).mean()), float((high - low).mean())


def main() -> None:
    """Print a line per case."""
    generator = np.random.default_rng(0)
    print(
        f"{'mean':>6}{'std':>7}{'seeds':>6}   plain: covers, above 100 %   cut: covers   logit: covers, width / plain"
    )
    for mean, std in CASES:
        size = mean * (1 - mean) / std**2 - 1
        for count in (3, 5, 10):
            drawn = generator.beta(mean * size, (1 - mean) * size, (FAMILIES, count))
            shares = np.round(drawn * TEST_EXAMPLES) / TEST_EXAMPLES
            plain, cut, ours = (measure(f, shares, mean) for f in (t_interval, cut_interval, mean_interval))
            print(
                f"{mean:6.3f}{std:7.3f}{count:6d}   {plain[0]:13.3f}{plain[1]:14.3f}   {cut[0]:11.3f}   "
                f"{ours[0]:13.3f}{ours[2] / plain[2]:14.2f}"
            )


if __name__ == "__main__":
    main()
