"""An estimate in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raybert.sweeping.estimate.span import Span

if TYPE_CHECKING:
    from raybert.sweeping.estimate.estimate import Estimate
    from raybert.sweeping.estimate.pretraining import StudyEstimate

_PHASES = {
    "start": "start",
    "pretrain": "pretraining of the encoder",
    "unscored": "proxies and strategies that read no signal",
    "score": "signals of the pool",
    "tune": "search",
    "refit": "the best once more",
    "scored": "strategies that read signals",
}


def describe_estimate(estimate: Estimate) -> list[str]:
    """Return what is left to do and what it will take; the first line says it all in short."""
    wall = estimate.wall_seconds
    what = f"{len(estimate.trial_ids):,} trials"
    if estimate.num_suggestions:
        what = f"{estimate.num_suggestions:,} runs of a search, then {what}"
    probed = len(estimate.probes)
    shapes = f"{probed} model shape{'s' if probed > 1 else ''}"
    if estimate.num_shapes > probed:
        shapes += f" of {estimate.num_shapes}"
    lines = [
        f"estimate: {what}, {estimate.slots} at once: about {duration(wall.expected)} "
        f"({duration(wall.low)} to {duration(wall.high)}), {_hours(estimate.hours)} {estimate.unit}, "
        f"{_size(estimate.disk_bytes)} of disk"
    ]
    lines += [
        f"    {_PHASES[name]}: {duration(span.expected)} ({duration(span.low)} to {duration(span.high)})"
        for name, span in estimate.phases.items()
    ]
    lines.append(f"probed in {estimate.probe_seconds:.1f} s: {shapes}")
    for label, probe in estimate.probes.items():
        step = Span.of_times(probe.step_seconds) * 1000.0
        lines.append(
            f"    {label}: {step.expected:.3g} ms a step ({step.low:.3g} to {step.high:.3g}, "
            f"{len(probe.step_seconds)} steps), {1 / Span.of_times(probe.forward_seconds).expected:,.0f} word pieces/s "
            f"in evaluation, {probe.best_bytes / 1e6:,.1f} MB a model"
        )
    return [*lines, *describe_devices(estimate)]


def describe_study(estimate: StudyEstimate) -> list[str]:
    """Return what is left of a pretraining file and what it will take; the first line says it all in short."""
    wall, probe = estimate.wall_seconds, estimate.probe
    step = Span.of_times(probe.step_seconds) * 1000.0
    count = len(estimate.model_seconds)
    return [
        f"estimate: {count:,} model{'s' if count > 1 else ''}, {estimate.slots} at once: about "
        f"{duration(wall.expected)} ({duration(wall.low)} to {duration(wall.high)}), {_hours(estimate.hours)} "
        f"{estimate.unit}, {_size(estimate.disk_bytes)} of disk, without cross-evaluation and probes",
        *(
            f"    {name}: {duration(span.expected)} ({duration(span.low)} to {duration(span.high)})"
            for name, span in estimate.phases.items()
        ),
        f"probed in {probe.seconds:.1f} s: {probe.parameters:,} parameters, {step.expected:.3g} ms a step "
        f"({step.low:.3g} to {step.high:.3g}, {len(probe.step_seconds)} steps), {probe.tokens_per_second:,.0f} word "
        f"pieces/s, {probe.best_bytes / 1e6:,.1f} MB a model",
        *([f"trains {probe.ran_on}"] if probe.ran_on else []),
    ]


def describe_devices(estimate: Estimate) -> list[str]:
    """Return on what trials run, and how, as their probes did."""
    return [f"trains {ran_on}" for ran_on in dict.fromkeys(p.ran_on for p in estimate.probes.values()) if ran_on]


def notes_on_shares(estimate: Estimate, gpus_per_worker: float, workers_per_trial: int) -> list[str]:
    """Return which share of a GPU a trial needs by its probe, where it has a whole one and needs less.

    Args:
        estimate: with its probes, of which the one that took most counts.
        gpus_per_worker: that a trial has.
        workers_per_trial: of several, none shares a GPU: they would wait for each other at every step.
    """
    found = [probe.gpu for probe in estimate.probes.values() if probe.gpu is not None]
    if not found or gpus_per_worker != 1 or workers_per_trial != 1:
        return []
    most = max(found, key=lambda memory: memory.share)
    if most.share == 1:
        return []
    gib = 2**30
    return [
        f"note: a trial needs {most.needed_bytes / gib:.1f} of the {most.total_bytes / gib:.1f} GiB of a GPU (the peak "
        f"of {most.peak_bytes / gib:.1f} GiB, with a margin): `resources.gpus_per_worker: {most.share:g}`, in another "
        f"`output`, lets {round(1 / most.share)} share it"
    ]


def duration(seconds: float) -> str:
    """Return a duration as `40 s`, `12 min`, `3.5 h` or `2.1 days`."""
    for limit, unit, size in ((100, "s", 1), (100 * 60, "min", 60), (48 * 3600, "h", 3600)):
        if seconds < limit:
            amount = seconds / size
            return f"{amount:.0f} {unit}" if amount >= 10 or size == 1 else f"{amount:.1f} {unit}"
    return f"{seconds / 86400:.1f} days"


def _hours(span: Span) -> str:
    return f"{span.expected:.2g} ({span.low:.2g} to {span.high:.2g})"


def _size(span: Span) -> str:
    """Return a size, with that at the fullest."""
    unit, name = (1e9, "GB") if span.high >= 1e9 else (1e6, "MB")
    return f"{span.expected / unit:.3g} {name} (at most {span.high / unit:.3g})"
