"""The score phase: which scoring jobs the planned trials need, and what each trial finds in the score store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from raybert.config import RaybertConfig
from raybert.data.chunked import ChunkedData
from raybert.files import cache_folder
from raybert.selection.pipeline import ScoringJob
from raybert.selection.room import Room
from raybert.selection.sampling import is_extended
from raybert.selection.scorers.request import ScorerRequest
from raybert.selection.scorers.sampled import ExtendedScorer, SampledScorer
from raybert.selection.scorers.scorer import Arithmetic, PoolScorer, Scorer
from raybert.selection.signals import needed_signals
from raybert.selection.store import ScoreStore, SignalRef
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.phases.prepare import Prepared
from raybert.sweeping.plan.own_code import code_of_models, code_of_training
from raybert.sweeping.plan.placement import Cluster, grown
from raybert.sweeping.plan.specs import RunSpec
from raybert.sweeping.storage.work import work_at
from raybert.training.optimization.precision import resolve_precision


@dataclass(frozen=True)
class JobPlanner:
    """Knows which scoring jobs give a trial its signals.

    Attributes:
        prepared: data by key.
        folder: where the runs that are read have left their models.
    """

    prepared: Mapping[str, Prepared]
    folder: SweepFolder

    def jobs(self, spec: RunSpec) -> tuple[ScoringJob, ...]:
        """Return the scoring jobs whose signals a trial reads; those that others depend on come first."""
        return tuple(dict.fromkeys(self._jobs(spec)))

    def unique_jobs(self, specs: Sequence[RunSpec]) -> list[ScoringJob]:
        """Return every job that some trial needs, once."""
        return list({job.key: job for spec in specs for job in self.jobs(spec)}.values())

    def refs(self, specs: Sequence[RunSpec], store: ScoreStore) -> dict[str, tuple[SignalRef, ...]]:
        """Return by trial id the complete signals of trials, with their price.

        The price is what a user of this strategy alone would pay, training of the runs that it reads included; the
        share is that divided by the number of these trials that read the signal.
        """
        jobs = {spec.trial_id: self.jobs(spec) for spec in specs}
        users = Counter(job.key for own in jobs.values() for job in own)
        users.update(run for own in jobs.values() for run in {run for job in own for run in job.runs})
        records = {key: store.completion(key) for key in {job.key for own in jobs.values() for job in own}}
        refs: dict[str, tuple[SignalRef, ...]] = {}
        for trial_id, own in jobs.items():
            found, paid = [], set[str]()
            for job in own:
                record = records[job.key]
                if record is not None:
                    # A run behind two signals is paid once.
                    prices = {run: self._price(run) for run in job.runs if run not in paid}
                    paid.update(prices)
                    seconds = float(record["seconds"])
                    found.append(
                        SignalRef(
                            store,
                            job.key,
                            seconds + sum(price for price, _ in prices.values()),
                            seconds / users[job.key] + sum(price / users[run] for run, (price, _) in prices.items()),
                            job.num_computed * job.passes + sum(scored for _, scored in prices.values()),
                        )
                    )
            refs[trial_id] = tuple(found)
        return refs

    def _price(self, run: str) -> tuple[float, int]:
        """Return the seconds of a run, its scoring of the pool (dynamics) included, and the examples it scored."""
        result = self.folder.trial(run).result()
        return float(result["train_seconds"]) + float(result["selection_seconds"]), int(result["examples_scored"])

    def _jobs(self, spec: RunSpec) -> Iterator[ScoringJob]:
        selection, request = spec.config.selection, self._request(spec)
        data = self.prepared[spec.data_key].data
        key_of: dict[str, str] = {}
        needed, share = needed_signals(spec.strategy.all_signals(), selection), selection.scorers.sample

        def job_of(scorer: Scorer | PoolScorer) -> ScoringJob:
            job = ScoringJob(
                scorer,
                spec.data_key,
                data.fingerprint,
                len(data.train),
                arithmetic(spec.config),
                tuple(key_of[name] for name in scorer.reads) if isinstance(scorer, PoolScorer) else (),
                # The ids of runs, which the key has, say what code is called; the store outlives this folder.
                code=_code_behind(spec.config) if scorer.runs else None,
            )
            key_of.update(dict.fromkeys(scorer.signals, job.key))
            return job

        for signal in needed if share is None else sorted(needed, key=lambda signal: signal.name != "embeddings"):
            scorer = None if signal.name in key_of else signal.make_scorer(request)
            if scorer is None:
                continue
            if share is not None and isinstance(scorer, Scorer) and all(map(is_extended, scorer.signals)):
                yield job_of(SampledScorer(scorer, share))
                scorer = ExtendedScorer(scorer.signals, share)
            yield job_of(scorer)

    def _request(self, spec: RunSpec) -> ScorerRequest:
        ready, selection = self.prepared[spec.data_key], spec.config.selection
        return ScorerRequest(
            selection=selection,
            max_length=spec.config.data.max_length,
            encoder=ready.encoder,
            language_model=ready.language_models.get(selection.scorers.perplexity.model_key),
            in_chunks=isinstance(ready.data, ChunkedData),
            cross_fit_seed=spec.seed if selection.proxy.per_seed else 0,
            signal_runs=spec.signal_runs,
            folder_of=lambda run: self.folder.trial(run).path,
            model_of=lambda run: self.folder.trial(run).checkpoints / "best",
            losses_of=lambda run: self.folder.trial(run).losses_path,
            columns=spec.columns,
            data=spec.config.data,
        )


def _code_behind(config: RaybertConfig) -> str | None:
    """Return the digests of a user's own code that the runs behind a signal run; None: there is none."""
    found = [code_of_training(config.train), *(one.digest for one in code_of_models([config.model.kind]))]
    return " ".join(digest for digest in found if digest is not None) or None


def arithmetic(config: RaybertConfig, precision: str | None = None) -> Arithmetic:
    """Return how the models of scorers compute, by default as in training.

    What `auto` means on a GPU is known only where it is.
    """
    precision = config.train.precision if precision is None else precision
    device = "cuda" if config.resources.num_gpus > 0 else "cpu"
    if device == "cpu":
        precision = resolve_precision(precision, torch.device("cpu")).name
    return Arithmetic(precision, config.selection.scoring_batch_tokens, device)


def room_for_scoring(cluster: Cluster, config: RaybertConfig) -> Room:
    """Return what scoring may take of a cluster, which grows and shrinks unless it is this machine alone."""
    gpus_per_actor = config.resources.num_gpus
    if cluster.is_local:
        return Room(cluster.cpus, cluster.gpus, gpus_per_actor)
    most = grown(cluster, config.resources, config.limits.max_nodes)
    return Room(cluster.cpus, cluster.gpus, gpus_per_actor, most.cpus, most.gpus)


def score_store(config: RaybertConfig, folder: SweepFolder, num_nodes: int) -> ScoreStore:
    """Return the score store of a sweep: the one that its file names, else this machine's own.

    More nodes do not share a home folder for certain, so they use the results folder; so does a sweep whose results go
    into an object store, where another machine may go on with it.
    """
    if config.selection.store is not None:
        return ScoreStore(Path(config.selection.store).expanduser().resolve())
    is_alone = num_nodes <= 1 and work_at(folder.path) is None
    return ScoreStore(cache_folder() / "scores" if is_alone else folder.signals)
