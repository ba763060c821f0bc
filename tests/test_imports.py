import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "raybert"
ORDER = [
    "errors",
    "files",
    "config",
    "data",
    "models",
    "training",
    "selection",
    "testing",
    "sweep",
    "analysis",
    "terminal",
    "cli",
]
MAY_IMPORT_RAY = {"selection/pipeline.py", "training/ddp.py"}
ENTRANCES = {"__init__.py", "__main__.py"}

MODULES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))


def imports_of(module: str) -> set[str]:
    tree = ast.parse((PACKAGE / module).read_text(encoding="utf-8"))
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


@pytest.mark.parametrize("module", [m for m in MODULES if m not in ENTRANCES])
def test_a_room_imports_only_rooms_to_its_left(module):
    room = module.split("/")[0].removesuffix(".py")
    allowed = set(ORDER[: ORDER.index(room) + 1])
    used = {name.split(".")[1] for name in imports_of(module) if name.startswith("raybert.")}
    assert used <= allowed, f"{module} reaches to the right: {sorted(used - allowed)}"


@pytest.mark.parametrize("module", MODULES)
def test_only_the_rooms_named_in_the_design_import_ray(module):
    if module in MAY_IMPORT_RAY or module.startswith("sweep/"):
        return
    assert not {name for name in imports_of(module) if name.split(".")[0] == "ray"}


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
