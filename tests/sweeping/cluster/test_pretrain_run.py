"""Pretrainings over Ray Tune: the same weights as alone, each resumable, and no failure holds up the others."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from raybert.config import LimitsConfig, ResourcesConfig
from raybert.config.pretrain import PretrainConfig, PretrainedModelConfig
from raybert.files import read_json, read_json_lines
from raybert.pretraining.corpora import Corpus
from raybert.pretraining.documents import Documents, fingerprint_of
from raybert.pretraining.request import PretrainRequest
from raybert.pretraining.run import pretrain
from raybert.sweeping.driver.progress import Progress
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.trial.pretrain import run_pretraining
from tests.pretraining.packed import documents, tokenizer

TINY = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 48}
FAST = {"max_length": 32, "batch_size": 8, "length": {"steps": 6}, "eval_every": 2, "learning_rate": 5e-3}
FAST |= {"precision": "fp32", "checkpoint_seconds": 0, "early_stopping": None}
ONE = ResourcesConfig(gpus_per_worker=0)


@pytest.fixture(scope="module")
def corpora():
    found = []
    for number, name in enumerate(("north", "south")):
        splits = [Documents(documents(count, 3 * number + seed)) for seed, count in enumerate((60, 20, 20))]
        found.append(Corpus(name, *splits, fingerprint=fingerprint_of(*splits)))
    return found


@pytest.fixture(scope="module")
def tokenizer_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer().save_pretrained(folder)
    return folder


def request_for(corpus, tokenizer_folder, folder, seed=0, **keys):
    config = PretrainConfig.model_validate({**FAST, **keys})
    model = PretrainedModelConfig(kind="modernbert", config=TINY)
    return PretrainRequest(model, config, corpus, tokenizer_folder, seed, folder / f"models/{corpus.name}-s{seed}")


class Events(Progress):
    """Remembers what happened."""

    def __init__(self):
        self.events = []

    def begin(self, trials, done):
        self.events.append(("begin", [run.trial_id for run in trials], dict(done)))

    def started(self, spec):
        self.events.append(("started", spec.trial_id))

    def evaluated(self, spec, row):
        self.events.append(("evaluated", spec.trial_id, row["step"], spec.position_of(row), spec.total_steps))

    def ended(self, spec, status, message=""):
        self.events.append((status, spec.trial_id))

    def of(self, *names):
        return sorted(event for event in self.events if event[0] in names)


def same_weights(one, other):
    first, second = (load_file(folder / "model" / "model.safetensors") for folder in (one, other))
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def without_seconds(folder):
    rows = read_json_lines(folder / "evaluations.jsonl")
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


@pytest.mark.ray
@pytest.mark.slow
def test_models_over_ray_are_those_of_one_process_and_failures_stay_alone(
    ray_cluster, corpora, tokenizer_folder, tmp_path
):
    from raybert.sweeping.cluster.pretrain_run import run_pretrainings

    folder, (north, south) = SweepFolder(tmp_path / "study"), corpora
    requests = [request_for(corpus, tokenizer_folder, folder.path) for corpus in corpora]
    broken = request_for(
        north, tokenizer_folder, folder.path, 1, learning_rate=1e30, optimizer="sgd", max_grad_norm=None
    )
    # One was stopped before, as on another day.
    asked = iter([False] * 3 + [True])
    pretrain(replace(requests[1], device="cpu"), should_stop=lambda: next(asked))
    progress = Events()
    found = run_pretrainings(
        [*requests, broken], folder, ray_cluster, ONE, LimitsConfig(retries=0), progress, lambda: False
    )
    assert [outcome.status for outcome in found] == ["complete", "complete", "failed"]
    assert "loss" in found[2].failure.message
    for corpus, outcome in zip(corpora, found, strict=False):
        alone = request_for(corpus, tokenizer_folder, tmp_path / "alone")
        made = pretrain(replace(alone, device="cpu"))
        assert same_weights(made.folder, outcome.folder)
        assert without_seconds(made.folder) == without_seconds(outcome.folder)
        assert outcome.summary["best"]["validation_loss"] == made.summary["best"]["validation_loss"]
    assert progress.events[0][1] == ["north-s0", "south-s0", "north-s1"]
    assert progress.of("complete", "failed") == [
        ("complete", "north-s0"),
        ("complete", "south-s0"),
        ("failed", "north-s1"),
    ]
    assert [event[2:] for event in progress.of("evaluated") if event[1] == "north-s0"] == [
        (2, 2, 6),
        (4, 4, 6),
        (6, 6, 6),
    ]
    assert "learning rate 0.005" in (found[0].folder / "log.txt").read_text()
    assert read_json(found[1].folder / "heartbeat.json")["total_steps"] == 6

    # What is there is not run again; a folder of another request is left alone; what failed stays so.
    again = Events()
    other = request_for(south, tokenizer_folder, folder.path, length={"steps": 5})
    found = run_pretrainings(
        [requests[0], other, broken], folder, ray_cluster, ONE, LimitsConfig(), again, lambda: False
    )
    assert [outcome.status for outcome in found] == ["complete", "failed", "failed"]
    assert "differs in pretrain.length.steps" in found[1].failure.message
    assert not again.of("started")
    assert not (found[1].folder / "error.txt").exists()


NO_DROPOUT = dict.fromkeys(("embedding_dropout", "attention_dropout", "mlp_dropout"), 0.0)
"""Ranks draw masks of their own: with dropout, which SimCSE lives by, two workers give another sample of the same run."""


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("contrastive", [None, {"group": 2}, {"group": 4, "weight": 0.5}])
def test_two_workers_under_ray_train_equal_one(ray_cluster, corpora, tokenizer_folder, tmp_path, contrastive):
    from raybert.sweeping.cluster.pretrain_run import run_pretrainings

    folder = SweepFolder(tmp_path / "study")
    keys = {"contrastive": contrastive, "micro_batch_size": 2 if contrastive is None else contrastive["group"]}
    request = request_for(corpora[0], tokenizer_folder, folder.path, **keys)
    request = replace(request, model=PretrainedModelConfig(kind="modernbert", config=TINY | NO_DROPOUT))
    progress = Events()
    two = ResourcesConfig(workers_per_trial=2, gpus_per_worker=0)
    (outcome,) = run_pretrainings([request], folder, ray_cluster, two, LimitsConfig(), progress, lambda: False)
    assert outcome.status == "complete", outcome.failure
    alone = request_for(corpora[0], tokenizer_folder, tmp_path / "alone", contrastive=contrastive)
    alone = replace(alone, model=request.model)
    assert run_pretraining(alone, SweepFolder(tmp_path / "alone"), ONE, LimitsConfig()) == "complete"
    rows, expected = without_seconds(outcome.folder), without_seconds(alone.folder)
    assert [row["step"] for row in rows] == [row["step"] for row in expected]
    for row, other in zip(rows, expected, strict=True):
        assert row == pytest.approx(other, rel=1e-4)
    assert outcome.summary["tokens"] == read_json(alone.folder / "training_summary.json")["tokens"]
    assert [event[2] for event in progress.of("evaluated")] == [2, 4, 6]
