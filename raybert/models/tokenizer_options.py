"""What a sweep file says of a tokenizer: lower case, and which end of a text is cut."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer

from raybert.config import DataConfig

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_LOWER = {"type": "Lowercase"}


def with_options(tokenizer: PreTrainedTokenizerFast, config: DataConfig) -> PreTrainedTokenizerFast:
    """Return a tokenizer as a data section wants it; it is changed, and what it saves of itself does the same.

    Args:
        tokenizer: of the encoder.
        config: with `lowercase` and `truncation_side`.
    """
    if config.truncation_side is not None:
        tokenizer.truncation_side = config.truncation_side
        tokenizer.init_kwargs["truncation_side"] = config.truncation_side
    if config.lowercase != "auto":
        _set_lowercase(tokenizer, is_lower=config.lowercase)
    return tokenizer


def _set_lowercase(tokenizer: PreTrainedTokenizerFast, *, is_lower: bool) -> None:
    backend = tokenizer.backend_tokenizer
    definition = json.loads(backend.to_str())
    normalizer = definition["normalizer"]
    definition["normalizer"] = _lowering(normalizer) if is_lower else _keeping_case(normalizer)
    backend.normalizer = Tokenizer.from_str(json.dumps(definition)).normalizer
    if hasattr(tokenizer, "do_lower_case") or "do_lower_case" in tokenizer.init_kwargs:
        # By which BERT's own changes its normalizer on loading; what is saved is the attribute.
        tokenizer.init_kwargs["do_lower_case"] = is_lower
        tokenizer.do_lower_case = is_lower


def _lowering(normalizer: dict[str, Any] | None) -> dict[str, Any]:
    """Return a normalizer that lower-cases: where it can by itself, else before all that it does."""
    if normalizer is None:
        return _LOWER
    if normalizer["type"] == "BertNormalizer":
        return {**normalizer, "lowercase": True}
    parts = normalizer["normalizers"] if normalizer["type"] == "Sequence" else [normalizer]
    if any(part["type"] == "Lowercase" for part in parts):
        return normalizer
    if any(part["type"] == "BertNormalizer" for part in parts):
        return {"type": "Sequence", "normalizers": [_lowering(p) if _is_bert(p) else p for p in parts]}
    return {"type": "Sequence", "normalizers": [_LOWER, *parts]}


def _keeping_case(normalizer: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return a normalizer without what lower-cases."""
    if normalizer is None or normalizer["type"] == "Lowercase":
        return None
    if normalizer["type"] == "BertNormalizer":
        return {**normalizer, "lowercase": False}
    if normalizer["type"] == "Sequence":
        kept = [part for one in normalizer["normalizers"] if (part := _keeping_case(one)) is not None]
        return {"type": "Sequence", "normalizers": kept}
    return normalizer


def _is_bert(normalizer: dict[str, Any]) -> bool:
    return bool(normalizer["type"] == "BertNormalizer")
