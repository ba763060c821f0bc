"""What only a GPU can show of the training loop; `tests/gpu/check.py` runs these, and measures."""

import itertools

import numpy as np
import pytest
import torch

from raybert.models.unpadded import attend, nested
from raybert.training.transfer import to_device

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
STARTS = [0, 40, 43, 143, 144]


def reference(rows, reach):
    """Attention of every text for itself, in float64 on the CPU."""
    parts = [each[0].transpose(0, 1).double().cpu() for each in rows]  # (total, heads, d)
    done = []
    for start, end in itertools.pairwise(STARTS):
        q, k, v = (part[start:end].transpose(0, 1) for part in parts)
        scores = q @ k.transpose(1, 2) / q.shape[-1] ** 0.5
        if reach is not None:
            columns = torch.arange(end - start)
            scores = scores.masked_fill((columns[:, None] - columns).abs() > reach, -torch.inf)
        done.append((scores.softmax(-1) @ v).transpose(0, 1))
    return torch.cat(done)


def rows_of(dtype):
    generator = torch.Generator("cuda").manual_seed(0)
    shape = (1, 4, STARTS[-1], 64)
    return [torch.randn(shape, generator=generator, device="cuda").to(dtype).requires_grad_() for _ in range(3)]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("reach", [None, 16])
def test_fused_kernels_compute_the_attention_of_every_text(dtype, reach):
    if dtype == torch.bfloat16 and torch.cuda.get_device_capability() < (8, 0):
        pytest.skip("bf16 needs Ampere")
    rows = rows_of(dtype)
    starts = torch.tensor(STARTS, dtype=torch.int32, device="cuda")
    window = None if reach is None else reach + 1
    out, _ = attend(torch.nn.Identity(), *rows, None, cu_seq_lens_q=starts, max_length_q=100, sliding_window=window)
    torch.testing.assert_close(out[0].double().cpu(), reference(rows, reach), atol=0.02, rtol=0.02)
    out.sum().backward()
    assert all(torch.isfinite(each.grad).all() for each in rows)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_nested_tensors_compute_it_too_and_draw_dropout(dtype):
    rows = rows_of(dtype)
    starts = torch.tensor(STARTS, dtype=torch.int32, device="cuda")
    flat = [each[0].transpose(0, 1) for each in rows]
    plain = nested(*flat, starts, 100, 0.0, None)
    torch.testing.assert_close(plain.double().cpu(), reference(rows, None), atol=0.02, rtol=0.02)
    means = torch.stack([nested(*flat, starts, 100, 0.1, None).float() for _ in range(200)]).mean(0)
    assert (means - plain.float()).abs().mean() < 0.05  # dropout changes a draw, not the expectation
    nested(*flat, starts, 100, 0.1, None).sum().backward()
    assert all(torch.isfinite(each.grad).all() for each in rows)


def test_batches_arrive_whole_and_their_copies_do_not_wait_for_the_gpu():
    torch.randn(1, device="cuda")
    began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    large = torch.randn(8192, 8192, device="cuda")
    batches = [{"input_ids": torch.full((512, 512), number)} for number in range(20)]
    [to_device(batch, torch.device("cuda")) for batch in batches]  # page-locked memory is there from now on
    torch.cuda.synchronize()
    began.record()
    for _ in range(40):
        large @ large
    copies = [to_device(batch, torch.device("cuda")) for batch in batches]
    is_busy = not torch.cuda.current_stream().query()
    ended.record()
    torch.cuda.synchronize()
    assert is_busy
    assert [int(copy["input_ids"].float().mean()) for copy in copies] == list(range(20))
    np.testing.assert_array_less(1.0, began.elapsed_time(ended))
