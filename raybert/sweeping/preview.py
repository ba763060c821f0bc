"""What a sweep file asks for and what it will take, without running it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from raybert.config import RaybertConfig
from raybert.config.tasks import MULTI_LABEL, REGRESSION
from raybert.display import html_frame, html_section
from raybert.errors import ResourceError
from raybert.plain import printable_lines
from raybert.sweeping.estimate.describe import describe_estimate
from raybert.sweeping.phases.gpus import settle_gpus
from raybert.sweeping.phases.prepare import Prepared, facts_of_pools, notes_on_memory, prepare_plan
from raybert.sweeping.phases.to_pretrain import describe_pretraining
from raybert.sweeping.plan.comparison import Plan
from raybert.sweeping.plan.design import read_design
from raybert.sweeping.plan.placement import Cluster, this_machine
from raybert.sweeping.plan.run_notes import run_notes
from raybert.sweeping.plan.specs import RunSpec
from raybert.sweeping.plan.where import environment_notes, starts_here

if TYPE_CHECKING:
    from raybert.sweeping.estimate.estimate import Estimate


@dataclass(frozen=True, repr=False)
class PlannedSweep:
    """What a sweep file asks for, and what is left of it will take.

    Attributes:
        config: the sweep file, with every key.
        plan: the trials with all that they are made of, and the arms of a search.
        data: sizes of every data set, and what encoders are pretrained, one line each.
        notes: what was found in the data.
        is_probed: whether an estimate was asked for.
        estimate: what is left to do will take; None: not asked for, nothing is left to do, or there is a problem.
        problem: why there is none: a trial that could never be placed.
    """

    config: RaybertConfig
    plan: Plan
    data: tuple[str, ...]
    notes: tuple[str, ...]
    is_probed: bool
    estimate: Estimate | None = None
    problem: ResourceError | None = None

    @cached_property
    def trials(self) -> pd.DataFrame:
        """A row per run: trial_id, role, strategy, seed, fold, budget, pool_size, total_steps, and the grid values."""
        rows = [spec.summary() for spec in self.plan.trials]
        return pd.DataFrame([{**row, **row.pop("grid")} for row in rows])

    @cached_property
    def table(self) -> pd.DataFrame:
        """A row per strategy, budget and number of steps, over seeds and folds.

        Columns: strategy, budget, steps (of one trial), num_trials, examples_seen (of all of them) and signals.
        """
        counts: Counter[tuple[str, int, int, int, str]] = Counter()
        for spec in self.plan.trials:
            if spec.fold == 0:  # in the other folds the same trials run, for the same steps
                signals = ", ".join(sorted(spec.strategy.all_signals()))
                key = (spec.label, spec.num_chosen, spec.total_steps, _examples_seen(spec), signals)
                counts[key] += spec.config.data.folds or 1
        return pd.DataFrame(
            [
                (label, budget, steps, count, seen * count, signals)
                for (label, budget, steps, seen, signals), count in counts.items()
            ],
            columns=["strategy", "budget", "steps", "num_trials", "examples_seen", "signals"],
        )

    @cached_property
    def search(self) -> pd.DataFrame:
        """A row per arm of the search that comes first: what it takes at most, each run finished; else no rows.

        Columns: search, num_suggestions, num_seeds, steps (of the longest run), examples_seen and num_keys.
        """
        rows = []
        for arm in self.plan.arms:
            longest = max(arm.readers, key=lambda spec: spec.total_steps)
            seen = _examples_seen(longest) * arm.num_suggestions * len(arm.seeds)
            sizes = (arm.num_suggestions, len(arm.seeds), longest.total_steps, seen, len(arm.space.domains))
            rows.append((arm.name, *sizes))
        columns = ["search", "num_suggestions", "num_seeds", "steps", "examples_seen", "num_keys"]
        return pd.DataFrame(rows, columns=columns)

    def lines(self) -> Iterator[str]:
        """Yield what is to say besides the tables: data, notes, and the estimate."""
        yield from self.data
        yield from (f"note: {note}" for note in self.notes)
        if self.estimate is not None:
            yield from describe_estimate(self.estimate)
        elif self.is_probed and self.problem is None:
            yield "nothing is left to do"

    def __repr__(self) -> str:
        return f"<PlannedSweep '{self.config.name}': {len(self.trials)} trials>"

    def __str__(self) -> str:
        tables = [table.to_string(index=False) for table in self._tables()]
        lines = [f"{self.config.name}: {len(self.trials)} trials", *tables, *self._shown_lines()]
        return printable_lines("\n".join(lines))

    def _repr_html_(self) -> str:
        """Show trials, search, data and estimate in a notebook."""
        tables = map(html_frame, self._tables())
        return html_section(self.config.name, [f"{len(self.trials)} trials"], *tables, notes=self._shown_lines())

    def _shown_lines(self) -> list[str]:
        return [*self.lines(), *([f"problem: {self.problem}"] if self.problem is not None else [])]

    def _tables(self) -> list[pd.DataFrame]:
        return [table for table in (self.table, self.search) if not table.empty]


def preview_sweep(config: RaybertConfig, output: Path, *, address: str | None, probe: bool) -> PlannedSweep:
    """Return what a sweep file asks for, and with `probe` what is left of it will take.

    Args:
        config: the sweep file.
        output: results folder, for what is finished already; need not exist.
        address: of the cluster to look at; None: this machine.
        probe: run a few steps of every model shape.

    Raises:
        RaybertError: anything that is wrong with the file, the data or the encoder.
    """
    notes_on_place = environment_notes(address)
    with _cluster_at(address) as cluster:
        design, notes_on_gpus = settle_gpus(read_design(config), output, cluster)
    config = design.config
    plan, prepared = prepare_plan(design)
    found = dict.fromkeys(note for ready in prepared.values() for note in ready.splits.notes)
    notes = (*found, *run_notes(plan.trials, facts_of_pools(prepared)), *notes_on_memory(plan.trials, prepared))
    notes += tuple(note.removeprefix("note: ") for note in (*notes_on_place, *notes_on_gpus))
    made_from = {key: ready.pretraining for key, ready in prepared.items()}
    data = tuple(dict.fromkeys(_describe_sizes(ready) for ready in prepared.values()))
    data += tuple(describe_pretraining(plan, made_from, config))
    if not probe:
        return PlannedSweep(config, plan, data, notes, is_probed=False)
    from raybert.sweeping.estimate.planning import estimate_plan  # which loads Ray

    try:
        estimate = estimate_plan(config, plan, prepared, output, address)
    except ResourceError as problem:  # the plan is worth seeing all the same
        return PlannedSweep(config, plan, data, notes, is_probed=True, problem=problem)
    return PlannedSweep(config, plan, data, notes, is_probed=True, estimate=estimate)


@contextmanager
def _cluster_at(address: str | None) -> Iterator[Callable[[], Cluster]]:
    """Enter what tells, on request, where a sweep would run: Ray is joined only where it must be asked."""
    if starts_here(address):
        yield this_machine
        return
    from raybert.sweeping.cluster.connect import connected

    with ExitStack() as stack:
        yield lambda: stack.enter_context(connected(address))


def _examples_seen(spec: RunSpec) -> int:
    return spec.total_steps * spec.config.train.batch_size


def _describe_sizes(ready: Prepared) -> str:
    fold = f", fold {ready.splits.details['fold']}" if "fold" in ready.splits.details else ""
    sizes = " / ".join(f"{len(split):,}" for split in (ready.data.train, ready.data.validation, ready.data.test))
    extra = "".join(f", {table.num_rows:,} of {name}" for name, table in ready.splits.extra_tests.items())
    return f"data{fold}: {sizes} train / validation / test{extra}, {_what(ready)}"


def _what(ready: Prepared) -> str:
    """Return how many classes there are, or what else is predicted."""
    if ready.data.task == MULTI_LABEL:
        return f"{len(ready.data.output_names)} labels"
    return "numbers" if ready.data.task == REGRESSION else f"{ready.data.num_classes} classes"
