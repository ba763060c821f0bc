"""What Optuna's CMA-ES keeps in a study is a pickle: it is looked through before Optuna loads it.

A results folder of somebody else's may have anything there, in `study.db` as in `decisions.jsonl`.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterable, Mapping
from typing import Any

from optuna.trial import FrozenTrial

from raybert.errors import SweepError

_PREFIX = "cma:optimizer"
"""Begins the names of attributes that hold a part of an optimizer, as hexadecimal digits: `cma:optimizer:0`."""
_ALLOWED: Mapping[str, frozenset[str]] = {
    "cmaes._cma": frozenset({"CMA"}),
    "numpy": frozenset({"dtype", "ndarray"}),
    **dict.fromkeys(("numpy._core.multiarray", "numpy.core.multiarray"), frozenset({"_reconstruct", "scalar"})),
    **dict.fromkeys(("numpy._core.numeric", "numpy.core.numeric"), frozenset({"_frombuffer"})),
}
"""Modules -> what such a pickle is made of; none of it does more than hold numbers."""


def check_optimizers(trials: Iterable[FrozenTrial], where: str, checked: set[str]) -> None:
    """Refuse optimizers that are made of anything but numbers, before any of it is called.

    Args:
        trials: of a study.
        where: they are, for the error.
        checked: what was looked through before; what is found to be harmless is added.

    Raises:
        SweepError: one names something else, or is damaged.
    """
    for trial in trials:
        kept = _kept(trial.system_attrs)
        if not kept or kept in checked:
            continue
        try:
            _Numbers(io.BytesIO(bytes.fromhex(kept))).load()
        except Exception as error:  # of a pickle that is damaged, or made to be
            raise SweepError(
                f"{where}: suggestion {trial.number} must keep the state of CMA-ES alone, got {error}; delete the "
                "files of the search (study.db, decisions.jsonl), or give `output` another folder"
            ) from None
        checked.add(kept)


def _kept(attributes: Mapping[str, Any]) -> str:
    """Return the hexadecimal digits that Optuna would load; nothing where there are none, or no such sequence."""
    num_parts = sum(key.startswith(_PREFIX) for key in attributes)
    parts = [attributes.get(f"{_PREFIX}:{number}") for number in range(num_parts)]
    return "".join(map(str, parts)) if None not in parts else ""


class _Numbers(pickle.Unpickler):
    """Loads what `_ALLOWED` lists, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if name not in _ALLOWED.get(module, ()):
            raise pickle.UnpicklingError(f"'{module}:{name}'")
        return super().find_class(module, name)
