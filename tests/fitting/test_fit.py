"""`raybert.fit` beside hand-written loops of torch, and what it reads, saves and refuses."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Sequence, Value
from torch import nn
from torch.nn import functional
from torch.optim.lr_scheduler import ReduceLROnPlateau, StepLR
from torch.utils.data import DataLoader, TensorDataset, WeightedRandomSampler
from transformers import AutoModelForSequenceClassification, RobertaConfig, RobertaForSequenceClassification

import raybert
from raybert.data import training_batches
from raybert.models import load_tokenizer
from raybert.training import PassPlan

N, CLASSES = 48, 3
FAST = {"batch_size": 8, "precision": "fp32", "device": "cpu", "max_grad_norm": None, "eval_every": "epoch"}


def points(seed=0, n=N):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % CLASSES
    return functional.one_hot(labels, CLASSES) + 0.5 * torch.randn(n, CLASSES, generator=generator), labels


def module(dropout=0.0, outputs=CLASSES):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(CLASSES, 16), nn.Dropout(dropout), nn.Tanh(), nn.Linear(16, outputs))


def hand_written(model, x, y, optimizer, *, passes, scheduler=None, loss=None, seed=0):
    """What a script does: mean losses of every pass, in the order that raybert draws."""
    loss = loss or nn.CrossEntropyLoss()
    torch.manual_seed(seed)
    model.train()
    means = []
    for number in range(passes):
        total = 0.0
        batches = training_batches(
            np.ones(len(y), np.int64), np.arange(len(y)), 8, np.random.default_rng([seed, number])
        )
        for rows in batches:
            optimizer.zero_grad()
            logits = model(x[rows])
            value = loss(logits, y[rows])
            value.backward()
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
            total += functional.cross_entropy(logits.detach(), y[rows], reduction="sum").item()
        means.append(total / len(y))
    return means


def test_the_losses_are_those_of_a_hand_written_loop_with_its_optimizer_and_scheduler():
    x, y = points()
    mine, theirs = module(dropout=0.2), module(dropout=0.2)
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.5, momentum=0.9, weight_decay=0.01)
    scheduler = StepLR(optimizer, 4, 0.5)
    own = torch.optim.SGD(mine.parameters(), lr=0.5, momentum=0.9, weight_decay=0.01)
    found = raybert.fit(
        mine,
        (x, y),
        points(1),
        epochs=3,
        optimizer=own,
        schedule=StepLR(own, 4, 0.5),
        best_metric="loss",
        **FAST,
    )
    expected = hand_written(theirs, x, y, optimizer, passes=3, scheduler=scheduler)
    np.testing.assert_allclose(found.history["train_loss"], expected, rtol=1e-6)
    assert found.history["step"].tolist() == [6, 12, 18]
    assert found.history["pass"].tolist() == [1.0, 2.0, 3.0]
    # Before steps 6, 12 and 18 the scheduler has halved the rate 1, 2 and 4 times.
    assert found.history["learning_rate"].tolist() == [0.25, 0.125, 0.03125]
    assert found.model is mine


def test_the_best_evaluation_s_weights_are_in_the_model_and_predict():
    x, y = points()
    held, truth = points(1)
    found = raybert.fit(module(), (x, y), (held, truth), test=points(2), epochs=4, learning_rate=0.05, **FAST)
    best = found.history["validation_accuracy"].idxmax()
    assert found.best["step"] == found.history["step"][best]
    with torch.no_grad():
        probs = found.model.eval()(held).softmax(1).numpy()
    np.testing.assert_allclose(found.validation_probs, probs, rtol=1e-5)
    np.testing.assert_allclose(found.predict((held, None)), probs, rtol=1e-5)
    assert (probs.argmax(1) == truth.numpy()).mean() == pytest.approx(found.best["validation_accuracy"])
    assert found.test["accuracy"] > 0.5
    assert np.isfinite(found.train_losses).all()


def test_optimizers_and_schedules_by_name_and_by_a_function_of_parameters_equal_objects():
    options = {"epochs": 2, "schedule": "constant", "warmup_fraction": 0, **FAST}
    named = raybert.fit(module(), points(), points(1), optimizer="sgd", learning_rate=0.5, weight_decay=0.0, **options)
    made = raybert.fit(module(), points(), points(1), optimizer=lambda p: torch.optim.SGD(p, lr=0.5), **options)
    np.testing.assert_allclose(made.validation_probs, named.validation_probs, atol=1e-6)
    assert made.history["learning_rate"].tolist() == [0.5, 0.5]


def test_a_scheduler_that_waits_for_a_plateau_hears_of_every_evaluation():
    model = module()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-9)
    plateau = ReduceLROnPlateau(optimizer, mode="max", factor=0.1, patience=1, eps=0.0)
    found = raybert.fit(model, points(), points(1), epochs=5, optimizer=optimizer, schedule=plateau, **FAST)
    # Two evaluations that are no better than the first end in a tenth of the rate, and two more in a hundredth.
    np.testing.assert_allclose(found.history["learning_rate"], [1e-9, 1e-9, 1e-9, 1e-10, 1e-10])


def focal_with_gamma_1(logits, labels):
    losses = functional.cross_entropy(logits, labels, reduction="none")
    return losses * (1 - (-losses).exp())


def test_a_loss_and_weights_of_a_script_s_own_equal_those_by_name():
    x, y = points()
    rows = torch.arange(N)[(y == 0) | (torch.arange(N) % 6 == 1) | (y == 2)]
    x, y = x[rows], y[rows]
    options = {"epochs": 2, "learning_rate": 0.05, **FAST}
    by_name = raybert.fit(
        module(), (x, y), points(1), loss={"name": "focal", "gamma": 1.0}, class_weights="inverse", **options
    )
    weights = raybert.losses.class_weights(y)
    np.testing.assert_allclose(weights, len(y) / (3 * np.bincount(y)))
    own = raybert.fit(module(), (x, y), points(1), loss=focal_with_gamma_1, class_weights=weights, **options)
    np.testing.assert_allclose(own.validation_probs, by_name.validation_probs, atol=1e-6)
    plain = raybert.fit(module(), (x, y), points(1), **options)
    assert not np.allclose(plain.validation_probs, by_name.validation_probs, atol=1e-4)


def test_accumulated_micro_batches_equal_one_batch():
    options = {"epochs": 2, "learning_rate": 0.05, **FAST}
    whole = raybert.fit(module(), points(), points(1), **options)
    parts = raybert.fit(module(), points(), points(1), micro_batch_size=3, **options)
    np.testing.assert_allclose(parts.history["train_loss"], whole.history["train_loss"], rtol=1e-5)


def test_a_single_logit_is_that_of_class_1_of_two():
    x, y = points()
    y = (y == 1).long()
    mine, theirs = module(outputs=1), module(outputs=1)
    own = torch.optim.SGD(mine.parameters(), lr=0.5)
    found = raybert.fit(mine, (x, y), (x, y), epochs=2, optimizer=own, schedule="constant", warmup_steps=0, **FAST)

    def binary(logits, labels):
        return functional.binary_cross_entropy_with_logits(logits[:, 0], labels.float())

    theirs_as_two = [
        hand_written(
            nn.Sequential(theirs, Two()), x, y, torch.optim.SGD(theirs.parameters(), lr=0.5), passes=2,
            loss=lambda two, labels: binary(two[:, 1:], labels),
        )
    ]  # fmt: skip
    np.testing.assert_allclose(found.history["train_loss"], theirs_as_two[0], rtol=1e-5)
    assert found.validation_probs.shape == (N, 2)


class Two(nn.Module):
    def forward(self, z):
        return torch.cat([torch.zeros_like(z), z], dim=1)


def test_a_stopped_run_continues_bit_identically_and_a_finished_one_is_not_trained_again(tmp_path):
    options = {"epochs": 3, "learning_rate": 0.05, "checkpoint_seconds": 0, "averaging": "ema", **FAST}
    whole = raybert.fit(module(0.3), points(), points(1), **options)
    steps = iter(range(100))
    first = raybert.fit(
        module(0.3), points(), points(1), checkpoint=tmp_path, should_stop=lambda: next(steps) >= 7, **options
    )
    assert first.stopped
    assert first.validation_probs is None
    torch.manual_seed(99)
    second = raybert.fit(module(0.3), points(), points(1), checkpoint=tmp_path, **options)
    np.testing.assert_array_equal(second.validation_probs, whole.validation_probs)
    pd.testing.assert_frame_equal(second.history.drop(columns="seconds"), whole.history.drop(columns="seconds"))
    rows = []
    again = raybert.fit(module(0.3), points(), points(1), checkpoint=tmp_path, on_evaluation=rows.append, **options)
    assert rows == []
    pd.testing.assert_frame_equal(again.history, second.history)
    np.testing.assert_array_equal(again.predict((points(1)[0], None)), second.validation_probs)
    with pytest.raises(raybert.TrialError, match=r"other options, data or parts \(differs in train.learning_rate\)"):
        raybert.fit(module(0.3), points(), points(1), checkpoint=tmp_path, **{**options, "learning_rate": 0.01})


def test_the_generators_are_left_as_they_were():
    torch.manual_seed(5)
    model, expected = module(), torch.rand(1)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    raybert.fit(model, points(), points(1), steps=2, **FAST)
    torch.set_rng_state(before)
    torch.manual_seed(0)
    module()
    assert torch.rand(1) == expected


class ByName(nn.Module):
    """Takes the mean of embeddings, of what `forward` names; other columns are not given to it."""

    def __init__(self, whole=False):
        super().__init__()
        torch.manual_seed(0)
        self.table, self.head, self.whole = nn.Embedding(200, 8, padding_idx=0), nn.Linear(8, CLASSES), whole

    def forward(self, input_ids, attention_mask=None):
        hidden = self.table(input_ids)
        mask = (input_ids != 0 if attention_mask is None else attention_mask).unsqueeze(-1)
        return {"logits": self.head((hidden * mask).sum(1) / mask.sum(1).clamp(min=1))}


class OfMapping(nn.Module):
    """Takes the whole batch as one mapping."""

    def __init__(self):
        super().__init__()
        self.inner = ByName()

    def forward(self, batch):
        return self.inner(batch["input_ids"], batch["attention_mask"])["logits"]


TEXTS = ["red green", "one two three four five", "north", "blue red", "two", "south north south"] * 6
WORDS = ["colour", "number", "place"] * 12


def test_texts_tables_items_and_loaders_give_the_same_training(tiny_bert):
    tokenizer = load_tokenizer(tiny_bert)
    pieces = tokenizer(TEXTS)
    labels = [sorted(set(WORDS)).index(word) for word in WORDS]
    options = {"epochs": 2, "batch_size": 8, "learning_rate": 0.05, "precision": "fp32", "device": "cpu"}
    ways = {
        "texts": (ByName(), (TEXTS, WORDS), tokenizer),
        "mapping": (OfMapping(), pd.DataFrame({"text": TEXTS, "label": WORDS}), tokenizer),
        "dataset": (
            ByName(),
            Dataset.from_dict(
                {"text": TEXTS, "label": labels},
                features=Features({"text": Value("string"), "label": ClassLabel(names=sorted(set(WORDS)))}),
            ),
            tokenizer,
        ),
        "tokenized": (
            ByName(),
            Dataset.from_dict({**pieces, "labels": labels, "number": range(36)}),
            None,
        ),
    }
    ways["items"] = (ByName(), list(zip(TEXTS, WORDS, strict=True)), tokenizer)
    found = {
        name: raybert.fit(model, data, data, tokenizer=given, max_length=16, **options)
        for name, (model, data, given) in ways.items()
    }
    for name in ways:
        np.testing.assert_allclose(found[name].validation_probs, found["texts"].validation_probs, atol=1e-6)
    assert found["texts"].label_names == found["dataset"].label_names == ("colour", "number", "place")
    probs = found["texts"].predict(["red", "two"])
    assert probs.shape == (2, CLASSES)
    np.testing.assert_allclose(probs, found["dataset"].predict({"text": ["red", "two"]}), atol=1e-6)


def test_a_loader_s_dataset_collate_function_and_batch_size_are_taken():
    x, y = points()

    def collate(items):
        return {"x": torch.stack([item[0] for item in items]), "label": torch.stack([item[1] for item in items])}

    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = module()

        def forward(self, x):
            return self.inner(x)

    options = {key: value for key, value in FAST.items() if key != "batch_size"} | {"learning_rate": 0.05}
    loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True, collate_fn=collate)
    found = raybert.fit(Named(), loader, DataLoader(TensorDataset(*points(1)), collate_fn=collate), **options)
    plain = raybert.fit(module(), (x, y), points(1), batch_size=8, **options)
    np.testing.assert_allclose(found.validation_probs, plain.validation_probs, atol=1e-6)
    sampler = WeightedRandomSampler([1.0] * N, N)
    with pytest.raises(raybert.ConfigError, match="without a sampler of its own, got WeightedRandomSampler"):
        raybert.fit(module(), DataLoader(TensorDataset(x, y), sampler=sampler), points(1), **options)


def test_a_classifier_of_transformers_is_saved_as_a_folder_that_predicts(tiny_bert, tmp_path):
    tokenizer = load_tokenizer(tiny_bert)
    model = AutoModelForSequenceClassification.from_pretrained(tiny_bert.path, num_labels=3)
    found = raybert.fit(
        model, (TEXTS, WORDS), 0.25, tokenizer=tokenizer, max_length=16, steps=6, learning_rate=1e-3, precision="fp32"
    )
    assert len(found.rows) + len(found.validation_probs) == 36
    # Copies of a text are held out together.
    held = set(range(36)) - set(found.rows.tolist())
    assert {TEXTS[row] for row in held} & {TEXTS[row] for row in found.rows} == set()
    found.save(tmp_path / "model")
    expected = found.predict(["red", "two", "north blue"])
    loaded = raybert.FittedModel.load(tmp_path / "model")
    np.testing.assert_allclose(loaded.predict(["red", "two", "north blue"]), expected, atol=1e-6)
    pd.testing.assert_frame_equal(loaded.history, found.history)
    frame = raybert.predict(tmp_path / "model", ["red", "two", "north blue"])
    np.testing.assert_allclose(frame[["prob_colour", "prob_number", "prob_place"]], expected, atol=1e-5)


def test_a_module_is_loaded_into_one_like_it(tmp_path):
    found = raybert.fit(module(), points(), points(1), steps=3, **FAST)
    found.save(tmp_path)
    with pytest.raises(raybert.ModelError, match="holds weights of 'Sequential'; give such a module as `model`"):
        raybert.FittedModel.load(tmp_path)
    loaded = raybert.FittedModel.load(tmp_path, module())
    np.testing.assert_array_equal(loaded.predict((points(1)[0], None)), found.validation_probs)
    assert loaded.best == found.best
    with pytest.raises(raybert.ModelError, match=r"model\.safetensors: does not fit Linear"):
        raybert.FittedModel.load(tmp_path, nn.Linear(3, 3))


def test_a_strategy_chooses_rows_once_or_before_every_pass():
    x, y = points()
    options = {"epochs": 2, "learning_rate": 0.05, **FAST}
    probs = np.random.default_rng(0).dirichlet(np.ones(CLASSES), N).astype(np.float32)
    found = raybert.fit(module(), (x, y), points(1), strategy="el2n", budget=12, signals={"probs": probs}, **options)
    chosen = raybert.select("el2n", 12, labels=y.numpy(), probs=probs, example_ids=np.arange(N))
    assert found.positions.tolist() == chosen.positions.tolist()
    assert found.history["samples"].tolist() == [12, 12]
    assert np.isfinite(found.train_losses).sum() == 12
    same = raybert.fit(module(), (x, y), points(1), strategy=found.positions, **options)
    np.testing.assert_allclose(same.history["train_loss"], found.history["train_loss"], rtol=1e-5)
    drawn = raybert.fit(module(), (x, y), points(1), strategy="random_epoch", budget=0.25, **options)
    assert drawn.positions is None
    assert drawn.history["examples_seen"].tolist() == [12, 24]
    assert np.isfinite(drawn.train_losses).sum() > 12
    with pytest.raises(raybert.SelectionError, match="needs the signals probs"):
        raybert.fit(module(), (x, y), points(1), strategy="el2n", budget=12, **options)
    with pytest.raises(raybert.ConfigError, match="budget: must be given with strategy 'el2n'"):
        raybert.fit(module(), (x, y), points(1), strategy="el2n", **options)


class Halves:
    """Half of the pool, then the other."""

    def next_pass(self, number, previous, view):
        return PassPlan(np.arange(number % 2, N, 2))


def test_a_planner_of_a_script_s_own_decides_before_every_pass_for_so_many_passes():
    found = raybert.fit(module(), points(), points(1), strategy=Halves(), epochs=3, **FAST)
    assert found.history["pass"].tolist() == [1.0, 2.0, 3.0]
    assert found.history["samples"].tolist() == [24, 24, 24]


def share_of_class_2(labels, probs):
    return float((probs.argmax(axis=1) == 2).mean())


def test_metrics_of_a_script_s_own_are_measured_and_may_choose_the_best_evaluation():
    options = {"metrics": [f"{__name__}:share_of_class_2"], "best_metric": "share_of_class_2", "learning_rate": 0.05}
    found = raybert.fit(module(), points(), points(1), test=points(2), epochs=3, **options, **FAST)
    values = found.history["validation_share_of_class_2"]
    assert found.best["step"] == found.history["step"][values.idxmax()]
    assert values.max() == (found.validation_probs.argmax(1) == 2).mean()
    assert found.test["share_of_class_2"] == (found.test_probs.argmax(1) == 2).mean()


def test_early_stopping_ends_a_run():
    found = raybert.fit(module(), points(), points(1), epochs=50, learning_rate=1e-9, early_stopping=2, **FAST)
    assert len(found.history) == 3  # the first is the best, and two are no better


POINTS = [[1.0, 2.0, 3.0]] * 3


def many_labels():
    model = nn.Linear(3, 3)
    model.config = SimpleNamespace(problem_type="multi_label_classification")
    return model


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batchsize": 4}, "batchsize: unknown"),
        ({"learning_rate": -1}, "learning_rate: must be > 0, got -1"),
        ({"epochs": 1, "steps": 2}, "length: must have `epochs` or `steps`, not both"),
        ({"loss": nn.CrossEntropyLoss()}, r"loss must return one loss per example \(8,\), got \(\); a loss of torch"),
        ({"class_weights": [1.0]}, "class_weights: must be 3 numbers >= 0, one per class"),
        ({"optimizer": 3}, "optimizer: must be a torch optimizer, or make one of parameters, got int"),
        ({"optimizer": "lionn"}, "optimizer.name: must be adamw, .* got .lionn."),
        ({"optimizer": torch.optim.SGD(nn.Linear(1, 1).parameters())}, "must be over the parameters of `model`"),
        (
            {"schedule": StepLR(torch.optim.SGD(nn.Linear(1, 1).parameters()), 2)},
            "schedule: must be a name, or a torch",
        ),
        ({"budget": 3}, "budget: must be left out without a strategy"),
        ({"validation": 1.5}, r"validation: must be data, or a share of train in \(0, 1\), got 1.5"),
        ({"label_names": ["a"]}, r"train: labels must be 0..0, got 1"),
        ({"train": (TEXTS, WORDS)}, "tokenizer: must be given, train is made of texts"),
        ({"train": ([[1.0, 2.0, 3.0]], [0, 1])}, "train: must have as many labels as examples, got 1 and 2"),
        ({"train": 7}, "train: must be data with a length and numbered items .* got int"),
        ({"model": nn.Linear(3, 2)}, "must have a logit for each of the 3 classes of the labels, returns 2"),
        ({"checkpoints": {"every": 2}}, "checkpoints: must come with `checkpoint`, the folder that they are kept in"),
        ({"train": (POINTS, [[0, 1]] * 3)}, r"train: labels must be one class per example .* got \[0, 1\]; several"),
        ({"train": (POINTS, [0.5, 1.0, 2.0])}, r"train: labels must be one class per example .* got 0.5; several"),
        ({"model": many_labels()}, "must predict one class per example, but .* `problem_type: multi_label_class"),
        ({"model": nn.ReLU()}, "must have parameters that can be trained, ReLU has none"),
        ({"model": nn.Unflatten(1, (1, 3))}, "must have parameters"),
    ],
)
def test_what_cannot_be_trained_is_one_line(options, message):
    given = {"model": module(), "train": points(), "validation": points(1), **FAST, **options}
    model, train, validation = given.pop("model"), given.pop("train"), given.pop("validation")
    with pytest.raises(raybert.RaybertError, match=message) as found:
        raybert.fit(model, train, validation, **given)
    assert len(str(found.value).splitlines()) == 1


def test_images_of_a_dataset_that_reads_them_itself_are_trained_on():
    class Squares(torch.utils.data.Dataset):
        def __len__(self):
            return 24

        def __getitem__(self, row):
            return torch.full((1, 4, 4), float(row % 2)), row % 2

    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 2))
    found = raybert.fit(model, Squares(), Squares(), epochs=4, learning_rate=0.05, **FAST)
    assert found.best["validation_accuracy"] == 1.0


def test_ragged_sequences_are_padded_and_masked_by_what_names_them():
    rows = [[5, 6], [7, 8, 9], [5], [9, 9, 9, 9]] * 3
    data = Dataset.from_dict(
        {"input_ids": rows, "label": [0, 1, 0, 1] * 3},
        features=Features({"input_ids": Sequence(Value("int64")), "label": Value("int64")}),
    )
    found = raybert.fit(ByName(), data, data, steps=2, batch_size=4, device="cpu", precision="fp32")
    assert found.validation_probs.shape == (12, CLASSES)
    assert found.label_names == ("0", "1", "2")  # the model has one more than the labels


def test_tokenized_items_are_filled_with_the_model_s_own_padding_and_masked():
    """RoBERTa counts positions from its padding piece on: another one would move the texts."""
    torch.manual_seed(0)
    config = RobertaConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, num_labels=2,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, max_position_embeddings=16,
    )  # fmt: skip
    model = RobertaForSequenceClassification(config)
    rows = [[5, 6], [7, 8, 9], [5, 4], [9, 9, 9, 9, 3]] * 2
    data = Dataset.from_dict({"input_ids": rows, "label": [0, 1, 0, 1] * 2, "idx": range(8)})
    found = raybert.fit(model, data, data, steps=2, batch_size=4, device="cpu", precision="fp32")
    with torch.no_grad():
        alone = [found.model.eval()(input_ids=torch.tensor([row])).logits.softmax(1)[0].numpy() for row in rows]
    np.testing.assert_allclose(found.validation_probs, alone, atol=1e-6)


def test_a_finished_classifier_of_transformers_is_loaded_into_the_one_that_is_given(tiny_bert, tmp_path):
    tokenizer = load_tokenizer(tiny_bert)
    options = {"tokenizer": tokenizer, "max_length": 16, "steps": 2, "precision": "fp32", "checkpoint": tmp_path}
    models = [AutoModelForSequenceClassification.from_pretrained(tiny_bert.path, num_labels=3) for _ in range(2)]
    first = raybert.fit(models[0], (TEXTS, WORDS), (TEXTS, WORDS), **options)
    again = raybert.fit(models[1], (TEXTS, WORDS), (TEXTS, WORDS), **options)
    assert again.model is models[1]
    np.testing.assert_allclose(again.predict(TEXTS), first.validation_probs, atol=1e-6)
