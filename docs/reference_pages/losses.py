"""The page of losses and of class weights, from the functions that compute them."""

from __future__ import annotations

from raybert.config import LossConfig
from raybert.training.measures import losses
from reference_pages.markdown import code, doc_body, doc_source, doc_summary, page, table
from reference_pages.sweep_file import default_of, type_of

_FUNCTIONS = (
    losses.binary_cross_entropy,
    losses.focal,
    losses.class_weights,
    losses.positive_weight,
    losses.focal_alpha,
)


def losses_page() -> str:
    """Return the keys of `train.loss`, then what each function computes."""
    rows = [
        (code(f"train.loss.{key}"), type_of(field), default_of(field), field.description or "")
        for key, field in LossConfig.model_fields.items()
    ]
    parts = []
    for function in _FUNCTIONS:
        source = doc_source(function)
        parts += [
            f"## {function.__name__}",
            doc_summary(function),
            doc_body(function),
            f"Source: {source}" if source else "",
        ]
    return page(
        "Losses",
        "How to choose one: [](../how-to/losses.md).",
        table(["key", "value", "default", "meaning"], rows),
        "## What a step minimises",
        doc_summary(losses.Loss).partition(": ")[2],
        doc_body(losses.Loss),
        *parts,
    )
