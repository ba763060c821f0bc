import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from raybert.config import AveragingConfig, EarlyStoppingConfig, TrainConfig, validate_config
from raybert.data import TokenizedData, collate, training_batches
from raybert.errors import RenamedWarning, TrialError
from raybert.models import load_classifier
from raybert.training import FitRequest, FixedPasses, Inference, LocalSurroundings, PassPlan, fit
from raybert.training.checkpoint import load_last
from tests.processes import on_ranks
from tests.raybert_01 import age_checkpoint
from tests.training.stop_after import StopAfter

FAST = TrainConfig(batch_size=16, learning_rate=1e-3, precision="fp32", checkpoint_seconds=0)


class Alternating:
    """Trains on the even and the odd half of the pool in turn, with weights, and looks at the model."""

    def next_pass(self, epoch, previous, view):
        if epoch:
            assert previous is not None
            view.predict(np.arange(8))
        positions = np.arange(epoch % 2, 96, 2)
        return PassPlan(positions, np.where(positions < 40, 0.5, 1.5).astype(np.float32))


class Unreadable:
    """A test split that must not be touched."""

    def __len__(self):
        raise AssertionError("the test split was read")

    def __getattr__(self, name):
        raise AssertionError("the test split was read")


def train(model, tokens, config=FAST, *, epochs=None, total_steps=12, surroundings=None, **options):
    return fit(
        model,
        tokens,
        epochs or FixedPasses(np.arange(96)),
        FitRequest(config, total_steps, seed=4, **options),
        surroundings or LocalSurroundings(),
    )


def final_state(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(one, other) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def test_training_ends_at_exactly_t_steps_and_counts_what_it_saw(tiny_bert, tokens):
    result = train(load_classifier(tiny_bert, tokens.label_names, 0), tokens, total_steps=8)
    assert result.optimizer_steps == 8
    assert result.rows[-1]["step"] == 8
    # 96 examples are 6 batches of 16: a whole pass and two batches.
    assert result.examples_seen == 128
    assert result.samples_per_pass == (96, 96)
    assert result.rows[-1]["pass"] == pytest.approx(1 + 2 / 6, abs=1e-3)
    assert [row["evaluation"] for row in result.rows] == list(range(1, 9))


@pytest.mark.slow
@pytest.mark.parametrize("micro_batch_size", [1, 5, 16])
def test_accumulated_micro_batches_equal_one_batch(tiny_bert, tokens, micro_batch_size):
    def run(size):
        model = load_classifier(tiny_bert, tokens.label_names, 0, dropout=0.0)
        config = FAST.model_copy(update={"micro_batch_size": size, "batch_size": 20})
        result = train(model, tokens, config, total_steps=7)  # the fifth batch of a pass has 16 examples
        return result, final_state(model)

    (whole, expected), (parts, state) = run(None), run(micro_batch_size)
    np.testing.assert_allclose(
        [row["train_loss"] for row in parts.rows], [row["train_loss"] for row in whole.rows], rtol=1e-5
    )
    for name, tensor in expected.items():
        torch.testing.assert_close(state[name], tensor, atol=2e-5, rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 6, 9, 10])
@pytest.mark.parametrize(
    ("precision", "averaging"),
    [
        ("fp32", {}),
        pytest.param("bf16", {"kind": "swa", "start": 0.3}, marks=pytest.mark.long),
        pytest.param("fp16", {"kind": "ema"}, marks=pytest.mark.long),
    ],
)
def test_a_run_stopped_at_any_step_continues_bit_identically(tiny_bert, tokens, tmp_path, steps, precision, averaging):
    config = FAST.model_copy(
        update={
            "micro_batch_size": 5,
            "eval_every": 4,
            "precision": precision,
            "averaging": AveragingConfig(**averaging),
        }
    )
    model = load_classifier(tiny_bert, tokens.label_names, 0)  # with dropout
    whole = train(model, tokens, config, epochs=Alternating(), total_steps=11)
    expected = final_state(model)

    surroundings = StopAfter(tmp_path, steps)
    model = load_classifier(tiny_bert, tokens.label_names, 0)
    first = train(model, tokens, config, epochs=Alternating(), total_steps=11, surroundings=surroundings)
    assert first.stopped
    assert first.optimizer_steps == steps
    torch.manual_seed(999)  # another trial used the process in between
    model = load_classifier(tiny_bert, tokens.label_names, 7)
    second = train(
        model,
        tokens,
        config,
        epochs=Alternating(),
        total_steps=11,
        surroundings=LocalSurroundings(checkpoint_folder=tmp_path),
    )
    assert same(expected, final_state(model))
    timeless = [{k: v for k, v in row.items() if k != "seconds"} for row in second.rows]
    assert timeless == [{k: v for k, v in row.items() if k != "seconds"} for row in whole.rows]
    assert second.test_metrics == whole.test_metrics
    np.testing.assert_array_equal(second.test_probs, whole.test_probs)
    np.testing.assert_array_equal(second.train_losses, whole.train_losses)
    np.testing.assert_array_equal(second.train_loss_passes, whole.train_loss_passes)
    assert (second.examples_scored, second.samples_per_pass) == (
        whole.examples_scored,
        whole.samples_per_pass,
    )


@pytest.mark.slow
def test_a_checkpoint_of_raybert_01_is_continued(tiny_bert, tokens, tmp_path):
    whole = train(load_classifier(tiny_bert, tokens.label_names, 0), tokens, total_steps=14)
    model = load_classifier(tiny_bert, tokens.label_names, 0)
    train(model, tokens, total_steps=14, surroundings=StopAfter(tmp_path, 8))  # passes have 6 steps
    assert age_checkpoint(tmp_path) == 2
    model = load_classifier(tiny_bert, tokens.label_names, 7)
    second = train(model, tokens, total_steps=14, surroundings=LocalSurroundings(checkpoint_folder=tmp_path))
    assert second.optimizer_steps == 14
    np.testing.assert_array_equal(second.train_losses, whole.train_losses)
    np.testing.assert_array_equal(second.train_loss_passes, whole.train_loss_passes)
    assert np.bincount(second.train_loss_passes).tolist() == [0, 64, 32]
    assert second.samples_per_pass == whole.samples_per_pass
    assert [row["pass"] for row in second.rows] == [row["pass"] for row in whole.rows]
    assert second.test_metrics == whole.test_metrics


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["truncate", "no mark", "empty"])
def test_a_torn_checkpoint_is_never_read(tiny_bert, tokens, tmp_path, damage):
    model = load_classifier(tiny_bert, tokens.label_names, 0)
    train(model, tokens, surroundings=StopAfter(tmp_path, 2))
    last = tmp_path / "last"
    if damage == "truncate":
        data = (last / "weights.safetensors").read_bytes()
        (last / "weights.safetensors").write_bytes(data[: len(data) // 2])
    elif damage == "no mark":
        (last / "COMPLETE").unlink()
    else:
        (last / "state.pt").write_bytes(b"")
    assert load_last(tmp_path, "any") is None
    model = load_classifier(tiny_bert, tokens.label_names, 0)
    again = train(model, tokens, surroundings=LocalSurroundings(checkpoint_folder=tmp_path))
    fresh = train(load_classifier(tiny_bert, tokens.label_names, 0), tokens)
    assert again.test_metrics == fresh.test_metrics


@pytest.mark.slow
def test_a_checkpoint_that_lacks_the_weights_of_its_best_evaluation_is_never_read(tiny_bert, tokens, tmp_path):
    model = load_classifier(tiny_bert, tokens.label_names, 0)
    train(model, tokens, total_steps=14, surroundings=StopAfter(tmp_path, 8))
    (tmp_path / "last" / "best.safetensors").unlink()  # as of a run that was killed while it removed the checkpoint
    assert load_last(tmp_path, "any") is None
    model = load_classifier(tiny_bert, tokens.label_names, 0)
    again = train(model, tokens, total_steps=14, surroundings=LocalSurroundings(checkpoint_folder=tmp_path))
    fresh = train(load_classifier(tiny_bert, tokens.label_names, 0), tokens, total_steps=14)
    assert again.test_metrics == fresh.test_metrics


def test_a_checkpoint_of_another_run_is_refused(tiny_bert, tokens, tmp_path):
    train(load_classifier(tiny_bert, tokens.label_names, 0), tokens, surroundings=StopAfter(tmp_path, 2))
    other = FAST.model_copy(update={"learning_rate": 5e-4})
    with pytest.raises(TrialError, match="belongs to a run with other settings"):
        train(
            load_classifier(tiny_bert, tokens.label_names, 0),
            tokens,
            other,
            surroundings=LocalSurroundings(checkpoint_folder=tmp_path),
        )


@pytest.mark.slow
def test_the_best_evaluation_is_reported_with_its_own_test_metrics(tiny_bert, tokens):
    # Six examples of noise: the validation loss falls a little, then rises.
    config = FAST.model_copy(update={"best_metric": "loss", "learning_rate": 1e-2, "eval_every": 1})
    noisy = replace(tokens, train=replace(tokens.train, labels=np.roll(tokens.train.labels, 1)))
    model = load_classifier(tiny_bert, tokens.label_names, 0)
    result = train(model, noisy, config, epochs=FixedPasses(np.arange(6)), total_steps=40)
    losses = [row["validation_loss"] for row in result.rows]
    assert result.best_row is result.rows[int(np.argmin(losses))]
    assert result.best_row is not result.rows[-1]
    probs = Inference(model, tokens, "fp32").probs(tokens.validation)
    label_probs = probs[np.arange(30), tokens.validation.labels]
    assert -np.log(label_probs).mean() == pytest.approx(min(losses), rel=1e-5)
    accuracy = (result.test_probs.argmax(1) == tokens.test.labels).mean()
    assert result.test_metrics["accuracy"] == pytest.approx(accuracy)


def test_without_evaluate_test_the_test_split_is_never_read(tiny_bert, tokens):
    blind = replace(tokens, test=Unreadable())
    result = train(load_classifier(tiny_bert, tokens.label_names, 0), blind, evaluate_test=False)
    assert result.test_metrics is None
    with pytest.raises(AssertionError, match="was read"):
        train(load_classifier(tiny_bert, tokens.label_names, 0), blind)


class LooksByTheOldName:
    """A planner of raybert 0.1, which asks for the passes of losses by another name."""

    def next_pass(self, epoch, previous, view):
        with pytest.warns(RenamedWarning, match="train_loss_epochs is called train_loss_passes now"):
            seen = view.train_loss_epochs >= 0
        return PassPlan(np.flatnonzero(~seen)[:32])


def test_a_planner_may_ask_for_passes_by_the_name_of_raybert_01(tiny_bert, tokens):
    model = load_classifier(tiny_bert, tokens.label_names, 0)
    result = train(model, tokens, epochs=LooksByTheOldName(), total_steps=6)
    assert np.bincount(result.train_loss_passes).tolist() == [32, 32, 32]


def test_weights_multiply_the_losses_and_not_the_denominator(tiny_bert, tokens):
    """One SGD-free check: the gradient of a weighted batch is the weighted sum of gradients over B."""
    model = load_classifier(tiny_bert, tokens.label_names, 0, dropout=0.0).eval()
    rows, weights = np.arange(4), torch.tensor([0.0, 2.0, 1.0, 1.0])
    batch = collate(tokens.train, rows, 0, False)
    labels = batch.pop("labels")
    losses = torch.nn.functional.cross_entropy(model(**batch).logits, labels, reduction="none")
    ((losses * weights).sum() / 4).backward()
    expected = model.classifier.weight.grad.clone()
    seen = []
    model = load_classifier(tiny_bert, tokens.label_names, 0, dropout=0.0)
    model.classifier.weight.register_hook(lambda grad: seen.append(grad.clone()))
    config = FAST.model_copy(update={"batch_size": 4, "micro_batch_size": 1, "max_grad_norm": None})
    train(model, tokens, config, epochs=FixedPasses(rows, weights.numpy()), total_steps=1)
    torch.testing.assert_close(torch.stack(seen).sum(0), expected, atol=1e-6, rtol=1e-4)


def test_an_empty_pass_and_a_loss_that_is_not_finite_are_trial_errors(tiny_bert, tokens):
    with pytest.raises(TrialError, match="must train on at least one example"):
        train(
            load_classifier(tiny_bert, tokens.label_names, 0),
            tokens,
            epochs=FixedPasses(np.empty(0, np.int64)),
        )
    model = load_classifier(tiny_bert, tokens.label_names, 0)
    with torch.no_grad():
        model.classifier.bias.fill_(math.nan)
    with pytest.raises(TrialError, match=r"step .: the training loss must be finite.*"):
        train(model, tokens)


@pytest.mark.slow
def test_it_overfits_a_small_pool(tiny_bert, tokens):
    model = load_classifier(tiny_bert, tokens.label_names, 0, dropout=0.0)
    config = FAST.model_copy(update={"learning_rate": 5e-3})
    train(model, tokens, config, epochs=FixedPasses(np.arange(64)), total_steps=150)
    probs = Inference(model, tokens, "fp32").probs(tokens.train, np.arange(64))
    assert (probs.argmax(1) == tokens.train.labels[:64]).all()


def test_a_pass_can_be_cut_after_some_steps(tiny_bert, tokens):
    class Cut:
        def next_pass(self, epoch, previous, view):
            return PassPlan(np.arange(96), max_steps=2)

    result = train(load_classifier(tiny_bert, tokens.label_names, 0), tokens, epochs=Cut(), total_steps=6)
    assert result.samples_per_pass == (96, 96, 96)
    assert result.examples_seen == 96


def test_predictions_come_in_the_order_of_the_positions(tiny_bert, tokens):
    model = load_classifier(tiny_bert, tokens.label_names, 0)
    everything = Inference(model, tokens, "fp32").probs(tokens.train)
    positions = np.array([50, 3, 77, 0])
    some = Inference(model, tokens, "fp32", max_tokens=40).probs(tokens.train, positions)
    np.testing.assert_allclose(some, everything[positions], atol=1e-6)
    assert model.training


@pytest.mark.slow
def test_fifty_steps_equal_transformers_trainer(tiny_bert, tokens, tmp_path):
    """The same batches, schedule, clipping and decay give the same losses as Hugging Face's loop."""
    from transformers import Trainer, TrainingArguments

    steps, learning_rate = 50, 2e-3
    config = FAST.model_copy(update={"learning_rate": learning_rate, "eval_every": 1})
    ours = train(load_classifier(tiny_bert, tokens.label_names, 0, dropout=0.0), tokens, config, total_steps=steps)

    order = [
        batch
        for epoch in range(9)
        for batch in training_batches(tokens.train.lengths, np.arange(96), 16, np.random.default_rng([4, epoch]))
    ]
    rows = [{"row": int(row)} for batch in order for row in batch]

    class InOrder(Trainer):
        def _get_train_sampler(self, *args, **kwargs):
            return torch.utils.data.SequentialSampler(rows)

    def join(features):
        return collate(tokens.train, np.array([feature["row"] for feature in features]), 0, False)

    trainer = InOrder(
        model=load_classifier(tiny_bert, tokens.label_names, 0, dropout=0.0),
        args=TrainingArguments(
            output_dir=str(tmp_path),
            per_device_train_batch_size=16,
            max_steps=steps,
            learning_rate=learning_rate,
            warmup_steps=5,
            weight_decay=config.weight_decay,
            logging_steps=1,
            report_to=[],
            save_strategy="no",
            use_cpu=True,
            remove_unused_columns=False,
            disable_tqdm=True,
            dataloader_pin_memory=False,
        ),
        train_dataset=rows,
        data_collator=join,
    )
    trainer.train()
    theirs = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    np.testing.assert_allclose([row["train_loss"] for row in ours.rows], theirs, atol=1e-4)


def _train_as_rank(rank: int, world_size: int, tokens: TokenizedData, encoder) -> tuple:
    model = load_classifier(encoder, tokens.label_names, 0, dropout=0.0)
    config = FAST.model_copy(update={"batch_size": 19, "micro_batch_size": 4})
    # 96 = 5 x 19 + 1: the last batch of a pass has one example, so rank 1 has none of it.
    result = train(
        model,
        tokens,
        config,
        epochs=FixedPasses(np.arange(96)),
        total_steps=14,
        surroundings=LocalSurroundings(rank=rank, world_size=world_size),
    )
    losses = [row["train_loss"] for row in result.rows]
    weights = {name: tensor.numpy() for name, tensor in final_state(model).items()}
    return losses, result.test_probs, result.train_losses, weights


@pytest.mark.slow
def test_two_ranks_equal_one_process_with_the_same_global_batch(tiny_bert, tokens):
    one = _train_as_rank(0, 1, tokens, tiny_bert)
    two, _ = on_ranks(_train_as_rank, 2, 2, tokens, tiny_bert)
    np.testing.assert_allclose(two[0], one[0], rtol=1e-5)
    np.testing.assert_allclose(two[1], one[1], atol=1e-5)
    np.testing.assert_allclose(two[2], one[2], rtol=1e-4, atol=1e-5)
    for name, array in one[3].items():
        np.testing.assert_allclose(two[3][name], array, atol=2e-5, rtol=1e-3)


def _train_some_steps(rank: int, world_size: int, tokens: TokenizedData, encoder, folder, steps: int) -> tuple:
    """Go on with a run that was begun on two ranks, and stop after some of its 40 steps."""
    model = load_classifier(encoder, tokens.label_names, 0, dropout=0.0)
    surroundings = StopAfter(folder, steps)
    surroundings.rank, surroundings.world_size = rank, world_size
    config = FAST.model_copy(update={"batch_size": 19, "checkpoint_seconds": 1e9})
    planned = {"epochs": FixedPasses(np.arange(96)), "total_steps": 40, "num_workers": 2}
    result = train(model, tokens, config, surroundings=surroundings, **planned)
    return [row["train_loss"] for row in result.rows], result.optimizer_steps, result.stopped


@pytest.mark.slow
def test_a_run_goes_on_with_fewer_ranks_and_with_more(tiny_bert, tokens, tmp_path):
    expected, _, _ = _train_some_steps(0, 1, tokens, tiny_bert, tmp_path / "one", 1000)
    folder = tmp_path / "changing"
    stops = []
    for ranks in (2, 1, 2):
        steps = 3 if len(stops) < 2 else 1000  # times that they ask whether to stop
        results = on_ranks(_train_some_steps, ranks, ranks, tokens, tiny_bert, folder, steps)
        losses, done, is_stopped = results[0]
        stops.append((done, is_stopped))
    first, second, last = (done for done, _ in stops)
    assert 0 < first < second < last == 40
    assert [is_stopped for _, is_stopped in stops] == [True, True, False]
    np.testing.assert_allclose(losses, expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("metric", "sign"), [("mcc", 1), ("brier", -1), ("ece", -1), ("loss", -1), ("auc_pr", 1), ("macro_recall", 1)]
)
def test_the_best_evaluation_is_that_of_the_metric(tiny_bert, tokens, metric, sign):
    from raybert.training.measures.metrics import evaluation_metrics

    model = load_classifier(tiny_bert, tokens.label_names, 0)
    result = train(model, tokens, FAST.model_copy(update={"best_metric": metric, "eval_every": 1}))
    values = [sign * row[f"validation_{metric}"] for row in result.rows]
    assert sign * result.best_row[f"validation_{metric}"] == max(values)
    again = evaluation_metrics(tokens.validation.labels, result.validation_probs)[metric]
    assert again == pytest.approx(result.best_row[f"validation_{metric}"], abs=1e-6)


def test_early_stopping_may_watch_another_metric_in_another_direction(tiny_bert, tokens):
    stopping = {"patience": 2, "metric": "loss", "direction": "higher"}
    config = FAST.model_copy(update={"eval_every": 1, "early_stopping": EarlyStoppingConfig(**stopping)})
    result = train(load_classifier(tiny_bert, tokens.label_names, 0), tokens, config, total_steps=30)
    losses = [row["validation_loss"] for row in result.rows]
    highest = max(range(len(losses)), key=losses.__getitem__)
    assert len(losses) == highest + 3 < 30


def test_a_metric_of_two_classes_is_refused_for_more(tiny_bert, tokens):
    from raybert.errors import ConfigError

    with pytest.raises(ConfigError, match="train.best_metric: must not be `f1` with 3 classes"):
        train(load_classifier(tiny_bert, tokens.label_names, 0), tokens, FAST.model_copy(update={"best_metric": "f1"}))


@pytest.mark.slow
def test_a_plateau_reduces_the_rate_of_the_steps_after_it_and_is_continued(tiny_bert, tokens, tmp_path):
    config = validate_config(
        {
            "train": {
                **FAST.model_dump(mode="json", exclude_unset=True),
                "schedule": {"name": "plateau", "factor": 0.1},
                "warmup_steps": 2,
                "eval_every": 2,
                "learning_rate": 1e-6,  # so low that no prediction changes, and no evaluation is better
            }
        }
    ).train

    def run(seed, surroundings):
        model = load_classifier(tiny_bert, tokens.label_names, seed)
        return train(model, tokens, config, total_steps=10, surroundings=surroundings), final_state(model)

    whole, expected = run(0, LocalSurroundings())
    assert len({row["validation_accuracy"] for row in whole.rows}) == 1
    rates = [
        row["learning_rate"] for row in whole.rows
    ]  # of the step before each evaluation; the first one is the best
    assert rates == pytest.approx([5e-7, 1e-6, 1e-7, 1e-8, 1e-9], rel=1e-6, abs=0)
    assert run(0, StopAfter(tmp_path, 6))[0].stopped
    second, state = run(7, LocalSurroundings(checkpoint_folder=tmp_path))
    assert same(expected, state)
    assert [row["learning_rate"] for row in second.rows] == rates


def share_of_class_2(labels, probs):
    """How often class 2 is right: a metric of a user's own."""
    return np.mean(probs[labels == 2].argmax(axis=1) == 2)


def test_a_metric_of_ones_own_chooses_and_stops_like_another(tiny_bert, tokens):
    own = {"function": f"{__name__}:share_of_class_2", "name": "found_2", "range": (0, 1)}
    config = TrainConfig(
        **FAST.model_dump(exclude_unset=True),
        metrics=[own],
        best_metric="found_2",
        eval_every=1,
        early_stopping={"patience": 3},
    )
    result = train(load_classifier(tiny_bert, tokens.label_names, 0), tokens, config, total_steps=30)
    values = [row["validation_found_2"] for row in result.rows]
    assert result.best_row["validation_found_2"] == max(values)
    best = values.index(max(values))
    assert len(values) == min(30, best + 4)
    assert max(values) == share_of_class_2(tokens.validation.labels, result.validation_probs)
    assert result.test_metrics["found_2"] == share_of_class_2(tokens.test.labels, result.test_probs)
