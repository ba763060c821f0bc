"""What a pretraining file asks for and what it will take, without training a model."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from raybert.config.pretraining import PretrainingConfig
from raybert.display import html_frame, html_section
from raybert.errors import RaybertError, ResourceError, TrialError
from raybert.plain import printable_lines
from raybert.pretraining.build import encoder_in
from raybert.pretraining.corpora import Corpus, read_corpora
from raybert.pretraining.request import PretrainRequest
from raybert.pretraining.run import known_steps
from raybert.pretraining.tokenizer import prepare_tokenizer
from raybert.private_folders import private_folder
from raybert.sweeping.estimate.describe import describe_study
from raybert.sweeping.estimate.estimate import PROBE_SECONDS
from raybert.sweeping.estimate.pretraining import (
    ModelLeft,
    PackedSize,
    PretrainingProbe,
    StudyEstimate,
    estimate_study,
    packed_size,
    probe_pretraining,
    steps_planned,
)
from raybert.sweeping.folder.failure_kinds import classify
from raybert.sweeping.folder.heartbeat import read_beat
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.phases.gpus import settle_resources
from raybert.sweeping.plan.placement import Cluster, check_resources, concurrent_trials, this_machine
from raybert.sweeping.plan.where import starts_here
from raybert.sweeping.study import runs_here, wanted_models
from raybert.sweeping.trial.pretraining_run import request_of

_TOKENIZER = "tokenizer"


@dataclass(frozen=True, repr=False)
class PlannedStudy:
    """What a pretraining file asks for, and what is left of it will take.

    Attributes:
        config: the file, with every key.
        models: a row per model: model, corpus, seed, status, documents, words, sequences (packed), pass_tokens (word
            pieces of a pass), steps (T; 0: in hours, and not measured), tokens (trained on, at most), seconds (of what
            is left; NaN: nothing, or not measured) and bytes (of its folder `model/`; NaN: not measured).
        notes: what was found in the corpora.
        is_probed: whether an estimate was asked for.
        estimate: what is left to do will take; None: not asked for, nothing is left to do, or there is a problem.
        problem: why there is none: a model that could never be placed.
    """

    config: PretrainingConfig
    models: pd.DataFrame
    notes: tuple[str, ...]
    is_probed: bool
    estimate: StudyEstimate | None = None
    problem: ResourceError | None = None

    @cached_property
    def num_left(self) -> int:
        """Models that are not finished."""
        return int((self.models["status"] != "complete").sum())

    def lines(self) -> Iterator[str]:
        """Yield what is to say besides the table: notes, and the estimate."""
        yield from (f"note: {note}" for note in self.notes)
        if self.estimate is not None:
            yield from describe_study(self.estimate)
        elif not self.num_left:
            yield "nothing is left to do"

    def __repr__(self) -> str:
        return f"<PlannedStudy '{self.config.name}': {len(self.models)} models>"

    def __str__(self) -> str:
        lines = [f"{self.config.name}: {len(self.models)} models", self.models.to_string(index=False)]
        return printable_lines("\n".join([*lines, *self._shown_lines()]))

    def _repr_html_(self) -> str:
        """Show models and estimate in a notebook."""
        lines = [f"{len(self.models)} models"]
        return html_section(self.config.name, lines, html_frame(self.models), notes=self._shown_lines())

    def _shown_lines(self) -> list[str]:
        return [*self.lines(), *([f"problem: {self.problem}"] if self.problem is not None else [])]


def preview_study(config: PretrainingConfig, output: Path, *, address: str | None, probe: bool) -> PlannedStudy:
    """Return what a pretraining file asks for, and with `probe` what is left of it will take.

    Corpora are read, and cut and packed by the tokenizer, which is trained for it. Of what the commands do besides
    `pretrain` (cross-evaluation, probes) nothing is estimated.

    Args:
        config: the file.
        output: folder of the study, for what is finished already; need not exist, and stays as it is.
        address: of the cluster to look at; None: this machine, where Ray is started only to probe on a GPU.
        probe: run a few steps of a model.

    Raises:
        RaybertError: what is wrong with the file, a corpus, the tokenizer or an encoder.
    """
    began = time.perf_counter()
    corpora = read_corpora(config)
    with private_folder() as scratch, ExitStack() as stack:
        tokenizer = _tokenizer(config, corpora, output, scratch)
        prepare_seconds = time.perf_counter() - began
        folder = SweepFolder(output)
        requests = [request_of(config, corpora[name], tokenizer, seed, folder) for name, seed in wanted_models(config)]
        left = [request for request in requests if folder.trial(request.name).status() != "complete"]
        cluster, problem = this_machine(), None
        if probe and left:
            if not starts_here(address):
                from raybert.sweeping.cluster.connect import connected

                cluster = stack.enter_context(connected(address))
            config = _settled(config, cluster)
            try:
                check_resources(config.resources, cluster, config.limits.max_nodes)
            except ResourceError as error:  # the plan is worth seeing all the same
                problem = error
        sizes: dict[str, PackedSize] = {}
        probed: PretrainingProbe | None = None
        if probe and left and problem is None:
            first = max(left, key=lambda request: request.corpus.train.num_words)
            sizes[first.corpus.name], probed = _probe(first, config, cluster, address, stack)
        for request in requests:
            if request.corpus.name not in sizes:
                sizes[request.corpus.name] = packed_size(request)
    planned = [_planned(request, sizes[request.corpus.name], config, probed, folder) for request in requests]
    estimate = None
    if probed is not None:
        here = runs_here(config, len(requests), address)
        slots = 1 if here else concurrent_trials(config.resources, cluster, config.limits.max_nodes)
        estimate = estimate_study(
            [model for model in planned if model.share > 0],
            len(requests),
            config.pretrain,
            config.resources,
            probed,
            slots=slots,
            is_here=here,
            is_crowded=slots > len(cluster.nodes),
            prepare_seconds=prepare_seconds,
        )
    models = pd.DataFrame(
        [_row(request, model, config, folder, estimate) for request, model in zip(requests, planned, strict=True)]
    )
    notes_found = tuple(dict.fromkeys(note for corpus in corpora.values() for note in corpus.notes))
    return PlannedStudy(config, models, notes_found, probe, estimate, problem)


def _tokenizer(config: PretrainingConfig, corpora: Mapping[str, Corpus], output: Path, scratch: Path) -> Path:
    """Return the folder of the tokenizer; one that is not in the results yet is trained into a folder that goes."""
    encoder = encoder_in(config.model)
    if encoder is not None:
        return encoder.path
    kept = output / _TOKENIZER
    if kept.is_dir():
        shutil.copytree(kept, scratch / _TOKENIZER)
    return prepare_tokenizer(config, corpora, scratch / _TOKENIZER).folder


def _settled(config: PretrainingConfig, cluster: Cluster) -> PretrainingConfig:
    """Return the file with a number of GPUs in the place of `auto`."""
    resources, _ = settle_resources(config.resources, None, config.limits.max_nodes, lambda: cluster)
    return config.model_copy(update={"resources": resources})


def _probe(
    request: PretrainRequest, config: PretrainingConfig, cluster: Cluster, address: str | None, stack: ExitStack
) -> tuple[PackedSize, PretrainingProbe]:
    """Measure a model where models will be trained.

    Raises:
        TrialError: it could not take its steps.
    """
    try:
        if config.resources.num_gpus == 0 and cluster.is_local:
            return probe_pretraining(request, config.resources, PROBE_SECONDS)
        from raybert.sweeping.cluster.connect import connected
        from raybert.sweeping.cluster.tasks import run_as_trial

        if starts_here(address):
            stack.enter_context(connected(address))
        return run_as_trial(probe_pretraining, request, config.resources, PROBE_SECONDS, resources=config.resources)
    except RaybertError:
        raise
    except Exception as error:  # steps of a real model: torch, the disk and Ray may raise it
        reason = f"{type(error).__name__}: {error}"
        raise TrialError(f"the probe failed ({request.name}): {reason}", kind=classify(error)) from error


def _planned(
    request: PretrainRequest,
    size: PackedSize,
    config: PretrainingConfig,
    probe: PretrainingProbe | None,
    folder: SweepFolder,
) -> ModelLeft:
    """Return how long a model is, and what share of it is left."""
    total = known_steps(request.folder) or steps_planned(config.pretrain, size, probe, config.resources)
    trial = folder.trial(request.name)
    step = int(read_beat(trial.path).get("step") or 0)
    share = 0.0 if trial.status() == "complete" else 1.0 - min(step, total) / max(1, total)
    return ModelLeft(request.name, size, total, share)


def _row(
    request: PretrainRequest,
    model: ModelLeft,
    config: PretrainingConfig,
    folder: SweepFolder,
    estimate: StudyEstimate | None,
) -> dict[str, object]:
    train, status = request.corpus.train, folder.trial(request.name).status()
    left = None if estimate is None else estimate.model_seconds.get(request.name)
    return {
        "model": request.name,
        "corpus": request.corpus.name,
        "seed": request.seed,
        "status": status,
        "documents": len(train),
        "words": train.num_words,
        "sequences": model.size.sequences,
        "pass_tokens": model.size.tokens,
        "steps": model.total_steps,
        "tokens": model.size.tokens_in(model.total_steps, config.pretrain.batch_size),
        "seconds": float("nan") if left is None else left.expected,
        "bytes": float("nan") if estimate is None else float(estimate.probe.best_bytes),
    }
