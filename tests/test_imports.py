"""The house: rooms import downwards only, nothing imports in a circle, and heavy libraries stay in their rooms."""

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "raybert"
BOTTOM = [
    "plain",
    "errors",
    "version",
    "machine",
    "lazy",
    "polling",
    "refusals",
    "durable",
    "private_folders",
    "files",
    "links",
    "locks",
    "passwords",
    "storage",
    "display",
    "config",
    "tables",
]
ORDER = [
    BOTTOM,
    ["data", "models"],
    ["training"],
    ["selection"],
    ["pretraining"],  # below sweeping, which may train encoders first; its statistics and plots are in analysis
    ["losses", "metrics", "folds", "fitting"],
    ["testing"],
    ["sweeping"],
    ["analysis"],
    ["evaluation"],
    ["annotation"],
    ["tracking"],
    ["terminal", "commands"],
    [
        "cli_completion",
        "cli_options",
        "cli_annotation",
        "cli_cache",
        "cli_models",
        "cli_planning",
        "cli_pretraining",
        "cli_results",
        "cli_running",
        "cli_submit",
        "cli",
    ],
]
ORDER_IN = {
    " ".join(BOTTOM): BOTTOM,
    "data models": ["data", "models"],
    "terminal commands": ["terminal", "commands"],
    "cli_options cli": [
        "cli_completion",
        "cli_options",
        "cli_annotation",
        "cli_cache",
        "cli_models",
        "cli_planning",
        "cli_pretraining",
        "cli_results",
        "cli_running",
        "cli",
    ],
    "sweeping": [
        "plan",
        "folder",
        "first_look",
        "downloads",
        "storage",
        "driver",
        "trial",
        "cluster",
        "phases",
        "search",
        "estimate",
        "doctor",
        "submit",
        "runner",
        "preview",
        "single",
        "study",
        "preview_study",
    ],
    "tracking": [
        "tracker",
        "book",
        "news",
        "delivery",
        "credentials",
        "to_mlflow",
        "to_wandb",
        "to_trackio",
        "to_clearml",
        "to_tensorboard",
        "libraries",
        "child",
        "remote",
        "makers",
        "courier",
        "follow",
    ],
    "analysis": [
        "plot_formats",
        "markdown",
        "latex",
        "statistics",
        "search",
        "results",
        "plots",
        "model_card",
        "report",
        "strategy_pictures",
        "publish_pairs",
        "publish",
        "watch",
        "publish_compared",
    ],
}
HEAVY = {"torch", "transformers", "scipy", "sklearn", "pandas", "pyarrow", "ray", "optuna", "matplotlib", "datasets"}
MAY_IMPORT_RAY = (
    "selection/pipeline.py",  # Ray Data streams the pool through scorers, which know of no sweep
    "training/process_group.py",  # how the workers of a run find each other
    "training/ddp.py",  # Ray Train runs `fit` on several workers, which knows of no sweep either
    "sweeping/cluster/",
    "sweeping/doctor/examine.py",  # looks at every node
    "sweeping/submit/jobs.py",  # sends jobs to a cluster
    "sweeping/search/tune.py",  # Tune's searcher and scheduler of a search, which `cluster`, lying below it, cannot know
)
ON_FIRST_USE = ["raybert.data", "raybert.models", "raybert.training"]
DISTRIBUTIONS = {
    "PIL": "pillow",
    "faiss": "faiss-cpu",
    "huggingface_hub": "huggingface-hub",
    "mlflow": "mlflow-skinny",
    "sklearn": "scikit-learn",
    "umap": "umap-learn",
    "yaml": "pyyaml",
}
"""Of packages that are imported by another name."""
ENTRANCES = {"__init__.py", "__main__.py"}

MODULES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))
NAMES = {
    f"raybert/{module}".removesuffix(".py").removesuffix("/__init__").replace("/", "."): module for module in MODULES
}


@cache
def imports_of(module: str) -> frozenset[str]:
    """What a module imports, wherever the statement stands, typing imports included; `from package import module` too."""
    names = set()
    for node in ast.walk(ast.parse((PACKAGE / module).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= inside & NAMES.keys() or {node.module}
            names |= {node.module} if inside - NAMES.keys() else set()
    return frozenset(names)


def room_of(name: str, depth: int = 1) -> str | None:
    parts = name.split(".")
    return parts[depth] if len(parts) > depth else None


def upward(order: list[str], module: str, used: frozenset[str], depth: int, prefix: str = "raybert.") -> list[str]:
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
    order = list(TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle
    assert sorted(order) == sorted(NAMES)


@pytest.mark.parametrize("module", MODULES)
def test_only_the_rooms_named_in_the_design_import_ray(module):
    if not module.startswith(MAY_IMPORT_RAY):
        assert not {name for name in imports_of(module) if name.split(".")[0] == "ray"}


@pytest.mark.parametrize("module", MODULES)
def test_only_the_terminal_and_the_command_line_import_rich(module):
    if not module.startswith(("terminal/", "cli")):
        assert not {name for name in imports_of(module) if name.split(".")[0] in ("rich", "typer")}


@pytest.mark.slow
def test_what_is_imported_is_what_is_declared():
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {distribution_of(requirement) for requirement in project["dependencies"]}
    extras = {
        distribution_of(one) for name, some in project["optional-dependencies"].items() for one in some if name != "dev"
    }
    always, guarded = set(), set()
    for module in MODULES:
        tree = ast.parse((PACKAGE / module).read_text(encoding="utf-8"))
        tried = {name for node in ast.walk(tree) if expects_absence(node) for name in third_parties(node)}
        guarded |= tried
        always |= third_parties(tree) - tried
    assert always - declared == set()
    assert declared - always - guarded == set()
    assert guarded - declared - always <= extras


def expects_absence(node: ast.AST) -> bool:
    """Whether a statement says what is done where something cannot be imported."""
    return isinstance(node, ast.Try) and any("ImportError" in ast.dump(handler) for handler in node.handlers)


def distribution_of(requirement: str) -> str:
    return re.match(r"[\w-]+", requirement)[0].lower()


def third_parties(tree: ast.AST) -> set[str]:
    """The distributions whose packages are imported below a node."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    foreign = names - sys.stdlib_module_names - {"raybert"}
    return {DISTRIBUTIONS.get(name, name) for name in foreign}


@pytest.mark.slow
def test_trials_train_and_select_where_ray_is_not_installed_with_all_they_need_imported_before():
    """Packages and strategies import their parts on first use: in a trial that would be in the middle of a timed step."""
    on_first_use = {used for name in ON_FIRST_USE for used in imports_of(NAMES[name]) if used.startswith(name)}
    maths = {
        used for name in NAMES if ".strategies." in name for used in imports_of(NAMES[name]) if "geometry." in used
    }
    script = f"""
import sys
class NoRay:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("ray", "optuna", "typer"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, NoRay())
import raybert.sweeping.cluster.warm_imports
print(sorted({on_first_use | maths} - set(sys.modules)))
import numpy as np
import raybert, raybert.selection.schedule, raybert.selection.scorers.models
probs = np.random.default_rng(0).dirichlet(np.ones(3), 50)
print(len(raybert.select("el2n", 10, labels=np.arange(50) % 3, probs=probs).positions))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["[]", "10"], done.stderr


@pytest.mark.slow
def test_what_only_reads_a_sweep_file_or_lists_imports_nothing_heavy():
    """`--help`, `validate`, `ls`, `scores ls`, `cache ls`, and all that a plan is made of; plots do not wait for torch."""
    plan = [name for name in NAMES if name.startswith("raybert.sweeping.plan.")]
    script = f"""
import importlib, sys
from typer.testing import CliRunner
from raybert.cli import app
for command in (["--help"], ["validate", "sweeps/tune.yaml"], ["ls", "strategies"], ["ls", "signals"], ["scores", "ls"],
                ["cache", "ls"]):
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0 and len(done.output.splitlines()) > 0, (command, done.output, done.exception)
for name in {plan}:
    importlib.import_module(name)
print(sorted({HEAVY} & set(sys.modules)))
import raybert.analysis.plots
print(sorted({{'torch', 'sklearn'}} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=PACKAGE.parent
    )
    assert done.stdout.split() == ["[]", "[]"], done.stderr


@pytest.mark.parametrize("package", ["raybert", "raybert.terminal", *ON_FIRST_USE])
def test_names_that_are_imported_on_first_use_are_those_of_the_typing_imports(package):
    module = importlib.import_module(package)
    typed = {
        alias.name: node.module
        for node in ast.walk(ast.parse((PACKAGE / NAMES[package]).read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(package + ".")
        for alias in node.names
        if alias.name != "names_on_first_use"
    }
    assert sorted(typed) == sorted(module.__all__)
    for name, home in typed.items():
        assert getattr(module, name) is getattr(importlib.import_module(home), name)
        assert f"{package}.{name}" not in NAMES, "the module would take the place of the name"
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'nothing'"):
        _ = module.nothing


@pytest.mark.parametrize(
    "name", sorted(path.stem for path in (PACKAGE.parent / "tests" / "benchmarks").glob("[a-z]*.py"))
)
def test_every_benchmark_can_be_found_as_the_documentation_runs_it(name):
    assert importlib.import_module(f"tests.benchmarks.{name}").__doc__
