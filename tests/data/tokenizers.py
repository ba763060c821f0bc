"""One tokenizer of every kind, trained on the built-in corpus of words here: what is cut must not depend on the kind."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

WORDS = (
    "the movie was not good at all and I would never watch it again unhappy people said that nothing happened "
    "in 1984 or 12345678 ; it's can't don't -- ... ( e.g. ) http://example.com/a/b?c=d the cat sat on the mat "
    "naïve café déjà vu über Straße ΣΊΣΥΦΟΣ привет мир 東京都 中文字符 日本語 한국어 नमस्ते दुनिया مرحبا بالعالم 🙂👍🏽 🏳️‍🌈 "
)
SPECIALS = {"unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]"}
_NAMES = list(SPECIALS.values())


def _trained(backend: Tokenizer, trainer: trainers.Trainer) -> Tokenizer:
    backend.train_from_iterator([WORDS, WORDS.lower(), WORDS[::-1]] * 20, trainer)
    numbers = [(name, backend.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=numbers
    )
    return backend


def _wordpiece(**options: bool) -> Tokenizer:
    backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(**options)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    return _trained(backend, trainers.WordPieceTrainer(vocab_size=400, special_tokens=_NAMES, show_progress=False))


def _byte_level(normalizer: normalizers.Normalizer | None = None, *, prefix: bool = False) -> Tokenizer:
    backend = Tokenizer(models.BPE(unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    if normalizer is not None:
        backend.normalizer = normalizer
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=_NAMES,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    return _trained(backend, trainer)


def _split_byte_level() -> Tokenizer:
    """As of ModernBERT and Llama: a regular expression, runs of digits, NFC."""
    backend = _byte_level(normalizers.NFC())
    words = Regex(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(words, "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    backend.add_tokens([AddedToken("  ", normalized=False), AddedToken("New York", single_word=True)])
    return backend


def _unigram(*, knows_words: bool) -> Tokenizer:
    """As of XLM-R (words) or of models that see the whole text as one word."""
    backend = Tokenizer(models.Unigram())
    backend.normalizer = normalizers.Sequence(
        [normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    backend.pre_tokenizer = pre_tokenizers.Metaspace(split=knows_words)
    trainer = trainers.UnigramTrainer(
        vocab_size=320, special_tokens=_NAMES, unk_token="[UNK]", show_progress=False, max_piece_length=8
    )
    return _trained(backend, trainer)


def _wordless_bpe() -> Tokenizer:
    """As of mmBERT (Gemma): spaces become a letter, and nothing splits the text."""
    backend = Tokenizer(models.BPE(unk_token="[UNK]", fuse_unk=True, byte_fallback=False))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(split=True)
    backend = _trained(
        backend, trainers.BpeTrainer(vocab_size=400, special_tokens=_NAMES, show_progress=False, max_token_length=8)
    )
    backend.normalizer = normalizers.Replace(" ", "▁")
    backend.pre_tokenizer = pre_tokenizers.Split("\x00", "isolated")
    return backend


KINDS: dict[str, Callable[[], Tokenizer]] = {
    "bert": lambda: _wordpiece(),
    "bert-cased": lambda: _wordpiece(lowercase=False, strip_accents=False, handle_chinese_chars=False),
    "byte-level": lambda: _byte_level(),
    "byte-level-prefix": lambda: _byte_level(
        normalizers.Sequence([normalizers.NFKD(), normalizers.StripAccents()]), prefix=True
    ),
    "split-byte-level": _split_byte_level,
    "unigram": lambda: _unigram(knows_words=True),
    "wordless-unigram": lambda: _unigram(knows_words=False),
    "wordless-bpe": _wordless_bpe,
}


@cache
def definition_of(kind: str) -> str:
    return KINDS[kind]().to_str()


def tokenizer_of(kind: str, side: str = "right") -> PreTrainedTokenizerFast:
    backend = Tokenizer.from_str(definition_of(kind))
    return PreTrainedTokenizerFast(tokenizer_object=backend, truncation_side=side, **SPECIALS)
