"""What can be seen of an encoder without loading it: whether its folder is there, and is one of transformers."""

from __future__ import annotations

import os
import re
from pathlib import Path

from raybert.config import ModelConfig, imports_are_refused, suggest, why_refused
from raybert.errors import ModelError
from raybert.models.embedded import BUILT_IN_ENCODERS, TINY

_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
TOKENIZERS = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "*.model")
"""Files of which a folder must hold one beside config.json; whether it can be loaded is found out when it is."""


def look_at_encoder(name: str, key: str = "model.encoder") -> None:
    """Refuse a local encoder that is not there, or is no folder of transformers; the hub is not asked.

    Args:
        name: as in the sweep file.
        key: that has it.

    Raises:
        ModelError: says what is there.
    """
    path = Path(name).expanduser()
    if name in BUILT_IN_ENCODERS:
        return
    if path.is_dir():
        check_folder(f"{key}: {name}", path)
    elif path.is_file():
        raise ModelError(f"{key}: must be a folder, '{name}' is a file; give the folder that it is in")
    elif name.startswith((".", "~", os.sep)):
        near = suggest(path.name, (entry.name for entry in path.parent.iterdir())) if path.parent.is_dir() else ""
        raise ModelError(f"{key}: must be an existing folder, got {name}{near}")
    elif not _HUB_ID.fullmatch(name):
        near = suggest(name, BUILT_IN_ENCODERS)
        raise ModelError(f"{key}: must be {TINY}, an existing folder, or a hub id, got '{name}'{near}")


def check_code(config: ModelConfig, key: str = "model.encoder") -> None:
    """Refuse an encoder that is computed by code that comes with it, where no file may run code.

    Raises:
        ModelError: says what forbids it.
    """
    if config.trust_remote_code and imports_are_refused():
        raise ModelError(
            f"{key}: '{config.encoder}' must do without code of its own (model.trust_remote_code): {why_refused()}"
        )


def check_folder(label: str, path: Path) -> None:
    """Refuse a folder without config.json, weights or tokenizer.

    Args:
        label: what the message begins with.
        path: the folder.

    Raises:
        ModelError: says what is missing.
    """
    if not (path / "config.json").is_file():
        inner = next((entry for entry in sorted(path.iterdir()) if (entry / "config.json").is_file()), None)
        hint = f"; did you mean '{inner}'?" if inner else ""
        raise ModelError(f"{label}: must be a transformers folder, has no config.json{hint}")
    for what, patterns in (("weights (model.safetensors)", WEIGHTS), ("tokenizer (tokenizer.json)", TOKENIZERS)):
        if not any(next(path.glob(pattern), None) for pattern in patterns):
            raise ModelError(f"{label}: must be a transformers folder, has no {what}")
