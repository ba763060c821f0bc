"""Reading a batch without its padding: the word pieces of all texts in one row, attention within each text.

Matrix products are of word pieces alone, and attention needs no mask: on a GPU torch's fused kernels for sequences of
several lengths run, which one with a mask keeps from running. On a CPU every text is computed for itself, which is slow
and there for tests.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers import AttentionInterface

from raybert.errors import ModelError

NAME = "unpadded"
"""Value of `model.attention`, and what transformers knows the function below as."""
FIRST_PLACES: dict[str, Callable[[Any], int]] = {"bert": lambda config: 0, "modernbert": lambda config: 0}
"""Types of models that take positions and lengths of texts -> number of a text's first position."""
for _type in ("roberta", "xlm-roberta"):
    FIRST_PLACES[_type] = lambda config: int(config.pad_token_id) + 1
_PIECES, _STARTS = "unpadded_pieces", "unpadded_starts"


def attend(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    cu_seq_lens_q: torch.Tensor,
    max_length_q: int,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """Return (1, total, heads, d): the attention of texts that lie end to end, each over its own word pieces.

    Args:
        module: the layer; not read.
        query: (1, heads, total, d), as `key` and `value`.
        key: likewise.
        value: likewise.
        attention_mask: None: lengths say what sees what.
        cu_seq_lens_q: (n + 1,) int32, where texts begin, and the end.
        max_length_q: pieces of the longest text, or more.
        dropout: of attention.
        scaling: of scores; None: 1 / sqrt(d).
        sliding_window: pieces see those less than so many places away; None: all.
        others: what transformers passes besides; not read.
    """
    q, k, v = (tensor.squeeze(0).transpose(0, 1) for tensor in (query, key, value))  # (total, heads, d)
    reach = None if sliding_window is None else sliding_window - 1
    if query.device.type == "cpu":
        return _one_by_one(q, k, v, cu_seq_lens_q, dropout, scaling, reach)[None], None
    if query.dtype in (torch.float16, torch.bfloat16) and not dropout:
        from torch.nn.attention.varlen import varlen_attn

        window = (-1, -1) if reach is None else (reach, reach)
        starts, longest = cu_seq_lens_q, max_length_q
        attended: Any = varlen_attn(q, k, v, starts, starts, longest, longest, scale=scaling, window_size=window)
        return attended[None], None
    if reach is not None and reach + 1 < max_length_q:
        raise ModelError(
            "model.attention: unpadded needs bf16 or fp16 and no dropout of attention on a GPU where layers see a "
            f"window only, got {query.dtype} and dropout {dropout:g}; take sdpa, or set model.dropout: 0"
        )
    return nested(q, k, v, cu_seq_lens_q, max_length_q, dropout, scaling)[None], None


def nested(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    starts: torch.Tensor,
    longest: int,
    dropout: float,
    scaling: float | None,
) -> torch.Tensor:
    """Return the same as `attend` for (total, heads, d), by nested tensors, which know dropout but no window."""
    offsets = starts.long()
    q, k, v = (
        torch.nested.nested_tensor_from_jagged(rows, offsets, min_seqlen=1, max_seqlen=longest).transpose(1, 2)
        for rows in (query, key, value)
    )
    attended: Any = functional.scaled_dot_product_attention(q, k, v, dropout_p=dropout, scale=scaling)
    return attended.transpose(1, 2).values()  # type: ignore[no-any-return]


@torch.compiler.disable  # type: ignore[untyped-decorator]
def _one_by_one(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    starts: torch.Tensor,
    dropout: float,
    scaling: float | None,
    reach: int | None,
) -> torch.Tensor:
    bounds = starts.tolist()
    done = []
    for start, end in pairwise(bounds):
        q, k, v = (rows[start:end].transpose(0, 1)[None] for rows in (query, key, value))
        seen = None
        if reach is not None and end - start > reach + 1:
            columns = torch.arange(end - start, device=query.device)
            seen = (columns[:, None] - columns).abs() <= reach
        out = functional.scaled_dot_product_attention(q, k, v, seen, dropout, scale=scaling)
        done.append(out[0].transpose(0, 1))
    return torch.cat(done)


AttentionInterface.register(NAME, attend)


def read_unpadded(model: Any) -> Any:
    """Make an encoder or a classifier read batches without padding, and return it.

    It takes the same inputs, padded on the right, and gives the same outputs; hidden states of padding are 0.

    Raises:
        ModelError: the architecture is not known to take positions and lengths.
    """
    base = model.base_model
    kind = base.config.model_type
    if kind not in FIRST_PLACES:
        raise ModelError(
            f"model.attention: unpadded is for models of type {', '.join(FIRST_PLACES)}, got '{kind}'; take sdpa"
        )
    base.set_attn_implementation(NAME)
    packing = _Packing(FIRST_PLACES[kind](base.config))
    base.register_forward_pre_hook(packing.pack, with_kwargs=True)
    base.register_forward_hook(packing.unpack, prepend=True)
    if getattr(base, "pooler", None) is not None:
        base.pooler.register_forward_pre_hook(packing.first_pieces)
    return model


def reads_unpadded(model: Any) -> bool:
    """Tell whether a model reads batches without padding."""
    config = getattr(getattr(model, "base_model", None), "config", None)
    return getattr(config, "_attn_implementation", None) == NAME


def with_lengths(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return a batch of the CPU with what `read_unpadded` would otherwise have to wait for a GPU for."""
    pieces, starts = _lengths(batch["attention_mask"])
    return {**batch, _PIECES: pieces, _STARTS: starts}


@dataclass
class _Packing:
    """The hooks of one encoder, and the batch that is in it.

    Attributes:
        first_place: number of a text's first position.
    """

    first_place: int
    pieces: torch.Tensor | None = None
    starts: torch.Tensor | None = None
    shape: tuple[int, int] = (0, 0)

    def pack(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], Any]:
        """Put the pieces of all texts into one row."""
        self.pieces = self.starts = None
        if module.config._attn_implementation != NAME:  # for a moment it is another: attention weights are looked at
            return args, kwargs
        named = {**dict(zip(("input_ids",), args, strict=False)), **kwargs}
        ids = named.pop("input_ids", None)
        if ids is None or len(args) > 1:
            raise ModelError(
                "model.attention: unpadded reads word pieces by the name `input_ids`, take sdpa for others"
            )
        mask = named.pop("attention_mask", None)
        self.pieces, self.starts = named.pop(_PIECES, None), named.pop(_STARTS, None)
        if self.pieces is None or self.starts is None:
            self.pieces, self.starts = _lengths(torch.ones_like(ids) if mask is None else mask)
        self.shape = (ids.shape[0], ids.shape[1])
        types = named.pop("token_type_ids", None)
        if types is not None:
            named["token_type_ids"] = types.flatten()[self.pieces][None]
        longest = ids.shape[1]
        named |= {"cu_seq_lens_q": self.starts, "cu_seq_lens_k": self.starts}
        named |= {"max_length_q": longest, "max_length_k": longest}
        named["input_ids"] = ids.flatten()[self.pieces][None]
        named["position_ids"] = (self.pieces % longest + self.first_place)[None]
        return (), named

    def unpack(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        """Put hidden states where their pieces are in the batch."""
        if self.pieces is None:
            return output
        hidden = output.last_hidden_state[0]  # (total, h)
        padded = hidden.new_zeros(math.prod(self.shape), hidden.shape[-1]).index_copy(0, self.pieces, hidden)
        output.last_hidden_state = padded.view(*self.shape, -1)
        return output

    def first_pieces(self, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Hand a pooler, which reads the first piece of a text, (b, 1, h)."""
        if self.starts is None:
            return args
        return (args[0][0].index_select(0, self.starts[:-1].long())[:, None],)


def _lengths(mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (total,) int64 places of word pieces in a flattened batch, and (b + 1,) int32 where texts begin."""
    filled = mask.bool()
    starts = functional.pad(filled.sum(1).cumsum(0), (1, 0)).int()
    return filled.flatten().nonzero()[:, 0], starts
