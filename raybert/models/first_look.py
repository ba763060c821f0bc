"""What can be seen of an encoder without loading it: whether its folder is there, and is one of transformers."""

from __future__ import annotations

import os
import re
from pathlib import Path

from raybert.config import ModelConfig, suggest
from raybert.errors import ModelError

_BUILT_IN = ModelConfig.model_fields["encoder"].default
_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
_PARTS = {
    "weights (model.safetensors)": ("*.safetensors", "*.bin"),
    "tokenizer (tokenizer.json)": ("tokenizer*", "vocab*", "*.model", "*.spm"),
}
"""What a folder must hold besides config.json; which of these can be loaded is found out when they are."""


def look_at_encoder(name: str, key: str = "model.encoder") -> None:
    """Refuse a local encoder that is not there, or is no folder of transformers; the hub is not asked.

    Args:
        name: as in the sweep file.
        key: that has it.

    Raises:
        ModelError: says what is there.
    """
    path = Path(name).expanduser()
    if name == _BUILT_IN:
        return
    if path.is_dir():
        _check_folder(name, path, key)
    elif path.is_file():
        raise ModelError(f"{key}: must be a folder, '{name}' is a file; give the folder that it is in")
    elif name.startswith((".", "~", os.sep)):
        near = suggest(path.name, (entry.name for entry in path.parent.iterdir())) if path.parent.is_dir() else ""
        raise ModelError(f"{key}: must be an existing folder, got {name}{near}")
    elif not _HUB_ID.fullmatch(name):
        near = suggest(name, [_BUILT_IN])
        raise ModelError(f"{key}: must be {_BUILT_IN}, an existing folder, or a hub id, got '{name}'{near}")


def _check_folder(name: str, path: Path, key: str) -> None:
    if not (path / "config.json").is_file():
        inner = next((entry for entry in sorted(path.iterdir()) if (entry / "config.json").is_file()), None)
        hint = f"; did you mean '{inner}'?" if inner else ""
        raise ModelError(f"{key}: {name}: must be a transformers folder, has no config.json{hint}")
    for what, patterns in _PARTS.items():
        if not any(next(path.glob(pattern), None) for pattern in patterns):
            raise ModelError(f"{key}: {name}: must be a transformers folder, has no {what}")
