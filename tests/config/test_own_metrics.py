"""`train.metrics` in a sweep file: names, directions, what is refused, and what ids know of them."""

import pickle

import pytest

from raybert.config import TrainConfig, load_config, metric_of, sign_of
from raybert.errors import ConfigError
from raybert.sweeping.plan.check_space import _FIXED
from raybert.sweeping.plan.grid import expand_grid


def test_a_metric_is_named_by_its_callable_or_as_the_file_says():
    entries = ["mine:found_a", {"function": "mine:found_b", "name": "missed", "direction": "lower", "range": [0, 1]}]
    config = load_config({"train": {"metrics": entries, "best_metric": "missed"}})
    assert [one.name for one in config.train.metrics] == ["found_a", "missed"]
    assert (sign_of("missed"), sign_of("found_a")) == (-1.0, 1.0)
    assert (metric_of("missed").words, metric_of("missed").highest) == ("missed", 1.0)
    assert load_config({"train": {"metrics": "mine:found_a"}}).train.metrics == config.train.metrics[:1]


def test_a_process_that_is_sent_a_configuration_knows_its_metrics(monkeypatch):
    sent = pickle.dumps(load_config({"train": {"metrics": [{"function": "mine:sent", "direction": "lower"}]}}))
    monkeypatch.setattr("raybert.config.metrics._OWN", {})
    with pytest.raises(KeyError):
        metric_of("sent")
    pickle.loads(sent)
    assert sign_of("sent") == -1.0


@pytest.mark.parametrize(
    ("train", "said"),
    [
        ({"metrics": ["mine:accuracy"]}, r"train.metrics\[0\].name: must not be that of a metric of raybert, got 'acc"),
        ({"metrics": ["a:twice", "b:twice"]}, r"train.metrics: must have a name each, got 'twice' twice \(a:twice and"),
        ({"metrics": ["mcc"]}, r"train.metrics\[0\].function: must be `module:callable` of your own; .* got 'mcc'"),
        ({"metrics": ["mine:x_mean"]}, r"train.metrics\[0\].name: must not end in _mean, .* got 'x_mean'"),
        ({"metrics": [{"function": "a:y", "range": [1, 0]}]}, r"train.metrics\[0\].range: must be \[lowest, highest\]"),
        ({"best_metric": "recal"}, "train.best_metric: must be one of .* got 'recal'; did you mean 'recall'"),
        (
            {"metrics": ["a:found_z"], "early_stopping": {"metric": "found_y"}},
            "train.early_stopping.metric: must be one of .* or 'found_z', got 'found_y'; did you mean 'found_z'",
        ),
        (
            {"metrics": [{"function": "mine:turned", "direction": "higher"}]},
            r"train.metrics: must be a metric as it was named before in this process \(mine:turned, lower is better",
        ),
    ],
)
def test_what_is_wrong_is_one_line_with_its_key(train, said):
    load_config({"train": {"metrics": [{"function": "mine:turned", "direction": "lower"}]}})
    with pytest.raises(ConfigError, match=said) as caught:
        load_config({"train": train})
    assert "\n" not in str(caught.value)


def test_a_search_may_name_one_and_nothing_varies_them():
    tune = {"suggestions_per_strategy": 2, "space": {"train.learning_rate": [1e-3]}, "metric": "found_t"}
    document = {"train": {"metrics": [{"function": "a:found_t", "direction": "lower"}]}, "sweep": {"tune": tune}}
    assert load_config(document).sweep.tune.direction("accuracy") == "min"
    with pytest.raises(ConfigError, match=r"sweep.tune.metric: must be one of .* got 'found_t'"):
        load_config({"sweep": {"tune": tune}})
    with pytest.raises(ConfigError, match=r"sweep.grid.train.metrics: must be a key .* may differ in"):
        expand_grid(load_config({"sweep": {"grid": {"train.metrics": [["a:found_u"]]}}}))
    assert "train.metrics" in _FIXED


def test_ids_know_of_metrics_only_where_there_are_some():
    """Trials and checkpoints of before have no such key."""
    assert "metrics" not in TrainConfig().identity(())
    assert {"learning_rate", "best_metric"} <= TrainConfig().identity(("length",)).keys()
    assert TrainConfig(metrics="a:found_v").identity(())["metrics"][0]["name"] == "found_v"
