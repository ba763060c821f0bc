"""The house: rooms import downwards only, nothing imports in a circle, and heavy libraries stay in their rooms."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "raybert"
ORDER = [
    ["errors", "version", "files", "config"],
    ["data", "models"],
    ["training"],
    ["selection"],
    ["testing"],
    ["sweeping"],
    ["analysis"],
    ["evaluation"],
    ["terminal", "commands"],
    ["cli"],
]
ORDER_IN = {
    "errors version files config": ["errors", "version", "files", "config"],
    "data models": ["data", "models"],
    "terminal commands": ["terminal", "commands"],
    "sweeping": ["plan", "folder", "driver", "trial", "cluster", "phases", "search", "estimate", "runner", "single"],
    "analysis": ["statistics", "search", "results", "plots", "model_card", "publish"],
}
MAY_IMPORT_RAY = ("selection/pipeline.py", "training/ddp.py", "sweeping/")
ENTRANCES = {"__init__.py", "__main__.py"}

MODULES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))
NAMES = {
    f"raybert/{module}".removesuffix(".py").removesuffix("/__init__").replace("/", "."): module for module in MODULES
}


def imports_of(module: str) -> set[str]:
    """What a module imports, wherever the statement stands, typing imports included; `from package import module` too."""
    names = set()
    for node in ast.walk(ast.parse((PACKAGE / module).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= inside & NAMES.keys() or {node.module}
            names |= {node.module} if inside - NAMES.keys() else set()
    return names


def room_of(name: str, depth: int = 1) -> str | None:
    parts = name.split(".")
    return parts[depth] if len(parts) > depth else None


def upward(order: list[str], module: str, used: set[str], depth: int, prefix: str = "raybert.") -> list[str]:
    """The imports of a module that lie in a later room than its own."""
    own = room_of(f"raybert/{module}".removesuffix(".py").replace("/", "."), depth)
    if own not in order:
        return []
    later = order[order.index(own) + 1 :]
    return sorted(name for name in used if name.startswith(prefix) and room_of(name, depth) in later)


@pytest.mark.parametrize("module", [m for m in MODULES if m not in ENTRANCES])
def test_a_room_imports_only_rooms_below_it(module):
    room = module.split("/")[0].removesuffix(".py")
    order = [name for floor in ORDER for name in floor]
    assert room in order, f"{module}: which room is it in?"
    assert not upward(order, module, imports_of(module), 1)
    if room in ORDER_IN:
        assert not upward(ORDER_IN[room], module, imports_of(module), 2, f"raybert.{room}.")


@pytest.mark.parametrize("room", [room for room in ORDER_IN if " " not in room])
def test_every_module_of_a_room_with_an_order_has_its_place_in_it(room):
    inside = {path.name.removesuffix(".py") for path in (PACKAGE / room).iterdir() if not path.name.startswith("__")}
    assert inside == set(ORDER_IN[room])


def test_no_module_imports_itself_in_a_circle():
    graph = {
        name: {used for used in imports_of(module) if used in NAMES and used != name} for name, module in NAMES.items()
    }
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize("module", MODULES)
def test_only_the_rooms_named_in_the_design_import_ray(module):
    if not module.startswith(MAY_IMPORT_RAY):
        assert not {name for name in imports_of(module) if name.split(".")[0] == "ray"}


@pytest.mark.parametrize("module", MODULES)
def test_only_the_terminal_and_the_command_line_import_rich(module):
    if not module.startswith(("terminal/", "cli.py")):
        assert not {name for name in imports_of(module) if name.split(".")[0] in ("rich", "typer")}


def test_training_and_selection_run_where_ray_is_not_installed():
    script = """
import sys
class NoRay:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("ray", "optuna", "typer"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, NoRay())
import numpy as np
import raybert, raybert.data, raybert.models, raybert.training, raybert.selection.schedule, raybert.selection.scorers.models
probs = np.random.default_rng(0).dirichlet(np.ones(3), 50)
print(len(raybert.select("el2n", 10, labels=np.arange(50) % 3, probs=probs).positions))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "10", done.stderr


def test_the_package_itself_imports_nothing_heavy():
    script = "import sys, raybert.cli; print(sorted({'torch', 'ray', 'transformers', 'pandas'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
