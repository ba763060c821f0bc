"""How long texts an encoder can compute, found by asking it: one batch of the longest, before anything is trained.

No list of architectures knows what a model has: some count positions from the padding piece's number, some call their
limit by another name, some have none. A model that is run on a batch as training makes them says it itself.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import psutil
import pyarrow as pa
import torch
import transformers

from raybert.data.tokens import collate, takes_token_types, tokenize_examples
from raybert.errors import ConfigError, ModelError
from raybert.files import cache_folder, content_key, kept_if_possible
from raybert.models.encoder import Encoder
from raybert.models.layers import encoder_layers

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_SHORT = 4
"""Word pieces of the short batch, beside the special ones: every encoder can compute so few."""
_SCORES_KEPT = 4
"""Matrices of attention scores that are alive at once in an encoder without a fused kernel."""
_SHARE_OF_MEMORY = 0.25


@dataclass(frozen=True)
class Demand:
    """What texts are going to be like.

    Attributes:
        max_length: word pieces per example, special ones included.
        has_pairs: whether examples have second texts.
        key: of the sweep file, which sets the length.
        num_reserved: of `max_length`, which the key does not count.
    """

    max_length: int
    has_pairs: bool = False
    key: str = "data.max_length"
    num_reserved: int = 0


class _Enough(Exception):
    """What was asked for is computed: the rest of the model is not."""


def check_capacity(
    encoder: Encoder, tokenizer: PreTrainedTokenizerFast, demand: Demand, build: Callable[[], Any], shape: str = ""
) -> None:
    """Refuse texts that an encoder cannot compute; what it could is remembered in the cache, for later sweeps too.

    Args:
        encoder: the encoder.
        tokenizer: its tokenizer.
        demand: what texts are going to be like.
        build: loads the model that is going to be trained.
        shape: what else the model depends on.

    Raises:
        ConfigError: the texts are too long; says the limit.
        ModelError: the model cannot be loaded, fails whatever the length, or has fewer embeddings than its tokenizer
            word pieces or token types.
    """
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    remembered = {"encoder": encoder.fingerprint, "shape": shape, "version": 1, **asdict(demand), **versions}
    mark = cache_folder() / "checked_encoders" / content_key(remembered)
    if mark.exists():
        return
    model = build().cpu()
    _check_vocabulary(encoder, model, tokenizer)
    _check_short_batch(encoder, model, tokenizer, demand)
    limit = longest_computed(model, tokenizer, demand.max_length, has_pairs=demand.has_pairs)
    if limit < demand.max_length:
        _refuse_length(encoder, demand, limit)
    with kept_if_possible("what the encoder can compute", mark.parent):
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()


def longest_computed(model: Any, tokenizer: PreTrainedTokenizerFast, most: int, *, has_pairs: bool = False) -> int:
    """Return the length of the longest texts that a model computes, in word pieces; `most` if it computes these.

    An encoder that states a maximum is not asked beyond it: rotary positions, for example, go on for ever, but mean
    nothing there.

    Args:
        model: an encoder, with or without a head, on the CPU.
        tokenizer: its tokenizer.
        most: word pieces, special ones included.
        has_pairs: whether texts are pairs.
    """
    most = min(most, stated_positions(model.config) or most)
    if _failure(model, _batch(model, tokenizer, most, has_pairs=has_pairs)) is None:
        return most
    computed, failed = 0, most
    while failed - computed > 1:
        middle = (computed + failed) // 2
        if middle > tokenizer.num_special_tokens_to_add(has_pairs):
            fails = _failure(model, _batch(model, tokenizer, middle, has_pairs=has_pairs)) is not None
        else:
            fails = False  # nothing is that short
        computed, failed = (computed, middle) if fails else (middle, failed)
    return computed


def stated_positions(config: Any) -> int | None:
    """Return the number of positions that a configuration states; None: it states none, or they are relative."""
    stated: int | None = getattr(config, "max_position_embeddings", None)
    if stated is None or stated < 1 or not getattr(config, "position_biased_input", True):
        return None
    return stated


def _refuse_length(encoder: Encoder, demand: Demand, limit: int) -> NoReturn:
    most = limit - demand.num_reserved
    raise ConfigError(
        f"{demand.key}: must be <= {most} (positions of {encoder.key} '{encoder.name}'), got "
        f"{demand.max_length - demand.num_reserved}; set {demand.key} to {most} or take an encoder for longer texts"
    )


def _check_vocabulary(encoder: Encoder, model: Any, tokenizer: PreTrainedTokenizerFast) -> None:
    """Refuse a tokenizer with more word pieces than there are embeddings.

    Raises:
        ModelError: says both numbers.
    """
    try:
        rows = len(model.base_model.get_input_embeddings().weight)
    except (AttributeError, NotImplementedError):  # no table of embeddings, as of CANINE: then nothing can be missing
        return
    needed = max(tokenizer.get_vocab().values()) + 1
    if needed > rows:
        raise ModelError(
            f"{encoder.label}: its tokenizer has word pieces up to number {needed - 1}, but the encoder "
            f"has {rows} embeddings; take the tokenizer that it was trained with, or save the model after "
            f"`resize_token_embeddings({needed})`"
        )


def _check_short_batch(encoder: Encoder, model: Any, tokenizer: PreTrainedTokenizerFast, demand: Demand) -> None:
    """Refuse a model that cannot compute texts of any length.

    Raises:
        ModelError: says why, and whether the token types are to blame.
    """
    length = min(demand.max_length, tokenizer.num_special_tokens_to_add(demand.has_pairs) + _SHORT)
    batch = _batch(model, tokenizer, length, has_pairs=demand.has_pairs)
    reason = _failure(model, batch)
    if reason is None:
        return
    types = batch.pop("token_type_ids", None)
    if types is not None and _failure(model, batch) is None:
        known = getattr(model.config, "type_vocab_size", None)
        size = f" (type_vocab_size {known})" if isinstance(known, int) else ""
        raise ModelError(
            f"{encoder.label}: its tokenizer gives token types up to {int(types.max())}, which the "
            f'encoder does not know{size}; set "model_input_names": ["input_ids", "attention_mask"] in its '
            "tokenizer_config.json"
        )
    raise ModelError(f"{encoder.label}: cannot compute a batch of two short texts: {reason}")


def _failure(model: Any, batch: dict[str, torch.Tensor]) -> str | None:
    """Return why a model cannot compute a batch as in training; None: it can."""
    length = batch["input_ids"].shape[1]
    try:
        with torch.random.fork_rng(devices=[]), torch.inference_mode(), _ending_early(model, length):
            output = model(**batch)
    except _Enough:
        return None
    except (
        Exception
    ) as error:  # whatever an architecture, or code that comes with it, does about what it cannot compute
        return f"{type(error).__name__}: {next(iter(str(error).strip().splitlines()), '')}"
    values = output.logits if hasattr(output, "logits") else output.last_hidden_state[:, 0]
    return None if torch.isfinite(values).all() else "what it computes is not finite"


@contextlib.contextmanager
def _ending_early(model: Any, length: int) -> Iterator[None]:
    """Leave a forward pass before its first layer where attention might not fit into memory.

    Positions are looked up before the layers; what only layers look up (relative distances) is not asked for then.
    """
    heads = getattr(model.config, "num_attention_heads", None)
    scores = 2 * (heads if isinstance(heads, int) else 12) * length**2 * 4 * _SCORES_KEPT
    _, layers = encoder_layers(model.base_model)
    if not len(layers) or scores < _SHARE_OF_MEMORY * psutil.virtual_memory().available:
        yield
        return

    def end(*_: Any) -> NoReturn:
        raise _Enough

    handle = layers[0].register_forward_pre_hook(end)
    try:
        yield
    finally:
        handle.remove()


def _batch(model: Any, tokenizer: PreTrainedTokenizerFast, length: int, *, has_pairs: bool) -> dict[str, torch.Tensor]:
    """Return a text of exactly so many word pieces beside a shorter one, padded and masked as in training.

    All pieces but the special ones are an ordinary one: what a tokenizer does not know may have the number that the
    model takes for padding, to which it gives no position of its own.
    """
    columns = {"text": ["a " * length, "a"], "label": pa.array([0, 0], pa.int64())}
    if has_pairs:
        columns["text_pair"] = columns["text"]
    table = tokenize_examples(pa.table(columns), tokenizer, length)
    batch = collate(table, np.arange(2), int(tokenizer.pad_token_id), takes_token_types(tokenizer))
    del batch["labels"]
    lacking = length - batch["input_ids"].shape[1]
    # A tokenizer that joins what it does not know makes one piece of all these words: the last is repeated.
    batch = {name: torch.cat([rows, rows[:, -1:].expand(-1, lacking)], dim=1) for name, rows in batch.items()}
    framing = torch.tensor(sorted(set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}))
    is_ordinary = (batch["attention_mask"] == 1) & ~torch.isin(batch["input_ids"], framing)
    batch["input_ids"][is_ordinary] = _ordinary_piece(model, tokenizer)
    return batch


def _ordinary_piece(model: Any, tokenizer: PreTrainedTokenizerFast) -> int:
    """Return the number of a word piece that is not special, to tokenizer or model: the last there is."""
    special = {*tokenizer.all_special_ids, getattr(model.config, "pad_token_id", None)}
    return max((number for number in tokenizer.get_vocab().values() if number not in special), default=0)
