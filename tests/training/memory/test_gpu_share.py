"""Shares of a GPU by hand, with memory that is made up: no GPU was at hand where these tests were written."""

import types

import pytest
import torch

from raybert.sweeping.estimate.describe import notes_on_shares
from raybert.training.memory import gpu_share
from raybert.training.memory.gpu_share import GpuMemory, PeakWatch, keep_to_share
from raybert.training.memory.micro_batch import _describe

GIB = 2**30


@pytest.mark.parametrize(
    ("peak", "total", "share"),
    [
        (60 * GIB, 80 * GIB, 1.0),  # 72.6 of 80
        (30 * GIB, 80 * GIB, 0.5),  # 36.6: two
        (21 * GIB, 80 * GIB, 0.3333),  # 25.8: three, and three of 0.3333 are less than 1
        (16 * GIB, 80 * GIB, 0.25),  # 19.8: four
        (1 * GIB, 80 * GIB, 0.125),  # 1.8 would be 44: no more than eight
        (0, 80 * GIB, 0.125),
        (100 * GIB, 80 * GIB, 1.0),  # it does not fit at all, which its trial says
        (6 * GIB, 16 * GIB, 0.5),  # 7.8
    ],
)
def test_the_share_that_a_peak_with_its_margin_needs(peak, total, share):
    found = GpuMemory(peak, total)
    assert found.share == share
    assert found.needed_bytes == pytest.approx(1.2 * peak + 0.5859375 * GIB)
    workers = round(1 / share)
    assert workers * share <= 1
    assert share == 1.0 or workers * found.needed_bytes <= total


def test_a_peak_is_read_of_what_was_taken_since():
    taken = []
    watch = PeakWatch(has_gpu=True, reset=lambda: taken.append("reset"), read=lambda: (5, 7))
    assert taken == ["reset"]
    assert watch.peak() == GpuMemory(5, 7)
    assert PeakWatch(has_gpu=False, reset=lambda: taken.append("again")).peak() is None
    assert taken == ["reset"]


@pytest.fixture
def gpu(monkeypatch):
    """A GPU of 80 GiB; returns the limits that are set."""
    limits = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    properties = types.SimpleNamespace(name="made up", total_memory=80 * GIB)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", limits.append)
    monkeypatch.setattr(torch.cuda, "get_per_process_memory_fraction", lambda device=None: limits[-1], raising=False)
    return limits


@pytest.mark.parametrize(("share", "limit"), [(0.25, 0.25 - 0.5859375 / 80), (0.01, 0.005), (1, 1.0), (2, 1.0)])
def test_a_process_is_kept_to_its_share_less_what_torch_does_not_count(share, limit, gpu):
    keep_to_share(share)
    keep_to_share(0)  # who trains on the CPU does not wake the GPU
    assert gpu == [pytest.approx(limit)]
    assert type(gpu[0]) is float  # torch takes nothing else


def test_micro_batches_are_found_anew_for_another_share(gpu):
    found = []
    for share in (1, 0.5):
        keep_to_share(share)
        found.append(_describe(torch.device("cuda")))
    assert found[0] == ["made up", 80 * GIB]  # as before there were shares: what was found holds
    assert found[1][1] < 40 * GIB


def test_without_a_gpu_nothing_is_limited(monkeypatch):
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", pytest.fail)
    keep_to_share(0.5)
    assert gpu_share.MOST_SHARING == 8


def probes(*memories):
    named = {f"s{i}": types.SimpleNamespace(gpu=memory) for i, memory in enumerate(memories)}
    return types.SimpleNamespace(probes=named)


def test_a_sweep_says_which_share_its_largest_model_needs():
    (note,) = notes_on_shares(probes(GpuMemory(1 * GIB, 80 * GIB), GpuMemory(16 * GIB, 80 * GIB), None), 1, 1)
    assert note == (
        "note: a trial needs 19.8 of the 80.0 GiB of a GPU (the peak of 16.0 GiB, with a margin): "
        "`resources.gpus_per_worker: 0.25`, in another `output`, lets 4 share it"
    )


@pytest.mark.parametrize(("memory", "share", "workers"), [(60, 1, 1), (1, 0.5, 1), (1, 1, 2), (None, 1, 1)])
def test_it_says_nothing_where_nothing_is_gained(memory, share, workers):
    found = None if memory is None else GpuMemory(memory * GIB, 80 * GIB)
    assert notes_on_shares(probes(found), share, workers) == []
