"""What must hold on a GPU: the tests, number formats beside fp32, memory, exact resume, selection and scoring."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from raybert.models.unpadded import read_unpadded
from raybert.selection.geometry.k_center import k_center
from raybert.training import Inference
from raybert.training.memory.micro_batch import largest_fitting
from raybert.training.monitor.throughput import peak_flops
from tests.gpu.material import Scale, classifier, scratch, texts, train
from tests.gpu.sections import Item

ROOT = Path(__file__).resolve().parents[2]


def environment(scale: Scale) -> Sequence[Item]:
    """Versions, the device, and how fast matrix products are on it."""
    formats = ("bf16", "fp16", "tf32", "fp32") if scale.on_gpu else ("fp32",)
    return [
        ("versions", partial(_versions, scale)),
        *((f"matmul {name}", partial(matmul_flops, scale, name)) for name in formats),
    ]


def _versions(scale: Scale) -> dict[str, Any]:
    import transformers

    found: dict[str, Any] = {"python": sys.version.split()[0], "torch": torch.__version__}
    found |= {"transformers": transformers.__version__, "cores": os.cpu_count()}
    if scale.on_gpu:
        properties = torch.cuda.get_device_properties(scale.device)
        name = properties.name
        known = {kind: peak_flops(name, kind) / 1e12 for kind in ("bf16", "fp16", "tf32", "fp32")}
        found |= {"gpu": name, "memory_gib": properties.total_memory / 2**30, "cuda": torch.version.cuda}
        found |= {"capability": torch.cuda.get_device_capability(scale.device), "peak_tflops_by_table": known}
    return found


def matmul_flops(scale: Scale, name: str) -> dict[str, float]:
    """Return the TFLOP/s of square matrix products in a format: what of the peak can be had at all."""
    size = 256 if scale.is_tiny else 8192
    kind = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(name, torch.float32)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if name == "tf32" else "highest")
    try:
        left, right = (torch.randn(size, size, device=scale.device).to(kind) for _ in range(2))
        for _ in range(3):
            left @ right
        scale.sync()
        began, count = time.monotonic(), 2 if scale.is_tiny else 20
        for _ in range(count):
            left @ right
        scale.sync()
        seconds = (time.monotonic() - began) / count
    finally:
        torch.set_float32_matmul_precision(before)
    return {"tflops": 2 * size**3 / seconds / 1e12, "size": size}


def gpu_tests(scale: Scale) -> Sequence[Item]:
    """Every test that is marked `gpu`; those that need Ray or a package that is not here say so by a skip."""
    marked = sorted(
        path.relative_to(ROOT)
        for path in (ROOT / "tests").rglob("test_*.py")
        if "pytest.mark.gpu" in path.read_text(encoding="utf-8") and path.parent != ROOT / "tests" / "gpu"
    )
    return [(str(path), partial(_run_tests, path)) for path in (Path("tests/gpu/test_gpu.py"), *marked)]


def _run_tests(path: Path) -> dict[str, Any]:
    if "raybert.sweeping" in (ROOT / path).read_text(encoding="utf-8") and not _has_ray():
        return {"skipped": "needs Ray, which is not installed here"}
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", "-rs", str(path)]
    command += ["-o", "addopts=--strict-markers"]  # the usual ones need a plugin
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    said = done.stdout[-3000:]
    assert done.returncode in (0, 5), said + done.stderr[-1000:]
    counts = {kind: int(number) for number, kind in re.findall(r"(\d+) (passed|failed|skipped)", said)}
    return {**counts, "skips": re.findall(r"^SKIPPED.*$", said, re.MULTILINE)}


def _has_ray() -> bool:
    from importlib.util import find_spec

    return find_spec("ray") is not None


def precision(scale: Scale) -> Sequence[Item]:
    """Each format beside fp32: the same weights, batches and steps, without dropout."""
    names = ("tf32", "bf16", "fp16") if scale.on_gpu else ("bf16",)
    reference: dict[str, Any] = {}
    kinds = ("bert", "modernbert")
    return [(f"{kind} {name}", partial(_beside_fp32, scale, kind, name, reference)) for kind in kinds for name in names]


def _trained(scale: Scale, kind: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return class probabilities of untrained weights, and the losses of training, example by example."""
    steps = scale.steps(60)
    data = texts(scale, steps * scale.batch_size, 128)
    model = classifier(scale, kind, dropout=False)
    probs = Inference(model, data, name).probs(data.train, np.arange(2 * scale.batch_size))
    losses = train(scale, model, data, steps, precision=name).train_losses
    return probs, losses


def _beside_fp32(scale: Scale, kind: str, name: str, reference: dict[str, Any]) -> dict[str, float]:
    if kind not in reference:
        reference[kind] = _trained(scale, kind, "fp32")
    probs, losses = _trained(scale, kind, name)
    plain_probs, plain_losses = reference[kind]
    found = {
        "most_change_of_a_probability": float(np.abs(probs - plain_probs).max()),
        "mean_change_of_a_loss": float(np.abs(losses - plain_losses).mean()),
        "mean_loss": float(losses.mean()),
        "mean_loss_fp32": float(plain_losses.mean()),
    }
    # A bf16 has 8 bits of precision, tf32 and fp16 11: probabilities of some .25 from 12 or 22 layers.
    allowed = 0.02 if name == "bf16" else 0.005
    assert found["most_change_of_a_probability"] < allowed, found
    assert abs(found["mean_loss"] - found["mean_loss_fp32"]) < 0.05, found
    return found


def memory(scale: Scale) -> Sequence[Item]:
    """Micro-batches that fit: the finder on real memory, and what happens where it runs out in the middle."""
    if not scale.on_gpu:
        return [("finder on the CPU", partial(_finder_of_a_limit, scale))]
    return [
        ("finder at 8 GiB", partial(_find, scale, 8.0)),
        ("memory that runs out at a step", partial(_runs_out, scale, 8.0)),
    ]


def _finder_of_a_limit(scale: Scale) -> dict[str, int]:
    data = texts(scale, 8, 128)
    result = train(scale, classifier(scale, "bert"), data, 2, micro_batch_size="auto")
    assert result.micro_batch_size == scale.batch_size
    return {"size": result.micro_batch_size, "of_a_limit_of_13": largest_fitting(lambda size: size <= 13, 64)}


def _limited(scale: Scale, gib: float, batch_size: int, size: Any) -> tuple[Any, float]:
    """Train two steps with so much memory, of texts that are all long; return the result and the peak in GiB."""
    total = torch.cuda.get_device_properties(scale.device).total_memory / 2**30
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(scale.device)
    torch.cuda.set_per_process_memory_fraction(min(1.0, gib / total), scale.device)
    try:
        data = texts(scale, 2 * batch_size, 512)
        model = classifier(scale, "bert")
        result = train(scale, model, data, 2, batch_size=batch_size, micro_batch_size=size)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, scale.device)
    return result, torch.cuda.max_memory_reserved(scale.device) / 2**30


def _find(scale: Scale, gib: float) -> dict[str, Any]:
    os.environ["RAYBERT_CACHE"] = str(scale.output / "micro_batches")  # nothing that was found before counts
    result, peak = _limited(scale, gib, 512, "auto")
    size = result.micro_batch_size
    larger, _ = _limited(scale, gib, 512, min(512, int(size * 1.3) + 1))
    found = {"gib": gib, "size": size, "peak_gib": peak, "halved_with_30_percent_more": larger.notes}
    assert 1 <= size < 512, found
    assert not result.notes, f"what the finder found ran out of memory: {result.notes}"
    assert larger.notes, f"a third more fits, too: {found}"
    return found


def _runs_out(scale: Scale, gib: float) -> dict[str, Any]:
    result, peak = _limited(scale, gib, 512, 512)
    assert result.optimizer_steps == 2
    assert result.notes, "512 texts of up to 512 pieces fit into 8 GiB?"
    return {"notes": result.notes, "peak_gib": peak}


def resume(scale: Scale) -> Sequence[Item]:
    """A run that was interrupted ends as one that was not."""
    items = [("deterministic kernels", partial(_interrupted, scale, True))]
    if scale.on_gpu:
        items.append(("ordinary kernels", partial(_interrupted, scale, False)))
    return items


def _interrupted(scale: Scale, deterministic: bool) -> dict[str, Any]:
    steps = scale.steps(20)
    data = texts(scale, steps * scale.batch_size // 2, 128)

    def weights(*stops: int | None) -> tuple[torch.Tensor, np.ndarray]:
        with scratch() as folder:
            for stop in stops:
                model = classifier(scale, "bert")
                result = train(scale, model, data, steps, folder=Path(folder), stop_after=stop)
                assert result.stopped == (stop is not None)
        return torch.cat([p.detach().flatten().cpu() for p in model.parameters()]), result.train_losses

    torch.use_deterministic_algorithms(deterministic)
    try:
        plain, losses = weights(None)
        again, _ = weights(None)
        resumed, resumed_losses = weights(steps // 2, None)
    finally:
        torch.use_deterministic_algorithms(False)
    found = {
        "most_change_of_a_weight_from_run_to_run": float((again - plain).abs().max()),
        "most_change_of_a_weight_by_resuming": float((resumed - plain).abs().max()),
        "most_change_of_a_loss_by_resuming": float(np.nanmax(np.abs(resumed_losses - losses))),
    }
    if deterministic:
        assert found["most_change_of_a_weight_from_run_to_run"] == 0, found
        assert found["most_change_of_a_weight_by_resuming"] == 0, found
    return found


def selection(scale: Scale) -> Sequence[Item]:
    """k-center and scoring on the device beside the CPU."""
    return [
        ("k-center", partial(_k_center, scale)),
        *((f"scores of {kind}", partial(_scores, scale, kind)) for kind in ("bert", "modernbert")),
    ]


def _k_center(scale: Scale) -> dict[str, float]:
    count, budget = (300, 30) if scale.is_tiny else (100_000, 2000)
    points = np.random.default_rng(0).standard_normal((count, 32 if scale.is_tiny else 384)).astype(np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    device = str(scale.device) if scale.on_gpu else None
    k_center(points[:200], 20, device=device)
    began = time.monotonic()
    chosen, distances = k_center(points, budget, device=device)
    seconds = time.monotonic() - began
    # The farthest in float64, for the first choices; later ones are tested by tests/selection/geometry.
    nearest = np.full(count, np.inf)
    for number, (position, distance) in enumerate(zip(chosen[:30], distances[:30], strict=True)):
        if number:
            assert nearest[position] >= nearest.max() - 1e-6
            assert abs(distance - nearest[position]) < 1e-5
        gap = np.linalg.norm(points.astype(np.float64) - points[position].astype(np.float64), axis=1)
        nearest = np.minimum(nearest, gap)
    return {"points": count, "budget": budget, "seconds": seconds, "radius": float(distances[-1])}


def _scores(scale: Scale, kind: str) -> dict[str, float]:
    data = texts(scale, 64 if scale.is_tiny else 8192, 128)
    model = classifier(scale, kind).eval()
    some = np.arange(0, len(data.train), max(1, len(data.train) // 48))
    found: dict[str, float] = {}
    for attention in ("sdpa", "unpadded"):
        if attention == "unpadded":
            read_unpadded(model)
        inference = Inference(model, data, scale.half)
        inference.embeddings(data.train, some)
        scale.sync()
        began = time.monotonic()
        embeddings = inference.embeddings(data.train)
        found[f"rows_per_second_{attention}"] = len(data.train) / (time.monotonic() - began)
        found[f"probs_{attention}"] = float(inference.probs(data.train, some)[0, 0])
        if attention == "sdpa":
            plain, probs = embeddings[some], inference.probs(data.train, some)
        found[f"least_cosine_to_sdpa_{attention}"] = float((embeddings[some] * plain).sum(1).min())
        change = np.abs(inference.probs(data.train, some) - probs).max()
        assert change < 0.02, f"{attention} changes probabilities by {change}"
    assert min(value for name, value in found.items() if name.startswith("least_cosine")) > 0.999, found
    same = classifier(Scale(torch.device("cpu"), scale.is_tiny, scale.output), kind).eval()
    same.load_state_dict(model.state_dict())
    on_cpu = Inference(same, data, "fp32")
    found["most_change_of_a_probability_to_the_cpu"] = float(np.abs(on_cpu.probs(data.train, some) - probs).max())
    assert found["most_change_of_a_probability_to_the_cpu"] < 0.02, found
    return found
