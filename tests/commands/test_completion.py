"""What the shell completes, and that it does not wait for it; what `--help` shows."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click import Command
from rich.console import Console
from typer.main import get_command
from typer.testing import CliRunner

from raybert import cli
from raybert.selection.store import ScoreStore

RUNNER = CliRunner()


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """A folder with sweep files, results, and a score store; it is the working folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("sweep: {strategies: [random, {name: el2n, label: hard_ones}]}")
    (tmp_path / "mixed.yml").write_text("{}")
    (tmp_path / "mine.csv").touch()
    (tmp_path / ".hidden.yaml").touch()
    (tmp_path / "runs/mine").mkdir(parents=True)
    trials = [{"trial_id": name, "strategy": "el2n", "seed": 1, "budget": 9} for name in ("abc123", "abd456", "fff000")]
    (tmp_path / "runs/mine/plan.json").write_text(json.dumps({"trials": trials}))
    for key in ("aa" * 10, "ab" * 10):
        (tmp_path / "store" / key).mkdir(parents=True)
        (tmp_path / "store" / key / "identity.json").write_text(json.dumps({"scorer": "probs", "layers": [1, 2]}))
    return tmp_path


def completed(line: str) -> list[str]:
    """What the shell is told for a command line whose last word is not finished."""
    environment = {"_RAYBERT_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    return RUNNER.invoke(cli.app, [], env=environment, prog_name="raybert").output.split()


@pytest.mark.parametrize(
    ("line", "choices"),
    [
        ("raybert sweep mi", ["mine.yaml", "mixed.yml"]),
        ("raybert plan r", ["runs/"]),
        ("raybert status runs/", ["runs/mine/"]),
        ("raybert ls s", ["sweeps", "strategies", "signals"]),
        ("raybert ls sweeps r", ["runs/"]),
        ("raybert evaluate runs/m", ["runs/mine/"]),
        ("raybert train mine.yaml --strategy ha", ["hard_ones"]),
        ("raybert select mine.yaml --strategy k_", ["k_center"]),
        ("raybert train nowhere.yaml --strategy random_", ["random_as", "random_epoch", "random_stratified"]),
        ("raybert sweep mine.yaml --set train.loss.ga", ["train.loss.gamma="]),
        ("raybert sweep mine.yaml --set train.loss.gamma=", []),
        ("raybert sweep mine.yaml --retry o", ["oom"]),
        ("raybert reproduce runs/mine ab", ["abc123", "abd456"]),
        ("raybert reproduce nowhere ab", []),
        ("raybert explain runs/mine --trial f", ["fff000"]),
        ("raybert evaluate runs/mine --split t", ["train", "test"]),
        ("raybert scores rm --store store aa", ["aa" * 10]),
    ],
)
def test_the_shell_completes(line, choices, place):
    assert completed(line) == choices


@pytest.mark.slow
def test_completing_imports_nothing_slow(place):
    script = """
import sys
from typer.testing import CliRunner
from raybert.cli import app
for line in ("raybert train mine.yaml --strategy e", "raybert sweep m", "raybert sweep mine.yaml --set t",
             "raybert reproduce runs/mine a", "raybert scores rm --store store a"):
    words = {"COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    done = CliRunner().invoke(app, [], env={"_RAYBERT_COMPLETE": "complete_bash", **words}, prog_name="raybert")
    assert done.output, line
print(sorted({"torch", "transformers", "ray", "pandas", "scipy", "sklearn", "matplotlib"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def commands(command: Command, name: tuple[str, ...] = ()):
    yield name, command
    for inner, child in getattr(command, "commands", {}).items():
        yield from commands(child, (*name, inner))


def words_of(text: str) -> str:
    return " ".join(re.sub(r"[│╭╮╰╯─*|]", " ", text.replace("`", "")).split())


@pytest.mark.parametrize(("name", "command"), list(commands(get_command(cli.app))), ids=lambda value: str(value)[:30])
def test_help_shows_every_word_of_every_text(name, command, monkeypatch):
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", 1000)
    shown = words_of(RUNNER.invoke(cli.app, [*name, "--help"], prog_name="raybert").output)
    texts = [command.help or "", command.epilog or "", *(getattr(part, "help", "") or "" for part in command.params)]
    for text in texts:
        for paragraph in text.split("\n\n"):
            assert words_of(paragraph) in shown


def test_help_names_the_folder_of_a_sweep(monkeypatch):
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", 200)
    assert "runs/<name of the sweep>" in RUNNER.invoke(cli.app, ["sweep", "--help"]).output


@pytest.mark.parametrize(("width", "key"), [(80, "a" * 8), (200, "a" * 20)])
def test_a_score_is_a_line_that_fits(width, key, place, monkeypatch):
    entries = [*ScoreStore(place / "store").entries()]
    identity = {
        "scorer": "heldout_probs",
        "encoder": "f" * 64,
        "epochs": 2,
        "runs": ["a" * 12, "b" * 12],
        "batch": 16384,
    }
    entries = [type(entry)(entry.key, identity, 2**25, {"num_rows": 25000, "seconds": 12345.6}) for entry in entries]
    import raybert.terminal.catalogue as catalogue

    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    monkeypatch.setattr(catalogue, "Console", lambda: console)
    catalogue.print_scores(entries, 2**26, Path("store"))
    lines = console.export_text().splitlines()
    assert len(lines) == 4
    assert max(map(len, lines)) <= width
    assert lines[1].split()[:6] == [key, "heldout_probs", "25,000", "32.0", "MiB", "12,345.6"]
    assert "encoder=fff" in lines[1]
