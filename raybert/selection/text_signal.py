"""The base of signals that are numbers of single texts: those of raybert, and those of a user's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from raybert.config import Section
from raybert.config.code_digest import code_digest
from raybert.errors import ConfigError, SelectionError


class TextSignal(Section):
    """Base of signals that are computed of each text alone. Fields are parameters, class variables are facts.

    A subclass sets `name` and implements `compute`; its first docstring line says what the signal is.
    """

    name: ClassVar[str] = ""
    columns: ClassVar[tuple[str, ...]] = ()
    """Of a signal of several numbers per text, (n, columns); without, it is (n,)."""
    version: ClassVar[str] = ""
    """What stands for the code in the key of stored values; by default the source of the class's module does, and of
    the modules of its package or folder that it imports. To be raised where others change what is computed."""

    def compute(self, texts: Sequence[str], labels: np.ndarray) -> Any:
        """Return a number (or a row of `columns`) for each text, NaN where there is none.

        Texts come in blocks of the pool, in any order: what is returned for one must not depend on the others.

        Args:
            texts: (b,) both texts of a pair as paragraphs of one.
            labels: (b,) int64 class numbers.
        """
        raise NotImplementedError

    def values(self, texts: Sequence[str], labels: np.ndarray) -> np.ndarray:
        """Return what `compute` does as (b,) or (b, columns) float32.

        Raises:
            SelectionError: it is not that.
        """
        found = self.compute(texts, labels)
        try:
            values = np.asarray(found)
        except ValueError:  # rows of different lengths
            values = np.asarray(found, object)
        if values.dtype.kind not in "biuf":
            raise SelectionError(f"signal '{self.name}': must be numbers, got {_described(values)}")
        expected = (len(texts), len(self.columns)) if self.columns else (len(texts),)
        if values.shape != expected:
            of_each = f"{len(self.columns)} numbers ({', '.join(self.columns)})" if self.columns else "one number"
            raise SelectionError(
                f"signal '{self.name}': must be {of_each} for each of {len(texts)} texts, shape {expected}, "
                f"got shape {values.shape}"
            )
        return values.astype(np.float32)

    def identity(self) -> dict[str, Any]:
        """Return all but the texts that the values depend on, as JSON: name, parameters and code.

        Raises:
            ConfigError: the code cannot be read and has no `version`.
        """
        code = {"version": self.version} if self.version else {"source": self._code()}
        return {"scorer": self.name, "parameters": self.model_dump(mode="json"), **code}

    def _code(self) -> str:
        digest = code_digest(type(self))
        if digest is None:
            raise ConfigError(
                f"signal '{type(self).__name__}': must have a `version`, because the source of "
                f"'{type(self).__module__}' cannot be read to tell when it changes"
            )
        return digest


def _described(values: np.ndarray) -> str:
    first = values.ravel()[:1].tolist()
    return f"{values.dtype} of shape {values.shape}" + (f", first {first[0]!r}" if first else "")
