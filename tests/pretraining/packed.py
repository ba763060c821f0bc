"""A tokenizer, documents, models and packed data for tests of pretraining."""

from __future__ import annotations

import functools

import numpy as np
import torch
from transformers import (
    BertConfig,
    BertForMaskedLM,
    ModernBertConfig,
    ModernBertForMaskedLM,
    RobertaConfig,
    RobertaForMaskedLM,
)

from raybert.models.tiny import train_tokenizer
from raybert.pretraining.masked_model import MaskedModel
from raybert.pretraining.packed_data import PackedData
from raybert.pretraining.packing import pack_documents, tokenize_documents

WORDS = ("budget", "minister", "community", "northern", "question", "housing", "speaker", "water", "honourable", "land")


def documents(count: int, seed: int = 0, longest: int = 40) -> list[str]:
    """Sentences of random words, of random lengths."""
    generator = np.random.default_rng(seed)
    return [" ".join(generator.choice(WORDS, generator.integers(1, longest))) for _ in range(count)]


@functools.cache
def tokenizer():
    return train_tokenizer(documents(200, seed=9), 120)


def model(kind: str = "modernbert", attention: str = "sdpa", dropout: float = 0.0, seed: int = 0) -> MaskedModel:
    """A small model with random weights, in train mode."""
    shape = {
        "vocab_size": len(tokenizer()),
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 48,
        "pad_token_id": tokenizer().pad_token_id,
    }
    if kind == "modernbert":
        made = ModernBertConfig(
            **shape, local_attention=16, embedding_dropout=dropout, mlp_dropout=dropout, bos_token_id=2, cls_token_id=2,
            eos_token_id=3, sep_token_id=3,
        )  # fmt: skip
        classes = ModernBertForMaskedLM
    else:
        dropouts = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
        made = {"bert": BertConfig, "roberta": RobertaConfig}[kind](**shape, **dropouts)
        classes = {"bert": BertForMaskedLM, "roberta": RobertaForMaskedLM}[kind]
    made._attn_implementation = attention
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return MaskedModel(classes(made)).train()


def packed(count: int = 120, max_length: int = 32, *, alone: bool = False, longest: int = 40) -> PackedData:
    train, validation = (
        pack_documents(
            tokenize_documents(documents(n, seed, longest), tokenizer()), tokenizer(), max_length, alone=alone
        )
        for n, seed in ((count, 1), (count // 4, 2))
    )
    return PackedData(train, validation, tokenizer().pad_token_id)
