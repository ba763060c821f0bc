"""`raybert train`, `evaluate` and `predict` as a user runs them, on a small csv."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from rich.console import Console
from sklearn.metrics import accuracy_score, roc_auc_score

import raybert
from raybert.config import load_config
from raybert.sweeping.single.train import train_one
from raybert.terminal.run_progress import RunBar, RunLines
from raybert.training.optimization.precision import resolve_precision
from tests.e2e import commands

pytestmark = pytest.mark.slow
WORDS = {"pos": ["fine", "lovely", "great", "warm"], "neg": ["poor", "awful", "dull", "cold"]}
NOISE = ["the", "film", "book", "day", "house", "river", "story", "and", "of", "in", "very", "quite"]
FILE = """# Is this film any good?
name: mini
data: {source: %s, text: review, label: mood, id: key, group: author, max_length: 16}
train: {length: {steps: 24}, batch_size: 16, learning_rate: 1.0e-3, eval_every: 6, checkpoint_seconds: 3600}
selection: {budget: 64}
sweep: {strategies: [random, {name: el2n, direction: easy}], grid: {train.learning_rate: [1.0e-3, 2.0e-3]}}
"""


def reviews(num_examples: int, seed: int) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    rows = []
    for i in range(num_examples):
        label = ("neg", "pos")[int(generator.random() < 0.4)]
        words = [*generator.choice(NOISE, generator.integers(3, 9)), *generator.choice(WORDS[label], 2)]
        if generator.random() < 0.15:
            words.append("not")
            label = "pos" if label == "neg" else "neg"
        text = " ".join(generator.permutation(words))
        rows.append((f"k{seed}-{i}", text, label, f"author{generator.integers(30)}"))
    return pd.DataFrame(rows, columns=["key", "review", "mood", "author"])


def run(*arguments: object) -> tuple[int, str, str]:
    """Run a command line in this process; return its exit code, and what it printed."""
    done = commands.run(*arguments)
    return done.code, done.out, done.err


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with a sweep file and its data."""
    folder = tmp_path_factory.mktemp("place")
    reviews(240, 1).to_csv(folder / "all.csv", index=False)
    reviews(60, 2).to_csv(folder / "new.csv", index=False)
    (folder / "file.yaml").write_text(FILE % (folder / "all.csv"))
    return folder


@pytest.fixture(scope="module")
def trained(place) -> Path:
    """The results folder of an undisturbed run, with what it printed."""
    code, out, err = run("train", place / "file.yaml", "--output", place / "run")
    assert code == 0, out + err
    (place / "run" / "stdout.txt").write_text(out)
    return place / "run"


def result_of(folder: Path) -> dict:
    (path,) = folder.glob("trials/*/result.json")
    return {k: v for k, v in json.loads(path.read_text()).items() if not k.endswith("seconds")}


def evaluations_of(folder: Path) -> pd.DataFrame:
    return raybert.load_sweep(folder).evaluations.drop(columns="seconds")


def test_a_run_is_a_folder_as_a_sweeps_without_ray(trained):
    printed = (trained / "stdout.txt").read_text()
    assert printed.count("validation accuracy") == 4 + 1  # a line per evaluation, and the best
    assert "note: the grid of the file is left out (train.learning_rate)" in printed
    assert "all step 24/24: loss " in printed
    sweep = raybert.load_sweep(trained)
    assert sweep.trials[["strategy", "seed", "status"]].values.tolist() == [["all", 0, "complete"]]
    assert (trained / "plots" / "learning_curves.png").is_file()
    assert (trained / "results" / "trials.parquet").is_file()
    assert "cluster_cpus" not in sweep.manifest["hardware"]


def test_a_run_says_on_what_it_is_trained_and_how(trained):
    """Line by line the same in the terminal, the log of the trial, its result, the table and the manifest."""
    precision = resolve_precision("auto", torch.device("cpu")).name
    line = f"on the CPU in {precision}, sdpa attention"
    printed = (trained / "stdout.txt").read_text()
    assert f"trains {line}\n" in printed
    assert printed.index("trains on") < printed.index("step ")  # before the first evaluation
    (log,) = trained.glob("trials/*/log.txt")
    assert f"INFO runs {line}\n" in log.read_text()
    ran_on = {"device": "cpu", "precision": precision, "attention": "sdpa", "micro_batch_size": None}
    assert ran_on.items() <= result_of(trained).items()
    sweep = raybert.load_sweep(trained)
    assert sweep.manifest["trained_on"] == [{**ran_on, "num_runs": 1}]
    assert sweep.trials[["device", "precision", "attention"]].values.tolist() == [["cpu", precision, "sdpa"]]
    assert "gpus_per_worker: 0\n" in (trained / "resolved.yaml").read_text()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_run_takes_the_gpu_by_itself_and_a_folder_of_the_cpu_does_not(place, tmp_path):
    code, out, err = run("train", place / "file.yaml", "--output", tmp_path / "gpu")
    assert code == 0, out + err
    assert f"trains on {torch.cuda.get_device_name()} in " in out
    assert result_of(tmp_path / "gpu")["device"] == torch.cuda.get_device_name()
    options = ("--output", tmp_path / "cpu")
    assert run("train", place / "file.yaml", *options, "--set", "resources.gpus_per_worker=0")[0] == 0
    assert result_of(tmp_path / "cpu")["device"] == "cpu"
    code, out, _ = run("train", place / "file.yaml", *options, "--resume")
    assert (code, "finished earlier" in out) == (0, True)
    assert (trained / "best" / "raybert.json").is_file()
    assert raybert.load_model(trained / "best").config.id2label == {0: "neg", 1: "pos"}


def test_evaluating_a_run_gives_what_scikit_learn_gives_of_its_predictions(trained):
    code, out, err = run("evaluate", trained, "--resamples", 50)
    assert code == 0, err
    assert "label \\ predicted" in out
    assert "group" in out
    metrics = json.loads((trained / "evaluation" / "metrics.json").read_text())["metrics"]
    frame = pd.read_parquet(trained / "evaluation" / "predictions.parquet")
    source = pd.read_csv(trained.parent / "all.csv").set_index("key")
    assert (source.loc[frame["example_id"], "mood"].to_numpy() == frame["label"]).all()
    assert (source.loc[frame["example_id"], "author"].to_numpy() == frame["group"]).all()
    result, truth = result_of(trained), frame["label"] == "pos"
    assert metrics["accuracy"]["value"] == pytest.approx(accuracy_score(frame["label"], frame["predicted"]))
    assert metrics["accuracy"]["value"] == pytest.approx(result["test_accuracy"])
    assert metrics["auc_roc"]["value"] == pytest.approx(roc_auc_score(truth, frame["prob_pos"]))
    assert metrics["auc_roc"]["value"] == pytest.approx(result["test_auc_roc"])
    assert (trained / "evaluation" / "roc.png").is_file()
    about = json.loads((trained / "evaluation" / "about.json").read_text())
    assert (about["trial_id"], about["data"], about["split"]) == (result["trial_id"], None, "test")


@pytest.mark.long
def test_facts_about_a_run_as_json_are_those_that_are_printed(trained, place, tmp_path):
    def document(*arguments):
        code, out, err = run(*arguments, "--json")
        assert code == 0, err
        return json.loads(out)

    found = document("evaluate", trained, "--resamples", 0, "--output", tmp_path / "evaluation")
    assert found["metrics"]["accuracy"]["value"] == pytest.approx(result_of(trained)["test_accuracy"])
    assert found["metrics"]["accuracy"]["low"] is None
    assert [row["label"] for row in found["per_class"]] == found["label_names"] == ["neg", "pos"]
    assert sum(map(sum, found["confusion"])) == found["num_examples"]
    found = document("predict", trained, place / "new.csv", "--output", tmp_path / "p.csv")
    assert found["num_texts"] == sum(found["predicted"].values()) == 60
    found = document("plan", place / "file.yaml", "--no-probe")
    assert found["num_trials"] == len(found["trials"]) == sum(row["num_trials"] for row in found["strategies"])
    assert (found["estimate"], found["problem"]) == (None, None)
    found = document("reproduce", trained, result_of(trained)["trial_id"], "--output", tmp_path / "again")
    assert found["is_identical"] is True
    assert {part["what"] for part in found["comparisons"]} >= {"evaluations", "weights"}
    chosen = document(
        "select", place / "file.yaml", "--strategy", "random", "--budget", 20, "--output", tmp_path / "s.csv"
    )
    assert chosen["num_chosen"] == sum(chosen["classes"].values()) == len(pd.read_csv(tmp_path / "s.csv")) == 20


def test_metrics_by_columns_of_what_the_run_held_out_and_of_a_file(trained, place, tmp_path):
    code, out, err = run("evaluate", trained, "--resamples", 20, "--by", "author", "--by", "mood", "--output", tmp_path)
    assert (code, "by author" in out, "by mood" in out) == (0, True, True), err
    table = pd.read_csv(tmp_path / "by.csv")
    frame = pd.read_parquet(tmp_path / "predictions.parquet")
    is_right = frame["predicted"] == frame["label"]
    accuracy = table[table["metric"] == "accuracy"].set_index(["column", "group"])
    for column, values in (("author", frame["group"]), ("mood", frame["label"])):
        expected = is_right.groupby(values).agg(["mean", "size"])
        found = accuracy.loc[column]
        assert found["value"].to_dict() == pytest.approx(expected["mean"].to_dict())
        assert found["num_examples"].to_dict() == expected["size"].to_dict()
    new = pd.read_csv(place / "new.csv").assign(rank=[*range(1, 60), None])
    new.to_csv(tmp_path / "ranked.csv", index=False)
    options = ("--data", tmp_path / "ranked.csv", "--by", "rank", "--resamples", 0, "--output", tmp_path / "out")
    code, _, err = run("evaluate", trained, *options)
    assert (code, err.count("\n")) == (2, 1)
    assert (
        "by: column 'rank' must hold at most 20 different numbers, got 59; put them together with --quantiles 4" in err
    )
    assert run("evaluate", trained, *options, "--quantiles", 3)[0] == 0
    rows = pd.read_csv(tmp_path / "out" / "by.csv").drop_duplicates("group")
    assert rows["group"].tolist() == ["1 .. 20", "21 .. 39", "40 .. 59", "(missing)"]
    assert rows["num_examples"].tolist() == [20, 19, 20, 1]
    code, _, err = run("evaluate", trained, "--by", "auther")
    assert (code, err.count("\n")) == (2, 1)
    assert "by[0]: 'all.csv' has no column 'auther'" in err.replace(f"{place}/", "")
    assert "did you mean 'author'" in err


@pytest.mark.long
@pytest.mark.slow
def test_the_same_examples_as_a_file_give_the_same_metrics(trained, place, tmp_path):
    assert run("evaluate", trained, "--resamples", 0, "--output", tmp_path / "own")[0] == 0
    own = pd.read_parquet(tmp_path / "own" / "predictions.parquet")
    source = pd.read_csv(place / "all.csv").set_index("key")
    (tmp_path / "splits").mkdir()
    source.loc[own["example_id"]].reset_index().to_json(
        tmp_path / "splits" / "test.jsonl", orient="records", lines=True
    )
    (trial,) = trained.glob("trials/*")
    for target in (trained, trial / "checkpoint" / "best"):
        arguments = ("--data", tmp_path / "splits", "--resamples", 0, "--output", tmp_path / "file")
        code, _, err = run("evaluate", target, *arguments)
        assert code == 0, err
        file = pd.read_parquet(tmp_path / "file" / "predictions.parquet")
        assert set(file["seen"]) == {"test"}
        pd.testing.assert_frame_equal(own, file.drop(columns="seen"))
        tables = [json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("own", "file")]
        assert tables[0] == tables[1]


def test_columns_with_other_names_and_a_threshold(trained, place, tmp_path):
    renamed = pd.read_csv(place / "new.csv").rename(columns={"review": "body", "mood": "truth"}).drop(columns="author")
    renamed["truth"] = (renamed["truth"] == "pos").astype(int)
    renamed.to_parquet(tmp_path / "x.parquet")
    options = ("--data", tmp_path / "x.parquet", "--text", "body", "--label", "truth", "--resamples", 0)
    code, out, err = run("evaluate", trained, *options, "--threshold", 0.8, "--output", tmp_path / "out")
    assert code == 0, err
    assert "'pos' is predicted from probability 0.8 on" in out
    frame = pd.read_parquet(tmp_path / "out" / "predictions.parquet")
    assert ((frame["prob_pos"] >= 0.8) == (frame["predicted"] == "pos")).all()
    assert (frame["label"] == pd.read_csv(place / "new.csv")["mood"]).all()
    assert frame["example_id"].tolist() == renamed["key"].tolist()
    assert not (tmp_path / "out" / "per_group.csv").exists()


def test_a_file_of_texts_is_predicted_alike_as_csv_and_as_lines(trained, place, tmp_path):
    texts = pd.read_csv(place / "new.csv")
    texts[["key", "review"]].to_csv(tmp_path / "texts.csv", index=False)
    (tmp_path / "texts.txt").write_text("".join(f"{text}\n" for text in texts["review"]))
    for name, output in (("texts.csv", "a.parquet"), ("texts.txt", "b.jsonl"), ("texts.txt", "c.csv")):
        code, out, err = run("predict", trained, tmp_path / name, "--output", tmp_path / output)
        assert code == 0, err
        assert out.startswith("60 texts: ")
    one = pd.read_parquet(tmp_path / "a.parquet")
    other = pd.read_json(tmp_path / "b.jsonl", lines=True)
    assert one["example_id"].tolist() == texts["key"].tolist()
    assert other["example_id"].tolist() == list(range(60))
    assert one["text"].tolist() == other["text"].tolist() == texts["review"].tolist()
    np.testing.assert_allclose(one["prob_pos"], other["prob_pos"], atol=1e-6)
    np.testing.assert_allclose(one["prob_pos"], pd.read_csv(tmp_path / "c.csv")["prob_pos"], atol=1e-6)
    assert (one["predicted"] == texts["mood"]).mean() > 0.6


class InterruptsItself(RunLines):
    """Ctrl-C while a step is reported."""

    def __init__(self, at_step: int) -> None:
        super().__init__(Console(file=io.StringIO()))
        self.at_step, self.steps = at_step, []

    def stepped(self, spec, step):
        self.steps.append(step)
        if step == self.at_step:
            signal.raise_signal(signal.SIGINT)
        if step > self.at_step:
            time.sleep(0.05)  # the trial looks for a stop request twice a second


def test_ctrl_c_and_resume_give_bit_identical_metrics(place, tmp_path):
    config = load_config(place / "file.yaml", ["train.length={steps: 40}"])
    arguments = (config, "all", 1)
    whole = InterruptsItself(at_step=0)
    assert train_one(*arguments, tmp_path / "whole", whole).exit_code == 0
    assert whole.steps == list(range(1, 41))
    first = InterruptsItself(at_step=9)
    stopped = train_one(*arguments, tmp_path / "parts", first)
    assert stopped.exit_code == 3
    assert 9 <= first.steps[-1] < 40
    assert list((tmp_path / "parts").glob("trials/*/checkpoint/last/COMPLETE"))
    with pytest.raises(raybert.SweepError, match="holds an unfinished run; continue it with --resume"):
        train_one(*arguments, tmp_path / "parts", RunLines(Console(file=io.StringIO())))
    bar = RunBar(Console(file=io.StringIO(), force_terminal=True))
    with bar:
        assert train_one(*arguments, tmp_path / "parts", bar, resume=True).exit_code == 0
    assert result_of(tmp_path / "whole") == result_of(tmp_path / "parts")
    pd.testing.assert_frame_equal(evaluations_of(tmp_path / "whole"), evaluations_of(tmp_path / "parts"))
    predictions = [next((tmp_path / name).glob("trials/*/predictions.parquet")) for name in ("whole", "parts")]
    pd.testing.assert_frame_equal(*map(pd.read_parquet, predictions))


INTERRUPTING_LOSS = """
import signal, time
from torch.nn.functional import cross_entropy

num_calls = 0


def once(logits, labels):
    global num_calls
    num_calls += 1
    if num_calls == 9:
        signal.raise_signal(signal.SIGINT)
    time.sleep(0.05 * (num_calls > 9))
    return cross_entropy(logits, labels, reduction="none")


def twice(logits, labels):
    signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGINT)
"""


@pytest.mark.parametrize("loss", ["once", "twice"])
def test_the_command_says_how_to_go_on_after_ctrl_c(place, tmp_path, monkeypatch, loss):
    (tmp_path / "interrupting.py").write_text(INTERRUPTING_LOSS)
    monkeypatch.syspath_prepend(tmp_path)
    options = ("--set", "train.length={steps: 400}", "--set", f"train.loss.name=interrupting:{loss}")
    code, out, err = run("train", place / "file.yaml", "--output", tmp_path / "run", *options)
    assert code == 3, out + err
    assert "stopping: running trials save; once more to stop at once" in out
    line = out.splitlines()[-1] if loss == "once" else err.splitlines()[-1]
    assert line.startswith("stopped; continue with:" if loss == "once" else "stopped at once; continue with:")
    assert f"--set 'train.length={{steps: 400}}' --set train.loss.name=interrupting:{loss} --resume" in line
    assert bool(list(tmp_path.glob("run/trials/*/checkpoint/last/COMPLETE"))) == (loss == "once")


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.ray
def test_a_strategy_that_reads_signals_runs_over_ray(place, ray_cluster, tmp_path):
    folder, steps = tmp_path / "run", ("--set", "train.length={steps: 4}")
    code, out, err = run("train", place / "file.yaml", "--strategy", "lexical_diversity", "--output", folder, *steps)
    assert code == 0, out + err
    assert "step 4/4: loss " in out
    trials = raybert.load_sweep(folder).trials
    assert trials[["strategy", "budget", "status"]].values.tolist() == [["lexical_diversity", 64, "complete"]]
    assert raybert.load_sweep(folder).manifest["hardware"]["cluster_cpus"] == 2


@pytest.mark.long
@pytest.mark.slow
def test_a_folder_that_holds_a_run_is_not_trained_over(trained, place, tmp_path):
    before = result_of(trained)
    file = place / "file.yaml"
    cases = [
        ((), "holds a finished run; see it with `raybert evaluate"),
        (("--seed", 1), "holds another run (strategy all, seed 0) than strategy all, seed 1"),
        (("--strategy", "random", "--resume"), "holds another run (strategy all, seed 0) than strategy random"),
        (
            ("--resume", "--set", "train.learning_rate=0.01", "--set", "data.max_length=12"),
            "data.max_length was 16, is 12; train.learning_rate was 0.001, is 0.01; give `output` a new folder",
        ),
        (("--resume", "--set", "selection.budget=20"), "selection.budget was 64, is 20;"),
        (("--resume", "--set", "model.pooling=mean"), "model.pooling was null, is mean;"),
        (("--resume", "--set", "resources.cpus_per_worker=2"), "resources.cpus_per_worker was 1, is 2;"),
    ]
    for options, message in cases:
        code, _, err = run("train", file, "--output", trained, *options)
        assert (code, message in err, err.count("\n")) == (2, True, 1), err
    code, _, err = run("train", file, "--output", tmp_path / "new", "--resume")
    assert (code, "holds no run to resume" in err) == (2, True)
    code, out, _ = run("train", file, "--output", trained, "--resume")
    assert (code, "finished earlier" in out) == (0, True)
    code, out, _ = run("train", file, "--output", trained, "--resume", "--set", "limits.retries=1")
    assert (code, "finished earlier" in out) == (0, True)  # a key that decides nothing about results
    assert result_of(trained) == before


def test_a_finished_run_is_not_resumed_on_other_data_and_names_other_parameters(place, tmp_path):
    data = tmp_path / "mine.csv"
    reviews(80, 3).to_csv(data, index=False)
    file = tmp_path / "file.yaml"
    file.write_text(
        FILE.replace("strategies: [random,", "strategies: [{name: loss_threshold, label: r},").replace(
            "steps: 24", "steps: 2"
        )
        % data
    )
    arguments = ("train", file, "--strategy", "r", "--set", "selection.budget=20", "--output", tmp_path / "run")
    assert run(*arguments)[0] == 0
    other = ("--set", "sweep.strategies=[{name: loss_threshold, label: r, refresh: 2}]", "--resume")
    code, _, err = run(*arguments, *other)
    assert (code, err.count("\n")) == (2, 1)
    assert "another run of strategy loss_threshold, seed 0: refresh was not there, is 2" in err
    reviews(81, 4).to_csv(data, index=False)
    code, _, err = run(*arguments, "--resume")
    assert (code, err.count("\n"), "changed since this folder was begun" in err) == (2, 1, True)


@pytest.mark.long
@pytest.mark.slow
def test_a_failing_run_is_exit_code_5_with_its_reason_and_can_be_tried_again(place, tmp_path, monkeypatch):
    (tmp_path / "loss_beside_the_file.py").write_text(
        "import pathlib\nfrom torch.nn.functional import cross_entropy\n"
        "def loss(logits, labels):\n"
        "    if not pathlib.Path(__file__).with_name('fixed').exists():\n        raise ValueError('not yet')\n"
        "    return cross_entropy(logits, labels, reduction='none')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    options = ("--set", "train.loss.name=loss_beside_the_file:loss", "--output", tmp_path / "run")
    code, out, _ = run("train", place / "file.yaml", *options)
    assert code == 5
    assert "failed: 1 trial, 1 distinct error\nValueError: not yet\n" in out
    assert "again: raybert reproduce " in out
    assert "try again:  raybert train" in out
    (tmp_path / "fixed").touch()
    code, out, err = run("train", place / "file.yaml", *options, "--resume")
    assert code == 0, out + err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "FILE", "--strategy", "al"], "unknown 'al'; did you mean 'all'?"),
        (["train", "FILE", "--set", "resources.gpus_per_worker=1"], "resources.gpus_per_worker: must be 0 where"),
        (["train", "FILE", "--set", "resources.cpus_per_worker=999"], "resources.cpus_per_worker: must be <="),
        (["train", "FILE", "--set", "data.folds=3"], "data.folds: must be left out to select one subset or train one"),
        (["train", "nowhere.yaml"], "nowhere.yaml: no such sweep file"),
        (["evaluate", "nowhere"], "must be a results folder, or the folder of a trial or of a model, does not exist"),
        (["evaluate", "RUN", "--split", "train"], "split: must be one of validation, test"),
        (["evaluate", "RUN", "--data", "nowhere.csv"], "no such file or folder 'nowhere.csv'"),
        (["evaluate", "RUN", "--data", "BAD"], "must hold classes of the model (neg, pos), got ['meh'] (1 of 2 rows)"),
        (["evaluate", "RUN", "--data", "NEW", "--text", "revue"], "no column 'revue'"),
        (["evaluate", "RUN", "--threshold", "2"], "--threshold"),
        (["predict", "RUN", "NEW", "--output", "x.xls"], "output: must end in .parquet, .csv, .jsonl, got 'x.xls'"),
        (["predict", "RUN", "EMPTY", "--output", "x.csv"], "is empty (0 bytes)"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(trained, place, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.csv").write_text("review,mood\na,pos\nb,meh\n")
    (tmp_path / "empty.txt").touch()
    names = {"FILE": place / "file.yaml", "RUN": trained, "NEW": place / "new.csv"}
    names |= {"BAD": tmp_path / "bad.csv", "EMPTY": tmp_path / "empty.txt"}
    code, out, err = run(*(names.get(argument, argument) for argument in arguments))
    assert code == 2, out + err
    assert message in err.replace("\n", " "), err
    assert "Traceback" not in err
    assert not (tmp_path / "x.csv").exists()


@pytest.mark.long
def test_a_model_moved_away_predicts_as_before_without_ray_installed(trained, place, tmp_path):
    shutil.copytree(trained / "best", tmp_path / "model")
    assert run("predict", trained, place / "new.csv", "--output", tmp_path / "here.csv")[0] == 0
    script = """
import sys
class NoRay:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("ray", "optuna"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, NoRay())
from raybert.cli import app
for arguments in (["predict", "model", sys.argv[1], "--output", "there.csv"],
                  ["train", sys.argv[2], "--output", "run", "--set", "train.length={steps: 2}"],
                  ["evaluate", "run", "--resamples", "0"]):
    try:
        app(arguments)
    except SystemExit as ended:
        assert not ended.code, ended.code
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(place / "new.csv"), str(place / "file.yaml")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(raybert.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    here, there = (pd.read_csv(tmp_path / f"{name}.csv") for name in ("here", "there"))
    pd.testing.assert_frame_equal(here, there)
