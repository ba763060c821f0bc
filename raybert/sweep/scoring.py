"""The score phase: which scoring jobs the planned trials need, and what each trial finds in the score store."""

from __future__ import annotations

from collections.abc import Mapping

from raybert.selection.pipeline import ScoringJob
from raybert.selection.scorers.models import EmbeddingScorer, ProxyScorer
from raybert.selection.store import ScoreStore
from raybert.sweep.folder import SweepFolder
from raybert.sweep.plan import Plan, TrialSpec
from raybert.sweep.prepare import Prepared
from raybert.sweep.trial import SignalRef


def jobs_of_trial(spec: TrialSpec, prepared: Mapping[str, Prepared], folder: SweepFolder) -> tuple[ScoringJob, ...]:
    """Return the scoring jobs whose signals a trial reads."""
    needs = spec.strategy.required_signals()
    ready = prepared[spec.data_key]
    scorers: list[EmbeddingScorer | ProxyScorer] = []
    if "embeddings" in needs:
        scorers.append(EmbeddingScorer(ready.encoder, spec.config.selection.embedding.pooling))
    if spec.proxies:
        checkpoints = tuple(folder.trial(proxy).checkpoints / "best" for proxy in spec.proxies)
        scorers.append(ProxyScorer(spec.proxies, checkpoints))
    return tuple(ScoringJob(scorer, spec.data_key, ready.data.fingerprint, len(ready.data.train)) for scorer in scorers)


def unique_jobs(plan: Plan, prepared: Mapping[str, Prepared], folder: SweepFolder) -> list[ScoringJob]:
    """Return every job that some trial needs, once."""
    jobs = (job for spec in plan.trials for job in jobs_of_trial(spec, prepared, folder))
    return list({job.key: job for job in jobs}.values())


def signal_refs(
    spec: TrialSpec, prepared: Mapping[str, Prepared], folder: SweepFolder, store: ScoreStore
) -> tuple[SignalRef, ...]:
    """Return the complete signals of a trial with their full price, proxy training included.

    The price is what a user of this strategy alone would pay; that a sweep shares signals between strategies
    makes the sweep cheaper, not the strategy.
    """
    refs = []
    for job in jobs_of_trial(spec, prepared, folder):
        record = store.completion(job.key)
        if record is None:
            continue
        proxies = spec.proxies if isinstance(job.scorer, ProxyScorer) else ()
        training = sum(float(folder.trial(proxy).result()["train_seconds"]) for proxy in proxies)
        refs.append(SignalRef(job.key, record["seconds"] + training, job.num_rows * max(1, len(proxies))))
    return tuple(refs)
