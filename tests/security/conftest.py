"""What the security suite shares: a finished folder as somebody else may have changed it, and a trap for code."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.commands import ROOT
from tests.faults.table import fault, faults

__all__ = ["fault", "faults"]

FIXTURES = ROOT / "tests" / "fixtures"
MODULE = "evil_of_somebody"
_TRAP = """
from pathlib import Path
Path({mark!r}).write_text("ran")
from raybert import Strategy, TextSignal

class Strategy(Strategy):
    name = "evil"
    def choose(self, pool, budget):
        raise RuntimeError
def loss(logits, labels):
    raise RuntimeError
"""


@dataclass(frozen=True)
class Trap:
    """A module that leaves a mark when it is imported, in the working folder, in the results, and on the path."""

    mark: Path
    reference: str = f"{MODULE}:Strategy"

    @property
    def has_run(self) -> bool:
        return self.mark.exists()


@pytest.fixture
def foreign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished results folder with models and a search, beside its data; the working folder is the one around it."""
    shutil.copytree(FIXTURES, tmp_path / "downloaded")
    monkeypatch.chdir(tmp_path / "downloaded")
    return tmp_path / "downloaded" / "folder_0_1"


@pytest.fixture
def trap(foreign: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trap]:
    mark = tmp_path / "mark"
    for place in (foreign, foreign.parent, tmp_path / "path"):
        place.mkdir(exist_ok=True)
        (place / f"{MODULE}.py").write_text(_TRAP.format(mark=str(mark)))
    monkeypatch.syspath_prepend(str(tmp_path / "path"))
    before = list(sys.path)
    yield Trap(mark)
    sys.path[:] = before
    sys.modules.pop(MODULE, None)


def edit_json(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change a JSON file as its new owner would."""
    document = json.loads(path.read_text(encoding="utf-8"))
    change(document)
    path.write_text(json.dumps(document), encoding="utf-8")
