"""The layout in the architecture page, and the house as it is."""

from __future__ import annotations

import re

from tests.docs.blocks import blocks_of
from tests.e2e.commands import ROOT

PAGE = ROOT / "docs" / "explanations" / "architecture.md"


def described() -> set[str]:
    """The paths of the layout: two more spaces are one folder deeper."""
    block = next(block for block in blocks_of(PAGE) if block.text.startswith("raybert/"))
    found, parents = set(), list[str]()
    for line in block.text.splitlines():
        indent, name = re.match(r"( *)(\S+)", line).groups()
        parents[len(indent) // 2 :] = [name]
        found.add("".join(parents).rstrip("/"))
    return found


def rooms() -> set[str]:
    """Every package, and the modules of those that have an order inside; at the top all modules."""
    package = ROOT / "raybert"
    packages = {path.parent.relative_to(ROOT).as_posix() for path in package.rglob("__init__.py")}
    return packages | {path.relative_to(ROOT).as_posix() for path in package.glob("*.py")} - {"raybert/__init__.py"}


def test_the_layout_names_every_room_and_nothing_else():
    layout = described()
    assert rooms() - layout == set()
    assert [path for path in sorted(layout) if not (ROOT / path).exists()] == []
