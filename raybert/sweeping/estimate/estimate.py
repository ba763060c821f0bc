"""From a plan and a probe to what a sweep will take: wall time, compute hours, disk."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from raybert.config import RaybertConfig, SweepPretrainConfig
from raybert.data.examples import extra_tests_of
from raybert.errors import TrialError
from raybert.files import read_json_lines
from raybert.selection.compose import compose
from raybert.selection.pipeline import ScoringJob
from raybert.selection.store import ScoreStore
from raybert.sweeping.driver.time_left import Forecast
from raybert.sweeping.estimate.costs import Costs, pruned_share
from raybert.sweeping.estimate.probe import Probe, Prober
from raybert.sweeping.estimate.shapes import Shape, group_shapes
from raybert.sweeping.estimate.span import NOTHING, Span, makespan, total
from raybert.sweeping.folder.failure_kinds import classify
from raybert.sweeping.folder.heartbeat import read_beat
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.phases.model_keeper import GIGABYTE
from raybert.sweeping.phases.prepare import Prepared
from raybert.sweeping.phases.scoring_jobs import JobPlanner
from raybert.sweeping.phases.to_pretrain import encoders_needed
from raybert.sweeping.plan.comparison import Plan
from raybert.sweeping.plan.placement import Cluster, concurrent_trials
from raybert.sweeping.plan.roles import MEASURED_ELSEWHERE, TRIAL
from raybert.sweeping.plan.specs import RunSpec
from raybert.sweeping.trial.pretrained import has_pretrained

if TYPE_CHECKING:
    from raybert.sweeping.plan.arms import Arm

START_SECONDS = Span(2.0, 4.0, 10.0)
"""Until Ray has started here, or was joined."""
PROCESS_SECONDS = Span(2.5, 5.0, 15.0)
"""Until the processes of a phase have started and imported: 3.2 s of processor time each (measured)."""
PROBE_SECONDS = 0.5
"""Of optimizer steps, for each shape; a few steps are done whatever they take."""
MOST_SHAPES = 4
"""Probed: those with the most steps. The others are scaled by their word pieces."""


@dataclass(frozen=True)
class Estimate:
    """What is left of a sweep, and what it will take.

    Attributes:
        trial_ids: runs of the plan that are not finished.
        done_before: runs of the plan that are.
        num_suggestions: of the search before them.
        num_examples: trained on by all of these, repetitions included.
        slots: trials at once.
        phases: wall seconds of each.
        trial_seconds: expected, by trial id, in the order in which they start.
        scored_ids: those of them that read signals, and start when all others have ended.
        num_steps: of all of them.
        unit: CPU-hours or GPU-hours.
        hours: in that unit.
        disk_bytes: of the results folder at the end; high: at its fullest.
        store: folder of the score store.
        signal_keys: of what is scored into it.
        probes: what was measured, by the label of its shape.
        num_shapes: of all trials.
        encoder_seconds: expected, by fingerprint, of the encoders that are pretrained before.
    """

    trial_ids: tuple[str, ...]
    done_before: tuple[str, ...]
    num_suggestions: int
    num_examples: int
    slots: int
    phases: Mapping[str, Span]
    trial_seconds: Mapping[str, float]
    scored_ids: frozenset[str]
    num_steps: int
    unit: str
    hours: Span
    disk_bytes: Span
    store: str
    signal_keys: tuple[str, ...]
    probes: Mapping[str, Probe]
    num_shapes: int
    encoder_seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def wall_seconds(self) -> Span:
        """From the command to the last trial's end."""
        return total(self.phases.values())

    @property
    def forecast(self) -> Forecast:
        """What views count down from."""
        trials: dict[str, dict[str, float]] = {"unscored": dict(self.encoder_seconds), "scored": {}}
        for trial_id, seconds in self.trial_seconds.items():
            trials["scored" if trial_id in self.scored_ids else "unscored"][trial_id] = seconds
        return Forecast(
            trials=trials,
            phases={name: span.expected for name, span in self.phases.items() if name not in (*trials, "pretrain")},
            begin_seconds=PROCESS_SECONDS.expected,
            steps=self.num_steps,
            slots=self.slots,
        )

    @property
    def probe_seconds(self) -> float:
        """What probing took."""
        return sum(probe.seconds for probe in self.probes.values())


@dataclass(frozen=True)
class Work:
    """What is left to do.

    Attributes:
        unscored: runs that read no signal, those that others read first.
        scored: trials that read signals.
        searched: arms of a search: a run that stands for all of the arm, and how many there are of it.
        jobs: scoring jobs, each with a trial that reads it.
        store: folder of the score store that they fill.
        done: runs of the plan that have an outcome, by id.
        begun: runs that an earlier attempt left unfinished, by id -> the share of their steps that is left.
        encoders: fingerprints of the encoders that are pretrained first, their sections `pretrain`, and a run of each.
        searched_encoders: likewise, by runs of the search themselves, and how many there are at most.
    """

    unscored: Sequence[RunSpec]
    scored: Sequence[RunSpec]
    searched: Sequence[tuple[RunSpec, int]] = ()
    jobs: Sequence[tuple[ScoringJob, RunSpec]] = ()
    store: str = ""
    done: Sequence[str] = ()
    begun: Mapping[str, float] = field(default_factory=dict)
    encoders: Sequence[tuple[str, SweepPretrainConfig, RunSpec]] = ()
    searched_encoders: Sequence[tuple[SweepPretrainConfig, RunSpec, int]] = ()

    @property
    def trials(self) -> list[RunSpec]:
        """The runs of the plan."""
        return [*self.unscored, *self.scored]

    @property
    def specs(self) -> list[RunSpec]:
        """Every kind of run."""
        return [*self.trials, *(spec for spec, _ in self.searched)]


def find_work(plan: Plan, planner: JobPlanner, store: ScoreStore, folder: SweepFolder) -> Work:
    """Return what neither the results folder nor the score store has."""
    pending = [spec for spec in plan.trials if folder.trial(spec.trial_id).status() == "pending"]
    arms = plan.arms
    readers = [reader for arm in arms for reader in arm.readers]
    jobs = {job.key: (job, spec) for spec in [*pending, *readers] for job in planner.jobs(spec)}
    kept: dict[str, bool] = {}
    for job, _ in jobs.values():
        for run in job.runs:
            kept[run] = kept.get(run, True) and store.kept_run(job.key, run) is not None
    pending = [spec for spec in pending if spec.role == TRIAL or not kept.get(spec.trial_id, False)]
    runs = {run.trial_id: run for arm in arms for candidate in arm.candidates for run in candidate.runs}
    known = {spec.trial_id for spec in plan.trials}
    pending += [
        run for run in runs.values() if run.trial_id not in known and folder.trial(run.trial_id).status() == "pending"
    ]
    left = _count_left(folder, arms)
    needed = [*pending, *(reader for arm in arms if left[arm.name] for reader in arm.readers)]
    # A shared search has one arm for all strategies, of which each gets its part.
    searched = [(reader, -(-left[arm.name] // len(arm.candidates))) for arm in arms for reader in arm.readers]
    return Work(
        unscored=[spec for spec in pending if not planner.jobs(spec)],
        scored=[spec for spec in pending if planner.jobs(spec)],
        searched=searched,
        jobs=[pair for pair in jobs.values() if store.completion(pair[0].key) is None],
        store=str(store.folder.resolve()),
        done=[spec.trial_id for spec in plan.trials if folder.trial(spec.trial_id).status() != "pending"],
        begun={spec.trial_id: share for spec in pending if (share := _share_left(folder, spec)) < 1.0},
        encoders=_encoders_left(needed, planner, folder, varies=any(map(_varied_by, arms))),
        searched_encoders=[(config, arm.readers[0], left[arm.name]) for arm in arms for config in _varied_by(arm)],
    )


def _encoders_left(
    specs: Sequence[RunSpec], planner: JobPlanner, folder: SweepFolder, *, varies: bool
) -> list[tuple[str, SweepPretrainConfig, RunSpec]]:
    """Return the encoders that runs need and nobody has, each once."""
    found = {
        encoder.fingerprint: (encoder, config, spec)
        for spec in specs
        for encoder, config in encoders_needed(spec, planner.prepared[spec.data_key].pretraining, is_searched=varies)
    }
    return [
        (fingerprint, config, spec)
        for fingerprint, (encoder, config, spec) in found.items()
        if not has_pretrained(encoder, folder)
    ]


def _varied_by(arm: Arm) -> list[SweepPretrainConfig]:
    """Return the middle of what a search tries of `pretrain`; nothing, if it tries none of it."""
    domains = [domain for domain in arm.space.domains if domain.key.startswith("pretrain.")]
    config = arm.candidates[0].variant.config.pretrain
    if not domains or config is None:
        return []
    steps = [domain.edges() for domain in domains if domain.key == "pretrain.length.steps"]
    if steps:
        length = config.length.model_copy(update={"steps": round(sum(steps[0]) / len(steps[0])), "epochs": None})
        config = config.model_copy(update={"length": length})
    return [config]


def _share_left(folder: SweepFolder, spec: RunSpec) -> float:
    """Return how much is left of a run, by the last heartbeat of an earlier attempt."""
    step = int(read_beat(folder.trial(spec.trial_id).path).get("step") or 0)
    return 1.0 - min(step, spec.total_steps) / spec.total_steps


def _count_left(folder: SweepFolder, arms: Sequence[Arm]) -> dict[str, int]:
    """Return how many suggestions of each arm have not ended, by the log of decisions."""
    ended = Counter(line["arm"] for line in read_json_lines(folder.decisions) if line["event"] == "end")
    return {arm.name: max(0, arm.num_suggestions - ended[arm.name]) for arm in arms}


def probe_work(work: Work, prober: Prober) -> tuple[dict[str, Probe], list[Shape]]:
    """Return the probes by shape key, and all shapes of what is left to do.

    Raises:
        TrialError: a model could not take its steps.
    """
    shapes = group_shapes(work.specs)
    return {shape.key: _probe(shape, prober) for shape in shapes[:MOST_SHAPES]}, shapes


def _probe(shape: Shape, prober: Prober) -> Probe:
    """Return what was measured of a shape; whatever goes wrong in it becomes the failure of a training run."""
    try:
        return prober(shape, PROBE_SECONDS)
    except Exception as error:  # steps of a real model: torch, the disk, Ray, and a loss of the user's own may raise it
        reason = f"{type(error).__name__}: {error}"
        raise TrialError(f"the probe failed ({shape.label}): {reason}", kind=classify(error)) from error


def estimate_work(
    work: Work,
    prober: Prober,
    config: RaybertConfig,
    prepared: Mapping[str, Prepared],
    cluster: Cluster,
) -> Estimate:
    """Return what is left to do will take.

    Time: trials start in the order of the plan, each as soon as a slot is free (`makespan`); scoring has all slots.
    Low and high: every step as fast as the fastest, or as slow as the slowest quarter of those that were probed,
    with all measured ranges of start-up and crowding at their low, or high, ends. Not in it: the arithmetic of
    strategies such as k-center on large pools, and the report.

    Args:
        work: with something in it.
        prober: measures shapes.
        config: the sweep file.
        prepared: data by key.
        cluster: as it is now.
    """
    probes, shapes = probe_work(work, prober)
    resources = config.resources
    slots = concurrent_trials(resources, cluster, config.limits.max_nodes)
    costs = Costs(probes, prepared, is_crowded=slots > len(cluster.nodes))
    seconds = {spec.trial_id: costs.trial(spec) * work.begun.get(spec.trial_id, 1.0) for spec in work.trials}
    search = list(_search_durations(work, costs, config))
    jobs = total(costs.job(job, spec) for job, spec in work.jobs) + _embedding(work, costs)
    encoders = {fingerprint: costs.pretraining(config, spec) for fingerprint, config, spec in work.encoders}
    searched = [costs.pretraining(config, spec) for config, spec, count in work.searched_encoders for _ in range(count)]
    phases = {
        "pretrain": makespan(list(encoders.values()), slots),
        "unscored": makespan([seconds[spec.trial_id] for spec in work.unscored], slots),
        "score": jobs * (1 / slots),
        "tune": makespan([*search, *searched], slots),
        "scored": makespan([seconds[spec.trial_id] for spec in work.scored], slots),
        "refit": _refit([costs.trial(spec) for spec in work.trials if spec.role == TRIAL], config),
    }
    begun = {name: span + PROCESS_SECONDS for name, span in phases.items() if span != NOTHING}
    per_trial = resources.workers_per_trial * (resources.num_gpus or resources.cpus_per_worker)
    each = total([*seconds.values(), *search, *encoders.values(), *searched, phases["refit"]]) * float(per_trial)
    labels = {shape.key: shape.label for shape in shapes}
    return Estimate(
        trial_ids=tuple(spec.trial_id for spec in work.trials),
        done_before=tuple(work.done),
        num_suggestions=_count_suggestions(work),
        num_examples=_count_examples(work),
        slots=slots,
        phases={"start": START_SECONDS, **begun},
        trial_seconds={trial_id: span.expected for trial_id, span in seconds.items()},
        encoder_seconds={fingerprint: span.expected for fingerprint, span in encoders.items()},
        scored_ids=frozenset(spec.trial_id for spec in work.scored),
        num_steps=sum(spec.total_steps for spec in work.trials),
        unit="GPU-hours" if resources.num_gpus else "CPU-hours",
        hours=(each + jobs) * (1 / 3600),
        disk_bytes=_disk(work, costs, config, prepared, slots),
        store=work.store,
        signal_keys=tuple(job.key for job, _ in work.jobs),
        probes={labels[key]: probe for key, probe in probes.items()},
        num_shapes=len(shapes),
    )


def _search_durations(work: Work, costs: Costs, config: RaybertConfig) -> Iterator[Span]:
    tune = config.sweep.tune
    if tune is None:
        return
    asha = tune.asha
    share = Span.exactly(1.0) if asha is None else pruned_share(asha.grace_fraction, asha.reduction_factor)
    for spec, count in work.searched:
        yield from [costs.trial(spec) * share] * count


def _refit(trials: Sequence[Span], config: RaybertConfig) -> Span:
    """Return the seconds of the refit: some trial's, of which nobody knows yet where it will have been best."""
    if not config.sweep.refit or not trials:
        return NOTHING
    mean = sum(span.expected for span in trials) / len(trials)
    return Span(0.1 * min(span.low for span in trials), mean, max(span.high for span in trials))


def _embedding(work: Work, costs: Costs) -> Span:
    """Return the seconds to embed the chunks of every data set once."""
    return total(costs.embedding(spec) for spec in {spec.data_key: spec for spec in work.specs}.values())


def _count_suggestions(work: Work) -> int:
    return sum(count for _, count in work.searched)


def _count_examples(work: Work) -> int:
    runs = [*((spec, 1) for spec in work.trials), *work.searched]
    return sum(count * spec.total_steps * spec.config.train.batch_size for spec, count in runs)


def _disk(work: Work, costs: Costs, config: RaybertConfig, prepared: Mapping[str, Prepared], slots: int) -> Span:
    """Return the bytes of models, predictions, selections and scores of the pool.

    High: with the newest checkpoints of the trials that run at once, and the models of runs that only serve a score.
    """
    trials = [spec for spec in work.trials if spec.role == TRIAL]
    others = [spec for spec in work.trials if spec.role != TRIAL]
    kept = sorted((costs.best_bytes(spec) for spec in trials), reverse=True)[: config.sweep.keep_best]
    stay = sum(_checkpoints_that_stay(spec) * (costs.best_bytes(spec) + costs.last_bytes(spec)) for spec in trials)
    small = sum(_table_bytes(spec, prepared) for spec in work.trials)
    running = slots * max((costs.last_bytes(spec) for spec in work.specs), default=0)
    served = sum(costs.best_bytes(spec) for spec in others)
    models = float(sum(kept) + stay)
    peak = models + running + served
    if config.limits.disk_gb is not None:
        models, peak = (min(size, config.limits.disk_gb * GIGABYTE) for size in (models, peak))
    proxies = sum(costs.best_bytes(spec) for spec in others if spec.role == "proxy")
    proxies += sum(costs.best_bytes(spec) for _, _, spec in work.encoders)
    proxies += sum(count * costs.best_bytes(spec) for _, spec, count in work.searched_encoders)
    best = max((costs.best_bytes(spec) for spec in trials), default=0)
    end = models + proxies + best + small
    return Span(end * 0.95, end, max(end, peak + small) * 1.05)


def _checkpoints_that_stay(spec: RunSpec) -> int:
    """Return how many checkpoints a trial keeps beside its best model; with `keep_last` that of the best evaluation."""
    rule, train = spec.config.train.checkpoints, spec.config.train
    if rule.every is None:
        return 0
    every = math.ceil(spec.num_chosen / train.batch_size) if rule.every == "epoch" else rule.every
    count = math.ceil(spec.total_steps / every)
    return count if rule.keep_last is None else min(count, rule.keep_last + 1)


def _table_bytes(spec: RunSpec, prepared: Mapping[str, Prepared]) -> float:
    """Return about how large predictions, selection, pool scores, log and the tokenizer beside the model are."""
    data = prepared[spec.data_key].data
    num_elsewhere = sum(map(len, extra_tests_of(data).values())) if spec.role in MEASURED_ELSEWHERE else 0
    predictions = (len(data.validation) + len(data.test) + num_elsewhere) * (4 * data.num_classes + 8)
    once = compose(spec.strategy).schedule != "epoch"
    passes = 1 if once else spec.total_steps * spec.config.train.batch_size / spec.num_chosen
    selection = spec.num_chosen * max(1.0, passes) * 24
    return predictions + selection + 4 * spec.pool_size + 40_000
