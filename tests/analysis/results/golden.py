"""What is said of small sweeps, whole, to be read: `python -m tests.analysis.results.golden` writes it anew.

Each case is a file in `golden/`: what the terminal shows, then `results/claims.txt`. Read what changes.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raybert.analysis import load_sweep
from raybert.analysis.results.sweep import Sweep
from tests.analysis.folders import write_outcomes, write_resolved

FOLDER = Path(__file__).parent / "golden"
FAILED, PENDING = "failed", "pending"
RANDOM = [0.700, 0.712, 0.695, 0.705, 0.690]
NINE = [*RANDOM, 0.708, 0.699, 0.715, 0.703]


def above(values: list[float], gains: list[float]) -> list[float]:
    """Return values with a gain each."""
    return [round(value + gain, 4) for value, gain in zip(values, gains, strict=False)]


CASES: Mapping[str, Mapping[str, Any]] = {
    "clear_win_of_3_seeds": {
        "random": RANDOM[:3],
        "el2n": above(RANDOM[:3], [0.05, 0.051, 0.0495]),
        "k_center": [0.711, 0.690, 0.701],
    },
    "two_wins_of_5_seeds": {
        "random": RANDOM,
        "el2n": above(RANDOM, [0.1, 0.11, 0.09, 0.1, 0.105]),
        "d2": above(RANDOM, [0.07, 0.09, 0.08, 0.085, 0.075]),
    },
    "win_of_9_seeds": {"random": NINE, "el2n": above(NINE, [0.04, 0.05, 0.045, 0.055, 0.06, 0.03, 0.05, 0.045, 0.05])},
    "tie_of_3_seeds": {"random": RANDOM[:3], "el2n": [0.705, 0.701, 0.702]},
    "no_difference_by_tost": {"random": RANDOM, "el2n": above(RANDOM, [0.001, -0.001, 0.001, -0.002, 0.001])},
    "as_good_as_all": {
        "all": above(RANDOM, [0.1, 0.101, 0.0995, 0.1005, 0.099]),
        "random": RANDOM,
        "loss_threshold": above(RANDOM, [0.099, 0.1005, 0.0996, 0.1008, 0.0988]),
        "infobatch": [*above(RANDOM[:4], [0.101, 0.1003, 0.1, 0.0998]), FAILED],
        "el2n": above(RANDOM, [0.09, 0.11, 0.085, 0.1, 0.095]),
    },
    "loss": {"random": RANDOM, "el2n": above(RANDOM, [-0.05, -0.052, -0.048, -0.05, -0.049])},
    "one_seed": {"random": RANDOM[:1], "el2n": [0.9], "k_center": [0.6]},
    "two_seeds": {"random": RANDOM[:2], "el2n": [0.9, 0.92]},
    "better_only_without_failures": {
        "random": RANDOM,
        "el2n": [0.75, FAILED, 0.747, FAILED, 0.742],
        "k_center": above(RANDOM, [0.02, 0.022, 0.018, 0.021, 0.019]),
    },
    "failures_of_the_baseline": {
        "random": [0.70, FAILED, 0.695, 0.705, 0.69],
        "el2n": [0.72, 0.73, 0.714, 0.726, 0.711],
        "k_center": [0.70, 0.71, 0.699, 0.703, 0.68],
    },
    "one_strategy_failed_throughout": {
        "random": RANDOM,
        "el2n": [FAILED] * 5,
        "k_center": above(RANDOM, [0.01] * 4 + [0.0]),
    },
    "baseline_failed_throughout": {"random": [FAILED] * 3, "el2n": [0.75, 0.76, 0.74], "k_center": RANDOM[:3]},
    "one_seed_left": {"random": RANDOM, "el2n": [FAILED, FAILED, FAILED, FAILED, 0.74]},
    "all_failed": {"random": [FAILED] * 3, "el2n": [FAILED] * 3},
    "nothing_begun": {"random": [PENDING] * 3, "el2n": [PENDING] * 3},
    "running": {"random": [0.7, 0.712, PENDING], "el2n": [0.75, PENDING, PENDING]},
    "interrupted_with_a_failure": {
        "random": [0.70, 0.712, 0.695, PENDING],
        "el2n": [0.75, FAILED, 0.74, PENDING],
        "k_center": [0.71, 0.70, 0.69, 0.70],
    },
    "one_strategy": {"el2n": RANDOM},
    "the_same_runs": {"random": RANDOM, "el2n": RANDOM, "k_center": RANDOM},
    "the_same_difference_in_every_seed": {"random": RANDOM, "el2n": above(RANDOM, [0.02] * 5)},
    "folds": {
        "random": [[0.70, 0.71], [0.69, 0.70], [0.72, 0.71], [0.68, 0.70], [0.70, 0.69]],
        "el2n": [[0.75, 0.76], [0.73, 0.75], [0.77, 0.76], [0.72, 0.75], [0.76, 0.74]],
    },
    "folds_with_failures": {
        "random": [[0.70, 0.71], [0.69, 0.70], [0.72, 0.71], [0.68, 0.70], [0.70, 0.69]],
        "el2n": [[0.75, FAILED], [0.73, 0.75], [FAILED, FAILED], [0.72, 0.75], [0.76, PENDING]],
    },
}
STEPS = [0.7, 0.725, 0.7, 0.675, 0.7]
WITH_PREDICTIONS: Mapping[str, Mapping[str, Any]] = {
    "not_settled": {"random": STEPS, "el2n": above(STEPS, [0.025, 0.025, 0.05, 0.025, 0.025])},
    "confirmed_by_test_examples": {"random": STEPS, "el2n": above(STEPS, [0.25, 0.225, 0.225, 0.275, 0.25])},
    "confirmed_of_some_only": {
        "random": STEPS,
        "el2n": above(STEPS, [0.25, 0.225, 0.225, 0.275, 0.25]),
        "d2": [*above(STEPS[:3], [0.25, 0.225, 0.225]), FAILED, FAILED],
    },
}
"""Of trials that keep predictions of 40 test examples, of which as many are right."""
BY_LOSS: Mapping[str, Mapping[str, Any]] = {
    "cross_entropy": {"random": RANDOM, "el2n": [*above(RANDOM[:4], [0.05, 0.052, 0.048, 0.05]), FAILED]}
}
"""The same, of sweeps about the cross entropy, which is 1 - accuracy in these."""


NAMES = (*CASES, *BY_LOSS, *WITH_PREDICTIONS)


def said_of(name: str, folder: Path) -> str:
    """Return what is said of a case, whose results are written into a folder."""
    by_loss = name in BY_LOSS
    write_outcomes(folder, {**CASES, **BY_LOSS, **WITH_PREDICTIONS}[name], predicts=name in WITH_PREDICTIONS)
    if by_loss:
        write_resolved(folder, train={"best_metric": "loss"})
    sweep = load_sweep(folder)
    return f"{printed(sweep)}\n\nclaims.txt\n\n{sweep.claims()}\n"


def printed(sweep: Sweep) -> str:
    """Return what the terminal shows but the cost, a line each however long."""
    from rich.console import Console

    from raybert.terminal.comparison import summary_table

    out = io.StringIO()
    Console(file=out, width=2000, color_system=None).print(summary_table(sweep))
    lines = (line.rstrip() for line in out.getvalue().rstrip().splitlines())
    return "\n".join(line for line in lines if not line.startswith("cost: "))


def main() -> None:
    """Write all cases."""
    FOLDER.mkdir(exist_ok=True)
    for name in NAMES:
        with tempfile.TemporaryDirectory() as place:
            (FOLDER / f"{name}.txt").write_text(said_of(name, Path(place)), encoding="utf-8")


if __name__ == "__main__":
    main()
