"""`sweep.refit`: the best configuration once more, on training and validation examples together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from raybert.config import EarlyStoppingConfig, RaybertConfig
from raybert.data import Splits
from raybert.data.identity import content_fingerprint
from raybert.data.noise import PLANTED
from raybert.data.splits import SPLITS, count_classes
from raybert.files import write_json
from raybert.sweeping.folder.best import REFIT_FILE, best_trials
from raybert.sweeping.folder.layout import SweepFolder, forget_failures
from raybert.sweeping.folder.predictions import validation_value
from raybert.sweeping.phases.head import describe_data
from raybert.sweeping.phases.prepare import Prepared, prepare_with
from raybert.sweeping.plan.comparison import Plan
from raybert.sweeping.plan.grid import Variant
from raybert.sweeping.plan.roles import REFIT
from raybert.sweeping.plan.run_maker import RunMaker
from raybert.sweeping.plan.signal_runs import plan_signal_runs
from raybert.sweeping.plan.specs import PoolFacts, RunSpec, identified

if TYPE_CHECKING:
    from raybert.sweeping.phases.trial_runner import TrialRunner


@dataclass(frozen=True)
class Refit:
    """What was trained once more (`refit.json`).

    Attributes:
        trial_id: of the new run.
        of: the best trial of the configuration, whose seed the new run has.
        seeds: all trials of the configuration.
        data: as in the manifest, of the joined pool.
    """

    trial_id: str
    of: str
    seeds: tuple[str, ...]
    data: dict[str, Any]


def run_refit(runner: TrialRunner, retry: str | None = None) -> tuple[RunSpec, ...]:
    """Train the best configuration of a finished comparison on train and validation; return what belongs to that.

    The budget rule and T are those of the plan, for the larger pool. Nothing is held out to stop by, so training ends
    where the runs of the configuration had their best evaluations, on average and as a share of T; the schedule of
    the learning rate stays that of T. The strategy chooses anew from the joined pool, by signals of the joined pool.
    Nothing is done while trials are pending, or if the folder holds this very run.

    Args:
        runner: of the comparison.
        retry: which failed runs are tried again (a value of `--retry`); None: none.
    """
    from raybert.sweeping.phases.scoring_jobs import (
        JobPlanner,  # and with it Ray, which readers of `refit.json` do not need
    )

    folder = runner.folder
    ranked = _best(runner)
    if not ranked or runner.interruption():
        return ()
    best = ranked[0]
    joined = join_validation(best.config, runner.prepared[best.data_key])
    if joined.splits.train.num_rows == runner.prepared[best.data_key].splits.train.num_rows:
        runner.progress.note("note: no refit, every validation example is in the pool already")
        return ()
    specs = plan_refit(best, mean_best_share(folder, ranked), joined.facts)
    key = specs[-1].data_key
    prepared = _embedded(runner, key, joined, best)
    if retry is not None:
        forget_failures(folder, [spec.trial_id for spec in specs], retry)
    planner = JobPlanner(prepared, folder)
    encoders = replace(runner.encoders, prepared=prepared)
    replace(runner, plan=Plan(specs), prepared=prepared, planner=planner, encoders=encoders, title="refit").run()
    if folder.trial(specs[-1].trial_id).status() == "complete":
        ids = tuple(spec.trial_id for spec in ranked)
        data = describe_data(joined, best.config.data.source)
        write_json(folder.path / REFIT_FILE, asdict(Refit(specs[-1].trial_id, best.trial_id, ids, data)))
    return specs


def join_validation(config: RaybertConfig, ready: Prepared) -> Prepared:
    """Return the data with the validation examples at the end of the pool; they stay in validation, too.

    The encoder stays the same, also where it was made of the pool (`raybert-tiny-random`).
    """
    splits = ready.splits
    fresh = pc.invert(pc.is_in(splits.validation["example_id"], splits.train["example_id"]))
    added = splits.validation.filter(fresh)
    if PLANTED in splits.train.column_names:  # as noise: nothing, of validation
        added = added.append_column(PLANTED, pa.array([""] * added.num_rows, pa.string()))
    train = pa.concat_tables([splits.train, added])
    tables = {**{split: getattr(splits, split) for split in SPLITS}, "train": train}
    joined: Splits = replace(
        splits,
        train=train,
        fingerprint=content_fingerprint(tables, splits.label_names),
        details=splits.details | count_classes(tables, splits.label_names, splits.outputs),
    )
    return replace(
        prepare_with(config, joined, ready.encoder),
        language_models=ready.language_models,
        columns=ready.columns,
        pretraining=ready.pretraining,
    )


def plan_refit(best: RunSpec, share: float, facts: PoolFacts) -> tuple[RunSpec, ...]:
    """Return the runs that the refit reads, and the refit last.

    Args:
        best: the trial that is repeated: strategy, configuration, seed.
        share: of T after which training ends.
        facts: of the joined pool.
    """
    key = f"{best.data_key}+validation"
    maker = RunMaker(Variant(best.grid, best.config), facts, best.seed)
    reads = plan_signal_runs(maker, best.strategy)
    runs = {run.trial_id: replace(run, data_key=key) for run in reads.runs}
    spec = maker.trial(best.label, best.strategy, reads.signal_runs, REFIT)
    # One evaluation, at the end: there is nothing to choose by.
    train = best.config.train.model_copy(
        update={"eval_every": spec.total_steps, "early_stopping": EarlyStoppingConfig()}
    )
    config = best.config.model_copy(update={"train": train})
    last_step = min(spec.total_steps, max(1, round(share * spec.total_steps)))
    refit = identified(replace(spec, config=config, data_key=key, last_step=last_step), facts)
    return (*runs.values(), refit)


def mean_best_share(folder: SweepFolder, ranked: Sequence[RunSpec]) -> float:
    """Return after which share of T trials had their best evaluation, on average."""
    return fmean(_best_share(folder, spec) for spec in ranked)


def _best_share(folder: SweepFolder, spec: RunSpec) -> float:
    """Return after which share of a trial its best evaluation was."""
    trial = folder.trial(spec.trial_id)
    best_step = trial.result()["best_step"]
    if spec.passes is None and spec.examples is None:
        return float(best_step / spec.total_steps)
    return spec.share_of(next(row for row in trial.rows() if row["step"] == best_step))


def _best(runner: TrialRunner) -> list[RunSpec]:
    """Return the trials of the best configuration, best first; nothing while others are pending."""
    metric = runner.design.config.train.best_metric
    states = {spec.trial_id: runner.folder.trial(spec.trial_id).status() for spec in runner.plan.trials}
    if "pending" in states.values():
        return []
    finished = [spec for spec in runner.plan.trials if states[spec.trial_id] == "complete"]
    values = {spec.trial_id: validation_value(runner.folder.trial(spec.trial_id), metric) for spec in finished}
    specs = {spec.trial_id: spec for spec in finished}
    return [specs[trial_id] for trial_id in best_trials([spec.summary() for spec in finished], values, metric)]


def _embedded(runner: TrialRunner, key: str, joined: Prepared, best: RunSpec) -> dict[str, Prepared]:
    """Return the joined data by its key; of IRIS with the vectors of its chunks."""
    from raybert.sweeping.phases.embed_chunks import embed_chunks

    configs = {key: best.config}
    return embed_chunks(
        {key: joined}, configs, runner.store, runner.cluster, runner.progress, runner.interruption, runner.staging
    )
