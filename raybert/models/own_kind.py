"""Models of a user's own that a sweep file names: `model.kind: "module:callable"`, made, checked, saved and loaded."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from raybert.config import ModelConfig, import_attribute
from raybert.config.code_digest import code_digest
from raybert.config.model import OWN_FACTS
from raybert.data.tokens import collate, takes_token_types, tokenize_examples
from raybert.errors import ModelError, RaybertError, UntrustedCode
from raybert.files import read_json
from raybert.models.encoder import Encoder, load_tokenizer
from raybert.models.own import MODEL_TYPE, WEIGHTS, OwnClassifier

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_KEY = "model.kind"


def build_own(encoder: Encoder, label_names: tuple[str, ...], seed: int, config: ModelConfig) -> OwnClassifier:
    """Return a model of a user's own in train mode, made with torch's generator at a seed; it is left as it was.

    Args:
        encoder: whose tokenizer cuts the texts; the model may begin from its files.
        label_names: class number -> name.
        seed: of the weights that the model draws.
        config: the model section.

    Raises:
        ConfigError: the callable cannot be imported.
        ModelError: it raises, or makes no module.
    """
    maker = import_attribute(config.kind, _KEY)
    facts: dict[str, Callable[[], Any]] = {
        "num_classes": lambda: len(label_names),
        "encoder": lambda: str(encoder.path),
        "vocab_size": lambda: max(load_tokenizer(encoder).get_vocab().values()) + 1,
    }
    wanted = _named_by(maker, config.kind)
    given = {name: fact() for name, fact in facts.items() if name in wanted}
    origin = {
        "kind": config.kind,
        "options": config.options,
        "facts": given,
        "label_names": list(label_names),
        "code": code_digest(maker, config.kind),
    }
    return OwnClassifier(_make(maker, config.kind, config.options, given, seed), origin).train()


def load_own(folder: Path, *, trust: bool) -> OwnClassifier:
    """Return a model of a user's own that a run has saved, in eval mode.

    Args:
        folder: of the model.
        trust: whether the code that the folder names may run.

    Raises:
        UntrustedCode: it may not.
        ModelError: it cannot be made, or the weights are of another model.
    """
    origin = read_json(folder / "config.json") or {}
    kind, options, facts = str(origin.get("kind")), origin.get("options") or {}, origin.get("facts") or {}
    if not trust:
        raise UntrustedCode(
            f"{folder}: names code that loading the model would run here: {kind}; read it, and allow it with --trust "
            "(Python: `trust=True`; load_model: `trust_remote_code=True`)",
            (kind,),
        )
    encoder = facts.get("encoder")
    if encoder is not None and not (Path(encoder) / "config.json").is_file():
        raise ModelError(f"{folder}: needs the encoder that it was made with; not at '{encoder}'")
    module = _make(import_attribute(kind, f"{folder}: {_KEY}"), kind, options, facts, 0)
    try:
        if callable(getattr(module, "load", None)):
            module.load(folder)  # type: ignore[operator]
        else:
            module.load_state_dict(load_file(folder / WEIGHTS))
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ModelError(f"{folder}: its weights do not fit '{kind}' as it is here: {reason}") from error
    return OwnClassifier(module, {key: value for key, value in origin.items() if key != "model_type"}).eval()


def is_own_model(folder: Path) -> bool:
    """Tell whether a folder holds a model of a user's own."""
    return (read_json(folder / "config.json") or {}).get("model_type") == MODEL_TYPE


def note_on_code(folder: Path) -> tuple[str, ...]:
    """Return a line where the code of a model that has been imported is not that which was trained."""
    origin = read_json(folder / "config.json") or {}
    if origin.get("model_type") != MODEL_TYPE:
        return ()
    kind = str(origin["kind"])
    now = code_digest(import_attribute(kind, _KEY), kind)
    if now is None or origin.get("code") in (None, now):
        return ()
    return (f"the code of {_KEY} '{kind}' changed since the model was trained",)


def check_own(
    encoder: Encoder,
    tokenizer: PreTrainedTokenizerFast,
    config: ModelConfig,
    label_names: tuple[str, ...],
    max_length: int,
    *,
    has_pairs: bool,
) -> None:
    """Refuse a model of a user's own that cannot be made, or cannot compute a batch: before anything is trained.

    Args:
        encoder: whose tokenizer cuts the texts.
        tokenizer: its tokenizer.
        config: the model section.
        label_names: class number -> name.
        max_length: word pieces of the longest text.
        has_pairs: whether texts are pairs.

    Raises:
        ModelError: says what is wrong.
    """
    model = build_own(encoder, label_names, 0, config).eval()
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ModelError(f"{_KEY}: '{config.kind}' must have parameters that can be trained, has none")
    columns: dict[str, Any] = {"text": ["a " * max_length, "a"], "label": pa.array([0, 0], pa.int64())}
    if has_pairs:
        columns["text_pair"] = columns["text"]
    table = tokenize_examples(pa.table(columns), tokenizer, max_length)
    batch = collate(table, np.arange(2), int(tokenizer.pad_token_id), takes_token_types(tokenizer))
    del batch["labels"]
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        logits = _computed(model, batch, config.kind)
    if logits.shape[1] != len(label_names):
        raise ModelError(
            f"{_KEY}: '{config.kind}' must return (b, {len(label_names)}) logits, one for each class, got "
            f"{tuple(logits.shape)} of 2 texts; take `num_classes` in its signature"
        )
    if not torch.isfinite(logits).all():
        raise ModelError(f"{_KEY}: '{config.kind}' must return finite logits, got {logits[0].tolist()}")


def _computed(model: OwnClassifier, batch: dict[str, torch.Tensor], kind: str) -> torch.Tensor:
    shape = tuple(batch["input_ids"].shape)
    try:
        logits: torch.Tensor = model(**batch).logits
    except RaybertError as error:
        raise ModelError(f"{_KEY}: '{kind}': {str(error).removeprefix('model: ')}") from error
    except Exception as error:  # a user's own code may raise anything
        raise ModelError(f"{_KEY}: '{kind}' cannot compute a batch of {shape} word pieces: {_said(error)}") from error
    return logits


def _named_by(maker: Any, kind: str) -> frozenset[str]:
    """Return which facts the signature of a callable names.

    Raises:
        ModelError: it cannot be called.
    """
    if not callable(maker):
        raise ModelError(f"{_KEY}: '{kind}' must be callable (options) -> torch.nn.Module, got {type(maker).__name__}")
    parameters = inspect.signature(maker).parameters
    takes_all = any(one.kind is one.VAR_KEYWORD for one in parameters.values())
    return frozenset(name for name in OWN_FACTS if takes_all or name in parameters)


def _make(maker: Any, kind: str, options: Mapping[str, Any], facts: Mapping[str, Any], seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            module = maker(**options, **facts)
        except RaybertError:
            raise
        except Exception as error:  # a user's own code may raise anything
            given = ", ".join((*options, *facts)) or "nothing"
            raise ModelError(f"{_KEY}: '{kind}' cannot be made of {given}: {_said(error)}") from error
    if not isinstance(module, nn.Module):
        raise ModelError(f"{_KEY}: '{kind}' must make a torch.nn.Module, got {type(module).__name__}")
    return module


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
