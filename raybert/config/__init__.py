"""The sweep file: its schema, and how it is read."""

from raybert.config.checkpoints import CheckpointsConfig, StartConfig
from raybert.config.data import DataConfig
from raybert.config.encoder_pretraining import SweepPretrainConfig
from raybert.config.hints import explain_unknown, suggest_place
from raybert.config.imports import (
    are_labels_enough,
    import_attribute,
    importing,
    imports_are_refused,
    installed_parts,
    load_part,
    loaded_attribute,
    takes_safe,
    why_refused,
)
from raybert.config.json_schema import file_schema
from raybert.config.load import (
    ConfigSource,
    Overrides,
    apply_overrides,
    dump_yaml,
    load_config,
    load_stored_config,
    suggest,
    validate_config,
    validate_model,
    validate_stored_config,
    with_value,
)
from raybert.config.metrics import METRICS, Metric, MetricName, is_metric, metric_of, sign_of
from raybert.config.model import HeadConfig, ModelConfig
from raybert.config.optimization import OptimizerConfig, ScheduleConfig
from raybert.config.own_metrics import MetricConfig
from raybert.config.resources import LimitsConfig, ResourcesConfig
from raybert.config.schema import DEFAULT_MARGIN, MonitorConfig, RaybertConfig, SweepConfig
from raybert.config.section import Section
from raybert.config.selection import EmbeddingConfig, ProxyConfig, SelectionConfig, SignalConfig, StrategyConfig
from raybert.config.tasks import Task
from raybert.config.train import (
    AveragingConfig,
    EarlyStoppingConfig,
    LengthConfig,
    LossConfig,
    TrainConfig,
)
from raybert.config.tune import AshaConfig, DomainConfig, TuneConfig

__all__ = [
    "DEFAULT_MARGIN",
    "METRICS",
    "AshaConfig",
    "AveragingConfig",
    "CheckpointsConfig",
    "ConfigSource",
    "DataConfig",
    "DomainConfig",
    "EarlyStoppingConfig",
    "EmbeddingConfig",
    "HeadConfig",
    "LengthConfig",
    "LimitsConfig",
    "LossConfig",
    "Metric",
    "MetricConfig",
    "MetricName",
    "ModelConfig",
    "MonitorConfig",
    "OptimizerConfig",
    "Overrides",
    "ProxyConfig",
    "RaybertConfig",
    "ResourcesConfig",
    "ScheduleConfig",
    "Section",
    "SelectionConfig",
    "SignalConfig",
    "StartConfig",
    "StrategyConfig",
    "SweepConfig",
    "SweepPretrainConfig",
    "Task",
    "TrainConfig",
    "TuneConfig",
    "apply_overrides",
    "are_labels_enough",
    "dump_yaml",
    "explain_unknown",
    "file_schema",
    "import_attribute",
    "importing",
    "imports_are_refused",
    "installed_parts",
    "is_metric",
    "load_config",
    "load_part",
    "load_stored_config",
    "loaded_attribute",
    "metric_of",
    "sign_of",
    "suggest",
    "suggest_place",
    "takes_safe",
    "validate_config",
    "validate_model",
    "validate_stored_config",
    "why_refused",
    "with_value",
]
