"""Encoders of the Hugging Face hub: fetched, or found in its cache, however that came about."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from huggingface_hub import constants, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from raybert.errors import ModelError
from raybert.files import read_json
from raybert.models.first_look import WEIGHTS

_FILES = ("*.json", "*.txt", "*.model", "*.tiktoken", "*.bpe", "*.spm", "*.vocab")
_CODE = "*.py"


def download(name: str, revision: str | None, *, with_code: bool, label: str, hint: str = "") -> Path:
    """Return the local snapshot of a hub model; with HF_HUB_OFFLINE only what is downloaded already.

    Weights are fetched as safetensors, and in torch's own format only where there are none.

    Args:
        name: its id.
        revision: a branch, a tag or a commit.
        with_code: whether its Python files are wanted too.
        label: what messages begin with.
        hint: what they end with where there is no such model.

    Raises:
        ModelError: not on this machine, and not to be had.
    """
    patterns = [*_FILES, *([_CODE] if with_code else [])]
    folder = _snapshot(name, revision, [*patterns, WEIGHTS[0]], label, hint)
    if not any(folder.glob(WEIGHTS[0])):
        folder = _snapshot(name, revision, [*patterns, WEIGHTS[1]], label, hint)
    return folder


def code_files(folder: Path) -> list[Path]:
    """Return the Python files that an encoder is computed by, those of other hub models that it names included.

    Raises:
        ModelError: these are not on this machine, and not to be had.
    """
    references = [reference for name in ("config.json", "tokenizer_config.json") for reference in _map(folder / name)]
    if not references:
        return []
    repositories = sorted({reference.split("--")[0] for reference in references if "--" in reference})
    places = [
        folder,
        *(_snapshot(name, None, [_CODE], f"model.encoder: code of '{name}'", "") for name in repositories),
    ]
    return [path for place in places for path in sorted(place.rglob(_CODE))]


def _map(path: Path) -> list[str]:
    """Return what a configuration says of classes of its own: `file.Class`, or `model--file.Class`."""
    own = (read_json(path) or {}).get("auto_map") or {}
    values = own.values() if isinstance(own, dict) else [own]
    return [one for value in values for one in (value if isinstance(value, list) else [value]) if isinstance(one, str)]


def _snapshot(name: str, revision: str | None, patterns: list[str], label: str, hint: str) -> Path:
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=patterns))
    except HFValidationError:
        raise ModelError(f"{label} is neither a folder nor a hub id{hint}") from None
    except (LocalEntryNotFoundError, ConnectionError, OSError) as error:
        # A snapshot that lacks files of the hub, or was laid out by hand, may have all that is needed.
        there = _in_cache(name, revision or "main")
        if there is not None:
            return there
        lines = str(error).strip().splitlines()
        says = isinstance(error, HfHubHTTPError) and lines
        reason = f"the hub says: {lines[0]}" if says else "the hub cannot be reached"
        raise ModelError(
            f"{label} is not on this machine and {reason}; download it first where there is a network "
            f"(`hf download {name}`), or give the path of a local folder{hint}"
        ) from None


def cached_bytes(name: str, kind: Literal["models", "datasets"] = "models") -> int:
    """Return how much of a model or data set of the hub is in its cache, all revisions together."""
    folder = Path(constants.HF_HUB_CACHE) / f"{kind}--{name.replace('/', '--')}" / "blobs"
    return sum(path.stat().st_size for path in folder.glob("*") if path.is_file())


def _in_cache(name: str, revision: str) -> Path | None:
    """Return the folder of a revision in the hub's cache, if there is one."""
    folder = Path(constants.HF_HUB_CACHE) / f"models--{name.replace('/', '--')}"
    reference = folder / "refs" / revision
    commit = reference.read_text(encoding="utf-8").strip() if reference.is_file() else revision
    found = folder / "snapshots" / commit
    return found if commit and os.sep not in commit and found.is_dir() else None


def near_name(name: str, known: Sequence[str]) -> str:
    """Return a hint for a misspelt name."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
    return f"; did you mean '{near[0]}'?" if near else ""
