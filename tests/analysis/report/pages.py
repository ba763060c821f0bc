"""A results folder whose every name and text tries to be more than text, and its page taken apart."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa

from raybert.analysis import load_sweep
from raybert.analysis.report import Published, report_html
from raybert.analysis.results.estimates import estimate_table
from raybert.analysis.results.examples import shown_examples
from raybert.sweeping.folder.pool_texts import PoolTexts
from tests.analysis.folders import (
    make_spec,
    write_error,
    write_evaluations,
    write_plan,
    write_pool,
    write_pool_scores,
    write_predictions,
    write_resolved,
    write_result,
    write_selection,
)

SCRIPT = "<script>alert(1)</script>"
LINK = "javascript:alert(2)"
IMAGE = "<img src=x onerror=alert(3)>"
RED, TURNED = "\x1b[31mred", "\u202egnp.exe"
LABEL = f'el2n"{SCRIPT}'
N = 40
EMPTY_TAGS = {"meta", "link", "img", "input", "br", "wbr", "path"}


def write_planted(folder: Path, *, seeds: int = 3) -> Path:
    """Write a sweep with planted names, one failed trial, one that is pending."""
    kept = {"all": range(N), "random": range(0, N, 2), LABEL: range(10)}
    specs = []
    for number, (name, chosen) in enumerate(kept.items()):
        for seed in range(seeds):
            specs.append(make_spec(name, seed, len(chosen), pool_size=N, trial_id=f"t{number}{seed}"))
    failed, pending = make_spec("k_center", 0, 10, trial_id="f0"), make_spec("k_center", 1, 10, trial_id="f1")
    write_plan(folder, [*specs, failed, pending], (f"ham {IMAGE}", f"spam {LINK}"))
    (folder / "plan.json").write_text(json.dumps({"name": f"x{SCRIPT}", "trials": [*specs, failed, pending]}))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["data"]["0a1b2c"] |= {"source": f"{IMAGE}.csv", "notes": [f"train: {SCRIPT} {TURNED}"]}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    write_resolved(folder)
    (folder / "sweep.yaml").write_text(f"name: sample  # {SCRIPT}\n")
    for spec in specs:
        write_result(folder, spec, 0.7 + 0.01 * spec["seed"] + 0.1 * (spec["strategy"] == LABEL), notes=IMAGE)
        write_evaluations(folder, spec, [0.5, 0.6])
        write_predictions(folder, spec, [0, 1] * 20, [0, 1] * 20)
        write_selection(folder, spec, kept[spec["strategy"]])
        if spec["strategy"] == LABEL:
            write_pool_scores(folder, spec, np.arange(N, 0, -1))
    write_error(folder, failed, f"ValueError: {SCRIPT} {RED} password=geheim")
    write_pool(folder, [i % 2 for i in range(N)], [5 + i for i in range(N)])
    return folder


def planted_texts() -> PoolTexts:
    """Texts of that pool."""
    texts = [f"{SCRIPT} {IMAGE} {LINK} {RED} {TURNED} number {i}" for i in range(N)]
    return PoolTexts(pa.table({"example_id": [f"e{i}" for i in range(N)], "text": texts}))


def page_of(folder: Path, texts: PoolTexts | None = None) -> str:
    """Return the page of a folder; nothing is written."""
    sweep = load_sweep(folder)
    return report_html(sweep, Published(shown_examples(sweep, texts), estimate_table(sweep)))


@dataclass
class Found(HTMLParser):
    """A page taken apart.

    Attributes:
        tags: every tag with its attributes, in order.
        blocks: contents of `script` and `style`.
        words: the text of everything else.
        rows: of each table, by the id of its caption, the texts of its cells.
        open_tags: not closed yet; must be none in the end.
    """

    html: str
    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    blocks: dict[str, list[str]] = field(default_factory=lambda: {"script": [], "style": []})
    words: str = ""
    rows: dict[str, list[list[str]]] = field(default_factory=dict)
    open_tags: list[str] = field(default_factory=list)
    _table: str = ""

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in EMPTY_TAGS:
            self.open_tags.append(tag)
        if tag == "caption":
            self._table = dict(attrs)["id"]
            self.rows[self._table] = []
        elif tag == "tr":
            self.rows[self._table].append([])
        elif tag in ("td", "th"):
            self.rows[self._table][-1].append("")

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open_tags.pop() == tag

    def handle_data(self, data):
        inside = self.open_tags[-1] if self.open_tags else ""
        if inside in self.blocks:
            self.blocks[inside].append(data)
            return
        self.words += data
        if "td" in self.open_tags or "th" in self.open_tags:
            self.rows[self._table][-1][-1] += data

    def attributes(self, name: str) -> list[str]:
        """Return the values of an attribute, wherever it is."""
        return [str(found[name]) for _, found in self.tags if name in found]

    def policy(self) -> str:
        """Return what the page allows itself."""
        return next(a["content"] for tag, a in self.tags if a.get("http-equiv") == "Content-Security-Policy")


def hash_of(block: str) -> str:
    """Return how a policy names a block."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(block.encode()).digest()).decode()}'"
