"""Encoders of a search: pretrained by the first run that needs them, found by all others, and by other sweeps."""

import threading
import time
from dataclasses import replace
from functools import partial

import pytest
import torch
from safetensors.torch import load_file

from raybert.errors import TrialError
from raybert.files import cache_folder, read_json
from raybert.locks import Lock
from raybert.sweeping.folder.heartbeat import Heart
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.phases.prepare import facts_of_pools
from raybert.sweeping.plan.comparison import plan_sweep
from raybert.sweeping.plan.design import read_design
from raybert.sweeping.trial.pretrained import (
    CACHED,
    PretrainedEncoder,
    PretrainFirst,
    find_pretrained,
    keep_pretrained,
)
from raybert.sweeping.trial.run import run_trial
from raybert.training.pulse import heard_by
from tests.processes import forked, wait_until
from tests.sweeping.adapting import config_of, prepared_of, write_source

WEIGHTS = "model.safetensors"


@pytest.fixture
def first(tmp_path, tiny_bert, monkeypatch):
    monkeypatch.setenv("RAYBERT_CACHE", str(tmp_path / "cache"))
    return first_of(tmp_path, tiny_bert)


def first_of(tmp_path, tiny_bert, **section):
    source = tmp_path / "source"
    config = config_of(source if source.exists() else write_source(source), tiny_bert.path)
    pretrain = config.pretrain.model_copy(update=section)
    (ready,) = prepared_of(config, tmp_path)[0].values()
    return PretrainFirst(ready.pretraining, pretrain, config.resources)


def weights(found):
    return load_file(found.encoder.path / WEIGHTS)


def is_equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def make(first, folder, stops_after=None):
    """Pretrain, stopping after so many questions whether to."""
    asked = iter(range(stops_after or 10**6))
    return first.encoder(folder, lambda: next(asked, None) is None)


@pytest.mark.slow
def test_an_encoder_is_made_once_and_another_sweep_copies_it(first, tmp_path):
    made = make(first, SweepFolder(tmp_path / "one"))
    assert made.encoder.fingerprint == first.pending.fingerprint
    assert not made.encoder.is_pending
    assert not is_equal(weights(made), load_file(first.made_from.base.path / WEIGHTS))
    other = SweepFolder(tmp_path / "other")
    copied = find_pretrained(first.pending, other)
    assert copied.encoder.path == other.models / first.pending.fingerprint / "model"
    assert is_equal(weights(copied), weights(made))
    assert copied.summary == made.summary
    assert make(first, other).summary["seconds"] == made.summary["seconds"]  # and not trained again


@pytest.mark.slow
def test_what_is_damaged_in_the_cache_is_not_taken(first, tmp_path):
    made = make(first, SweepFolder(tmp_path / "one"))
    kept = cache_folder() / CACHED / first.pending.fingerprint
    content = bytearray((kept / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (kept / WEIGHTS).write_bytes(content)
    assert find_pretrained(first.pending, SweepFolder(tmp_path / "other")) is None
    keep_pretrained(tmp_path / "one" / "models" / first.pending.fingerprint)
    assert is_equal(weights(find_pretrained(first.pending, SweepFolder(tmp_path / "other"))), weights(made))


@pytest.mark.slow
def test_a_stopped_pretraining_goes_on_to_the_same_weights(first, tmp_path, monkeypatch):
    whole = make(first, SweepFolder(tmp_path / "whole"))
    monkeypatch.setenv("RAYBERT_CACHE", str(tmp_path / "another cache"))
    torn = SweepFolder(tmp_path / "torn")
    assert make(first, torn, stops_after=3) is None
    assert (torn.models / first.pending.fingerprint / "checkpoint" / "last").is_dir()
    assert is_equal(weights(make(first, torn)), weights(whole))


@pytest.mark.slow
def test_who_waits_for_another_run_is_heard_and_finds_what_it_made(first, tmp_path):
    folder, heard, found = SweepFolder(tmp_path / "run"), [], []
    (folder.models).mkdir(parents=True)
    lock = Lock(folder.models / f".{first.pending.fingerprint}.lock")
    assert lock.take()

    def wait():
        with heard_by(lambda: heard.append(time.monotonic())):
            found.append(make(first, folder))

    waiting = threading.Thread(target=wait)
    waiting.start()
    wait_until(lambda: len(heard) >= 2, "signs of life while it waits")
    assert not found
    lock.release()
    waiting.join()
    assert found[0].encoder.fingerprint == first.pending.fingerprint


def test_who_waits_stops_when_it_is_asked_to(first, tmp_path):
    folder = SweepFolder(tmp_path / "run")
    (folder.models).mkdir(parents=True)
    lock = Lock(folder.models / f".{first.pending.fingerprint}.lock")
    assert lock.take()
    assert first.encoder(folder, lambda: True) is None
    lock.release()


def _make_slowly(first, folder):
    torch.set_num_threads(1)
    first.encoder(folder, lambda: bool(time.sleep(0.05)))


@pytest.mark.long
def test_a_run_that_is_killed_leaves_its_pretraining_to_the_next_one(first, tmp_path, tiny_bert, monkeypatch):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        length = first.config.length.model_copy(update={"steps": 60})
        first = first_of(tmp_path, tiny_bert, length=length, checkpoint_seconds=0, early_stopping=None)
        whole = make(first, SweepFolder(tmp_path / "whole"))
        monkeypatch.setenv("RAYBERT_CACHE", str(tmp_path / "another cache"))
        torn = SweepFolder(tmp_path / "torn")
        rows = torn.models / first.pending.fingerprint / "evaluations.jsonl"
        with forked(partial(_make_slowly, first, torn)) as process:
            wait_until(rows.exists, "an evaluation")
            process.kill()
        assert not (rows.parent / "training_summary.json").exists()
        assert is_equal(weights(make(first, torn)), weights(whole))
    finally:
        torch.set_num_threads(threads)


@pytest.fixture
def trial(tmp_path, tiny_bert, monkeypatch):
    """The first trial of a sweep that pretrains, with its data and what its encoder is made by."""
    monkeypatch.setenv("RAYBERT_CACHE", str(tmp_path / "cache"))
    config = config_of(write_source(tmp_path / "source"), tiny_bert.path)
    prepared, _ = prepared_of(config, tmp_path)
    spec = next(spec for spec in plan_sweep(read_design(config), facts_of_pools(prepared)).trials)
    ready = prepared[spec.data_key]
    return spec, ready, PretrainFirst(ready.pretraining, spec.config.pretrain, spec.config.resources)


@pytest.mark.slow
def test_a_trial_pretrains_its_encoder_and_its_cost_is_in_its_row(trial, tmp_path):
    spec, ready, first = trial
    folder = SweepFolder(tmp_path / "run")
    status = run_trial(spec, ready.data, ready.encoder, (), folder, lambda row: None, pretrain_first=first)
    assert status == "complete", folder.trial(spec.trial_id).error()
    summary = read_json(folder.models / spec.encoder / "training_summary.json")
    row = folder.trial(spec.trial_id).result()
    assert row["pretraining_tokens"] == summary["tokens"]
    assert row["pretraining_seconds"] == row["pretraining_seconds_shared"] == summary["seconds"]
    mean = float(ready.data.train.lengths.mean())
    assert row["pretraining_examples"] == round(summary["tokens"] / mean)
    # The driver has such a trial another way, with the same result.
    found, again = find_pretrained(ready.encoder, folder), SweepFolder(tmp_path / "again")
    run_trial(spec, ready.data, found.encoder, (), again, lambda row: None, price=found.price(num_users=4))
    other = again.trial(spec.trial_id).result()
    assert other["pretraining_seconds_shared"] == summary["seconds"] / 4
    assert {k: v for k, v in other.items() if "seconds" not in k} == {
        k: v for k, v in row.items() if "seconds" not in k
    }


def test_a_trial_is_never_trained_from_an_encoder_that_is_not_there_yet(trial, tmp_path):
    spec, ready, _ = trial
    folder = SweepFolder(tmp_path / "run")
    for encoder in (ready.encoder, replace(ready.pretraining.base)):
        assert run_trial(spec, ready.data, encoder, (), folder, lambda row: None) == "failed"
        assert "must be pretrained before it is trained" in folder.trial(spec.trial_id).failure().message
        folder.trial(spec.trial_id).forget_failure()


@pytest.mark.parametrize(
    ("masked", "contrastive", "views"), [({"share": 0.15}, None, 1), (None, {"group": 4}, 2), ({}, {}, 3)]
)
def test_a_price_is_shared_and_counts_every_view_of_a_text(masked, contrastive, views, tiny_bert):
    settings = {"pretrain": {"masked": masked, "contrastive": contrastive}}
    found = PretrainedEncoder(tiny_bert, {"seconds": 12.0, "tokens": 700, "configuration": settings})
    one, other = found.price(num_users=4), found.price()
    assert (one.seconds, one.shared_seconds, one.tokens, one.forward_tokens) == (12.0, 3.0, 700, 700 * views)
    both = one + other
    assert (both.seconds, both.shared_seconds, both.tokens, both.forward_tokens) == (24.0, 15.0, 1400, 1400 * views)


def test_time_that_is_left_out_counts_for_no_limit(tmp_path):
    heart = Heart(tmp_path, None, 10)
    heart.began -= 100.0
    heart.leave_out(90.0)
    assert 10.0 <= heart.seconds < 20.0


@pytest.mark.slow
def test_a_pretraining_that_used_up_its_time_fails_by_it_and_goes_on_with_more(first, tmp_path, monkeypatch):
    whole = make(first, SweepFolder(tmp_path / "whole"))
    monkeypatch.setenv("RAYBERT_CACHE", str(tmp_path / "another cache"))
    folder = SweepFolder(tmp_path / "run")
    with pytest.raises(TrialError, match=r"limits.trial_seconds: must end within 1e-06 s.* --retry time") as failure:
        first.encoder(folder, lambda: False, 1e-6)
    assert failure.value.kind == "time"
    assert is_equal(weights(first.encoder(folder, lambda: False, 600.0)), weights(whole))
    spec = read_json(folder.models / first.pending.fingerprint / "spec.json")["spec"]
    assert (spec["role"], spec["label"], spec["trial_id"]) == ("pretrain", "pool", first.pending.fingerprint)
    # What was left by a kill between the summary and the end of the clean-up goes with the next look.
    left = folder.models / first.pending.fingerprint / "checkpoint" / "last"
    left.mkdir(parents=True)
    make(first, folder)
    assert not left.parent.exists()
