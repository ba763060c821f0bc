"""All models of a pretraining file: every corpus and seed, one after the other, each in a folder of its own."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from raybert.config.load import dump_yaml, suggest
from raybert.config.pretraining import PretrainingConfig
from raybert.durable import make_folder
from raybert.errors import ConfigError, ExitCode, TrialError
from raybert.files import write_text
from raybert.pretraining.build import encoder_in
from raybert.pretraining.corpora import read_corpora
from raybert.pretraining.progress import PretrainingProgress
from raybert.pretraining.request import PretrainRequest
from raybert.pretraining.run import PretrainedModel, pretrain
from raybert.pretraining.tokenizer import prepare_tokenizer

MODELS = "models"
_FILE, _TOKENIZER = "resolved.yaml", "tokenizer"


@dataclass(frozen=True)
class PretrainedModels:
    """The models of a pretraining file that were asked for.

    Attributes:
        folder: of the study.
        models: finished ones, and at most one that was stopped (`summary` is None).
        failures: name -> why it could not be trained.
        num_wanted: how many were asked for.
    """

    folder: Path
    models: tuple[PretrainedModel, ...]
    failures: dict[str, str]
    num_wanted: int

    @property
    def num_left(self) -> int:
        """How many are not finished, and did not fail."""
        return self.num_wanted - len(self.failures) - sum(model.summary is not None for model in self.models)

    @property
    def exit_code(self) -> ExitCode:
        """How the command ends."""
        if self.num_left:
            return ExitCode.INTERRUPTED
        if not self.failures:
            return ExitCode.DONE
        return ExitCode.SOME_FAILED if self.models else ExitCode.FAILED


def pretrain_models(
    config: PretrainingConfig,
    folder: Path,
    *,
    corpora: Collection[str] = (),
    seeds: Collection[int] = (),
    progress: PretrainingProgress | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> PretrainedModels:
    """Train the models of a file that are not there yet.

    A model whose loss is not finite, or whose folder belongs to another one, is a failure, and the others are trained.

    Args:
        config: the file.
        folder: of the study.
        corpora: whose models; default: of all.
        seeds: which ones; default: those of the file.
        progress: told of what happens.
        should_stop: asked between steps; once it is true the model at work saves, and no other is begun.

    Raises:
        ConfigError: a corpus is none of the file.
        RaybertError: corpora, tokenizer or encoder cannot be read.
    """
    told = progress or PretrainingProgress()
    wanted = list(dict.fromkeys(corpora)) or list(config.corpora)
    for name in wanted:
        if name not in config.corpora:
            raise ConfigError(f"corpus: must be one of the file, got '{name}'{suggest(name, config.corpora)}")
    make_folder(folder)
    told.phase("reading corpora")
    found = read_corpora(config)
    encoder = encoder_in(config.model)
    if encoder is None:
        told.phase("tokenizer")
        tokenizer = prepare_tokenizer(config, found, folder / _TOKENIZER).folder
    else:
        tokenizer = encoder.path
    write_text(folder / _FILE, dump_yaml(config))
    requests = [
        PretrainRequest(
            config.model, config.pretrain, found[name], tokenizer, seed, folder / MODELS / f"{name}-s{seed}"
        )
        for name in wanted
        for seed in dict.fromkeys(seeds or config.seeds)
    ]
    models, failures = [], {}
    for request in requests:
        if should_stop():
            break
        try:
            models.append(pretrain(request, told, should_stop))
        except TrialError as error:
            failures[request.name] = str(error)
            told.failed(request.name, str(error))
    return PretrainedModels(folder, tuple(models), failures, len(requests))
