"""The model that is pretrained: a new one of a size, or an encoder that goes on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoModelForMaskedLM, BertConfig, ModernBertConfig

from raybert.config import suggest
from raybert.config.pretrain import PretrainConfig, PretrainedModelConfig
from raybert.errors import ConfigError, ModelError
from raybert.models.capacity import stated_positions
from raybert.models.encoder import Encoder, fingerprint_files
from raybert.models.first_look import check_folder
from raybert.models.pretrained import check_is_encoder, read_model
from raybert.models.quiet import quiet_transformers
from raybert.pretraining.masked_model import MaskedModel

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_KEY = "model.encoder"
_SHAPES = {"tiny": (2, 128), "mini": (4, 256), "small": (4, 512), "base": (12, 768)}
"""Layers and width, as Turc et al. 2019, "Well-Read Students Learn Better", arXiv 1908.08962, call them."""
_HEAD_WIDTH = 64
_DROPOUTS = (
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "embedding_dropout",
    "mlp_dropout",
    "attention_dropout",
)


@dataclass(frozen=True)
class BuiltModel:
    """A model at the beginning of its pretraining.

    Attributes:
        model: on the CPU, in train mode.
        notes: what a user should know: that its head is new.
        identity: what its first weights depend on beside the seed.
    """

    model: MaskedModel
    notes: tuple[str, ...]
    identity: dict[str, Any]


def encoder_in(config: PretrainedModelConfig) -> Encoder | None:
    """Return the encoder that a model section goes on from; None: the model is new.

    Raises:
        ModelError: the folder holds none.
    """
    if config.encoder is None:
        return None
    path = Path(config.encoder).expanduser().resolve()
    if not path.is_dir():
        raise ModelError(f"{_KEY}: must be an existing folder, got {config.encoder}")
    check_folder(f"{_KEY}: {config.encoder}", path)
    return Encoder(config.encoder, path, fingerprint_files(path), key=_KEY)


def build_model(
    config: PretrainedModelConfig, pretrain: PretrainConfig, tokenizer: PreTrainedTokenizerFast, seed: int
) -> BuiltModel:
    """Return the model of a section; torch's generator is afterwards as it was.

    Args:
        config: the section `model`.
        pretrain: the section `pretrain`.
        tokenizer: that the model reads; of an encoder that goes on its own.
        seed: of whatever does not come from files.

    Raises:
        ConfigError: a key is none of the architecture, or it has not that many positions.
        ModelError: the encoder cannot be loaded, or is none.
    """
    encoder = encoder_in(config)
    with torch.random.fork_rng(devices=[]), quiet_transformers():
        torch.manual_seed(seed)
        if encoder is None:
            made = _new_config(config, pretrain, tokenizer)
            mlm = AutoModelForMaskedLM.from_config(made)
            notes: tuple[str, ...] = ()
            identity: dict[str, Any] = {
                "config": {k: v for k, v in made.to_dict().items() if k != "transformers_version"}
            }
        else:
            mlm, notes = _continued(encoder, pretrain)
            identity = {"encoder": encoder.fingerprint}
    model = MaskedModel(mlm).train()
    if config.attention != "auto":
        model.set_attention(config.attention)
    _check_positions(model, pretrain.max_length)
    _check_vocabulary(mlm, tokenizer)
    if pretrain.masked is None:
        for parameter in model.head_parameters():  # which would have no part in the loss
            parameter.requires_grad_(False)
    if not model.packs:
        notes = (
            *notes,
            f"a model of type '{mlm.config.model_type}' is not known to keep documents in a sequence apart: each has "
            "one of its own",
        )
    return BuiltModel(model, notes, identity)


def _new_config(
    config: PretrainedModelConfig, pretrain: PretrainConfig, tokenizer: PreTrainedTokenizerFast
) -> BertConfig | ModernBertConfig:
    """Return the configuration of a new model.

    Raises:
        ConfigError: a key is none of the architecture.
    """
    layers, width = _SHAPES[config.size]
    width = int(config.config.get("hidden_size", width))
    pieces = {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "num_hidden_layers": layers,
        "hidden_size": width,
        "num_attention_heads": max(1, width // _HEAD_WIDTH),
    }
    if config.kind == "bert":
        own: dict[str, Any] = {"intermediate_size": 4 * width, "max_position_embeddings": max(512, pretrain.max_length)}
        kind: type[Any] = BertConfig
    else:
        begin, end = tokenizer.cls_token_id, tokenizer.sep_token_id
        ids = {"bos_token_id": begin, "cls_token_id": begin, "eos_token_id": end, "sep_token_id": end}
        own = {
            "intermediate_size": width * 3 // 2,
            "max_position_embeddings": max(8192, pretrain.max_length),
            "classifier_pooling": "mean",
            **ids,
        }
        kind = ModernBertConfig
    known = kind().to_dict()
    for key in config.config:
        if key not in known or key in ("vocab_size", "model_type"):
            raise ConfigError(f"model.config.{key}: must be a key of {kind.__name__}{suggest(key, known)}, got '{key}'")
    dropouts = {}
    if pretrain.contrastive is not None:
        dropouts = {key: pretrain.contrastive.dropout for key in _DROPOUTS if key in known}
    try:
        return kind(**{**pieces, **own, **dropouts, **config.config})
    except (TypeError, ValueError) as error:
        raise ConfigError(f"model.config: must be a {kind.__name__}: {str(error).splitlines()[0]}") from None


def _continued(encoder: Encoder, pretrain: PretrainConfig) -> tuple[Any, tuple[str, ...]]:
    """Return the masked language model of an encoder's files, and notes."""
    made = check_is_encoder(encoder)
    if pretrain.contrastive is not None:
        for key in _DROPOUTS:
            if hasattr(made, key):
                setattr(made, key, pretrain.contrastive.dropout)
    mlm, missing = read_model(AutoModelForMaskedLM, encoder, made)
    inside = {f"{mlm.base_model_prefix}."}
    lacking = sorted(name for name in missing if not name.startswith(tuple(inside)))
    if not lacking:
        return mlm, ()
    return mlm, (
        f"{encoder.name}: has no head of masked language modelling ({lacking[0]}, ...): it is new, from the seed",
    )


def _check_positions(model: MaskedModel, max_length: int) -> None:
    stated = stated_positions(model.config)
    most = None if stated is None else stated - model.first_place
    if most is not None and max_length > most:
        raise ConfigError(f"pretrain.max_length: must be <= {most} (positions of the model), got {max_length}")


def _check_vocabulary(mlm: Any, tokenizer: PreTrainedTokenizerFast) -> None:
    rows = len(mlm.get_input_embeddings().weight)
    if len(tokenizer) > rows:
        raise ModelError(
            f"{_KEY}: must have an embedding for each of the {len(tokenizer)} word pieces of its tokenizer, has {rows}"
        )
