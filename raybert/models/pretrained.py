"""Pretrained files become a model, all of them or none: what is missing or of another shape is refused, not made up."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

from raybert.errors import ModelError
from raybert.models.encoder import Encoder, explain
from raybert.models.quiet import quiet_transformers
from raybert.models.weights_format import only_safetensors


def read_config(encoder: Encoder) -> Any:
    """Return the configuration of an encoder.

    Raises:
        ModelError: its config.json cannot be read.
    """
    try:
        return AutoConfig.from_pretrained(encoder.path, trust_remote_code=encoder.trust_remote_code)
    except Exception as error:  # code that comes with a model may raise anything
        raise ModelError(f"{encoder.label}: its config.json cannot be read: {explain(error)}") from error


def check_is_encoder(encoder: Encoder) -> Any:
    """Return the configuration of an encoder; masked-LM architectures are the BERT-like ones.

    Raises:
        ModelError: it is something else.
    """
    config = read_config(encoder)
    is_known = config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES or encoder.trust_remote_code
    if getattr(config, "is_encoder_decoder", False) or not is_known:
        raise ModelError(f"{encoder.label}: must be a BERT-like encoder, got a model of type '{config.model_type}'")
    return config


def read_model(auto: Any, encoder: Encoder, config: Any = None, attention: str = "auto") -> tuple[Any, set[str]]:
    """Return the model of an encoder's files in float32, whatever they are stored in, and what the files lack of it.

    Args:
        auto: `AutoModel` or one of its kind.
        encoder: the encoder.
        config: in place of that of the files.
        attention: implementation, as in `model.attention`.

    Raises:
        ModelError: it cannot be loaded, does not have this attention, or the files lack weights of the encoder itself:
            those would be random.
    """
    changed = {} if config is None else {"config": config}
    changed |= {} if attention == "auto" else {"attn_implementation": attention}
    with quiet_transformers(), torch.random.fork_rng(devices=[]):
        try:
            model, info = auto.from_pretrained(
                encoder.path,
                dtype=torch.float32,
                ignore_mismatched_sizes=True,  # of a head that was trained for other classes
                output_loading_info=True,
                trust_remote_code=encoder.trust_remote_code,
                use_safetensors=only_safetensors(),
                **changed,
            )
        except Exception as error:  # files and code of somebody else may raise anything
            if attention != "auto" and attention.split("_")[0] in str(error).lower():
                raise ModelError(
                    f"model.attention: {attention} is not possible with '{encoder.name}': {explain(error)}"
                ) from error
            raise ModelError(f"{encoder.label}: cannot be loaded: {explain(error)}") from error
    _check_whole(encoder, model, info)
    return model, set(info["missing_keys"])


def _check_whole(encoder: Encoder, model: Any, info: dict[str, Any]) -> None:
    """Refuse files without all weights of the encoder; heads and poolers may be new.

    Raises:
        ModelError: names one of them.
    """
    backbone = model.base_model
    prefix = "" if backbone is model else f"{model.base_model_prefix}."

    def is_own(name: str) -> bool:
        return name.startswith(prefix) and "pooler" not in name

    for name, stored, wanted in info["mismatched_keys"]:
        if is_own(name):
            raise ModelError(
                f"{encoder.label}: its weights must be as config.json describes them, but {name} is "
                f"{list(stored)} in the files and {list(wanted)} by config.json; repair config.json"
            )
    missing = sorted(filter(is_own, info["missing_keys"]))
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ModelError(
            f"{encoder.label}: its files must hold all weights of a model of type "
            f"'{model.config.model_type}', but lack {missing[0]}{more}"
        )
