"""The command as a user runs it, on the embedded default shrunk."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import raybert
from raybert.config import load_config

ROOT = Path(__file__).resolve().parents[2]
SHRUNK = [
    "data.train_examples=240",
    "data.validation_examples=60",
    "data.test_examples=80",
    "train.length={steps: 12}",
    "sweep.seeds=2",
    "sweep.strategies=[all, random, random_stratified, random_epoch, loss_threshold, confidence, el2n, k_center]",
]
SHRUNK_OPTIONS = [part for item in SHRUNK for part in ("--set", item)]
TIMES = [
    "seconds",
    "train_seconds",
    "evaluation_seconds",
    "selection_seconds",
    "wall_seconds",
    "signal_seconds",
    "signal_seconds_shared",
    "total_seconds",
]
REQUIRED = [
    "trial_id",
    "strategy",
    "seed",
    "fold",
    "budget",
    "status",
    "best_epoch",
    "validation_accuracy",
    "validation_macro_f1",
    "test_accuracy",
    "test_macro_f1",
    "test_weighted_f1",
    "test_auc_roc",
    "test_auc_pr",
    "test_loss",
    "examples_seen",
    "optimizer_steps",
    "train_seconds",
    "selection_seconds",
    "wall_seconds",
    "error",
]

pytestmark = [pytest.mark.slow, pytest.mark.ray]


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "raybert", *map(str, arguments)]


def run(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "100"}
    return subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        env=environment,
        cwd=cwd,
        timeout=400,
        check=False,
    )


def sweep(output: Path, *arguments: object, file: Path = ROOT / "sweeps" / "strategies.yaml"):
    return run("sweep", file, "--output", output, *SHRUNK_OPTIONS, *arguments)


def timeless(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.drop(columns=[c for c in TIMES if c in frame])


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    done = sweep(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "stdout.txt").write_text(done.stdout)
    return folder


def test_the_sweep_file_ends_with_a_table_plots_and_the_best_model(undisturbed):
    printed = (undisturbed / "stdout.txt").read_text()
    for name in (
        "all",
        "random",
        "random_stratified",
        "random_epoch",
        "loss_threshold",
        "confidence",
        "el2n",
        "k_center",
        "proxy",
    ):
        assert name in printed
    assert "plot: " in printed
    results = raybert.load_sweep(undisturbed)
    assert list(results.trials.columns[: len(REQUIRED)]) == REQUIRED
    assert (results.trials["status"] == "complete").all()
    assert len(results.trials) == 8 * 2 + 2
    assert (results.trials.set_index("strategy")["optimizer_steps"] == 12).drop("proxy").all()
    assert {"train_loss", "validation_loss", "train_accuracy", "validation_accuracy", "samples"} <= set(results.epochs)
    for table in ("trials", "epochs", "summary"):
        stored = pd.read_parquet(undisturbed / "results" / f"{table}.parquet")
        assert len(stored) == len(getattr(results, table)) == len(pd.read_csv(undisturbed / "results" / f"{table}.csv"))
    for plot in ("accuracy", "samples_per_epoch"):
        assert (undisturbed / "plots" / f"{plot}.png").stat().st_size > 5000


def test_the_best_model_loads_with_plain_transformers(undisturbed):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(undisturbed / "best")
    tokens = AutoTokenizer.from_pretrained(undisturbed / "best")("Return the mean of an array.", return_tensors="pt")
    assert model(**tokens).logits.shape == (1, model.config.num_labels)
    assert "pandas" in model.config.id2label.values()


def test_a_selection_can_be_read_back(undisturbed):
    results = raybert.load_sweep(undisturbed)
    trials = results.trials.set_index("strategy")
    chosen = results.selection(trials.loc["el2n", "trial_id"].iloc[0])
    assert len(chosen) == chosen["example_id"].nunique() == 24
    assert chosen["score"].notna().all()
    epochs = results.selection(trials.loc["random_epoch", "trial_id"].iloc[0])
    assert (epochs.groupby("epoch").size() == 24).all()
    predictions = results.predictions(trials.loc["all", "trial_id"].iloc[0])
    test = predictions[predictions["split"] == "test"]
    predicted = test.filter(like="prob_").to_numpy().argmax(1)
    assert (predicted == test["label"]).mean() == pytest.approx(trials.loc["all", "test_accuracy"].iloc[0])


def test_the_same_command_again_runs_nothing_and_more_seeds_run_the_difference(undisturbed, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(undisturbed, folder)
    before = {path: path.stat().st_mtime_ns for path in folder.glob("trials/*/result.json")}
    done = sweep(folder, "--set", "sweep.seeds=3", "--set", "sweep.strategies=[random, el2n]")
    assert done.returncode == 0, done.stdout + done.stderr
    after = {path: path.stat().st_mtime_ns for path in folder.glob("trials/*/result.json")}
    assert {path: after[path] for path in before} == before
    assert len(after) == len(before) + 3  # random, proxy and el2n of the third seed


def test_a_changed_file_is_refused_with_the_change(undisturbed):
    done = sweep(undisturbed, "--set", "train.batch_size=16")
    assert done.returncode == 2
    assert "-train.batch_size: 32" in done.stderr
    assert "+train.batch_size: 16" in done.stderr


def test_kill_9_in_the_middle_and_the_same_command_give_the_undisturbed_tables(undisturbed, tmp_path):
    folder = tmp_path / "run"
    arguments = command("sweep", ROOT / "sweeps" / "strategies.yaml", "--output", folder, *SHRUNK_OPTIONS)
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    finished = 0
    for line in process.stdout:
        finished += ": complete" in line
        if finished == 5:
            os.kill(process.pid, signal.SIGKILL)
            break
    process.wait()
    survivors = set(folder.glob("trials/*/result.json"))
    assert 5 <= len(survivors) < 18
    stamps = {path: path.read_bytes() for path in survivors}
    done = sweep(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {path: path.read_bytes() for path in survivors} == stamps
    one, other = raybert.load_sweep(undisturbed), raybert.load_sweep(folder)
    pd.testing.assert_frame_equal(timeless(one.trials), timeless(other.trials))
    pd.testing.assert_frame_equal(timeless(one.epochs), timeless(other.epochs))


def test_a_failing_strategy_does_not_stop_the_others(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import numpy as np, os, raybert\n"
        "class Wrong(raybert.Strategy):\n    name = 'wrong'\n"
        "    def choose(self, pool, budget):\n"
        "        return raybert.Selection(np.zeros(budget, np.int64), np.zeros(budget))\n"
        "class Dies(raybert.Strategy):\n    name = 'dies'\n"
        "    def choose(self, pool, budget):\n"
        "        os.kill(os.getpid(), 9)\n"
    )
    strategies = "sweep.strategies=[random, 'mine:Wrong', 'mine:Dies']"
    file, folder = ROOT / "sweeps" / "strategies.yaml", tmp_path / "run"
    done = run("sweep", file, "--output", folder, *SHRUNK_OPTIONS, "--set", strategies, cwd=tmp_path)
    assert done.returncode == 4, done.stdout + done.stderr
    assert "failed: 4 trials, 2 distinct errors" in done.stdout
    assert "SelectionError: strategy 'wrong': positions must be distinct" in done.stdout
    assert "TrialError: the trial's process died" in done.stdout
    assert done.stdout.count("    in 2 trials: ") == 2
    assert done.stdout.count("    again: raybert reproduce ") == 2
    trials = raybert.load_sweep(folder).trials.set_index("strategy")["status"]
    assert trials["random"].tolist() == ["complete"] * 2
    assert trials["wrong"].tolist() == trials["dies"].tolist() == ["failed"] * 2
    again = run("sweep", file, "--output", folder, *SHRUNK_OPTIONS, "--set", strategies, cwd=tmp_path)
    assert again.returncode == 4
    only = ["--set", "sweep.strategies=['mine:Wrong']"]
    assert run("sweep", file, "--output", tmp_path / "b", *SHRUNK_OPTIONS, *only, cwd=tmp_path).returncode == 5


def test_a_signal_that_cannot_be_computed_fails_only_those_who_read_it(tmp_path):
    folder, one_seed = tmp_path / "run", ["--set", "sweep.seeds=1"]
    store = ["--set", f"selection.store={tmp_path / 'a'}", "--set", "sweep.strategies=[el2n]"]
    assert sweep(folder, *one_seed, *store).returncode == 0
    proxy = raybert.load_sweep(folder).trials.set_index("role").loc["proxy", "trial_id"]
    (folder / "trials" / proxy / "checkpoint" / "best" / "model.safetensors").write_bytes(b"torn")
    store = ["--set", f"selection.store={tmp_path / 'b'}", "--set", "sweep.strategies=[confidence, k_center]"]
    done = sweep(folder, *one_seed, *store)
    assert done.returncode == 4, done.stdout + done.stderr
    assert "TrialError: scoring proxy failed" in done.stdout
    status = raybert.load_sweep(folder).trials.set_index("strategy")["status"]
    assert status[["confidence", "k_center"]].tolist() == ["failed", "complete"]


def test_two_workers_per_trial_train_under_ray_train(tmp_path):
    options = [
        "--set",
        "sweep.strategies=[random]",
        "--set",
        "sweep.seeds=1",
        "--set",
        "train.precision=fp32",
    ]
    one, two = tmp_path / "one", tmp_path / "two"
    assert sweep(one, *options).returncode == 0
    done = sweep(two, *options, "--set", "resources.workers_per_trial=2")
    assert done.returncode == 0, done.stdout + done.stderr
    single, double = (raybert.load_sweep(folder) for folder in (one, two))
    for column in ("train_loss", "validation_loss"):
        np.testing.assert_allclose(double.epochs[column], single.epochs[column], rtol=1e-4)


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
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_every_sweep_file_loads_renders_and_validates(tmp_path):
    for file in sorted((ROOT / "sweeps").glob("*.yaml")):
        assert file.read_text().startswith("# "), f"{file} must open with its question"
        assert run("validate", file).returncode == 0
        rendered = tmp_path / file.name
        rendered.write_text(run("render", file).stdout)
        assert load_config(rendered) == load_config(file)


def test_plan_and_dry_run_print_what_would_run_and_train_nothing(tmp_path):
    file = ROOT / "sweeps" / "strategies.yaml"
    for done in (run("plan", file, *SHRUNK_OPTIONS), sweep(tmp_path / "run", "--dry-run")):
        assert done.returncode == 0, done.stderr
        assert "total" in done.stdout
        assert "240 / 60 / 80 train / validation / test, 11 classes" in done.stdout
    assert not (tmp_path / "run").exists()
    assert json.loads(run("schema").stdout)["title"] == "RaybertConfig"
    assert "k_center" in run("ls", "strategies").stdout


@pytest.fixture(scope="module")
def every_strategy(tmp_path_factory) -> Path:
    """A sweep of all strategies of the built-in file, and some compositions, one seed."""
    folder = tmp_path_factory.mktemp("every") / "run"
    strategies = [entry.name for entry in load_config(ROOT / "sweeps" / "all_strategies.yaml").sweep.strategies]
    strategies += [
        "{name: ifd, null_input: mask}",
        "{name: el2n, then: k_center}",
        "{name: k_center, schedule: rounds, rounds: 3, pre: [semdedup]}",
        "{name: rho_loss, schedule: epoch}",
        "{name: grand, schedule: rounds, rounds: 2}",
    ]
    options = ["--set", "sweep.seeds=1", "--set", f"sweep.strategies=[{', '.join(strategies)}]"]
    done = sweep(folder, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "stdout.txt").write_text(done.stdout)
    return folder


def test_every_strategy_runs_from_a_sweep_file_and_tells_its_price(every_strategy):
    results = raybert.load_sweep(every_strategy)
    trials = results.trials.set_index("strategy")
    assert (trials["status"] == "complete").all()
    distinct = trials[(trials["role"] == "trial") & (trials["budget_kind"] == "distinct")]
    for name, trial in distinct.iterrows():
        chosen = results.selection(trial["trial_id"])
        assert chosen["position"].nunique() == 24, name
        assert trial["optimizer_steps"] == 12, name
    # Five folds, two twins, one run for the dynamics, one proxy that saw nulls, and the proxy itself.
    assert trials["role"].value_counts().to_dict() == {"trial": 32, "part": 9, "proxy": 1}
    assert trials.loc["el2n", "examples_scored"] == 240
    assert trials.loc["rho_loss", "examples_scored"] == 480
    assert trials.loc["forgetting", "examples_scored"] == 6 * 240  # five checkpoints, and the final model
    assert trials.loc["el2n", "signal_seconds"] > 0
    assert trials.loc["el2n", "signal_seconds_shared"] < trials.loc["el2n", "signal_seconds"]
    assert trials.loc["random", "signal_seconds"] == 0


def test_a_second_sweep_on_the_same_data_computes_no_signal_again(every_strategy, tmp_path):
    names = "[el2n, rho_loss, aum, label_errors, d2, lexical_diversity, aflite_readability]"
    again = sweep(tmp_path / "again", "--set", "sweep.seeds=1", "--set", f"sweep.strategies={names}")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "9 proxy runs are taken from the score store" in again.stdout
    assert "rows/s" not in again.stdout
    one, other = (
        timeless(raybert.load_sweep(folder).trials).set_index("trial_id")
        for folder in (every_strategy, tmp_path / "again")
    )
    pd.testing.assert_frame_equal(one.loc[other.index], other)


def test_select_writes_what_the_sweep_trained_on(every_strategy, tmp_path):
    results = raybert.load_sweep(every_strategy)
    for name, suffix in (("d2", "parquet"), ("lexical_diversity", "jsonl"), ("random", "csv")):
        file = tmp_path / f"{name}.{suffix}"
        options = ["--strategy", name, "--output", file, *SHRUNK_OPTIONS]
        done = run("select", ROOT / "sweeps" / "strategies.yaml", *options)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "24 of 240 examples" in done.stdout
        read = {"parquet": pd.read_parquet, "csv": pd.read_csv, "jsonl": lambda path: pd.read_json(path, lines=True)}
        subset = read[suffix](file)
        trial = results.trials.set_index("strategy").loc[name, "trial_id"]
        assert subset["example_id"].tolist() == results.selection(trial)["example_id"].tolist()
        assert subset["rank"].tolist() == list(range(1, 25))
        assert {"text", "label", "score", "weight"} <= set(subset)


def test_a_damaged_score_is_said_and_computed_again_though_its_models_are_gone(every_strategy, tmp_path):
    results = raybert.load_sweep(every_strategy).trials.set_index("strategy")
    expected = pd.read_parquet(
        every_strategy / "trials" / results.loc["label_errors", "trial_id"] / "selection.parquet"
    )
    store = Path(os.environ["RAYBERT_CACHE"]) / "scores"
    (identity,) = (path for path in store.glob("*/identity.json") if '"heldout_probs"' in path.read_text())
    (identity.parent / "block-00000.parquet").write_bytes(b"torn")
    file = tmp_path / "again.csv"
    options = ["--strategy", "label_errors", "--output", file, *SHRUNK_OPTIONS]
    done = run("select", ROOT / "sweeps" / "strategies.yaml", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "block-00000.parquet: must be a whole score block" in done.stdout
    assert "it is computed again" in done.stdout
    assert pd.read_csv(file)["example_id"].tolist() == expected["example_id"].tolist()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--strategy", "el2m", "--output", "x.csv"], "unknown 'el2m'; did you mean 'el2n'?"),
        (["--strategy", "el2n", "--output", "x.txt"], "--output: must end in .parquet, .csv, .jsonl, got 'x.txt'"),
        (["--strategy", "random", "--output", "x.csv", "--budget", "1000"], "selection.budget: must be in 1..240"),
        (["--strategy", "random", "--output", "x.csv", "--budget", "many"], "selection.budget"),
        (["--strategy", "infobatch", "--output", "x.csv"], "--strategy: must choose once, before training"),
        (["--strategy", "perplexity", "--output", "x.csv"], "no weights of a masked-LM head"),
    ],
)
def test_a_selection_that_cannot_be_is_one_line(tmp_path, options, message):
    done = run("select", ROOT / "sweeps" / "strategies.yaml", *options, *SHRUNK_OPTIONS, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_scores_are_listed_and_freed(every_strategy):
    listed = run("scores", "ls").stdout
    for scorer in ("embeddings", "proxy", "dynamics", "heldout_probs", "irreducible_loss", "lexical", "aflite"):
        assert scorer in listed
    key = next(line.split()[0] for line in listed.splitlines() if " lexical " in line)
    assert "1 signals removed" in run("scores", "rm", key[:12]).stdout
    assert key not in run("scores", "ls").stdout
    assert run("scores", "rm", "nothing").returncode == 2


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
    done = run("select", ROOT / "sweeps" / "strategies.yaml", *SHRUNK_OPTIONS, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "perplexity takes about" in done.stdout
    subset = pd.read_csv(file)
    assert len(subset) == 24
    assert (subset["score"] > 1).all()
