"""`--safe`: no code of a file runs, weights are safetensors, whatever the file says."""

import inspect
import json
import os

import pytest
import torch
import yaml
from safetensors.torch import load_file

import raybert
from raybert import commands
from raybert.config import load_config
from raybert.config.imports import VARIABLE
from raybert.errors import ConfigError, ModelError
from raybert.models.encoder import resolve_encoder
from raybert.sweeping.plan.design import read_design
from raybert.sweeping.plan.own_code import code_of_design, names_of_code
from tests.e2e.commands import run

RUN_FILES = {
    "sweep": [],
    "train": [],
    "plan": [],
    "validate": [],
    "select": ["--strategy", "random", "--output", "x.csv"],
    "download": [],
}
OF_PRETRAINING = ("tokenizer", "pretrain", "crosseval", "probe")


def test_every_command_that_runs_files_takes_safe():
    of_python = {"select": "select_subset"}
    for name in (*RUN_FILES, *OF_PRETRAINING):
        parameter = inspect.signature(getattr(commands, of_python.get(name, name))).parameters["safe"]
        assert parameter.default is False
        assert "--safe" in run(name, "--help").out


@pytest.mark.slow
@pytest.mark.fault("sweep file that names a module")
@pytest.mark.parametrize("command", [name for name in RUN_FILES if name != "download"])
def test_safe_refuses_names_of_a_file(command, foreign, trap, monkeypatch, fault):
    monkeypatch.delenv(VARIABLE, raising=False)
    file = foreign.parent / "theirs.yaml"
    file.write_text(
        yaml.safe_dump({"data": {"source": "docstrings.csv"}, "sweep": {"strategies": [trap.reference, "random"]}})
    )
    with fault.once():
        done = run(command, file, "--safe", *RUN_FILES[command])
        assert (done.code, trap.has_run) == (2, False)
        assert f"'{trap.reference}' must not be imported: --safe is given (Python: `safe=True`); leave it" in done.err
        assert done.err.count("\n") == 1
        assert VARIABLE not in os.environ


@pytest.mark.slow
@pytest.mark.fault("code that comes with a model")
@pytest.mark.parametrize("command", RUN_FILES)
def test_safe_refuses_code_of_a_model(command, foreign, fault):
    file = foreign.parent / "theirs.yaml"
    model = {"encoder": "encoder", "trust_remote_code": True}
    file.write_text(
        yaml.safe_dump({"data": {"source": "docstrings.csv"}, "model": model, "sweep": {"strategies": ["random"]}})
    )
    with fault.once():
        done = run(command, file, "--safe", *RUN_FILES[command])
        assert done.code != 0
        assert "'encoder' must do without code of its own (model.trust_remote_code): --safe is given" in done.said


@pytest.mark.fault("pickles in a foreign folder")
@pytest.mark.parametrize("is_safe", [True, False])
def test_weights_of_torch_are_refused_by_safe_alone(is_safe, foreign, tmp_path, monkeypatch, fault):
    folder = foreign.parent / "encoder"
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    config = load_config({"model": {"encoder": "encoder"}})
    if is_safe:
        monkeypatch.setenv(VARIABLE, "0")
        with (
            fault.once(),
            pytest.raises(
                ModelError,
                match=r"^model\.encoder: encoder: must have its weights as safetensors, got pytorch_model\.bin, a",
            ),
        ):
            resolve_encoder(config.model, [], tmp_path)
    else:
        assert resolve_encoder(config.model, [], tmp_path).path == folder.resolve()


def test_safe_ends_with_the_command(monkeypatch):
    seen = []

    @raybert.config.takes_safe
    def command(*, safe=False):
        seen.append((os.environ.get(VARIABLE), raybert.config.imports_are_refused()))
        raise ConfigError("x")

    for before in (None, "1", "0"):
        monkeypatch.delenv(VARIABLE, raising=False)
        if before is not None:
            monkeypatch.setenv(VARIABLE, before)
        for safe in (True, False):
            with pytest.raises(ConfigError):
                command(safe=safe)
            assert os.environ.get(VARIABLE) == before
    assert seen == [("0", True), (None, False), ("0", True), ("1", False), ("0", True), ("0", True)]


def test_the_manifest_lists_all_code_of_others(foreign, trap):
    trusting = {"encoder": "encoder", "trust_remote_code": True}
    design = read_design(
        load_config(
            {"data": {"source": "docstrings.csv"}, "model": trusting, "sweep": {"strategies": [trap.reference, "all"]}}
        )
    )
    names = names_of_code(design, code_of_design(design))
    assert names == [f"strategy {trap.reference}", "code that comes with the model encoder"]
    assert json.dumps(names)
    plain = read_design(load_config({"sweep": {"strategies": ["all"]}}))
    assert names_of_code(plain, code_of_design(plain)) == []
