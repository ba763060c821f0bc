"""What lies beside the weights of a trained model: its tokenizer, and what it reads and answers (`raybert.json`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from raybert.config import DataConfig
from raybert.data.chunked import ChunkedData
from raybert.data.examples import ExampleData
from raybert.models import Encoder, load_tokenizer
from raybert.models.description import ModelDescription, describe_data, write_description
from raybert.models.encoder import as_trained
from raybert.models.tokenizer_options import with_options
from raybert.sweeping.plan.specs import RunSpec

_OF_THE_MODEL = ("config.json", ".safetensors")
"""Ends of the names of what only training makes."""


def model_companions(spec: RunSpec, data: ExampleData, encoder: Encoder) -> Callable[[Path], None]:
    """Return what writes them into the folder of a run's model; it can be sent to another process."""
    max_length = None if isinstance(data, ChunkedData) else spec.config.data.max_length
    return partial(_write, encoder, max_length, spec.config.data, _describe(spec, data, encoder))


def are_companions(files: Sequence[Path]) -> bool:
    """Tell whether files of a model's folder can be written anew, without training."""
    return not any(path.name.endswith(_OF_THE_MODEL) for path in files)


def _write(
    encoder: Encoder, max_length: int | None, config: DataConfig, description: ModelDescription, folder: Path
) -> None:
    as_trained(with_options(load_tokenizer(encoder), config), max_length).save_pretrained(folder)
    write_description(folder, description)


def _describe(spec: RunSpec, data: ExampleData, encoder: Encoder) -> ModelDescription:
    iris = vars(data.settings) if isinstance(data, ChunkedData) else None
    return ModelDescription(
        **describe_data(spec.config.data),
        label_names=tuple(data.output_names),
        precision=spec.config.train.precision,
        encoder=encoder.name,
        encoder_fingerprint=encoder.fingerprint,
        encoder_path=str(encoder.path) if iris is not None else None,
        chunking=iris,
        trial_id=spec.trial_id,
        strategy=spec.label,
        seed=spec.seed,
        budget=spec.num_chosen,
        task=data.task,
    )
