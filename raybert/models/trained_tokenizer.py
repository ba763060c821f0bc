"""Tokenizers that are trained here, the same on every machine: uncased or cased WordPiece, byte-level BPE."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from raybert.models.merges import Pair, most_frequent_pairs
from raybert.models.wordpiece import wordpiece_vocabulary
from raybert.models.words import count_words

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
"""BERT's special tokens, the first of every vocabulary."""


def train_wordpiece(
    texts: Iterable[str],
    vocabulary: int,
    *,
    lowercase: bool = True,
    min_frequency: int = 2,
    special: Sequence[str] = (),
    max_length: int,
) -> PreTrainedTokenizerFast:
    """Return a WordPiece tokenizer with BERT's normalizer, splitter and special tokens.

    Args:
        texts: any number of them; their order does not matter.
        vocabulary: most pieces; characters are kept even if they alone are more.
        lowercase: also takes accents off, as BERT's uncased models do.
        min_frequency: of the pairs that become a piece.
        special: further special tokens.
        max_length: most pieces of a text.
    """
    normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    splitter = pre_tokenizers.BertPreTokenizer()
    words = count_words(texts, splitter, normalizer)
    pieces = wordpiece_vocabulary(words, vocabulary, (*SPECIAL, *special), min_frequency)
    tokenizer = Tokenizer(models.WordPiece({piece: n for n, piece in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = splitter
    tokenizer.decoder = decoders.WordPiece()
    return _finished(tokenizer, special, max_length)


def train_byte_bpe(
    texts: Iterable[str],
    vocabulary: int,
    *,
    lowercase: bool = False,
    min_frequency: int = 2,
    special: Sequence[str] = (),
    max_length: int,
) -> PreTrainedTokenizerFast:
    """Return a byte-level BPE tokenizer: it reads any text and, unless it lower-cases, gives it back as it was.

    Args:
        texts: any number of them; their order does not matter.
        vocabulary: most pieces; the 256 bytes are kept even if they alone are more.
        lowercase: of texts, before they are cut.
        min_frequency: of the pairs that become a piece.
        special: further special tokens.
        max_length: most pieces of a text.

    Source: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.2 (bytes, and the
    expression by which words are cut).
    """
    normalizer = normalizers.Lowercase() if lowercase else None
    splitter = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words = count_words(texts, splitter, normalizer)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    ids = {piece: n for n, piece in enumerate(dict.fromkeys((*SPECIAL, *special, *alphabet)))}
    merges: list[Pair] = []
    if len(ids) < vocabulary:
        for pair, merged in most_frequent_pairs(words, list, str.__add__, min_frequency):
            merges.append(pair)
            ids.setdefault(merged, len(ids))
            if len(ids) >= vocabulary:
                break
    tokenizer = Tokenizer(models.BPE(vocab=ids, merges=merges))
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = splitter
    tokenizer.decoder = decoders.ByteLevel()
    return _finished(tokenizer, special, max_length)


def _finished(tokenizer: Tokenizer, special: Sequence[str], max_length: int) -> PreTrainedTokenizerFast:
    """Return a tokenizer for `transformers`, that puts `[CLS]` and `[SEP]` around a text and between two."""
    ids = {token: tokenizer.token_to_id(token) for token in ("[CLS]", "[SEP]")}
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=list(ids.items())
    )
    if special:
        tokenizer.add_special_tokens([AddedToken(token, special=True) for token in special])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=max_length,
        model_input_names=["input_ids", "attention_mask"],
    )
