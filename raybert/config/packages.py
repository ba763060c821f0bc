"""Packages that only some keys of a sweep file need, and that may be missing."""

from __future__ import annotations

from importlib.util import find_spec

from raybert.config.schema import RaybertConfig
from raybert.errors import ConfigError

NO_TENSORBOARD = (
    "monitor.tensorboard: needs the package tensorboard; `pip install raybert[monitor]`, or set it to false"
)


def check_packages(config: RaybertConfig) -> None:
    """Refuse a file whose runs would fail, each of them, for the same missing package; imports nothing.

    Raises:
        ConfigError: says how to install it.
    """
    if config.monitor.tensorboard and find_spec("tensorboard") is None:
        raise ConfigError(NO_TENSORBOARD)
