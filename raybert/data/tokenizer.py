"""The Rust tokenizer behind one of transformers: a copy of one's own, and what tells it from others."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer

from raybert.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def private_backend(tokenizer: PreTrainedTokenizerFast) -> Tokenizer:
    """Return a copy of the Rust tokenizer without truncation and padding.

    Raises:
        ModelError: there is none, or no padding piece.
    """
    name = tokenizer.name_or_path or type(tokenizer).__name__
    if not getattr(tokenizer, "is_fast", False):
        raise ModelError(f"model.encoder: the tokenizer of '{name}' must be a fast one (tokenizer.json)")
    if tokenizer.pad_token_id is None:
        raise ModelError(
            f"model.encoder: the tokenizer of '{name}' must have a padding token; set `pad_token` in its "
            "tokenizer_config.json"
        )
    backend: Tokenizer = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    backend.encode_special_tokens = tokenizer.backend_tokenizer.encode_special_tokens
    backend.no_truncation()
    backend.no_padding()
    return backend


def tokenizer_facts(backend: Tokenizer) -> dict[str, Any]:
    """Return what tells a tokenizer from all that make other word pieces of the same texts: how it truncates, too."""
    definition = hashlib.sha256(backend.to_str().encode()).hexdigest()
    return {"tokenizer": definition, "encode_special_tokens": backend.encode_special_tokens}
