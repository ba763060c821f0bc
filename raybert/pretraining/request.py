"""What is pretrained, and where; and what tells one request from another."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raybert.config.pretrain import PretrainConfig, PretrainedModelConfig
from raybert.pretraining.build import encoder_in
from raybert.pretraining.corpora import Corpus
from raybert.pretraining.packing import identity_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_OF_NO_RESULT = {"micro_batch_size", "checkpoint_seconds", "checkpoints"}


@dataclass(frozen=True)
class PretrainRequest:
    """What is trained, and where; may be sent to another process.

    Attributes:
        model: the section `model`.
        pretrain: the section `pretrain`.
        corpus: its train and validation are read.
        tokenizer: folder of the tokenizer.
        seed: of first weights, order, masks and dropout.
        folder: of this model.
        device: default: a GPU if there is one.
    """

    model: PretrainedModelConfig
    pretrain: PretrainConfig
    corpus: Corpus
    tokenizer: Path
    seed: int
    folder: Path
    device: str | None = None

    @property
    def name(self) -> str:
        """That of its folder: of a study corpus and seed."""
        return self.folder.name


def identity_of_request(request: PretrainRequest, tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    """Return what the model depends on, as JSON."""
    encoder = encoder_in(request.model)
    model = request.model.model_dump(mode="json") if encoder is None else {"encoder": encoder.fingerprint}
    if request.model.attention == "auto":  # ids of runs from before it know nothing of it
        model.pop("attention", None)
    else:
        model["attention"] = request.model.attention
    identity = {
        "model": model,
        "pretrain": request.pretrain.model_dump(mode="json", exclude=_OF_NO_RESULT),
        "corpus": request.corpus.fingerprint,
        "tokenizer": identity_of(tokenizer),
        "seed": request.seed,
    }
    return dict(json.loads(json.dumps(identity)))


def differing_keys(before: Mapping[str, Any], after: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Return the dotted keys that two identities differ in."""
    found = []
    for key in dict.fromkeys([*before, *after]):
        old, new = before.get(key), after.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += differing_keys(old, new, f"{prefix}{key}.")
        elif old != new:
            found.append(f"{prefix}{key}")
    return found
