"""The check of a GPU, tried out on the CPU with tiny models: all of it runs, and what there is no time for is said."""

import json
import time

import numpy as np
import pytest
import torch

from raybert.training.monitor.throughput import StepFlops
from tests.gpu import check, material
from tests.gpu.sections import Section, in_a_process, measure, run_all

CPU = material.Scale(torch.device("cpu"), True, material.Path())
OURS = [section.name for section in check.SECTIONS if section.name != "tests"]  # which begins a pytest


def no_write(found):
    pass


@pytest.mark.long
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU: run the check itself")
def test_all_of_it_runs_on_the_cpu_with_tiny_models(tmp_path, capsys):
    target = tmp_path / "check.json"
    code = check.main(["--tiny", "--here", "--output", str(target), "--only", *OURS])
    report = json.loads(target.read_text())
    assert (code, report["failed"]) == (0, []), json.dumps(report["sections"], indent=1)[-4000:]
    assert f"{target}\n" in capsys.readouterr().out
    if not report["cut"]:  # a busy machine may cut
        beside = report["sections"]["throughput"]["items"]["bert 128"]["value"]
        assert {"ours_sdpa", "ours_unpadded", "trainer", "trainer_grouped"} <= beside.keys()
        assert all(0 < beside[name]["mfu"] < 1 for name in ("ours_sdpa", "trainer"))
        costs = report["sections"]["throughput"]["items"]["profile bert 128"]["value"]
        assert len(costs["operators"]) == 3
        resumed = report["sections"]["resume"]["items"]["deterministic kernels"]["value"]
        assert resumed["most_change_of_a_weight_by_resuming"] == 0


def test_what_there_is_no_time_for_is_cut_and_what_fails_does_not_end_the_rest(tmp_path):
    def wrong():
        raise AssertionError("3 is not 4")

    def slow():
        time.sleep(0.3)
        return 1

    parts = []
    section = Section("one", 0.2, lambda _: [("fails", wrong), ("slow", slow), ("late", slow)])
    found = measure(section, None, 0.2, lambda value: parts.append(json.loads(json.dumps(value))))
    assert (found["failed"], found["cut"]) == (["fails"], ["late"])
    assert found["items"]["fails"]["value"]["error"] == "AssertionError: 3 is not 4"
    assert found["items"]["slow"]["value"] == 1
    assert [len(part["items"]) for part in parts] == [1, 2, 2]  # written after every item

    target = tmp_path / "all.json"
    seen = []

    def run_one(section, seconds):
        seen.append(target.is_file())
        return measure(section, None, seconds, no_write)

    sections = [section, Section("two", 5, lambda _: [("quick", lambda: 2)])]
    report = run_all(sections, 60, target, run_one, {"check": "a test"})
    assert seen == [False, True]  # written after every section
    assert json.loads(target.read_text()) == report
    assert (report["failed"], report["cut"]) == (["one/fails"], ["one/late"])
    assert run_all(sections, 0.5, target, run_one, {})["cut"] == ["one", "two"]  # nothing is begun in its last second


@pytest.mark.slow
def test_a_section_that_hangs_is_killed_and_its_items_so_far_are_kept(tmp_path, monkeypatch):
    script = tmp_path / "tests" / "gpu" / "check.py"
    script.parent.mkdir(parents=True)
    for package in (script.parent, script.parent.parent):
        (package / "__init__.py").touch()
    part = '{"items": {"first": {"value": 1, "seconds": 0.1}}, "failed": [], "cut": [], "seconds": 0.1}'
    script.write_text(
        f"import sys, time\nopen(sys.argv[sys.argv.index('--part') + 1], 'w').write('''{part}''')\ntime.sleep(60)\n"
    )
    monkeypatch.setattr("tests.gpu.sections._GRACE", 2.0)
    monkeypatch.chdir(tmp_path)  # where `python -m tests.gpu.check` is another
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    section = Section("hangs", 1.0, lambda _: [])
    found = in_a_process(section, 1.0, [], tmp_path)
    assert found["items"]["first"]["value"] == 1
    assert found["cut"] == ["the item at its end: killed"]
    script.write_text("import sys\nsys.exit('no memory')\n")
    (tmp_path / "hangs.json").unlink()
    found = in_a_process(section, 5.0, [], tmp_path)
    assert found["failed"] == ["its process"]
    assert "no memory" in found["items"]["its process"]["value"]["traceback"]


@pytest.mark.parametrize(("full", "low", "high"), [(128, 52, 57), (512, 265, 275)])
def test_synthetic_texts_are_as_long_as_real_ones(full, low, high):
    """AG News has 53 word pieces on average (54 cut to 128), IMDb cut to 512 has 271."""
    lengths = material.lengths_like(20_000, full, full, np.random.default_rng(0))
    assert lengths.max() <= full
    assert low < lengths.mean() < high


def test_packed_sequences_are_full_and_flops_count_what_is_trained():
    data = material.packed(CPU, 20, 512)
    assert data.train.lengths.max() <= 64
    assert data.train.lengths.mean() > 56
    model = material.classifier(CPU, "bert")
    flops = StepFlops.of(model)
    inside = sum(p.numel() for name, p in model.named_parameters() if "embeddings" not in name)
    assert (flops.num_parameters, flops.attention_factor) == (inside, 12 * 2 * 32)
    assert flops(np.array([3, 5])) == 6 * inside * 8 + 12 * 2 * 32 * 34
