"""Encoders with a classification head."""

from typing import TYPE_CHECKING

from raybert.lazy import names_on_first_use

if TYPE_CHECKING:
    from raybert.models.classifier import (
        build_classifier,
        checkpoint_activations,
        embed_batch,
        keep_head_in_float32,
        load_backbone,
        load_classifier,
        load_model,
        new_classifier,
        pooled_features,
    )
    from raybert.models.embedded import BUILT_IN_ENCODERS
    from raybert.models.encoder import Encoder, load_tokenizer, resolve_encoder
    from raybert.models.quiet import quiet_transformers
else:
    __getattr__ = names_on_first_use(
        __name__,
        {
            "raybert.models.classifier": (
                "build_classifier",
                "checkpoint_activations",
                "embed_batch",
                "keep_head_in_float32",
                "load_backbone",
                "load_classifier",
                "load_model",
                "new_classifier",
                "pooled_features",
            ),
            "raybert.models.encoder": ("Encoder", "load_tokenizer", "resolve_encoder"),
            "raybert.models.quiet": ("quiet_transformers",),
            "raybert.models.embedded": ("BUILT_IN_ENCODERS",),
        },
    )

__all__ = [
    "BUILT_IN_ENCODERS",
    "Encoder",
    "build_classifier",
    "checkpoint_activations",
    "embed_batch",
    "keep_head_in_float32",
    "load_backbone",
    "load_classifier",
    "load_model",
    "load_tokenizer",
    "new_classifier",
    "pooled_features",
    "quiet_transformers",
    "resolve_encoder",
]
