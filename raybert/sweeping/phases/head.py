"""What a results folder says of the sweep that it belongs to, written before anything is trained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from raybert.config import dump_yaml
from raybert.data.noise import PLANTED
from raybert.durable import atomic_path
from raybert.files import is_whole_parquet, read_json, write_json, write_text
from raybert.passwords import holds_password, write_private_text
from raybert.plain import hide
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.folder.manifest import describe_run
from raybert.sweeping.folder.plan_file import write_plan
from raybert.sweeping.folder.pool_texts import PoolTexts
from raybert.sweeping.phases.opening import OpenSweep
from raybert.sweeping.phases.prepare import Prepared
from raybert.sweeping.phases.unchanged import describe_contents
from raybert.sweeping.plan.design import Design
from raybert.sweeping.plan.grid import Variant
from raybert.sweeping.plan.own_code import digests, names_of_code
from raybert.sweeping.plan.placement import Cluster
from raybert.tables import HELD_OUT, POOL, RAN_ON


def write_head(opened: OpenSweep, source_text: str, cluster: Cluster | None) -> None:
    """Write what the results belong to; a continued sweep refreshes it.

    Args:
        opened: the folder and the sweep.
        source_text: the file as the user wrote it, or what was given in its place as YAML.
        cluster: where it runs; None: in this process.
    """
    design, plan, folder = opened.design, opened.plan, opened.folder
    sources = {variant.data_key: variant.config.data.source for variant in design.variants}
    prepared = {key: opened.prepared[key] for key in sources}
    manifest = describe_run(cluster)
    manifest["data"] = {key: describe_data(ready, sources[key]) for key, ready in prepared.items()}
    manifest["code"] = digests(opened.code)
    manifest["runs_code_of"] = names_of_code(design, opened.code)
    resolved = dump_yaml(design.config)
    # The user's own text may have a password where nobody looks for one; what is resolved has none.
    tune = design.config.sweep.tune
    write = write_private_text if tune is not None and holds_password(tune.storage) else write_text
    write(folder.path / "sweep.yaml", hide(source_text))
    write(folder.path / "resolved.yaml", resolved)
    write_json(folder.path / "manifest.json", manifest)
    # Of a search nobody knows yet what it will find: its comparison is written once it is over.
    write_plan(folder, design.config.name, replace(plan, trials=plan.proxies) if plan.arms else plan)
    write_held_out(prepared, folder.path / "held_out.parquet")
    pool = folder.path / "pool.parquet"
    if not pool.exists() or not is_whole_parquet(pool):
        write_pool({variant.fold: prepared[variant.data_key] for variant in _first_point(design)}, pool)


def pool_texts(opened: OpenSweep) -> PoolTexts | None:
    """Return the texts of the pool (of several that of fold 0), unless the file wants none to be shown."""
    if not opened.design.config.sweep.report.texts:
        return None
    return PoolTexts(opened.prepared[_first_point(opened.design)[0].data_key].splits.train)


def _first_point(design: Design) -> list[Variant]:
    """Return the folds of the first point of the grid, whose pools are `pool.parquet`."""
    return [variant for variant in design.variants if variant.grid == design.variants[0].grid]


def note_devices(folder: SweepFolder) -> None:
    """Add to the manifest on what the trials that are complete have run, and how: `trained_on`, a line for each kind.

    On a cluster of unlike nodes they may be several, and only who has run knows what `auto` became there.
    """
    results = (folder.trial(line["trial_id"]).whole_result() for line in folder.planned())
    kinds = Counter(
        tuple(result.get(name) for name in RAN_ON) for result in results if result is not None and "device" in result
    )
    path = folder.path / "manifest.json"
    manifest = read_json(path)
    if manifest is not None:
        lines = [dict(zip(RAN_ON, kind, strict=True)) | {"num_runs": count} for kind, count in kinds.items()]
        write_json(path, manifest | {"trained_on": lines})


def describe_data(ready: Prepared, source: str) -> dict[str, Any]:
    """Return what the manifest says of a data set.

    Args:
        ready: the data set.
        source: `data.source`.
    """
    return {
        "source": source,
        "encoder": ready.encoder.name,
        **describe_contents(ready),
        "label_names": list(ready.data.label_names),
        "notes": list(ready.splits.notes),
        "details": ready.splits.details,
    }


def write_pool(pools: Mapping[int, Prepared], path: Path) -> None:
    """Write every pool example, for the analysis: `POOL`.

    Args:
        pools: by fold (0: without folds).
        path: of the parquet file.
    """
    tables = []
    for fold, prepared in pools.items():
        pool = prepared.splits.train
        columns = {
            "fold": np.full(pool.num_rows, fold),
            "example_id": pool["example_id"],
            "label": np.asarray(prepared.data.train.labels),
            "length": prepared.data.train.lengths,
            **_planted(pool),
        }
        tables.append(pa.table({name: columns[name] for name in (column.name for column in POOL) if name in columns}))
    with atomic_path(path) as temporary:
        pa.parquet.write_table(pa.concat_tables(tables), temporary)


def _planted(pool: pa.Table) -> dict[str, np.ndarray]:
    """Return the column that says what noise was planted in each example, if some was."""
    return {PLANTED: pool[PLANTED].to_numpy()} if PLANTED in pool.column_names else {}


def write_held_out(prepared: Mapping[str, Prepared], path: Path) -> None:
    """Write all validation and test examples, for `raybert evaluate`: `HELD_OUT`.

    Args:
        prepared: data sets by key.
        path: of the parquet file.
    """
    frames = [
        table.select([name for name in ("example_id", "group") if name in table.column_names])
        .to_pandas()
        .assign(data_key=key, split=split, row=np.arange(table.num_rows))
        for key, ready in prepared.items()
        for split, table in (("validation", ready.splits.validation), ("test", ready.splits.test))
    ]
    frame = pd.concat(frames, ignore_index=True)
    columns = [column.name for column in HELD_OUT if column.name in frame or not column.optional]
    with atomic_path(path) as temporary:
        frame[columns].to_parquet(temporary, index=False)
