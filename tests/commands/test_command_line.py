"""The command line parses and prints: behind each command is the one function of `raybert.commands` that Python calls."""

import inspect
from pathlib import Path

import pytest
from typer.testing import CliRunner

import raybert
from raybert import cli_pretraining, cli_submit, commands, terminal
from raybert.cli import app
from raybert.errors import ExitCode
from raybert.terminal import print_download
from tests.e2e.commands import run

FUNCTIONS = [name for name in commands.__all__ if inspect.isfunction(getattr(commands, name))]
LINES = {
    "sweep f.yaml --output out --set a=1 --set b=2 --address auto --retry oom": (
        "sweep",
        {
            "config": Path("f.yaml"),
            "output": Path("out"),
            "overrides": ["a=1", "b=2"],
            "address": "auto",
            "retry": "oom",
            "progress": "auto",
        },
    ),
    "annotate f.yaml --output out --budget 30 --strategy badge --clusters 4 --set a=1": (
        "annotate",
        {
            "config": Path("f.yaml"),
            "output": Path("out"),
            "budget": 30.0,
            "strategy": "badge",
            "clusters": 4,
            "overrides": ["a=1"],
            "progress": "auto",
        },
    ),
    "sweep f.yaml --dry-run --set a=1": ("plan", {"config": Path("f.yaml"), "overrides": ["a=1"], "probe": False}),
    "train f.yaml --resume-from c --weights-only": (
        "train",
        {"config": Path("f.yaml"), "resume_from": Path("c"), "weights_only": True, "progress": "auto"},
    ),
    "evaluate m --checkpoints --split test --output o": (
        "evaluate_checkpoints",
        {"run": Path("m"), "split": "test", "output": Path("o")},
    ),
    "train f.yaml --strategy el2n --seed 3 --resume": (
        "train",
        {"config": Path("f.yaml"), "strategy": "el2n", "seed": 3, "resume": True, "progress": "auto"},
    ),
    "reproduce runs/x abc --output again": (
        "reproduce",
        {"target": Path("runs/x"), "trial": "abc", "output": Path("again"), "progress": "auto"},
    ),
    "evaluate m --all --output o": ("evaluate_all", {"run": Path("m"), "output": Path("o")}),
    "evaluate m --data d.csv --split train --text a --label b --group c --id d --threshold 0.2 --resamples 5 --output o": (
        "evaluate",
        {
            "model": Path("m"),
            "data": Path("d.csv"),
            "split": "train",
            "text": "a",
            "label": "b",
            "group": "c",
            "id": "d",
            "threshold": 0.2,
            "resamples": 5,
            "output": Path("o"),
        },
    ),
    "predict m texts.txt --output p.csv --text-pair b": (
        "predict",
        {"model": Path("m"), "texts": Path("texts.txt"), "output": Path("p.csv"), "text_pair": "b"},
    ),
    "plan f.yaml --no-probe --output out": (
        "plan",
        {"config": Path("f.yaml"), "output": Path("out"), "probe": False},
    ),
    "plan a-study/resolved.yaml --no-probe": (
        "plan_study",
        {"config": Path("a-study/resolved.yaml"), "probe": False},
    ),
    "doctor --address auto --output o --no-trial": (
        "doctor",
        {"address": "auto", "output": Path("o"), "trial": False, "told": terminal.print_finding},
    ),
    "submit f.yaml --address http://h:8265 --output /shared/x --set a=1 --retry oom": (
        "submit",
        {
            "config": Path("f.yaml"),
            "address": "http://h:8265",
            "output": "/shared/x",
            "overrides": ["a=1"],
            "retry": "oom",
            "told": cli_submit._say_what_is_sent,
        },
    ),
    "submit --attach job --address http://h:8265": (
        "attach",
        {"job_id": "job", "address": "http://h:8265", "told": terminal.echo, "note": terminal.print_note},
    ),
    "validate f.yaml --safe": ("validate", {"config": Path("f.yaml"), "safe": True}),
    "sweep f.yaml --safe": ("sweep", {"config": Path("f.yaml"), "safe": True, "progress": "auto"}),
    "validate f.yaml --set a=1": ("validate", {"config": Path("f.yaml"), "overrides": ["a=1"]}),
    "download f.yaml --set a=1": (
        "download",
        {"config": Path("f.yaml"), "overrides": ["a=1"], "progress": print_download},
    ),
    "render f.yaml": ("render", {"config": Path("f.yaml")}),
    "schema": ("schema", {}),
    "logs runs/x el2n-s0 -n 3": ("logs", {"folder": Path("runs/x"), "trial": "el2n-s0", "lines": 3}),
    "logs runs/x --follow": ("follow_logs", {"folder": Path("runs/x"), "note": terminal.print_note}),
    "select f.yaml --strategy random --output s.csv --budget 0.2 --seed 4": (
        "select_subset",
        {
            "config": Path("f.yaml"),
            "strategy": "random",
            "output": Path("s.csv"),
            "budget": "0.2",
            "seed": 4,
            "progress": "auto",
        },
    ),
    "scores ls --store s": ("list_scores", {"store": Path("s")}),
    "scores rm abc def": ("remove_scores", {"keys": ["abc", "def"]}),
    "scores rm --all": ("remove_scores", {"everything": True}),
    "results runs/x --format latex --metric loss": ("results", {"folder": Path("runs/x")}),
    "compare a b --metric loss --output o": (
        "compare",
        {"folders": [Path("a"), Path("b")], "metric": "loss", "output": Path("o")},
    ),
    "cache ls": ("list_cache", {}),
    "cache clear tokens scores": ("clear_cache", {"parts": ["tokens", "scores"]}),
    "cache clear --all": ("clear_cache", {"everything": True}),
    "report runs/x --watch --every 5": (
        "watch_report",
        {"folder": Path("runs/x"), "every_seconds": 5.0, "note": terminal.print_note},
    ),
    "track runs/x --to mlflow --set track.mlflow.experiment=x --trust": (
        "track",
        {
            "folder": Path("runs/x"),
            "to": ["mlflow"],
            "overrides": ["track.mlflow.experiment=x"],
            "trust": True,
            "note": terminal.print_note,
        },
    ),
    "report runs/x": ("report", {"folder": Path("runs/x"), "pairs": []}),
    "report runs/x --projection umap": ("report", {"folder": Path("runs/x"), "projection": "umap", "pairs": []}),
    "report a-study": ("report_study", {"folder": Path("a-study")}),
    "tokenizer p.yaml --output t": ("tokenizer", {"config": Path("p.yaml"), "output": Path("t")}),
    "pretrain p.yaml --corpus a --corpus b --seed 1 --json": (
        "pretrain",
        {"config": Path("p.yaml"), "corpora": ["a", "b"], "seeds": [1], "progress": "stderr"},
    ),
    "study p.yaml --address auto --json": (
        "study",
        {"config": Path("p.yaml"), "address": "auto", "progress": "stderr", "told": cli_pretraining._say},
    ),
    "crosseval p.yaml --set a=1": (
        "crosseval",
        {"config": Path("p.yaml"), "overrides": ["a=1"], "told": cli_pretraining._say},
    ),
    "probe p.yaml --output o": (
        "probe",
        {"config": Path("p.yaml"), "output": Path("o"), "told": cli_pretraining._say},
    ),
    "train f.yaml --json": ("train", {"config": Path("f.yaml"), "progress": "stderr"}),
    "sweep f.yaml --json": ("sweep", {"config": Path("f.yaml"), "progress": "stderr"}),
    "status runs/x --json": ("status", {"folder": Path("runs/x")}),
    "pause runs/x": ("pause", {"folder": Path("runs/x")}),
    "resume runs/x": ("resume", {"folder": Path("runs/x")}),
    "stop runs/x": ("stop", {"folder": Path("runs/x")}),
    "cancel runs/x": ("cancel", {"folder": Path("runs/x")}),
    "explain runs/x --split train --document 3 --chunks 4 --trial abc": (
        "explain",
        {"folder": Path("runs/x"), "split": "train", "documents": [3], "chunks": 4, "trial": "abc"},
    ),
    "explain runs/x --given one --given two --layer 1 --plots p": (
        "explain",
        {"folder": Path("runs/x"), "texts": ["one", "two"], "layer": 1, "plots": Path("p")},
    ),
    "ls sweeps": ("list_sweeps", {"folder": Path("runs")}),
    "ls": ("list_sweeps", {"folder": Path("runs")}),
    "ls elsewhere": ("list_sweeps", {"folder": Path("elsewhere")}),
    "ls strategies": ("list_strategies", {}),
    "ls signals": ("list_signals", {}),
}


class Called(Exception):
    """Raised in place of what a command does."""


@pytest.mark.parametrize("line", LINES)
def test_a_command_is_a_call_of_its_function(line, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a-study").mkdir()
    (tmp_path / "a-study" / "resolved.yaml").write_text("corpora: {a: docstrings}")

    def stand_in(name):
        signature = inspect.signature(getattr(commands, name))
        defaults = {key: parameter.default for key, parameter in signature.parameters.items()}

        def call(*args, **kwargs):
            given = signature.bind(*args, **kwargs).arguments
            raise Called(name, {key: value for key, value in given.items() if value != defaults[key]})

        return call

    expected, wanted = LINES[line]
    for name in FUNCTIONS:
        monkeypatch.setattr(commands, name, stand_in(name))
    ended = CliRunner().invoke(app, line.split())
    assert isinstance(ended.exception, Called), ended.output
    assert ended.exception.args == (expected, wanted)


def test_every_function_is_behind_a_command_and_of_the_package():
    assert {name for name, _ in LINES.values()} == set(FUNCTIONS)
    for name in FUNCTIONS:
        assert getattr(raybert, name) is getattr(commands, name)


@pytest.mark.parametrize("arguments", [["--version"], ["--version", "sweep"]])
def test_the_version_is_one_line(arguments):
    ended = CliRunner().invoke(app, arguments)
    assert (ended.exit_code, ended.output) == (0, f"raybert {raybert.__version__}\n")


@pytest.mark.parametrize(
    ("line", "function", "said"),
    [
        ("sweep f.yaml --output out", "sweep", "stopped at once; continue with:  raybert sweep f.yaml --output out"),
        ("train f.yaml", "train", "stopped at once; continue with:  raybert train f.yaml --resume"),
        ("ls strategies", "list_strategies", "stopped at once"),
        ("predict model texts.txt --output p.csv", "predict", "stopped at once"),
    ],
)
def test_ctrl_c_names_a_command_to_continue_where_there_is_one(line, function, said, monkeypatch):
    def cancelled(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, function, cancelled)
    done = run(*line.split())
    assert done.code == ExitCode.INTERRUPTED
    assert done.err.splitlines()[-1] == said
