"""The Python of the README, as a reader would copy it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")


def block(containing: str) -> str:
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    return next(text for text in blocks if containing in text)


def test_selecting_from_own_arrays():
    scope: dict = {}
    exec(block('raybert.select("el2n"'), scope)
    assert len(set(scope["chosen"].tolist())) == 100


def test_the_strategy_of_ones_own_keeps_the_contract_by_the_test_shown(tmp_path):
    (tmp_path / "longest.py").write_text(block("class Longest"))
    (tmp_path / "test_longest.py").write_text(block("from raybert.testing import CHECKS"))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_longest.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "10 passed" in done.stdout


def test_a_package_registers_its_strategies_as_entry_points(monkeypatch):
    from importlib.metadata import EntryPoint

    from raybert import Strategy, selection

    point = EntryPoint("from_a_package", "raybert.selection.strategies:KCenter", "raybert.strategies")
    monkeypatch.setattr("raybert.selection.catalogue.entry_points", lambda group: [point])
    monkeypatch.setattr("raybert.selection.registry.strategies", dict(selection.registry.strategies))
    assert issubclass(selection.find_strategy("from_a_package"), Strategy)
    wrong = EntryPoint("wrong", "raybert.selection:Pool", "raybert.strategies")
    monkeypatch.setattr("raybert.selection.catalogue.entry_points", lambda group: [wrong])
    with pytest.raises(Exception, match=r"raybert\.strategies: 'raybert\.selection:Pool': must be a subclass"):
        selection.find_strategy("wrong")
