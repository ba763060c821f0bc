"""Metrics of a user's own that the run of a model has measured: measured again if its code may run, else as it says."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from raybert.config import MetricConfig
from raybert.errors import SweepError
from raybert.evaluation.find import Target
from raybert.files import read_json
from raybert.sweeping.folder.spec_file import FILE_NAME, read_spec
from raybert.sweeping.folder.trial_folder import TrialFolder
from raybert.sweeping.plan.own_code import changed, code_of_metrics
from raybert.training.measures.own_metrics import OwnMetric, import_metrics


def metrics_of_run(target: Target) -> tuple[MetricConfig, ...]:
    """Return the metrics of a user's own that the run of a model names, without importing them; none: of no run."""
    if target.run is None or target.trial_id is None:
        return ()
    folder = target.run / "trials" / target.trial_id
    if not (folder / FILE_NAME).is_file():
        return ()
    try:
        return read_spec(folder).spec.config.train.metrics
    except SweepError:  # what it predicts can be evaluated without; `reproduce` says what is wrong with the file
        return ()


def trusted_metrics(target: Target, configs: Sequence[MetricConfig]) -> tuple[tuple[OwnMetric, ...], tuple[str, ...]]:
    """Return metrics of a run with their functions, which are imported, and notes on what has changed since.

    Raises:
        ConfigError: one cannot be imported, or must not be.
    """
    assert target.run is not None
    assert target.trial_id is not None
    own = import_metrics(configs)
    then = (read_json(target.run / "trials" / target.trial_id / FILE_NAME) or {}).get("code") or {}
    newer = changed(code_of_metrics(configs), then)
    return own, tuple(f"{one.what} changed since the run measured it" for one in newer)


def with_stored_values(
    overall: pd.DataFrame, target: Target, split: str, configs: Sequence[MetricConfig]
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return metrics with the values that a run has measured itself on a split, without intervals, and a note."""
    assert target.run is not None
    assert target.trial_id is not None
    result = TrialFolder(target.run / "trials" / target.trial_id).whole_result() or {}
    known = {
        one.name: result[f"{split}_{one.name}"] for one in configs if result.get(f"{split}_{one.name}") is not None
    }
    rows = pd.DataFrame(
        [(float(value), float("nan"), float("nan")) for value in known.values()],
        index=pd.Index(list(known), name=overall.index.name),
        columns=overall.columns,
    )
    whose = f"{', '.join(known)}: as the run measured it" if known else not_measured(configs)
    return (pd.concat([overall, rows]) if known else overall), (f"{whose}; {_REMEDY}",)


_REMEDY = "--trust (Python: `trust=True`) imports what the run names and measures it here, with intervals"


def not_measured(configs: Sequence[MetricConfig]) -> str:
    """Return which metrics are left out."""
    return f"not measured: {', '.join(f'{one.name} ({one.function})' for one in configs)}"


def note_left_out(configs: Sequence[MetricConfig]) -> str:
    """Return the note on metrics that are left out because what results name is not imported."""
    return f"{not_measured(configs)}; {_REMEDY}"
