"""An encoder with a classification head: loaded once per process, reset for every trial."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from transformers import AutoModel, AutoModelForSequenceClassification

from raybert.config import HeadConfig, ModelConfig
from raybert.config.tasks import CLASSIFICATION, PROBLEM_TYPES, Task
from raybert.errors import ModelError
from raybert.files import read_json
from raybert.models.encoder import Encoder, loading
from raybert.models.iris import MODEL_TYPE as IRIS_TYPE
from raybert.models.iris import IrisClassifier
from raybert.models.layers import freeze
from raybert.models.own import MODEL_TYPE as OWN_TYPE
from raybert.models.own import OwnClassifier
from raybert.models.own_kind import build_own, load_own
from raybert.models.pooled import MODEL_TYPE as POOLED_TYPE
from raybert.models.pooled import PooledClassifier
from raybert.models.pretrained import check_is_encoder, read_config, read_model
from raybert.models.quiet import quiet_transformers
from raybert.models.tasks import forget_scale, last_linear
from raybert.models.unpadded import NAME as UNPADDED
from raybert.models.unpadded import read_unpadded
from raybert.models.weights_format import check_weights, only_safetensors

_DROPOUT_KEYS = (
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "classifier_dropout",
    "dropout",
    "attention_dropout",
    "seq_classif_dropout",
    "embedding_dropout",
    "mlp_dropout",
    "pooler_dropout",
    "cls_dropout",
)


@dataclass(frozen=True)
class _Warm:
    """A loaded model and what it was like.

    Attributes:
        model: the module.
        pristine: the tensors that come from files.
        initialize: gives the others new values from a seed.
    """

    model: Any
    pristine: dict[str, torch.Tensor]
    initialize: Callable[[int], None]


_warm: dict[tuple[Any, ...], _Warm] = {}


def build_classifier(
    encoder: Encoder, label_names: tuple[str, ...], seed: int, config: ModelConfig, task: Task = CLASSIFICATION
) -> Any:
    """Return the classifier that a model section describes, in train mode, with a fresh head.

    The backbone comes from the encoder's files; everything outside of it, and what the files lack, is initialised from
    a generator of its own. The global generator is left as it was.

    A process keeps the last model it loaded: the same arguments again give *the same module*, reset to exactly its
    initial state. Head and pooling compute in float32 even under autocast. A model of a user's own is made anew.

    Args:
        encoder: the encoder.
        label_names: class number -> name; of another task the names of the outputs.
        seed: of the head.
        config: the model section; its `encoder` is not read.
        task: what is predicted; the model's own configuration says it (`problem_type`).

    Raises:
        ModelError: not a BERT-like encoder, or it has fewer layers than are to be frozen.
    """
    if config.is_own:
        return build_own(encoder, label_names, seed, config)
    shape = classifier_shape(config)
    key = (encoder.path, encoder.fingerprint, label_names, shape, task)
    if key not in _warm:
        _warm.clear()
        _warm[key] = _load(encoder, label_names, config, task)
    warm = _warm[key]
    forget_scale(warm.model)
    _reset(warm, seed)
    return _freeze(warm.model, config)


def new_classifier(
    encoder: Encoder, label_names: tuple[str, ...], config: ModelConfig, task: Task = CLASSIFICATION
) -> Any:
    """Return a classifier as `build_classifier` does, one of its own that nothing keeps; its head is of no seed."""
    if config.is_own:
        return build_own(encoder, label_names, 0, config)
    return _freeze(_load(encoder, label_names, config, task).model.train(), config)


def classifier_shape(config: ModelConfig) -> str:
    """Return what a classifier depends on beside the encoder's files and the classes."""
    attention = "" if config.attention == "auto" else config.attention
    return config.model_dump_json(include={"dropout", "pooling", "head"}) + attention


def _freeze(model: Any, config: ModelConfig) -> Any:
    if config.freeze_embeddings or config.freeze_layers:
        freeze(model, embeddings=config.freeze_embeddings, num_layers=config.freeze_layers)
    return model


def load_classifier(encoder: Encoder, label_names: tuple[str, ...], seed: int, dropout: float | None = None) -> Any:
    """Return `AutoModelForSequenceClassification` in train mode, with a fresh head: see `build_classifier`."""
    return build_classifier(encoder, label_names, seed, ModelConfig(dropout=dropout))


def load_model(folder: str | Path, *, trust_remote_code: bool = False) -> Any:
    """Return a classifier saved by a run (`best/`), of any head, in eval mode, its head in float32.

    `AutoModelForSequenceClassification.from_pretrained` loads those of an architecture's own head too.

    Args:
        folder: of the model.
        trust_remote_code: whether Python code may run that computes the model: files in the folder, or a class of your
            own that it names (`model.kind`).

    Returns:
        A transformers classifier: the architecture's own, or a `PooledClassifier`, `IrisClassifier` or `OwnClassifier`
        of raybert.

    Raises:
        ModelError: the folder holds none.
        UntrustedCode: it names code of somebody's own, and `trust_remote_code` was not given.

    Example:
        >>> model = raybert.load_model("runs/strategies/best")
    """
    folder = Path(folder)
    path = folder / "config.json"
    if not path.is_file():
        raise ModelError(f"{folder}: must be the folder of a trained model, has no config.json")
    kind = (read_json(path) or {}).get("model_type")
    if kind == OWN_TYPE:
        return load_own(folder, trust=trust_remote_code)
    check_weights(str(folder), folder)
    with loading(f"{folder}:"):
        if kind == IRIS_TYPE:
            return IrisClassifier.from_pretrained(folder)
        if kind == POOLED_TYPE:
            return keep_head_in_float32(PooledClassifier.from_pretrained(folder, trust_remote_code=trust_remote_code))
    with loading(f"{folder}:"), quiet_transformers(), torch.random.fork_rng(devices=[]):
        model, info = AutoModelForSequenceClassification.from_pretrained(
            folder,
            dtype=torch.float32,
            output_loading_info=True,
            trust_remote_code=trust_remote_code,
            use_safetensors=only_safetensors(),
        )
    if info["missing_keys"]:
        missing = sorted(info["missing_keys"])[0]
        raise ModelError(f"{folder}: must be a trained classifier, but has no weights of its head ({missing})")
    return keep_head_in_float32(model).eval()


def load_backbone(encoder: Encoder) -> Any:
    """Return the encoder without a head, in eval mode."""
    check_is_encoder(encoder)
    return read_model(AutoModel, encoder)[0].eval()


def has_dropout(encoder: Encoder, config: ModelConfig) -> bool:
    """Tell whether a classifier has dropout, as far as its files and the model section say; if in doubt it has.

    Args:
        encoder: its files.
        config: the model section.
    """
    if config.dropout is not None:
        return config.dropout > 0
    if encoder.is_pending or config.is_own or config.kind == "iris" or config.has_own_head:
        return True
    stated = read_config(encoder)
    return any(float(getattr(stated, key, None) or 0.0) > 0 for key in _DROPOUT_KEYS)


def pooled_features(model: Any, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits (b, C) and features (b, h), both float32; features are the input of the last linear layer."""
    if isinstance(model, OwnClassifier):
        return _own_features(model, batch)
    seen: list[torch.Tensor] = []
    handle = last_linear(model).register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    try:
        logits = model(**batch).logits
    finally:
        handle.remove()
    features = seen[0]
    return logits.float(), (features if features.dim() == 2 else features[:, 0]).float()


def _own_features(model: OwnClassifier, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits and features of a user's own model; features are NaN where no linear layer makes its logits."""
    seen: dict[nn.Module, torch.Tensor] = {}
    linear = [part for part in model.modules() if isinstance(part, nn.Linear)]
    handles = [part.register_forward_pre_hook(lambda it, inputs: seen.update({it: inputs[0]})) for part in linear]
    try:
        logits = model(**batch).logits.float()
    finally:
        for handle in handles:
            handle.remove()
    last = model.last_linear(logits.shape[1])
    if last is None or last not in seen:
        return logits, torch.full((len(logits), 1), torch.nan, device=logits.device)
    return logits, (seen[last] if seen[last].dim() == 2 else seen[last][:, 0]).float()


def embed_batch(model: Any, batch: dict[str, torch.Tensor], pooling: Literal["mean", "cls"]) -> torch.Tensor:
    """Return (b, d) float32 L2-normalised embeddings from the backbone's last hidden states.

    `mean` is over the word pieces that are not padding, `cls` takes the first.
    """
    if isinstance(model, OwnClassifier) and (model.can_embed or getattr(model, "base_model", None) is None):
        return nn.functional.normalize(model.embed(batch).float(), dim=-1)
    hidden = model.base_model(**batch).last_hidden_state.float()  # (b, width, d)
    if pooling == "cls":
        pooled = hidden[:, 0]
    else:
        mask = batch["attention_mask"].unsqueeze(-1).float()
        pooled = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)
    return nn.functional.normalize(pooled, dim=-1)


def checkpoint_activations(model: Any) -> None:
    """Make a model compute the activations of its layers anew in the backward pass, to keep fewer in memory.

    Raises:
        ModelError: the architecture cannot.
    """
    if not getattr(model, "supports_gradient_checkpointing", False):
        raise ModelError(f"train.gradient_checkpointing: must be left out, {type(model).__name__} does not support it")
    # Newer releases of transformers have another name for it, and warn of the old one.
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable({"use_reentrant": False})


def keep_head_in_float32(model: Any) -> Any:
    """Make pooling, head and logits float32 whatever autocast is on, and return the model.

    With a bf16 head 2,000 texts share some 600 different probabilities (measured), so rankings would be mostly ties.
    """
    backbone = model.base_model
    backbone.register_forward_hook(lambda _, __, output: _floats(output))
    heads = [module for module in model.children() if module is not backbone]
    heads += [module for name, module in backbone.named_children() if name == "pooler" and module is not None]
    for module in heads:
        module.forward = _in_float32(module.forward)
    return model


def _load(encoder: Encoder, label_names: tuple[str, ...], settings: ModelConfig, task: Task) -> _Warm:
    load = _load_pooled if settings.has_own_head else _load_own
    return load(encoder, label_names, settings, task)


def _load_own(encoder: Encoder, label_names: tuple[str, ...], settings: ModelConfig, task: Task) -> _Warm:
    """Load the architecture's own classifier."""
    config = _configure(encoder, settings.dropout, label_names, task)
    model, missing = read_model(AutoModelForSequenceClassification, encoder, config, _of_transformers(settings))
    if model.base_model is model:  # then nothing tells the encoder's weights from those of its head
        raise ModelError(
            f"{encoder.label}: must say which part of its classifier is the encoder, does not; set "
            "model.pooling: mean for a head of raybert"
        )
    prefix = model.base_model_prefix + "."
    head = tuple(name for name, _ in model.named_parameters() if not name.startswith(prefix) or name in missing)
    pristine = {name: tensor.clone() for name, tensor in model.state_dict().items() if name not in head}
    return _Warm(_finish(model, settings), pristine, lambda seed: _initialize(model, set(head), seed))


def _load_pooled(encoder: Encoder, label_names: tuple[str, ...], settings: ModelConfig, task: Task) -> _Warm:
    """Load the encoder alone, for a pooling and a head of ours."""
    config = _configure(encoder, settings.dropout, label_names, task)
    head = settings.head or HeadConfig()
    if settings.dropout is not None and "dropout" not in head.model_fields_set:
        head = head.model_copy(update={"dropout": settings.dropout})
    backbone, _ = read_model(AutoModel, encoder, config, _of_transformers(settings))
    with torch.random.fork_rng(devices=[]):
        model = PooledClassifier(backbone, settings.pooling or "mean", head, label_names)
    pristine = {f"backbone.{name}": tensor.clone() for name, tensor in backbone.state_dict().items()}
    return _Warm(_finish(model, settings), pristine, model.initialize)


def _of_transformers(settings: ModelConfig) -> str:
    return "auto" if settings.attention == UNPADDED else settings.attention


def _finish(model: Any, settings: ModelConfig) -> Any:
    return keep_head_in_float32(read_unpadded(model) if settings.attention == UNPADDED else model)


def _configure(encoder: Encoder, dropout: float | None, label_names: tuple[str, ...], task: Task) -> Any:
    """Return the encoder's configuration for these classes, not its own ones, with every dropout overridden."""
    config = check_is_encoder(encoder)
    config.num_labels = len(label_names)
    config.id2label = dict(enumerate(label_names))
    config.label2id = {name: number for number, name in enumerate(label_names)}
    config.problem_type = PROBLEM_TYPES[task]
    if dropout is not None:
        for key in _DROPOUT_KEYS:
            if isinstance(getattr(config, key, None), float) or (key == "classifier_dropout" and hasattr(config, key)):
                setattr(config, key, dropout)
    return config


def _reset(warm: _Warm, seed: int) -> None:
    """Put every tensor back to its initial value, and the module back into the state of a fresh load."""
    model = warm.model
    model.cpu()
    with torch.no_grad():
        state = model.state_dict()
        for name, tensor in warm.pristine.items():
            state[name].copy_(tensor)
    warm.initialize(seed)
    for parameter in model.parameters():
        parameter.grad = None
        parameter.requires_grad_(True)
    for module in model.modules():
        if getattr(module, "gradient_checkpointing", False):
            module.gradient_checkpointing = False
    model.train()


def _initialize(model: Any, names: set[str], seed: int) -> None:
    """Initialise the parameters of these names by the architecture's own rule."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        for path, module in model.named_modules():
            own = {key: p for key, p in module.named_parameters(recurse=False) if _join(path, key) in names}
            if not own:
                continue
            # transformers marks what it has initialised or loaded and would skip it.
            for tensor in (module, *own.values()):
                tensor._is_hf_initialized = False
            model._init_weights(module)


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _in_float32(forward: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(forward)
    def float32_forward(*inputs: Any, **named: Any) -> Any:
        device = next((x.device.type for x in inputs if isinstance(x, torch.Tensor)), "cpu")
        with torch.autocast(device, enabled=False):
            return forward(*(_floats(x) for x in inputs), **named)

    return float32_forward


def _floats(value: Any) -> Any:
    """Return half-precision tensors, and those inside a model output, as float32."""
    if isinstance(value, torch.Tensor):
        return value.float() if value.is_floating_point() else value
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, torch.Tensor):
                value[key] = _floats(item)
        return value
    return value
