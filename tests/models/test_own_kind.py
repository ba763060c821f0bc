"""Models of a user's own (`model.kind: "module:callable"`): made, checked, trained, saved, loaded, trusted."""

import sys

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from torch.nn import functional

import raybert
from raybert.config import ModelConfig, load_config
from raybert.config.imports import importing
from raybert.models import build_classifier, embed_batch, load_model, load_tokenizer, pooled_features
from raybert.models.own_kind import check_own
from raybert.sweeping.plan.own_code import code_of_models
from raybert.terminal.evaluation import format_checkpoints
from tests.e2e.commands import run_apart

MODULE = '''
import torch
from safetensors.torch import load_file, save_file
from torch import nn


def wrong(labels, probs):
    return float((probs.argmax(axis=1) != labels).mean())


class Bag(nn.Module):
    def __init__(self, num_classes, vocab_size, hidden=8, dropout=0.0):
        super().__init__()
        self.table = nn.Embedding(vocab_size, hidden)
        self.dropout, self.head = nn.Dropout(dropout), nn.Linear(hidden, num_classes)

    def embed(self, input_ids, attention_mask):
        shares = attention_mask.unsqueeze(-1) / attention_mask.sum(1)[:, None, None]
        return (self.table(input_ids) * shares).sum(1)

    def forward(self, input_ids, attention_mask):
        return self.head(self.dropout(self.embed(input_ids, attention_mask)))


class Bare(nn.Module):
    """No linear layer, no embed; writes and reads a file of its own."""

    def __init__(self, num_classes, encoder, scale=1.0):
        super().__init__()
        self.table, self.scale, self.encoder = nn.Embedding(200, num_classes), scale, encoder

    def forward(self, batch):
        return self.table(batch["input_ids"]).sum(1) * self.scale

    def save(self, folder):
        save_file(self.state_dict(), folder / "bare.safetensors")

    def load(self, folder):
        self.load_state_dict(load_file(folder / "bare.safetensors"))


class Fails(Bag):
    def forward(self, input_ids):
        raise RuntimeError("no kernel")


class Asks(Bag):
    def forward(self, input_ids, positions):
        return None


class Three(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(1, 3)

    def forward(self, attention_mask):
        return self.head(attention_mask.float().sum(1, keepdim=True))


def not_a_module(num_classes):
    return num_classes


SOMETHING = 5
'''
NAME = "models_of_mine"
NAMES = ("x", "y")


@pytest.fixture(autouse=True)
def module(tmp_path, monkeypatch):
    """The user's module, beside the sweep file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    (tmp_path / f"{NAME}.py").write_text(MODULE)
    yield
    sys.modules.pop(NAME, None)


def own(name, **options):
    return ModelConfig(kind=f"{NAME}:{name}", options=options)


def batch(encoder):
    tokens = load_tokenizer(encoder)(["red green", "one two three"], padding=True, return_tensors="pt")
    return dict(tokens)


def test_it_is_made_of_options_and_facts_and_begins_anew_with_every_seed(tiny_bert):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first, again, other = (build_classifier(tiny_bert, NAMES, seed, own("Bag", hidden=4)) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert first.training
    assert first.module.table.weight.shape == (max(load_tokenizer(tiny_bert).get_vocab().values()) + 1, 4)
    assert first is not again
    assert torch.equal(first.module.head.weight, again.module.head.weight)
    assert not torch.equal(first.module.head.weight, other.module.head.weight)


def test_features_embeddings_and_logits_are_those_of_its_parts(tiny_bert):
    model = build_classifier(tiny_bert, NAMES, 0, own("Bag")).eval()
    inputs = batch(tiny_bert)
    with torch.no_grad():
        logits, features = pooled_features(model, inputs)
        expected = model.module.embed(inputs["input_ids"], inputs["attention_mask"])
        torch.testing.assert_close(features, expected)
        torch.testing.assert_close(logits, model.module.head(expected))
        torch.testing.assert_close(embed_batch(model, inputs, "mean"), functional.normalize(expected, dim=-1))
        bare = build_classifier(tiny_bert, NAMES, 0, own("Bare")).eval()
        assert torch.isnan(pooled_features(bare, inputs)[1]).all()
    with pytest.raises(raybert.ModelError, match=r"Bare: must have a method `embed\(...\)` -> \(b, d\)"):
        embed_batch(bare, inputs, "mean")


@pytest.mark.parametrize("name", ["Bag", "Bare"])
def test_it_is_saved_with_how_it_is_made_and_loaded_only_if_its_code_is_trusted(tiny_bert, tmp_path, name):
    model = build_classifier(tiny_bert, NAMES, 3, own(name)).eval()
    folder = tmp_path / "model"
    folder.mkdir()
    model.save_pretrained(folder)
    with pytest.raises(
        raybert.UntrustedCode, match=rf"names code that loading the model would run here: {NAME}:{name}"
    ):
        load_model(folder)
    loaded = load_model(folder, trust_remote_code=True)
    with torch.no_grad():
        torch.testing.assert_close(loaded(**batch(tiny_bert)).logits, model(**batch(tiny_bert)).logits)
    assert not loaded.training
    with importing("nothing"), pytest.raises(raybert.ConfigError, match="must not be imported"):
        load_model(folder, trust_remote_code=True)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (own("Bagg"), r"the module has no 'Bagg'; did you mean 'Bag'\?"),
        (own("Bag", hiden=4), r"'models_of_mine:Bag' cannot be made of hiden, num_classes, vocab_size: TypeError"),
        (own("Fails"), r"cannot compute a batch of \(2, 12\) word pieces: RuntimeError: no kernel"),
        (own("Asks"), r"Asks.forward: must find its parameters among the inputs input_ids, .* but needs 'positions'"),
        (own("Three"), r"must return \(b, 2\) logits, one for each class, got \(2, 3\) of 2 texts"),
        (own("not_a_module"), "must make a torch.nn.Module, got int"),
        (own("SOMETHING"), "must be callable .* got int"),
    ],
)
def test_what_cannot_be_trained_is_one_line_before_anything_is(tiny_bert, config, message):
    with pytest.raises(raybert.RaybertError, match=rf"^model\.kind: .*{message}") as found:
        check_own(tiny_bert, load_tokenizer(tiny_bert), config, NAMES, 12, has_pairs=False)
    assert len(str(found.value).splitlines()) == 1


def test_keys_of_encoders_do_not_go_with_a_model_of_one_s_own_and_ids_know_only_of_those_that_do():
    for keys in ({"dropout": 0.1}, {"head": "mlp"}, {"freeze_layers": 1}, {"attention": "sdpa"}):
        with pytest.raises(raybert.ConfigError, match="must be left out with a model of your own"):
            load_config({"model": {"kind": "m:C", **keys}})
    with pytest.raises(raybert.ConfigError, match="options: must be left out without a model of your own"):
        load_config({"model": {"options": {"hidden": 3}}})
    with pytest.raises(raybert.ConfigError, match="options.num_classes: must be left out, raybert gives it"):
        load_config({"model": {"kind": "m:C", "options": {"num_classes": 3}}})
    with pytest.raises(raybert.ConfigError, match="kind: must be encoder, iris, or `module:callable` of your own"):
        load_config({"model": {"kind": "irish"}})
    assert not {"kind", "options"} & ModelConfig().task().keys()
    assert own("Bag", hidden=3).task()["options"] == {"hidden": 3}
    assert own("Bag").data_part() == ModelConfig().data_part()  # word pieces are shared


def test_its_code_is_told_by_a_digest_that_follows_the_class_alone(tmp_path):
    def digest():
        sys.modules.pop(NAME, None)
        (found,) = code_of_models([f"{NAME}:Bag", "encoder"])
        assert (found.key, found.what) == (f"model {NAME}:Bag", f"the code of model.kind '{NAME}:Bag'")
        return found.digest

    first = digest()
    (tmp_path / f"{NAME}.py").write_text(MODULE.replace("no kernel", "another class"))
    assert digest() == first
    (tmp_path / f"{NAME}.py").write_text(MODULE.replace("self.dropout(self.embed", "(self.embed"))
    assert digest() != first


WORDS = ("red", "green", "blue", "one", "two", "three", "north", "south", "salt", "sugar")


def sweep_file(tmp_path, name="Bag", **options):
    rows = range(90)
    texts = [" ".join(WORDS[(i * k) % 5 + 5 * (i % 2)] for k in range(2, 7)) + f" {i}" for i in rows]
    pd.DataFrame({"text": texts, "label": [i % 2 for i in rows]}).to_csv(tmp_path / "texts.csv", index=False)
    return {
        "name": "mine",
        "data": {"source": str(tmp_path / "texts.csv"), "max_length": 12},
        "model": {"kind": f"{NAME}:{name}", "options": options},
        "train": {"length": {"steps": 6}, "batch_size": 8, "learning_rate": 0.05, "precision": "fp32"},
    }


@pytest.mark.long
@pytest.mark.slow
def test_a_run_trains_predicts_and_is_reproduced_where_its_code_is_trusted(tmp_path):
    config = sweep_file(tmp_path, dropout=0.2)
    config["train"]["checkpoints"] = {"every": 3}
    config["train"] |= {"metrics": [{"function": f"{NAME}:wrong", "direction": "lower"}], "best_metric": "wrong"}
    single = raybert.train(config, output=tmp_path / "run")
    assert single.outcome.num_complete == 1, single.outcome.errors
    texts = ["red green", "north south"]
    with pytest.raises(raybert.UntrustedCode, match=r"allow it with --trust"):
        raybert.predict(tmp_path / "run", texts)
    frame = raybert.predict(tmp_path / "run", texts, trust=True)
    assert frame["prob_0"].between(0, 1).all()
    assert frame.attrs["notes"] == []
    with pytest.raises(raybert.UntrustedCode, match=r"allow it with --trust"):
        raybert.evaluate(tmp_path / "run", tmp_path / "texts.csv", resamples=0)
    found = raybert.evaluate(tmp_path / "run", tmp_path / "texts.csv", resamples=0, trust=True)
    assert 0 <= found.overall.loc["accuracy", "value"] <= 1
    trial = next((tmp_path / "run" / "trials").glob("*/checkpoint/best")).parents[1]
    with pytest.raises(raybert.UntrustedCode, match=f"{NAME}:Bag"):
        raybert.reproduce(trial)
    assert raybert.reproduce(trial, trust=True).is_identical
    checkpoints = raybert.evaluate_checkpoints
    with pytest.raises(raybert.UntrustedCode, match=r"allow it with --trust"):
        checkpoints(tmp_path / "run")
    kept = checkpoints(tmp_path / "run", trust=True)
    assert kept["step"].tolist() == [3, 6]
    np.testing.assert_allclose(kept["wrong"], 1 - kept["accuracy"], rtol=1e-12)
    shown = format_checkpoints(kept).table
    assert shown.columns[3:5] == ("validation wrong", "validation accuracy")
    least = int(kept["wrong"].idxmin())
    assert [any(place == 3 for place, _ in row.styles) for row in shown.rows] == [least == row for row in (0, 1)]
    first = trial / "checkpoint" / "step-000003"
    assert len(raybert.evaluate(first, split="validation", resamples=0, trust=True).predictions) > 0
    config["train"]["learning_rate"] = 1e-12
    begun = raybert.train(config, output=tmp_path / "on", resume_from=first, weights_only=True)
    assert begun.outcome.num_complete == 1, begun.outcome.errors
    kept = load_model(next((tmp_path / "on").glob("trials/*/checkpoint/step-000006")), trust_remote_code=True)
    torch.testing.assert_close(kept.state_dict(), load_model(first, trust_remote_code=True).state_dict())
    card = (tmp_path / "run" / "best" / "README.md").read_text()
    assert 'raybert.load_model("FOLDER", trust_remote_code=True)' in card


@pytest.mark.slow
def test_strategies_that_need_what_the_model_lacks_are_refused_before_training(tmp_path):
    config = sweep_file(tmp_path, "Bare")
    with pytest.raises(
        raybert.ConfigError, match=r"must have a linear layer that makes its logits, because strategy 'gr"
    ):
        raybert.plan({**config, "sweep": {"strategies": ["grand"]}, "selection": {"budget": 20}}, probe=False)
    needs = {"strategies": ["k_center"], "seeds": [0]}
    config["selection"] = {"budget": 20, "embedding": "proxy"}
    with pytest.raises(raybert.ConfigError, match=r"must have a method `embed\(...\)` -> \(b, d\), for selection"):
        raybert.plan({**config, "sweep": needs}, probe=False)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.ray
def test_a_sweep_of_own_models_scores_by_proxies_of_them(tmp_path):
    config = {
        **sweep_file(tmp_path),
        "selection": {"budget": 20, "embedding": "proxy"},
        "sweep": {"strategies": ["random", "el2n", "k_center"], "seeds": [0]},
        "resources": {"cpus_per_worker": 1},
    }
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(config))
    done = run_apart("sweep", "mine.yaml", "--output", "run", cwd=tmp_path)
    assert done.code == 0, done.said
    trials = raybert.load_sweep(tmp_path / "run").trials
    assert trials["test_accuracy"].notna().all()
    assert set(trials["role"]) == {"trial", "proxy"}
