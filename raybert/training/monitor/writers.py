"""Where measurements go: kept on the device until `flush`, then into tables and TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from raybert.config.packages import NO_TENSORBOARD
from raybert.errors import ConfigError
from raybert.tables import MONITOR, MONITOR_HISTOGRAMS, MONITOR_SPIKES
from raybert.training.monitor.statistics import Histogram
from raybert.training.monitor.tables import HISTOGRAMS, MEASUREMENTS, SPIKES, GrowingTable

_MOST_PENDING = 512


@dataclass(frozen=True)
class Measurement:
    """Values of one quantity at one step.

    Attributes:
        step: optimizer steps done, this one included.
        quantity: e.g. `gradient_norm`.
        layers: of every value, `model` where it is of the whole.
        values: (layers,) or (layers, heads), on any device.
    """

    step: int
    quantity: str
    layers: tuple[str, ...]
    values: torch.Tensor

    def table(self) -> pa.Table:
        """Return its rows; waits for the device."""
        values = self.values.detach().cpu().double().numpy()
        heads: list[int | None] = [None] if values.ndim == 1 else list(range(values.shape[1]))
        return pa.table(
            {
                "step": np.full(values.size, self.step),
                "quantity": [self.quantity] * values.size,
                "layer": np.repeat(self.layers, len(heads)),
                "head": pa.array(heads * len(self.layers), pa.int32()),
                "value": values.ravel(),
            }
        ).cast(MEASUREMENTS)


@dataclass(frozen=True)
class Spike:
    """A step whose mean loss is above the limit, and its examples."""

    step: int
    loss: float
    limit: float
    example_ids: tuple[str, ...]


class MonitorLog:
    """The tables of a run, and its TensorBoard events.

    Args:
        folder: of the run.
        tensorboard: whether to write events, to `tensorboard/` below it.
    """

    def __init__(self, folder: Path, tensorboard: bool) -> None:
        self.folder = folder
        self.measurements = GrowingTable(folder, MONITOR.name, MEASUREMENTS)
        self.histograms = GrowingTable(folder, MONITOR_HISTOGRAMS.name, HISTOGRAMS)
        self.spikes = GrowingTable(folder, MONITOR_SPIKES.name, SPIKES)
        self._pending: list[Measurement] = []
        self._pending_histograms: list[tuple[int, str, Histogram]] = []
        self._writer_class = _summary_writer() if tensorboard else None
        self._events: Any = None

    def begin(self, step: int) -> None:
        """Drop what is known of later steps, and open the event file."""
        for table in (self.measurements, self.histograms, self.spikes):
            table.keep_until(step)
        if self._writer_class is not None:
            self._events = self._writer_class(str(self.folder / "tensorboard"), purge_step=step + 1)

    def forget(self, step: int) -> None:
        """Drop what is pending of a step that is repeated."""
        self._pending = [item for item in self._pending if item.step != step]
        self._pending_histograms = [item for item in self._pending_histograms if item[0] != step]

    def add(self, measurement: Measurement) -> None:
        """Take values, without waiting for the device."""
        self._pending.append(measurement)

    def add_histogram(self, step: int, layer: str, histogram: Histogram) -> None:
        """Take a histogram, without waiting for the device."""
        self._pending_histograms.append((step, layer, histogram))

    def add_spikes(self, spikes: Sequence[Spike]) -> None:
        """Write spikes at once: they are rare."""
        if spikes:
            self.spikes.append(pa.Table.from_pylist([vars(spike) for spike in spikes], SPIKES))
        if self._events is not None:
            for spike in spikes:
                self._events.add_scalar("loss_spike/model", spike.loss, spike.step)

    def add_events(self, step: int, values: Mapping[str, float]) -> None:
        """Write numbers to TensorBoard alone, where it is asked for: the tables of the run have them already.

        Args:
            step: optimizer steps done.
            values: by tag.
        """
        if self._events is not None:
            for tag, value in values.items():
                self._events.add_scalar(tag, value, step)

    @property
    def is_full(self) -> bool:
        """Whether so much is pending that it should be written."""
        return len(self._pending) + len(self._pending_histograms) >= _MOST_PENDING

    def flush(self) -> None:
        """Write what is pending, a part per table."""
        measurements, self._pending = self._pending, []
        histograms, self._pending_histograms = self._pending_histograms, []
        if measurements:
            rows = pa.concat_tables([item.table() for item in measurements])
            self.measurements.append(rows)
            if self._events is not None:
                self._add_scalars(rows)
        if histograms:
            self.histograms.append(
                pa.Table.from_pylist([self._histogram_row(*item) for item in histograms], HISTOGRAMS)
            )
        if self._events is not None:
            self._events.flush()

    def close(self) -> None:
        """Write what is pending and make one file of each table."""
        self.flush()
        for table in (self.measurements, self.histograms, self.spikes):
            table.merge()
        if self._events is not None:
            self._events.close()
            self._events = None

    def _add_scalars(self, rows: pa.Table) -> None:
        for row in rows.to_pylist():
            head = "" if row["head"] is None else f"/head.{row['head']}"
            self._events.add_scalar(f"{row['quantity']}/{row['layer']}{head}", row["value"], row["step"])

    def _histogram_row(self, step: int, layer: str, histogram: Histogram) -> dict[str, Any]:
        counts = histogram.counts.cpu().numpy()
        low, high = float(histogram.low), float(histogram.high)
        edges = np.linspace(low, high, len(counts) + 1)
        if self._events is not None:
            total, squares = float(histogram.total), float(histogram.total_squares)
            self._events.add_histogram_raw(
                f"weights/{layer}",
                low,
                high,
                int(counts.sum()),
                total,
                squares,
                edges[1:].tolist(),
                counts.tolist(),
                step,
            )
        return {"step": step, "layer": layer, "edges": edges.tolist(), "counts": counts.tolist()}


def _summary_writer() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ConfigError(NO_TENSORBOARD) from None
    return SummaryWriter
