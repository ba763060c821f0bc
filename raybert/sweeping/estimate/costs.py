"""What single trials and scoring jobs take, from what was probed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from raybert.config import SweepPretrainConfig
from raybert.data.chunked import ChunkedData
from raybert.data.examples import extra_tests_of
from raybert.selection.compose import compose
from raybert.selection.passes import REFRESHED
from raybert.selection.pipeline import ScoringJob
from raybert.selection.scorers.perplexity import PerplexityScorer
from raybert.selection.scorers.sampled import SampledScorer
from raybert.selection.strategies import El2n, LossThreshold
from raybert.sweeping.estimate.probe import Probe
from raybert.sweeping.estimate.shapes import shape_key
from raybert.sweeping.estimate.span import NOTHING, Span
from raybert.sweeping.phases.prepare import Prepared
from raybert.sweeping.plan.roles import MEASURED_ELSEWHERE
from raybert.sweeping.plan.specs import RunSpec

TRIAL_SECONDS = Span(0.15, 0.3, 0.8)
"""Around the training of a trial in a reused process: choosing, predictions, files (measured: 0.23 s for all)."""
WORKERS_SECONDS = Span(6.0, 9.0, 20.0)
"""Of a trial of several workers, whose processes are its own (measured: 8.1 s)."""
CROWDING = Span(1.0, 1.1, 1.5)
"""Factor on a CPU where several trials share caches and memory, each with cores of its own."""
STATISTICS_SECONDS = Span(1e-4, 4e-4, 2e-3)
"""Of one text in a scorer without a model."""
UNPROBED = Span(0.7, 1.0, 1.5)
"""Factor where the time of a step is taken from another shape, by word pieces in a batch."""
PIECES_PER_WORD = 1.4
"""Of English text in WordPiece vocabularies of 8,192 to 30,522, special ones apart: 1.2 to 1.6."""
STEP_OVER_FORWARD = 3.0
"""A backward pass takes as long as two forward passes."""
HEAD_ON_MASKED = Span(0.7, 1.0, 1.6)
"""Factor of pretraining, whose head sees the masked pieces alone, over a classifier's passes."""
MASKED_HEAD = Span(1.0, 1.5, 3.0)
"""Factor of a masked language model's forward pass over a classifier's."""


@dataclass(frozen=True)
class Costs:
    """Prices trials and scoring jobs.

    Attributes:
        probes: by shape key; a shape that is not among them costs per word piece what the first one does.
        prepared: data by key.
        is_crowded: whether several trials run at once on the CPUs of a node.
    """

    probes: Mapping[str, Probe]
    prepared: Mapping[str, Prepared]
    is_crowded: bool

    def trial(self, spec: RunSpec) -> Span:
        """Return the seconds of one training run, its evaluations and what its schedule scores included."""
        probe, data = self._probe(spec), self.prepared[spec.data_key].data
        steps = self._step(spec, probe) * (spec.total_steps * _mean_batch(spec))
        passes = count_evaluations(spec)
        lengths = {name: int(getattr(data, name).lengths.sum()) for name in ("train", "validation", "test")}
        units = (passes + 1) * lengths["validation"] + count_scorings(spec) * lengths["train"]
        units += lengths["test"]
        if spec.role in MEASURED_ELSEWHERE:
            units += sum(int(table.lengths.sum()) for table in extra_tests_of(data).values())
        forward = Span.of_times(probe.forward_seconds) * units
        files = Span.exactly(probe.build_seconds + probe.save_seconds)
        around = WORKERS_SECONDS if spec.config.resources.workers_per_trial > 1 else TRIAL_SECONDS
        return (steps + forward + files) * self._crowding(spec) + around

    def job(self, job: ScoringJob, spec: RunSpec) -> Span:
        """Return the seconds of one core (or GPU) for a scoring job that a trial needs."""
        data = self.prepared[job.data_key].data
        if not job.uses_model:
            return STATISTICS_SECONDS * job.num_rows
        scorer = job.scorer.inner if isinstance(job.scorer, SampledScorer) else job.scorer
        forward = Span.of_times(self._probe(spec).forward_seconds) * (job.num_computed / max(1, job.num_rows))
        if isinstance(scorer, PerplexityScorer):
            lengths = np.asarray(data.train.lengths)
            rows = lengths if scorer.mask_every is None else np.minimum(lengths, scorer.mask_every)
            return forward * MASKED_HEAD * float((rows * lengths).sum())
        return forward * float(data.train.lengths.sum() * max(1, job.passes)) * self._crowding(spec)

    def embedding(self, spec: RunSpec) -> Span:
        """Return the seconds of one core (or GPU) to embed the chunks of a data set, once for all trials."""
        data, probe = self.prepared[spec.data_key].data, self._probe(spec)
        if not isinstance(data, ChunkedData) or probe.embed_seconds is None:
            return NOTHING
        return Span.exactly(probe.embed_seconds * float(data.pieces.train.lengths.sum())) * Span(0.8, 1.0, 1.5)

    def pretraining(self, config: SweepPretrainConfig, spec: RunSpec) -> Span:
        """Return the seconds of pretraining an encoder that a run needs, its evaluations included."""
        if not config.is_on:
            return NOTHING
        probe, ready, settings = self._probe(spec), self.prepared[spec.data_key], config.as_file()
        assert ready.pretraining is not None
        corpus = ready.pretraining.corpus
        train, held_out = (PIECES_PER_WORD * part.num_words for part in (corpus.train, corpus.validation))
        per_step, length = settings.batch_size * settings.max_length, settings.length
        pieces = length.tokens or (length.steps or 0) * min(per_step, train) or (length.epochs or 0.0) * train
        evaluated = min(held_out, settings.evaluate_on * settings.max_length)
        every = settings.eval_every if isinstance(settings.eval_every, int) else None
        num_evaluations = 10 if every is None else math.ceil(pieces / per_step / every)
        views = 1 if settings.contrastive is None else 3 if settings.masked is not None else 2
        # Packed batches are full: what a step takes besides its pieces, and padding, is in the probe of steps alone.
        forward = STEP_OVER_FORWARD * views * pieces + num_evaluations * evaluated
        return Span.of_times(probe.forward_seconds) * forward * HEAD_ON_MASKED * self._crowding(spec)

    def best_bytes(self, spec: RunSpec) -> int:
        """Return the size of a trial's best model."""
        return self._probe(spec).best_bytes

    def last_bytes(self, spec: RunSpec) -> int:
        """Return the size of a running trial's newest checkpoint."""
        return self._probe(spec).last_bytes

    def _probe(self, spec: RunSpec) -> Probe:
        return self.probes.get(shape_key(spec)) or next(iter(self.probes.values()))

    def _step(self, spec: RunSpec, probe: Probe) -> Span:
        """Return the seconds of an optimizer step on a whole batch."""
        measured = Span.of_times(probe.step_seconds)
        if shape_key(spec) in self.probes:
            return measured
        units = spec.config.train.batch_size * float(self.prepared[spec.data_key].data.train.lengths.mean())
        return measured * (units / probe.batch_units) * UNPROBED

    def _crowding(self, spec: RunSpec) -> Span:
        on_cpu = spec.config.resources.num_gpus == 0
        return CROWDING if self.is_crowded and on_cpu else Span.exactly(1.0)


def count_evaluations(spec: RunSpec) -> int:
    """Return how often a run is evaluated on validation."""
    every, steps = spec.config.train.eval_every, spec.total_steps
    if every == "epoch":
        return math.ceil(steps / math.ceil(spec.num_chosen / spec.config.train.batch_size))
    return math.ceil(steps / (every or max(1, math.ceil(steps / 10))))


def count_scorings(spec: RunSpec) -> int:
    """Return how often a run scores the whole pool while it trains, at most."""
    strategy = compose(spec.strategy)
    if spec.checkpoints is not None:
        return spec.checkpoints
    reads = bool(strategy.read_signals() & REFRESHED)
    if strategy.schedule == "rounds":
        return strategy.rounds - 1 if reads else 0
    if strategy.schedule != "epoch":
        return 0
    if isinstance(strategy.inner, LossThreshold):
        return _loss_scorings(strategy.inner, spec)
    if not reads:
        return 0
    batch_size, warm_up = spec.config.train.batch_size, strategy.full_passes()
    steps = max(0, spec.total_steps - warm_up * math.ceil(spec.pool_size / batch_size))
    passes = math.ceil(steps / math.ceil(spec.num_chosen / batch_size))
    every = strategy.inner.refresh if isinstance(strategy.inner, El2n) else 1
    return math.ceil(passes / every) - (1 if warm_up == 0 else 0)  # without a warm-up proxies say what is first


def _loss_scorings(strategy: LossThreshold, spec: RunSpec) -> int:
    if strategy.refresh is None:
        return 0
    return strategy.scorings if spec.passes is None else math.ceil((math.ceil(spec.passes) - 1) / strategy.refresh)


def pruned_share(grace_fraction: float, reduction_factor: float) -> Span:
    """Return what share of its examples a suggestion sees under ASHA.

    Low: only one in `reduction_factor` passes each rung, as in synchronous halving; high: all finish. Early arrivals
    pass rungs that are empty, so the truth lies between; the middle is expected.

    Args:
        grace_fraction: the first rung, as a share of a whole run.
        reduction_factor: between two rungs.
    """
    share, rung, survivors = 0.0, 0.0, 1.0
    milestone = grace_fraction
    while milestone < 1.0:
        share += survivors * (milestone - rung)
        rung, survivors, milestone = milestone, survivors / reduction_factor, milestone * reduction_factor
    share += survivors * (1.0 - rung)
    return Span(share, (share + 1.0) / 2, 1.0)


def _mean_batch(spec: RunSpec) -> float:
    """Return the mean share of a whole batch that a step has: the last one of a pass may be short."""
    batch = spec.config.train.batch_size
    return spec.num_chosen / (math.ceil(spec.num_chosen / batch) * batch)
