"""Run pretrainings over Ray Tune as trials are run: several at once, each resumable alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray import tune

import raybert.sweeping.cluster.warm_imports  # noqa: F401 - before the others
from raybert.config import LimitsConfig, ResourcesConfig
from raybert.machine import tokenize_in_one_thread
from raybert.pretraining.corpora import Corpus
from raybert.pretraining.documents import Documents
from raybert.pretraining.request import PretrainRequest
from raybert.sweeping.cluster.connect import Cluster
from raybert.sweeping.cluster.staging import Staging
from raybert.sweeping.cluster.tune_run import RUN_ENDED, run_list
from raybert.sweeping.driver.progress import Progress
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.trial.pretrain import PretrainingOutcome, run_pretraining
from raybert.sweeping.trial.pretrain_list import PretrainingList


def run_pretrainings(
    requests: Sequence[PretrainRequest],
    folder: SweepFolder,
    cluster: Cluster,
    resources: ResourcesConfig,
    limits: LimitsConfig,
    progress: Progress,
    should_stop: Callable[[], bool],
    staging: Staging | None = None,
) -> tuple[PretrainingOutcome, ...]:
    """Run pretrainings, in order, as many at once as fit; return what became of each.

    What is complete is not run, what was stopped or killed goes on from its last checkpoint, and what has failed stays
    so until somebody forgets the failure (`TrialFolder.forget_failure`). No failure holds up the others.

    Args:
        requests: of distinct names, in folders of `folder.models`.
        folder: of the results, which this process owns.
        cluster: where they run.
        resources: of each; with several workers they train by Ray Train.
        limits: retries of one whose process died, how long one may be silent, and how long it may take.
        progress: told of all runs first, then about every event.
        should_stop: once true, no further one starts.
        staging: how nodes reach the driver's files; None: there is one node.
    """
    listed = PretrainingList.begin(requests, progress)
    corpora = {id(run.request.corpus): run.request.corpus for run in listed.pending}
    shared = {key: ray.put(corpus) for key, corpus in corpora.items()}
    trainable = tune.with_parameters(
        _tune_function,
        requests=[replace(run.request, corpus=_named(run.request.corpus)) for run in listed.pending],
        corpora=[[shared[id(run.request.corpus)]] for run in listed.pending],
        folder=folder,
        resources=resources,
        limits=limits,
        staging=staging,
    )
    run_list(trainable, listed.pending, folder, cluster, resources, limits, progress, should_stop)
    return listed.outcomes()


def _named(corpus: Corpus) -> Corpus:
    """Return a corpus without its documents, which every process then reads once, in place, of what it runs alone."""
    nothing = Documents([])
    return replace(corpus, train=nothing, validation=nothing, test=nothing)


def _tune_function(
    config: dict[str, int],
    requests: list[PretrainRequest],
    corpora: list[list[ray.ObjectRef[Corpus]]],
    folder: SweepFolder,
    resources: ResourcesConfig,
    limits: LimitsConfig,
    staging: Staging | None,
) -> None:
    """What a Tune actor runs for every pretraining."""
    tokenize_in_one_thread()  # of a Ray that was not started by `connected`
    (corpus,) = corpora[config["index"]]
    request = replace(requests[config["index"]], corpus=ray.get(corpus))
    arguments: dict[str, Any] = {}
    if resources.workers_per_trial > 1:
        from raybert.training.ddp import fit_distributed

        arguments["fit_function"] = partial(fit_distributed, resources=resources)
    with _staged(request, folder, staging):
        status = run_pretraining(
            request, folder, resources, limits, report=lambda row: tune.report(dict(row)), **arguments
        )
    tune.report({RUN_ENDED: status})


def folders_read(requests: Iterable[PretrainRequest]) -> dict[str, Path]:
    """Return the folders that pretrainings load, by what messages call them."""
    found: dict[str, Path] = {}
    for request in requests:
        found["tokenizer"] = request.tokenizer
        if request.model.encoder is not None and (path := Path(request.model.encoder).expanduser()).is_dir():
            found[f"model.encoder: {request.model.encoder}"] = path.resolve()
    return found


def _staged(request: PretrainRequest, folder: SweepFolder, staging: Staging | None) -> AbstractContextManager[None]:
    """Return the `with` block in which a pretraining may work on the node of this process."""
    if staging is None:
        return nullcontext()
    part = request.folder.relative_to(folder.path).as_posix()
    return staging.run(part, encoders=staging.readable.values())
