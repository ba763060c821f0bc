"""The weights of a trained model beside those that its training began with, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from raybert.analysis.plots.style import save_figure
from raybert.analysis.plots.weights import LayerWeights, draw_weights
from raybert.config import load_stored_config
from raybert.evaluation.explain import load_splits_of
from raybert.files import writable_cache
from raybert.models import load_backbone, load_model, resolve_encoder
from raybert.sweeping.folder.best import read_best_id
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.phases.prepare import pool_texts
from raybert.training.monitor.layers import trained_layers

_BINS = 80
_SHOWN = 0.998
"""Share of the weights that histograms reach to: a few are far out."""
_SAMPLED = 100_000


def write_weights_plot(folder: str | Path, place: Path, trial_id: str | None = None) -> Path:
    """Draw what training has done to the weights of a token model of a results folder; return the path.

    Args:
        folder: of a sweep or of `raybert train`.
        place: folder of the picture.
        trial_id: whose model; default: that of `best/`.

    Raises:
        RaybertError: there is no such model, or the encoder that it began with is gone.
    """
    sweep = SweepFolder(Path(folder))
    trial = sweep.trial(trial_id or read_best_id(sweep))
    model = load_model(trial.checkpoints / "best")
    config = load_stored_config(trial.path / "config.yaml").model
    encoder = resolve_encoder(config, pool_texts(load_splits_of(trial)), writable_cache())
    save_figure(draw_weights(compare_weights(model, load_backbone(encoder))), place / "weights.png")
    return place / "weights.png"


@torch.no_grad()
def compare_weights(model: nn.Module, before: nn.Module) -> list[LayerWeights]:
    """Return norms and histograms of each layer of a model, in the order of the forward pass.

    Args:
        model: a trained classifier.
        before: the encoder that its training began with; what it lacks (the head) has no values before.
    """
    after, old = trained_layers(model), trained_layers(before)
    edges = _edges(list(after.values()))
    found = []
    for name, parameters in after.items():
        then = old.get(name, [])
        if [p.shape for p in then] != [p.shape for p in parameters]:
            then = []
        found.append(
            LayerWeights(
                name=name,
                norm=_norm(parameters),
                norm_before=_norm(then) if then else None,
                norm_of_change=_norm([p - q for p, q in zip(parameters, then, strict=True)]) if then else None,
                edges=edges,
                counts=_counts(parameters, edges),
                counts_before=_counts(then, edges) if then else None,
            )
        )
    return found


def _norm(tensors: Sequence[torch.Tensor]) -> float:
    return float(nn.utils.get_total_norm([tensor.double() for tensor in tensors]))


def _matrices(tensors: Sequence[torch.Tensor]) -> list[np.ndarray]:
    """Return the weights without biases and norms, which are few and of another size; all where there are no others."""
    chosen = [tensor for tensor in tensors if tensor.dim() > 1] or tensors
    return [tensor.float().flatten().numpy() for tensor in chosen]


def _counts(tensors: Sequence[torch.Tensor], edges: np.ndarray) -> np.ndarray:
    counts: np.ndarray = np.sum([np.histogram(part, edges)[0] for part in _matrices(tensors)], axis=0)
    return counts


def _edges(layers: Sequence[Sequence[torch.Tensor]]) -> np.ndarray:
    """Return the edges of all histograms: symmetric, as far as nearly all weights of every layer reach."""
    reach = 0.0
    for tensors in layers:
        sizes = np.concatenate([np.abs(part[:: max(1, len(part) // _SAMPLED)]) for part in _matrices(tensors)])
        reach = max(reach, float(np.quantile(sizes, _SHOWN)))
    return np.linspace(-reach or -1.0, reach or 1.0, _BINS + 1)
