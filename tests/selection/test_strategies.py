import numpy as np
import pytest

import raybert
from raybert.config import StrategyConfig
from raybert.errors import ConfigError, SelectionError
from raybert.selection import Pool, Selection, Strategy, build_strategy, select
from raybert.selection.catalogue import describe_strategies
from raybert.selection.choose import select_from_pool
from raybert.selection.identity import strategy_label
from raybert.selection.ranking import tie_keys
from raybert.selection.strategies.baselines import walk_permutations
from raybert.selection.strategies.proxies import el2n, uncertainty

N, C = 240, 4


def make_signals(seed: int = 0) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    embeddings = generator.normal(size=(N, 8)).astype(np.float32)
    return {
        "labels": generator.choice(C, N, p=[0.6, 0.3, 0.07, 0.03]),
        "probs": generator.dirichlet(np.ones(C), N).astype(np.float32),
        "embeddings": embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True),
    }


@pytest.mark.parametrize("name", ["confidence", "el2n"])
@pytest.mark.parametrize("damage", ["constant", "nan"])
def test_flat_or_missing_signals_still_give_a_whole_selection(name, damage):
    signals = make_signals()
    signals["probs"] = np.full((N, C), 1 / C if damage == "constant" else np.nan, np.float32)
    positions = select(name, 50, **signals).positions
    assert (len(positions), len(set(positions.tolist()))) == (50, 50)


def test_ranked_strategies_keep_class_shares_by_default_and_not_without_balance():
    signals = make_signals()
    counts = np.bincount(signals["labels"][select("el2n", 40, **signals).positions], minlength=C)
    np.testing.assert_allclose(counts / 40, np.bincount(signals["labels"], minlength=C) / N, atol=0.03)
    hardest = select("el2n", 24, parameters={"balance": "none", "direction": "hard"}, **signals).positions
    scores = el2n(signals["probs"], signals["labels"])
    assert set(hardest) == set(np.argsort(-scores)[:24])


def test_what_was_dropped_refills_and_is_counted():
    signals = make_signals()
    parameters = {"balance": "none", "direction": "hard", "drop_hardest": 0.5}
    assert select("el2n", 100, parameters=parameters, **signals).refilled == 0
    assert select("el2n", 150, parameters=parameters, **signals).refilled == 30


@pytest.mark.parametrize(
    ("probs", "label", "expected"),
    [
        ([0.7, 0.2, 0.1], 0, 0.374166),
        ([0.7, 0.2, 0.1], 1, 1.067708),
        ([0.7, 0.2, 0.1], 2, 1.157584),
        ([1 / 3, 1 / 3, 1 / 3], 0, 0.816497),
    ],
)
def test_el2n_values(probs, label, expected):
    assert el2n(np.array([probs]), np.array([label]))[0] == pytest.approx(expected, abs=1e-6)


def test_el2n_averages_the_norms_of_proxies_and_not_their_probabilities():
    probs = np.array([[[0.7, 0.2, 0.1], [0.1, 0.2, 0.7]]])  # one example, two proxies
    assert el2n(probs, np.array([0]))[0] == pytest.approx((0.374166 + 1.157584) / 2, abs=1e-6)


def test_uncertainty_values():
    entropy = uncertainty(np.array([[0.1, 0.9], [0.4, 0.6], [0.0, 1.0]]), "entropy")
    np.testing.assert_allclose(entropy, [0.325083, 0.673012, 0.0], atol=1e-6)
    margin = uncertainty(np.array([[0.6, 0.3, 0.1], [0.33, 0.33, 0.34]]), "margin")
    np.testing.assert_allclose(margin, [-0.3, -0.01], atol=1e-9)
    np.testing.assert_allclose(uncertainty(np.array([[0.6, 0.3, 0.1]]), "least_confidence"), [0.4])


@pytest.mark.parametrize("measure", ["entropy", "least_confidence", "margin"])
def test_hard_confidence_means_unsure_and_never_the_most_confident(measure):
    signals = make_signals()
    signals["probs"][7] = [0.25] * 4
    signals["probs"][9] = [1, 0, 0, 0]
    parameters = {"measure": measure, "direction": "hard", "balance": "none"}
    order = select("confidence", N, parameters=parameters, **signals).positions.tolist()
    assert order[0] == 7
    assert order[-1] == 9


def test_k_center_starts_from_what_is_selected_and_covers_within_twice_the_optimum():
    from itertools import combinations

    points = np.random.default_rng(1).normal(size=(12, 2)).astype(np.float32)
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    chosen = select("k_center", 3, labels=np.zeros(12), embeddings=points).positions
    radius = distances[:, chosen].min(1).max()
    best = min(distances[:, list(c)].min(1).max() for c in combinations(range(12), 3))
    assert radius <= 2 * best + 1e-6
    pool = Pool(
        np.zeros(12, np.int64),
        1,
        tie_keys(np.arange(12).astype(str), 0),
        {"embeddings": points},
        np.random.default_rng(0),
        selected=np.array([5]),
    )
    positions = select_from_pool(build_strategy(StrategyConfig(name="k_center")), pool, 2).positions
    assert positions[0] == 5
    assert distances[5, positions[1]] == pytest.approx(distances[5].max())


def test_random_epoch_walks_the_whole_pool_before_it_repeats():
    keys = tie_keys(np.arange(10).astype(str), 0)
    passes = [walk_permutations(keys, 4, epoch) for epoch in range(5)]
    assert all(len(set(part.tolist())) == 4 for part in passes)
    assert len(set(np.concatenate(passes[:2]))) == 8
    # Over five passes of four every example is seen exactly twice.
    np.testing.assert_array_equal(np.bincount(np.concatenate(passes)), np.full(10, 2))
    np.testing.assert_array_equal(
        walk_permutations(keys, 10, 3).argsort().argsort().argsort(), walk_permutations(keys, 10, 3).argsort()
    )


class Broken(Strategy):
    """Returns what it is told to."""

    name = "broken"
    answer: object = None

    def choose(self, pool, budget):
        positions = self.answer
        return Selection(positions, np.zeros(len(positions)))


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (np.array([1, 1, 2]), "must be distinct, got 1 more than once"),
        (np.array([1, 2]), "must return exactly 3 positions, got 2"),
        (np.array([1, 2, N]), rf"must be in 0\.\.{N - 1}, got {N}"),
        (np.array([1.0, 2.0, 3.0]), "must be a flat array of integers, got float64"),
        ([1, 2, 3], "must be a flat array of integers, got list"),
    ],
)
def test_what_is_not_a_selection_is_refused(answer, message):
    with pytest.raises(SelectionError, match=message):
        select(Broken(answer=answer), 3, **make_signals())


def test_an_impossible_budget_and_a_missing_signal_say_so():
    with pytest.raises(ConfigError, match=rf"selection\.budget: must be in 1\.\.{N} \(pool size\), got 500"):
        select("random", 500, **make_signals())
    with pytest.raises(SelectionError, match="'el2n': needs the signals probs; given: none"):
        select("el2n", 5, labels=[0, 1, 0, 1, 1, 0])
    with pytest.raises(SelectionError, match="probs: must have one row per label"):
        select("el2n", 1, labels=[0, 1], probs=[[1.0, 0.0]])


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"name": "el2m"}, r"strategy: unknown 'el2m'; did you mean 'el2n'\?"),
        (
            {"name": "el2n", "directoin": "easy"},
            r"strategy\.directoin: unknown key; did you mean 'direction'",
        ),
        ({"name": "k_center", "schedule": "epoch"}, "schedule: must be one of once, rounds for 'k_center'"),
        ({"name": "el2n", "window": [0.5, 0.2]}, r"window: must be \[from, to\]"),
        ({"name": "random", "balance": "class"}, r"strategy\.balance: must be left out, 'random' has no class quotas"),
        ({"name": "no_such_module:Thing"}, "module cannot be imported"),
        ({"name": "raybert.selection:Pool"}, "must be a subclass of raybert.Strategy"),
        ({"name": "raybert.selection:Strateg"}, "did you mean 'Strategy'"),
    ],
)
def test_a_wrong_entry_is_one_clear_line(entry, message):
    with pytest.raises(ConfigError, match=message):
        build_strategy(StrategyConfig.model_validate(entry))


def test_a_strategy_of_ones_own_is_found_beside_the_working_directory(tmp_path, monkeypatch):
    (tmp_path / "my_own.py").write_text(
        "import numpy as np\nimport raybert\n\n"
        "class First(raybert.Strategy):\n    name = 'first'\n"
        "    def choose(self, pool, budget):\n"
        "        return raybert.Selection(np.arange(budget), np.zeros(budget))\n"
    )
    monkeypatch.chdir(tmp_path)
    assert raybert.select("my_own:First", 3, labels=[0, 1, 0, 1]).positions.tolist() == [0, 1, 2]


def test_labels_name_what_differs_from_the_default():
    assert strategy_label(build_strategy(StrategyConfig(name="el2n"))) == "el2n"
    entry = StrategyConfig.model_validate({"name": "el2n", "direction": "easy"})
    assert strategy_label(build_strategy(entry)) == "el2n(direction=easy)"


def test_every_strategy_describes_itself():
    rows = {row["name"]: row for row in describe_strategies()}
    assert rows["el2n"]["needs"] == "probs"
    assert all(row["summary"].endswith(".") for row in rows.values())
