"""What strategies compute of several labels and of numbers, and which are refused with them."""

from __future__ import annotations

import numpy as np
import pytest

from raybert.config import RaybertConfig, SelectionConfig, validate_config
from raybert.errors import ConfigError
from raybert.selection import registry
from raybert.selection.catalogue import build_strategy
from raybert.selection.choose import select_from_pool
from raybert.selection.compose import compose
from raybert.selection.declared_signals import TABLE
from raybert.selection.losses import cross_entropy
from raybert.selection.pool import Pool
from raybert.selection.strategies.proxies import el2n, grand, label_uncertainty
from raybert.selection.tasks import check_tasks, strategies_of, tasks_of
from raybert.sweeping.plan.design import read_design

SPACE = {"train.learning_rate": {"low": 1e-5, "high": 1e-3, "log": True}}
OF_NUMBERS = {
    *("all", "random", "random_epoch", "random_stratified", "k_center", "facility_location", "diversity"),
    *("perplexity", "lexical_diversity", "el2n", "grand", "ccs", "d2", "curriculum", "infobatch"),
    *("column", "graph_cut", "probcover", "scdp", "typiclust"),
}


def entry(config: object) -> object:
    from raybert.config import StrategyConfig, validate_model

    written = {"name": config} if isinstance(config, str) else config
    return build_strategy(validate_model(StrategyConfig, written, "strategy"), "strategy")


def test_errors_of_several_labels_by_hand():
    probs = np.array([[0.9, 0.2, 0.5]])
    targets = np.array([[1.0, 0.0, 1.0]])
    assert el2n(probs, targets)[0] == pytest.approx((0.01 + 0.04 + 0.25) ** 0.5)
    assert grand(probs, np.array([2.0]), targets)[0] == pytest.approx((0.3 * 5) ** 0.5)
    two = np.stack([probs, np.array([[1.0, 0.0, 1.0]])], axis=1)  # of two proxies, one of which is right
    assert el2n(two, targets)[0] == pytest.approx(0.3**0.5 / 2)
    losses = -(np.log(0.9) + np.log(0.8) + np.log(0.5)) / 3
    assert cross_entropy(probs, targets)[0] == pytest.approx(losses)


def test_of_numbers_the_score_is_the_absolute_error():
    assert el2n(np.array([[3.0], [-1.0]]), np.array([[1.0], [-1.5]])).tolist() == [2.0, 0.5]


def test_uncertainty_about_several_labels_by_hand():
    probs = np.array([[0.9, 0.4], [0.5, 0.5], [1.0, 0.0]])
    both = 2 * np.log(2)
    first = 0.325083 + 0.673012
    assert label_uncertainty(probs, "entropy") == pytest.approx([first, both, 0.0], abs=1e-6)
    assert label_uncertainty(probs, "least_confidence") == pytest.approx([0.25, 0.5, 0.0])
    assert label_uncertainty(probs, "margin") == pytest.approx([-0.1, 0.0, -0.5])


def test_a_single_class_is_scored_as_ever():
    probs = np.array([[0.7, 0.2, 0.1]] * 3)
    assert el2n(probs, np.arange(3)) == pytest.approx([0.374166, 1.067708, 1.157584], abs=1e-6)


def pool_of(task: str, count: int = 60) -> Pool:
    generator = np.random.default_rng(0)
    width = 3 if task == "multi_label" else 1
    probs = generator.random((count, 2, width)).astype(np.float32)
    targets = (generator.random((count, width)) < 0.4).astype(np.float32) if width > 1 else generator.random((count, 1))
    embeddings = generator.normal(size=(count, 8)).astype(np.float32)
    signals = {
        "probs": probs,
        "feature_norms": generator.random((count, 2)).astype(np.float32),
        "embeddings": embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True),
        "perplexity": generator.random(count).astype(np.float32),
        "lexical": np.abs(generator.normal(60, 5, (count, 4))).astype(np.float32),
        "lengths": generator.integers(5, 60, count),
        "column:score": generator.normal(size=count),
        "tfidf_distance": generator.random(count).astype(np.float32),
    }
    keys = generator.integers(0, 2**63, count).astype(np.uint64)
    return Pool(generator.integers(0, 4, count), 4, keys, signals, generator, targets=targets.astype(np.float32))


@pytest.mark.parametrize("task", ["multi_label", "regression"])
def test_every_strategy_that_says_so_chooses_its_budget(task: str):
    for name in strategies_of(task):
        strategy = compose(registry.strategies[name]())
        if strategy.spends() == "none":
            continue
        budget = 20
        chosen = select_from_pool(strategy, pool_of(task), budget)
        assert len(set(chosen.positions.tolist())) == budget, name


def test_which_strategies_are_defined():
    assert {*strategies_of("regression")} == OF_NUMBERS
    assert {*strategies_of("multi_label")} == OF_NUMBERS | {"confidence", "loss_threshold"}
    assert {*strategies_of("classification")} >= OF_NUMBERS | {"forgetting", "ifd", "label_errors"}


def test_a_strategy_is_defined_where_its_parts_and_signals_are():
    assert tasks_of(entry({"name": "ccs", "score": "confidence"})) == {"classification", "multi_label"}
    assert tasks_of(entry({"name": "k_center", "pre": ["semdedup"]})) == {"classification"}
    assert tasks_of(entry({"name": "el2n", "then": "k_center"})) == {"classification", "multi_label", "regression"}
    assert {signal.name for signal in TABLE if "regression" in signal.tasks} == {
        *("lengths", "texts", "lexical", "readability", "perplexity", "probs", "feature_norms", "embeddings"),
        "tfidf_distance",
    }


@pytest.mark.parametrize(
    ("strategy", "words"),
    [
        ("ifd", "'ifd' is not; take one of all, "),
        ({"name": "el2n", "pre": ["semdedup"]}, r"'el2n' is not \(semdedup is not\); take one of"),
        ({"name": "curriculum", "score": "aum"}, r"'curriculum' is not \(aum is not\)"),
    ],
)
def test_others_are_refused_with_those_that_work(strategy: object, words: str):
    name = strategy if isinstance(strategy, str) else strategy["name"]
    with pytest.raises(ConfigError, match=rf"sweep.strategies\[0\]: must be .* `data.task: regression`, {words}"):
        check_tasks(entry(strategy), "regression", SelectionConfig(), "sweep.strategies[0]", name)
    check_tasks(entry(strategy), "classification", SelectionConfig(), "sweep.strategies[0]", name)


def test_a_design_with_such_a_strategy_is_refused_before_any_data_are_read():
    document = {
        "data": {"source": "nowhere.csv", "task": "multi_label"},
        "sweep": {"strategies": ["all", "forgetting"]},
    }
    with pytest.raises(ConfigError, match=r"sweep.strategies\[1\]: .*'forgetting' is not; take one of all, ccs, "):
        read_design(validate_config(document))


def test_losses_and_metrics_follow_the_task():
    several = validate_config({"data": {"label": ["a", "b"]}})
    assert (several.train.loss.name, several.train.best_metric) == ("bce", "micro_f1")
    numbers = validate_config({"data": {"task": "regression"}, "train": {"loss": {"name": "huber", "delta": 2}}})
    assert (numbers.train.loss.name, numbers.train.best_metric) == ("huber", "rmse")
    assert (RaybertConfig().train.loss.name, RaybertConfig().train.best_metric) == ("cross_entropy", "accuracy")


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (
            {"data": {"task": "regression"}, "train": {"best_metric": "accuracy"}},
            "train.best_metric: must be one of rmse",
        ),
        ({"train": {"loss": "mse"}}, "train.loss.name: must be one of cross_entropy, bce, focal with"),
        ({"train": {"best_metric": "map"}}, "train.best_metric: must be one of accuracy"),
        ({"data": {"task": "multi_label"}, "model": {"kind": "iris"}}, "model.kind: must be encoder with"),
        (
            {"data": {"task": "multi_label"}, "train": {"loss": {"name": "bce", "class_weights": "inverse"}}},
            "train.loss.class_weights: must be none",
        ),
        ({"train": {"loss": {"name": "focal", "delta": 2}}}, "delta: must be left out, it belongs to the loss huber"),
        (
            {"data": {"task": "regression"}, "train": {"early_stopping": {"patience": 2, "metric": "micro_f1"}}},
            "train.early_stopping.metric: must be one of rmse",
        ),
        (
            {
                "data": {"task": "regression"},
                "sweep": {"tune": {"metric": "accuracy", "suggestions_per_strategy": 2, "space": SPACE}},
            },
            "sweep.tune.metric: must be one of rmse",
        ),
    ],
)
def test_what_a_task_has_not_is_refused(document: dict, words: str):
    with pytest.raises(ConfigError, match=words):
        validate_config(document)


def test_a_margin_of_numbers_is_in_their_unit():
    config = validate_config({"data": {"task": "regression"}, "sweep": {"margin": 2.5}})
    assert config.sweep.margin == 2.5
