"""What a trained model's folder says besides weights: which texts it reads, and what its classes are called."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from transformers import PreTrainedTokenizerFast

from raybert.config import DataConfig
from raybert.config.tasks import CLASSIFICATION, Task
from raybert.data.tokens import PairTruncation
from raybert.errors import ModelError
from raybert.files import read_json, write_json
from raybert.models.capacity import longest_computed, stated_positions
from raybert.version import __version__

FILE_NAME = "raybert.json"
_LONGEST = 512  # where a folder does not say
_NO_LIMIT = 10**6  # tokenizers write numbers beyond it for "any length"


@dataclass(frozen=True)
class DataColumns:
    """The names of the columns that hold the examples, as in the `data` section."""

    text: str = "text"
    text_pair: str | None = None
    label: str | tuple[str, ...] = "label"
    id: str | None = None
    group: str | None = None


@dataclass(frozen=True)
class ModelDescription:
    """What is needed to use a trained model on further texts, and where it comes from.

    Attributes:
        label_names: class number -> name; of another task the names of the outputs.
        max_length: word pieces per example, special ones included.
        columns: of the data that it was trained on.
        precision: `train.precision`.
        pair_truncation: which text of a pair is shortened.
        lowercase: `data.lowercase`; None: as the tokenizer does.
        truncation_side: `data.truncation_side`; None: as the tokenizer does.
        encoder: as in the sweep file; None: not known.
        encoder_fingerprint: of its files.
        encoder_path: of IRIS, where the frozen encoder was.
        chunking: of IRIS, how documents are cut: chunk_tokens, stride, max_chunks.
        trial_id: of the run that trained it.
        strategy: likewise.
        seed: likewise.
        budget: examples that it was trained on.
        raybert_version: that wrote this.
        task: what it predicts.
        label_separator: `data.label_separator`.
    """

    label_names: tuple[str, ...]
    max_length: int
    columns: DataColumns = DataColumns()
    precision: str = "auto"
    pair_truncation: PairTruncation = "longest_first"
    lowercase: bool | None = None
    truncation_side: Literal["right", "left"] | None = None
    encoder: str | None = None
    encoder_fingerprint: str | None = None
    encoder_path: str | None = None
    chunking: dict[str, int] | None = None
    trial_id: str | None = None
    strategy: str | None = None
    seed: int | None = None
    budget: int | None = None
    raybert_version: str = __version__
    task: Task = CLASSIFICATION
    label_separator: str | None = None


def describe_data(data: DataConfig) -> dict[str, Any]:
    """Return what a `data` section says of a model that is trained on it, as keywords of `ModelDescription`."""
    return {
        "max_length": data.max_length,
        "columns": DataColumns(data.text, data.text_pair, data.label, data.id, data.group),
        "pair_truncation": data.pair_truncation or "longest_first",
        "lowercase": None if data.lowercase == "auto" else data.lowercase,
        "truncation_side": data.truncation_side,
        "label_separator": data.label_separator,
    }


def write_description(folder: Path, description: ModelDescription) -> None:
    """Write `raybert.json` into a model's folder."""
    write_json(folder / FILE_NAME, asdict(description))


def read_description(folder: Path) -> ModelDescription | None:
    """Return what `raybert.json` says; None: there is none.

    Raises:
        ModelError: the file is damaged.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        return None
    document = read_json(path) or {}
    try:
        found = document.pop("columns")
        label = found.get("label")
        columns = DataColumns(**found | ({"label": tuple(label)} if isinstance(label, list) else {}))
        names = tuple(document.pop("label_names"))
        return ModelDescription(label_names=names, columns=columns, **document)
    except (TypeError, KeyError):
        version = str(document.get("raybert_version", __version__))
        by = "" if version == __version__ else f" (it is of raybert {version}, this is {__version__})"
        raise ModelError(
            f"{path}: must be as raybert wrote it{by}; delete it to go on with what config.json says"
        ) from None


def assume_description(folder: Path, tokenizer: PreTrainedTokenizerFast, model: Any) -> tuple[ModelDescription, str]:
    """Return what holds for a classifier that somebody else trained, and a line that says what was assumed.

    Class names are those of config.json, texts are as long as the tokenizer says and the model can compute.

    Args:
        folder: of the classifier.
        tokenizer: its tokenizer.
        model: the classifier, on the CPU.

    Raises:
        ModelError: not a classifier of two classes at least.
    """
    config = model.config
    names = tuple(str(name) for _, name in sorted(config.id2label.items()))
    if len(names) < 2 or getattr(config, "problem_type", None) == "multi_label_classification":
        raise ModelError(f"{folder}: must be a classifier of texts into one of two classes at least")
    limits = [stated_positions(config), tokenizer.model_max_length]
    most = min((limit for limit in limits if limit is not None and limit < _NO_LIMIT), default=_LONGEST)
    max_length = longest_computed(model, tokenizer, most)
    if max_length <= tokenizer.num_special_tokens_to_add():
        raise ModelError(f"{folder}: cannot compute what its tokenizer makes of texts; they must belong together")
    note = (
        f"{folder} has no {FILE_NAME}: assumed columns 'text' and 'label', {max_length} word pieces, "
        f"and the classes of config.json ({', '.join(names[:5])}{', ...' if len(names) > 5 else ''})"
    )
    return ModelDescription(label_names=names, max_length=max_length), note
