"""An evaluation as files."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from raybert.durable import atomic_path
from raybert.evaluation.bootstrap import LEVEL
from raybert.evaluation.measures import Evaluation
from raybert.files import write_json
from raybert.plain import csv_frame
from raybert.tables.evaluation import CONFUSION, PER_CLASS, PER_GROUP, THRESHOLDS


def write_evaluation(evaluation: Evaluation, folder: str | Path) -> list[Path]:
    """Write metrics.json, per_class.csv, confusion.csv, and where there are such per_group.csv and thresholds.csv.

    In metrics.json what is undefined is null, in a table an empty cell.
    """
    folder = Path(folder)
    tables = {
        PER_CLASS.name: evaluation.per_class,
        PER_GROUP.name: evaluation.per_group,
        CONFUSION.name: evaluation.confusion.reset_index(),
        THRESHOLDS.name: evaluation.thresholds,
    }
    paths = [folder / "metrics.json"]
    write_json(paths[0], _summary(evaluation))
    for name, table in tables.items():
        path = folder / f"{name}.csv"
        if table is None:
            path.unlink(missing_ok=True)  # of an earlier evaluation of other data
            continue
        with atomic_path(path) as temporary:
            csv_frame(table).to_csv(temporary, index=False)
        paths.append(path)
    return paths


def _summary(evaluation: Evaluation) -> dict[str, Any]:
    best = evaluation.best_threshold
    return {
        "num_examples": len(evaluation.labels),
        "num_groups": None if evaluation.per_group is None else len(evaluation.per_group),
        "label_names": list(evaluation.label_names),
        "threshold": evaluation.threshold,
        "metrics": {str(name): _without_nan(row) for name, row in evaluation.overall.to_dict("index").items()},
        "intervals": {
            "level": LEVEL,
            "method": "percentile bootstrap",
            "drawn": "examples" if evaluation.per_group is None else "groups",
            "num_resamples": evaluation.num_resamples,
        },
        "best_f1_threshold": None if best is None else {**_without_nan(best), "chosen_on": "these examples"},
    }


def _without_nan(row: dict[Any, float]) -> dict[str, float | None]:
    return {str(name): None if math.isnan(value) else float(value) for name, value in row.items()}
