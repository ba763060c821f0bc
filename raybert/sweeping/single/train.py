"""`raybert train`: one run of a sweep file, in this process where nothing of it needs a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from raybert.config import RaybertConfig, ResourcesConfig, dump_yaml, load_stored_config
from raybert.errors import ResourceError
from raybert.files import write_text
from raybert.machine import count_cores
from raybert.selection.declared_signals import FREE
from raybert.sweeping.driver.progress import Progress
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.folder.outcome import Outcome, read_outcome
from raybert.sweeping.phases.gpus import settle_gpus
from raybert.sweeping.phases.head import note_devices, pool_texts, write_head
from raybert.sweeping.phases.opening import open_sweep
from raybert.sweeping.plan.design import Design
from raybert.sweeping.plan.narrow import narrow_to_one
from raybert.sweeping.plan.placement import this_machine
from raybert.sweeping.plan.roles import TRIAL
from raybert.sweeping.plan.where import is_here
from raybert.sweeping.runner import run_sweep
from raybert.sweeping.single.held import is_finished
from raybert.sweeping.single.process import torch_as_it_was
from raybert.sweeping.trial.run import run_trial


def train_one(
    config: RaybertConfig,
    strategy: str,
    seed: int,
    output: Path,
    progress: Progress,
    *,
    resume: bool = False,
    source_text: str = "",
    address: str | None = None,
) -> Outcome:
    """Train one strategy with one seed; the results folder is that of a sweep of one trial.

    Ray is started only for a strategy that reads signals, an encoder that is pretrained first, an IRIS model, several
    workers, or an address.

    Args:
        config: the sweep file; its grid, and its other strategies and seeds are not run.
        strategy: a label or name among the file's strategies (then with their parameters), else any name.
        seed: of head, order, ties and draws.
        output: results folder.
        progress: told about every event.
        resume: go on with the run that is in the folder, from its last checkpoint.
        source_text: the file as the user wrote it, kept with the results.
        address: of a Ray cluster.

    Raises:
        RaybertError: before anything was trained; what happens to the run is in the outcome instead.
    """
    narrowed = narrow_to_one(config, strategy, seed)
    (chosen,) = narrowed.entries
    design, notes_on_gpus = settle_gpus(narrowed, output, this_machine)
    is_there = is_finished(SweepFolder(output), narrowed.config, resume=resume)
    if is_there and (outcome := _if_still_valid(design, output, progress)) is not None:
        progress.note("finished earlier; nothing is left to do")
        there = load_stored_config(output / "resolved.yaml")
        if there.sweep.report != config.sweep.report:  # on which no result depends
            sweep = there.sweep.model_copy(update={"report": config.sweep.report})
            write_text(output / "resolved.yaml", dump_yaml(there.model_copy(update={"sweep": sweep})))
        if there.monitor != config.monitor:
            progress.note(
                "note: `monitor` has changed since; only a run that trains can be measured: give another output"
            )
        return outcome
    if config.sweep.grid:
        keys = ", ".join(config.sweep.grid)
        progress.note(f"note: the grid of the file is left out ({keys}); overrides choose values")
    resources = config.resources
    scores = bool(chosen.strategy.all_signals() - FREE) or config.model.kind == "iris"
    pretrains = config.pretrain is not None and config.pretrain.is_on
    if scores or pretrains or resources.workers_per_trial > 1 or not is_here(address):
        return run_sweep(
            narrowed, output, progress, source_text=source_text, address=address, retry="failed" if resume else None
        )
    resources = design.config.resources
    check_machine(resources)
    for note in notes_on_gpus or _hints(resources):
        progress.note(note)
    return _train_here(design, output, progress, source_text or dump_yaml(narrowed.config))


def _if_still_valid(design: Design, output: Path, progress: Progress) -> Outcome | None:
    """Return a finished run if it is what the file, the data and the encoder of today would give; else it trains anew.

    Raises:
        SweepError: a key of the file, or the data, are not those of the run that is there.
    """
    with torch_as_it_was(), open_sweep(design, output, progress) as opened:
        trials = [spec for spec in opened.plan.trials if spec.role == TRIAL]
        if all(opened.folder.trial(spec.trial_id).status() == "complete" for spec in trials):
            return Outcome(output.resolve(), 1, num_failed=0, num_pending=0, errors=(), texts=pool_texts(opened))
    progress.note("note: what the finished run was trained with is another one now; it is trained anew")
    return None


def _train_here(design: Design, output: Path, progress: Progress, source_text: str) -> Outcome:
    with torch_as_it_was(), open_sweep(design, output, progress) as opened:
        (spec,) = opened.plan.trials
        write_head(opened, source_text, cluster=None)
        trial, ready = opened.folder.trial(spec.trial_id), opened.prepared[spec.data_key]
        trial.forget_failure()
        opened.progress.begin([spec], {})
        opened.progress.started(spec)
        status = run_trial(
            spec,
            ready.data,
            ready.encoder,
            (),
            opened.folder,
            report=partial(opened.progress.evaluated, spec),
            report_step=partial(opened.progress.stepped, spec),
            report_start=lambda ran_on: opened.progress.note(f"trains {ran_on}"),
            texts=ready.splits.train,
        )
        opened.progress.ended(spec, status, trial.failure().message if status == "failed" else "")
        note_devices(opened.folder)
        return replace(read_outcome(opened.folder, [spec]), texts=pool_texts(opened))


def check_machine(resources: ResourcesConfig) -> None:
    """Refuse more than this machine has, as a cluster would.

    Raises:
        ResourceError: says what there is.
    """
    cores = count_cores()
    if resources.cpus_per_worker > cores:
        raise ResourceError(
            f"resources.cpus_per_worker: must be <= {cores} (CPU cores here), got {resources.cpus_per_worker}"
        )
    if resources.num_gpus and not torch.cuda.is_available():
        raise ResourceError(
            f"resources.gpus_per_worker: must be 0 where torch finds no GPU, got {resources.num_gpus:g}"
        )


def _hints(resources: ResourcesConfig) -> Iterator[str]:
    """Yield what of the machine lies idle: the resources of a sweep are those of one of many trials."""
    if resources.num_gpus:
        return
    if torch.cuda.is_available():
        yield "note: trains on the CPU, as resources.gpus_per_worker says; `auto` or 1 trains on the GPU"
    elif resources.cpus_per_worker < (cores := count_cores()):
        yield (
            f"note: trains with {resources.cpus_per_worker} of {cores} CPU cores; "
            f"`resources.cpus_per_worker: {cores}` takes all"
        )
