"""Reading somebody's results runs none of his code, whatever his files name and whatever lies beside them."""

import json
import os
import pickle
import pty
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
import yaml

import raybert
from raybert import commands
from raybert.config import dump_yaml, importing, load_config, load_stored_config
from raybert.errors import ConfigError, ModelError, SweepError, UntrustedCode
from raybert.models.encoder import resolve_encoder
from raybert.sweeping.folder.manifest import describe_run
from raybert.sweeping.folder.spec_file import code_named_by, read_spec
from raybert.sweeping.plan.design import read_design
from raybert.sweeping.plan.extension import check_extension
from tests.e2e.commands import run
from tests.security.conftest import MODULE, edit_json

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_pixels")]


def name_everywhere(folder, trap):
    """Let every file of a results folder that names strategies, losses or signals name the trap."""
    for path in folder.glob("trials/*/spec.json"):
        edit_json(path, lambda document: name_in_spec(document["spec"], trap))
    for path in [*folder.glob("trials/*/config.yaml"), folder / "resolved.yaml", folder / "sweep.yaml"]:
        text = path.read_text(encoding="utf-8")
        comments = "".join(line for line in text.splitlines(keepends=True) if line.startswith("#"))
        document = yaml.safe_load(text)
        document["sweep"]["strategies"] = [{"name": trap.reference}, {"name": "random"}]
        document["train"]["loss"] = {"name": f"{MODULE}:loss"}
        document["train"]["metrics"] = [{"function": f"{MODULE}:metric"}]
        document["selection"]["signals"] = [{"name": f"{MODULE}:Signal"}]
        path.write_text(comments + yaml.safe_dump(document), encoding="utf-8")


def name_in_spec(spec, trap):
    spec["strategy"] = {"name": trap.reference, "pre": [{"name": f"{MODULE}:Filter"}], "power": 2}
    spec["config"]["train"]["loss"] = {"name": f"{MODULE}:loss"}
    spec["config"]["train"]["metrics"] = [{"function": f"{MODULE}:metric"}]
    spec["config"]["selection"]["signals"] = [{"name": f"{MODULE}:Signal"}]


READERS = {
    "report": lambda folder: run("report", folder),
    "status": lambda folder: run("status", folder),
    "evaluate": lambda folder: run("evaluate", folder, "--resamples", 0),
    "predict": lambda folder: run("predict", folder, "docstrings.csv", "--output", "predicted.csv"),
    "scores": lambda folder: run("scores", "ls", "--store", folder / "signals"),
}


@pytest.mark.fault("foreign results name a module to import")
@pytest.mark.parametrize("reader", READERS)
def test_a_reader_imports_nothing_that_results_name(reader, foreign, trap, fault):
    name_everywhere(foreign, trap)
    with fault.once():
        done = READERS[reader](foreign)
        assert (done.code, trap.has_run) == (0, False), done.said


@pytest.mark.fault("foreign results name a module to import")
def test_python_readers_import_nothing_either(foreign, trap, fault):
    name_everywhere(foreign, trap)
    with fault.once():
        results = raybert.load_sweep(foreign)
        assert set(results.trials["strategy"]) >= {"all", "k_center"}
        assert results.search is not None
        assert len(commands.explain(foreign, texts=["one"]).pieces) == 1
        assert not trap.has_run


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.fault("foreign results name a module to import")
def test_the_model_card_has_the_labels_of_what_is_not_imported(foreign, trap, fault):
    (best,) = {(foreign / "best" / "trial_id").read_text().strip()}
    edit_json(foreign / "trials" / best / "spec.json", lambda document: name_in_spec(document["spec"], trap))
    with fault.once():
        commands.report(foreign)
        card = (foreign / "best" / "README.md").read_text(encoding="utf-8")
        label = json.loads((foreign / "trials" / best / "spec.json").read_text())["spec"]["label"]
        assert f"- strategy: `{label}`" in card
        assert '"power": 2' in card
        assert MODULE in card
        assert not trap.has_run


@pytest.mark.fault("foreign trial is repeated")
def test_reproduce_says_what_it_would_run_and_ends_with_2(foreign, trap, fault):
    name_everywhere(foreign, trap)
    trial = next(foreign.glob("trials/*/spec.json")).parent
    names = f"{MODULE}:Strategy, {MODULE}:Filter, {MODULE}:loss, {MODULE}:metric, {MODULE}:Signal"
    with fault.once():
        done = run("reproduce", trial)
        assert done.code == 2
        assert done.err.count("\n") == 1
        assert (
            f"names code that running the trial again would run here: {names}; read it, and allow it with --trust"
            in done.err
        )
        with pytest.raises(UntrustedCode, match="allow it with --trust") as caught:
            raybert.reproduce(trial)
        assert caught.value.names == tuple(names.split(", "))
        assert not trap.has_run
        assert not (foreign / "reproductions").exists()


@pytest.mark.fault("foreign trial is repeated")
@pytest.mark.parametrize(
    "change",
    [
        lambda spec: spec["strategy"].update(name="semdedup", then={"name": f"{MODULE}:Strategy"}),
        lambda spec: spec["strategy"].update(score={"name": f"{MODULE}:Strategy"}),
        lambda spec: spec["config"]["train"].update(loss=f"{MODULE}:loss"),
        lambda spec: spec["config"]["train"].update(optimizer={"name": f"{MODULE}:make"}),
        lambda spec: spec["config"]["train"].update(schedule={"name": f"{MODULE}:rate"}),
        lambda spec: spec["config"]["model"].update(trust_remote_code=True),
    ],
)
def test_code_is_found_wherever_a_trial_names_it(change, foreign, trap, fault):
    trial = next(foreign.glob("trials/*/spec.json")).parent
    assert code_named_by(trial) == ()
    edit_json(trial / "spec.json", lambda document: change(document["spec"]))
    with fault.once():
        assert len(code_named_by(trial)) == 1
        assert run("reproduce", trial).code == 2
        assert not trap.has_run


@pytest.mark.fault("foreign trial is repeated")
def test_what_is_trusted_is_imported(foreign, trap, fault):
    name_everywhere(foreign, trap)
    trial = next(foreign.glob("trials/*/spec.json")).parent
    with fault.once(), pytest.raises(SweepError, match="'evil_of_somebody:Filter': the module has no 'Filter'"):
        raybert.reproduce(trial, trust=True)
    assert trap.has_run


@pytest.mark.fault("foreign trial is repeated")
@pytest.mark.parametrize(("answer", "allowed"), [("y\n", True), ("\n", False), ("yess\n", False)])
def test_at_a_terminal_it_asks(answer, allowed, monkeypatch, fault, capsys):
    from raybert.terminal import console

    leader, follower = pty.openpty()
    os.write(leader, answer.encode())
    with open(follower, encoding="utf-8") as terminal, fault.once():
        monkeypatch.setattr(sys, "stdin", terminal)
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        assert console.is_trusted(["evil:Strategy"]) is allowed
        assert "evil:Strategy" in capsys.readouterr().out
    os.close(leader)


@pytest.mark.fault("sweep file that names a module")
def test_checks_without_imports_check_everything_else(foreign, trap, fault):
    file = foreign.parent / "theirs.yaml"
    document = {
        "data": {"source": "docstrings.csv"},
        "model": {"encoder": "encoder"},
        "selection": {"signals": [{"name": f"{MODULE}:Signal", "any": 1}]},
        "sweep": {
            "strategies": [{"name": trap.reference, "any": 2, "pre": [f"{MODULE}:Filter"]}, "random"],
            "seeds": 2,
        },
    }
    with fault.once():
        file.write_text(yaml.safe_dump(document))
        done = run("validate", file, "--no-import")
        assert (done.code, trap.has_run) == (0, False), done.said
        assert "valid, up to 4 trials" in done.out
        file.write_text(yaml.safe_dump(document | {"train": {"epochs": 3}}))
        assert run("validate", file, "--no-import").code == 2
        file.write_text(yaml.safe_dump(document | {"data": {"source": "nowhere.csv"}}))
        assert run("validate", file, "--no-import").code == 2
        file.write_text(yaml.safe_dump(document | {"sweep": {"strategies": ["randon"]}}))
        assert "did you mean 'random'?" in run("validate", file, "--no-import").err
        assert not trap.has_run


@pytest.mark.fault("sweep file that names a module")
@pytest.mark.parametrize("command", ["validate", "plan", "sweep", "train", "select"])
def test_imports_can_be_forbidden(command, foreign, trap, monkeypatch, fault):
    file = foreign.parent / "theirs.yaml"
    file.write_text(yaml.safe_dump({"data": {"source": "docstrings.csv"}, "sweep": {"strategies": [trap.reference]}}))
    monkeypatch.setenv("RAYBERT_IMPORTS", "0")
    more = {"select": ["--strategy", trap.reference, "--output", "x.csv"], "train": ["--strategy", trap.reference]}
    with fault.once():
        done = run(command, file, *more.get(command, []))
        assert (done.code, trap.has_run) == (2, False)
        assert f"'{trap.reference}' must not be imported: RAYBERT_IMPORTS=0 is set" in done.err
        assert done.err.count("\n") == 1
        monkeypatch.setenv("RAYBERT_IMPORTS", "maybe")
        assert "RAYBERT_IMPORTS: must be 0" in run(command, file, *more.get(command, [])).err


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.fault("sweep file that names a module")
def test_the_working_folder_is_on_the_path_only_for_names_of_the_file(foreign, trap, fault):
    here = str(foreign.parent)
    (foreign.parent / "json.py").write_text("raise SystemExit")
    with fault.once():
        commands.report(foreign)
        commands.validate({"sweep": {"strategies": ["random"]}})
        assert here not in sys.path
        with pytest.raises(ConfigError, match="the module has no 'Nothing'"):
            commands.validate({"sweep": {"strategies": [f"{MODULE}:Nothing"]}})
        assert sys.path.index(here) > 0  # behind the standard library


@pytest.mark.fault("sweep continues a foreign folder")
def test_a_folder_of_somebody_is_continued_without_importing_what_its_file_names(foreign, trap, fault):
    config = load_stored_config(foreign / "resolved.yaml")
    theirs = load_config(
        {
            **config.model_dump(mode="json"),
            "sweep": {**config.model_dump(mode="json")["sweep"], "strategies": [trap.reference, "random"]},
        }
    )
    (foreign / "resolved.yaml").write_text(dump_yaml(theirs))
    with fault.once():
        check_extension(theirs, read_design(config))
        assert not trap.has_run


class _Loaded:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (os.mkdir, (str(self.mark),))


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.fault("pickles in a foreign folder")
def test_nothing_in_a_results_folder_is_unpickled(foreign, tmp_path, fault):
    mark = tmp_path / "unpickled"
    (best,) = {(foreign / "best" / "trial_id").read_text().strip()}
    trial = foreign / "trials" / best
    bomb = pickle.dumps(_Loaded(mark))
    for name in (
        "fit_result.pickle",
        ".tune/run/error.pkl",
        "checkpoint/last/state.pt",
        "losses.npz",
        "pool_scores.npy",
    ):
        path = trial / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bomb)
    np.save(trial / "pool_scores.npy", np.array([_Loaded(mark)], dtype=object), allow_pickle=True)
    np.savez(trial / "losses.npz", loss=np.array([_Loaded(mark)], dtype=object))
    with fault.once():
        results = raybert.load_sweep(foreign)
        for read in (results.losses, results.pool_scores):
            with pytest.raises(SweepError, match="Object arrays cannot be loaded"):
                read(best)
        assert run("report", foreign).code == 0
        assert run("evaluate", foreign, "--resamples", 0).code == 0
        assert not mark.exists()


@pytest.mark.fault("pickles in a foreign folder")
def test_a_checkpoint_with_code_counts_as_torn(tmp_path, fault):
    from raybert.training.checkpoint import load_last

    last = tmp_path / "last"
    last.mkdir()
    (last / "COMPLETE").touch()
    torch.save({"run_key": _Loaded(tmp_path / "unpickled")}, last / "state.pt")
    with fault.once():
        assert load_last(tmp_path, "key") is None
        assert not (tmp_path / "unpickled").exists()


@pytest.mark.fault("pickles in a foreign folder")
def test_weights_in_a_torch_file_with_code_are_refused(foreign, tmp_path, fault):
    model = foreign / "best"
    (model / "model.safetensors").unlink()
    torch.save({"classifier.weight": _Loaded(tmp_path / "unpickled")}, model / "pytorch_model.bin")
    with fault.once():
        done = run("predict", model, "docstrings.csv", "--output", "predicted.csv")
        assert (done.code, done.err.count("\n")) == (2, 1), done.err
        assert not (tmp_path / "unpickled").exists()


_CODE = """
from pathlib import Path
Path({mark!r}).write_text("ran")
"""


@pytest.mark.fault("code that comes with a model")
@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_a_model_with_code_of_its_own_is_refused_and_nobody_is_asked(file, foreign, tmp_path, monkeypatch, fault):
    model = shutil.copytree(foreign / "best", tmp_path / "model")
    (model / "own.py").write_text(_CODE.format(mark=str(tmp_path / "mark")))
    names = {"AutoModelForSequenceClassification": "own.Model", "AutoConfig": "own.Config"}
    edit_json(
        model / "config.json", lambda d: d.update(model_type="evil", auto_map=names) if file == "config.json" else d
    )
    if file == "tokenizer_config.json":
        edit_json(
            model / file,
            lambda d: d.update(tokenizer_class="EvilTokenizer", auto_map={"AutoTokenizer": ["own.T", "own.T"]}),
        )
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked at the terminal"))
    with fault.once():
        done = run("predict", model, "docstrings.csv", "--output", "predicted.csv")
        # A tokenizer of a known kind is loaded without the class that its file names.
        assert (done.code, done.err.count("\n")) == ((2, 1) if file == "config.json" else (0, 0)), done.err
        assert not (tmp_path / "mark").exists()


@pytest.mark.fault("code that comes with a model")
def test_a_folder_cannot_allow_its_own_code(foreign, monkeypatch, tmp_path, fault):
    monkeypatch.setenv("RAYBERT_IMPORTS", "0")
    config = load_config({"model": {"encoder": "encoder", "trust_remote_code": True}})
    with fault.once(), pytest.raises(ModelError, match="must do without code of its own"):
        resolve_encoder(config.model, [], tmp_path)


def test_what_is_loaded_already_is_no_stand_in(foreign, trap):
    name_everywhere(foreign, trap)
    trial = next(foreign.glob("trials/*/spec.json")).parent
    stored = read_spec(trial)
    assert type(stored.spec.strategy.inner).__name__ == "Strategy"
    assert stored.spec.label in {"all", "random", "el2n", "k_center", "loss_threshold", "proxy"}
    assert not trap.has_run


def test_names_are_refused_where_nothing_may_be_imported(trap):
    from raybert.config import import_attribute

    with importing("nothing"), pytest.raises(ConfigError, match="named by results, which are only read"):
        import_attribute(trap.reference, "x")
    assert not trap.has_run


@pytest.mark.fault("git repository that starts programs")
@pytest.mark.parametrize("how", ["core.fsmonitor", "filter.evil.clean"])
def test_a_repository_around_results_starts_nothing(how, tmp_path, monkeypatch, fault):
    script = tmp_path / "evil.sh"
    script.write_text(f"#!/bin/sh\ntouch {tmp_path / 'mark'}\ncat\n")
    script.chmod(0o755)
    folder = tmp_path / "packed"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for command in (
        ("init", "-q"),
        ("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "x"),
        ("config", how, str(script)),
    ):
        subprocess.run(["git", *command], check=True)
    (folder / ".gitattributes").write_text("* filter=evil\n")
    (folder / "file").write_text("x")
    subprocess.run(["git", "-c", "filter.evil.clean=cat", "-c", "core.fsmonitor=false", "add", "."], check=True)
    (folder / "file").write_text("y")
    with fault.once():
        assert re.fullmatch("[0-9a-f]{12}", str(describe_run(None)["git"]))
        assert not (tmp_path / "mark").exists()
    subprocess.run(["git", "status"], check=True, capture_output=True)
    assert (tmp_path / "mark").exists()  # it would have
