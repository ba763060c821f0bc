"""What an unknown key was probably meant to be: misspelt, at the wrong level, or by its name in another library."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any, get_args

from pydantic import BaseModel

_VERY_NEAR, _NEAR = 0.8, 0.6

_ELSEWHERE: Mapping[str, str] = {
    # transformers.TrainingArguments
    "num_train_epochs": "train.length.epochs",
    "max_steps": "train.length.steps",
    "per_device_train_batch_size": "train.batch_size (over all workers)",
    "per_gpu_train_batch_size": "train.batch_size (over all workers)",
    "per_device_eval_batch_size": "train.micro_batch_size",
    "per_gpu_eval_batch_size": "train.micro_batch_size",
    "gradient_accumulation_steps": "train.micro_batch_size (examples per forward pass, accumulated to batch_size)",
    "auto_find_batch_size": "train.micro_batch_size: auto",
    "adam_beta1": "train.betas",
    "adam_beta2": "train.betas",
    "adam_epsilon": "train.epsilon",
    "lr_scheduler_type": "train.schedule",
    "lr_scheduler_kwargs": "train.schedule",
    "warmup_ratio": "train.warmup_fraction",
    "label_smoothing_factor": "train.loss.label_smoothing",
    "eval_steps": "train.eval_every",
    "eval_strategy": "train.eval_every",
    "evaluation_strategy": "train.eval_every",
    "logging_steps": "train.eval_every; what is measured between evaluations: monitor",
    "logging_strategy": "train.eval_every",
    "save_steps": "train.checkpoints.every",
    "save_strategy": "train.checkpoints.every",
    "save_total_limit": "train.checkpoints.keep_last",
    "metric_for_best_model": "train.best_metric",
    "greater_is_better": "train.early_stopping.direction",
    "load_best_model_at_end": "train.best_metric (the best evaluation is always the one that is kept)",
    "early_stopping_patience": "train.early_stopping.patience",
    "early_stopping_threshold": "train.early_stopping.min_change",
    "fp16": "train.precision: fp16",
    "bf16": "train.precision: bf16",
    "tf32": "train.precision: tf32",
    "fp16_full_eval": "train.precision: fp16",
    "bf16_full_eval": "train.precision: bf16",
    "torch_compile": "train.compile",
    "activation_checkpointing": "train.gradient_checkpointing",
    "local_rank": "resources.workers_per_trial",
    "full_determinism": "not needed: a run repeats itself bit by bit",
    "report_to": "track (mlflow, wandb, trackio, clearml, tensorboard)",
    "seed": "sweep.seeds",
    "data_seed": "data.split_seed",
    "run_name": "name",
    "output_dir": "the results folder, `output`",
    "logging_dir": "the results folder, `output`",
    "resume_from_checkpoint": "not needed: the same command continues; of another run: `raybert train --resume-from`",
    "use_cpu": "resources.gpus_per_worker: 0",
    "no_cuda": "resources.gpus_per_worker: 0",
    "use_liger_kernel": "train.compile",
    "optim": "train.optimizer",
    "optimizer": "train.optimizer",
    "label_names": "data.label",
    # the examples and scripts of transformers
    "model_name_or_path": "model.encoder",
    "pretrained_model_name_or_path": "model.encoder",
    "model_name": "model.encoder",
    "model_revision": "model.revision",
    "tokenizer_name": "model.encoder (whose tokenizer is used)",
    "hidden_dropout_prob": "model.dropout",
    "attention_probs_dropout_prob": "model.dropout",
    "classifier_dropout": "model.head.dropout",
    "max_seq_length": "data.max_length",
    "max_seq_len": "data.max_length",
    "dataset_name": "data.source",
    "dataset_config_name": "data.config",
    "train_file": "data.source",
    "data_files": "data.source",
    "validation_file": "data.source, a folder with train and validation files",
    "test_file": "data.source, a folder with train and test files",
    "text_column": "data.text",
    "text_column_name": "data.text",
    "text_column_names": "data.text and data.text_pair",
    "label_column": "data.label",
    "label_column_name": "data.label",
    "max_train_samples": "data.train_examples",
    "max_eval_samples": "data.validation_examples",
    "max_predict_samples": "data.test_examples",
    "validation_split_percentage": "data.validation_fraction",
    "test_size": "data.test_fraction",
    "freeze": "model.freeze_layers and model.freeze_embeddings",
    "num_labels": "not needed: the classes are those of the data",
    # what people write
    "lr": "train.learning_rate",
    "head_lr": "train.head_learning_rate",
    "classifier_lr": "train.head_learning_rate",
    "wd": "train.weight_decay",
    "bs": "train.batch_size",
    "num_epochs": "train.length.epochs",
    "n_epochs": "train.length.epochs",
    "max_epochs": "train.length.epochs",
    "num_steps": "train.length.steps",
    "total_steps": "train.length.steps",
    "scheduler": "train.schedule",
    "lr_scheduler": "train.schedule",
    "gradient_clip_val": "train.max_grad_norm",
    "grad_clip": "train.max_grad_norm",
    "accumulate_grad_batches": "train.micro_batch_size (examples per forward pass, accumulated to batch_size)",
    "layerwise_lr_decay": "train.layer_decay",
    "llrd": "train.layer_decay",
    "ema": "train.averaging: ema",
    "swa": "train.averaging: swa",
    "ema_decay": "train.averaging.decay",
    "loss_fn": "train.loss",
    "num_seeds": "sweep.seeds (of proxies: selection.proxy.num_seeds)",
    "strategy": "sweep.strategies",
    "fraction": "selection.budget",
    "subset_size": "selection.budget",
    "num_samples": "selection.budget",
    "num_trials": "sweep.tune.suggestions_per_strategy",
    "n_trials": "sweep.tune.suggestions_per_strategy",
    "num_workers": "resources.workers_per_trial",
    "num_gpus": "resources.gpus_per_worker",
    "num_cpus": "resources.cpus_per_worker",
    "n_splits": "data.folds",
    "output": "not a key of the file but of the command, `output`",
}
"""A key by its name in other libraries, or as people write it -> what it is here."""

_SHORT = 5
"""Letters of a word that is near so many others that a key of another section is hardly meant."""


def explain_unknown(key: str, known: Iterable[str]) -> str:
    """Return that a key is unknown, and what was probably meant.

    Args:
        key: as written.
        known: keys of the section that it stands in.
    """
    names, word = sorted(known), _plain(key)
    section, _, leaf = key.rpartition(".")
    if section and _places().get(leaf) and key in _places()[leaf]:
        return f"unknown key; write `{_nested(key)}`, its sections one inside the other"
    if word in _ELSEWHERE and word not in names:
        return f"unknown key; here it is {_ELSEWHERE[word]}"
    near = difflib.get_close_matches(word, names, n=1, cutoff=_VERY_NEAR)
    homes = _places().get(word, [])
    if not near and homes:
        return f"unknown key; did you mean '{_or(homes[:3])}'?"
    near = near or difflib.get_close_matches(word, names, n=1, cutoff=_NEAR)
    if near:
        return f"unknown key; did you mean '{near[0]}'?"
    elsewhere = difflib.get_close_matches(word, _places(), n=1, cutoff=_VERY_NEAR)
    if elsewhere and len(word) > _SHORT:
        return f"unknown key; did you mean '{_or(_places()[elsewhere[0]][:3])}'?"
    return f"unknown key; known: {', '.join(names)}" if 0 < len(names) <= 12 else "unknown key"


def suggest_place(key: str) -> str:
    """Return `; did you mean 'train.learning_rate'?` for a key without its sections, or nothing."""
    homes = _places().get(_plain(key), [])
    return f"; did you mean '{_or(homes[:3])}'?" if homes and "." not in key else ""


def section_at(model: type[BaseModel], path: str) -> type[BaseModel] | None:
    """Return the section at a dotted path of a model; None: there is none."""
    for key in path.split("."):
        field = model.model_fields.get(key)
        kinds = [field.annotation, *get_args(field.annotation)] if field is not None else []
        found = next((kind for kind in kinds if _is_section(kind)), None)
        if found is None:
            return None
        model = found
    return model


def dotted_keys(model: type[BaseModel], prefix: str = "") -> dict[str, str]:
    """Return the dotted path of every key of a model that is no section itself -> its description."""
    found: dict[str, str] = {}
    for key, field in model.model_fields.items():
        inner = section_at(model, key)
        if inner is not None and not field.description:
            found |= dotted_keys(inner, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = field.description or ""
            found |= dotted_keys(inner, f"{prefix}{key}.") if inner is not None else {}
    return found


@cache
def _places() -> Mapping[str, list[str]]:
    """Return the dotted paths of every key of a sweep file by its last part, those nearest to the top first."""
    from raybert.config.schema import RaybertConfig  # which is made of what asks here

    found: dict[str, list[str]] = {}
    for path in sorted(_paths(RaybertConfig, ""), key=lambda path: (path.startswith("pretrain."), path.count("."))):
        known = found.setdefault(path.rpartition(".")[2], [])
        if not (path.startswith("pretrain.") and known):  # most sweeps pretrain nothing: `train` is meant
            known.append(path)
    return found


def _paths(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for key, field in model.model_fields.items():
        yield f"{prefix}{key}"
        kinds = [field.annotation, *get_args(field.annotation)]
        for kind in kinds:
            if _is_section(kind):
                yield from _paths(kind, f"{prefix}{key}.")


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _plain(key: str) -> str:
    """Return a key in small letters with underscores: of `learningRate` and `learning-rate`, `learning_rate`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", key).replace("-", "_").lower()


def _nested(key: str) -> str:
    head, _, rest = key.partition(".")
    return f"{head}: {{{_nested(rest)}}}" if rest else f"{head}: ..."


def _or(paths: list[str]) -> str:
    return "' or '".join(paths)
