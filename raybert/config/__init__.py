"""The sweep file: its schema, and how it is read."""

from raybert.config.load import (
    apply_overrides,
    dump_yaml,
    load_config,
    suggest,
    validate_config,
    validate_model,
    with_value,
)
from raybert.config.schema import (
    DataConfig,
    EmbeddingConfig,
    LengthConfig,
    LossConfig,
    ModelConfig,
    ProxyConfig,
    RaybertConfig,
    ResourcesConfig,
    Section,
    SelectionConfig,
    StrategyConfig,
    SweepConfig,
    TrainConfig,
)

__all__ = [
    "DataConfig",
    "EmbeddingConfig",
    "LengthConfig",
    "LossConfig",
    "ModelConfig",
    "ProxyConfig",
    "RaybertConfig",
    "ResourcesConfig",
    "Section",
    "SelectionConfig",
    "StrategyConfig",
    "SweepConfig",
    "TrainConfig",
    "apply_overrides",
    "dump_yaml",
    "load_config",
    "suggest",
    "validate_config",
    "validate_model",
    "with_value",
]
