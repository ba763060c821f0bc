"""SECURITY.md: every row of its table names a test, and the test is there."""

import ast
import re

from tests.e2e.commands import ROOT

PAGE = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
ROWS = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in PAGE.splitlines() if line.startswith("| ")]
WHO = ("on the network", "in a data set", "in a model folder", "in a sweep file", "in a results folder")


def test_every_row_names_a_test_that_is_there():
    rows = ROWS[1:]
    assert len(rows) > 30
    for *what, test in rows:
        assert len(what) == 3, what
        path, name = re.fullmatch(r"`(tests/[\w/]+\.py)::(test_\w+)`", test).groups()
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, test


def test_everybody_has_rows():
    assert {row[0] for row in ROWS} > set(WHO)
