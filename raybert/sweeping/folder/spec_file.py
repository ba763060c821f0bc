"""A trial's specification as a file: what `raybert reproduce` needs to run it again without the sweep's plan."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from raybert.config import StrategyConfig, importing, validate_stored_config
from raybert.errors import ConfigError, RaybertError, SweepError
from raybert.files import read_json, write_json
from raybert.selection.catalogue import build_strategy, find_strategy
from raybert.selection.compose import compose
from raybert.selection.identity import strategy_entry
from raybert.selection.scorers.request import SignalRuns
from raybert.selection.stand_in import StandIn, facts_of, stand_in
from raybert.selection.store import SignalRef
from raybert.selection.strategy import Strategy
from raybert.sweeping.folder.older import is_random, with_random_encoder
from raybert.sweeping.folder.versions import WRITTEN_BY, is_later, version_of, words
from raybert.sweeping.plan.budget import Budget
from raybert.sweeping.plan.specs import RunSpec
from raybert.version import __version__

FILE_NAME = "spec.json"
_RENAMED = {"sources": "signal_runs", "pool": "pool_size"}
"""Keys of raybert 0.1 -> today's."""
_OLD_DEFAULTS: dict[str, dict[str, Any]] = {"loss_threshold": {"refresh": 1}}
"""What parameters were in raybert 0.1 where nothing was written, and are not any more."""
_REFERENCE = re.compile(r"[^\s:]+:[^\s:]+")


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
        "strategy_facts": facts_of(type(compose(stored.spec.strategy).inner)),
    }
    write_json(folder / FILE_NAME, document)


def read_spec(folder: Path, *, trust: bool = False) -> StoredSpec:
    """Return what `write_spec` wrote into a trial's folder.

    Args:
        folder: of the trial.
        trust: import a strategy of somebody's own that it names; else its label stands in for it, and it cannot choose.

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
        with nullcontext() if trust else importing("labels"):
            spec = spec_of(document["spec"], None if trust else document.get("strategy_facts") or {})
        is_as_shipped = spec.config.pretrain is None  # else its files are nobody's but this sweep's
        if is_as_shipped and is_random(spec.config.model.encoder, str(document["encoder_fingerprint"])):
            spec = dataclasses.replace(spec, config=with_random_encoder(spec.config))
        return StoredSpec(
            spec=spec,
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


def spec_of(document: dict[str, Any], facts: dict[str, Any] | None = None) -> RunSpec:
    """Return the specification that `spec_document` described.

    Args:
        document: the description.
        facts: of its strategy, if that is not imported and may be one that nothing here knows.
    """
    document = {_RENAMED.get(key, key): value for key, value in document.items()}
    written = document["strategy"]
    if "passes" not in document:
        written = _OLD_DEFAULTS.get(written["name"], {}) | written
    entry = StrategyConfig(**written)
    strategy = build_strategy(entry, kind=_kind_of(entry.name, facts))
    signal_runs = [SignalRuns(**{**entry, "runs": tuple(entry["runs"])}) for entry in document["signal_runs"]]
    fields = document | {
        "strategy": strategy,
        "budget": None if strategy.spends() == "none" else Budget.of(document["budget"], document["pool_size"]),
        "config": validate_stored_config(document["config"]),
        "signal_runs": tuple(signal_runs),
    }
    return RunSpec(**fields)


def code_named_by(folder: Path) -> tuple[str, ...]:
    """Return the code of somebody's own that running a trial again would run, as its folder names it.

    That is every `module:attribute` of strategy, loss, metrics, optimizer, schedule (of pretraining, too), augmentation
    and signals, and what code comes with a model.
    """
    spec = (read_json(folder / FILE_NAME) or {}).get("spec")
    if not isinstance(spec, dict):
        return ()
    config = _section(spec, "config")
    model = _section(config, "model")
    named = [
        *_references(spec.get("strategy")),
        *(
            name
            for section in ("train", "pretrain")
            for key in ("loss", "metrics", "optimizer", "schedule")
            for name in _references(_section(config, section).get(key))
        ),
        *_references(_section(config, "data").get("augment")),
        *_references(_section(config, "selection").get("signals")),
    ]
    named += _references(model.get("kind"))
    if model.get("trust_remote_code"):
        named.append(f"code that comes with the model {model.get('encoder')}")
    return tuple(dict.fromkeys(named))


def _kind_of(name: str, facts: dict[str, Any] | None) -> type[Strategy] | None:
    """Return the class of a strategy that is read for its label; None: that of its name."""
    if facts is None:
        return None
    try:
        found = find_strategy(name)
    except ConfigError:  # it was registered by a module that is not imported
        return stand_in(name, facts)
    return stand_in(name, facts) if issubclass(found, StandIn) else found


def _references(value: Any) -> list[str]:
    """Return every text of a document that names an attribute of a module."""
    if isinstance(value, dict):
        return [name for key, item in value.items() if key != "label" for name in _references(item)]
    if isinstance(value, list):
        return [name for item in value for name in _references(item)]
    return [value] if isinstance(value, str) and _REFERENCE.fullmatch(value) else []


def _section(document: dict[str, Any], key: str) -> dict[str, Any]:
    found = document.get(key)
    return found if isinstance(found, dict) else {}
