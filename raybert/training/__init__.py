"""The training loop and what it is made of."""

from typing import TYPE_CHECKING

from raybert.lazy import names_on_first_use

if TYPE_CHECKING:
    from raybert.training.inference import Inference
    from raybert.training.interface import (
        FixedPasses,
        LocalSurroundings,
        PassPlan,
        PassPlanner,
        PoolView,
        Surroundings,
    )
    from raybert.training.loop import fit
    from raybert.training.measures.metrics import classification_metrics
    from raybert.training.request import FitRequest
    from raybert.training.result import FitResult
else:
    __getattr__ = names_on_first_use(
        __name__,
        {
            "raybert.training.inference": ("Inference",),
            "raybert.training.interface": (
                "FixedPasses",
                "LocalSurroundings",
                "PassPlan",
                "PassPlanner",
                "PoolView",
                "Surroundings",
            ),
            "raybert.training.loop": ("fit",),
            "raybert.training.measures.metrics": ("classification_metrics",),
            "raybert.training.request": ("FitRequest",),
            "raybert.training.result": ("FitResult",),
        },
    )

__all__ = [
    "FitRequest",
    "FitResult",
    "FixedPasses",
    "Inference",
    "LocalSurroundings",
    "PassPlan",
    "PassPlanner",
    "PoolView",
    "Surroundings",
    "classification_metrics",
    "fit",
]
