"""A small data set and encoder for sweeps that pretrain, and their data sets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from raybert.config import RaybertConfig, validate_config
from raybert.sweeping.phases.prepare import Prepared, prepare_variants
from raybert.sweeping.plan.grid import Variant, expand_grid

WORDS = ("red", "green", "blue", "one", "two", "three", "north", "south")
SECTION = {"max_length": 24, "batch_size": 8, "learning_rate": 1e-3, "precision": "fp32", "length": {"steps": 6}}


def texts(count: int, seed: int) -> list[str]:
    """Sentences of known words and a number of their own."""
    generator = np.random.default_rng(seed)
    return [f"{' '.join(generator.choice(WORDS, 6))} {seed} {place}" for place in range(count)]


def write_source(folder: Path, held_out_seed: int = 1) -> Path:
    """Write train.csv, validation.csv and test.csv; the last two of texts by another seed."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, count, seed in (("train", 60, 0), ("validation", 20, held_out_seed), ("test", 20, held_out_seed + 100)):
        rows = pd.DataFrame({"text": texts(count, seed), "label": [str(place % 2) for place in range(count)]})
        rows.to_csv(folder / f"{split}.csv", index=False)
    return folder


def config_of(source: Path, encoder: Path, pretrain: object = SECTION, **sections) -> RaybertConfig:
    """Two strategies on that source, four steps each."""
    document = {
        "data": {"source": str(source), "max_length": 16},
        "model": {"encoder": str(encoder)},
        "pretrain": pretrain,
        "train": {"length": {"steps": 4}, "batch_size": 8, "precision": "fp32"},
        "sweep": {"strategies": ["random", "k_center"], "seeds": 1},
    }
    return validate_config({**document, **sections})


def prepared_of(config: RaybertConfig, cache: Path) -> tuple[dict[str, Prepared], tuple[Variant, ...]]:
    """The data sets of all points of the grid, and these."""
    variants = expand_grid(config)
    return prepare_variants(variants, cache), variants
