"""The monitor that the training loop calls: what is due at a step, measured without changing it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from raybert.config import MonitorConfig
from raybert.data.examples import ExampleData
from raybert.errors import ConfigError
from raybert.training.monitor.activations import ActivationProbe
from raybert.training.monitor.attention import head_entropies, spread_rows
from raybert.training.monitor.failure import write_nan_report
from raybert.training.monitor.layers import MODEL, encoder_of, trained_layers
from raybert.training.monitor.spikes import SpikeDetector
from raybert.training.monitor.statistics import histogram, norms_by_layer
from raybert.training.monitor.throughput import StepFlops, ThroughputMeter, device_peak
from raybert.training.monitor.writers import Measurement, MonitorLog, Spike
from raybert.training.optimization.precision import Precision


@dataclass(frozen=True)
class MonitoredModel:
    """What a monitor looks at: the model that trains, and the pool it trains on.

    Attributes:
        model: on its device; the module itself, not one wrapped for distribution or compilation.
        data: whose pool the positions are of.
        precision: of training.
        world_size: devices that share a batch.
    """

    model: nn.Module
    data: ExampleData
    precision: Precision
    world_size: int = 1

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    def inputs(self, positions: np.ndarray) -> dict[str, torch.Tensor]:
        """Return the model's inputs of some examples, on the device, without labels."""
        batch = self.data.batch(self.data.train, positions)
        return {name: tensor.to(self.device) for name, tensor in batch.items() if name != "labels"}


class NoMonitor:
    """What the loop calls; this one measures nothing. Steps are counted from 1: of the step that is being done."""

    is_active = False

    def begin(self, step: int, state: dict[str, Any] | None = None) -> None:
        """Go on after `step` steps; what is recorded of later ones is dropped.

        Args:
            step: optimizer steps done; 0: a new run.
            state: as from `state` at that step.
        """

    @contextmanager
    def step(self, step: int, positions: np.ndarray) -> Iterator[None]:
        """Watch the forward and backward passes of a step; a step that is entered again replaces itself.

        Args:
            step: its number.
            positions: this rank's part of the batch.

        Raises:
            ModelError: the model cannot be measured as the configuration asks.
        """
        yield

    def wants_gradients(self, step: int) -> bool:
        """Tell whether `before_update` needs gradients that are not scaled."""
        return False

    def before_update(self, step: int) -> None:
        """Look at complete, unscaled gradients before they are clipped, and at the weights."""

    def after_step(
        self, step: int, batch: np.ndarray, micro_batches: Sequence[np.ndarray], started: float, learning_rate: float
    ) -> None:
        """Look at the new weights, and at the time.

        Args:
            step: its number.
            batch: positions of all ranks.
            micro_batches: positions of this rank's forward passes.
            started: `time.monotonic()` when the step began.
            learning_rate: of the step.
        """

    def evaluated(self, row: Mapping[str, Any]) -> None:
        """Look at the row of an evaluation, after the last step that it is of."""

    def add_losses(self, positions: np.ndarray, losses: np.ndarray, steps: np.ndarray) -> None:
        """Look at the losses of all ranks' examples and the steps they are of, each (m,); later calls have later steps.

        Spikes are recorded. If a loss is not finite, the ids of the first such batch are left in `monitor_nan.json`.
        """

    def state(self) -> dict[str, Any]:
        """Write what is measured so far, and return what `begin` needs: only numbers, strings, lists, dictionaries."""
        return {}

    def close(self) -> None:
        """Write everything, and make one file of each table."""


class Monitor(NoMonitor):
    """Measures what the configuration asks for, at its intervals, into the run's folder.

    Nothing here draws random numbers, touches a gradient or leaves a mode changed, and what is measured stays on the
    device until it is written. Results of training are the same with and without it.

    Args:
        config: the monitor section.
        monitored: model and data.
        folder: of the run.
    """

    is_active = True

    def __init__(self, config: MonitorConfig, monitored: MonitoredModel, folder: Path) -> None:
        self.config, self.monitored = config, monitored
        self.layers = trained_layers(monitored.model)
        self.log = MonitorLog(folder, config.tensorboard)
        self.probe = ActivationProbe(monitored.model) if config.activations else None
        self.spikes = SpikeDetector(config.loss_spikes) if config.loss_spikes else None
        peak = device_peak(monitored.device, monitored.precision) * monitored.world_size
        self.meter = ThroughputMeter(StepFlops.of(monitored.model), peak) if config.throughput else None
        self._before: list[list[torch.Tensor]] | None = None

    @classmethod
    def create(
        cls, config: MonitorConfig, monitored: MonitoredModel, checkpoints: Path | None, rank: int = 0
    ) -> NoMonitor:
        """Return a monitor if anything is asked for, on rank 0.

        Args:
            config: the monitor section.
            monitored: model and data.
            checkpoints: `checkpoint/` in the folder of the run.
            rank: of this worker.

        Raises:
            ConfigError: there is no folder to write to, or the TensorBoard package is missing.
            ModelError: the model cannot be measured as the configuration asks.
        """
        if rank != 0 or not config.is_active:
            return NoMonitor()
        if checkpoints is None:
            raise ConfigError("monitor: needs a folder to write to, this run has none; leave the section out")
        return cls(config, monitored, checkpoints.parent)

    def begin(self, step: int, state: dict[str, Any] | None = None) -> None:
        self.log.begin(step)
        if self.spikes is not None:
            self.spikes = SpikeDetector(self.spikes.factor, (state or {}).get("recent_losses", ()))

    @contextmanager
    def step(self, step: int, positions: np.ndarray) -> Iterator[None]:
        self.log.forget(step)
        if _is_due(self.config.attention_entropy, step) and len(positions):
            self._measure_attention(step, positions)
        if self.probe is None or not _is_due(self.config.activations, step):
            yield
            return
        with self.probe.attached():
            yield
        for quantity, values in self.probe.read().items():
            self._add(step, quantity, tuple(self.probe.layers), values)

    def wants_gradients(self, step: int) -> bool:
        return _is_due(self.config.gradient_norm, step)

    def before_update(self, step: int) -> None:
        if _is_due(self.config.gradient_norm, step):
            gradients = {
                name: [p.grad for p in parameters if p.grad is not None] for name, parameters in self.layers.items()
            }
            self._add_norms(step, "gradient_norm", {name: parts for name, parts in gradients.items() if parts})
        if _is_due(self.config.weights, step):
            self._before = [[p.detach().clone() for p in parameters] for parameters in self.layers.values()]

    def after_step(
        self, step: int, batch: np.ndarray, micro_batches: Sequence[np.ndarray], started: float, learning_rate: float
    ) -> None:
        self.log.add_events(step, {"train/learning_rate": learning_rate})
        if self.meter is not None:
            self._measure_time(step, batch, micro_batches, started)
        if self._before is not None:
            self._measure_update(step, self._before)
            self._before = None
        if _is_due(self.config.weight_histograms, step):
            for name, parameters in self.layers.items():
                matrices = [p for p in parameters if p.dim() > 1]
                if matrices:
                    self.log.add_histogram(step, name, histogram(matrices))
        if self.log.is_full:
            self.log.flush()

    def evaluated(self, row: Mapping[str, Any]) -> None:
        values = {
            f"validation/{name.removeprefix('validation_')}": value
            for name, value in row.items()
            if name.startswith("validation_") and value is not None
        }
        means = {"train/mean_loss": row["train_loss"], "train/accuracy": row["train_accuracy"]}
        self.log.add_events(row["step"], {**values, **means})

    def add_losses(self, positions: np.ndarray, losses: np.ndarray, steps: np.ndarray) -> None:
        spikes = []
        for step in np.unique(steps):
            of_step = steps == step
            ids = self.monitored.data.example_ids[positions[of_step]]
            loss = float(losses[of_step].mean(dtype=np.float64))
            self.log.add_events(int(step), {"train/loss": loss})
            if not np.isfinite(loss):
                write_nan_report(self.log.folder, int(step), ids, losses[of_step])
                break
            limit = None if self.spikes is None else self.spikes.add(loss)
            if limit is not None:
                spikes.append(Spike(int(step), loss, limit, tuple(str(name) for name in ids)))
        self.log.add_spikes(spikes)

    def state(self) -> dict[str, Any]:
        self.log.flush()
        return {} if self.spikes is None else {"recent_losses": list(self.spikes.recent)}

    def close(self) -> None:
        self.log.close()

    def _add(self, step: int, quantity: str, layers: tuple[str, ...], values: torch.Tensor) -> None:
        self.log.add(Measurement(step, quantity, layers, values))

    def _add_norms(self, step: int, quantity: str, layers: dict[str, list[torch.Tensor]]) -> None:
        if layers:
            self._add(step, quantity, (MODEL, *layers), norms_by_layer(list(layers.values())))

    def _measure_attention(self, step: int, positions: np.ndarray) -> None:
        backbone = encoder_of(self.monitored.model, "monitor.attention_entropy")
        entropies = head_entropies(backbone, self.monitored.inputs(positions[spread_rows(len(positions))]))
        layers = tuple(f"layer.{i}" for i in range(len(entropies)))
        self._add(step, "attention_entropy", layers, entropies)

    @torch.no_grad()
    def _measure_update(self, step: int, before: list[list[torch.Tensor]]) -> None:
        names = (MODEL, *self.layers)
        weights = norms_by_layer(before)
        for old, parameters in zip(before, self.layers.values(), strict=True):
            for tensor, parameter in zip(old, parameters, strict=True):
                tensor.sub_(parameter)
        updates = norms_by_layer(before)
        self._add(step, "weight_norm", names, weights)
        self._add(step, "update_norm", names, updates)
        self._add(step, "update_ratio", names, updates / weights)

    def _measure_time(self, step: int, batch: np.ndarray, micro_batches: Sequence[np.ndarray], started: float) -> None:
        assert self.meter is not None
        is_due = _is_due(self.config.throughput, step)
        if is_due and self.monitored.device.type != "cpu":
            torch.accelerator.synchronize(self.monitored.device)
        lengths = self.monitored.data.train.lengths
        self.meter.add(lengths[batch], [lengths[part] for part in micro_batches], time.monotonic() - started)
        if is_due:
            for quantity, value in self.meter.read().items():
                self._add(step, quantity, (MODEL,), torch.tensor([value], dtype=torch.float64))


def _is_due(interval: int | None, step: int) -> bool:
    return interval is not None and step % interval == 0
