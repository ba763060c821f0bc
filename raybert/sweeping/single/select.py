"""`raybert select`: score and choose without training on the choice, and write the subset for any other trainer."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from raybert.config import DataConfig, RaybertConfig
from raybert.data.noise import PLANTED
from raybert.data.rows import take_rows
from raybert.data.whole_source import as_series, read_rows, rows_in_source
from raybert.display import html_frame, html_section
from raybert.errors import ConfigError, Interrupted, ScoringError
from raybert.files import content_key, writable_cache
from raybert.selection.choose import select_from_pool
from raybert.selection.compose import compose
from raybert.selection.pool import Selection
from raybert.selection.store import SignalRef
from raybert.sweeping.cluster.connect import check_resources, connected
from raybert.sweeping.driver.progress import Progress
from raybert.sweeping.driver.session import owned_folder
from raybert.sweeping.phases.gpus import settle_gpus
from raybert.sweeping.phases.opening import OpenSweep
from raybert.sweeping.phases.prepare import Prepared, prepare_plan
from raybert.sweeping.phases.scoring_jobs import JobPlanner
from raybert.sweeping.phases.trial_runner import make_runner
from raybert.sweeping.plan.narrow import narrow_to_one
from raybert.sweeping.plan.own_code import code_of_design, digests
from raybert.sweeping.plan.placement import this_machine
from raybert.sweeping.plan.roles import TRIAL
from raybert.sweeping.plan.specs import RunSpec
from raybert.sweeping.plan.where import environment_notes, starts_here
from raybert.sweeping.trial.run import make_pool
from raybert.tables import CONFLICTS

_SHOWN_EXAMPLES = 10


@dataclass(frozen=True, repr=False)
class ChosenSubset:
    """What `raybert select` found.

    Attributes:
        frame: `raybert.tables.evaluation.SUBSET`, a row per chosen example in the order of selection.
        pool_size: n.
        refilled: how many of the last rows were taken back from what a filter had dropped.
        conflicts: example_id, conflicts_with: near-duplicates with different labels; None without such a filter.
        signal_seconds: what the signals cost, training of proxies included.
        notes: what a user should know of how it was chosen.
    """

    frame: pd.DataFrame
    pool_size: int
    refilled: int
    conflicts: pd.DataFrame | None
    signal_seconds: float
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<ChosenSubset: {len(self.frame):,} of {self.pool_size:,} examples>"

    def _repr_html_(self) -> str:
        """Show the first examples in a notebook."""
        facts = [f"{len(self.frame):,} of {self.pool_size:,} examples, best first"]
        return html_section("subset", facts, html_frame(self.frame.head(_SHOWN_EXAMPLES)), notes=self.notes)


def choose_subset(
    config: RaybertConfig,
    strategy: str,
    seed: int,
    progress: Progress,
    *,
    address: str | None = None,
) -> ChosenSubset:
    """Return what a strategy chooses from the pool of a sweep file; signals come from the score store or go there.

    Args:
        config: the sweep file; its grid is not used.
        strategy: a label or name among the file's strategies (then with their parameters), else any name.
        seed: of ties, random draws and proxies.
        progress: told about every event.
        address: of a Ray cluster; Ray is started only if something has to be computed.

    Raises:
        ConfigError: folds, unknown strategy, impossible budget, or a strategy that decides while a model trains.
        Interrupted: stopped on request.
        ScoringError: a run that it reads failed.
    """
    notes = environment_notes(address)
    with ExitStack() as stack:
        narrowed, notes_on_gpus = settle_gpus(
            narrow_to_one(config, strategy, seed),
            None,
            lambda: this_machine() if starts_here(address) else stack.enter_context(connected(address)),
        )
        code = tuple(code_of_design(narrowed))
        known = {**narrowed.config.model_dump(mode="json"), **({"code": digests(code)} if code else {})}
        path = writable_cache() / "select" / content_key(known)
        folder, interruption = stack.enter_context(owned_folder(path, progress))
        for note in notes_on_gpus:
            progress.note(note)
        plan, prepared = prepare_plan(narrowed)
        (spec,) = (spec for spec in plan.trials if spec.role == TRIAL)
        schedule = compose(spec.strategy).schedule
        if schedule != "once":
            raise ConfigError(
                f"strategy: must choose once, before training; '{spec.label}' has the schedule "
                f"{schedule} and decides while a model trains: run it in a sweep"
            )
        opened = OpenSweep(folder, narrowed, plan, prepared, interruption, interruption.progress, code)
        refs = _score(opened, spec, address, notes)
        ready = prepared[spec.data_key]
        pool = make_pool(spec, ready.data, refs)
        notes_on_signals = tuple(pool.notes)
        selection = select_from_pool(spec.strategy, pool, spec.num_chosen)
        return ChosenSubset(
            frame=_with_source(_frame(ready, selection), spec.config.data),
            pool_size=spec.pool_size,
            refilled=selection.refilled,
            conflicts=_conflicts(ready, selection),
            signal_seconds=sum(ref.seconds for ref in refs),
            notes=(*notes_on_signals, *selection.notes),
        )


def conflicts_file(subset: Path) -> Path:
    """Return where near-duplicates with different labels are listed, beside the file of a subset."""
    return subset.with_name(f"{subset.stem}.conflicts.csv")


def _score(opened: OpenSweep, spec: RunSpec, address: str | None, notes: tuple[str, ...]) -> tuple[SignalRef, ...]:
    """Compute the signals that are not there, and return all.

    Raises:
        Interrupted: stopped on request.
        ScoringError: they could not be computed.
    """
    folder, resources = opened.folder, opened.design.config.resources
    if not JobPlanner(opened.prepared, folder).jobs(spec):
        return ()
    for run in opened.plan.trials:
        folder.trial(run.trial_id).forget_failure()
    if any(run.role != TRIAL for run in opened.plan.trials):
        opened.progress.note(f"its runs are in {folder.path}; `raybert logs` with this folder shows what they say")
    for note in notes:
        opened.progress.note(note)
    with connected(address) as cluster:
        check_resources(resources, cluster, opened.design.config.limits.max_nodes)
        runner = make_runner(opened, cluster)
        runner.run(only_score=True)
    if opened.interruption():
        raise Interrupted("stopped before everything was scored; the same command continues")
    if folder.trial(spec.trial_id).status() == "failed":
        reason = folder.trial(spec.trial_id).failure().message
        raise ScoringError(f"'{spec.label}': its signals could not be computed: {reason}")
    return runner.planner.refs([spec], runner.store)[spec.trial_id]


def _frame(ready: Prepared, selection: Selection) -> pd.DataFrame:
    rows = take_rows(ready.splits.train, selection.positions)
    frame = pd.DataFrame({"rank": np.arange(1, len(selection.positions) + 1)})
    for column in ("example_id", "text", "text_pair"):
        if column in rows.column_names:
            frame[column] = rows[column].to_pylist()
    if PLANTED in rows.column_names:
        frame[PLANTED] = rows[PLANTED].to_pylist()
    frame["label"] = [ready.splits.label_names[label] for label in rows["label"].to_pylist()]
    frame["score"] = selection.scores
    frame["weight"] = 1.0 if selection.weights is None else selection.weights
    return frame


def _with_source(frame: pd.DataFrame, config: DataConfig) -> pd.DataFrame:
    """Return a subset with the row of each example in the source, and all columns of the source as they are there.

    A column that has the name of one of ours, and is not the same, is called `source.<name>`.
    """
    rows = rows_in_source(config, frame["example_id"].tolist(), writable_cache())
    source = read_rows(config, rows, writable_cache())
    frame.insert(2, "row", rows + 1)
    for name, column in zip(source.column_names, source.columns, strict=True):
        values = as_series(column)
        if name not in frame:
            frame[name] = values
        elif frame[name].astype(str).tolist() != values.astype(str).tolist():
            frame[f"source.{name}"] = values
    return frame


def _conflicts(ready: Prepared, selection: Selection) -> pd.DataFrame | None:
    if selection.conflicts is None:
        return None
    return pd.DataFrame(ready.data.example_ids[selection.conflicts], columns=CONFLICTS.order())
