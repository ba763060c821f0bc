"""A masked language model that reads packed sequences, and predicts only what is masked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from raybert.errors import ModelError
from raybert.models.unpadded import NAME as UNPADDED

_HEADS: dict[str, Callable[[Any, torch.Tensor], torch.Tensor]] = {
    "bert": lambda model, hidden: model.cls(hidden),
    "modernbert": lambda model, hidden: model.decoder(model.head(hidden)),
    "roberta": lambda model, hidden: model.lm_head(hidden),
    "xlm-roberta": lambda model, hidden: model.lm_head(hidden),
}
"""By type of model: what makes logits (k, V) of hidden states (k, h), piece by piece."""
PAST_PADDING = ("roberta", "xlm-roberta")
"""Types whose positions begin behind the number of the padding piece."""
PACKABLE = frozenset(_HEADS)
"""Types of models that are known to take a mask per pair of pieces, and positions."""

_MOST_SCORES = 2**26
"""Of attention, that a backward pass may need at once: some 700 MB."""


class MaskedModel(nn.Module):
    """A masked language model of transformers, as the objective of pretraining asks it.

    Args:
        mlm: of transformers, `...ForMaskedLM`.

    Attributes:
        mlm: the same.
        packs: whether it reads several segments in one sequence as if each were alone.
        first_place: number of a segment's first position.
    """

    def __init__(self, mlm: Any) -> None:
        super().__init__()
        self.mlm = mlm
        kind = mlm.config.model_type
        self.packs = kind in PACKABLE
        self._head = _HEADS.get(kind)
        self.first_place = mlm.config.pad_token_id + 1 if kind in PAST_PADDING else 0

    @property
    def base_model(self) -> Any:
        """The encoder."""
        return self.mlm.base_model

    @property
    def config(self) -> Any:
        """That of transformers."""
        return self.mlm.config

    @property
    def is_unpadded(self) -> bool:
        """Whether it reads the pieces of a batch in one row, without padding."""
        return bool(self.config._attn_implementation == UNPADDED)

    def set_attention(self, attention: str) -> None:
        """Compute attention as `model.attention` says.

        Raises:
            ModelError: the architecture cannot.
        """
        if attention == UNPADDED and not self.packs:
            kinds = ", ".join(sorted(PACKABLE))
            raise ModelError(f"model.attention: unpadded is for {kinds}, got '{self.config.model_type}'; take auto")
        try:
            self.mlm.set_attn_implementation(attention)
        except ValueError as error:
            reason = str(error).splitlines()[0]
            raise ModelError(f"model.attention: {attention} is not possible with this model: {reason}") from error

    def forward(
        self,
        input_ids: torch.Tensor,
        segments: torch.Tensor,
        places: torch.Tensor,
        masked_at: torch.Tensor | None,
        filled_at: torch.Tensor | None = None,
        segment_starts: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return hidden states of all pieces, and logits of some.

        Args:
            input_ids: (b, w) int64.
            segments: (b, w) int64, pieces see those of the same segment; -1: padding.
            places: (b, w) int64, positions in the segment.
            masked_at: (k,) int64, places in the flattened batch whose pieces are predicted; None: none are.
            filled_at: (m,) int64, places in the flattened batch that are not padding; for `is_unpadded` alone.
            segment_starts: (s + 1,) int32, which of these begin segments, and m; likewise.

        Returns:
            (b * w, h); (k, V), or None.
        """
        if not self.packs:
            return self._one_by_one(input_ids, segments, masked_at)
        if self.is_unpadded:
            assert filled_at is not None
            assert segment_starts is not None
            hidden = self._in_one_row(input_ids, places, filled_at, segment_starts)
        else:
            hidden = self.base_model(
                input_ids=input_ids,
                attention_mask=self._attention(segments),
                position_ids=places + self.first_place,
            )[0].flatten(0, 1)
        if masked_at is None:
            return hidden, None
        assert self._head is not None
        return hidden, self._head(self.mlm, hidden.index_select(0, masked_at))

    def choose_attention(self, rows: int, width: int, device: torch.device) -> None:
        """Compute attention by plain products where that is faster: of short sequences on a CPU.

        The fused kernel's backward pass there is slow with a mask: a step of the tiny ModernBERT on 64 sequences of 128
        takes 1.35 times as long (measured, bf16, one thread). Plain products keep all scores for it.

        Args:
            rows: sequences of a forward pass.
            width: pieces of a sequence.
            device: where the model will be.
        """
        config = self.config
        scores = config.num_hidden_layers * config.num_attention_heads * rows * width**2
        if device.type == "cpu" and self.packs and config._attn_implementation == "sdpa" and scores <= _MOST_SCORES:
            config._attn_implementation = "eager"

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the folder of the masked language model, as transformers does."""
        self.mlm.save_pretrained(folder)

    def gradient_checkpointing_enable(self, options: dict[str, Any]) -> None:
        """Compute activations anew in the backward pass."""
        # Newer releases of transformers have another name for it, and warn of the old one.
        enable = getattr(self.mlm, "activation_checkpointing_enable", None) or self.mlm.gradient_checkpointing_enable
        enable(options)

    @property
    def supports_gradient_checkpointing(self) -> bool:
        """Whether the architecture can."""
        return bool(getattr(self.mlm, "supports_gradient_checkpointing", False))

    def head_parameters(self) -> list[nn.Parameter]:
        """Return the parameters of the head alone: those that are not the encoder's, too."""
        encoder = {id(parameter) for parameter in self.base_model.parameters()}
        return [parameter for parameter in self.mlm.parameters() if id(parameter) not in encoder]

    def _in_one_row(
        self, input_ids: torch.Tensor, places: torch.Tensor, filled_at: torch.Tensor, segment_starts: torch.Tensor
    ) -> torch.Tensor:
        """Return hidden states (b * w, h) of a batch that is read without its padding, where they are 0."""
        longest = input_ids.shape[1]
        hidden: torch.Tensor = self.base_model(
            input_ids=input_ids.flatten()[filled_at][None],
            position_ids=places.flatten()[filled_at][None] + self.first_place,
            cu_seq_lens_q=segment_starts,
            cu_seq_lens_k=segment_starts,
            max_length_q=longest,
            max_length_k=longest,
        )[0].squeeze(0)
        return hidden.new_zeros(input_ids.numel(), hidden.shape[-1]).index_copy(0, filled_at, hidden)

    def _one_by_one(
        self, input_ids: torch.Tensor, segments: torch.Tensor, masked_at: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Read sequences of one segment each, as any architecture does."""
        mask = (segments >= 0).long()
        if masked_at is None:
            return self.base_model(input_ids=input_ids, attention_mask=mask)[0].flatten(0, 1), None
        output = self.mlm(input_ids=input_ids, attention_mask=mask, output_hidden_states=True)
        return output.hidden_states[-1].flatten(0, 1), output.logits.flatten(0, 1).index_select(0, masked_at)

    def _attention(self, segments: torch.Tensor) -> Any:
        """Return which pieces see each other, (b, 1, w, w), in the form that the architecture takes."""
        config = self.config
        together = segments[:, None, :, None] == segments[:, None, None, :]
        full = self._as_mask(together)
        if config.model_type != "modernbert":
            return full
        window, width = config.sliding_window, segments.shape[1]
        if width <= window + 1:
            return {"full_attention": full, "sliding_attention": full}
        columns = torch.arange(width, device=segments.device)
        near = (columns[:, None] - columns).abs() <= window
        return {"full_attention": full, "sliding_attention": self._as_mask(together & near)}

    def _as_mask(self, seen: torch.Tensor) -> torch.Tensor:
        """Return bool as it is, or what eager attention adds to its scores."""
        if self.config._attn_implementation != "eager":
            return seen
        weights = next(self.parameters())
        zero = torch.zeros((), dtype=weights.dtype, device=seen.device)
        return torch.where(seen, zero, torch.finfo(weights.dtype).min)
