"""Small random encoders as folders of transformers, as tests of loading need them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

from raybert.config import ModelConfig
from raybert.models import Encoder, quiet_transformers, resolve_encoder
from raybert.models.tiny import train_tokenizer

SIZES: dict[str, Any] = {
    "vocab_size": 100,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 34,
    "embedding_size": 16,
    "type_vocab_size": 2,
    "pad_token_id": 1,
}
OWN: dict[str, dict[str, Any]] = {
    "longformer": {"attention_window": 8},
    "luke": {"entity_vocab_size": 10, "entity_emb_size": 16},
    "xmod": {"languages": ["en_XX"], "default_language": "en_XX"},
}
"""What an architecture needs besides to be small, or to compute at all."""


def tokenizer_of(num_pieces: int = 60, **names: Any) -> PreTrainedTokenizerFast:
    """Return a WordPiece tokenizer with BERT's special pieces, padding being number 0."""
    tokenizer = train_tokenizer(["red green blue", "one two three", "north south"] * 3, num_pieces)
    for name, value in names.items():
        setattr(tokenizer, name, value)
    return tokenizer


def config_of(kind: str, **changes: Any) -> Any:
    """Return a small configuration of a model type."""
    sizes = {key: value for key, value in SIZES.items() if hasattr(AutoConfig.for_model(kind), key)}
    return AutoConfig.for_model(kind, **{**sizes, **OWN.get(kind, {}), **changes})


def save_encoder(
    folder: Path, config: Any, tokenizer: PreTrainedTokenizerFast | None = None, *, model: Any = None, **settings: Any
) -> Encoder:
    """Write an encoder with random weights, and return it as a sweep would find it; `settings` are of the model section."""
    with quiet_transformers(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        (model or AutoModel.from_config(config)).save_pretrained(folder)
    (tokenizer or tokenizer_of()).save_pretrained(folder)
    return resolve_encoder(ModelConfig(encoder=str(folder), **settings), [], folder)


def edit_json(path: Path, **changes: Any) -> None:
    """Change keys of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
