"""Check raybert on one GPU, in at most 8 minutes, without Ray and without a network; or try the check out on a CPU.

    python -m tests.gpu.check [--output FILE] [--total-seconds 460] [--only SECTION ...] [--tiny]

Texts are synthetic, of the lengths of real ones, and weights random: BERT-base and ModernBERT-base by their configurations.
Needs torch, transformers, accelerate, pydantic, pyarrow, pandas, scikit-learn, pytest, hypothesis, filelock. Every section
runs in a process of its own with a budget; the file is written after every section, a section's part after every item, so
that a time limit loses nothing. The exit code is 1 if something failed, and 0 otherwise, cut or not.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # deterministic products, for exact resume
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch

from tests.gpu import correctness, speed
from tests.gpu.material import Scale
from tests.gpu.sections import Section, in_a_process, measure, run_all, write_json

SECTIONS = (
    Section("environment", 25, correctness.environment),
    Section("tests", 70, correctness.gpu_tests),
    Section("throughput", 130, speed.throughput),
    Section("precision", 45, correctness.precision),
    Section("resume", 45, correctness.resume),
    Section("memory", 40, correctness.memory),
    Section("selection", 45, correctness.selection),
    Section("pretraining", 80, speed.pretraining),
    Section("variants", 110, speed.variants),
)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("gpu_check.json"))
    parser.add_argument("--total-seconds", type=float, default=460)
    parser.add_argument("--only", nargs="+", choices=[section.name for section in SECTIONS])
    parser.add_argument("--tiny", action="store_true", help="tiny models and few steps: to try the check out")
    parser.add_argument("--here", action="store_true", help="all sections in this process")
    for hidden in ("--section", "--seconds", "--part"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="raybert-gpu-check-"))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu" and not given.tiny:
        parser.error("torch sees no GPU; --tiny tries the check out on the CPU")
    scale = Scale(device, given.tiny, folder)
    if given.tiny:
        torch.set_num_threads(1)  # threads of tiny products wait for each other
    sections = [section for section in SECTIONS if given.only is None or section.name in given.only]
    if given.section:
        section = next(each for each in SECTIONS if each.name == given.section)
        measure(section, scale, float(given.seconds), partial(write_json, Path(given.part)))
        return 0
    facts: dict[str, Any] = {
        "check": "raybert on one GPU",
        "device": str(device),
        "tiny": given.tiny,
        "logs": str(folder),
    }
    options = ["--tiny"] if given.tiny else []

    def run_one(section: Section, seconds: float) -> dict[str, Any]:
        if given.here:
            return measure(section, scale, seconds, partial(write_json, folder / f"{section.name}.json"))
        return in_a_process(section, seconds, options, folder)

    report = run_all(sections, given.total_seconds, given.output, run_one, facts)
    for kind in ("failed", "cut"):
        print(f"{kind}: {', '.join(report[kind]) or 'nothing'}")
    print(f"{report['seconds']:.0f} s; {given.output}")
    return 1 if report["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
