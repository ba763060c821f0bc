"""Results folders of before `raybert-tiny` was pretrained: theirs of that name is `raybert-tiny-random` today."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from raybert.config import RaybertConfig
from raybert.errors import SweepError
from raybert.files import read_json
from raybert.models.embedded import FINGERPRINTS, TINY, TINY_RANDOM


def is_random(name: str, fingerprint: str) -> bool:
    """Tell whether an encoder of a results folder is the `raybert-tiny` that had random weights.

    Args:
        name: that the folder knows it by.
        fingerprint: of its files.
    """
    return name == TINY and fingerprint not in FINGERPRINTS


def with_random_encoder(config: RaybertConfig) -> RaybertConfig:
    """Return the same configuration with the name that `raybert-tiny` with random weights has today."""
    model = config.model.model_copy(update={"encoder": _today(config.model.encoder)})
    grid = {
        key: tuple(map(_today, values)) if key == "model.encoder" else values
        for key, values in config.sweep.grid.items()
    }
    sweep = config.sweep if grid == config.sweep.grid else config.sweep.model_copy(update={"grid": grid})
    return config.model_copy(update={"model": model, "sweep": sweep})


def had_random_encoder(folder: Path) -> bool:
    """Tell by a folder's `manifest.json` whether its `raybert-tiny` had random weights."""
    data = (read_json(folder / "manifest.json") or {}).get("data")
    known = [of for of in data.values() if isinstance(of, dict)] if isinstance(data, dict) else []
    return any(is_random(str(of.get("encoder")), str(of.get("encoder_fingerprint"))) for of in known)


def check_encoder_names(folder: Path, before: RaybertConfig, now: RaybertConfig) -> None:
    """Refuse to go on with the pretrained `raybert-tiny` where the one with random weights began.

    Args:
        folder: of the results.
        before: the file that it belongs to, with the names of today.
        now: the file that is to be run.

    Raises:
        SweepError: says by which name the old one goes on.
    """
    if TINY_RANDOM in _names(before) and TINY in _names(now) and TINY not in _names(before):
        raise SweepError(
            f"{folder}: was begun with the `raybert-tiny` of earlier versions, which had random weights; go on with "
            f"`model.encoder: {TINY_RANDOM}` (`raybert sweep FILE --set model.encoder={TINY_RANDOM}`), or give "
            "`output` a new folder for the pretrained one"
        )


def _names(config: RaybertConfig) -> set[Any]:
    return {config.model.encoder, *config.sweep.grid.get("model.encoder", ())}


def _today(name: Any) -> Any:
    return TINY_RANDOM if name == TINY else name
