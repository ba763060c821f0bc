"""Strategies and losses of a user's own that change between two commands: what is finished is never mixed with them."""

import json
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest
from safetensors.torch import load_file, save_file

import raybert
from raybert.config import load_config
from raybert.files import cache_folder
from raybert.models import resolve_encoder
from tests.e2e import commands
from tests.e2e.test_single import reviews

pytestmark = pytest.mark.slow
FILE = """
data: {source: all.csv, text: review, label: mood, id: key, max_length: 12}
train: {length: {steps: 4}, batch_size: 8, eval_every: 2, loss: {name: "own_parts:loss"}}
sweep: {strategies: ["own_parts:Longest"]}
"""
RULE = """
import pathlib

import numpy as np
from torch.nn.functional import cross_entropy

import raybert


class Longest(raybert.Strategy):
    \"\"\"Keeps the longest.\"\"\"

    name = "longest"
    needs = frozenset({"lengths"})

    def choose(self, pool, budget):
        order = np.lexsort((pool.tie_keys, -pool.signals["lengths"]))[:budget]  # LONGEST
        return raybert.Selection(order, pool.signals["lengths"][order].astype(float))


def loss(logits, labels):
    BROKEN
    return 1.0 * cross_entropy(logits, labels, reduction="none")
"""


@pytest.fixture
def train(tmp_path, monkeypatch):
    """A function that trains with a version of `own_parts.py`; returns exit code, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    reviews(80, 1).to_csv("all.csv", index=False)
    Path("file.yaml").write_text(FILE)

    def run_with(source: str, *options: object) -> tuple[int, str, str]:
        Path("own_parts.py").write_text(source)
        shutil.rmtree("__pycache__", ignore_errors=True)
        sys.modules.pop("own_parts", None)
        done = commands.run("train", "file.yaml", "--strategy", "own_parts:Longest", "--output", "run", *options)
        return done.code, done.out, done.err

    yield run_with
    sys.modules.pop("own_parts", None)


def finished() -> list[str]:
    return sorted(path.parent.name for path in Path("run/trials").glob("*/result.json"))


WHOLE = RULE.replace("    BROKEN\n", "")


@pytest.mark.long
@pytest.mark.slow
def test_changed_code_is_refused_with_what_changed_and_its_author_may_declare_it(train):
    assert train(WHOLE)[0] == 0
    (trial,) = finished()
    before = Path(f"run/trials/{trial}/result.json").read_bytes()
    code, out, err = train(WHOLE.replace("  # LONGEST", "").replace("the longest.", "what is long."), "--resume")
    assert (code, "finished earlier" in out) == (0, True), err
    changes = {
        "strategy 'own_parts:Longest'": ('-pool.signals["lengths"]', 'pool.signals["lengths"]'),
        "train.loss.name 'own_parts:loss'": ("return 1.0", "return 2.0"),
    }
    for what, (old, new) in changes.items():
        code, out, err = train(WHOLE.replace(old, new), "--resume")
        assert (code, err.count("\n")) == (2, 1), err
        assert f"the code of {what} changed since a trial of this folder finished; give `output` a new folder" in err
    assert (finished(), Path(f"run/trials/{trial}/result.json").read_bytes()) == ([trial], before)
    again = commands.run("reproduce", f"run/trials/{trial}", "--trust")
    assert "the code of train.loss.name 'own_parts:loss' changed since the trial ran" in again.out + again.err


NOISE = """

def noise(text, label, generator):
    words = text.split()
    return " ".join(words[::-1]) if generator.random() < 0.5 else text
"""


@pytest.mark.long
def test_an_augmentation_is_watched_as_a_loss_is_and_what_is_no_text_ends_the_run_in_a_line(train):
    augmented = FILE.replace("max_length: 12}", 'max_length: 12, augment: "own_parts:noise"}')
    Path("file.yaml").write_text(augmented)
    code, out, err = train(WHOLE + NOISE.replace("else text", "else 3"))
    assert code == 5, out + err
    assert "data.augment.name: 'own_parts:noise' must return a text, got int for example 'k1-" in (out + err).replace(
        "\n", " "
    )
    assert train(WHOLE + NOISE, "--resume")[0] == 0
    (trial,) = finished()
    assert (
        "trained on changed examples: own_parts:noise, anew in every pass"
        in raybert.load_sweep("run").trials["notes"][0]
    )
    code, _, err = train(WHOLE + NOISE.replace("0.5", "0.6"), "--resume")
    assert (code, err.count("\n")) == (2, 1), err
    assert "the code of data.augment.name 'own_parts:noise' changed since a trial of this folder finished" in err
    again = commands.run("reproduce", f"run/trials/{trial}")
    assert again.code == 2
    assert "own_parts:noise" in again.err
    Path("own_parts.py").write_text("raise SystemExit('run')")
    shutil.rmtree("__pycache__", ignore_errors=True)
    sys.modules.pop("own_parts", None)
    assert commands.run("validate", "file.yaml", "--no-import").code == 0
    Path("file.yaml").unlink()


STOPS = """pathlib.Path("calls").open("a").write(".")
    if pathlib.Path("calls").stat().st_size == 3:
        raise ValueError("third")"""


@pytest.mark.long
def test_what_is_broken_may_be_mended_and_what_other_code_began_is_trained_from_its_start(train):
    often = ("--set", "train.checkpoint_seconds=0.001")
    code, out, _ = train(RULE.replace("BROKEN", STOPS), *often)
    assert (code, "ValueError: third" in out) == (5, True)
    assert list(Path("run/trials").glob("*/checkpoint/last/COMPLETE"))
    code, out, err = train(WHOLE, "--resume", *often)
    assert code == 0, out + err
    (trial,) = finished()
    rows = [json.loads(line) for line in Path(f"run/trials/{trial}/evaluations.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [2, 4]
    restarts = [json.loads(line) for line in Path(f"run/trials/{trial}/restarts.jsonl").read_text().splitlines()]
    why = "the code of train.loss.name 'own_parts:loss' changed: it is trained from its start"
    assert [line["why"] for line in restarts] == [why]
    Path("run").rename("first")
    assert train(WHOLE, *often)[0] == 0
    pair = [raybert.load_sweep(name).trials.filter(regex="accuracy|f1|_loss") for name in ("first", "run")]
    pd.testing.assert_frame_equal(*pair)


@pytest.mark.long
def test_a_rule_of_another_version_is_run_again_beside_the_old_one(train):
    assert train(WHOLE)[0] == 0
    (old,) = finished()
    newer = WHOLE.replace('name = "longest"', 'name = "longest"\n    rule_version = 2')
    code, out, err = train(newer.replace("(pool.tie_keys, -pool", "(pool.tie_keys, pool"), "--resume")
    assert code == 0, out + err
    assert "it is trained anew" in out + err
    (new,) = set(finished()) - {old}
    assert raybert.load_sweep("run").trials["trial_id"].tolist() == [new]


def test_an_encoder_saved_anew_is_refused(train, tmp_path):
    texts = ["some words of a text", "and more of them"]
    shutil.copytree(resolve_encoder(load_config({}).model, texts, cache_folder()).path, tmp_path / "encoder")
    options = ("--set", "model.encoder=./encoder")
    assert train(WHOLE, *options)[0] == 0
    weights = tmp_path / "encoder" / "model.safetensors"
    tensors = load_file(weights)
    first = next(iter(tensors))
    save_file(tensors | {first: tensors[first] + 1e-3}, weights, metadata={"format": "pt"})
    code, _, err = train(WHOLE, *options, "--resume")
    assert (code, err.count("\n")) == (2, 1), err
    assert "the content of the encoder './encoder' changed since this folder was begun" in err
    assert len(finished()) == 1
