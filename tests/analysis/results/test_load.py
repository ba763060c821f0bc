"""Tables have the declared columns and types, whatever has finished, and whichever raybert wrote the files."""

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raybert.analysis import load_sweep, publish_results
from raybert.analysis.results.strategy_texts import strategy_texts
from raybert.errors import RenamedWarning
from raybert.tables import EVALUATIONS, SUMMARY, TRIALS
from tests.analysis.folders import (
    make_spec,
    write_evaluations,
    write_plan,
    write_resolved,
    write_result,
    write_sample_sweep,
)
from tests.raybert_01 import age_sweep

TABLES = (TRIALS, EVALUATIONS, SUMMARY)
STRATEGIES = ("random", "random_epoch", "el2n")


def types_of(frame):
    return {name: str(dtype) for name, dtype in frame.dtypes.items()}


def frame_of(sweep, table):
    return sweep.summary() if table is SUMMARY else getattr(sweep, table.name)


def declared(table, grid):
    types = {column.name: column.dtype for column in table.columns}
    return {name: types.get(name, "float64") for name in table.order(grid)}


@pytest.mark.slow
@pytest.mark.parametrize("grid", [pytest.param((), marks=pytest.mark.long), ("train.learning_rate",)])
@pytest.mark.parametrize("finished", [0, pytest.param(1, marks=pytest.mark.long), 2])
def test_tables_have_the_declared_columns_in_order_and_type_whatever_has_finished(tmp_path, finished, grid):
    values = dict.fromkeys(grid, 1e-4)
    specs = [make_spec("random", seed, grid=values) for seed in range(2)]
    folder = write_plan(tmp_path, specs)
    for spec in specs[:finished]:
        write_result(folder, spec, 0.8)
        write_evaluations(folder, spec, (0.5, 0.6))
    sweep = load_sweep(folder)
    for table in TABLES:
        frame = frame_of(sweep, table)
        assert list(frame) == table.order(grid), table.name
        assert types_of(frame) == declared(table, grid), table.name
    publish_results(folder)
    for table in TABLES:
        stored = folder / "results" / f"{table.name}.parquet"
        pd.testing.assert_frame_equal(pd.read_parquet(stored), frame_of(sweep, table))
    passes = pq.read_schema(folder / "results" / "trials.parquet").field("samples_per_pass")
    assert passes.type == pa.list_(pa.int64())


def test_a_metric_that_only_some_sweeps_have_comes_last_with_its_type(tmp_path):
    spec = make_spec("random")
    folder = write_plan(tmp_path, [spec])
    write_result(folder, spec, 0.8, validation_mcc=0.5)
    trials = load_sweep(folder).trials
    assert list(trials) == [*TRIALS.order(), "validation_mcc"]
    assert trials["validation_mcc"].tolist() == [0.5]


def test_trials_on_gpus_have_their_hours_and_others_have_no_such_column(tmp_path):
    specs = [make_spec("random", seed) for seed in range(2)]
    folder = write_plan(tmp_path, specs)
    for spec, device in zip(specs, ("NVIDIA H200", "cpu"), strict=True):
        write_result(folder, spec, 0.8, device=device, train_seconds=30.0, selection_seconds=2.0, signal_seconds=4.0)
    write_resolved(folder, resources={"gpus_per_worker": 0})
    assert not [name for name in (*load_sweep(folder).trials, *load_sweep(folder).summary()) if "gpu" in name]
    write_resolved(folder, resources={"workers_per_trial": 2, "gpus_per_worker": 0.5})
    sweep = load_sweep(folder)
    assert sweep.trials["gpu_hours"].tolist() == pytest.approx([36 / 3600, float("nan")], nan_ok=True)
    assert sweep.summary()["gpu_hours_mean"].tolist() == [pytest.approx(0.01)]
    assert "GPU-hours                  0.01" in strategy_texts(sweep)["random"]


@pytest.mark.slow
def test_a_folder_of_raybert_01_has_the_same_tables(tmp_path):
    folder = write_sample_sweep(tmp_path, STRATEGIES)
    expected = load_sweep(folder)
    selections = expected.selections()
    age_sweep(folder)
    assert not list(folder.glob("trials/*/evaluations.jsonl"))
    found = load_sweep(folder)
    for table in TABLES:
        pd.testing.assert_frame_equal(frame_of(found, table), frame_of(expected, table))
    pd.testing.assert_frame_equal(found.selections(), selections)
    pd.testing.assert_frame_equal(found.agreement, expected.agreement)
    assert found.losses(found.trials["trial_id"].iloc[0]) is None


@pytest.mark.long
@pytest.mark.slow
def test_what_raybert_01_has_published_under_another_name_goes(tmp_path):
    folder = write_sample_sweep(tmp_path, STRATEGIES)
    age_sweep(folder)
    old = [folder / name for name in ("results/epochs.csv", "results/epochs.parquet", "plots/samples_per_epoch.png")]
    for path in old:
        path.parent.mkdir(exist_ok=True)
        path.write_text("old")
    publish_results(folder)
    assert not any(path.exists() for path in old)
    for name in ("results/evaluations.csv", "results/evaluations.parquet", "plots/samples_per_pass.png"):
        assert (folder / name).stat().st_size > 60


def test_evaluations_are_found_by_the_name_of_raybert_01_with_a_note(tmp_path):
    spec = make_spec("random")
    folder = write_plan(tmp_path, [spec])
    write_evaluations(folder, spec, (0.5, 0.6))
    sweep = load_sweep(folder)
    with pytest.warns(RenamedWarning, match=r"Sweep\.epochs is called Sweep\.evaluations now"):
        assert sweep.epochs is sweep.evaluations
