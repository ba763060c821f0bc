"""The phases of a sweep that need a cluster: runs that others read, scoring, and the rest of the trials."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from raybert.config.tasks import CLASSIFICATION
from raybert.errors import ScoringError
from raybert.selection.by_path import ByPath
from raybert.selection.pipeline import ScoringJob, run_scoring
from raybert.selection.scorers.perplexity import PerplexityScorer, count_passes
from raybert.selection.scorers.sampled import SampledScorer
from raybert.selection.scorers.scorer import ScoringData
from raybert.selection.store import ScoreStore, SignalRef
from raybert.sweeping.cluster.connect import Cluster
from raybert.sweeping.cluster.hung_scoring import hung_blocks_ended
from raybert.sweeping.cluster.staged_blocks import staged_blocks
from raybert.sweeping.cluster.staging import Staging
from raybert.sweeping.cluster.tasks import share
from raybert.sweeping.cluster.tune_run import TrialInputs, run_trials
from raybert.sweeping.driver.progress import Progress
from raybert.sweeping.folder.failure_kinds import kind_in_words
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.folder.trial_folder import TrialFolder
from raybert.sweeping.folder.trial_index import add_to_index
from raybert.sweeping.phases.embed_chunks import embed_chunks
from raybert.sweeping.phases.model_keeper import ModelKeeper
from raybert.sweeping.phases.opening import OpenSweep
from raybert.sweeping.phases.prepare import Prepared
from raybert.sweeping.phases.pretrain import PretrainPhase
from raybert.sweeping.phases.scoring_jobs import JobPlanner, room_for_scoring, score_store
from raybert.sweeping.plan.comparison import Plan
from raybert.sweeping.plan.design import Design
from raybert.sweeping.plan.roles import PART, PROXY, READER
from raybert.sweeping.plan.specs import RunSpec
from raybert.training.measures.chance import is_weak

_MOST_ROUNDS = 3
"""Somebody may empty the score store while trials read it, but not each time by chance."""
_READ_OF_A_RUN = frozenset(("optimizer_steps", "train_seconds", "selection_seconds", "examples_scored"))
"""What the price of a signal is made of, and what tells whether all evaluations are there."""


@dataclass(kw_only=True)
class TrialRunner:
    """The phases that need a cluster: runs that others read, scoring, and the rest of the trials."""

    folder: SweepFolder
    design: Design
    plan: Plan
    prepared: dict[str, Prepared]
    store: ScoreStore
    planner: JobPlanner
    cluster: Cluster
    progress: Progress
    interruption: Callable[[], bool]
    encoders: PretrainPhase
    staging: Staging | None = None
    title: str = "compare"

    def run(self, *, only_score: bool = False) -> None:
        """Run what is pending; with `only_score`, stop before the trials that read signals.

        What somebody deletes of the score store meanwhile is computed again for the trials that read it.
        """
        for _ in range(_MOST_ROUNDS):
            lost = self._without_signals(self._run_once(only_score=only_score))
            if not lost:
                return
            self.progress.note(
                f"note: the score store {self.store.folder} has lost signals that {len(lost)} runs read; they are "
                "computed again"
            )
        self.progress.note(
            f"note: the score store {self.store.folder} loses again and again what is written there; the same command "
            "goes on, with selection.store on another disk if need be"
        )

    def _run_once(self, *, only_score: bool) -> list[RunSpec]:
        """Run what is pending, and return what read signals or is to read them."""
        self._recall_runs()
        trials = [spec for spec in self.plan.trials if spec.role != READER]
        self.keeper = ModelKeeper(self.folder, self.design.config, trials, self.progress.note)
        self.keeper.begin()
        add_to_index(self.folder, trials)
        pending = self._pending()
        has_encoders = self.encoders.run(pending, only_score=only_score)
        self.progress.begin(trials, {spec.trial_id: self.folder.trial(spec.trial_id).status() for spec in trials})
        pending = self._without_failed_encoders(pending)
        if not pending or not has_encoders:
            return []
        self.data = self._shared_data()
        scored = [spec for spec in pending if self.planner.jobs(spec)]
        first = [spec for spec in pending if spec not in scored]
        if only_score:
            first = [spec for spec in first if spec.role in (PROXY, PART)]
        if first:
            has_runs = any(spec.role in (PROXY, PART) for spec in first)
            rest = "" if only_score else " and unscored strategies"
            self.progress.phase(f"{self.title}: proxies{rest}" if has_runs else self.title)
            self._run_trials(first)
        scored = self._without_failed_runs(scored)
        if not scored or self.interruption():
            return []
        self.progress.phase("score: signals of the pool")
        self._warn_of_weak_proxies(scored)
        scored = self._score(scored)
        if scored and not self.interruption() and not only_score:
            self.progress.phase(f"{self.title}: scored strategies")
            self._run_trials(scored)
        return scored

    def _without_signals(self, specs: list[RunSpec]) -> list[RunSpec]:
        """Return those of some runs that have not been run because signals that were computed are gone, or damaged."""
        if self.interruption():
            return []
        waiting = [spec for spec in specs if self.folder.trial(spec.trial_id).status() == "pending"]
        jobs = {job.key: job for job in self.planner.unique_jobs(waiting)}
        gone = {key for key, job in jobs.items() if self.store.check_blocks(key, job.num_blocks)[0]}
        gone |= {key for key in jobs if self.store.completion(key) is None}
        return [spec for spec in waiting if any(job.key in gone for job in self.planner.jobs(spec))]

    def _pending(self) -> list[RunSpec]:
        """Return the trials without an outcome."""
        return [spec for spec in self.plan.trials if self.folder.trial(spec.trial_id).status() == "pending"]

    def _recall_runs(self) -> None:
        """Take finished runs from the score store, and mark those pending whose model is needed but gone."""
        readers: dict[str, list[ScoringJob]] = {}
        num_recalled = 0
        for job in self.planner.unique_jobs(self._pending()):
            if job.runs:
                _, damaged = self.store.check_blocks(job.key, job.num_blocks)
                for error in damaged:
                    self.progress.note(f"{error}; it is computed again")
            for run in job.runs:
                readers.setdefault(run, []).append(job)
        for run, jobs in readers.items():
            folder = self.folder.trial(run)
            kept = [self._kept_run(job.key, run) for job in jobs]
            if folder.status() == "pending" and all(kept) and kept[0] is not None:
                num_recalled += self._adopt(run, kept[0])
            is_needed = any(self.store.completion(job.key) is None for job in jobs)
            if folder.status() == "complete" and is_needed and not folder.has_model():
                folder.forget_result("its model is needed for scoring, and gone")
        if num_recalled:
            self.progress.note(f"note: {num_recalled} proxy runs are taken from the score store with their signals")

    def _adopt(self, run: str, kept: Path) -> bool:
        """Take over a run that the score store keeps, and return whether that was possible."""
        try:
            self.folder.trial(run).adopt(kept)
        except OSError as error:  # somebody has emptied the store meanwhile, or it cannot be read
            self.progress.note(f"note: run {run} cannot be taken from the score store ({error}); it is run again")
            return False
        return True

    def _kept_run(self, key: str, run: str) -> Path | None:
        """Return the folder of a run that the score store keeps; a damaged one is removed from it."""
        kept = self.store.kept_run(key, run)
        if kept is None:
            return None
        damaged, result = TrialFolder(kept).damaged(), TrialFolder(kept).whole_result()
        if not damaged and result is not None and result.keys() >= _READ_OF_A_RUN:
            return kept
        damaged = damaged or [kept / "result.json"]
        self.progress.note(f"note: {damaged[0]}: damaged; the run is removed from the score store, and run again")
        self.store.forget_run(key, run)
        return None

    def _shared_data(self) -> dict[str, Any]:
        """Return references of the data by key; data sets that differ in their encoder alone are one."""
        shared: dict[tuple[int, int], Any] = {}
        found = {}
        for key in {spec.data_key: None for spec in self.plan.trials}:
            content = id(self.prepared[key].data), id(self.prepared[key].columns)
            if content not in shared:
                shared[content] = share(self._on_nodes(key))
            found[key] = shared[content]
        return found

    def _on_nodes(self, key: str) -> Any:
        """Return data as nodes get it: where no other machine can join, by the files that it is mapped from."""
        data, ready = self._scoring_data(key), self.prepared[key]
        if not self.cluster.is_local or self.cluster.address is not None:
            return data
        return ByPath(data, ready.splits.pool_file if data.texts is ready.splits.train else None)

    def _scoring_data(self, key: str) -> ScoringData:
        return ScoringData(self.prepared[key].data, self.prepared[key].texts)

    def _run_trials(self, specs: list[RunSpec]) -> None:
        inputs = self.inputs(self.planner.refs(specs, self.store), specs)
        specs = [spec for spec in specs if len(inputs.signals[spec.trial_id]) == len(self.planner.jobs(spec))]
        if specs:
            run_trials(specs, inputs, self.folder, self.cluster, self.progress, self.interruption, self.keeper.ended)

    def inputs(
        self, signals: Mapping[str, tuple[SignalRef, ...]], specs: Sequence[RunSpec] = (), **further: Any
    ) -> TrialInputs:
        """Return what runs share.

        Args:
            signals: trial id -> what it reads of the score store.
            specs: the runs, where they are known.
            further: other fields.
        """
        pretrained = {name: found.encoder for name, found in self.encoders.done.items()}
        prices = self.encoders.prices(specs, self.plan.trials)
        further = {"pretrained": pretrained, "prices": prices, "staging": self.staging, **further}
        return TrialInputs(self.data, self.encoders.bases(), signals, **further)

    def _without_failed_encoders(self, specs: list[RunSpec]) -> list[RunSpec]:
        """Fail the runs whose encoder could not be pretrained, and return the others."""
        runnable = []
        for spec in specs:
            failure = self.encoders.failure_of(spec)
            if failure is None:
                runnable.append(spec)
                continue
            message = f"{failure.message} (while its encoder was pretrained)"
            self.folder.trial(spec.trial_id).fail(message, failure.kind)
            self.progress.ended(spec, "failed", message)
        return runnable

    def _without_failed_runs(self, specs: list[RunSpec]) -> list[RunSpec]:
        """Fail the trials that read a failed run, and return the others whose runs are complete."""
        runnable = []
        for spec in specs:
            states = {run: self.folder.trial(run).status() for run in spec.proxies}
            failed = [run for run, state in states.items() if state == "failed"]
            if failed:
                failure = self.folder.trial(failed[0]).failure()
                failure = self.folder.trial(spec.trial_id).fail_because(failed[0], failure)
                self.progress.ended(spec, "failed", failure.message)
            elif all(state == "complete" for state in states.values()):
                runnable.append(spec)
        return runnable

    def _warn_of_weak_proxies(self, specs: list[RunSpec]) -> None:
        """Say which proxies know hardly more than the largest class: rankings by their outputs mean little."""
        used = {run for spec in specs for run in spec.proxies}
        for spec in self.plan.proxies:
            if spec.trial_id not in used:
                continue
            if self.prepared[spec.data_key].data.task != CLASSIFICATION:
                continue
            accuracy = float(self.folder.trial(spec.trial_id).result()["validation_accuracy"])
            labels = np.asarray(self.prepared[spec.data_key].data.validation.labels)
            largest = float(np.bincount(labels).max() / len(labels))
            if is_weak(round(accuracy * len(labels)), len(labels), largest):
                self.progress.note(
                    f"note: the {spec.label} of {spec.replicate} has a validation accuracy of {accuracy:.2f}, the "
                    f"largest class alone gives {largest:.2f}: its scores say little; raise "
                    "selection.proxy.epochs or selection.proxy.learning_rate"
                )

    def _announce_perplexity(self, jobs: Sequence[ScoringJob]) -> None:
        """Say what pseudo-perplexity will cost, which is many passes for every text."""
        for job in jobs:
            scorer = job.scorer.inner if isinstance(job.scorer, SampledScorer) else job.scorer
            if isinstance(scorer, PerplexityScorer):
                lengths = np.maximum(self.prepared[job.data_key].data.train.lengths - 2, 1)
                share = job.num_computed / max(1, job.num_rows)
                passes, exact = (round(share * count_passes(lengths, m)) for m in (scorer.mask_every, None))
                self.progress.note(
                    f"note: perplexity takes about {passes:,} forward passes of one text "
                    f"(selection.scorers.perplexity.mask_every: {scorer.mask_every or 'null'}; exact: {exact:,})"
                )

    def _score(self, specs: list[RunSpec]) -> list[RunSpec]:
        """Compute the signals of trials, and return those that have all; the readers of one that fails, fail."""
        jobs = self.planner.unique_jobs(specs)
        self._announce_perplexity([job for job in jobs if self.store.completion(job.key) is None])
        errors: dict[str, str] = {}
        try:
            is_complete = self._run_scoring(jobs, specs[0])
        except ScoringError:
            # One of the jobs is at fault: alone, the others come to their end.
            is_complete = all(self._try_alone(job, specs[0], errors) for job in jobs)
        if not is_complete:
            return []
        self._keep_runs([job for job in jobs if job.key not in errors])
        for spec in specs:
            found = [errors[job.key] for job in self.planner.jobs(spec) if job.key in errors]
            if found:
                self._fail(spec, found[0])
        return [spec for spec in specs if self.folder.trial(spec.trial_id).status() != "failed"]

    def _try_alone(self, job: ScoringJob, spec: RunSpec, errors: dict[str, str]) -> bool:
        """Run one scoring job, note its error by key, and return whether it was not interrupted."""
        blocked = [errors[key] for key in job.depends if key in errors]
        if blocked:
            errors[job.key] = blocked[0]
            return True
        try:
            return self._run_scoring([job], spec)
        except ScoringError as error:
            errors[job.key] = f"TrialError: {error}\n\n{error.details}"
            return True

    def _run_scoring(self, jobs: Sequence[ScoringJob], spec: RunSpec) -> bool:
        with hung_blocks_ended(self.store, self.design.config.limits, self.progress.note) as guard:
            return run_scoring(
                jobs,
                self.data,
                self.store,
                room=room_for_scoring(self.cluster, spec.config),
                progress=lambda p: self.progress.scoring(p.rows_done, p.rows_total, p.rows_per_second),
                note=self.progress.note,
                should_stop=self.interruption,
                guard=staged_blocks(guard, jobs, self.staging),
            )

    def _keep_runs(self, jobs: Sequence[ScoringJob]) -> None:
        """Keep what runs measured beside their signals; models that only served a score are deleted."""
        roles = {spec.trial_id: spec.role for spec in self.plan.trials}
        for job in jobs:
            for run in job.runs:
                try:
                    self._kept_run(job.key, run)  # a damaged one would stay
                    self.store.keep_run(job.key, run, self.folder.trial(run).path)
                except OSError as error:  # the disk is full, say: other sweeps then run it again
                    self.progress.note(f"note: run {run} is not kept in the score store: {error}")
        for run in {run for job in jobs for run in job.runs if roles[run] == PART}:
            self.folder.trial(run).remove_models()

    def _fail(self, spec: RunSpec, text: str) -> None:
        self.folder.trial(spec.trial_id).fail(text, kind_in_words(text))
        self.progress.ended(spec, "failed", text.splitlines()[0])


def make_runner(opened: OpenSweep, cluster: Cluster, staging: Staging | None = None) -> TrialRunner:
    """Return what runs the phases of an open sweep; what all of its trials read is embedded first (IRIS)."""
    folder, plan, progress, interruption = opened.folder, opened.plan, opened.progress, opened.interruption
    store = score_store(opened.design.config, folder, cluster.most_nodes)
    readers = [reader for arm in plan.arms for reader in arm.readers]
    configs = {spec.data_key: spec.config for spec in (*plan.trials, *readers)}
    prepared = embed_chunks(opened.prepared, configs, store, cluster, progress, interruption, staging)
    return TrialRunner(
        folder=folder,
        design=opened.design,
        plan=plan,
        prepared=prepared,
        store=store,
        planner=JobPlanner(prepared, folder),
        cluster=cluster,
        progress=progress,
        interruption=interruption,
        encoders=PretrainPhase(
            folder=folder,
            config=opened.design.config,
            prepared=prepared,
            cluster=cluster,
            progress=progress,
            interruption=interruption,
            staging=staging,
        ),
        staging=staging,
    )
