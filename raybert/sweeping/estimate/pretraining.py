"""What the models of a pretraining file take: how long a few real steps are, and how many there are of each corpus."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from raybert.config import CheckpointsConfig, ResourcesConfig
from raybert.config.pretrain import PretrainConfig
from raybert.pretraining.assemble import Assembled, assemble, tokenizer_of
from raybert.pretraining.length import steps_of
from raybert.pretraining.request import PretrainRequest
from raybert.private_folders import private_folder
from raybert.sweeping.estimate.costs import CROWDING, WORKERS_SECONDS
from raybert.sweeping.estimate.estimate import PROCESS_SECONDS, START_SECONDS
from raybert.sweeping.estimate.probe import FEWEST_STEPS, MOST_STEPS, WARM_UP_STEPS, undisturbed
from raybert.sweeping.estimate.span import Span, makespan, total
from raybert.sweeping.trial.process import prepare_process
from raybert.training import FitRequest, FixedPasses, checkpoint, fit
from raybert.training.optimization.named import states_per_parameter
from raybert.training.ran_on import RanOn
from raybert.training.stopwatch import Stopwatch

_ENDLESS = 10**6
_MODEL_SECONDS = Span(0.1, 0.3, 1.0)
"""Of one model besides: its process has begun, its files are written."""


@dataclass(frozen=True)
class PackedSize:
    """How large a corpus is for a model.

    Attributes:
        sequences: of train, packed.
        tokens: word pieces of train.
        held_out: sequences of validation that are evaluated.
        steps: T; 0: it is in hours.
    """

    sequences: int
    tokens: int
    held_out: int
    steps: int

    def per_step(self, batch_size: int) -> float:
        """Return the mean word pieces of a step with a whole batch."""
        return min(batch_size, self.sequences) * self.tokens / self.sequences

    def tokens_in(self, steps: int, batch_size: int) -> int:
        """Return about how many word pieces so many steps train on: the last one of a pass has fewer sequences."""
        passes, rest = divmod(steps, math.ceil(self.sequences / batch_size))
        return round(passes * self.tokens + rest * self.per_step(batch_size))


@dataclass(frozen=True)
class PretrainingProbe:
    """What was measured of a model, on its corpus.

    Attributes:
        step_seconds: of every step after warm-up, with the time to draw, mask and move its batch.
        tokens: mean word pieces of a step, of one worker.
        evaluation_seconds: of one held-out sequence.
        build_seconds: to make the model, and to read its packed corpus.
        save_seconds: to write its best weights.
        best_bytes: size of its model.
        last_bytes: size of `checkpoint/last`.
        parameters: of the model.
        seconds: that probing took.
        ran_on: device, precision, attention and micro-batch.
    """

    step_seconds: tuple[float, ...]
    tokens: float
    evaluation_seconds: float
    build_seconds: float
    save_seconds: float
    best_bytes: int
    last_bytes: int
    parameters: int
    seconds: float
    ran_on: RanOn | None = None

    @property
    def tokens_per_second(self) -> float:
        """Word pieces that a worker trains on in a second."""
        return self.tokens / float(np.mean(self.step_seconds))


def packed_size(request: PretrainRequest) -> PackedSize:
    """Return how large the corpus of a request is for its model."""
    return _size(assemble(request, tokenizer_of(request), is_placed=False), request.pretrain)


def _size(found: Assembled, config: PretrainConfig) -> PackedSize:
    train = found.data.train
    steps = 0 if config.length.hours is not None else steps_of(config.length, train, config.batch_size)
    return PackedSize(len(train), int(train.offsets[-1]), len(found.data.validation), steps)


def probe_pretraining(
    request: PretrainRequest, resources: ResourcesConfig, seconds: float
) -> tuple[PackedSize, PretrainingProbe]:
    """Measure a model on its corpus; leaves no trace in this process or on disk.

    Args:
        request: what would be trained.
        resources: of each model.
        seconds: of steps, at most about as long, but at least a few steps.
    """
    began = time.perf_counter()
    with undisturbed():
        prepare_process(resources.cpus_per_worker, request.seed)
        tokenizer = tokenizer_of(request)
        started = time.perf_counter()
        placed = replace(request, device="cuda" if resources.num_gpus > 0 else "cpu")
        found = assemble(placed, tokenizer)
        build_seconds = time.perf_counter() - started
        size = max(1, request.pretrain.batch_size // resources.workers_per_trial)
        watch = _time_steps(found, request.pretrain, size, seconds)
        started = time.perf_counter()
        found.objective.evaluate()
        evaluation = (time.perf_counter() - started) / len(found.data.validation)
        with private_folder() as folder:
            started = time.perf_counter()
            checkpoint.save_best(folder, found.built.model)
            save_seconds = time.perf_counter() - started
            best_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        sizes = {id(each): each.numel() for each in found.built.model.parameters()}
    states = states_per_parameter(request.pretrain.as_train(1))
    packed = _size(found, request.pretrain)
    return packed, PretrainingProbe(
        step_seconds=tuple(float(each) for each in np.diff(watch.times)[WARM_UP_STEPS:]),
        tokens=packed.per_step(size),
        evaluation_seconds=evaluation,
        build_seconds=build_seconds,
        save_seconds=save_seconds,
        best_bytes=best_bytes,
        last_bytes=2 * best_bytes + round(states * 4 * sum(sizes.values())),
        parameters=sum(sizes.values()),
        seconds=time.perf_counter() - began,
        ran_on=watch.ran_on,
    )


def _time_steps(found: Assembled, config: PretrainConfig, batch_size: int, seconds: float) -> Stopwatch:
    """Run the training loop itself on the corpus; return the watch that was with it."""

    def is_enough(times: Sequence[float]) -> bool:
        timed = len(times) - WARM_UP_STEPS - 1
        return timed >= MOST_STEPS or (timed >= FEWEST_STEPS and times[-1] - times[0] >= seconds)

    watch = Stopwatch(is_enough=is_enough)
    changes = {
        "eval_every": _ENDLESS,
        "batch_size": batch_size,
        "checkpoint_seconds": 1e9,
        "checkpoints": CheckpointsConfig(),
        "learning_rate": 1e-7,  # whatever the file says, the loss stays finite
    }
    train = config.as_train(_ENDLESS).model_copy(update=changes)
    planner = FixedPasses(np.arange(len(found.data.train)))
    fit(
        found.built.model,
        found.data,
        planner,
        FitRequest(train, _ENDLESS, 0, evaluate_test=False),
        watch,
        found.objective,
    )
    return watch


def steps_planned(
    config: PretrainConfig, size: PackedSize, probe: PretrainingProbe | None, resources: ResourcesConfig
) -> int:
    """Return T of a model; 0: its length is in hours, and nobody has measured a step."""
    if config.length.hours is None or probe is None:
        return size.steps
    evaluations = (_num_evaluations(config, _ENDLESS) + 1) * probe.evaluation_seconds * size.held_out
    step = _step_seconds(config, size, probe, resources).expected
    return max(1, int((config.length.hours * 3600 - evaluations) / step))


def _num_evaluations(config: PretrainConfig, total_steps: int, steps_of_a_pass: int = 0) -> int:
    if config.eval_every is None:
        return min(10, total_steps)
    every = steps_of_a_pass if config.eval_every == "epoch" else config.eval_every
    return math.ceil(total_steps / max(1, every))


def _step_seconds(
    config: PretrainConfig, size: PackedSize, probe: PretrainingProbe, resources: ResourcesConfig
) -> Span:
    """Return the seconds of a step, by its word pieces on each worker."""
    pieces = size.per_step(config.batch_size) / resources.workers_per_trial
    return Span.of_times(probe.step_seconds) * (pieces / probe.tokens)


@dataclass(frozen=True)
class StudyEstimate:
    """What is left of a pretraining file will take.

    Attributes:
        model_seconds: of each model that is left, what is left of it.
        num_steps: of these, what is left.
        slots: models at once.
        phases: wall seconds of each.
        unit: CPU-hours or GPU-hours.
        hours: in that unit.
        disk_bytes: of all models at the end, finished ones too; high: at its fullest.
        probe: what was measured.
    """

    model_seconds: Mapping[str, Span]
    num_steps: int
    slots: int
    phases: Mapping[str, Span]
    unit: str
    hours: Span
    disk_bytes: Span
    probe: PretrainingProbe

    @property
    def wall_seconds(self) -> Span:
        """From the command to the last model's end."""
        return total(self.phases.values())


@dataclass(frozen=True)
class ModelLeft:
    """A model that is not finished.

    Attributes:
        name: of its folder.
        size: of its corpus.
        total_steps: T.
        share: of T that is left.
    """

    name: str
    size: PackedSize
    total_steps: int
    share: float


def estimate_study(
    left: Sequence[ModelLeft],
    num_models: int,
    config: PretrainConfig,
    resources: ResourcesConfig,
    probe: PretrainingProbe,
    *,
    slots: int,
    is_here: bool,
    is_crowded: bool,
    prepare_seconds: float,
) -> StudyEstimate:
    """Return what the models that are left will take, each trained to its end.

    Args:
        left: in the order in which they start.
        num_models: of the file, finished ones too.
        config: the section `pretrain`.
        resources: of each model.
        probe: of one of them.
        slots: models at once.
        is_here: whether they are trained in the process of the command.
        is_crowded: whether several train at once on the CPUs of a node.
        prepare_seconds: that reading corpora and training the tokenizer took just now.
    """

    def seconds(model: ModelLeft) -> Span:
        per_pass = math.ceil(model.size.sequences / config.batch_size)
        evaluations = _num_evaluations(config, model.total_steps, per_pass)
        saving = evaluations * (probe.evaluation_seconds * model.size.held_out + probe.save_seconds)
        steps = _step_seconds(config, model.size, probe, resources) * model.total_steps
        crowding: float | Span = CROWDING if is_crowded and not resources.num_gpus else 1.0
        around = WORKERS_SECONDS if resources.workers_per_trial > 1 else _MODEL_SECONDS
        whole = (steps + Span.exactly(saving)) * model.share + Span.exactly(probe.build_seconds)
        return whole * crowding + around

    each = {model.name: seconds(model) for model in left}
    begin = Span.exactly(0.0) if is_here else START_SECONDS + PROCESS_SECONDS
    phases = {
        "prepare": Span.exactly(prepare_seconds) * Span(0.8, 1.0, 1.5),
        "pretrain": begin + makespan(list(each.values()), slots),
    }
    per_model = resources.workers_per_trial * (resources.num_gpus or resources.cpus_per_worker)
    stay = num_models * probe.best_bytes + sum(_kept(config, model) * probe.last_bytes for model in left)
    at_once = min(slots, len(left))
    return StudyEstimate(
        model_seconds=each,
        num_steps=sum(round(model.total_steps * model.share) for model in left),
        slots=slots,
        phases=phases,
        unit="GPU-hours" if resources.num_gpus else "CPU-hours",
        hours=total(each.values()) * (per_model / 3600),
        disk_bytes=Span(stay * 0.95, stay, (stay + at_once * (probe.last_bytes + probe.best_bytes)) * 1.05),
        probe=probe,
    )


def _kept(config: PretrainConfig, model: ModelLeft) -> int:
    """Return how many checkpoints a model keeps beside the best one."""
    rule = config.checkpoints
    if rule.every is None:
        return 0
    every = math.ceil(model.size.sequences / config.batch_size) if rule.every == "epoch" else rule.every
    count = math.ceil(model.total_steps / every)
    return count if rule.keep_last is None else min(count, rule.keep_last + 1)
