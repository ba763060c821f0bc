"""A sweep from file to finished trials: plan, prepare, score, compare."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import raybert.sweeping.cluster.warm_imports  # noqa: F401 - before the others
from raybert.config import RaybertConfig, dump_yaml
from raybert.errors import SweepError
from raybert.files import cache_folder, write_json, write_text
from raybert.selection.compose import compose
from raybert.selection.signals import REFRESHED
from raybert.sweeping.driver.control import Interruption
from raybert.sweeping.driver.progress import Progress
from raybert.sweeping.driver.session import owned_folder
from raybert.sweeping.estimate.record import measured
from raybert.sweeping.folder.failures import FailureGroup, group_failures
from raybert.sweeping.folder.layout import SweepFolder, forget_failures
from raybert.sweeping.folder.manifest import describe_run
from raybert.sweeping.folder.repair import read_or_note, read_previous_config, set_aside_damaged_results
from raybert.sweeping.phases.prepare import (
    Prepared,
    describe_data,
    prepare_variants,
    resolve_masked_model,
    write_held_out,
    write_pool,
)
from raybert.sweeping.plan.arms import build_arms, tuning_variants
from raybert.sweeping.plan.check_space import search_spaces
from raybert.sweeping.plan.comparison import Plan, make_plan
from raybert.sweeping.plan.design import build_strategies
from raybert.sweeping.plan.extension import check_extension
from raybert.sweeping.plan.grid import expand_grid
from raybert.sweeping.plan.placement import this_machine
from raybert.sweeping.plan.specs import TRIAL, PoolFacts, RunSpec
from raybert.sweeping.search.log import DECISIONS_FILE

if TYPE_CHECKING:
    from raybert.sweeping.cluster.connect import Cluster
    from raybert.sweeping.phases.trial_runner import TrialRunner
    from raybert.sweeping.search.phase import SearchOutcome

COMPLETE, INTERRUPTED, SOME_FAILED, ALL_FAILED = 0, 3, 4, 5


@dataclass(frozen=True)
class Outcome:
    """How a sweep ended, read from its files.

    Attributes:
        folder: of the results.
        num_complete: trials with a result.
        num_failed: trials with a recorded failure.
        num_pending: trials that the same command would run.
        errors: distinct failures, most frequent first.
    """

    folder: Path
    num_complete: int
    num_failed: int
    num_pending: int
    errors: tuple[FailureGroup, ...]

    @property
    def exit_code(self) -> int:
        """0 all complete, 3 interrupted and resumable, 4 some trials failed, 5 all failed."""
        if self.num_pending:
            return INTERRUPTED
        if not self.num_failed:
            return COMPLETE
        return SOME_FAILED if self.num_complete else ALL_FAILED


def prepare_plan(config: RaybertConfig) -> tuple[Plan, dict[str, Prepared]]:
    """Return what a sweep file asks for, with its data loaded, split and tokenized.

    Raises:
        RaybertError: anything that is wrong with the file, the data or the encoder.
    """
    build_strategies(config)
    spaces = search_spaces(config) if config.sweep.tune is not None else {}
    prepared = prepare_variants(expand_grid(config), cache_folder())
    if config.sweep.tune is not None:
        prepared |= prepare_variants(tuning_variants(config, facts_of_pools(prepared)), cache_folder())
    plan = make_plan(config, facts_of_pools(prepared))
    if config.sweep.tune is not None:
        plan = replace(plan, arms=build_arms(config, spaces, facts_of_pools(prepared)))
    for spec in (*plan.trials, *(reader for arm in plan.arms for reader in arm.readers)):
        ready = prepared[spec.data_key]
        if ready.masked_model is None and "perplexity" in spec.strategy.all_signals():
            model = resolve_masked_model(spec.config, ready.encoder, cache_folder())
            prepared[spec.data_key] = replace(ready, masked_model=model)
    return plan, prepared


def facts_of_pools(prepared: Mapping[str, Prepared]) -> dict[str, PoolFacts]:
    """Return what a plan has to know of data sets, by key."""
    return {key: ready.facts for key, ready in prepared.items()}


def run_sweep(
    config: RaybertConfig,
    output: Path,
    progress: Progress,
    *,
    source_text: str = "",
    address: str | None = None,
    retry: str | None = None,
) -> Outcome:
    """Run what a sweep file asks for and what the output folder does not have yet.

    Args:
        config: the sweep file.
        output: results folder; made, continued, or extended.
        progress: told about every event.
        source_text: the file as the user wrote it, kept with the results.
        address: of a Ray cluster; None starts Ray on this machine.
        retry: which failed trials to run again, from their last checkpoint: `failed`, `all`, or a kind of failure.

    Raises:
        RaybertError: before anything was trained; what happens to trials is in the outcome instead.
    """
    # Plans, and a run of `raybert train` in its own process, need no Ray.
    from raybert.sweeping.cluster.connect import check_resources, connected, starts_here
    from raybert.sweeping.estimate.announce import announce_estimate
    from raybert.sweeping.phases.embed_chunks import embed_chunks
    from raybert.sweeping.phases.scoring_jobs import JobPlanner, score_store
    from raybert.sweeping.phases.trial_runner import TrialRunner

    started = time.monotonic()
    with ExitStack() as stack:
        # What cannot be placed is said before data are loaded; starting Ray here takes seconds, joining one does not.
        first_look = this_machine() if starts_here(address) else stack.enter_context(connected(address))
        check_resources(config.resources, first_look, config.limits.max_nodes)
        opened = stack.enter_context(open_sweep(config, output, progress))
        folder, plan, prepared, progress = opened.folder, opened.plan, opened.prepared, opened.progress
        if retry is not None:
            forget_failures(folder, [spec.trial_id for spec in plan.trials], retry)
        # Ray's processes would take the cores that are probed; a GPU, or another machine, is reached through them.
        probes_here = first_look.is_local and not config.resources.gpus_per_worker
        if probes_here:
            announce_estimate(config, plan, prepared, folder, first_look, progress, started)
        with measured(folder, started), connected(address) as cluster:
            check_resources(config.resources, cluster, config.limits.max_nodes)
            write_head(opened, config, source_text, cluster)
            store = score_store(config, folder, len(cluster.nodes))
            readers = [reader for arm in plan.arms for reader in arm.readers]
            configs = {spec.data_key: spec.config for spec in (*plan.trials, *readers)}
            prepared = embed_chunks(prepared, configs, store, cluster, progress, opened.interruption)
            planner = JobPlanner(prepared, folder)
            interruption = opened.interruption
            if not probes_here:
                announce_estimate(config, plan, prepared, folder, cluster, progress, started)
            runner = TrialRunner(folder, config, plan, prepared, store, planner, cluster, progress, interruption)
            outcomes: list[Outcome] = []

            def run() -> None:
                phases = _search_and_compare if plan.arms else _compare
                outcomes.append(phases(runner, None if outcomes else retry))

            interruption.run_unless_paused(run)
            return outcomes[-1]


def _compare(runner: TrialRunner, retry: str | None) -> Outcome:
    """Run the comparison, then train the best configuration once more if the file asks for it."""
    runner.run()
    return read_outcome(runner.folder, (*runner.plan.trials, *_refit(runner, retry)))


def _refit(runner: TrialRunner, retry: str | None) -> tuple[RunSpec, ...]:
    """Train the best configuration of a finished comparison once more, and return the runs of that."""
    from raybert.sweeping.phases.refit import run_refit

    return run_refit(runner, retry) if runner.config.sweep.refit else ()


def _search_and_compare(runner: TrialRunner, retry: str | None) -> Outcome:
    """Run the search, then compare the strategies at their best."""
    from raybert.sweeping.search.phase import run_search_phase, tuned_plan

    folder, config = runner.folder, runner.config
    search = run_search_phase(runner, retry)
    if search.num_pending:
        compared = [spec for spec in runner.plan.trials if spec.role == TRIAL]
        outcome = read_outcome(folder, search.runs, search)
        return replace(outcome, num_pending=outcome.num_pending + len(compared))
    plan = tuned_plan(config, facts_of_pools(runner.prepared), runner.plan.arms, search.best)
    write_plan(folder, config, plan, search.runs)
    comparison = replace(runner, plan=plan)
    comparison.run()
    return read_outcome(folder, (*plan.trials, *_refit(comparison, retry)), search)


@dataclass(frozen=True)
class OpenSweep:
    """A results folder that this process owns, and what is to be run in it.

    Attributes:
        folder: of the results.
        plan: all trials.
        prepared: their data, by key.
        interruption: tells whether the user asked to stop.
        progress: told about every event, and keeps `state.json`.
    """

    folder: SweepFolder
    plan: Plan
    prepared: dict[str, Prepared]
    interruption: Interruption
    progress: Progress


@contextmanager
def open_sweep(config: RaybertConfig, output: Path, progress: Progress) -> Iterator[OpenSweep]:
    """Own a results folder for the length of a `with` block, with the data of a sweep file prepared.

    Raises:
        RaybertError: the folder is in use or of another sweep, or anything is wrong with the file or the data.
    """
    limit = config.limits.sweep_seconds
    with owned_folder(output.resolve(), progress, limit) as (folder, interruption):
        progress = interruption.progress
        progress.phase("prepare: load, split, tokenize")
        _check_same_sweep(folder, config, progress)
        plan, prepared = prepare_plan(config)
        _check_same_data(folder, prepared, progress)
        set_aside_damaged_results(folder, [spec.trial_id for spec in plan.trials], progress.note)
        for note in dict.fromkeys(note for ready in prepared.values() for note in ready.splits.notes):
            progress.note(f"note: {note}")
        for note in describe_idle_rounds(config):
            progress.note(f"note: {note}")
        yield OpenSweep(folder, plan, prepared, interruption, progress)


def describe_idle_rounds(config: RaybertConfig) -> list[str]:
    """Return a line for every strategy whose rounds cannot change what it selects."""
    changing = REFRESHED | ({"embeddings"} if config.selection.embedding.of == "proxy" else set())
    return [
        f"'{label}' reads nothing of the current model: its last round has selected what `once` selects"
        for label, strategy in build_strategies(config)
        if compose(strategy).schedule == "rounds"
        and compose(strategy).inner.nested
        and not strategy.all_signals() & changing
    ]


def read_outcome(folder: SweepFolder, trials: Sequence[RunSpec], search: SearchOutcome | None = None) -> Outcome:
    """Return how things stand, from the trials' files and the search before them."""
    counts = Counter(folder.trial(spec.trial_id).status() for spec in trials)
    failed = list(folder.failed(spec.summary() for spec in trials))
    if search is not None:
        counts.update(complete=search.num_complete, pending=search.num_pending, failed=len(search.failures))
        failed += search.failures
    return Outcome(folder.path, counts["complete"], counts["failed"], counts["pending"], group_failures(failed))


def _check_same_sweep(folder: SweepFolder, config: RaybertConfig, progress: Progress) -> None:
    before = read_previous_config(folder.path, progress.note)
    if before is not None:
        check_extension(before, config, search_begun=(folder.path / DECISIONS_FILE).exists())


def _check_same_data(folder: SweepFolder, prepared: dict[str, Prepared], progress: Progress) -> None:
    """Refuse to mix results of two contents of the same source.

    Raises:
        SweepError: the data or the encoder changed since the folder was begun.
    """
    manifest: dict[str, Any] = read_or_note(folder.path / "manifest.json", progress.note) or {}
    known = manifest.get("data", {})
    for key, ready in prepared.items():
        if key in known and known[key]["fingerprint"] != ready.data.fingerprint:
            raise SweepError(
                f"{folder.path}: the content of data.source '{known[key]['source']}' (or the tokenizer) changed "
                "since this folder was begun; give --output a new folder"
            )


def write_head(opened: OpenSweep, config: RaybertConfig, source_text: str, cluster: Cluster | None) -> None:
    """Write what the results belong to; a continued sweep refreshes it.

    Args:
        opened: the folder.
        config: the sweep file.
        source_text: the file as the user wrote it.
        cluster: where it runs; None: in this process.
    """
    folder, plan = opened.folder, opened.plan
    variants = expand_grid(config)
    sources = {variant.data_key: variant.config.data.source for variant in variants}
    prepared = {key: opened.prepared[key] for key in sources}
    manifest = describe_run(cluster)
    manifest["data"] = {key: describe_data(ready, sources[key]) for key, ready in prepared.items()}
    write_text(folder.path / "sweep.yaml", source_text or dump_yaml(config))
    write_text(folder.path / "resolved.yaml", dump_yaml(config))
    write_json(folder.path / "manifest.json", manifest)
    write_plan(folder, config, plan if not plan.arms else replace(plan, trials=plan.proxies))
    write_held_out(prepared, folder.path / "held_out.parquet")
    if not (folder.path / "pool.parquet").exists():
        first = [variant for variant in variants if variant.grid == variants[0].grid]
        write_pool({variant.fold: prepared[variant.data_key] for variant in first}, folder.path / "pool.parquet")


def write_plan(folder: SweepFolder, config: RaybertConfig, plan: Plan, further: Sequence[RunSpec] = ()) -> None:
    """Write `plan.json`: the trials of the comparison (known once the search is over), and what is searched.

    Args:
        folder: of the results.
        config: the sweep file.
        plan: of the sweep.
        further: runs that only the search has read.
    """
    trials = list({spec.trial_id: spec for spec in (*plan.trials, *further)}.values())
    search = {"search": [arm.summary() for arm in plan.arms]} if plan.arms else {}
    write_json(
        folder.path / "plan.json",
        {"name": config.name, "trials": [{**spec.summary(), "data_key": spec.data_key} for spec in trials], **search},
    )
