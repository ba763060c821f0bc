"""Sweeps that pretrain their encoder first: once for all trials, found again, killed in the middle, and searched."""

import signal
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

import raybert
from raybert.files import read_json, read_json_lines
from tests.e2e.commands import forked_command, run, timeless
from tests.processes import wait_until
from tests.sweeping.adapting import SECTION, write_source

pytestmark = [pytest.mark.long, pytest.mark.slow, pytest.mark.ray]


@pytest.fixture
def file(tmp_path, tiny_bert, monkeypatch):
    """Write a sweep file, with sections of one's own."""
    monkeypatch.setenv("RAYBERT_CACHE", str(tmp_path / "cache"))
    source = write_source(tmp_path / "source")

    def write(name: str, sweep: dict, **sections: object) -> Path:
        document = {
            "name": name,
            "data": {"source": str(source), "max_length": 16},
            "model": {"encoder": str(tiny_bert.path)},
            "train": {"length": {"steps": 4}, "batch_size": 8, "precision": "fp32"},
            "sweep": {"strategies": ["random", "k_center", "perplexity"], "seeds": 2, **sweep},
            **sections,
        }
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(document))
        return path

    return write


def sweep(file, output, *arguments):
    done = run("sweep", file, "--output", output, *arguments)
    assert done.code == 0, done.said
    return done, raybert.load_sweep(output)


def models(output):
    return sorted(path for path in (output / "models").iterdir() if not path.name.startswith("."))


def weights(folder):
    return load_file(folder / "model" / "model.safetensors")


def test_trials_share_one_encoder_and_another_sweep_finds_it(ray_cluster, file, tmp_path):
    grid = {"grid": {"pretrain.length.steps": [0, 6]}}
    with_and_without = file("both", {**grid, "strategies": ["random", "k_center"]}, pretrain=SECTION)
    done, results = sweep(with_and_without, tmp_path / "both")
    assert "pretrain: the encoder" in done.said
    (model,) = models(tmp_path / "both")
    summary = read_json(model / "training_summary.json")
    trials = results.trials
    pretrained = trials[trials["pretrain.length.steps"] == 6]
    assert (trials["status"] == "complete").all()
    assert set(pretrained["pretraining_tokens"]) == {summary["tokens"]}
    assert set(pretrained["pretraining_seconds_shared"].round(6)) == {round(summary["seconds"] / len(pretrained), 6)}
    assert trials[trials["pretrain.length.steps"] == 0]["pretraining_seconds"].isna().all()
    spent = pretrained[["train_seconds", "selection_seconds", "signal_seconds", "pretraining_seconds"]].sum(axis=1)
    assert spent.round(6).tolist() == pretrained["total_seconds"].round(6).tolist()
    forward = 3 * (pretrained["examples_seen"] + pretrained["pretraining_examples"]) + pretrained["examples_scored"]
    assert forward.tolist() == pretrained["total_examples"].tolist()
    (note,) = [note for note in results.notes if note.startswith("encoder: ")]
    assert f"on pool (54 documents, 432 words) for 6 steps, {summary['tokens']:,} word pieces" in note
    before, after = summary["before"]["validation_perplexity"], summary["best"]["validation_perplexity"]
    assert note.endswith(f"held out of that: {before:,.4g} before, {after:,.4g} after")
    assert "went on with pretraining" in (tmp_path / "both" / "best" / "README.md").read_text() or (
        results.trials.set_index("trial_id").loc[results.best_trials[0], "pretrain.length.steps"] == 0
    )

    # What a file without the section runs is there already.
    _, without = sweep(file("plain", {"strategies": ["random", "k_center"]}), tmp_path / "plain")
    assert set(without.trials["trial_id"]) == set(trials["trial_id"]) - set(pretrained["trial_id"])
    # Another sweep takes the encoder from the cache; embeddings of its own are computed from it.
    done, other = sweep(file("other", {"strategies": ["perplexity"]}, pretrain=SECTION), tmp_path / "other")
    assert "pretrain: the encoder" not in done.said
    (copied,) = models(tmp_path / "other")
    assert copied.name == model.name
    assert all(torch.equal(tensor, weights(copied)[name]) for name, tensor in weights(model).items())
    assert (other.trials["status"] == "complete").all()  # of an encoder that had no head of its own

    again = run("sweep", with_and_without, "--output", tmp_path / "both")
    assert again.code == 0
    assert "pretrain: the encoder" not in again.said
    refused = run("sweep", file("both", grid, pretrain={**SECTION, "seed": 1}), "--output", tmp_path / "both")
    assert refused.code == 2
    assert "pretrain.seed was 0, is 1" in " ".join(refused.err.split())


def test_a_sweep_that_is_killed_while_it_pretrains_ends_with_the_same_results(address, file, tmp_path):
    section = {**SECTION, "length": {"steps": 150}, "eval_every": 10, "checkpoint_seconds": 0, "early_stopping": None}
    small = file("small", {"strategies": ["random"]}, pretrain=section)
    torn, whole = tmp_path / "torn", tmp_path / "whole"

    def has_evaluated():
        return [path for path in torn.glob("models/*/evaluations.jsonl") if len(read_json_lines(path)) > 1]

    with forked_command("sweep", small, "--output", torn, "--address", address) as process:
        wait_until(lambda: has_evaluated() or not process.is_alive(), "evaluations of the pretraining", 300)
        (rows,) = has_evaluated()
        process.send_signal(signal.SIGKILL)
    assert not (rows.parent / "training_summary.json").exists()
    assert not list(torn.glob("trials/*/result.json"))
    _, first = sweep(small, torn)
    (model,) = models(torn)
    for kept in (tmp_path / "cache" / "pretrained").iterdir():
        kept.rename(tmp_path / kept.name)  # or the other one would be the same by being copied
    _, second = sweep(small, whole)
    (other,) = models(whole)
    assert all(torch.equal(tensor, weights(other)[name]) for name, tensor in weights(model).items())
    times = [column for column in first.trials if "seconds" in column]
    one, two = (timeless(results.trials.drop(columns=times)) for results in (first, second))
    assert one.to_dict("records") == two.to_dict("records")


def test_a_search_pretrains_what_it_tries_once(ray_cluster, file, tmp_path):
    space = {"pretrain.length.steps": {"choice": [0, 4, 8]}, "train.learning_rate": {"low": 1e-4, "high": 1e-3}}
    tune = {"suggestions_per_strategy": 6, "startup_suggestions": 6, "space": space, "asha": None}
    searched = file(
        "searched",
        {"strategies": ["random", "k_center"], "seeds": 1, "tune": tune},
        pretrain={**SECTION, "length": {"steps": 0}},
    )
    _, results = sweep(searched, tmp_path / "searched")
    suggestions = results.search.suggestions
    steps = set(suggestions["pretrain.length.steps"])
    assert len(suggestions) == 12
    assert (suggestions["state"] == "complete").all()
    assert len(models(tmp_path / "searched")) == len(steps - {0}) >= 1
    assert (results.trials["status"] == "complete").all()
    # What is compared has the encoder that was found for it, with what that has cost.
    for trial in results.trials.to_dict("records"):
        spec = read_json(tmp_path / "searched" / "trials" / trial["trial_id"] / "spec.json")["spec"]
        found = spec["config"]["pretrain"]["length"]["steps"]
        assert bool(spec["encoder"]) == (found > 0)
        assert (trial.get("pretraining_tokens") or 0) > 0 if found else True


def test_an_encoder_that_cannot_be_pretrained_fails_its_trials_and_no_others(ray_cluster, file, tmp_path):
    grid = {"strategies": ["random"], "grid": {"pretrain.learning_rate": [1e-3, 1e30]}}
    broken = file("broken", grid, pretrain={**SECTION, "max_grad_norm": None})
    done = run("sweep", broken, "--output", tmp_path / "broken")
    assert done.code == 4, done.said
    trials = raybert.load_sweep(tmp_path / "broken").trials
    assert trials.groupby("pretrain.learning_rate")["status"].agg(set).to_dict() == {
        1e-3: {"complete"},
        1e30: {"failed"},
    }
    (error,) = set(trials["error"].dropna())
    assert "lower pretrain.learning_rate" in error
    assert "while its encoder was pretrained" in error
