"""The code blocks of the documentation: collected from Markdown, and run as a reader would run them."""

from __future__ import annotations

import importlib
import os
import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from raybert.config import apply_overrides, load_config, validate_config
from raybert.config.load import read_yaml
from raybert.config.pretraining import load_pretraining
from raybert.sweeping.plan.design import read_design
from tests.e2e.commands import ROOT, run

LANGUAGES = ("bash", "python", "yaml")
_FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,})(?P<language>[\w{}.-]*)")
_MARK = re.compile(r"^ *<!-- (?P<key>file|not run|exit code|ci): (?P<value>.+) -->$")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        page: path of the page, from the root of the repository.
        line: of its first line.
        language: after the fence.
        text: without the fences.
        marks: of the HTML comments right before it: `file` (it is that file's content), `not run` (why), `exit code`
            (of its last command), `ci` (.ci/run runs it).
    """

    page: str
    line: int
    language: str
    text: str
    marks: dict[str, str]

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def is_run(self) -> bool:
        is_known = self.language in LANGUAGES or (self.language == "text" and "file" in self.marks)
        return is_known and not {"not run", "ci"} & self.marks.keys()

    def commands(self) -> list[list[str]]:
        """The command lines of a shell block as words, without comments; those in quotes stand for themselves."""
        lines = self.text.replace("\\\n", " ").splitlines()
        words = [shlex.split(line, comments=True) for line in lines]
        return [found for line in words if line for found in [line, *_quoted(line)]]


def _activated() -> dict[str, str]:
    """Return the environment of a shell in which this Python's virtual environment is active, as pages assume."""
    return {**os.environ, "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])}


def _quoted(words: list[str]) -> list[list[str]]:
    """The commands inside arguments, such as that of `ray exec cluster.yaml 'cd /shared && raybert sweep ...'`."""
    return [part.split() for word in words if " && " in word for part in word.split(" && ")]


def pages() -> list[Path]:
    """The pages that people wrote: README, CONTRIBUTING, and docs/ without what is generated."""
    ignored = subprocess.run(
        ["git", "ls-files", "--others", "--ignored", "--exclude-standard", "docs"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split()
    written = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [page for page in written if page.relative_to(ROOT).as_posix() not in ignored]


def blocks_of(page: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a page in order."""
    name, marks = page.relative_to(ROOT).as_posix(), dict[str, str]()
    lines = iter(enumerate(page.read_text(encoding="utf-8").splitlines(), start=1))
    for number, line in lines:
        if mark := _MARK.match(line):
            marks[mark["key"]] = mark["value"]
        elif opening := _FENCE.match(line):
            content = []
            for _, inner in lines:
                if inner.strip() == opening["fence"]:
                    break
                content.append(inner)
            yield Block(name, number + 1, opening["language"], textwrap.dedent("\n".join(content)) + "\n", marks)
            marks = {}
        elif line.strip():
            marks = {}


@dataclass
class Reader:
    """Somebody who follows one page, block by block, in a folder of their own.

    Attributes:
        folder: the working directory.
        overrides: `--set` of every sweep file that the page writes.
        shorter: part of a command -> what is run in its place.
        variables: of the page's Python.
        done: places of the blocks that it has followed.
    """

    folder: Path
    overrides: tuple[str, ...]
    shorter: Mapping[str, str]
    variables: dict[str, Any] = field(default_factory=lambda: {"__name__": "__main__"})
    done: list[str] = field(default_factory=list)

    def follow(self, blocks: Iterable[Block]) -> None:
        for block in blocks:
            if block.is_run:
                getattr(self, f"_{block.language}")(block)
                self.done.append(block.place)

    def _bash(self, block: Block) -> None:
        lines = block.text.replace("\\\n", " ").splitlines()
        commands = [line for line in lines if shlex.split(line, comments=True)]
        expected = [0] * (len(commands) - 1) + [int(block.marks.get("exit code", 0))]
        for line, code in zip(commands, expected, strict=True):
            for part, replacement in self.shorter.items():
                line = line.replace(part, replacement)
            words = shlex.split(line, comments=True)
            if words[0] == "raybert":
                done = run(*words[1:])
                assert done.code == code, f"{block.place}: {line}\n{done.said}"
            else:
                shell = subprocess.run(
                    ["bash", "-c", line],
                    cwd=self.folder,
                    env=_activated(),
                    capture_output=True,
                    text=True,
                    check=False,
                )
                assert shell.returncode == code, f"{block.place}: {line}\n{shell.stdout}{shell.stderr}"

    def _python(self, block: Block) -> None:
        if "file" in block.marks:
            self._write_module(self.folder / block.marks["file"], block.text)
            return
        exec(compile("\n" * (block.line - 1) + block.text, str(ROOT / block.page), "exec"), self.variables)

    def _write_module(self, path: Path, text: str) -> None:
        import ray  # later than raybert, which sets its environment

        path.write_text(text, encoding="utf-8")
        if not path.name.startswith("test_"):
            # The processes of the shared Ray began elsewhere: they cannot import what lies in this folder.
            ray.cloudpickle.register_pickle_by_value(importlib.import_module(path.stem))

    def _text(self, block: Block) -> None:
        (self.folder / block.marks["file"]).write_text(block.text, encoding="utf-8")

    def _yaml(self, block: Block) -> None:
        path = self.folder / block.marks.get("file", "fragment.yaml")
        path.write_text(block.text, encoding="utf-8")
        if is_pretraining_file(path):
            load_pretraining(path)
            return
        check_file(path, block.place)
        if "file" in block.marks:
            shrink(path, self.overrides)


def is_pretraining_file(path: Path) -> bool:
    """Tell whether a file is one of `raybert tokenizer` and its sisters: these have corpora."""
    return "corpora" in read_yaml(path)


def check_file(path: Path, place: str) -> None:
    """Check a sweep file, or a part of one: all else has a default."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path.parent)
        config = load_config(path)
        design = read_design(config)
        assert design.entries, place
        assert design.variants, place


def shrink(path: Path, overrides: Iterable[str]) -> None:
    """Write a sweep file anew with overrides, its opening comment kept."""
    text = path.read_text(encoding="utf-8")
    comment = "".join(f"{line}\n" for line in text.splitlines() if line.startswith("#"))
    document = apply_overrides(read_yaml(path), overrides)
    validate_config(document)
    path.write_text(comment + yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
