"""A/A: random draws under other names, through a whole sweep: nothing is better, and the same draws are the same."""

import numpy as np
import pytest
import yaml

import raybert
from raybert.analysis.statistics.decision import BETTER, NOT_SETTLED, WORSE
from tests.e2e.commands import run_apart

pytestmark = [pytest.mark.long, pytest.mark.slow, pytest.mark.ray]

DRAWS = """
import numpy as np
import raybert
from raybert.selection.keys import mix_keys

class Draw(raybert.Strategy):
    '''A uniform draw with keys of its own; 0: those of `random`.'''

    name = "draw"
    key: int = 0

    def choose(self, pool, budget):
        keys = mix_keys(pool.draw_keys, self.key) if self.key else pool.draw_keys
        return raybert.Selection(np.argsort(keys, kind="stable")[:budget], np.full(budget, np.nan))
"""
NAMES = tuple(f"draw_{key}" for key in range(1, 6))
SEEDS = 5


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A sweep of `random`, of itself under another name, and of five other random draws, five seeds each."""
    folder = tmp_path_factory.mktemp("draws")
    (folder / "draws.py").write_text(DRAWS)
    others = [{"name": "draws:Draw", "key": key, "label": f"draw_{key}" if key else "same"} for key in range(6)]
    document = {
        "data": {"train_examples": 400, "validation_examples": 60, "test_examples": 200, "max_length": 24},
        "model": {"encoder": "raybert-tiny"},
        "train": {"length": {"steps": 20}, "batch_size": 16, "learning_rate": 1.0e-3},
        "selection": {"budget": 60},
        "sweep": {"strategies": ["random", *others], "seeds": SEEDS, "plots": []},
    }
    (folder / "draws.yaml").write_text("# Is random better than random?\n" + yaml.safe_dump(document))
    done = run_apart("sweep", "draws.yaml", "--output", "run", cwd=folder)
    assert done.code == 0, done.said
    return raybert.load_sweep(folder / "run")


def test_no_random_draw_is_called_better_or_worse_than_another(results):
    rows = results.comparisons.set_index("strategy").loc[list(NAMES)]
    assert rows["num_replicates"].tolist() == [SEEDS] * len(NAMES)
    assert (rows["difference_std"] > 0).all()  # they are other draws
    assert not rows["verdict"].isin([BETTER, WORSE]).any(), rows[["difference", "holm_p", "verdict"]]
    assert "better than random in" not in results.claims().headline
    chosen = {
        name: [
            frozenset(results.selection(trial)["position"])
            for trial in results.trials.query("strategy == @name")["trial_id"]
        ]
        for name in ("random", *NAMES)
    }
    for seed in range(SEEDS):
        assert len({subsets[seed] for subsets in chosen.values()}) == len(chosen)


def test_the_same_draws_differ_by_nothing_at_all(results):
    row = results.comparisons.set_index("strategy").loc["same"]
    assert row[["difference", "difference_std"]].tolist() == [0.0, 0.0]
    assert (row["p"], row["sign_flip_p"]) == (1.0, 1.0)
    assert np.isnan(row["difference_low"])  # no spread is no certainty, and no interval
    assert row["verdict"] not in (BETTER, WORSE, NOT_SETTLED)
    (said,) = [line for line in results.claims().sentences if line.startswith("same: ")]
    assert said.startswith("same: no difference to random")
    own, beside = (results.trials.query("strategy == @name").sort_values("seed") for name in ("same", "random"))
    for name in ("test_accuracy", "test_macro_f1", "test_loss", "validation_loss"):
        assert own[name].tolist() == beside[name].tolist()


def test_published_results_of_them_say_nothing_else(results):
    claims = (results.folder / "results" / "claims.txt").read_text(encoding="utf-8")
    assert "No strategy is shown to be better than random (6 tests)." in claims
    assert "same is worse" not in claims
    assert (results.folder / "report.html").is_file()
