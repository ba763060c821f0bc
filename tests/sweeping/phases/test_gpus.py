"""`resources.gpus_per_worker: auto`: what it becomes on planted clusters and in folders that were begun elsewhere."""

import os
import re
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from raybert.config import ResourcesConfig, dump_yaml, validate_config
from raybert.errors import ConfigError, ResourceError, SweepError, TrialError
from raybert.files import read_json, write_json
from raybert.sweeping.estimate import planning
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.phases.gpus import settle_gpus
from raybert.sweeping.phases.head import note_devices
from raybert.sweeping.plan.comparison import plan_sweep
from raybert.sweeping.plan.design import read_design
from raybert.sweeping.plan.extension import check_extension
from raybert.sweeping.plan.placement import Cluster, check_resources, this_machine
from raybert.sweeping.single.train import _hints
from raybert.sweeping.trial.run import _device
from raybert.tables import RAN_ON
from raybert.training.memory.gpu_share import GpuMemory
from raybert.training.ran_on import RanOn
from tests.sweeping.planning import plan_of, pools_of

SWEEP = {"strategies": ["random", "el2n"], "seeds": 2, "grid": {"train.learning_rate": [1e-4, 1e-3]}}
NO_GPU = Cluster.of_nodes(({"CPU": 4.0},), is_local=True)
ONE_GPU = Cluster.of_nodes(({"CPU": 8.0, "GPU": 1.0},), is_local=True)
HEAD_WITHOUT = Cluster.of_nodes(({"CPU": 2.0}, {"CPU": 8.0, "GPU": 4.0}, {"CPU": 8.0, "GPU": 4.0}), is_local=False)
A_SHARE = Cluster.of_nodes(({"CPU": 8.0, "GPU": 0.5},), is_local=False)


def config_of(**resources):
    return validate_config({"sweep": SWEEP, **({"resources": resources} if resources else {})})


def design_of(**resources):
    return read_design(config_of(**resources))


def settled(cluster, folder=None, **resources):
    return settle_gpus(design_of(**resources), folder, lambda: cluster)


def ids_of(design):
    return [spec.trial_id for spec in plan_sweep(design, pools_of(design)).trials]


def begun(folder, gpus):
    (folder / "resolved.yaml").write_text(dump_yaml(config_of(gpus_per_worker=gpus)))
    return folder


def test_the_default_is_a_gpu_a_worker_where_there_are_any_and_none_elsewhere():
    assert ResourcesConfig().gpus_per_worker == "auto"
    for cluster, gpus in ((NO_GPU, 0), (ONE_GPU, 1), (HEAD_WITHOUT, 1), (A_SHARE, 0)):
        design, notes = settled(cluster)
        assert (design.config.resources.gpus_per_worker, notes) == (gpus, ())
        assert {variant.config.resources.num_gpus for variant in design.variants} == {gpus}


@pytest.mark.parametrize(
    ("peak_gib", "share", "words"),
    [
        (30.0, 1, "fit is 1: a trial needs 36.6 of the 40.0 GiB of a GPU (the peak of 30.0 GiB, with a margin)"),
        (10.0, 0.3333, "fit is 0.3333: a trial needs 12.6 of the 40.0 GiB"),
        (2.0, 0.125, "fit is 0.125: a trial needs 3.0 of the 40.0 GiB"),
    ],
)
def test_fit_is_the_share_that_the_memory_of_a_trial_needs(peak_gib, share, words):
    asked = []

    def measured(design):
        asked.append(design.config.resources.gpus_per_worker)
        return GpuMemory(int(peak_gib * 2**30), 40 * 2**30)

    design, (note,) = settle_gpus(design_of(gpus_per_worker="fit"), None, lambda: ONE_GPU, measured)
    assert asked == [1], "what is measured is a trial that has a GPU alone"
    assert {variant.config.resources.gpus_per_worker for variant in design.variants} == {share}
    assert words in note
    assert ids_of(design) == ids_of(design_of(gpus_per_worker=share))


@pytest.mark.parametrize(
    ("resources", "measured", "words"),
    [
        ({}, None, "is measured when a sweep begins"),
        ({}, lambda design: None, "could not be measured"),
        ({"workers_per_trial": 2}, lambda design: GpuMemory(1, 2**40), "gives whole GPUs to trials of several workers"),
    ],
)
def test_fit_is_a_whole_gpu_where_nothing_is_measured_or_shared(resources, measured, words):
    design, (note,) = settle_gpus(design_of(gpus_per_worker="fit", **resources), None, lambda: HEAD_WITHOUT, measured)
    assert design.config.resources.gpus_per_worker == 1
    assert words in note


def test_the_trial_that_takes_most_decides(monkeypatch):
    gib = 2**30
    probes = {
        name: SimpleNamespace(gpu=gpu)
        for name, gpu in {
            "small": GpuMemory(gib, 40 * gib),
            "large": GpuMemory(9 * gib, 40 * gib),
            "of the CPU": None,
        }.items()
    }
    monkeypatch.setattr(planning, "prepare_plan", lambda design: (None, None))
    for found, expected in ((SimpleNamespace(probes=probes), 9 * gib), (None, None)):
        monkeypatch.setattr(planning, "estimate_plan", lambda *arguments, found=found: found)
        memory = planning.measure_memory(design_of(gpus_per_worker=1), None)
        assert (memory.peak_bytes if memory is not None else None) == expected


def test_fit_is_no_gpu_where_there_is_none_and_what_a_folder_was_begun_with(tmp_path):
    def never(design):
        raise AssertionError("asked")

    assert settle_gpus(design_of(gpus_per_worker="fit"), None, lambda: NO_GPU, never)[0].config.resources.num_gpus == 0
    folder = begun(tmp_path, 0.25)
    design, _ = settle_gpus(design_of(gpus_per_worker="fit"), folder, lambda: ONE_GPU, never)
    assert design.config.resources.num_gpus == 0.25
    check_extension(config_of(gpus_per_worker=0.25), design_of(gpus_per_worker="fit"), search_begun=False)


def test_ids_are_those_of_the_number_that_auto_became():
    without = [spec.trial_id for spec in plan_of(config_of(gpus_per_worker=0)).trials]
    one = [spec.trial_id for spec in plan_of(config_of(gpus_per_worker=1)).trials]
    assert len(one) == 2 * 2 + 2 * 2 * 2  # folds of the proxy x seeds, and strategies x rates x seeds
    assert not set(one) & set(without)
    assert ids_of(settled(NO_GPU)[0]) == without
    assert ids_of(settled(ONE_GPU)[0]) == one
    assert "gpus_per_worker: 0\n" in dump_yaml(settled(NO_GPU)[0].config)
    assert "gpus_per_worker: 1\n" in dump_yaml(settled(ONE_GPU)[0].config)


def test_a_number_is_what_was_asked_for_and_nobody_looks_at_the_cluster():
    def never():
        raise AssertionError("asked")

    for gpus in (0, 0.5, 2):
        design = design_of(gpus_per_worker=gpus)
        assert settle_gpus(design, None, never) == (design, ())


@pytest.mark.parametrize(
    ("resources", "found"),
    [
        ({"workers_per_trial": 2}, "1 of the 2 worker(s) of a trial would find one beside 1 CPU on its node"),
        ({"cpus_per_worker": 9}, "0 of the 1 worker(s) of a trial would find one beside 9 CPU on its node"),
    ],
)
def test_gpus_that_a_trial_cannot_have_are_left_with_a_line(resources, found):
    cluster = Cluster.of_nodes((*ONE_GPU.nodes, {"CPU": 16.0}), is_local=False)
    design, (note,) = settled(cluster, **resources)
    assert design.config.resources.num_gpus == 0
    check_resources(design.config.resources, cluster)  # it runs as it always did
    assert note == (
        f"note: trains on CPUs although there are 1 GPUs: {found}; lower resources.workers_per_trial or "
        "cpus_per_worker, or let workers share one: `resources.gpus_per_worker: 0.5`"
    )


def test_a_cluster_that_grows_is_taken_at_its_largest():
    config = validate_config({"resources": {"workers_per_trial": 3}, "limits": {"max_nodes": 3}})
    design, notes = settle_gpus(read_design(config), None, lambda: ONE_GPU)
    assert (design.config.resources.num_gpus, notes) == (1, ())


def test_a_folder_that_was_begun_without_gpus_goes_on_so_and_says_it(tmp_path):
    design, (note,) = settled(ONE_GPU, begun(tmp_path, 0))
    assert design.config.resources.num_gpus == 0
    assert note == (
        f"note: {tmp_path} was begun without GPUs and goes on so: trials of CPUs and GPUs are not mixed; another "
        "`output` uses the GPUs that are here"
    )
    assert settled(NO_GPU, tmp_path)[1] == ()


def test_a_folder_that_was_begun_with_gpus_needs_them(tmp_path):
    (tmp_path / "plan.json").touch()
    design, notes = settled(NO_GPU, begun(tmp_path, 0.5))
    assert (design.config.resources.num_gpus, notes) == (0.5, ())
    with pytest.raises(ResourceError, match="0 fit: no node has 0.5 GPU; .* goes on only where there is as much"):
        check_resources(design.config.resources, NO_GPU, folder=tmp_path)


def test_a_folder_takes_auto_and_any_share_of_a_gpu_but_not_the_other_device():
    for old, new in ((0, "auto"), (1, "auto"), (0.5, 1), (2, 0.25), (0, 0)):
        check_extension(config_of(gpus_per_worker=old), design_of(gpus_per_worker=new))
    for old, new in ((0, 1), (0.5, 0)):
        with pytest.raises(SweepError, match=rf"resources.gpus_per_worker was {old}, is {new}; give `output`"):
            check_extension(config_of(gpus_per_worker=old), design_of(gpus_per_worker=new))


@pytest.mark.parametrize("value", [-1, "all", True])
def test_what_is_no_number_of_gpus_is_refused(value):
    with pytest.raises(ConfigError, match=r"resources\.gpus_per_worker: must be "):
        config_of(gpus_per_worker=value)


def test_this_machine_has_the_gpus_that_torch_sees(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert this_machine().gpus == 2
    assert settle_gpus(design_of(), None, this_machine)[0].config.resources.num_gpus == 1
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert settle_gpus(design_of(), None, this_machine)[0].config.resources.num_gpus == 0


def test_a_run_is_made_where_it_computes_and_that_of_several_workers_where_no_gpu_may_be(monkeypatch):
    spec = plan_of(config_of(gpus_per_worker=1)).trials[0]
    several = replace(spec, config=config_of(gpus_per_worker=1, workers_per_trial=2))
    assert _device(replace(spec, config=config_of())) == _device(several) == torch.device("cpu")
    shares: list[float] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", shares.append)
    assert _device(spec) == torch.device("cuda")
    assert shares == [1.0]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(
        TrialError, match=rf"torch {re.escape(torch.__version__)} finds no GPU on {os.uname().nodename}, got 1;"
    ):
        _device(spec)


def test_who_asks_for_the_cpu_beside_a_gpu_is_told(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert list(_hints(ResourcesConfig(gpus_per_worker=0))) == [
        "note: trains on the CPU, as resources.gpus_per_worker says; `auto` or 1 trains on the GPU"
    ]
    assert list(_hints(ResourcesConfig(gpus_per_worker=1))) == []


def test_the_manifest_says_on_which_devices_the_runs_of_a_cluster_of_unlike_nodes_were_trained(tmp_path):
    old, new = ("Tesla T4", "fp16", "sdpa", 8), ("NVIDIA H200", "bf16", "sdpa", None)
    folder = SweepFolder(tmp_path)
    results = {"a": old, "b": new, "c": new, "d": None, "e": ()}  # d is not complete, e is of raybert 0.1
    for name, values in results.items():
        folder.trial(name).path.mkdir(parents=True)
        if values is not None:
            write_json(folder.trial(name).path / "result.json", dict(zip(RAN_ON, values, strict=False)))
    lines = [{"trial_id": name, "strategy": "all"} for name in results]
    write_json(tmp_path / "plan.json", {"name": "x", "trials": lines})
    write_json(tmp_path / "manifest.json", {"python": "3.12"})
    note_devices(folder)
    assert read_json(tmp_path / "manifest.json") == {
        "python": "3.12",
        "trained_on": [
            {"device": "Tesla T4", "precision": "fp16", "attention": "sdpa", "micro_batch_size": 8, "num_runs": 1},
            {
                "device": "NVIDIA H200",
                "precision": "bf16",
                "attention": "sdpa",
                "micro_batch_size": None,
                "num_runs": 2,
            },
        ],
    }


def test_what_a_run_computes_on_is_told_in_words():
    assert str(RanOn("cpu", "fp32", None, None)) == "on the CPU in fp32"
    assert str(RanOn("NVIDIA H200", "bf16", "sdpa", 16)) == (
        "on NVIDIA H200 in bf16, sdpa attention, micro-batches of at most 16 examples"
    )
