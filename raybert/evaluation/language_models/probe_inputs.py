"""The templates, groups and pairs of a probe, read from the file that names them; what is wrong is said per line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from raybert.config.probes import MASK, ProbeConfig, problems_of_templates
from raybert.data.local import read_table
from raybert.data.text_files import read_text
from raybert.errors import ConfigError, DataError
from raybert.pretraining.documents import plain_form

_GAP = "xgapx"
"""Stands for the gap while a template is brought to its plain form."""
_COLUMNS = (("more", "less", "kind"), ("sent_more", "sent_less", "bias_type"))
"""Ours, and those of the file of CrowS-Pairs."""


@dataclass(frozen=True)
class ProbeInputs:
    """What models are asked.

    Attributes:
        templates: with one gap each; none: pairs are asked.
        groups: name -> words.
        pairs: more, less, kind.
    """

    templates: tuple[str, ...]
    groups: Mapping[str, tuple[str, ...]]
    pairs: tuple[tuple[str, str, str], ...]


def read_inputs(name: str, probe: ProbeConfig, *, is_plain: bool) -> ProbeInputs:
    """Return what a probe asks.

    Args:
        name: of the probe, for messages.
        probe: its section.
        is_plain: whether texts are brought to the plain form that the corpora have.

    Raises:
        ConfigError: a file cannot be read, or some of its lines are wrong: a line for each.
    """
    if probe.pairs is not None:
        pairs = (
            _read_pairs(name, Path(probe.pairs).expanduser())
            if isinstance(probe.pairs, str)
            else tuple((pair.more, pair.less, pair.kind) for pair in probe.pairs)
        )
        if is_plain:
            pairs = tuple((plain_form(more), plain_form(less), kind) for more, less, kind in pairs)
        _check_pairs(name, pairs)
        return ProbeInputs((), {}, pairs)
    assert probe.templates is not None
    assert probe.groups is not None
    templates = (
        _read_templates(name, Path(probe.templates).expanduser())
        if isinstance(probe.templates, str)
        else probe.templates
    )
    groups = probe.groups
    if is_plain:
        templates = tuple(
            plain_form(text.lower().replace(MASK.lower(), f" {_GAP} ")).replace(_GAP, MASK) for text in templates
        )
        groups = {group: tuple(map(plain_form, words)) for group, words in groups.items()}
    return ProbeInputs(tuple(templates), groups, ())


def _read_templates(name: str, path: Path) -> tuple[str, ...]:
    try:
        text, _ = read_text(path)
    except DataError as error:
        raise ConfigError(str(error).replace("data.source", f"probes.{name}.templates", 1)) from None
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1)]
    found = [(f"{path.name}, line {number}", line) for number, line in lines if line and not line.startswith("#")]
    problems = problems_of_templates(found)
    if not found:
        problems = [f"{path.name}: must have a template, got none"]
    if problems:
        raise ConfigError("\n".join(f"probes.{name}.templates: {problem}" for problem in problems))
    return tuple(line for _, line in found)


def _read_pairs(name: str, path: Path) -> tuple[tuple[str, str, str], ...]:
    for number, (more, less, kind) in enumerate(_COLUMNS):
        try:
            rows = read_table(path, {"more": more, "less": less, "kind": kind}, ("kind",)).rows
        except DataError as error:
            if number + 1 < len(_COLUMNS) and "has no column" in str(error):
                continue
            words = str(error).replace("data.source", f"probes.{name}.pairs", 1).replace("data.", "columns: ", 1)
            raise ConfigError(words) from None
        kinds = rows["kind"].to_pylist() if "kind" in rows.column_names else [""] * rows.num_rows
        columns = (rows["more"].to_pylist(), rows["less"].to_pylist(), kinds)
        return tuple((str(a or ""), str(b or ""), str(c or "")) for a, b, c in zip(*columns, strict=True))
    raise AssertionError


def _check_pairs(name: str, pairs: tuple[tuple[str, str, str], ...]) -> None:
    problems, seen = [], dict[tuple[str, str], int]()
    for number, (more, less, _) in enumerate(pairs):
        place = f"probes.{name}.pairs[{number}]"
        if not more.strip() or not less.strip():
            problems.append(f"{place}: must have two sentences, got an empty one")
        elif more.split() == less.split():
            problems.append(f"{place}: must have two sentences that differ, got '{more}' twice")
        elif (more, less) in seen:
            problems.append(f"{place}: must differ from pairs[{seen[more, less]}], got it again")
        seen.setdefault((more, less), number)
    if problems:
        raise ConfigError("\n".join(problems[:20]))
