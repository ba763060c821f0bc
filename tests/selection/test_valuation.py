"""What examples are worth: influence, KNN-Shapley and Data-OOB against their definitions."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score
from sklearn.tree import DecisionTreeClassifier

import raybert
from raybert.config import StrategyConfig, validate_config
from raybert.errors import DataError
from raybert.selection import build_strategy
from raybert.selection.identity import strategy_label
from raybert.selection.scorers.influence import InfluenceScorer, influences, mean_gradient
from raybert.selection.scorers.scorer import Arithmetic, ScoringData
from raybert.selection.scorers.target import Target, digest_of_target
from raybert.selection.scorers.valuation import KnnShapleyScorer, data_oob, knn_shapley
from raybert.selection.signals import find_signal
from raybert.sweeping.phases.prepare import prepare_design
from raybert.sweeping.plan.design import read_design
from tests.sweeping.planning import plan_of

GENERATOR = np.random.default_rng(4)


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def shapley_by_subsets(points, labels, query, label, neighbours):
    """The mean over all orders of what an example adds, by the sum over all subsets."""
    count = len(points)
    distances = np.linalg.norm(points - query, axis=1)

    def worth(members):
        nearest = sorted(members, key=lambda i: distances[i])[:neighbours]
        return sum(labels[i] == label for i in nearest) / neighbours

    values = np.zeros(count)
    for i in range(count):
        others = [j for j in range(count) if j != i]
        for size in range(count):
            weight = math.factorial(size) * math.factorial(count - size - 1) / math.factorial(count)
            for members in itertools.combinations(others, size):
                values[i] += weight * (worth((*members, i)) - worth(members))
    return values


@pytest.mark.parametrize("neighbours", [1, 2, 3, 9])
def test_knn_shapley_is_the_shapley_value_over_all_subsets(neighbours):
    points, queries = unit(GENERATOR.normal(size=(7, 3))), unit(GENERATOR.normal(size=(3, 3)))
    labels, wanted = np.array([0, 1, 0, 2, 1, 0, 1]), np.array([0, 1, 2])
    expected = np.mean(
        [shapley_by_subsets(points, labels, q, y, neighbours) for q, y in zip(queries, wanted, strict=True)], axis=0
    )
    np.testing.assert_allclose(knn_shapley(points, labels, queries, wanted, neighbours), expected, atol=1e-9)


def test_values_go_with_a_permutation_and_equal_rows_share_theirs():
    points = unit(GENERATOR.normal(size=(30, 4)))[np.append(np.arange(30), [3, 3, 4])]
    labels = GENERATOR.integers(0, 2, 30)[np.append(np.arange(30), [3, 3, 4])]
    queries, wanted = unit(GENERATOR.normal(size=(9, 4))), GENERATOR.integers(0, 2, 9)
    order = GENERATOR.permutation(33)
    for value in (
        lambda rows, classes: knn_shapley(rows, classes, queries, wanted, 3),
        lambda rows, classes: data_oob(rows, classes, np.random.default_rng(0), 20),
    ):
        straight = value(points, labels)
        np.testing.assert_allclose(value(points[order], labels[order]), straight[order], atol=1e-9)
        assert straight[3] == straight[30] == straight[31]


def blobs(count=300, classes=3):
    labels = GENERATOR.integers(0, classes, count)
    points = np.eye(6)[labels] + GENERATOR.normal(scale=0.35, size=(count, 6))
    wrong = GENERATOR.random(count) < 0.2
    return unit(points), np.where(wrong, (labels + 1) % classes, labels), wrong


def test_wrong_labels_are_worth_little():
    points, labels, wrong = blobs()
    queries, wanted, _ = blobs(80)
    assert roc_auc_score(wrong, -knn_shapley(points, labels, queries, wanted, 5)) > 0.8
    assert roc_auc_score(wrong, -data_oob(points, labels, np.random.default_rng(0), 50)) > 0.9
    kept = raybert.select("data_oob", 100, labels=labels, embeddings=points).positions
    assert wrong[kept].mean() < 0.02 < wrong.mean()


def test_data_oob_counts_the_models_that_did_not_draw_the_example():
    points, labels, _ = blobs(40)
    samples, predictions = [], []

    def fit(rows, classes):
        tree = DecisionTreeClassifier(random_state=0).fit(rows, classes)
        samples.append({row.tobytes() for row in rows})
        predictions.append(tree.predict)
        return tree.predict

    values = data_oob(points, labels, np.random.default_rng(3), 25, fit)
    stored = points.astype(np.float32)
    norms = np.sqrt((stored.astype(float) ** 2).sum(axis=1))
    stored = (stored / norms[:, None]).astype(np.float32)
    expected = [
        np.mean(
            [
                predict(stored[[i]])[0] == labels[i]
                for sample, predict in zip(samples, predictions, strict=True)
                if stored[i].tobytes() not in sample
            ]
        )
        for i in range(40)
    ]
    np.testing.assert_allclose(values, expected)


def test_influence_is_the_product_and_cosine_of_the_gradients_of_the_last_layer():
    torch.manual_seed(0)
    layer = torch.nn.Linear(5, 3).double()
    features, labels = torch.randn(8, 5).double(), torch.randint(0, 3, (8,))
    wanted_features, wanted = torch.randn(4, 5).double(), torch.randint(0, 3, (4,))

    def gradient(inputs, classes):
        layer.zero_grad()
        torch.nn.functional.cross_entropy(layer(inputs), classes).backward()
        return torch.cat([layer.weight.grad, layer.bias.grad[:, None]], dim=1).flatten().numpy().copy()

    def probs(inputs):
        return layer(inputs).softmax(dim=1).detach().numpy()

    target = gradient(wanted_features, wanted)
    each = np.stack([gradient(features[i : i + 1], labels[i : i + 1]) for i in range(8)])
    mean = mean_gradient(probs(wanted_features), wanted_features.numpy(), wanted.numpy())
    np.testing.assert_allclose(mean.flatten(), target)
    found = influences(probs(features), features.numpy(), labels.numpy(), mean)
    np.testing.assert_allclose(found[:, 0], each @ target)
    np.testing.assert_allclose(found[:, 1], each @ target / np.linalg.norm(each, axis=1) / np.linalg.norm(target))


def test_tables_name_the_target_by_its_source():
    strategy = build_strategy(StrategyConfig(name="influence", target="wanted.csv"))
    assert strategy_label(strategy) == "influence(target=wanted.csv)"
    assert strategy == build_strategy(StrategyConfig(name="influence", target={"source": "wanted.csv"}))
    assert strategy.all_signals() == {"influence:wanted.csv"}


def test_the_measure_says_which_column_ranks():
    signal = np.array([[3.0, 0.1], [1.0, 0.9], [2.0, 0.5]])
    found = {
        measure: raybert.select(
            "influence", 3, labels=[0, 0, 0], influence=signal, parameters={"measure": measure}
        ).positions.tolist()
        for measure in ("product", "cosine")
    }
    assert found == {"product": [0, 2, 1], "cosine": [1, 2, 0]}


def write_target(prepared, path, rows=range(6)):
    names = prepared.splits.label_names
    table = prepared.splits.validation
    texts, labels = table["text"].to_pylist(), table["label"].to_pylist()
    frame = pd.DataFrame({"text": [texts[i] for i in rows], "label": [names[labels[i]] for i in rows]})
    frame.to_csv(path, index=False)
    return np.array(list(rows))


@pytest.fixture
def of_file(prepared, tmp_path):
    """A target that is some rows of validation in a file, and which."""
    rows = write_target(prepared, tmp_path / "wanted.csv", range(3, 20))
    data = prepared.config.data if hasattr(prepared, "config") else None
    config = validate_config({"data": {"source": "docstrings", "max_length": 64}}).data if data is None else data
    source = str(tmp_path / "wanted.csv")
    return Target(source, digest_of_target(source), config, prepared.encoder), rows


@pytest.mark.slow
def test_a_file_of_targets_has_the_word_pieces_and_classes_of_the_same_texts_in_validation(prepared, of_file):
    target, rows = of_file
    found = target.table(ScoringData(prepared.data, prepared.splits.train))
    validation = prepared.data.validation
    assert np.asarray(found.labels).tolist() == np.asarray(validation.labels)[rows].tolist()
    longest = min(np.asarray(found.lengths).max(), np.asarray(validation.lengths).max())
    assert (
        np.minimum(found.lengths, longest).tolist()
        == np.minimum(np.asarray(validation.lengths)[rows], longest).tolist()
    )


@pytest.mark.parametrize("name", ["influence", "knn_shapley"])
def test_the_target_is_part_of_the_signal_and_of_the_trial(prepared, tmp_path, name):
    file = tmp_path / "wanted.csv"
    write_target(prepared, file)
    entries = [name, {"name": name, "target": str(file), "label": "of a file"}]

    def ids():
        config = validate_config({"sweep": {"strategies": ["random", *entries], "seeds": 1}})
        return {spec.label: spec.trial_id for spec in plan_of(config, prepared.facts).trials}

    assert find_signal(f"{name}:{file}").target == str(file)
    before = ids()
    write_target(prepared, file, range(2, 9))
    after = ids()
    assert {label for label in before if before[label] != after[label]} == {"of a file"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "must be `validation` or a file of labelled examples, got '.*wanted.csv'"),
        ("text,kind\na,b\n", "has no column 'label'"),
        ("text,label\nsome text,no such library\n", "no such library"),
    ],
)
def test_a_file_that_is_no_target_is_refused_before_anything_is_trained(tmp_path, corpus, content, message):
    path = tmp_path / "wanted.csv"
    if content is not None:
        path.write_text(content)
    data = {
        "source": "docstrings",
        "max_length": 16,
        "train_examples": 60,
        "validation_examples": 30,
        "test_examples": 30,
    }
    entry = {"name": "influence", "target": {"source": str(path)}}
    design = read_design(validate_config({"data": data, "sweep": {"strategies": ["random", entry], "seeds": 1}}))
    with pytest.raises(DataError, match=f"^sweep.strategies: 'influence.*{message}"):
        prepare_design(design, corpus)


def test_scorers_of_a_pool_give_what_the_functions_give(prepared):
    from raybert.selection.scorers.models import TargetEmbedder

    data = ScoringData(prepared.data, prepared.splits.train, Arithmetic("fp32", 4096))
    target = Target("validation", "", None, prepared.encoder)
    embed = TargetEmbedder(prepared.encoder, None, "mean")
    pool, wanted = embed(data, prepared.data.train), embed(data, prepared.data.validation)
    np.testing.assert_allclose(np.linalg.norm(wanted, axis=1), 1, atol=1e-5)
    found = KnnShapleyScorer("knn_shapley", target, 5, embed).compute(data, {"embeddings": pool})["knn_shapley"]
    labels, of_target = np.asarray(prepared.data.train.labels), np.asarray(prepared.data.validation.labels)
    np.testing.assert_allclose(found, knn_shapley(pool, labels, wanted, of_target, 5), atol=1e-6)
    # The values of all examples are what all of them are worth: the share of right neighbours.
    nearest = np.argsort(-(wanted @ pool.T), axis=1)[:, :5]
    assert found.sum() == pytest.approx((labels[nearest] == of_target[:, None]).mean(), abs=1e-3)
    assert InfluenceScorer("run", None, signal="influence", target=target).identity()["target"] == "validation"
