"""The tune phase of a sweep: signals for the tuning seeds, the search, and what the comparison takes over from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from raybert.errors import SweepError
from raybert.selection.store import SignalRef
from raybert.selection.strategy import Strategy
from raybert.sweeping.cluster.tasks import share
from raybert.sweeping.cluster.tune_run import TrialInputs
from raybert.sweeping.folder.failure_kinds import kind_in_words
from raybert.sweeping.folder.failures import FailedRun, Failure
from raybert.sweeping.folder.layout import forget_failures
from raybert.sweeping.folder.outcome import SuggestionCounts
from raybert.sweeping.phases.trial_runner import TrialRunner
from raybert.sweeping.plan.arms import Arm
from raybert.sweeping.plan.comparison import Plan, Tuned, plan_comparison
from raybert.sweeping.plan.design import Design
from raybert.sweeping.plan.entries import Entry
from raybert.sweeping.plan.grid import Variant
from raybert.sweeping.plan.search_space import Params
from raybert.sweeping.plan.specs import PoolFacts, RunSpec
from raybert.sweeping.search.log import DecisionLog
from raybert.sweeping.search.resume import reconcile
from raybert.sweeping.search.search_state import SearchState
from raybert.sweeping.search.storage import open_storage, study_name
from raybert.sweeping.search.study import ArmStudy
from raybert.sweeping.search.tune import run_search
from raybert.sweeping.trial.scored_part import scored_rows


@dataclass(frozen=True)
class SearchOutcome:
    """How the search of a sweep stands.

    Attributes:
        best: arm -> its best values; arms without a complete suggestion are missing.
        runs: what was trained for the signals of the tuning seeds.
        counts: of its suggestions.
    """

    best: Mapping[str, Params]
    runs: tuple[RunSpec, ...]
    counts: SuggestionCounts


def run_search_phase(runner: TrialRunner, retry: str | None = None) -> SearchOutcome:
    """Search every arm of a plan, as far as it is not searched yet.

    Args:
        runner: of the whole sweep.
        retry: which failed suggestions are tried again (a value of `--retry`); None: none.

    Raises:
        SweepError: log or studies of an earlier driver are damaged; says what to do.
    """
    config, folder, arms = runner.design.config, runner.folder, runner.plan.arms
    tune = config.sweep.tune
    assert tune is not None
    with open_storage(tune, folder.path) as storage:
        studies = {arm.name: ArmStudy(arm, tune, storage, study_name(config, arm.name)) for arm in arms}
        search = SearchState(arms, tune, studies, DecisionLog(folder.decisions), folder)
        reconcile(search)
        runs = tuning_runs(runner.plan)
        if retry is not None:
            search.retry_failed(retry)
            forget_failures(folder, [run.trial_id for run in runs], retry)
        if search.has_more() and not runner.interruption():
            inputs = _score(runner, search, runs)
            if not runner.interruption():
                runner.progress.phase("tune: search")
                run_search(search, inputs, runner.cluster, runner.progress, runner.interruption)
        for one in search.failed():
            if one.contradiction:
                runner.progress.note(f"note: {one.name} was not run: {one.contradiction}")
        return _outcome(search, runs)


def tuning_runs(plan: Plan) -> tuple[RunSpec, ...]:
    """Return the runs behind the signals of the tuning seeds, each once; some may serve the comparison too."""
    compared = {spec.trial_id: spec for spec in plan.proxies}
    runs = {run.trial_id: run for arm in plan.arms for candidate in arm.candidates for run in candidate.runs}
    return tuple(compared.get(trial_id, run) for trial_id, run in runs.items())


def _score(runner: TrialRunner, search: SearchState, runs: tuple[RunSpec, ...]) -> TrialInputs:
    """Compute the signals of the tuning seeds, once for all suggestions; arms that cannot have theirs are blocked."""
    readers = {reader.trial_id: reader for arm in search.arms for reader in arm.readers}
    scored = _scored_rows(runner, search)  # first: it refuses what cannot be cut
    for trial_id in readers:
        runner.folder.trial(trial_id).forget_failure()
    scorer = replace(runner, plan=Plan((*runs, *readers.values())), title="tune")
    scorer.run(only_score=True)
    for arm in search.arms:
        failed = [reader for reader in arm.readers if runner.folder.trial(reader.trial_id).status() == "failed"]
        if failed:
            search.blocked[arm.name] = failed[0].trial_id
            message = runner.folder.trial(failed[0].trial_id).failure().message
            runner.progress.note(f"note: '{arm.name}' is not searched: {message}")
    signals = runner.planner.refs(list(readers.values()), runner.store)
    _check_signals(
        runner, [reader for arm in search.arms if arm.name not in search.blocked for reader in arm.readers], signals
    )
    made_from = {reader.data_key: runner.prepared[reader.data_key].pretraining for reader in readers.values()}
    to_pretrain = {key: share(one) for key, one in made_from.items() if one is not None}
    return scorer.inputs(signals, scored_rows=scored, to_pretrain=to_pretrain)


def _scored_rows(runner: TrialRunner, search: SearchState) -> dict[str, np.ndarray]:
    """Return which validation examples score suggestions alone, by data key; nothing, if none do."""
    fraction = search.tune.validation
    if fraction is None:
        return {}
    configs = {reader.data_key: reader.config.data for arm in search.arms for reader in arm.readers}
    found = {
        key: scored_rows(runner.prepared[key].splits.validation, config, fraction) for key, config in configs.items()
    }
    counts = sorted({(int(rows.sum()), len(rows)) for rows in found.values()})
    for scoring, total in counts:
        runner.progress.note(
            f"{scoring:,} of {total:,} validation examples score suggestions, the others choose evaluations"
        )
    return found


def _check_signals(
    runner: TrialRunner, readers: Sequence[RunSpec], signals: Mapping[str, tuple[SignalRef, ...]]
) -> None:
    """Refuse to search without signals that have been computed: every suggestion would fail.

    Raises:
        SweepError: somebody has deleted them meanwhile.
    """
    for reader in readers:
        if len(signals[reader.trial_id]) != len(runner.planner.jobs(reader)) and not runner.interruption():
            raise SweepError(
                f"{runner.store.folder}: has lost signals that '{reader.label}' reads; the same command computes them "
                "again, and goes on"
            )


def _outcome(search: SearchState, runs: tuple[RunSpec, ...]) -> SearchOutcome:
    ended = [one for one in search.suggestions.values() if one.status is not None]
    failures = [
        FailedRun(
            one.current_run.trial_id if one.runs else one.name, Failure(kind_in_words(one.why), one.why), one.arm.name
        )
        for one in search.failed()
    ]
    for arm, reader in search.blocked.items():
        failures.append(FailedRun(reader, search.folder.trial(reader).failure(), arm))
    counts = SuggestionCounts(
        num_complete=sum(one.status != "failed" for one in ended),
        num_pending=sum(tally.num_pending for name, tally in search.tallies.items() if name not in search.blocked),
        failures=tuple(failures),
    )
    return SearchOutcome(search.best(), runs, counts)


def tuned_plan(design: Design, pools: Mapping[str, PoolFacts], arms: Sequence[Arm], best: Mapping[str, Params]) -> Plan:
    """Return the comparison of every strategy at its best configuration; of a shared search, the winner's.

    What a trial reads of other runs is planned from the configuration before tuning.

    Args:
        design: of the sweep.
        pools: facts of every data set by key.
        arms: what was searched.
        best: arm -> best values; strategies of other arms are left out.
    """
    return Plan(plan_comparison(design, pools, _tuned(arms, best)), tuple(arms))


def _tuned(arms: Sequence[Arm], best: Mapping[str, Params]) -> Tuned:
    def find(entry: Entry, variant: Variant) -> tuple[Strategy, Variant] | None:
        for arm in arms:
            is_of_arm = entry in [candidate.entry for candidate in arm.candidates] and variant.grid in arm.grid_points
            if not is_of_arm or arm.name not in best:
                continue
            params = best[arm.name]
            if arm.candidate(params).entry == entry:
                return entry.with_values(variant, arm.space.decode(params))
        return None

    return find
