"""Runs whose outputs are signals: what they train on, and what the scorers make of them."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch

from raybert.config import validate_config
from raybert.data.nulls import null_table, with_nulls
from raybert.errors import ConfigError, ScoringError
from raybert.models import load_model, load_tokenizer
from raybert.selection.losses import cross_entropy
from raybert.selection.ranking import tie_keys
from raybert.selection.scorers.class_error import ClassErrorScorer
from raybert.selection.scorers.influence import InfluenceScorer, influences, mean_gradient
from raybert.selection.scorers.models import (
    DynamicsScorer,
    HeldoutScorer,
    ProxyEmbeddingScorer,
    ProxyScorer,
)
from raybert.selection.scorers.one_proxy import DropoutScorer, FeatureScorer
from raybert.selection.scorers.scorer import Arithmetic, ScoringData
from raybert.selection.scorers.target import Target
from raybert.selection.scorers.training_loss import TrainingLossScorer
from raybert.selection.strategies.ranked import RankedStrategy
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.phases.scoring_jobs import JobPlanner
from raybert.sweeping.trial.run import make_pool, run_trial
from raybert.training import Inference
from tests.sweeping.planning import plan_of

POSITIONS = np.array([7, 0, 299, 13, 150])


@pytest.fixture(scope="module")
def runs(prepared, tmp_path_factory):
    """Every kind of run, done here, and the sources by kind."""
    strategies = [
        "grand",
        {"name": "ifd", "null_input": "empty"},
        {"name": "ifd", "null_input": "mask"},
        "label_errors",
        "rho_loss",
        "aum",
    ]
    config = validate_config(
        {
            "train": {"batch_size": 32, "learning_rate": 1e-3, "precision": "fp32"},
            "selection": {"scorers": {"heldout": {"folds": 3, "epochs": 1}, "irreducible": {"epochs": 1}}},
            "sweep": {"strategies": strategies, "seeds": 1},
        }
    )
    plan = plan_of(config, prepared.facts)
    folder = SweepFolder(tmp_path_factory.mktemp("runs"))
    for spec in plan.proxies:
        status = run_trial(spec, prepared.data, prepared.encoder, (), folder, report=lambda row: None)
        assert status == "complete", folder.trial(spec.trial_id).error()
    sources = {(s.kind, s.null): s for spec in plan.trials if spec.role == "trial" for s in spec.signal_runs}
    return folder, sources, ScoringData(prepared.data, prepared.splits.train, Arithmetic("fp32", 4096))


def models_of(folder, source):
    return tuple(folder.trial(run).checkpoints / "best" for run in source.runs)


def predict(folder, run, data, positions):
    model = load_model(folder.trial(run).checkpoints / "best")
    return Inference(model, data, "fp32").probs_and_features(data.train, positions)


def trained_on(folder, run):
    return set(pd.read_parquet(folder.trial(run).path / "selection.parquet")["position"])


@pytest.mark.slow
def test_every_example_is_scored_by_the_model_that_did_not_see_it(runs, prepared):
    folder, sources, scoring_data = runs
    source = sources["heldout", None]
    scorer = HeldoutScorer("heldout_probs", source.runs, models_of(folder, source), 3, 0)
    found = scorer.load(scoring_data)(POSITIONS)["heldout_probs"]
    seen = [trained_on(folder, run) for run in source.runs]
    assert [len(part) for part in seen] == [200, 200, 200]
    for row, position in enumerate(POSITIONS):
        (unseen_by,) = (run for run, part in zip(source.runs, seen, strict=True) if position not in part)
        expected, _ = predict(folder, unseen_by, prepared.data, np.array([position]))
        np.testing.assert_allclose(found[row], expected[0], atol=1e-5)


def test_a_proxy_of_a_sample_trains_on_a_draw_by_class_and_scores_all(prepared, tmp_path):
    sections = {"train": {"precision": "fp32"}, "selection": {"proxy": {"examples": 60}, "budget": 60}}
    plan = plan_of(
        validate_config({**sections, "sweep": {"strategies": ["el2n", "random_stratified"], "seeds": 1}}),
        prepared.facts,
    )
    folder = SweepFolder(tmp_path)
    (proxy,) = plan.proxies
    trials = {spec.label: spec for spec in plan.trials}
    run_trial(proxy, prepared.data, prepared.encoder, (), folder, report=lambda row: None)
    drawn = trained_on(folder, proxy.trial_id)
    labels = np.asarray(prepared.data.train.labels)
    sizes, expected = np.bincount(labels[list(drawn)]), np.bincount(labels) * 60 / len(labels)
    assert len(drawn) == 60
    assert np.abs(sizes - expected).max() < 1
    (source,) = trials["el2n"].signal_runs
    assert source.runs == (proxy.trial_id,)
    random = trials["random_stratified"]
    others = set(random.strategy.choose(make_pool(random, prepared.data, ()), 60).positions.tolist())
    assert len(drawn & others) < 40  # of 60, 12 by chance: another draw than that of what it is compared with
    scoring = ScoringData(prepared.data, prepared.splits.train, Arithmetic("fp32", 4096))
    found = ProxyScorer(source.runs, models_of(folder, source)).load(scoring)(POSITIONS)["probs"][:, 0]
    assert np.allclose(found, predict(folder, proxy.trial_id, prepared.data, POSITIONS)[0], atol=1e-6)


@pytest.mark.slow
def test_the_irreducible_loss_is_that_of_the_other_half(runs, prepared):
    folder, sources, scoring_data = runs
    source = sources["irreducible", None]
    found = HeldoutScorer("irreducible_loss", source.runs, models_of(folder, source), 2, 0).load(scoring_data)(
        POSITIONS
    )
    labels = np.asarray(prepared.data.train.labels)
    for row, position in enumerate(POSITIONS):
        (other,) = (run for run in source.runs if position not in trained_on(folder, run))
        probs, _ = predict(folder, other, prepared.data, np.array([position]))
        expected = cross_entropy(probs, labels[[position]])[0]
        assert found["irreducible_loss"][row] == pytest.approx(expected, rel=1e-4)


def test_dynamics_are_six_checkpoints_of_one_run_the_last_its_final_model(runs, prepared):
    folder, sources, scoring_data = runs
    (run,) = sources["dynamics", None].runs
    scorer = DynamicsScorer(run, folder.trial(run).path)
    dynamics = scorer.load(scoring_data)(POSITIONS)["dynamics"]
    assert dynamics.shape == (5, 6, prepared.data.num_classes)
    np.testing.assert_allclose(dynamics.sum(axis=2), 1, atol=1e-5)
    final, _ = predict(folder, run, prepared.data, POSITIONS)
    np.testing.assert_allclose(dynamics[:, -1], final, atol=1e-6)
    assert (np.abs(np.diff(dynamics, axis=1)).max(axis=(0, 2)) > 1e-3).all()
    # Two passes of half the pool are one epoch: every example three times in all.
    chosen = pd.read_parquet(folder.trial(run).path / "selection.parquet")
    assert (chosen["position"].value_counts() == 3).all()
    assert folder.trial(run).result()["examples_scored"] == 5 * 300


def test_a_proxy_gives_probabilities_norms_and_embeddings(runs, prepared):
    folder, sources, scoring_data = runs
    source = sources["proxy", None]
    outputs = ProxyScorer(source.runs, models_of(folder, source)).load(scoring_data)(POSITIONS)
    probs, features = predict(folder, source.runs[0], prepared.data, POSITIONS)
    np.testing.assert_allclose(outputs["probs"][:, 0], probs, atol=1e-6)
    np.testing.assert_allclose(outputs["feature_norms"][:, 0], np.linalg.norm(features, axis=1), rtol=1e-5)
    model = load_model(models_of(folder, source)[0])
    expected = Inference(model, prepared.data, "fp32").embeddings(prepared.data.train, POSITIONS)
    scorer = ProxyEmbeddingScorer(source.runs[0], models_of(folder, source)[0], pooling="mean")
    np.testing.assert_allclose(scorer.load(scoring_data)(POSITIONS)["embeddings"], expected, atol=1e-6)


def test_a_proxy_gives_the_inputs_of_its_last_layer(runs, prepared):
    folder, sources, scoring_data = runs
    source = sources["proxy", None]
    found = FeatureScorer(source.runs[0], models_of(folder, source)[0]).load(scoring_data)(POSITIONS)["features"]
    probs, features = predict(folder, source.runs[0], prepared.data, POSITIONS)
    np.testing.assert_allclose(found, features, atol=1e-6)
    last = list(load_model(models_of(folder, source)[0]).modules())
    linear = [part for part in last if isinstance(part, torch.nn.Linear)][-1]
    logits = found @ linear.weight.detach().numpy().T + linear.bias.detach().numpy()
    np.testing.assert_allclose(torch.from_numpy(logits).softmax(dim=-1).numpy(), probs, atol=1e-5)


def test_the_influence_of_a_proxy_is_that_of_its_gradients_on_validation(runs, prepared):
    folder, sources, scoring_data = runs
    source = sources["proxy", None]
    checkpoint = models_of(folder, source)[0]
    target = Target("validation", "", None, prepared.encoder)
    found = InfluenceScorer(source.runs[0], checkpoint, signal="influence", target=target).load(scoring_data)(
        POSITIONS
    )["influence"]
    inference = Inference(load_model(checkpoint), prepared.data, "fp32")
    validation = prepared.data.validation
    wanted = mean_gradient(*inference.probs_and_features(validation), np.asarray(validation.labels))
    probs, features = predict(folder, source.runs[0], prepared.data, POSITIONS)
    labels = np.asarray(prepared.data.train.labels)[POSITIONS]
    np.testing.assert_allclose(found, influences(probs, features, labels, wanted), rtol=1e-3, atol=1e-5)


def test_errors_of_classes_are_those_of_a_proxy_on_validation(runs, prepared):
    folder, sources, scoring_data = runs
    source = sources["proxy", None]
    checkpoint = models_of(folder, source)[0]
    found = ClassErrorScorer(source.runs[0], checkpoint).load(scoring_data)(POSITIONS)["class_error"]
    said = Inference(load_model(checkpoint), prepared.data, "fp32").probs(prepared.data.validation).argmax(axis=1)
    truth, labels = np.asarray(prepared.data.validation.labels), np.asarray(prepared.data.train.labels)
    expected = [(said != truth)[truth == labels[position]].mean() for position in POSITIONS]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_with_dropout_a_proxy_says_something_else_in_every_pass_and_the_same_of_a_block_again(runs, tmp_path):
    folder, sources, scoring_data = runs
    source = sources["proxy", None]
    checkpoint = models_of(folder, source)[0]
    with pytest.raises(
        ScoringError, match="must have dropout, got the same probabilities in every pass; set model.drop"
    ):
        DropoutScorer(source.runs[0], checkpoint, passes=2).load(scoring_data)(POSITIONS)
    wild = shutil.copytree(checkpoint, tmp_path / "wild")
    config = json.loads((wild / "config.json").read_text())
    (wild / "config.json").write_text(json.dumps({**config, "mlp_dropout": 0.1, "classifier_dropout": 0.2}))
    state = torch.random.get_rng_state()
    score = DropoutScorer(source.runs[0], wild, passes=40).load(scoring_data)
    found = score(POSITIONS)["dropout_probs"]
    assert torch.equal(torch.random.get_rng_state(), state)
    assert found.shape == (5, 40, scoring_data.data.num_classes)
    np.testing.assert_allclose(found.sum(axis=2), 1, atol=1e-5)
    assert len({tuple(row) for row in found[0].tolist()}) == 40
    np.testing.assert_array_equal(score(POSITIONS)["dropout_probs"], found)
    still = ProxyScorer(source.runs, (wild,)).load(scoring_data)(POSITIONS)["probs"][:, 0]
    assert np.abs(found.mean(axis=1) - still).max() < 0.1


@pytest.mark.parametrize("name", ["badge", "bald"])
def test_signals_of_one_proxy_are_refused_where_proxies_are_cross_fitted(prepared, name):
    config = validate_config(
        {"selection": {"proxy": {"folds": 3}}, "sweep": {"strategies": ["random", name], "seeds": 1}}
    )
    with pytest.raises(ConfigError, match=f"'{name}' reads '.*' of one proxy of the whole pool.*; leave out .*folds"):
        plan_of(config, prepared.facts)


def test_more_passes_with_dropout_are_another_trial_and_others_stay(prepared):
    def ids(passes):
        config = validate_config(
            {
                "selection": {"scorers": {"dropout": passes}},
                "sweep": {"strategies": ["random", "badge", "bald"], "seeds": 1},
            }
        )
        return {spec.label: spec.trial_id for spec in plan_of(config, prepared.facts).trials}

    few, many = ids(5), ids(20)
    assert {label for label in few if few[label] != many[label]} == {"bald"}


def test_the_training_loss_is_the_mean_over_the_runs_that_trained_on_an_example(runs):
    folder, sources, scoring_data = runs
    files = {run: folder.trial(run).losses_path for run in sources["heldout", None].runs}
    scorer = TrainingLossScorer(tuple(files), tuple(files.values()))
    found = scorer.compute(scoring_data, {})["loss"]
    assert (found.shape, found.dtype) == ((300,), np.float32)
    losses = {run: np.load(path)["loss"] for run, path in files.items()}
    for position in POSITIONS:
        seen = [losses[run][position] for run in files if position in trained_on(folder, run)]
        assert len(seen) == 2  # of three folds, one is left out
        assert found[position] == pytest.approx(np.mean(seen), rel=1e-6)
    only = [run for run in files if 7 not in trained_on(folder, run)]
    alone = TrainingLossScorer((only[0],), (files[only[0]],)).compute(scoring_data, {})["loss"]
    assert np.flatnonzero(np.isnan(alone)).tolist() == sorted(set(range(300)) - trained_on(folder, only[0]))


def test_a_run_of_0_1_without_losses_is_said(tmp_path):
    scorer = TrainingLossScorer(("r",), (tmp_path / "losses.npz",))
    with pytest.raises(ScoringError, match="no such file: the run is of raybert 0.1, which wrote no losses; delete"):
        scorer.compute(None, {})


class Lossy(RankedStrategy):
    """The examples of highest training loss."""

    name = "lossy"
    needs = frozenset({"loss"})


@pytest.mark.parametrize(("of", "kind", "role"), [("proxy", "proxy", "proxy"), ("dynamics", "dynamics", "part")])
def test_the_training_loss_is_that_of_the_runs_that_the_file_says(prepared, tmp_path, of, kind, role):
    strategies = [f"{__name__}:Lossy"]
    config = validate_config(
        {"selection": {"scorers": {"loss": {"of": of}}}, "sweep": {"strategies": strategies, "seeds": 1}}
    )
    plan = plan_of(config, prepared.facts)
    run, trial = plan.trials
    assert (run.role, trial.role) == (role, "trial")
    assert [(source.kind, source.runs) for source in trial.signal_runs] == [(kind, (run.trial_id,))]
    folder = SweepFolder(tmp_path)
    (job,) = JobPlanner({trial.data_key: prepared}, folder).jobs(trial)
    assert job.scorer == TrainingLossScorer((run.trial_id,), (folder.trial(run.trial_id).losses_path,))
    assert job.runs == (run.trial_id,)


def test_losses_of_a_proxy_of_a_sample_are_refused(prepared):
    sections = {"selection": {"proxy": {"examples": 50}}, "sweep": {"strategies": [f"{__name__}:Lossy"], "seeds": 1}}
    with pytest.raises(ConfigError, match=r"'lossy' reads the losses of training, which proxies of the whole.*got 50"):
        plan_of(validate_config(sections), prepared.facts)


@pytest.mark.parametrize("null", ["empty", "mask"])
def test_nulls_are_one_input_in_ten_and_say_nothing_of_the_text(runs, prepared, null):
    folder, sources, scoring_data = runs
    source = sources["proxy", null]
    data = prepared.data
    assert folder.trial(source.runs[0]).result()["samples_per_pass"] == [333]
    assert len(trained_on(folder, source.runs[0])) == 300
    scorer = ProxyScorer(source.runs, models_of(folder, source), null, prepared.encoder)
    blank = scorer.load(scoring_data)(np.arange(40))["null_probs"][:, 0]
    lengths = data.train.lengths[:40]
    for length in np.unique(lengths):
        same = blank[lengths == length]
        np.testing.assert_allclose(same, np.broadcast_to(same[0], same.shape), atol=1e-5)
    if null == "empty":
        np.testing.assert_allclose(blank, np.broadcast_to(blank[0], blank.shape), atol=1e-5)


def test_null_inputs_keep_special_pieces_and_labels(prepared):
    tokenizer = load_tokenizer(prepared.encoder)
    table = prepared.data.train
    masked = null_table(table, "mask", tokenizer, has_pairs=False)
    first = table.ids[: table.offsets[1]]
    assert masked.ids[: table.offsets[1]].tolist() == [
        piece if piece in (tokenizer.cls_token_id, tokenizer.sep_token_id) else tokenizer.mask_token_id
        for piece in first
    ]
    empty = null_table(table, "empty", tokenizer, has_pairs=False)
    assert empty.ids[empty.offsets[4] : empty.offsets[5]].tolist() == tokenizer("")["input_ids"]
    keys = tie_keys(prepared.data.example_ids, 0)
    extended = with_nulls(prepared.data, empty, keys)
    assert len(extended.train) == 333
    chosen = np.sort(np.argsort(keys)[:33])
    np.testing.assert_array_equal(extended.train.labels[300:], np.asarray(table.labels)[chosen])
    np.testing.assert_array_equal(extended.train.ids[: len(table.ids)], table.ids)
    assert extended.fingerprint != prepared.data.fingerprint
