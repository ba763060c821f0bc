"""What a strategy is asked before a pass of training, and what the model in training says anew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from raybert.lazy import warn_of_old_name
from raybert.selection.keys import keys_for, mix_keys
from raybert.selection.pool import Pool, Selection
from raybert.training.interface import PassPlan, PoolView

REFRESHED = frozenset({"probs", "feature_norms", "features"})
"""What the model in training gives anew, in place of proxies."""


@dataclass(frozen=True)
class PassRequest:
    """What a strategy with the schedule `epoch` is asked before every pass.

    Attributes:
        pool: as before training.
        budget: examples.
        number: of the pass: 0, 1, 2, ...
        previous: plan of the pass before; None: this is the first.
        view: the current model and its training losses.
        batch_size: examples per optimizer step.
        base: what `of` chose before training, computed once (see `curriculum`).
    """

    pool: Pool
    budget: int
    number: int
    previous: PassPlan | None
    view: PoolView
    batch_size: int
    base: Callable[[], Selection]

    @property
    def draw_keys(self) -> np.ndarray:
        """(n,) uint64: their order is random, another one in every pass, and the same when this pass is planned again.

        So a run that is interrupted goes on as it would have gone on; a generator of one's own would be elsewhere.
        """
        return mix_keys(keys_for("pass", self.pool.draw_keys), self.number)

    @property
    def epoch(self) -> int:
        """`number` under its name of raybert 0.1."""
        warn_of_old_name("PassRequest.epoch", "number")
        return self.number


def refresh_signals(
    pool: Pool, view: PoolView, needs: frozenset[str], pooling: Literal["mean", "cls"] | None = None
) -> Pool:
    """Return the pool with outputs of the current model in place of those of proxies, where they are needed.

    Args:
        pool: as before training.
        view: the current model.
        needs: signals that will be read.
        pooling: of the embeddings, where these are a proxy's too; None: those of the frozen encoder, which stay.
    """
    fresh: dict[str, np.ndarray] = {}
    if pooling is not None and "embeddings" in needs:
        fresh["embeddings"] = view.embed(pooling=pooling)
    if needs & {"feature_norms", "features"}:
        fresh["probs"], fresh["features"] = view.predict_with_features()
        fresh["feature_norms"] = np.linalg.norm(fresh["features"], axis=1)
        fresh = {name: values for name, values in fresh.items() if name in needs}
    elif "probs" in needs:
        fresh["probs"] = view.predict()
    return replace(pool, signals={**pool.signals, **fresh}) if fresh else pool
