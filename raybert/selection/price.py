"""What signals cost, in words: the training runs behind them, forward passes over the pool, and what else is done.

Computed from their declarations and the settings of a sweep file: lists and the reference cannot go out of date.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from raybert.config import SelectionConfig
from raybert.selection.declared_signals import Signal
from raybert.selection.scorers.request import SignalRunsKind
from raybert.selection.signals import all_signals, needed_signals

Setting = int | str
"""A number, or the dotted key of `selection` that says it."""


@dataclass(frozen=True)
class RunsBehind:
    """The training runs behind signals.

    Attributes:
        one: what one of them is.
        several: what several are.
        pool: what of the pool each trains on.
        count: how many there are.
        epochs: how many passes each makes over that.
        section: of the sweep file, where this is set.
    """

    one: str
    several: str
    pool: str
    count: Setting
    epochs: str
    section: str

    def in_words(self, selection: SelectionConfig) -> str:
        """Return how many runs train on what, and for how long."""
        count, epochs = _value(self.count, selection), _value(self.epochs, selection)
        words = self.one if count == 1 else self.several
        passes = "1 epoch" if epochs == 1 else f"{epochs:g} epochs"
        return f"{count} {words} trained on {self.pool} ({passes}{' each' if count != 1 else ''}; `{self.section}`)"


RUNS: Mapping[SignalRunsKind, RunsBehind] = {
    "proxy": RunsBehind("proxy", "proxies", "the whole pool", "proxy.num_seeds", "proxy.epochs", "selection.proxy"),
    "heldout": RunsBehind(
        "cross-fitted proxy",
        "cross-fitted proxies",
        "all but one of as many parts",
        "scorers.heldout.folds",
        "scorers.heldout.epochs",
        "selection.scorers.heldout",
    ),
    "irreducible": RunsBehind(
        "twin", "twins", "one half of the pool", 2, "scorers.irreducible.epochs", "selection.scorers.irreducible"
    ),
    "dynamics": RunsBehind(
        "run with checkpoints",
        "runs with checkpoints",
        "the whole pool",
        1,
        "scorers.dynamics.epochs",
        "selection.scorers.dynamics",
    ),
}
"""By kind, in the order in which they are trained."""
FREE_OF_CHARGE = "nothing"


def describe_signals() -> list[dict[str, str]]:
    """Return a row per signal: name, description, shape, dtype, runs, reads, scorer, price, parameters."""
    return [
        {
            "name": signal.name,
            "description": signal.description,
            "shape": f"({', '.join(signal.shape.split())})",
            "dtype": signal.dtype,
            "runs": signal.runs or "",
            "reads": ", ".join(signal.reads) or ("texts" if signal.text is not None else ""),
            "scorer": _scorer_of(signal),
            "price": price_in_words(_behind(signal)),
            "parameters": _parameters_of(signal),
        }
        for signal in all_signals()
    ]


def _behind(signal: Signal) -> Sequence[Signal]:
    """Return a signal with all that it is computed from; of a user's own, that is nothing."""
    return (signal,) if signal.is_own else needed_signals({signal.name}, SelectionConfig())


def _parameters_of(signal: Signal) -> str:
    """Return the parameters that a user's own signal takes in `selection.signals`, with their defaults."""
    if not signal.is_own or signal.text is None:
        return ""
    fields = type(signal.text).model_fields
    return ", ".join(
        f"{key} (required)" if field.is_required() else f"{key}={field.get_default(call_default_factory=True)!r}"
        for key, field in fields.items()
    )


def price_in_words(signals: Iterable[Signal], selection: SelectionConfig | None = None) -> str:
    """Return what computing some signals takes, each thing once however many of them share it.

    Args:
        signals: with all that they are computed from, as `needed_signals` returns them.
        selection: of a sweep file; default: all at its defaults.
    """
    needed, settings = list(signals), selection or SelectionConfig()
    kinds = {signal.runs for signal in needed}
    parts = [runs.in_words(settings) for kind, runs in RUNS.items() if kind in kinds]
    passes = _passes_in_words(needed, settings)
    work = list(dict.fromkeys(signal.work for signal in needed if signal.work))
    return "; ".join([*parts, *([passes] if passes else []), *work]) or FREE_OF_CHARGE


def _passes_in_words(needed: Sequence[Signal], settings: SelectionConfig) -> str:
    """Return the forward passes of models over the pool; a signal that comes along with another one takes none."""
    names = {signal.name for signal in needed}
    own = [signal for signal in needed if signal.passes and signal.comes_with not in names]
    counts = [_value(signal.passes, settings) for signal in own]
    total = sum(int(count) for count in counts if count is not None)
    words = [f"{total} forward pass{'' if total == 1 else 'es'} over the pool"] if total else []
    words += ["as many forward passes as a text has word pieces"] * (None in counts)
    return " and ".join(words)


def _scorer_of(signal: Signal) -> str:
    if signal.text is None:
        return signal.scorer
    return f"{type(signal.text).__module__}:{type(signal.text).__qualname__}"


def _value(setting: Setting, selection: SelectionConfig) -> float | int | None:
    if isinstance(setting, int):
        return setting
    found: float | int | None = operator.attrgetter(setting)(selection)
    return found
