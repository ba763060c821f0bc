"""Bad input, and commands that train nothing."""

import json

import pandas as pd
import pytest

from raybert.config.kinds import load_any
from raybert.tables.evaluation import SUBSET
from tests.e2e.commands import FILE, ROOT, SHRUNK_OPTIONS, run, sweep

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--set", "sweep.strategies=[el2m]"], "sweep.strategies[0]: unknown 'el2m'; did you mean 'el2n'?"),
        (["--set", "data.source=nowhere.csv"], "nowhere.csv"),
        (["--set", "data.train_examples=10000000"], "data.train_examples"),
        (["--set", "selection.budget=100000"], "selection.budget: must be in 1..240"),
        (["--set", "resources.cpus_per_worker=4096"], "4096 CPU"),
        (["--retry", "sometimes"], "--retry"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(tmp_path, options, message):
    done = sweep(tmp_path / "run", *options)
    assert done.code == 2
    assert message in done.err
    assert "Traceback" not in done.err


def test_every_sweep_file_loads_renders_and_validates(tmp_path, monkeypatch):
    rows = "criterion,post,label,author\n" + "".join(f"one {i},two {i},{i % 2},writer{i}\n" for i in range(20))
    (tmp_path / "pairs.csv").write_text(rows)  # a user's own, as imbalanced.yaml says
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text("text\n" + "".join(f"text {i} of {name}\n" for i in range(9)))
    monkeypatch.chdir(tmp_path)
    for file in sorted((ROOT / "sweeps").glob("*.yaml")):
        assert file.read_text().startswith("# "), f"{file} must open with its question"
        assert run("validate", file).code == 0, file.name
        rendered = tmp_path / file.name
        rendered.write_text(run("render", file).out)
        assert load_any(rendered) == load_any(file)


def test_plan_and_dry_run_print_what_would_run_and_train_nothing(tmp_path):
    for done in (run("plan", FILE, *SHRUNK_OPTIONS), sweep(tmp_path / "run", "--dry-run")):
        assert done.code == 0, done.err
        assert "total" in done.out
        assert "240 / 60 / 80 train / validation / test, 11 classes" in done.out
    assert not (tmp_path / "run").exists()
    assert "RaybertConfig" in json.loads(run("schema").out)["$defs"]
    assert "k_center" in run("ls", "strategies").out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--strategy", "el2m", "--output", "x.csv"], "unknown 'el2m'; did you mean 'el2n'?"),
        (["--strategy", "el2n", "--output", "x.txt"], "output: must end in .parquet, .csv, .jsonl, got 'x.txt'"),
        (["--strategy", "random", "--output", "x.csv", "--budget", "1000"], "selection.budget: must be in 1..240"),
        (["--strategy", "random", "--output", "x.csv", "--budget", "many"], "selection.budget"),
        (["--strategy", "infobatch", "--output", "x.csv"], "strategy: must choose once, before training"),
        (
            ["--strategy", "perplexity", "--output", "x.csv", "--set", "model.encoder=raybert-tiny-random"],
            "no weights of a masked-LM head",
        ),
    ],
)
def test_a_selection_that_cannot_be_is_one_line(tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    done = run("select", FILE, *SHRUNK_OPTIONS, *options)
    assert done.code == 2
    assert message in done.err
    assert "Traceback" not in done.err
    assert not list(tmp_path.iterdir())


def test_perplexity_comes_from_another_masked_model(tmp_path, tiny_bert):
    from transformers import BertConfig, BertForMaskedLM

    from raybert.models import load_tokenizer

    BertForMaskedLM(BertConfig.from_pretrained(tiny_bert.path)).save_pretrained(tmp_path / "masked")
    load_tokenizer(tiny_bert).save_pretrained(tmp_path / "masked")
    file = tmp_path / "fluent.csv"
    options = [
        "--strategy",
        "perplexity",
        "--output",
        file,
        "--set",
        f"selection.scorers.perplexity.model={tmp_path / 'masked'}",
    ]
    done = run("select", FILE, *SHRUNK_OPTIONS, *options)
    assert done.code == 0, done.said
    assert "perplexity takes about" in done.out
    subset = pd.read_csv(file)
    assert len(subset) == 24
    assert list(subset) == [*(column.name for column in SUBSET if not column.optional), "module"]
    assert (subset["score"] > 1).all()
