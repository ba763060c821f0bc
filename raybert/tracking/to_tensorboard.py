"""TensorBoard: a folder of events a trial, with the scalars that `monitor.tensorboard` writes at evaluations."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from raybert.config.packages import no_tracker
from raybert.config.track import TensorboardConfig
from raybert.errors import ConfigError
from raybert.tracking.book import FOLDER
from raybert.tracking.tracker import Artifacts, Row, Scalar, TrackedSweep, TrackedTrial

try:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
    from tensorboard.plugins.text import metadata
    from tensorboard.summary.writer.event_file_writer import EventFileWriter
except ImportError:
    raise ConfigError(no_tracker("tensorboard")) from None

_SWEEP = "sweep"


class TensorboardTracker:
    """Writes events; the id of a run is its folder.

    Args:
        folder: of the events.
        is_shared: whether those of other sweeps may be there, too.
    """

    is_live = True

    def __init__(self, folder: Path, *, is_shared: bool) -> None:
        self.folder = folder
        self._is_shared = is_shared
        self._writers: dict[str, _Writer] = {}
        self._steps: dict[str, int] = {}
        """Last one of each run, where TensorBoard shows how it ended: the latest is what it has become."""

    def open_sweep(self, sweep: TrackedSweep, run: str | None) -> str:
        if self._is_shared:
            self.folder = self.folder / _file_name(sweep.group)
        return _SWEEP

    def begin_trial(self, trial: TrackedTrial, run: str | None) -> str:
        name = run if run is not None and (self.folder / run).is_dir() else _file_name(trial.name)
        if run != name:
            self._writer(name).add_text("parameters", _table(trial.parameters))
        return name

    def log(self, run: str, rows: Sequence[Row]) -> None:
        writer = self._writer(run)
        for step, row in rows:
            for name, value in row.items():
                writer.add_scalar(name, value, step)
        writer.flush()
        self._steps[run] = max(step for step, _ in rows)

    def end_trial(self, run: str, status: str, summary: Mapping[str, float]) -> None:
        writer = self._writers.pop(run, None) or self._new(run)
        for name, value in summary.items():
            writer.add_scalar(name, value, 0)
        writer.add_text("status", status, self._steps.get(run, 0))
        writer.close()

    def finish(self, artifacts: Artifacts) -> str:
        """Write a line about where tables and plots are: TensorBoard takes no files."""
        writer = self._new(_SWEEP)
        ended = (value for name, value in artifacts.summary.items() if name.endswith(("/complete", "/failed")))
        step = int(sum(ended))
        for name, value in artifacts.summary.items():
            writer.add_scalar(name, value, step)
        if "claims.txt" in artifacts.tables:
            writer.add_text("claims", artifacts.tables["claims.txt"].read_text(encoding="utf-8"), step)
        writer.close()
        return _SWEEP

    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def _writer(self, run: str) -> _Writer:
        if run not in self._writers:
            self._writers[run] = self._new(run)
        return self._writers[run]

    def _new(self, run: str) -> _Writer:
        return _Writer(self.folder / run)


class _Writer:
    """Scalars and texts of one run, by TensorBoard's own writer of events: that of torch would load torch."""

    def __init__(self, folder: Path) -> None:
        self._events = EventFileWriter(str(folder))
        self.flush, self.close = self._events.flush, self._events.close

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self._add(Summary.Value(tag=name, simple_value=value), step)

    def add_text(self, name: str, text: str, step: int = 0) -> None:
        found = SummaryMetadata(plugin_data={"plugin_name": metadata.PLUGIN_NAME})
        shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
        tensor = TensorProto(dtype="DT_STRING", tensor_shape=shape, string_val=[text.encode()])
        self._add(Summary.Value(tag=f"{name}/text_summary", metadata=found, tensor=tensor), step)

    def _add(self, value: Any, step: int) -> None:
        self._events.add_event(Event(wall_time=time.time(), step=step, summary=Summary(value=[value])))


def make(config: TensorboardConfig, folder: Path) -> TensorboardTracker:
    """Return the tracker of a section of the sweep file."""
    if config.folder is None:
        return TensorboardTracker(folder / FOLDER / "tensorboard", is_shared=False)
    return TensorboardTracker(Path(config.folder), is_shared=True)


def _table(parameters: Mapping[str, Scalar]) -> str:
    lines = [f"| {name} | {str(value).replace('|', ' ')} |" for name, value in parameters.items()]
    return "\n".join(["| parameter | value |", "|---|---|", *lines])


def _file_name(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "._-+" else "_" for letter in name)
