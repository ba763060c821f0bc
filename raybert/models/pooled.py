"""A classifier of our own on an encoder: a way of pooling, and a head."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional
from transformers import AutoModel
from transformers.modeling_outputs import SequenceClassifierOutput

from raybert.config import HeadConfig
from raybert.errors import ModelError
from raybert.files import read_json
from raybert.models.quiet import quiet_transformers
from raybert.models.weights_format import only_safetensors

MODEL_TYPE = "raybert-classifier"
PoolingName = Literal["cls", "mean", "max", "attention"]
_CONFIG, _ENCODER, _HEAD = "config.json", "encoder", "head.safetensors"


class Pooling(nn.Module):
    """One vector from the hidden states of a text; padding has no part in it.

    cls: the first; mean; max: of every dimension; attention: the mean by softmax of a learned linear score.
    """

    def __init__(self, name: PoolingName, width: int) -> None:
        super().__init__()
        self.name = name
        self.score = nn.Linear(width, 1) if name == "attention" else None

    def forward(self, hidden: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Return (b, d) from hidden states (b, length, d) and a mask (b, length)."""
        if self.name == "cls":
            return hidden[:, 0]
        mask = attention_mask.bool().unsqueeze(-1)  # (b, length, 1)
        if self.name == "max":
            return hidden.masked_fill(~mask, -torch.inf).amax(dim=1)
        scores = torch.zeros_like(hidden[..., :1]) if self.score is None else self.score(hidden)
        shares = scores.masked_fill(~mask, -torch.inf).softmax(dim=1)
        return (hidden * shares).sum(dim=1)


class ResidualBlock(nn.Module):
    """x + dropout(GELU(linear(norm(x))))."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm, self.linear, self.dropout = nn.LayerNorm(width), nn.Linear(width, width), nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (b, d) from (b, d)."""
        y: torch.Tensor = self.dropout(functional.gelu(self.linear(self.norm(x))))
        return x + y


def build_head(config: HeadConfig, width: int, num_classes: int) -> nn.Sequential:
    """Return the layers from pooled vectors (b, d) to logits (b, C); the last one is linear."""
    layers: list[nn.Module] = []
    if config.name == "mlp":
        for size in config.sizes:
            layers += [nn.Dropout(config.dropout), nn.Linear(width, size), nn.GELU()]
            width = size
    elif config.name == "residual":
        layers += [ResidualBlock(width, config.dropout) for _ in range(config.blocks)]
        layers += [nn.LayerNorm(width)]
    return nn.Sequential(*layers, nn.Dropout(config.dropout), nn.Linear(width, num_classes))


class PooledClassifier(nn.Module):
    """An encoder, a pooling and a head; used like a classifier of transformers."""

    base_model_prefix = "backbone"

    def __init__(self, backbone: Any, pooling: PoolingName, head: HeadConfig, label_names: tuple[str, ...]) -> None:
        super().__init__()
        width = backbone.config.hidden_size
        self.backbone = backbone
        self.pooling = Pooling(pooling, width)
        self.head = build_head(head, width, len(label_names))
        self.head_config, self.label_names = head, label_names

    @property
    def base_model(self) -> Any:
        """The encoder."""
        return self.backbone

    @property
    def config(self) -> Any:
        """The encoder's configuration."""
        return self.backbone.config

    @property
    def supports_gradient_checkpointing(self) -> bool:
        """Whether the encoder can compute activations anew."""
        return bool(self.backbone.supports_gradient_checkpointing)

    def activation_checkpointing_enable(self, options: dict[str, Any]) -> None:
        """Let the encoder compute activations anew."""
        enable = getattr(self.backbone, "activation_checkpointing_enable", None)
        (enable or self.backbone.gradient_checkpointing_enable)(options)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **inputs: Any) -> SequenceClassifierOutput:
        """Return an output whose `logits` are (b, C)."""
        hidden = self.backbone(input_ids=input_ids, attention_mask=attention_mask, **inputs).last_hidden_state
        return SequenceClassifierOutput(logits=self.head(self.pooling(hidden, attention_mask)))

    def initialize(self, seed: int) -> None:
        """Give pooling and head new weights; the global generator stays.

        The last layer begins small, as the heads of transformers do; those before it as torch does: a head of several
        layers with the encoder's spread of .02 hardly learns.
        """
        spread = getattr(self.config, "initializer_range", 0.02)
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(seed)
            for part in (self.pooling, self.head):
                for module in part.modules():
                    if isinstance(module, nn.Linear | nn.LayerNorm):
                        module.reset_parameters()
            last: Any = self.head[-1]
            last.weight.normal_(0.0, spread)
            last.bias.zero_()

    def save_pretrained(self, folder: Path) -> None:
        """Write the encoder as a plain transformers folder `encoder/`, and the rest beside it."""
        folder.mkdir(parents=True, exist_ok=True)
        self.backbone.save_pretrained(folder / _ENCODER)
        config = {
            "model_type": MODEL_TYPE,
            "pooling": self.pooling.name,
            "head": self.head_config.model_dump(mode="json"),
            "label_names": list(self.label_names),
        }
        (folder / _CONFIG).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
        own = {name: tensor for name, tensor in self.state_dict().items() if not name.startswith("backbone.")}
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in own.items()}, folder / _HEAD)

    @classmethod
    def from_pretrained(cls, folder: Path, *, trust_remote_code: bool = False) -> PooledClassifier:
        """Return a saved classifier, in eval mode; its encoder may be Python files of the folder.

        Raises:
            ModelError: the folder holds none.
        """
        config = read_json(folder / _CONFIG) or {}
        if config.get("model_type") != MODEL_TYPE:
            raise ModelError(f"{folder}: model_type: must be '{MODEL_TYPE}', got '{config.get('model_type')}'")
        with quiet_transformers(), torch.random.fork_rng(devices=[]):
            backbone = AutoModel.from_pretrained(
                folder / _ENCODER,
                dtype=torch.float32,
                trust_remote_code=trust_remote_code,
                use_safetensors=only_safetensors(),
            )
            model = cls(backbone, config["pooling"], HeadConfig(**config["head"]), tuple(config["label_names"]))
        problems = model.load_state_dict(load_file(folder / _HEAD), strict=False)
        if problems.unexpected_keys or any(not name.startswith("backbone.") for name in problems.missing_keys):
            raise ModelError(f"{folder / _HEAD}: must hold the weights of the head that {_CONFIG} describes")
        return model.eval()
