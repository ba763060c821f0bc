"""Tables that grow while training runs, survive its end at any moment, and are one parquet file afterwards."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from raybert.durable import atomic_path
from raybert.tables import MONITOR, MONITOR_HISTOGRAMS, MONITOR_SPIKES
from raybert.tables.arrow import arrow_schema

_NEXT_PART = b"raybert.next_part"

MEASUREMENTS, HISTOGRAMS, SPIKES = (arrow_schema(table) for table in (MONITOR, MONITOR_HISTOGRAMS, MONITOR_SPIKES))


class GrowingTable:
    """Rows in parts `monitor/<name>-00000.parquet`, ..., merged to `<name>.parquet` by `merge`.

    Every file is written atomically. The merged file says how many parts it holds, so that parts which a crash left
    behind are not read twice.

    Args:
        folder: of the run.
        name: of the file.
        schema: has a column `step`.
    """

    def __init__(self, folder: Path, name: str, schema: pa.Schema) -> None:
        self.path = folder / f"{name}.parquet"
        self.parts_folder = folder / "monitor"
        self.name, self.schema = name, schema
        self._next_part = max([self._num_merged(), *(number + 1 for number, _ in self._parts())])

    def append(self, rows: pa.Table) -> None:
        """Write a part."""
        if len(rows):
            with atomic_path(self.parts_folder / f"{self.name}-{self._next_part:05d}.parquet") as temporary:
                pq.write_table(rows.cast(self.schema), temporary)
            self._next_part += 1

    def read(self) -> pa.Table:
        """Return all rows, in the order of their steps."""
        num_merged = self._num_merged()
        paths = [self.path] if self.path.exists() else []
        paths += [path for number, path in self._parts() if number >= num_merged]
        tables = [pq.read_table(path).replace_schema_metadata(None) for path in paths]
        return pa.concat_tables([self.schema.empty_table(), *tables])

    def keep_until(self, step: int) -> None:
        """Drop the rows of later steps: training goes on from this one."""
        rows = self.read()
        self._replace(rows.filter(pc.field("step") <= step))

    def merge(self) -> None:
        """Make one file of all parts, if there are any."""
        if self._parts():
            self._replace(self.read())

    def _replace(self, rows: pa.Table) -> None:
        metadata = {_NEXT_PART: str(self._next_part).encode()}
        if len(rows):
            with atomic_path(self.path) as temporary:
                pq.write_table(rows.replace_schema_metadata(metadata), temporary)
        else:
            self.path.unlink(missing_ok=True)
        for _, path in self._parts():
            path.unlink()
        if self.parts_folder.exists() and not any(self.parts_folder.iterdir()):
            self.parts_folder.rmdir()

    def _parts(self) -> list[tuple[int, Path]]:
        parts = self.parts_folder.glob(f"{self.name}-[0-9]*.parquet")
        return sorted((int(path.stem.rsplit("-", 1)[1]), path) for path in parts)

    def _num_merged(self) -> int:
        if not self.path.exists():
            return 0
        return int((pq.read_schema(self.path).metadata or {}).get(_NEXT_PART, b"0"))
