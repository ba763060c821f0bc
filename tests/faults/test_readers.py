"""Every file that raybert reads back, damaged: commands that read a results folder give the right result, or one line."""

import itertools
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

from raybert.analysis import load_sweep
from raybert.sweeping.folder.contents import BEST, SWEEP, TRIAL
from tests.e2e.commands import run
from tests.faults.sweeps import timeless
from tests.faults.test_files import delete, halve

pytestmark = [pytest.mark.long, pytest.mark.slow, pytest.mark.ray, pytest.mark.usefixtures("no_pixels")]

NOT_IN_THIS_SWEEP = {  # what a search, rounds, a filter, a failure or another storage leaves; most are in other tests
    "attempts.jsonl",
    "conflicts.csv",
    "decisions.jsonl",
    "dynamics/",
    "error.txt",
    "failure.json",
    "models/",
    "monitor_nan.json",
    "monitor_spikes.parquet",
    "pretrained.json",
    "pruned.json",
    "restarts.jsonl",
    "signals/",
    "study.db",
    "study.journal",
    "tensorboard/",
    "tracking/",
    "<file>.damaged",
}
OF_A_MODEL = ("config.json", "tokenizer.json", "tokenizer_config.json", "raybert.json", "model.safetensors")


def garble(path):
    size = path.stat().st_size
    path.write_bytes(bytes(range(256)) * (size // 256 + 1))


def blank(path):
    """As a power cut leaves a file whose length alone was written."""
    path.write_bytes(bytes(path.stat().st_size))


def exchange(path):
    """Valid JSON and YAML, but of another kind."""
    path.write_text("[1, 2]\n")


DAMAGES = (halve, garble, blank, exchange, delete)


@pytest.fixture(scope="module")
def sweep(ground, ray_cluster, tmp_path_factory):
    """A sweep of two strategies with a proxy, measurements and a refit; and the cache that it filled."""
    place = tmp_path_factory.mktemp("whole")
    changes = {"sweep.strategies": ["random", "el2n"], "sweep.seeds": 1, "sweep.refit": True, "train.length.steps": 4}
    changes |= {"monitor.gradient_norm": 1, "monitor.weight_histograms": 2}
    changes["data.extra_tests"] = {"again": str(ground.data / "test.csv")}
    file = ground.write(place / "sweep.yaml", **changes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAYBERT_CACHE", str(place / "cache"))
        done = run("sweep", file, "--output", place / "run")
        assert done.code == 0, done.said
        yield place


def files_of(run: Path) -> dict[str, Path]:
    """Every file that is read back, from the results folder, by its name in the list of contents."""
    best = (run / "best" / "trial_id").read_text().strip()
    trials = [run / "trials" / best, *sorted((run / "trials").iterdir())]
    found = {content.path: Path(content.path) for content in SWEEP if content.is_lasting}
    for content in TRIAL:
        paths = [trial.relative_to(run) / content.path for trial in trials]
        there = [path for path in paths if (run / path).exists()]
        found |= {f"trials/<id>/{content.path}": [*there, *paths][0]} if content.is_lasting else {}
    for folder in (Path("best"), Path("trials", best, "checkpoint", "best")):
        found |= {f"{folder}/{name}": folder / name for name in OF_A_MODEL}
    assert [content.path for content in BEST] == ["best/"]
    found["best/trial_id"] = Path("best/trial_id")
    return found


def tables_of(folder: Path) -> str:
    return timeless(load_sweep(folder).trials).to_csv()


def test_the_sweep_has_every_file_of_the_list_but_those_that_are_named(sweep):
    missing = {
        name.removeprefix("trials/<id>/")
        for name, path in files_of(sweep / "run").items()
        if not (sweep / "run" / path).exists()
    }
    assert missing <= NOT_IN_THIS_SWEEP


def readers_of(name: str) -> tuple[str, ...]:
    """The commands that read a file."""
    if name.startswith("best/"):
        return ("predict", "evaluate") if name == "best/trial_id" else ("predict",)
    if name in ("pool.parquet", "trials/<id>/selection.parquet"):
        return ("report", "evaluate --data")
    if name in ("plan.json", "manifest.json", "held_out.parquet", "trials/<id>/predictions.parquet"):
        return ("report", "evaluate")
    return ("report",)


def test_readers_of_a_damaged_folder_give_the_right_result_or_one_line(sweep, tmp_path):
    texts = tmp_path / "texts.txt"
    texts.write_text("red one two\nblue three\n")
    labelled = tmp_path / "labelled.csv"
    labelled.write_text("text,label\nred one two,0\nblue three,1\n")
    whole, damaged = sweep / "run", tmp_path / "run"
    further = {
        "evaluate": ("--output", tmp_path / "evaluation"),
        "evaluate --data": ("--data", labelled, "--output", tmp_path / "evaluation"),
        "predict": (texts, "--output", tmp_path / "predicted.csv"),
    }
    assert run("predict", whole, *further["predict"]).code == 0
    expected = pd.read_csv(tmp_path / "predicted.csv")
    wrong = []
    there = {name: path for name, path in files_of(whole).items() if (whole / path).is_file()}
    for (name, path), damage in itertools.product(there.items(), DAMAGES):
        for command in ("status", *readers_of(name)):
            shutil.rmtree(damaged, ignore_errors=True)
            shutil.copytree(whole, damaged)
            damage(damaged / path)
            done = run(command.split()[0], damaged, *further.get(command, ()))
            is_line = done.code == 2 and len(re.findall("^error: ", done.said, re.MULTILINE)) == 1
            if "Traceback" in done.said or not (done.code == 0 or is_line):
                wrong.append(f"{command} with {name} ({damage.__name__}): {done.code} {done.said[-300:]}")
            elif done.code == 0 and command == "predict":
                pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "predicted.csv"), expected, atol=1e-5)
    assert wrong == []


def test_what_the_caches_hold_is_checked_before_it_is_used(sweep, tmp_path, monkeypatch):
    whole = sweep / "cache"
    expected = tables_of(sweep / "run")
    kinds = itertools.cycle((halve, exchange, garble, blank))
    with_run = next(path.parent.parent.parent for path in sorted(whole.glob("scores/*/runs/*/result.json")))
    names = ("result.json", "spec.json", "evaluations.jsonl", "selection.parquet", "predictions.parquet", "losses.npz")
    files = [path for path in with_run.iterdir() if path.is_file()]
    files += [path for name in names for path in with_run.glob(f"runs/*/{name}")]
    files += [
        path for path in whole.rglob("*") if path.is_file() and path.suffix != ".lock" and "scores" not in path.parts
    ]
    assert len(files) >= 9
    for path in sorted(path.relative_to(whole) for path in files):
        shutil.rmtree(tmp_path / "cache", ignore_errors=True)
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        shutil.copytree(whole, tmp_path / "cache")
        monkeypatch.setenv("RAYBERT_CACHE", str(tmp_path / "cache"))
        next(kinds)(tmp_path / "cache" / path)
        done = run("sweep", sweep / "sweep.yaml", "--output", tmp_path / "run")
        assert done.code == 0, f"{path}: {done.said}"
        assert tables_of(tmp_path / "run") == expected, path
