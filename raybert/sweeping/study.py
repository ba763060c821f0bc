"""The models of a pretraining file: every corpus and seed, several at once over Ray, each resumable alone."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from raybert.config import ResourcesConfig
from raybert.config.load import dump_yaml, suggest
from raybert.config.pretraining import PretrainingConfig, load_pretraining
from raybert.errors import ConfigError, ExitCode, SweepError
from raybert.files import read_json, write_json, write_text
from raybert.pretraining.build import encoder_in
from raybert.pretraining.corpora import Corpus, read_corpora
from raybert.pretraining.request import PretrainRequest
from raybert.pretraining.run import PretrainedModel
from raybert.pretraining.tokenizer import prepare_tokenizer
from raybert.sweeping.driver.control import Interruption
from raybert.sweeping.driver.progress import Progress
from raybert.sweeping.driver.session import owned_folder
from raybert.sweeping.folder.layout import SweepFolder, forget_failures
from raybert.sweeping.folder.manifest import describe_run
from raybert.sweeping.folder.versions import check_version
from raybert.sweeping.phases.gpus import settle_resources
from raybert.sweeping.plan.placement import Cluster, check_resources, this_machine
from raybert.sweeping.plan.where import environment_notes, is_here, starts_here
from raybert.sweeping.single.process import torch_as_it_was
from raybert.sweeping.single.train import check_machine
from raybert.sweeping.trial.pretrain import PretrainingOutcome, status_of
from raybert.sweeping.trial.pretrain_list import run_pretrainings_here
from raybert.sweeping.trial.pretraining_run import PretrainingRun, request_of

_FILE, _TOKENIZER = "resolved.yaml", "tokenizer"


@dataclass(frozen=True)
class PretrainedModels:
    """The models of a pretraining file that were asked for.

    Attributes:
        folder: of the study.
        models: finished ones, and those that were stopped (`summary` is None).
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


def runs_here(config: PretrainingConfig, num_models: int, address: str | None) -> bool:
    """Tell whether models are trained in this process, one after the other, where Ray would be of no use.

    Args:
        config: the file.
        num_models: how many are asked for.
        address: of a Ray cluster.
    """
    resources = config.resources
    is_one = num_models == 1 or resources.concurrent_trials == 1
    return is_one and resources.workers_per_trial == 1 and is_here(address)


def wanted_models(
    config: PretrainingConfig, corpora: Collection[str] = (), seeds: Collection[int] = ()
) -> list[tuple[str, int]]:
    """Return corpus and seed of the models that are asked for.

    Args:
        config: the file.
        corpora: whose models; default: of all.
        seeds: which ones; default: those of the file.

    Raises:
        ConfigError: a corpus is none of the file.
    """
    names = list(dict.fromkeys(corpora)) or list(config.corpora)
    for name in names:
        if name not in config.corpora:
            raise ConfigError(f"corpus: must be one of the file, got '{name}'{suggest(name, config.corpora)}")
    return [(name, seed) for name in names for seed in dict.fromkeys(seeds or config.seeds)]


def pretrain_study(
    config: PretrainingConfig,
    output: Path,
    progress: Progress,
    *,
    corpora: Collection[str] = (),
    seeds: Collection[int] = (),
    address: str | None = None,
    retry: str = "failed",
) -> PretrainedModels:
    """Train the models of a file that are not there yet; those that failed are tried again.

    Args:
        config: the file.
        output: folder of the study; made or continued.
        progress: told about every event.
        corpora: whose models; default: of all.
        seeds: which ones; default: those of the file.
        address: of a Ray cluster; None starts Ray on this machine, where several models are trained at once.
        retry: which of those that failed are tried again: `failed`, or a kind of failure.

    Raises:
        ConfigError: a corpus is none of the file.
        SweepError: the folder is in use, or holds something else.
        ResourceError: a model could never be placed.
        RaybertError: corpora, tokenizer or encoder cannot be read.
    """
    wanted = wanted_models(config, corpora, seeds)
    here = runs_here(config, len(wanted), address)
    where = environment_notes(address)
    with contextlib.ExitStack() as stack:
        first_look = this_machine() if here else _first_look(address, stack)
        resources, notes = settle_resources(
            config.resources, _resources_before(output), config.limits.max_nodes, lambda: first_look
        )
        if here:
            check_machine(resources)
        else:
            check_resources(resources, first_look, config.limits.max_nodes, output)
        config = config.model_copy(update={"resources": resources})
        folder, interruption = stack.enter_context(
            owned_folder(output.resolve(), progress, config.limits.sweep_seconds)
        )
        _check_is_study(folder)
        for note in (*where, *notes):
            interruption.progress.note(note)
        study = _Study(config, folder, interruption, wanted, retry)
        study.prepare()
        if here:
            with torch_as_it_was():
                return study.run(run_pretrainings_here)
        return study.run_over_ray(address)


@dataclass
class _Study:
    """A pretraining file at work in its folder."""

    config: PretrainingConfig
    folder: SweepFolder
    interruption: Interruption
    wanted: list[tuple[str, int]]
    retry: str
    requests: tuple[PretrainRequest, ...] = ()

    def prepare(self) -> None:
        """Read corpora and tokenizer, and write what the folder holds."""
        progress, folder = self.interruption.progress, self.folder.path
        progress.phase("prepare: read corpora")
        found = read_corpora(self.config)
        encoder = encoder_in(self.config.model)
        if encoder is None:
            progress.phase("prepare: tokenizer")
            tokenizer = prepare_tokenizer(self.config, found, folder / _TOKENIZER).folder
        else:
            tokenizer = encoder.path
        self.requests = tuple(self._request(name, seed, found, tokenizer) for name, seed in self.wanted)
        planned = [self._request(name, seed, found, tokenizer) for name in found for seed in self.config.seeds]
        write_text(folder / _FILE, dump_yaml(self.config))
        write_json(folder / "manifest.json", describe_run(None))
        lines = [PretrainingRun(request).summary() for request in (*planned, *self.requests)]
        write_json(
            folder / "plan.json", {"name": self.config.name, "trials": _with_earlier(lines, self.folder.planned())}
        )

    def run(self, run_all: Callable[..., tuple[PretrainingOutcome, ...]]) -> PretrainedModels:
        """Run what is pending, again after every pause."""
        before = {request.name: status_of(request) for request in self.requests}
        forget_failures(self.folder, before, self.retry)
        outcomes: list[tuple[PretrainingOutcome, ...]] = []
        config, progress = self.config, self.interruption.progress

        def run() -> None:
            progress.phase("pretrain")
            outcomes.append(
                run_all(self.requests, self.folder, resources=config.resources, limits=config.limits,
                        progress=progress, should_stop=self.interruption)
            )  # fmt: skip

        self.interruption.run_unless_paused(run)
        return _models(self.folder.path, outcomes[-1], before)

    def run_over_ray(self, address: str | None) -> PretrainedModels:
        """Run what is pending on a cluster."""
        from raybert.sweeping.cluster.connect import connected
        from raybert.sweeping.cluster.pretrain_run import folders_read, run_pretrainings
        from raybert.sweeping.cluster.processes import ray_looked_after
        from raybert.sweeping.cluster.shared_folder import reached

        with connected(address) as cluster, ray_looked_after(self.interruption):
            check_resources(self.config.resources, cluster, self.config.limits.max_nodes, self.folder.path)
            why = "workers of one model write into it" if self.config.resources.workers_per_trial > 1 else ""
            with reached(self.folder, folders_read(self.requests), cluster, why) as staging:
                write_json(self.folder.path / "manifest.json", describe_run(cluster))
                return self.run(partial(run_pretrainings, cluster=cluster, staging=staging))

    def _request(self, name: str, seed: int, corpora: Mapping[str, Corpus], tokenizer: Path) -> PretrainRequest:
        return request_of(self.config, corpora[name], tokenizer, seed, self.folder)


def _first_look(address: str | None, stack: contextlib.ExitStack) -> Cluster:
    """Return where models will be trained; Ray is started later, if it is started here."""
    if starts_here(address):
        return this_machine()
    from raybert.sweeping.cluster.connect import connected

    return stack.enter_context(connected(address))


def _resources_before(output: Path) -> ResourcesConfig | None:
    """Return the resources with which a folder was begun; None: it is new, or nobody knows any more."""
    if not (output / "plan.json").is_file():
        return None
    with contextlib.suppress(ConfigError, OSError):
        return load_pretraining(output / _FILE).resources
    return None


def _check_is_study(folder: SweepFolder) -> None:
    """Refuse the results folder of a sweep.

    Raises:
        SweepError: it is one.
    """
    check_version(folder.path)
    if folder.planned() and not folder.is_study:
        raise SweepError(f"output: must be the folder of a pretraining file, but {folder.path} is that of a sweep")


def _with_earlier(lines: Iterable[dict[str, Any]], before: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the lines of a plan, and of an earlier one those of further models."""
    found = {line["trial_id"]: line for line in lines}
    return list(found.values()) + [line for line in before if line["trial_id"] not in found]


def _models(folder: Path, outcomes: Iterable[PretrainingOutcome], before: Mapping[str, str]) -> PretrainedModels:
    known = list(outcomes)
    models = [
        PretrainedModel(one.name, one.folder, one.summary, is_new=before[one.name] != "complete")
        for one in known
        if one.status == "complete" or (one.status == "stopped" and read_json(one.folder / "run.json") is not None)
    ]
    failures = {one.name: one.failure.message for one in known if one.failure is not None}
    return PretrainedModels(folder, tuple(models), failures, len(known))
