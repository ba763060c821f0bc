"""What the results are of: data, configuration, versions, and how to have them again."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from raybert.analysis.report.layout import Block, Cell, Head, PageRow, PageTable, Section, plain_number
from raybert.analysis.results.sweep import Sweep
from raybert.plain import hide

_MOST_LETTERS = 60_000
_MOST_CLASSES = 200
_MOST_TABLES = 3
_SPLITS = ("train", "validation", "test")


def data_section(sweep: Sweep) -> Section:
    """Return what the data are: of each source the first data set, and how many more there are of it, as of folds."""
    words: list[str] = []
    tables: list[PageTable] = []
    sources: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for described in (sweep.manifest.get("data") or {}).values():
        sources.setdefault((str(described.get("source")), str(described.get("encoder"))), []).append(described)
    for number, same in enumerate(sources.values()):
        words += _data_lines(same[0])
        if len(same) > 1:
            words.append(f"{len(same) - 1:,} more of this source, as folds or other keys of data make: manifest.json.")
        if len(tables) < _MOST_TABLES:
            table = _classes(number, same[0], f" of {hide(str(same[0].get('source')))}" if len(sources) > 1 else "")
            tables += [table] if table.rows else []
    return Section("data", "Data", tuple(words), tables=tuple(tables))


def _data_lines(described: Mapping[str, Any]) -> Iterator[str]:
    source = hide(str(described.get("source", "unknown")))
    details = described.get("details") or {}
    rows = details.get("rows") if isinstance(details.get("rows"), dict) else {}
    counts = ", ".join(f"{count:,} {split}" for split, count in (rows or {}).items() if isinstance(count, int))
    cut = [str(split) for split in _listed(details.get("cut_from_train"))]
    tail = f"; {' and '.join(cut)} cut from train" if cut else ""
    yield f"Source {source}, read with {described.get('encoder', 'an encoder that is not known')}" + (
        f": {counts} examples{tail}." if counts else "."
    )
    for note in _listed(described.get("notes")):
        yield f"Note: {note}."
    if described.get("fingerprint"):
        yield f"Fingerprint of texts, labels, splits and word pieces: {described['fingerprint']}."


def _classes(number: int, described: Mapping[str, Any], of_which: str) -> PageTable:
    noun, caption, counts = _counted(described.get("details") or {})
    splits = [split for split in _SPLITS if isinstance(counts.get(split), dict)]
    names = list(dict.fromkeys(name for split in splits for name in counts[split]))
    rows = tuple(
        PageRow((Cell(str(name)), *(_count(counts[split].get(name)) for split in splits)))
        for name in names[:_MOST_CLASSES]
    )
    hidden = len(names) - len(rows)
    left_out = f"{hidden:,} more are in manifest.json." if hidden else ""
    heads = (Head(noun), *(Head(split, "number") for split in splits))
    return PageTable(
        f"table-classes-{number}",
        f"{caption}{of_which}.",
        heads,
        rows,
        left_out=left_out,
        is_tall=len(rows) > 12,
    )


def _counted(details: Mapping[str, Any]) -> tuple[str, str, Mapping[str, Any]]:
    """Return what examples are counted by, a caption, and split -> name -> count."""
    found, strata, means = (details.get(name) for name in ("class_counts", "strata", "output_means"))
    if isinstance(found, dict):
        return "class", "Examples of each class", found
    rows = details.get("rows")
    if isinstance(means, dict) and isinstance(rows, dict) and any(len(_mapped(own)) > 1 for own in means.values()):
        labels = {
            split: {name: round(share * rows[split]) for name, share in own.items() if isinstance(share, float)}
            for split, own in means.items()
            if isinstance(own, dict) and isinstance(rows.get(split), int)
        }
        return "label", "Examples that have each label, any number of them", labels
    return "range", "Examples in each range of numbers", strata if isinstance(strata, dict) else {}


def _mapped(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _listed(value: Any) -> list[Any]:
    """Return a list of a manifest; what another program wrote there is passed by."""
    return value if isinstance(value, list) else []


def _count(value: Any) -> Cell:
    return plain_number(value) if isinstance(value, int) else Cell("", "")


def configuration_section(folder: Path) -> Section:
    """Return the sweep file as it was given, and with every key."""
    files = (
        ("sweep.yaml", "sweep.yaml: the file as it was given"),
        ("resolved.yaml", "resolved.yaml: with every key"),
    )
    blocks = [
        Block(title, _cut(hide((folder / name).read_text(encoding="utf-8", errors="replace")), name))
        for name, title in files
        if (folder / name).is_file()
    ]
    return Section("configuration", "Configuration", blocks=tuple(blocks))


def versions_section(sweep: Sweep) -> Section:
    """Return what it ran on."""
    manifest = sweep.manifest
    known = {"python": manifest.get("python"), **(manifest.get("versions") or {}), "git": manifest.get("git")}
    hardware = {f"hardware: {name}": value for name, value in (manifest.get("hardware") or {}).items()}
    rows = [
        PageRow((Cell(str(name).replace("_", " ")), Cell(hide(str(value)))))
        for name, value in {**known, **hardware, "begun": manifest.get("written")}.items()
        if value is not None
    ]
    ran = [
        f"{line.get('num_runs')} runs on {line.get('device')}, {line.get('precision')}, "
        f"attention {line.get('attention')}"
        for line in _listed(manifest.get("trained_on"))
        if isinstance(line, dict)
    ]
    table = PageTable("table-versions", "What it ran with and on.", (Head("what"), Head("value", "long")), tuple(rows))
    words = (f"Trained: {'; '.join(ran)}.",) if ran else ()
    blocks = (Block("versions and hardware", table=table),) if rows else ()
    return Section("versions", "Versions", words, blocks=blocks)


def reproduce_section(sweep: Sweep) -> Section:
    """Return the commands that have the results again."""
    folder = shlex.quote(str(sweep.folder))
    versions = sweep.manifest.get("versions") or {}
    pins = [f"{name}=={version}" for name, version in versions.items() if version]
    finished = sweep.comparable_trials()["trial_id"]
    first = str(next(iter(sweep.best_trials or list(finished)), "TRIAL"))
    lines = [
        *(
            ["# the versions that it ran with", f"pip install {' '.join(shlex.quote(pin) for pin in pins)}", ""]
            if pins
            else []
        ),
        *_everything(sweep.folder),
        "# one trial (the best by validation, or any of the table of trials), compared with this one bit by bit",
        f"raybert reproduce {folder} {shlex.quote(first)}",
        "",
        "# this page, the tables and the plots, from what the trials left",
        f"raybert report {folder}",
    ]
    return Section("reproduce", "How to reproduce", blocks=(Block("commands", "\n".join(lines), is_open=True),))


def _everything(folder: Path) -> list[str]:
    if not (folder / "resolved.yaml").is_file():
        return []
    command = f"raybert sweep {shlex.quote(str(folder / 'resolved.yaml'))} --output NEW_FOLDER"
    return ["# everything, by the file with every key, into a new folder", command, ""]


def _cut(text: str, name: str) -> str:
    hidden = len(text) - _MOST_LETTERS
    return text if hidden <= 0 else f"{text[:_MOST_LETTERS]}\n# {hidden:,} more letters: {name}"
