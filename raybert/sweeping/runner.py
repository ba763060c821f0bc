"""The life of a sweep: open its folder, score, search, compare, refit; what is finished already is not run again."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import raybert.sweeping.cluster.warm_imports  # noqa: F401 - before the others
from raybert.config import dump_yaml
from raybert.passwords import holds_password
from raybert.sweeping.driver.progress import Progress
from raybert.sweeping.estimate.record import measured
from raybert.sweeping.folder.layout import forget_failures
from raybert.sweeping.folder.outcome import Outcome, read_outcome
from raybert.sweeping.folder.plan_file import write_plan
from raybert.sweeping.phases.gpus import settle_gpus
from raybert.sweeping.phases.head import note_devices, pool_texts, write_head
from raybert.sweeping.phases.opening import OpenSweep, open_sweep
from raybert.sweeping.phases.prepare import facts_of_pools
from raybert.sweeping.phases.to_pretrain import is_searched
from raybert.sweeping.plan.design import Design
from raybert.sweeping.plan.placement import this_machine
from raybert.sweeping.plan.roles import TRIAL
from raybert.sweeping.plan.specs import RunSpec
from raybert.sweeping.plan.where import environment_notes, starts_here

if TYPE_CHECKING:
    from raybert.sweeping.phases.trial_runner import TrialRunner


def run_sweep(
    design: Design,
    output: Path,
    progress: Progress,
    *,
    source_text: str = "",
    address: str | None = None,
    retry: str | None = None,
) -> Outcome:
    """Run what a sweep asks for and what the output folder does not have yet.

    Args:
        design: what the sweep file asks for, see `read_design`.
        output: results folder; made, continued, or extended.
        progress: told about every event.
        source_text: the file as the user wrote it, kept with the results.
        address: of a Ray cluster; None starts Ray on this machine.
        retry: which failed trials to run again, from their last checkpoint: `failed`, `all`, or a kind of failure.

    Raises:
        RaybertError: before anything was trained; what happens to trials is in the outcome instead.
    """
    # Plans, and a run of `raybert train` in its own process, need no Ray.
    from raybert.sweeping.cluster.connect import check_resources, connected
    from raybert.sweeping.cluster.processes import ray_looked_after
    from raybert.sweeping.cluster.shared_folder import reached
    from raybert.sweeping.estimate.announce import announce_estimate
    from raybert.sweeping.estimate.planning import measure_memory
    from raybert.sweeping.phases.trial_runner import make_runner

    started = time.monotonic()
    notes = environment_notes(address)
    with ExitStack() as stack:
        # What cannot be placed is said before data are loaded; starting Ray here takes seconds, joining one does not.
        first_look = this_machine() if starts_here(address) else stack.enter_context(connected(address))
        source_text = source_text or dump_yaml(design.config)  # as given: what `auto` is here may be another elsewhere
        design, notes_on_gpus = settle_gpus(
            design, output, lambda: first_look, partial(measure_memory, address=address)
        )
        config = design.config
        check_resources(config.resources, first_look, config.limits.max_nodes, output)
        opened = stack.enter_context(open_sweep(design, output, progress))
        for note in (*notes, *_password_notes(design), *notes_on_gpus):
            opened.progress.note(note)
        if retry is not None:
            forget_failures(opened.folder, [spec.trial_id for spec in opened.plan.trials], retry)
        # Ray's processes would take the cores that are probed; a GPU, or another machine, is reached through them.
        probes_here = first_look.is_local and not config.resources.num_gpus
        if probes_here:
            announce_estimate(opened, first_look, started)
        waited = opened.interruption.waited_seconds
        with (
            measured(opened.folder, started, waited),
            connected(address) as cluster,
            ray_looked_after(opened.interruption),
            reached(opened.folder, _encoders(opened), cluster, _must_share(opened)) as staging,
        ):
            check_resources(config.resources, cluster, config.limits.max_nodes, output)
            write_head(opened, source_text, cluster)
            runner = make_runner(opened, cluster, staging)
            if not probes_here:
                announce_estimate(replace(opened, prepared=runner.prepared), cluster, started, staging)
            outcomes: list[Outcome] = []

            def run() -> None:
                phases = _search_and_compare if opened.plan.arms else _compare
                outcomes.append(phases(runner, None if outcomes else retry))

            opened.interruption.run_unless_paused(run)
            note_devices(opened.folder)
            return replace(outcomes[-1], texts=pool_texts(opened))


def _encoders(opened: OpenSweep) -> dict[str, Path]:
    """Return the folders of the encoders that trials and scorers load, by what messages call them."""
    found = [one for ready in opened.prepared.values() for one in (ready.encoder, *ready.language_models.values())]
    return {encoder.label: encoder.path for encoder in found}


def _must_share(opened: OpenSweep) -> str:
    """Return why the working folder of a sweep must be seen by all nodes, if it must."""
    config = opened.design.config
    if config.resources.workers_per_trial > 1:
        return "workers of one trial write into it (resources.workers_per_trial)"
    if is_searched(config):
        return "runs of a search that pretrain share encoders there"
    return "scores go elsewhere (selection.store)" if config.selection.store is not None else ""


def _password_notes(design: Design) -> list[str]:
    """Return what to know of a password that the sweep file has in clear."""
    tune = design.config.sweep.tune
    if tune is None or not holds_password(tune.storage):
        return []
    return [
        "note: sweep.tune.storage has a password in clear; it is hidden in the results folder, so its copy of the file "
        "cannot continue the sweep, and sweep.yaml and resolved.yaml are readable by you alone; write ${NAME} in its "
        "place and set NAME"
    ]


def _search_and_compare(runner: TrialRunner, retry: str | None) -> Outcome:
    """Run the search, then compare the strategies at their best."""
    from raybert.sweeping.search.phase import run_search_phase, tuned_plan

    folder, design = runner.folder, runner.design
    search = run_search_phase(runner, retry)
    if search.counts.num_pending:
        compared = [spec for spec in runner.plan.trials if spec.role == TRIAL]
        outcome = read_outcome(folder, search.runs, search.counts)
        return replace(outcome, num_pending=outcome.num_pending + len(compared))
    plan = tuned_plan(design, facts_of_pools(runner.prepared), runner.plan.arms, search.best)
    write_plan(folder, design.config.name, plan, search.runs)
    comparison = replace(runner, plan=plan)
    comparison.run()
    return read_outcome(folder, (*plan.trials, *_refit(comparison, retry)), search.counts)


def _compare(runner: TrialRunner, retry: str | None) -> Outcome:
    """Run the comparison, then train the best configuration once more if the file asks for it."""
    runner.run()
    return read_outcome(runner.folder, (*runner.plan.trials, *_refit(runner, retry)))


def _refit(runner: TrialRunner, retry: str | None) -> tuple[RunSpec, ...]:
    """Train the best configuration of a finished comparison once more, and return the runs of that."""
    from raybert.sweeping.phases.refit import run_refit

    return run_refit(runner, retry) if runner.design.config.sweep.refit else ()
