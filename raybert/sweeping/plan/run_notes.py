"""What is to be said of the trials of a plan: allowed, but perhaps not what was meant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from raybert.config import TrainConfig
from raybert.config.tasks import CLASSIFICATION
from raybert.selection.identity import chooses_in_parts
from raybert.sweeping.plan.roles import TRIAL
from raybert.sweeping.plan.specs import PoolFacts, RunSpec


def run_notes(trials: Iterable[RunSpec], pools: Mapping[str, PoolFacts]) -> list[str]:
    """Return the notes on a plan.

    Args:
        trials: of the comparison, with the runs that they read.
        pools: facts of their data, by `data_key`.
    """
    compared = [spec for spec in trials if spec.role == TRIAL]
    return [
        *_small_budgets(compared, pools),
        *_capped_steps(compared),
        *_by_passes(compared),
        *_rates(compared),
        *_in_parts(compared),
        *_by_rule(compared),
        *dict.fromkeys(note for spec in compared for note in notes_on_proxies(spec)),
    ]


def notes_on_proxies(spec: RunSpec) -> tuple[str, ...]:
    """Return a note on a run that reads a proxy of which most scored examples were not trained on."""
    examples = spec.config.selection.proxy.examples
    if examples is None or examples >= spec.pool_size or not any(runs.kind == "proxy" for runs in spec.signal_runs):
        return ()
    return (
        f"selection.proxy.examples: proxies train on {examples:,} of {spec.pool_size:,} examples and score all: most "
        "are scored by a model that has not seen them, so scores are less sure than those of a proxy of the whole pool",
    )


def _by_rule(trials: Iterable[RunSpec]) -> list[str]:
    """Return a note on strategies of which only their choice says how many examples they take."""
    names = dict.fromkeys(spec.label for spec in trials if spec.strategy.takes_by_rule())
    if not names:
        return []
    each = "each says" if len(names) > 1 else "says"
    return [
        f"{', '.join(names)}: {each} by its own rule how many examples it takes, of the pool at most; its runs are as "
        "long as that of the whole pool"
    ]


def _small_budgets(trials: Iterable[RunSpec], pools: Mapping[str, PoolFacts]) -> list[str]:
    """Return a note for every budget that cannot hold an example of each class."""
    small = {
        (spec.budget.count, pools[spec.data_key].num_classes)
        for spec in trials
        if spec.config.data.predicts == CLASSIFICATION
        and spec.budget is not None
        and spec.budget.count < pools[spec.data_key].num_classes
    }
    return [
        f"selection.budget: {count:,} examples are fewer than the {num_classes:,} classes: at least "
        f"{num_classes - count:,} {'class is' if num_classes - count == 1 else 'classes are'} never trained on "
        "(the report lists them)"
        for count, num_classes in sorted(small)
    ]


def _in_parts(trials: Iterable[RunSpec]) -> list[str]:
    """Return a note on strategies that cut a large pool into parts."""
    cut = dict.fromkeys(spec.label for spec in trials if chooses_in_parts(spec.strategy, spec.pool_size))
    if not cut:
        return []
    names = ", ".join(f"'{label}'" for label in cut)
    return [
        f"so many examples are chosen from in parts of neighbours, not in one piece, by {names}: what that loses, by a "
        "sample, is said with each run (`num_parts: 1` of a strategy: in one piece)"
    ]


def _by_passes(trials: Iterable[RunSpec]) -> list[str]:
    """Return a note where some runs are as long as their passes and others as their steps, which nobody may expect."""
    trials = list(trials)
    found = {(spec.passes, spec.label): None for spec in trials if spec.passes is not None}
    if not found or any(spec.config.sweep.equal != "auto" for spec in trials):
        return []
    names = ", ".join(sorted({label for _, label in found}))
    passes = " or ".join(f"{count:g}" for count in sorted({count for count, _ in found}))
    return [
        f"sweep.equal: {names}: {passes} passes over what is kept, and not as many steps as `all`; `steps` makes all "
        "trials as long"
    ]


def _rates(trials: Iterable[RunSpec]) -> list[str]:
    """Return a note where an optimizer that needs far larger rates has the default, which is one for AdamW."""
    default = TrainConfig().learning_rate
    if not any(s.config.train.optimizer.name == "sgd" and s.config.train.learning_rate == default for s in trials):
        return []
    return [
        f"train.learning_rate: {default:g}, the default, is a rate for AdamW; sgd usually takes 100 to 1,000 times as "
        "much"
    ]


def _capped_steps(trials: Iterable[RunSpec]) -> list[str]:
    """Return a note where `min_steps` is more than the whole pool takes, so that T is less."""
    found = {
        (length.min_steps, spec.total_steps, length.num_epochs)
        for spec, length in ((spec, spec.config.train.length) for spec in trials)
        if length.steps is None and spec.total_steps < length.min_steps
    }
    return [
        f"train.length.min_steps: {least:,} is more than {epochs:g} epochs of the whole pool take, the most that is "
        f"trained: T is {steps:,} steps; for more give `epochs`, or T itself as `steps`"
        for least, steps, epochs in sorted(found)
    ]
