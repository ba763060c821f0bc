"""Encoders that a sweep has pretrained before it trained trials: what a reader of its tables must know of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from raybert.files import read_json
from raybert.sweeping.folder.layout import SweepFolder

_MOST_NOTES = 6


def pretrained_notes(folder: Path, trial_ids: Iterable[str]) -> list[str]:
    """Return a line for every encoder that some trials were fine-tuned from, if the sweep has pretrained it.

    Args:
        folder: of the results.
        trial_ids: of these trials.
    """
    known = read_json(SweepFolder(folder).pretrained)
    if not known:
        return []
    used = dict.fromkeys(encoder_of(folder, trial_id) for trial_id in trial_ids)
    lines = [f"encoder: {describe_pretrained(known[name])}" for name in used if isinstance(known.get(name), dict)]
    hidden = len(lines) - _MOST_NOTES
    return lines if hidden <= 0 else [*lines[:_MOST_NOTES], f"{hidden} more encoders were pretrained: pretrained.json"]


def encoder_of(folder: Path, trial_id: str) -> str:
    """Return by what the encoder of a trial is known that was pretrained for it; empty: none was, or nobody knows."""
    spec = (read_json(folder / "trials" / trial_id / "spec.json") or {}).get("spec")
    return str(spec.get("encoder") or "") if isinstance(spec, dict) else ""


def describe_pretrained(known: Mapping[str, Any]) -> str:
    """Return in words what `pretrained.json` says of an encoder."""
    goals = [name for name, on in (("masked language modelling", "masked"), ("SimCSE", "contrastive")) if known.get(on)]
    text = (
        f"{known.get('encoder')} went on with pretraining ({' and '.join(goals)}) on {known.get('corpus')} "
        f"({known.get('documents', 0):,} documents, {known.get('words', 0):,} words) for {known.get('steps', 0):,} "
        f"steps, {known.get('tokens', 0):,} word pieces, {float(known.get('seconds') or 0.0):,.0f} s"
    )
    before, after = (_perplexity(known.get(key)) for key in ("before", "after"))
    if not math.isnan(after):
        was = "" if math.isnan(before) else f"{before:,.4g} before, "
        text += f"; its perplexity on texts that were held out of that: {was}{after:,.4g} after"
    return text


def _perplexity(row: Any) -> float:
    value = row.get("validation_perplexity") if isinstance(row, Mapping) else None
    return float(value) if isinstance(value, int | float) else math.nan
