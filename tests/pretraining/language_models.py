"""Tiny masked language models for tests: random, or trained for a few steps on texts."""

import torch
from transformers import BertConfig, BertForMaskedLM, ModernBertConfig, ModernBertForMaskedLM

from raybert.models.trained_tokenizer import train_byte_bpe, train_wordpiece
from raybert.pretraining.language_model import load_language_model

TEXTS = [
    "the member asked the minister about the budget of the house",
    "hunters and elders met in the community hall to speak of caribou",
    "the house adjourned , and the speaker left the chair at nine",
    "snow fell on the hamlet all night long",
] * 2


def save_model(folder, texts=TEXTS, *, kind="bert", tokenizer="wordpiece", seed=0, steps=0, uniform=False, pieces=90):
    """Save a tiny model of transformers with its tokenizer, and return the folder."""
    train = train_wordpiece if tokenizer == "wordpiece" else train_byte_bpe
    cutter = train(TEXTS, pieces if tokenizer == "wordpiece" else 300, max_length=64)
    special = {"pad_token_id": cutter.pad_token_id, "vocab_size": len(cutter)}
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
    torch.manual_seed(seed)
    if kind == "bert":
        model = BertForMaskedLM(BertConfig(**size, **special, max_position_embeddings=40, initializer_range=0.3))
    else:
        ends = {"bos_token_id": 2, "cls_token_id": 2, "eos_token_id": 3, "sep_token_id": 3}
        model = ModernBertForMaskedLM(ModernBertConfig(**size, **special, **ends, max_position_embeddings=40))
    if uniform:
        torch.nn.init.zeros_(model.get_output_embeddings().weight)
    optimizer = torch.optim.AdamW(model.parameters(), 0.01)
    for step in range(steps):
        batch = cutter(texts, return_tensors="pt", padding=True)
        labels = batch["input_ids"]
        generator = torch.Generator().manual_seed(step)
        chosen = (torch.rand(labels.shape, generator=generator) < 0.3) & (labels > 4)
        read = labels.masked_fill(chosen, cutter.mask_token_id)
        loss = model(
            input_ids=read, attention_mask=batch["attention_mask"], labels=labels.masked_fill(~chosen, -100)
        ).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval().save_pretrained(folder)
    cutter.save_pretrained(folder)
    return folder


def loaded(*arguments, **options):
    return load_language_model(save_model(*arguments, **options))
