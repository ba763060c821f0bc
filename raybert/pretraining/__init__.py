"""Pretraining of encoders: corpora, tokenizers, masked language models and what they learnt; without Ray."""
