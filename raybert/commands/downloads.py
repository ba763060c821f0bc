"""`raybert download`: the data and models of a sweep file, fetched once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from raybert.config import ConfigSource, Overrides, importing, load_config, takes_safe

if TYPE_CHECKING:
    from raybert.sweeping.downloads import Download, Downloads


@takes_safe
def download(
    config: ConfigSource,
    *,
    overrides: Overrides = (),
    progress: Callable[[Download], None] | None = None,
    safe: bool = False,
) -> Downloads:
    """Fetch the data and the models that a sweep file names from the hub, for later work without a network.

    They go where the libraries of Hugging Face keep them (`HF_HOME`), and are found there the next time. Nothing is
    loaded, and no code of the file is imported.

    Args:
        config: a sweep file, a mapping like one, or a configuration.
        overrides: keys to override, as for `load_config`.
        safe: refuse code that the file names (`module:attribute`, `model.trust_remote_code`), and weights that are no
            safetensors.
        progress: told of each data set and model as soon as it is there, or is known not to come.

    Returns:
        What is where; what cannot be fetched is no exception, but in `missing`.

    Raises:
        RaybertError: a key of the file is wrong, or a local path.

    Example:
        >>> raybert.download({"data": "docstrings"}).missing
        ()
    """
    from raybert.sweeping.first_look import look_first
    from raybert.sweeping.plan.design import read_design

    with importing("labels"):
        design = read_design(load_config(config, overrides))
    look_first(design, only_scores=True)
    from raybert.sweeping.downloads import fetch_all  # and with it transformers

    return fetch_all(design, progress or (lambda item: None))
