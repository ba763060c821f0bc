"""What is wrong with a sweep that can be seen in a moment: before torch, transformers and Ray, which take seconds."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from raybert.config import OptimizerConfig, are_labels_enough, import_attribute
from raybert.config.data import AFTER_LOADING
from raybert.config.encoder_pretraining import SweepCorpusConfig
from raybert.config.packages import check_packages
from raybert.data.first_look import look_at_extra_tests, look_at_source
from raybert.errors import ConfigError, SweepError
from raybert.models.first_look import check_code, look_at_encoder
from raybert.sweeping.folder.older import check_encoder_names
from raybert.sweeping.folder.repair import read_previous_config
from raybert.sweeping.folder.versions import check_version
from raybert.sweeping.folder.whose import check_results_folder
from raybert.sweeping.plan.design import Design, wanted_columns
from raybert.sweeping.plan.extension import check_extension
from raybert.sweeping.plan.own_code import trainings


def look_first(design: Design, output: Path | None = None, *, only_scores: bool = False) -> None:
    """Refuse paths, columns, folders and missing packages that cannot be; what takes reading is found later.

    Args:
        design: the sweep file, expanded.
        output: results folder; None: nothing will be written.
        only_scores: no trial will run, so that what its monitors need does not matter.

    Raises:
        RaybertError: in one line.
    """
    if output is not None:
        _look_at_folder(output, design)
    _look_at_training(design)
    if design.num_trials > 1 and any(variant.config.train.start.checkpoint for variant in design.variants):
        raise ConfigError("train.start: must be left out of a sweep; `raybert train --resume-from` begins one run so")
    configs = [variant.config for variant in design.variants]
    if not only_scores:
        for config in (design.config, *configs):
            check_packages(config)
    for data in {config.data.model_dump_json(exclude={*AFTER_LOADING}): config.data for config in configs}.values():
        look_at_source(data, wanted_columns(design))
    for data in {config.data.model_dump_json(): config.data for config in configs}.values():
        look_at_extra_tests(data)
    for kind in dict.fromkeys(config.model.kind for config in configs if config.model.is_own):
        if not are_labels_enough():
            import_attribute(kind, "model.kind")
    for config in configs:
        check_code(config.model)
    for name in dict.fromkeys(config.model.encoder for config in configs):
        look_at_encoder(name)
    _look_at_corpora(config.pretrain.corpus for config in configs if config.pretrain is not None)
    for masked_model in dict.fromkeys(config.selection.scorers.perplexity.model for config in configs):
        if masked_model is not None:
            look_at_encoder(masked_model, "selection.scorers.perplexity.model")


def _look_at_corpora(corpora: Iterable[SweepCorpusConfig]) -> None:
    """Refuse sources that encoders cannot be pretrained on; the pool is another key's.

    Raises:
        DataError: with the key of the sweep file.
    """
    sources = {corpus.model_dump_json(): corpus for corpus in corpora if not corpus.is_pool}
    for corpus in sources.values():
        from raybert.pretraining.first_look import look_at_corpus  # most sweeps have none

        look_at_corpus(corpus.as_corpus(), "pretrain.corpus")


def _look_at_training(design: Design) -> None:
    """Try optimizers but the default, and schedules of a user's own; torch is loaded only where there are any.

    Raises:
        ConfigError: one cannot do what is asked of it.
    """
    for train in trainings(design):
        if train.schedule.name == "plateau" and design.config.sweep.refit:
            raise ConfigError(
                "sweep.refit: must be false with `train.schedule: plateau`: a refit holds out no validation to watch"
            )
        if train.optimizer != OptimizerConfig() and not (train.optimizer.is_own and are_labels_enough()):
            from raybert.training.optimization.named import check_optimizer

            check_optimizer(train)
        if train.schedule.is_own and not are_labels_enough():
            from raybert.training.optimization.schedules import check_schedule

            check_schedule(train)


def _look_at_folder(output: Path, design: Design) -> None:
    """Refuse a folder of another sweep, or of somebody else."""
    if output.exists() and not output.is_dir():
        raise SweepError(f"{output}: must be a results folder, is a file; give `output` another path")
    check_results_folder(output)
    check_version(output)
    before = read_previous_config(output, lambda note: None)  # said when the folder is opened
    if before is not None:
        check_encoder_names(output, before, design.config)
        check_extension(before, design, search_begun=(output / "decisions.jsonl").exists())
