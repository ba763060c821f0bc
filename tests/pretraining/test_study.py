"""`raybert pretrain`: every corpus and seed of a file, and what is said of it."""

from __future__ import annotations

import json
import os
import signal
import time

import pandas as pd
import pytest

import raybert
from raybert.config.pretraining import load_pretraining
from raybert.errors import ConfigError, ExitCode
from raybert.files import read_json, read_json_lines
from raybert.sweeping.driver.progress import Progress
from tests.e2e.commands import run
from tests.pretraining.packed import documents
from tests.sweeping.folder.test_contents import undeclared

TINY = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 48}


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A pretraining file as a mapping, in a folder with its corpora."""
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("north", "south")):
        pd.DataFrame({"text": documents(80, number)}).to_csv(f"{name}.csv", index=False)
    return {
        "name": "study",
        "corpora": {"north": "north.csv", "south": "south.csv"},
        "tokenizer": {"vocabulary": 120},
        "model": {"kind": "bert", "config": TINY},
        "pretrain": {"length": {"steps": 3}, "max_length": 32, "batch_size": 8, "precision": "fp32"},
        "seeds": 2,
        "resources": {"concurrent_trials": 1},  # in this process: Ray takes seconds to start
    }


class StopsAt(Progress):
    """Sends this process a Ctrl-C in the second model."""

    def __init__(self):
        self.models = self.steps = 0

    def started(self, spec):
        self.models += 1

    def stepped(self, spec, step):
        self.steps += 1
        if self.models == 2 and step == 2:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.6)  # it is looked for twice a second


def test_a_model_of_every_corpus_and_seed_and_the_same_call_trains_none(file):
    found = raybert.pretrain(file)
    assert [model.name for model in found.models] == ["north-s0", "north-s1", "south-s0", "south-s1"]
    assert found.exit_code == ExitCode.DONE
    assert all((model.model / "model.safetensors").is_file() for model in found.models)
    again = raybert.pretrain(file)
    assert [model.summary for model in again.models] == [model.summary for model in found.models]
    assert not any(model.is_new for model in again.models)
    assert undeclared(found.folder) == []
    one = raybert.pretrain(file, corpora=["south"], seeds=[7])
    assert [model.name for model in one.models] == ["south-s7"]


def test_ctrl_c_saves_and_the_same_call_goes_on(file):
    stopping = StopsAt()
    found = raybert.pretrain(file, progress=stopping, corpora=["north"])
    assert (found.exit_code, stopping.steps) == (ExitCode.INTERRUPTED, 5)
    assert [model.summary is None for model in found.models] == [False, True]
    assert (found.models[1].folder / "checkpoint" / "last" / "COMPLETE").exists()
    assert raybert.pretrain(file, corpora=["north"]).exit_code == ExitCode.DONE


def test_a_model_that_cannot_be_trained_does_not_hold_up_the_others(file):
    raybert.pretrain(file, corpora=["north"], seeds=[0])
    file["pretrain"]["learning_rate"] = 1e-3
    found = raybert.pretrain(file, seeds=[0])
    assert [model.name for model in found.models] == ["south-s0"]
    assert "differs in pretrain.learning_rate" in found.failures["north-s0"]
    assert found.exit_code == ExitCode.SOME_FAILED


def test_failures_of_one_kind_are_tried_again_and_a_run_goes_on_with_more_time(file):
    file |= {"corpora": {"north": "north.csv"}, "seeds": 1, "limits": {"trial_seconds": 1e-6}}
    file["pretrain"]["length"] = {"steps": 20}
    found = raybert.pretrain(file)
    assert found.exit_code == ExitCode.FAILED
    assert "limits.trial_seconds: must end within 1e-06 s, got to step" in found.failures["north-s0"]
    assert "--retry time" in found.failures["north-s0"]
    file["limits"] = {"trial_seconds": 600}
    assert raybert.pretrain(file, retry="nan").failures == found.failures  # left alone
    assert run("pretrain", json.dumps(file), "--retry", "never").code == ExitCode.BAD_INPUT
    with pytest.raises(ConfigError, match="retry: must be one of failed, all, oom, nan"):
        raybert.pretrain(file, retry="never")
    again = raybert.pretrain(file, retry="time")
    assert again.exit_code == ExitCode.DONE
    steps = [row["step"] for row in read_json_lines(again.models[0].folder / "evaluations.jsonl")]
    assert steps == sorted(set(steps))


def test_a_checkpoint_that_a_kill_behind_the_summary_left_is_removed_by_the_next_start(file):
    file["corpora"], file["seeds"] = {"north": "north.csv"}, 1
    (model,) = raybert.pretrain(file).models
    left = model.folder / "checkpoint" / "last"
    left.mkdir(parents=True)
    (left / "state.pt").write_bytes(b"x")
    (again,) = raybert.pretrain(file).models
    assert not again.is_new
    assert not left.parent.exists()


def test_the_command_prints_evaluations_and_a_table(file, tmp_path):
    import yaml

    (tmp_path / "study.yaml").write_text(yaml.safe_dump(file), encoding="utf-8")
    done = run("pretrain", "study.yaml", "--corpus", "north", "--seed", "0", "--set", "pretrain.eval_every=3")
    assert done.code == 0, done.said
    perplexity = read_json(tmp_path / "runs/study/models/north-s0/training_summary.json")["best"][
        "validation_perplexity"
    ]
    assert "north-s0 step 3/3: loss " in done.said
    assert f"{perplexity:.1f}" in done.said
    assert "1 model in runs/study" in done.said
    assert run("pretrain", "study.yaml", "--corpus", "nort").code == ExitCode.BAD_INPUT
    told = run("pretrain", "study.yaml", "--corpus", "north", "--seed", "0", "--json", "--set", "pretrain.eval_every=3")
    document = json.loads(told.out)
    assert document["models"][0]["summary"]["best"]["validation_perplexity"] == perplexity
    assert (document["num_left"], document["failures"], told.code) == (0, {}, 0)


def test_names_of_corpora_that_are_none_are_refused_with_the_nearest(file):
    with pytest.raises(ConfigError, match="corpus: must be one of the file, got 'nort'; did you mean 'north'"):
        raybert.pretrain(file, corpora=["nort"])


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("pretrain.length", {"steps": 2, "hours": 1}, "pretrain.length: must have exactly one of"),
        ("pretrain.length", {}, "pretrain.length: must have exactly one of"),
        ("pretrain.masked", None, "pretrain.masked: must not be null without `contrastive`"),
        ("pretrain.masked.mask", 0.95, "pretrain.masked.mask: must be <= 0.9"),
        ("pretrain.contrastive", {"group": 8}, "pretrain.micro_batch_size: must be >= contrastive.group"),
        ("pretrain.betas", [0.9, 1.5], "pretrain.betas: must both be in"),
        ("model.encoder", "somewhere", "model.config: must be left out beside `encoder`"),
        ("seeds", [1, 1], "seeds: must be distinct"),
        ("corpora", {"../out": "north.csv"}, "corpora: names must be letters"),
        ("pretrain.no_such", 1, "pretrain.no_such"),
    ],
)
def test_what_is_wrong_is_said_by_its_key(file, key, value, message):
    extra = {"pretrain.micro_batch_size": 4} if key == "pretrain.contrastive" else {}
    with pytest.raises(ConfigError, match=message):
        load_pretraining(file, {key: value, **extra})


def test_warm_up_is_a_tenth_and_at_most_a_thousand_steps():
    config = load_pretraining({"corpora": {"a": "docstrings"}}).pretrain
    assert [config.warmup(total) for total in (5, 200, 10_000, 50_000)] == [1, 20, 1000, 1000]
    assert config.as_train(200).warmup(200) == 20
    assert config.as_train(200).best_metric == "loss"
    assert config.early_stopping.patience == 3


def test_lines_tell_pretrainings_apart_by_what_they_differ_in(file, tmp_path):
    from dataclasses import replace

    from raybert.pretraining.corpora import Corpus
    from raybert.pretraining.documents import Documents
    from raybert.pretraining.request import PretrainRequest
    from raybert.sweeping.driver.events import EventProgress
    from raybert.sweeping.driver.progress import Tally
    from raybert.sweeping.trial.pretrain_list import _varied
    from raybert.sweeping.trial.pretraining_run import PretrainingRun

    config = load_pretraining(file)
    texts = Documents(["a b", "c"])
    corpus = Corpus("pool", texts, texts, texts, "")
    few, many = (
        PretrainRequest(
            config.model, load_pretraining(file, {"pretrain.length.steps": steps}).pretrain, corpus, tmp_path, 0,
            tmp_path / key,
        )
        for steps, key in ((300, "0123"), (900, "4567"))
    )  # fmt: skip
    said, tally = [], Tally()
    view = EventProgress(lambda event: said.append(event.text))
    view.follow(tally)
    runs = [PretrainingRun(request, grid=grid) for request, grid in zip((few, many), _varied((few, many)), strict=True)]
    tally.begin(runs, {})
    view.begin(runs, {})
    for run_of_list in runs:
        view.started(run_of_list)
    tally.ended(runs[1], "failed")
    view.ended(runs[1], "failed", "it broke")
    assert said == [
        "2 models",
        "pool, pretrain steps 300 seed 0: 3 words, 300 steps",
        "pool, pretrain steps 900 seed 0: 3 words, 900 steps",
        "[1/2] pool, pretrain steps 900 seed 0 4567: failed it broke",
    ]
    # Those of a study have their names.
    other = PretrainingRun(replace(few, folder=tmp_path / "pool-s0"))
    tally.begin([other], {})
    view.ended(other, "failed", "too")
    assert said[-1] == "[0/1] pool-s0: failed too"


def test_a_note_of_a_corpus_is_said_once_for_all_its_seeds():
    from raybert.terminal.pretraining import notes_of_models

    def summary(corpus, *notes):
        return {"corpus": corpus, "notes": list(notes)}

    models = {
        "a-s0": summary("a", "everywhere", "a: blank documents", "on GPUs", "new head"),
        "a-s1": summary("a", "everywhere", "a: blank documents"),
        "b-s0": summary("b", "everywhere", "on GPUs"),
    }
    assert list(notes_of_models(models)) == [
        "all models: everywhere",
        "a: blank documents",
        "b, a-s0: on GPUs",
        "a-s0: new head",
    ]
    assert list(notes_of_models({"a-s0": models["a-s0"]}))[:2] == ["a: everywhere", "a: blank documents"]
