import math
from dataclasses import dataclass, field

import numpy as np
import pytest

from raybert.config import StrategyConfig
from raybert.errors import ConfigError
from raybert.selection import Pool, build_strategy, select
from raybert.selection.identity import strategy_identity, strategy_label
from raybert.selection.ranking import tie_keys
from raybert.selection.schedule import make_pass_planner, round_ends, round_targets
from raybert.selection.strategies.losses import above_threshold, cross_entropy
from raybert.sweeping.trial.records import join_rounds
from raybert.training.interface import PassPlan

N = 40


@dataclass
class View:
    """A model whose probabilities are given."""

    probs: np.ndarray
    step: int = 0
    total_steps: int = 20
    train_losses: np.ndarray = field(default_factory=lambda: np.full(N, np.nan))
    train_loss_passes: np.ndarray = field(default_factory=lambda: np.full(N, -1))
    calls: int = 0
    passes: float | None = None
    passes_done: int = 0

    @property
    def position(self):
        return self.step if self.passes is None else self.passes_done * self.total_steps / self.passes

    def steps_to(self, position, num_examples):
        if self.passes is None:
            return math.ceil(position) - self.step
        left = position * self.passes / self.total_steps - self.passes_done
        return math.ceil(left * math.ceil(num_examples / 4))

    def predict(self, positions=None):
        self.calls += 1
        return self.probs

    def embed(self, positions=None, pooling="mean"):
        self.calls += 1
        return np.arange(N)[:, None] * np.array([1.0, 0.0, 0.0])


def make_pool(seed: int = 0) -> Pool:
    generator = np.random.default_rng(seed)
    signals = {"probs": generator.dirichlet(np.ones(2), N), "embeddings": generator.normal(size=(N, 3))}
    return Pool(generator.integers(0, 2, N), 2, tie_keys(np.arange(N).astype(str), seed), signals, generator)


def source_of(pool, budget=12, **entry):
    strategy = build_strategy(StrategyConfig.model_validate(entry))
    return make_pass_planner(strategy, pool, budget, total_steps=20, batch_size=4)


def test_once_is_the_same_selection_in_every_pass():
    pool = make_pool()
    source, chosen = source_of(pool, name="random")
    view = View(pool.signals["probs"])
    for epoch in range(3):
        np.testing.assert_array_equal(source.next_pass(epoch, None, view).positions, chosen.positions)


def test_rounds_grow_to_the_budget_and_keep_what_they_have():
    pool = make_pool()
    fresh = make_pool(7).signals["probs"]
    source, chosen = source_of(pool, name="el2n", schedule="rounds", rounds=4)
    assert chosen is None
    view, previous, sizes, steps = View(fresh), None, [], []
    for epoch in range(4):
        plan = source.next_pass(epoch, previous, view)
        if previous is not None:
            assert set(previous.positions) <= set(plan.positions)
        sizes.append(len(plan.positions))
        steps.append(plan.max_steps)
        view.step += plan.max_steps
        previous = plan
    assert sizes == [3, 6, 9, 12]
    assert steps == [5, 5, 5, 5]
    assert view.calls == 3  # round 1 uses the shared signals


def test_the_first_round_is_the_once_selection_and_one_round_equals_once():
    pool = make_pool()
    source, _ = source_of(pool, budget=8, name="el2n", schedule="rounds", rounds=4)
    first = source.next_pass(0, None, View(pool.signals["probs"])).positions
    ids = np.arange(N).astype(str)
    expected = select("el2n", 2, labels=pool.labels, probs=pool.signals["probs"], example_ids=ids).positions
    np.testing.assert_array_equal(first, expected)
    _, once = source_of(pool, name="el2n")
    _, one_round = source_of(pool, name="el2n", schedule="rounds", rounds=1)
    np.testing.assert_array_equal(once.positions, one_round.positions)


def test_a_round_is_not_chosen_anew_in_the_middle():
    pool = make_pool()
    source, _ = source_of(pool, name="el2n", schedule="rounds", rounds=2)
    view = View(make_pool(7).signals["probs"], step=3)
    first = source.next_pass(0, None, View(pool.signals["probs"]))
    again = source.next_pass(1, first, view)
    np.testing.assert_array_equal(again.positions, first.positions)
    assert (again.max_steps, view.calls) == (7, 0)


def test_frozen_embeddings_make_rounds_equal_to_once():
    pool = make_pool()
    source, _ = source_of(pool, name="k_center", schedule="rounds", rounds=3)
    view, previous = View(pool.signals["probs"]), None
    for epoch in range(3):
        previous = source.next_pass(epoch, previous, view)
        view.step += previous.max_steps
    _, once = source_of(pool, name="k_center")
    np.testing.assert_array_equal(previous.positions, once.positions)
    assert view.calls == 0


def test_the_epoch_schedule_uses_the_current_model_after_the_first_pass():
    pool = make_pool()
    view = View(make_pool(7).signals["probs"])
    source, _ = source_of(pool, name="confidence", schedule="epoch")
    ids = np.arange(N).astype(str)
    before, after = (source.next_pass(epoch, None, view).positions for epoch in (0, 1))
    np.testing.assert_array_equal(
        before,
        select("confidence", 12, labels=pool.labels, probs=pool.signals["probs"], example_ids=ids).positions,
    )
    np.testing.assert_array_equal(
        after, select("confidence", 12, labels=pool.labels, probs=view.probs, example_ids=ids).positions
    )


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"threshold": 0.5}, lambda losses: losses > 0.5),
        ({"rule": "mean"}, lambda losses: losses > losses.mean()),
        ({"rule": "quantile", "threshold": 0.75}, lambda losses: losses > np.quantile(losses, 0.75)),
    ],
)
def test_loss_threshold_trains_on_all_then_on_losses_above_it(entry, expected):
    pool = make_pool()
    view = View(make_pool(7).signals["probs"])
    losses = -np.log(view.probs[np.arange(N), pool.labels])
    source, _ = source_of(pool, name="loss_threshold", refresh=1, **entry)
    first = source.next_pass(0, None, view)
    assert (len(first.positions), view.calls) == (N, 0)
    view.step = 10
    second = source.next_pass(1, first, view)
    assert set(second.positions) == set(np.flatnonzero(expected(losses)))
    view.train_losses, calls = losses.astype(np.float32), view.calls
    source, _ = source_of(pool, name="loss_threshold", **entry)
    recorded = source.next_pass(1, first, view)
    assert (recorded.positions.tolist(), view.calls) == (second.positions.tolist(), calls)


def test_loss_threshold_drops_by_recorded_losses_and_only_a_rescoring_brings_back():
    pool, everything = make_pool(), PassPlan(np.arange(N))
    losses = np.full(N, 0.1)
    losses[:10] = [0.9, 0.8, 0.51, 0.5, 0.49, 2.0, 0.6, 0.2, np.nan, 0.7]  # the ninth was never trained on
    view = View(pool.signals["probs"], total_steps=30, passes=3.0, passes_done=1, train_losses=losses)
    source, _ = source_of(pool, name="loss_threshold")
    kept = source.next_pass(1, everything, view)
    assert kept.positions.tolist() == [8, 5, 0, 1, 9, 6, 2]  # highest first
    assert kept.max_steps is None
    losses[[8, 5, 0, 1]] = [0.4, 1.0, 0.3, 0.6]  # trained on since; 3 and 4 keep what they had, and stay out
    again = source.next_pass(2, kept, view)
    assert again.positions.tolist() == [5, 9, 1, 6, 2]
    losses[:] = 0.0
    assert len(source.next_pass(2, kept, view).positions) == 4  # a batch, though nothing is above
    assert view.calls == 0
    source, _ = source_of(pool, name="loss_threshold", refresh=2)
    view.probs = np.full((N, 2), 0.5)  # the model has forgotten everything
    assert len(source.next_pass(3, again, view).positions) == N
    assert source.next_pass(2, again, view) is again
    assert view.calls == 1


@pytest.mark.parametrize(("passes_done", "size"), [(1, 20), (2, 31), (3, N)])
def test_a_curriculum_over_passes_grows_to_all_in_the_last_one_and_cuts_none(passes_done, size):
    # 20 of each class; 4 passes: c = sqrt(.0625 + .9375 t) is .545 after one, .729 after two.
    signals = {"probs": np.random.default_rng(0).dirichlet(np.ones(2), N)}
    pool = Pool(np.arange(N) % 2, 2, tie_keys(np.arange(N).astype(str), 0), signals, np.random.default_rng(0))
    source, _ = source_of(pool, budget=N, name="curriculum", of="pool")
    plan = source.next_pass(passes_done, None, View(signals["probs"], passes=4.0, passes_done=passes_done))
    expected = {20: 2 * math.ceil(20 * math.sqrt(0.0625 + 0.9375 / 4)), 31: 2 * math.ceil(20 * math.sqrt(0.53125))}
    assert len(plan.positions) == expected.get(size, size)
    assert plan.max_steps is None


def test_a_curriculum_by_training_s_own_losses_ranks_each_class_anew_after_a_first_pass_over_all():
    pool = Pool(np.arange(N) % 2, 2, tie_keys(np.arange(N).astype(str), 0), {}, np.random.default_rng(0))
    source, _ = source_of(pool, budget=N, name="curriculum", of="pool", score="losses", growth="linear", start=0.2)
    view = View(np.empty(0), passes=4.0)
    assert len(source.next_pass(0, None, view).positions) == N
    view.passes_done, view.train_losses = 1, np.arange(N)[::-1].astype(np.float32)
    # 0.2 + 0.8 / 4 of 20 in each class are 8: the last 16 rows have the lowest losses.
    assert source.next_pass(1, None, view).positions.tolist() == list(range(24, 40))
    view.train_losses[[38, 39]] = [50.0, np.nan]  # forgotten, and not known: hardest
    assert source.next_pass(1, None, view).positions.tolist() == list(range(22, 38))
    view.passes_done = 3
    assert len(source.next_pass(3, None, view).positions) == N


@pytest.mark.parametrize("length", [{}, {"passes": 6.0}])
def test_percentiles_open_a_part_of_each_class_pass_by_pass_and_the_last_one_holds(length):
    labels = np.arange(N) % 4 // 3  # 30 of class 0, 10 of class 1
    right = np.random.default_rng(3).permutation(np.linspace(0.05, 0.95, N))
    probs = np.where(labels[:, None] == np.arange(2), right[:, None], 1 - right[:, None])
    pool = Pool(labels, 2, tie_keys(np.arange(N).astype(str), 0), {"probs": probs}, np.random.default_rng(0))
    source, _ = source_of(pool, budget=N, name="curriculum", of="pool", percentiles=[0.25, 0.5, 1.0, 0.5])
    for number, (of_0, of_1) in enumerate([(8, 3), (15, 5), (30, 10), (15, 5), (15, 5)]):
        plan = source.next_pass(number, None, View(probs, **length))
        easiest = [np.flatnonzero(labels == c)[np.argsort(-right[labels == c])][:k] for c, k in ((0, of_0), (1, of_1))]
        assert plan.positions.tolist() == sorted(np.concatenate(easiest).tolist())
        # EL2N of two classes: sqrt(2) (1 - p_y).
        np.testing.assert_allclose(plan.record["scores"], np.sqrt(2) * (1 - right[plan.positions]))
        assert plan.max_steps is None


def test_percentiles_of_recorded_losses_begin_with_what_they_say():
    pool = Pool(np.arange(N) % 2, 2, tie_keys(np.arange(N).astype(str), 0), {}, np.random.default_rng(0))
    source, _ = source_of(pool, budget=N, name="curriculum", of="pool", score="losses", percentiles=[1, 0.4])
    view = View(np.empty(0))
    assert len(source.next_pass(0, None, view).positions) == N
    view.train_losses = np.arange(N)[::-1].astype(np.float32)
    plan = source.next_pass(1, None, view)
    assert plan.positions.tolist() == list(range(24, 40))  # 8 of the 20 in each class
    assert plan.record["scores"].tolist() == list(range(15, -1, -1))


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        ({"percentiles": []}, r"percentiles: must be parts in \(0, 1\], one for each pass, got \[\]"),
        ({"percentiles": [0.5, 1.5]}, r"percentiles: must be parts in \(0, 1\], one for each pass, got \[0.5, 1.5\]"),
        ({"percentiles": [0, 1]}, r"percentiles: must be parts in \(0, 1\]"),
        ({"percentiles": [0.5], "start": 0.1}, "start: must be left out with `percentiles`"),
        ({"percentiles": [0.5], "growth": "sqrt"}, "growth: must be left out with `percentiles`"),
    ],
)
def test_percentiles_that_make_no_sense_are_refused(entry, line):
    with pytest.raises(ConfigError, match=line):
        build_strategy(StrategyConfig(name="curriculum", **entry))


def test_a_curriculum_without_percentiles_is_identified_as_before():
    plain = build_strategy(StrategyConfig(name="curriculum"))
    assert "percentiles" not in strategy_identity(plain)
    outer = build_strategy(StrategyConfig(name="curriculum", percentiles=[0.5, 1]))
    assert strategy_identity(outer)["percentiles"] == [0.5, 1.0]
    assert strategy_label(outer) == "curriculum(percentiles=[0.5, 1.0])"


@pytest.mark.parametrize(("passes_done", "is_full"), [(0, True), (1, False), (2, False), (3, True)])
def test_infobatch_over_passes_prunes_whole_ones_until_its_share_is_done(passes_done, is_full):
    pool = make_pool()
    view = View(pool.signals["probs"], passes=4.0, passes_done=passes_done, train_losses=np.arange(N, dtype=float))
    source, _ = source_of(pool, name="infobatch", anneal_from=0.75, prune=0.9)
    plan = source.next_pass(passes_done, None, view)
    assert (len(plan.positions) == N, plan.max_steps) == (is_full, None)


def test_rounds_over_passes_end_at_their_share_of_them():
    pool = make_pool()
    source, _ = source_of(pool, name="el2n", schedule="rounds", rounds=2)  # 6 of 12 examples, then all
    view = View(make_pool(7).signals["probs"], passes=3.0)
    first = source.next_pass(0, None, view)
    assert (len(first.positions), first.max_steps) == (6, 3)  # 1.5 passes of 2 batches


def test_loss_threshold_keeps_at_least_a_batch_of_the_highest_losses():
    losses = np.array([0.1, 0.4, 0.2, 0.3])
    keys = np.arange(4, dtype=np.uint64)
    assert above_threshold(losses, 0.5, 2, keys).tolist() == [1, 3]
    assert above_threshold(losses, 0.15, 2, keys).tolist() == [1, 3, 2]
    assert above_threshold(np.zeros(4), 0.5, 3, keys).tolist() == [0, 1, 2]


def test_loss_threshold_does_not_score_before_every_tiny_pass():
    pool = make_pool()
    probs = np.full((N, 2), 1e-3)
    probs[np.arange(N), pool.labels] = 0.999  # everything is learnt: passes are one batch
    view = View(probs, total_steps=100)
    source, _ = source_of(pool, name="loss_threshold", refresh=1)
    plan = source.next_pass(0, None, view)
    view.step = 10
    for epoch in range(1, 91):
        plan = source.next_pass(epoch, plan, view)
        view.step += 1
    assert 8 <= view.calls <= 10


def test_the_loss_of_an_impossible_label_is_finite():
    assert cross_entropy(np.array([[0.0, 1.0]]), np.array([0]))[0] == pytest.approx(87.3, abs=0.1)


def test_round_arithmetic():
    assert round_targets(10, 4) == [2, 5, 8, 10]
    assert round_ends(10, 4).tolist() == [2, 5, 8, 10]


def test_rounds_say_what_they_chose_by_and_which_round_it_was():
    pool = make_pool()
    source, _ = source_of(pool, name="el2n", schedule="rounds", rounds=2, pre={"name": "drop_hardest", "share": 0.9})
    view = View(make_pool(7).signals["probs"])
    first = source.next_pass(0, None, view)
    view.step = 10
    second = source.next_pass(1, first, view)
    selection, rounds = join_rounds([(0, first), (1, PassPlan(first.positions)), (2, second)])
    np.testing.assert_array_equal(selection.positions, second.positions)
    np.testing.assert_array_equal(rounds, [0] * 6 + [1] * 6)
    assert np.isfinite(selection.scores[:4]).all()  # what was taken back has none
    assert int(first.record["refilled"]) == 2  # the filter leaves 4 of 40, the round takes 6
    assert selection.refilled == 2 + int(second.record["refilled"])


def test_rounds_embed_anew_only_where_embeddings_are_a_proxy_s():
    pool = make_pool()
    strategy = build_strategy(StrategyConfig(name="k_center", schedule="rounds", rounds=2))
    chosen = {}
    for pooling in (None, "cls"):
        source, _ = make_pass_planner(strategy, pool, 4, total_steps=20, batch_size=4, proxy_pooling=pooling)
        view = View(pool.signals["probs"])
        first = source.next_pass(0, None, view)
        view.step = 10
        chosen[pooling] = source.next_pass(1, first, view).positions
        assert view.calls == (0 if pooling is None else 1)
    line = np.arange(N)
    reach = np.abs(line[:, None] - chosen["cls"][:2]).min(axis=1)
    assert reach[chosen["cls"][2]] == reach.max()
    assert chosen[None].tolist() != chosen["cls"].tolist()


def test_loss_threshold_with_refresh_scores_at_every_second_pass_if_due():
    pool = make_pool()
    source, _ = source_of(pool, name="loss_threshold", refresh=2, scorings=20, threshold=0.0, min_keep=4)
    view, previous, calls = View(pool.signals["probs"]), None, []
    for epoch in range(6):
        previous = source.next_pass(epoch, previous, view)
        calls.append(view.calls)
        view.step += math.ceil(len(previous.positions) / 4)
    assert calls == [0, 1, 1, 2, 2, 3]


def _farthest(points, count, centres):
    """Greedy k-center by brute force, from given centres."""
    chosen = list(centres)
    for _ in range(count):
        distances = np.linalg.norm(points[:, None] - points[chosen][None], axis=2).min(axis=1)
        chosen.append(int(distances.argmax()))
    return chosen[len(centres) :]


def test_edfs_in_rounds_fills_up_each_tertile_of_the_current_model_beside_what_it_has():
    entropy_order = np.random.default_rng(5).permutation(30)  # easiest first; tertiles of ten
    certain = np.empty(30)
    certain[entropy_order] = np.linspace(0.99, 0.55, 30)
    embeddings = np.random.default_rng(6).normal(size=(30, 3))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    easy, medium, hard = np.split(entropy_order, 3)
    before = np.array([hard[4], easy[2], hard[1], hard[7], easy[9]])
    signals = {"probs": np.column_stack([certain, 1 - certain]), "embeddings": embeddings}
    keys = tie_keys(np.arange(30).astype(str), 0)
    pool = Pool(np.zeros(30, int), 2, keys, signals, np.random.default_rng(0), selected=before)
    edfs = build_strategy(StrategyConfig(name="edfs_lite", balance="none", schedule="rounds", rounds=2))
    # 10 of .5, .3, .2 are 5, 3 and 2: easy has 2 and lacks 3, medium lacks 3, hard has one too many; 5 are left to choose.
    found = edfs.choose(pool, 10).positions
    assert found[:5].tolist() == before.tolist()
    assert found[5:8].tolist() == easy[_farthest(embeddings[easy], 3, [2, 9])].tolist()
    assert set(found[8:]) <= set(medium)
    # The first of a tertile without centers is its medoid.
    mean = embeddings[medium].mean(axis=0)
    medoid = int(np.linalg.norm(embeddings[medium] - mean, axis=1).argmin())
    assert found[8:].tolist() == medium[[medoid, *_farthest(embeddings[medium], 1, [medoid])]].tolist()


def test_edfs_chooses_in_rounds_up_to_the_budget():
    pool = make_pool()
    source, chosen = source_of(pool, name="edfs_lite", schedule="rounds", rounds=3)
    assert chosen is None
    plan, sizes = None, []
    for number, step in enumerate((0, 7, 13)):
        view = View(make_pool(number + 1).signals["probs"], step=step)
        previous, plan = plan, source.next_pass(number, plan, view)
        sizes.append(len(plan.positions))
        assert previous is None or plan.positions[: len(previous.positions)].tolist() == previous.positions.tolist()
        assert view.calls == (number > 0)
    assert sizes == [4, 8, 12]
