"""Packages that only some keys of a sweep file need, and that may be missing."""

from __future__ import annotations

from importlib.util import find_spec

from raybert.config.schema import RaybertConfig
from raybert.config.track import TrackConfig
from raybert.errors import ConfigError
from raybert.passwords import whole

NO_TENSORBOARD = (
    "monitor.tensorboard: needs the package tensorboard; `pip install raybert[monitor]`, or set it to false"
)


def check_packages(config: RaybertConfig) -> None:
    """Refuse a file whose runs would fail, each of them, for the same missing package; imports nothing.

    Raises:
        ConfigError: says how to install it.
    """
    if config.model.attention == "flash_attention_2":
        check_flash_attention(config.train.precision)
    if config.monitor.tensorboard and find_spec("tensorboard") is None:
        raise ConfigError(NO_TENSORBOARD)
    check_trackers(config.track)


def check_trackers(track: TrackConfig) -> None:
    """Refuse trackers whose packages are not installed, or whose URLs name variables that are not set; imports nothing.

    Raises:
        ConfigError: says what to do about the first one.
    """
    for name, _ in track.asked_for():
        if find_spec(name) is None:
            raise ConfigError(no_tracker(name))
    for key, url in track.urls().items():
        whole(url, key)


def no_tracker(name: str) -> str:
    """Return what to say of a tracker whose package is missing."""
    return f"track.{name}: needs the package {name}; `pip install raybert[{name}]`, or leave it out"


def check_flash_attention(precision: str) -> None:
    """Refuse flash attention without its package, or in a format that it does not compute in.

    Raises:
        ConfigError: says what to do.
    """
    if find_spec("flash_attn") is None:
        raise ConfigError(
            "model.attention: flash_attention_2 needs the package flash-attn; `pip install flash-attn`, or take sdpa"
        )
    if precision in ("fp32", "tf32"):
        raise ConfigError(
            f"model.attention: flash_attention_2 needs train.precision auto, bf16 or fp16, got {precision}; change "
            "one of them"
        )


def check_gpu_for_attention(config: RaybertConfig) -> None:
    """Refuse flash attention where trials have no GPU.

    Raises:
        ConfigError: says what to do.
    """
    if config.model.attention == "flash_attention_2" and not config.resources.num_gpus:
        raise ConfigError(
            "model.attention: flash_attention_2 needs a GPU, got resources.gpus_per_worker "
            f"{config.resources.num_gpus:g}; take sdpa"
        )
