"""`raybert reproduce` of a model of a study: the same pretraining again, in a folder of its own."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from raybert.config.pretraining import PretrainingConfig, load_pretraining
from raybert.errors import ConfigError, SweepError
from raybert.files import read_json
from raybert.links import check_no_link
from raybert.pretraining.assemble import tokenizer_of
from raybert.pretraining.build import encoder_in
from raybert.pretraining.corpora import read_corpora
from raybert.pretraining.request import PretrainRequest, differing_keys, identity_of_request
from raybert.sweeping.driver.progress import Progress
from raybert.sweeping.driver.session import owned_folder
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.folder.versions import check_version
from raybert.sweeping.single.differences import compare_models
from raybert.sweeping.single.process import torch_as_it_was
from raybert.sweeping.single.reproduce import (
    FOLDER,
    Reproduction,
    changed_surroundings,
    error_of,
    last_evaluation_of,
)
from raybert.sweeping.single.train import check_machine
from raybert.sweeping.trial.pretrain import run_pretraining
from raybert.sweeping.trial.pretraining_run import PretrainingRun, request_of


def reproduce_model(
    study: SweepFolder, name: str, progress: Progress, *, output: Path | None = None, address: str | None = None
) -> Reproduction:
    """Pretrain a model again in a folder of its own, and compare what it leaves: on a CPU every bit is the same.

    A model that is not finished is compared as far as it came. Ray is started only for a model of several workers.

    Args:
        study: its folder.
        name: of the model.
        progress: told about every event.
        output: folder of the new run; default: reproductions/<name> in the study's folder. What an earlier
            reproduction left there is deleted.
        address: of a Ray cluster, for a model of several workers.

    Raises:
        SweepError: the model never began; or corpus, tokenizer, encoder or file are not what they were.
    """
    check_version(study.path)
    first = study.trial(name)
    if output is None:
        check_no_link([study.path / FOLDER, study.path / FOLDER / name])
    path = (output or study.path / FOLDER / name).resolve()
    if (path / "plan.json").exists():
        raise SweepError(f"{path}: must not be the results folder of a sweep; give `output` another folder")
    config = _stored_file(study)
    if config.resources.workers_per_trial == 1:
        check_machine(config.resources)
    with torch_as_it_was(), owned_folder(path, progress) as (folder, _):
        shutil.rmtree(folder.models / name, ignore_errors=True)
        progress.phase("prepare: read corpora")
        request = _request(study, name, config, folder)
        run = PretrainingRun(request)
        progress.begin([run], {})
        progress.started(run)
        listener = _Listener(progress, run, folder, last_evaluation_of(first))
        status = _run(request, folder, config, listener, address)
        again = folder.trial(name)
        error_again = error_of(again) if status == "failed" else ""
        progress.ended(run, status, error_again)
    return Reproduction(
        spec=run,
        title=f"{name} ({run.label}, {run.replicate})",
        first=first,
        again=again,
        status=status,
        comparisons=tuple(compare_models(first, again)),
        error=error_of(first),
        error_again=error_again,
        notes=tuple(changed_surroundings(study)),
    )


def _stored_file(study: SweepFolder) -> PretrainingConfig:
    """Return the file of a study, as its folder has it.

    Raises:
        SweepError: it is damaged.
    """
    place = study.path / "resolved.yaml"
    try:
        return load_pretraining(place)
    except ConfigError as error:
        reason = str(error).splitlines()[0]
        raise SweepError(
            f"{place}: must be as raybert wrote it, but: {reason}; the same command writes it anew"
        ) from None


def _request(study: SweepFolder, name: str, config: PretrainingConfig, folder: SweepFolder) -> PretrainRequest:
    """Return what a model was, to be trained again elsewhere.

    Raises:
        SweepError: it cannot be the same.
    """
    place = study.trial(name).path
    spec, known = (read_json(place / "spec.json") or {}).get("spec"), read_json(place / "run.json")
    if not isinstance(spec, dict) or known is None or not isinstance(known.get("identity"), dict):
        raise SweepError(f"{place}: the model has never begun; `raybert pretrain` trains it")
    label, seed = str(spec.get("label")), spec.get("seed")
    if label not in config.corpora or not isinstance(seed, int):
        raise SweepError(f"{place}: its corpus '{label}' must be one of the file of the study, which has another now")
    encoder = encoder_in(config.model)
    kept = study.path / "tokenizer" if config.tokenizer.folder is None else Path(config.tokenizer.folder).expanduser()
    tokenizer = kept if encoder is None else encoder.path
    request = request_of(config, read_corpora(config)[label], tokenizer, seed, folder)
    differing = differing_keys(known["identity"], identity_of_request(request, tokenizer_of(request)))
    if differing:
        raise SweepError(f"{place}: {', '.join(differing)} changed since the model was trained; bring the old one back")
    return request


@dataclass(frozen=True)
class _Listener:
    """Passes on what the new run reports, and ends it where an unfinished first one ended."""

    progress: Progress
    run: PretrainingRun
    folder: SweepFolder
    last: int | None

    def evaluated(self, row: Mapping[str, Any]) -> None:
        self.progress.evaluated(self.run, row)
        if self.last is not None and row["evaluation"] >= self.last:
            self.folder.stop_request.touch()


def _run(
    request: PretrainRequest,
    folder: SweepFolder,
    config: PretrainingConfig,
    listener: _Listener,
    address: str | None,
) -> str:
    limits = config.limits.model_copy(update={"trial_seconds": None})
    options: dict[str, Any] = {"report_step": partial(listener.progress.stepped, listener.run)}
    with ExitStack() as stack:
        if config.resources.workers_per_trial > 1:
            from raybert.sweeping.cluster.connect import check_resources, connected
            from raybert.training.ddp import fit_distributed

            check_resources(config.resources, stack.enter_context(connected(address)))
            options = {"fit_function": partial(fit_distributed, resources=config.resources)}
        return run_pretraining(request, folder, config.resources, limits, report=listener.evaluated, **options)
