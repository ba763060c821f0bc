"""`raybert-tiny-random`: an encoder that knows nothing, of any language, to compare pretrained ones with.

Two ModernBERT layers, 128 wide, with a WordPiece vocabulary of at most 8,192 trained on the pool. Its weights are
random (from a fixed seed, so it is the same encoder everywhere); the classifier pools by mean, which learns from random
weights much faster than a CLS token does.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pyarrow as pa
import torch
from transformers import ModernBertConfig, ModernBertModel, PreTrainedTokenizerFast

from raybert.data.strings import StreamedStrings
from raybert.durable import atomic_folder, hold, make_folder, remove_leftovers
from raybert.files import is_as_digested, kept_if_possible, write_digests
from raybert.locks import locked
from raybert.models.embedded import TINY_RANDOM
from raybert.models.quiet import quiet_transformers
from raybert.models.trained_tokenizer import train_wordpiece
from raybert.private_folders import PrivateFolder

_MARK = "COMPLETE"

_RECIPE = {
    "version": 2,
    "vocabulary": 8192,
    "width": 128,
    "layers": 2,
    "heads": 2,
    "intermediate": 192,
    "max_length": 8192,
    "seed": 20261121,
}


def build_random_encoder(texts: Iterable[str], cache_folder: Path) -> Path:
    """Return the folder of the encoder for these texts, made on first use.

    Args:
        texts: what the vocabulary is trained on; their order does not matter.
        cache_folder: the encoder is kept in `encoders/<hash of texts and recipe>` below it; what is damaged there is
            made again.
    """
    if not isinstance(texts, StreamedStrings):
        texts = StreamedStrings([pa.chunked_array([pa.array(texts, pa.large_string())])])
    name = f"{TINY_RANDOM}-{_key(texts)}"
    folder = cache_folder / "encoders" / name
    if folder.is_symlink() or not is_as_digested(folder):
        with kept_if_possible(f"the encoder {TINY_RANDOM}", folder.parent):
            _make(texts, folder)
            return _held(folder)
        folder = _scratch() / name
        _make(texts, folder)
    return _held(folder)


@cache
def _held(folder: Path) -> Path:
    """Return a folder that this process uses from now on, so that `raybert cache clear` leaves it alone."""
    with contextlib.suppress(OSError):
        hold(folder)
    return folder


def _make(texts: Iterable[str], folder: Path) -> None:
    make_folder(folder.parent)
    with locked(folder.with_name(f".{folder.name}.lock")):
        if folder.is_symlink():  # what it leads to is not the cache's
            folder.unlink()
        if not is_as_digested(folder):  # another process has not made it meanwhile
            remove_leftovers(folder.parent)
            (folder / _MARK).unlink(missing_ok=True)  # torn, or of a version that kept no digests
            _publish(texts, folder)


@cache
def _scratch() -> Path:
    """Return a folder that goes with this process, for encoders that the cache has no room for."""
    folder = PrivateFolder.make()
    atexit.register(folder.remove)
    return folder.path


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """Return an uncased WordPiece tokenizer with BERT's special tokens, trained on texts."""
    return train_wordpiece(texts, vocabulary, max_length=_RECIPE["max_length"])


def _key(texts: StreamedStrings) -> str:
    digest = hashlib.sha256(json.dumps(_RECIPE, sort_keys=True).encode())
    for text in texts.in_order():
        digest.update(len(text).to_bytes(8, "little") + text.encode())
    return digest.hexdigest()[:16]


def _publish(texts: Iterable[str], folder: Path) -> None:
    """Build beside the place and rename into it: of two processes at once one wins, with the same files."""
    with atomic_folder(folder, mark=_MARK, keeps_existing=True) as fresh, quiet_transformers():
        tokenizer = train_tokenizer(texts, _RECIPE["vocabulary"])
        tokenizer.save_pretrained(fresh)
        _random_encoder(tokenizer).save_pretrained(fresh)
        write_digests(fresh)


def _random_encoder(tokenizer: PreTrainedTokenizerFast) -> ModernBertModel:
    config = ModernBertConfig(
        vocab_size=len(tokenizer),
        hidden_size=_RECIPE["width"],
        num_hidden_layers=_RECIPE["layers"],
        num_attention_heads=_RECIPE["heads"],
        intermediate_size=_RECIPE["intermediate"],
        max_position_embeddings=_RECIPE["max_length"],
        classifier_pooling="mean",
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.cls_token_id,
        cls_token_id=tokenizer.cls_token_id,
        eos_token_id=tokenizer.sep_token_id,
        sep_token_id=tokenizer.sep_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_RECIPE["seed"])
        return ModernBertModel(config)
