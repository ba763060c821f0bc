"""In which format weights may be: safetensors hold numbers alone, torch's own files are pickles read with limits."""

from __future__ import annotations

from pathlib import Path

from raybert.config import imports_are_refused, why_refused
from raybert.errors import ModelError


def only_safetensors() -> bool | None:
    """Return what `from_pretrained` takes as `use_safetensors`: True where no file may run code, else its default.

    transformers takes safetensors where there are any, and reads torch's files with `weights_only`.
    """
    return True if imports_are_refused() else None


def check_weights(label: str, folder: Path) -> None:
    """Refuse a folder whose weights are in torch's format alone, where no file may run code.

    Args:
        label: what the message begins with.
        folder: of a model.

    Raises:
        ModelError: says how to make safetensors of them.
    """
    if not imports_are_refused() or any(folder.glob("*.safetensors")):
        return
    found = next(iter(sorted(folder.glob("pytorch_model*.bin"))), None)
    if found is not None:
        raise ModelError(
            f"{label}: must have its weights as safetensors, got {found.name}, a pickle: {why_refused()}; save it anew "
            "with transformers (`AutoModel.from_pretrained(...).save_pretrained(...)`) where you trust it"
        )
