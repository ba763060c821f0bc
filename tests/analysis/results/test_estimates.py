import json

import pandas as pd
import pytest

from raybert.analysis import estimate_line, estimate_table, load_sweep, publish_results
from raybert.config import dump_yaml, validate_config
from raybert.selection.store import ScoreStore
from tests.analysis.folders import make_spec, write_plan, write_result

SPANS = {
    "wall_seconds": {"low": 60.0, "expected": 90.0, "high": 240.0},
    "cpu_hours": {"low": 0.01, "expected": 0.02, "high": 0.03},
    "disk_bytes": {"low": 1e6, "expected": 2e6, "high": 3e6},
}


def write_sweep(folder, **state):
    """Write two finished trials of 13 s each on two workers of three cores, and their estimate."""
    specs = [make_spec("random", seed) for seed in (0, 1)]
    write_plan(folder, specs)
    for spec in specs:
        write_result(folder, spec, 0.8)
    resources = {"workers_per_trial": 2, "cpus_per_worker": 3}
    (folder / "resolved.yaml").write_text(dump_yaml(validate_config({"resources": resources})))
    ScoreStore(folder / "store").begin("ab", {"scorer": "test"})
    record = {"num_blocks": 0, "num_rows": 0, "seconds": 24.0}
    (folder / "store" / "ab" / "complete.json").write_text(json.dumps(record))
    document = {
        "trial_ids": [spec["trial_id"] for spec in specs],
        "done_before": [],
        "quantities": SPANS,
        "signals": {"store": str(folder / "store"), "keys": ["ab", "cd"]},
        "spent_seconds": 150.0,
        "is_running": False,
        "is_whole": True,
        **state,
    }
    (folder / "estimate.json").write_text(json.dumps(document))
    return load_sweep(folder)


def measured(sweep):
    return estimate_table(sweep).set_index("quantity")["measured"].to_dict()


@pytest.mark.slow
def test_the_truth_stands_beside_the_estimate(tmp_path):
    sweep = write_sweep(tmp_path)
    size = sum(path.stat().st_size for path in (tmp_path / "trials").rglob("*") if path.is_file())
    by_hand = {"wall_seconds": 150.0, "cpu_hours": (2 * 13 * 6 + 24) / 3600, "disk_bytes": size}
    assert measured(sweep) == pytest.approx(by_hand)
    publish_results(tmp_path)
    stored = pd.read_csv(tmp_path / "results" / "estimate.csv")
    assert stored["estimated"].tolist() == [90.0, 0.02, 2e6]
    assert estimate_line(sweep).startswith("took 2.5 min (estimated 90 s, 60 s to 4.0 min); 0.05 CPU-hours")


def test_runs_of_a_search_count_finished_or_not(tmp_path):
    sweep = write_sweep(tmp_path)
    pruned = tmp_path / "trials" / "pruned"
    pruned.mkdir()
    (pruned / "spec.json").write_text('{"spec": {"role": "tune"}}')
    (pruned / "heartbeat.json").write_text('{"seconds": 4.0}')
    assert measured(sweep)["cpu_hours"] == pytest.approx((30 * 6 + 24) / 3600)


@pytest.mark.slow
def test_there_is_no_truth_before_the_end_and_no_time_of_a_killed_process(tmp_path):
    assert estimate_line(write_sweep(tmp_path / "one", is_running=True)) is None
    killed = measured(write_sweep(tmp_path / "two", is_whole=False))
    assert pd.isna(killed["wall_seconds"])
    assert killed["cpu_hours"] == pytest.approx(0.05)
    unfinished = write_sweep(tmp_path / "three")
    (tmp_path / "three" / "trials" / "random-40-1" / "result.json").unlink()
    assert estimate_line(load_sweep(unfinished.folder)) is None


def test_a_folder_without_an_estimate_has_an_empty_table(tmp_path):
    write_plan(tmp_path, [make_spec("random")])
    sweep = load_sweep(tmp_path)
    assert estimate_table(sweep).empty
    assert estimate_line(sweep) is None
