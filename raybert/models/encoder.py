"""Which encoder a sweep fine-tunes: found locally, on the hub, or built; and identified by its files."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerFast

from raybert.config import ModelConfig
from raybert.errors import ModelError, RaybertError
from raybert.files import file_digest, read_json
from raybert.models.embedded import BUILT_IN_ENCODERS, EMBEDDED, TINY, TINY_RANDOM
from raybert.models.first_look import TOKENIZERS, WEIGHTS, check_code, check_folder
from raybert.models.hub import code_files, download, near_name
from raybert.models.quiet import quiet_transformers
from raybert.models.tiny import build_random_encoder
from raybert.models.weights_format import check_weights


@dataclass(frozen=True)
class Encoder:
    """A pretrained encoder on the local disk.

    Attributes:
        name: as in the sweep file.
        path: transformers folder with config, weights and tokenizer.
        fingerprint: hex digest of these files.
        trust_remote_code: whether Python files in the folder may run.
        key: of the sweep file, which names it.
        is_pending: whether it is yet to be pretrained: the path has what it goes on from, of the same shape.
    """

    name: str
    path: Path
    fingerprint: str
    trust_remote_code: bool = False
    key: str = "model.encoder"
    is_pending: bool = False

    @property
    def label(self) -> str:
        """What messages begin with."""
        return f"{self.key}: {self.name}"

    @property
    def is_of_hub(self) -> bool:
        """Whether the name is one of a model hub, whose content may be another one tomorrow."""
        return self.name not in BUILT_IN_ENCODERS and not Path(self.name).expanduser().is_dir()


def resolve_encoder(
    config: ModelConfig, texts: Iterable[str], cache_folder: Path, key: str = "model.encoder"
) -> Encoder:
    """Return the encoder that the model section names, with its files on the local disk.

    Args:
        config: the model section.
        texts: the pool; `raybert-tiny-random` trains its tokenizer on it.
        cache_folder: where `raybert-tiny-random` is built.
        key: of the sweep file, which names it.

    Raises:
        ModelError: no such folder or hub model, or the folder is not a transformers encoder.
    """
    name = config.encoder
    check_code(config, key)
    if name == TINY:
        path = EMBEDDED
    elif name == TINY_RANDOM:
        path = build_random_encoder(texts, cache_folder)
    elif Path(name).expanduser().is_dir():
        path = Path(name).expanduser().resolve()
    elif name.startswith((".", "~", os.sep)):
        raise ModelError(f"{key}: must be an existing folder, got {name}")
    else:
        hint, code = near_name(name, BUILT_IN_ENCODERS), config.trust_remote_code
        path = download(name, config.revision, with_code=code, label=f"{key}: '{name}'", hint=hint)
    check_folder(f"{key}: {name}", path)
    check_weights(f"{key}: {name}", path)
    fingerprint = fingerprint_files(path, with_code=config.trust_remote_code)
    return Encoder(name, path, fingerprint, config.trust_remote_code, key)


def embedding_width(encoder: Encoder) -> int:
    """Return the numbers of an encoder's embeddings, as its configuration says; 0: it does not say."""
    config = read_json(encoder.path / "config.json") or {}
    return next((int(config[name]) for name in ("hidden_size", "dim", "d_model") if name in config), 0)


def load_tokenizer(encoder: Encoder) -> PreTrainedTokenizerFast:
    """Return the encoder's fast tokenizer.

    Raises:
        ModelError: the tokenizer cannot be loaded, or has no fast version.
    """
    if (package := _tokenizer_package(encoder.path)) is not None:
        raise ModelError(f"{encoder.label}: its tokenizer {_install(package)}")
    with loading(f"{encoder.label}: its tokenizer"), quiet_transformers():
        tokenizer = AutoTokenizer.from_pretrained(encoder.path, trust_remote_code=encoder.trust_remote_code)
    if not tokenizer.is_fast:
        raise ModelError(f"{encoder.label}: must have a fast tokenizer (tokenizer.json)")
    return tokenizer


def as_trained(tokenizer: PreTrainedTokenizerFast, max_length: int | None) -> PreTrainedTokenizerFast:
    """Return a tokenizer as it belongs into a trained model's folder.

    Truncation and padding that its tokenizer.json brought are not those of the training; who truncates without saying
    where gets the texts that were trained on.

    Args:
        tokenizer: of the encoder; it is changed.
        max_length: word pieces of a training text; None: as the encoder's.
    """
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    if max_length is not None:
        tokenizer.model_max_length = max_length
    for key in ("max_length", "stride", "truncation_strategy", "pad_to_multiple_of"):  # what loading made of them
        tokenizer.init_kwargs.pop(key, None)
    return tokenizer


def fingerprint_files(folder: Path, *, with_code: bool = False) -> str:
    """Return the sha256 of config, weights and tokenizer files, by name and content.

    Args:
        folder: of the encoder.
        with_code: Python files that it is computed by are part of it.
    """
    digest = hashlib.sha256()
    paths = sorted(path for pattern in (*WEIGHTS, *TOKENIZERS, "config.json") for path in folder.glob(pattern))
    for path in [*paths, *(code_files(folder) if with_code else [])]:
        state = path.stat()
        digest.update(path.name.encode() + _file_digest(path, state.st_size, state.st_mtime_ns))
    return digest.hexdigest()


@lru_cache(maxsize=256)
def _file_digest(path: Path, size_bytes: int, modified: int) -> bytes:
    """Hash a file once per process; size and time tell whether it is still the same."""
    return bytes.fromhex(file_digest(path))


@contextlib.contextmanager
def loading(what: str) -> Iterator[None]:
    """Turn what goes wrong in this block while a library loads `what` into one line.

    Of damaged files, transformers lets KeyError, TypeError and AttributeError through, safetensors an error of its own,
    tokenizers a bare Exception; and code that comes with a model may raise anything.

    Raises:
        ModelError: it cannot be loaded.
    """
    try:
        yield
    except RaybertError:
        raise
    except Exception as error:
        raise ModelError(f"{what} cannot be loaded: {explain(error)}") from error


def explain(error: Exception) -> str:
    """Return the first line of what an error says, or the package that has to be installed."""
    if isinstance(error, ImportError) and (package := _missing_package(error)):
        return _install(package)
    if "trust_remote_code" in str(error) or "custom code" in str(error):
        return (
            "it needs Python code that comes with it; read the code, then allow it with model.trust_remote_code: true "
            "(load_model: `trust_remote_code=True`)"
        )
    lines = str(error).strip().splitlines()
    if isinstance(error, LookupError | TypeError | AttributeError):  # which say what was looked for, not that it was
        return f"a file of it is damaged, or of another kind ({type(error).__name__}: {lines[0] if lines else ''})"
    return lines[0] if lines else type(error).__name__


def _install(package: str) -> str:
    return f"needs the package `{package}`; install it (`pip install {package}`)"


def _tokenizer_package(folder: Path) -> str | None:
    """Return the package that turns the only file of a tokenizer into a fast one, if it is not installed.

    Without it transformers takes the file for one of another kind, and says that this is damaged.
    """
    if any((folder / name).is_file() for name in ("tokenizer.json", "vocab.txt", "vocab.json")):
        return None
    names = [path.name for path in folder.glob("*.model")]
    if not names:
        return None
    package = "tiktoken" if names == ["tiktoken.model"] else "sentencepiece"
    return package if find_spec(package) is None else None


def _missing_package(error: ImportError) -> str | None:
    """Return the package that an import failed for; what transformers says of one it needs has several forms."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        return error.name.split(".")[0]
    found = re.search(r"pip install (?:-\S+ )*[`'\"]?([\w-]+)|requires the (\w+) library", str(error))
    return (found[1] or found[2].lower()) if found else None
