"""Kills of a pretraining study over Ray: it ends with the weights that it would have had, bit for bit."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import threading
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

import raybert
from raybert.errors import ExitCode
from raybert.files import read_json, read_json_lines
from tests.e2e.commands import forked_command
from tests.pretraining.packed import documents
from tests.processes import wait_until

pytestmark = [pytest.mark.long, pytest.mark.slow, pytest.mark.ray]

NUM_STEPS, EVERY = 300, 20
NAMES = ("north-s0", "south-s0")
PATIENCE = 300.0
"""Seconds until so many evaluations are there: processes may have to start first."""


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A pretraining file of two models."""
    folder = tmp_path_factory.mktemp("study")
    for number, name in enumerate(("north", "south")):
        pd.DataFrame({"text": documents(200, number)}).to_csv(folder / f"{name}.csv", index=False)
    document = {
        "name": "study",
        "corpora": {name: str(folder / f"{name}.csv") for name in ("north", "south")},
        "tokenizer": {"vocabulary": 120},
        "model": {"config": {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 48}},
        "pretrain": {
            "length": {"steps": NUM_STEPS},
            "eval_every": EVERY,
            "max_length": 32,
            "batch_size": 8,
            "precision": "fp32",
            "checkpoint_seconds": 0,
            "early_stopping": None,
        },
        "resources": {"gpus_per_worker": 0},
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    return folder / "study.yaml"


@pytest.fixture(scope="module")
def undisturbed(study, tmp_path_factory):
    """The folder of the study, trained in this process, one model after the other."""
    folder = tmp_path_factory.mktemp("undisturbed") / "study"
    found = raybert.pretrain(study, output=folder, overrides={"resources.concurrent_trials": 1})
    assert found.exit_code == ExitCode.DONE
    return folder


def rows(folder, name=NAMES[0]):
    return read_json_lines(folder / "models" / name / "evaluations.jsonl")


def num_evaluations(folder: Path) -> int:
    return sum(len(rows(folder, name)) for name in NAMES)


def has_evaluated(folder: Path, times: int) -> bool:
    return num_evaluations(folder) >= times


def process_of(folder: Path, name: str = NAMES[0]) -> int:
    return int(read_json(folder / "models" / name / "heartbeat.json")["pid"])


def assert_same_end(one: Path, other: Path, names: Sequence[str] = NAMES) -> None:
    for name in names:
        weights = (folder / "models" / name / "model" / "model.safetensors" for folder in (one, other))
        first, second = (hashlib.sha256(path.read_bytes()).hexdigest() for path in weights)
        assert first == second, name
        found, expected = (pd.DataFrame(rows(folder, name)).drop(columns="seconds") for folder in (one, other))
        pd.testing.assert_frame_equal(found, expected)
        assert not (one / "models" / name / "checkpoint").exists()


@contextlib.contextmanager
def meanwhile(disturb):
    """Disturb what goes on in this process from a thread."""
    errors = []

    def run() -> None:
        try:
            disturb()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    yield
    thread.join()
    if errors:
        raise errors[0]


@pytest.mark.fault("SIGKILL of the driver of a pretraining study")
def test_kills_of_the_driver_change_no_weights(study, undisturbed, address, tmp_path, fault):
    folder = tmp_path / "study"
    command = partial(forked_command, "pretrain", study, "--output", folder, "--address", address)
    seen = 0
    for _ in range(3):
        with fault.once(), command() as driver:
            wait_until(partial(has_evaluated, folder, seen + 4), "evaluations", PATIENCE)
            assert driver.is_alive(), "it ended before it was killed"
            driver.kill()
        seen = num_evaluations(folder)
    with command() as driver:
        code, said = driver.end(PATIENCE)
    assert code == 0, said
    assert "2 models in" in said
    assert_same_end(folder, undisturbed)


@pytest.mark.fault("SIGKILL of a pretraining's process")
def test_a_model_whose_process_is_killed_goes_on_from_its_checkpoint(study, undisturbed, ray_cluster, tmp_path, fault):
    folder = tmp_path / "study"

    def kill():
        wait_until(lambda: len(rows(folder)) >= 2, "evaluations", PATIENCE)
        os.kill(process_of(folder), signal.SIGKILL)

    with fault.once():
        with meanwhile(kill):
            found = raybert.pretrain(study, output=folder)
        assert found.exit_code == ExitCode.DONE, found.failures
        assert_same_end(folder, undisturbed)
        attempts = read_json_lines(folder / "models" / NAMES[0] / "attempts.jsonl")
        assert [attempt["kind"] for attempt in attempts] == ["lost"]
        assert "(lost)" in read_json_lines(folder / "models" / NAMES[0] / "restarts.jsonl")[0]["why"]


@pytest.mark.fault("SIGKILL of one of a pretraining's workers")
def test_two_workers_one_of_which_is_killed_train_what_one_trains(study, undisturbed, ray_cluster, tmp_path, fault):
    folder = tmp_path / "study"

    def kill():
        wait_until(lambda: len(rows(folder)) >= 2, "evaluations", PATIENCE)
        os.kill(process_of(folder), signal.SIGKILL)  # rank 0, which sends heartbeats

    with fault.once():
        with meanwhile(kill):
            found = raybert.pretrain(
                study, output=folder, corpora=["north"], overrides={"resources.workers_per_trial": 2}
            )
        assert found.exit_code == ExitCode.DONE, found.failures
        ours, expected = pd.DataFrame(rows(folder)), pd.DataFrame(rows(undisturbed))
        assert ours["step"].tolist() == expected["step"].tolist()  # none of them twice
        np.testing.assert_allclose(ours["validation_loss"], expected["validation_loss"], rtol=5e-3)
        assert ours["tokens"].tolist() == expected["tokens"].tolist()


@pytest.mark.fault("a pretraining's process that hangs")
def test_a_model_whose_process_hangs_is_ended_and_goes_on(study, undisturbed, ray_cluster, tmp_path, fault):
    folder = tmp_path / "study"

    def hang():
        wait_until(lambda: len(rows(folder)) >= 2, "evaluations", PATIENCE)
        os.kill(process_of(folder), signal.SIGSTOP)  # alive, and silent

    limits = {"limits.stall_seconds": 20.0}  # much longer than a step of a loaded machine
    with fault.once():
        with meanwhile(hang):
            found = raybert.pretrain(study, output=folder, corpora=["north"], overrides=limits, address="auto")
        assert found.exit_code == ExitCode.DONE, found.failures
        attempts = read_json_lines(folder / "models" / NAMES[0] / "attempts.jsonl")
        assert [attempt["kind"] for attempt in attempts] == ["stalled"]
        assert_same_end(folder, undisturbed, NAMES[:1])


def test_a_study_that_is_paused_waits_and_ends_as_if_it_had_not_been(study, undisturbed, address, tmp_path):
    folder = tmp_path / "study"
    with forked_command("pretrain", study, "--output", folder, "--address", address) as driver:
        wait_until(partial(has_evaluated, folder, 3), "evaluations", PATIENCE)
        raybert.pause(folder)
        wait_until(lambda: raybert.status(folder).phase.startswith("paused"), "a pause", PATIENCE)
        before = num_evaluations(folder)
        time.sleep(2.0)
        assert num_evaluations(folder) == before
        assert raybert.status(folder).running == ()
        raybert.resume(folder)
        code, said = driver.end(PATIENCE)
    assert code == 0, said
    assert "paused; continue with:  raybert resume" in said
    assert before < num_evaluations(folder)
    assert_same_end(folder, undisturbed)


@pytest.mark.fault("Ctrl-C in a pretraining study, and an emptied newest checkpoint")
def test_ctrl_c_saves_all_models_and_a_torn_checkpoint_is_not_continued(study, undisturbed, address, tmp_path, fault):
    folder = tmp_path / "study"
    command = partial(forked_command, "pretrain", study, "--output", folder, "--address", address)
    with fault.once():
        with command() as driver:
            wait_until(partial(has_evaluated, folder, 4), "evaluations", PATIENCE)
            status = raybert.status(folder)
            driver.send_signal(signal.SIGINT)
            code, said = driver.end(PATIENCE)
        assert code == ExitCode.INTERRUPTED, said
        assert "stopping: running models save" in said
        assert {run.trial_id for run in status.running} <= set(NAMES)
        assert status.running[0].total_steps == NUM_STEPS
        assert status.running[0].last.perplexity > 1
        assert raybert.status(folder).phase == "stopped"
        (listed,) = raybert.list_sweeps(tmp_path)
        assert (listed.name, listed.state) == ("study", "interrupted")
        begun = [name for name in NAMES if (folder / "models" / name / "checkpoint" / "last" / "COMPLETE").exists()]
        for path in (folder / "models" / begun[0] / "checkpoint" / "last").iterdir():
            if path.name != "COMPLETE":
                path.write_bytes(b"")
        with command() as driver:
            code, said = driver.end(PATIENCE)
        assert code == 0, said
        assert_same_end(folder, undisturbed)
        assert "begun again: it had been asked to save and stop" in str(raybert.logs(folder, begun[0]))
        assert raybert.status(folder).strategies == {"north": {"complete": 1}, "south": {"complete": 1}}
