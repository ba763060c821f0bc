"""What the code is like, in numbers: rooms, import circles, arrows against the order, lengths, start-up times.

    python tests/evidence/measure_code.py ROOT [--no-times]

Imports count wherever they stand: at the top, inside functions, under `TYPE_CHECKING`, and as `import_module("...")`.
"""

from __future__ import annotations

import argparse
import ast
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np

ORDER = (
    ("errors", "version", "lazy", "polling", "files", "display", "config", "tables"),
    ("data", "models"),
    ("training",),
    ("selection",),
    ("pretraining",),
    ("testing",),
    ("sweep", "sweeping"),
    ("analysis",),
    ("evaluation",),
    ("terminal", "commands"),
    ("cli_options", "cli"),
)
"""Rooms from left to right (HOUSE.md); those that stand together may import each other. A module imports to its left."""

COMMANDS = (
    ("-m", "raybert", "--help"),
    ("-m", "raybert", "validate", "sweeps/strategies.yaml"),
    ("-m", "raybert", "ls", "strategies"),
    ("-m", "raybert", "scores", "ls"),
    ("-c", "import raybert"),
)


def find_modules(root: Path) -> dict[str, Path]:
    """Return dotted name -> file of all modules of the package."""
    modules = {}
    for path in sorted((root / "raybert").rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return modules


def imports_of(name: str, path: Path, modules: Iterable[str]) -> set[str]:
    """Return the modules of the package that a module imports; `from package import name` is of the module `name`, if any."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base] if base else above)
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                found.add(inner if inner in modules else base)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            found |= {argument.value for argument in node.args[:1] if isinstance(argument, ast.Constant)}
    return {module for module in found if module in modules and module != name}


def find_circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Return the strongly connected components of more than one module, largest first (Tarjan)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    circles = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(graph[node]):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            members = []
            while not members or members[-1] != node:
                members.append(stack.pop())
            if len(members) > 1:
                circles.append(sorted(members))

    sys.setrecursionlimit(10_000)
    for node in sorted(graph):
        if node not in index:
            visit(node)
    return sorted(circles, key=len, reverse=True)


def room_of(module: str) -> str | None:
    """Return the first-level package or module; None: the package itself and its entrance."""
    parts = module.split(".")
    return None if len(parts) < 2 or parts[1] == "__main__" else parts[1]


def folder_of(module: str, path: Path) -> str:
    """Return the package that a module is in; a module beside the rooms is one itself."""
    return module if path.name == "__init__.py" or module.count(".") == 1 else module.rpartition(".")[0]


def count_lines(path: Path) -> int:
    """Return the lines of a file."""
    return len(path.read_text(encoding="utf-8").splitlines())


def bodies_of(path: Path) -> list[tuple[int, str]]:
    """Return the lines of every function's body, without its docstring, and its name."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body
            length = body[-1].end_lineno - body[0].lineno + 1 if body else 0
            found.append((length, f"{path.name}:{node.name}"))
    return found


def print_rooms(modules: dict[str, Path]) -> None:
    """Print modules and lines of the first-level rooms, and of the rooms inside them."""
    rooms, inner = Counter(), Counter()
    lines: Counter[str] = Counter()
    for name, path in modules.items():
        parts = name.split(".") + (["__init__"] if path.name == "__init__.py" else [])
        room = parts[1] if len(parts) > 1 else "__init__"
        rooms[room] += 1
        lines[room] += count_lines(path)
        if len(parts) > 3:
            inner[f"{parts[1]}/{parts[2]}"] += 1
            lines[f"{parts[1]}/{parts[2]}"] += count_lines(path)
        elif len(parts) == 3:
            inner[f"{parts[1]}/ (flat)"] += 1
            lines[f"{parts[1]}/ (flat)"] += count_lines(path)
    print(f"modules: {len(modules)}")
    for room, count in sorted(rooms.items(), key=lambda item: -lines[item[0]]):
        print(f"  {room:28} {count:4} modules {lines[room]:6} lines")
        for name, number in sorted(inner.items()):
            if name.startswith(f"{room}/"):
                print(f"    {name:26} {number:4} modules {lines[name]:6} lines")


def print_graph(modules: dict[str, Path]) -> None:
    """Print circles, arrows against the order, and pairs of rooms of one level that import each other."""
    graph = {name: imports_of(name, path, modules) for name, path in modules.items()}
    print(f"import arrows: {sum(map(len, graph.values()))}")
    inside = {name: others - {"raybert"} for name, others in graph.items() if name != "raybert"}
    for what, arrows in (("import circles", inside), ("with raybert/__init__.py", graph)):
        circles = find_circles(arrows)
        print(f"{what}: {len(circles)}, with {sum(map(len, circles))} modules in them")
        for circle in circles:
            print(f"  {len(circle)}: {', '.join(name.removeprefix('raybert.') for name in circle)}")
    packages = defaultdict(set)
    for name, others in inside.items():
        for other in others:
            here, there = (folder_of(module, modules[module]) for module in (name, other))
            if here != there:
                packages[here].add(there)
    for package in {other for others in packages.values() for other in others}:
        packages.setdefault(package, set())
    folders = find_circles({key: set(value) for key, value in packages.items()})
    print(f"circles of folders: {len(folders)}")
    for circle in folders:
        print(f"  {len(circle)}: {', '.join(circle)}")
    level = {room: number for number, rooms in enumerate(ORDER) for room in rooms}
    upward = []
    for name, others in graph.items():
        room = room_of(name)
        for other in sorted(others):
            target = room_of(other)
            if room is not None and target is not None and level.get(target, -1) > level.get(room, -1):
                upward.append(f"{name} -> {other}")
    unknown = sorted({str(room_of(name)) for name in modules} - level.keys() - {"None"})
    print(
        f"arrows to the right of the order: {len(upward)}{'; rooms without a place: ' * bool(unknown)}{', '.join(unknown)}"
    )
    for arrow in upward:
        print(f"  {arrow}")


def print_lengths(root: Path, modules: dict[str, Path]) -> None:
    """Print the lengths of modules and of function bodies, and the lines of all."""
    lengths = sorted((count_lines(path), name) for name, path in modules.items())
    numbers = [length for length, _ in lengths]
    print(
        f"lines of a module: median {np.median(numbers):.0f}, 90 % {np.percentile(numbers, 90):.0f}, longest "
        + ", ".join(f"{name.removeprefix('raybert.')} {length}" for length, name in reversed(lengths[-5:]))
    )
    bodies = sorted(body for path in modules.values() for body in bodies_of(path))
    numbers = [length for length, _ in bodies]
    print(
        f"lines of a function body ({len(bodies)}): median {np.median(numbers):.0f}, 90 % "
        f"{np.percentile(numbers, 90):.0f}, longest "
        + ", ".join(f"{name} {length}" for length, name in reversed(bodies[-8:]))
    )
    for folder in ("raybert", "tests"):
        files = sorted((root / folder).rglob("*.py"))
        print(f"{folder}/: {sum(map(count_lines, files))} lines in {len(files)} files")


def print_times(root: Path) -> None:
    """Print seconds of some commands with an empty cache: by the clock, and of computing, which others disturb less."""
    print("best of 3: seconds, CPU seconds")
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "PYTHONPATH": str(root), "RAYBERT_CACHE": cache, "HF_HUB_OFFLINE": "1"}
        for command in COMMANDS:
            seconds, computing, code = [], [], 0
            for _ in range(3):
                began, used = time.perf_counter(), _children_seconds()
                line = [sys.executable, *command]
                code = subprocess.run(line, cwd=root, env=environment, capture_output=True, check=False).returncode
                seconds.append(time.perf_counter() - began)
                computing.append(_children_seconds() - used)
            words = " ".join(command) + (f"  exit code {code}" if code else "")
            print(f"  {min(seconds):6.2f} {min(computing):6.2f}  {words}")
    print(f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")


def _children_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="checkout")
    parser.add_argument("--no-times", action="store_true", help="leave out what a busy machine falsifies")
    given = parser.parse_args()
    root = given.root.resolve()
    modules = find_modules(root)
    print_rooms(modules)
    print_graph(modules)
    print_lengths(root, modules)
    if not given.no_times:
        print_times(root)


if __name__ == "__main__":
    main()
