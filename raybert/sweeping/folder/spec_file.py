"""A trial's specification as a file: what `raybert reproduce` needs to run it again without the sweep's plan."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from raybert.config import StrategyConfig, validate_stored_config
from raybert.errors import RaybertError, SweepError
from raybert.files import read_json, write_json
from raybert.selection.catalogue import build_strategy
from raybert.selection.identity import strategy_entry
from raybert.selection.scorers.request import SignalRuns
from raybert.selection.store import SignalRef
from raybert.sweeping.folder.versions import WRITTEN_BY, is_later, version_of, words
from raybert.sweeping.plan.budget import Budget
from raybert.sweeping.plan.specs import RunSpec
from raybert.version import __version__

FILE_NAME = "spec.json"
_RENAMED = {"sources": "signal_runs", "pool": "pool_size"}
"""Keys of raybert 0.1 -> today's."""


@dataclass(frozen=True)
class StoredSpec:
    """What a trial's folder says about how it came about.

    Attributes:
        spec: the specification.
        data_fingerprint: of the token tables that it was trained on.
        encoder_fingerprint: of the encoder's files.
        signals: what it read from the score store.
        code: key -> digest of the code of a user's own that it ran.
    """

    spec: RunSpec
    data_fingerprint: str
    encoder_fingerprint: str
    signals: tuple[SignalRef, ...] = ()
    code: Mapping[str, str] = field(default_factory=dict)


def write_spec(folder: Path, stored: StoredSpec) -> None:
    """Write `spec.json` into a trial's folder."""
    document = {
        WRITTEN_BY: __version__,
        "spec": spec_document(stored.spec),
        "data_fingerprint": stored.data_fingerprint,
        "encoder_fingerprint": stored.encoder_fingerprint,
        "signals": [signal.to_json() for signal in stored.signals],
        **({"code": dict(stored.code)} if stored.code else {}),
    }
    write_json(folder / FILE_NAME, document)


def read_spec(folder: Path) -> StoredSpec:
    """Return what `write_spec` wrote into a trial's folder.

    Raises:
        SweepError: there is no such file, or it cannot be read any more.
    """
    path = folder / FILE_NAME
    document = read_json(path)
    if document is None and not path.exists():
        raise SweepError(f"{path}: no such file: the trial has never begun, or is of an older raybert")
    if document is None:
        raise SweepError(f"{path}: must be as this version of raybert writes it: it is damaged")
    version = str(document[WRITTEN_BY]) if WRITTEN_BY in document else version_of(folder.parent.parent)
    if version is not None and is_later(version):
        raise SweepError(f"{path}: {words(version)}")
    try:
        return StoredSpec(
            spec=spec_of(document["spec"]),
            data_fingerprint=str(document["data_fingerprint"]),
            encoder_fingerprint=str(document["encoder_fingerprint"]),
            signals=tuple(SignalRef.from_json(signal) for signal in document["signals"]),
            code=document.get("code", {}),
        )
    except (ValueError, KeyError, TypeError, RaybertError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        by = "" if version in (None, __version__) else f"; it {words(version)}"
        raise SweepError(f"{path}: must be as this version of raybert writes it: {reason}{by}") from None


def spec_document(spec: RunSpec) -> dict[str, Any]:
    """Return a specification as JSON that `spec_of` reads back."""
    document = {field.name: getattr(spec, field.name) for field in dataclasses.fields(spec)}
    return document | {
        "budget": spec.num_chosen,
        "strategy": strategy_entry(spec.strategy),
        "config": spec.config.model_dump(mode="json"),
        "signal_runs": [dataclasses.asdict(runs) for runs in spec.signal_runs],
    }


def spec_of(document: dict[str, Any]) -> RunSpec:
    """Return the specification that `spec_document` described."""
    document = {_RENAMED.get(key, key): value for key, value in document.items()}
    strategy = build_strategy(StrategyConfig(**document["strategy"]))
    signal_runs = [SignalRuns(**{**entry, "runs": tuple(entry["runs"])}) for entry in document["signal_runs"]]
    fields = document | {
        "strategy": strategy,
        "budget": None if strategy.spends() == "none" else Budget.of(document["budget"], document["pool_size"]),
        "config": validate_stored_config(document["config"]),
        "signal_runs": tuple(signal_runs),
    }
    return RunSpec(**fields)
