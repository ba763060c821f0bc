"""The score store: signals on disk by content, in checksummed blocks that are computed once and never again.

Only blocks need pyarrow, so it is imported with them: listing a store does not wait for it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from raybert.durable import atomic_folder, atomic_path, remove_folder, remove_leftovers
from raybert.errors import DataError
from raybert.files import read_json, write_json
from raybert.links import leads_outside, remove_tree, without_links

if TYPE_CHECKING:
    import pyarrow as pa

_SECONDS = "seconds"
POSITION = "position"
_KEY, _BLOCK = re.compile("[0-9a-f]{20}"), re.compile(r"block-[0-9]{5,}\.parquet")


class SignalGone(DataError):
    """A signal is not in the store, or not any more: computing it again has it back."""


class DamagedBlock(SignalGone):
    """A stored block cannot be read, or its checksum does not fit."""


@dataclass(frozen=True)
class ScoreStore:
    """Signals below one folder, which several sweeps may share.

    `<key>/identity.json` says what the signal is; `<key>/block-00000.parquet` holds the rows of one block with
    page checksums; `<key>/complete.json` says that all blocks are there and what they cost.
    Every file is written atomically and two writers of the same key write the same values.
    """

    folder: Path

    def begin(self, key: str, identity: Mapping[str, Any]) -> None:
        """Say what a key stands for, before its first block.

        Raises:
            DataError: somebody has put a link in its place, through which it would be written elsewhere.
        """
        if leads_outside(self.folder, self.folder / key):
            raise DataError(
                f"{self.folder / key}: must be a folder of the score store, but is a symbolic link; delete it"
            )
        remove_leftovers(self.folder / key, is_shared=True)
        path = self.folder / key / "identity.json"
        if leads_outside(self.folder, path.parent):
            raise DataError(f"{path.parent}: must be a folder of the score store, but is a symbolic link; delete it")
        if not path.exists():
            write_json(path, dict(identity))

    def write_block(
        self,
        key: str,
        block: int,
        positions: np.ndarray,
        arrays: Mapping[str, np.ndarray],
        seconds: float = 0.0,
    ) -> None:
        """Write one block; another process that writes the same one writes the same values.

        Args:
            key: of the signal.
            block: number.
            positions: (b,) pool rows.
            arrays: name -> (b, ...) values.
            seconds: that computing it took.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = {POSITION: pa.array(positions)}
        metadata = {_SECONDS: f"{seconds:.4f}"}
        for name, array in arrays.items():
            columns[name], metadata[f"shape:{name}"] = _to_column(array), json.dumps(array.shape[1:])
        table = pa.table(columns).replace_schema_metadata(metadata)
        with atomic_path(self.block_path(key, block)) as temporary:
            pq.write_table(table, temporary, compression="none", write_page_checksum=True, use_dictionary=False)

    def read_block(self, key: str, block: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Return positions and arrays of one block.

        Raises:
            DamagedBlock: the file is torn, or a page's checksum does not fit.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self.block_path(key, block)
        if leads_outside(self.folder, path):
            raise DamagedBlock(f"{path}: must be a whole score block, but is a symbolic link")
        try:
            table = pq.read_table(path, page_checksum_verification=True, partitioning=None)
            metadata = table.schema.metadata or {}
            arrays = {
                name: _from_column(table[name], json.loads(metadata[f"shape:{name}".encode()]))
                for name in table.column_names
                if name != POSITION
            }
            return table[POSITION].to_numpy(), arrays
        except (OSError, pa.ArrowException, KeyError, ValueError) as error:
            raise DamagedBlock(f"{path}: must be a whole score block, cannot be read: {error}") from None

    def check_blocks(self, key: str, num_blocks: int) -> tuple[list[int], list[DamagedBlock]]:
        """Return the numbers of the blocks to compute, and what was wrong with those that were damaged.

        Damaged blocks are removed, and their signal is no longer complete.
        """
        missing, damaged = [], []
        for block in range(num_blocks):
            path = self.block_path(key, block)
            if path.exists() or path.is_symlink():
                try:
                    self.read_block(key, block)
                    continue
                except DamagedBlock as error:
                    damaged.append(error)
                    path.unlink(missing_ok=True)
            missing.append(block)
        if missing:
            (self.folder / key / "complete.json").unlink(missing_ok=True)
        return missing, damaged

    def finish(self, key: str, num_blocks: int, num_rows: int) -> None:
        """Mark a signal complete, with the compute seconds of its blocks, whoever computed them.

        Raises:
            SignalGone: something of it was deleted while it was computed.
        """
        import pyarrow as pa

        try:
            seconds = sum(self._block_seconds(key, block) for block in range(num_blocks))
        except (OSError, pa.ArrowException) as error:
            raise SignalGone(f"{self.folder / key}: changed while it was computed ({error})") from None
        if not (self.folder / key / "identity.json").exists():
            raise SignalGone(f"{self.folder / key}: changed while it was computed (identity.json is gone)")
        write_json(
            self.folder / key / "complete.json",
            {"num_blocks": num_blocks, "num_rows": num_rows, "seconds": round(seconds, 3)},
        )

    def _block_seconds(self, key: str, block: int) -> float:
        import pyarrow.parquet as pq

        metadata = pq.read_schema(self.block_path(key, block)).metadata or {}
        return float(metadata.get(_SECONDS.encode(), 0.0))

    def completion(self, key: str) -> dict[str, Any] | None:
        """Return `num_blocks`, `num_rows` and `seconds` of a complete signal whose blocks are all there, else None."""
        path = self.folder / key / "complete.json"
        if leads_outside(self.folder, path):
            return None
        try:
            found = read_json(path)
            blocks = range(found["num_blocks"]) if found is not None else ()
            if found is None or not all(self.block_path(key, block).exists() for block in blocks):
                return None
            return {**found, "num_rows": int(found["num_rows"]), "seconds": float(found["seconds"])}
        except (OSError, KeyError, TypeError, ValueError):  # JSON of another kind, or something that is no file
            return None

    def load(self, key: str) -> dict[str, np.ndarray]:
        """Return the arrays of a complete signal in pool order.

        Raises:
            SignalGone: the signal is not complete, or a block is damaged; the command that needs it repairs that.
        """
        record = self.completion(key)
        if record is None:
            raise SignalGone(f"{self.folder / key}: signal is not complete; the same command computes it again")
        arrays: dict[str, np.ndarray] = {}
        for block in range(record["num_blocks"]):
            positions, values = self.read_block(key, block)
            for name, part in values.items():
                if name not in arrays:
                    missing = np.nan if part.dtype.kind in "fO" else 0
                    arrays[name] = np.full((record["num_rows"], *part.shape[1:]), missing, part.dtype)
                arrays[name][positions] = part
        return arrays

    def keep_run(self, key: str, trial_id: str, folder: Path) -> None:
        """Keep what a training run behind a signal measured, without its models, so that no sweep repeats it."""
        target = self.folder / key / "runs" / trial_id
        if (target / "result.json").exists() or leads_outside(self.folder, target):
            return
        without_models = without_links("checkpoint", "dynamics", "epoch_plans", ".*")
        with atomic_folder(target) as fresh:  # in the place of what is left of an older one
            shutil.copytree(folder, fresh, ignore=without_models, dirs_exist_ok=True)

    def kept_run(self, key: str, trial_id: str) -> Path | None:
        """Return the folder that `keep_run` made, if the signal is complete."""
        folder = self.folder / key / "runs" / trial_id
        if self.completion(key) is None or leads_outside(self.folder, folder / "result.json"):
            return None
        return folder if (folder / "result.json").exists() else None

    def forget_run(self, key: str, trial_id: str) -> None:
        """Delete what `keep_run` kept."""
        remove_folder(self.folder / key / "runs" / trial_id)

    def entries(self) -> Iterator[StoreEntry]:
        """Yield what is stored, by key; of a damaged entry what is still known."""
        if not self.folder.is_dir():
            return
        for folder in sorted(self.folder.iterdir()):
            if _is_entry(folder) and not folder.is_symlink():
                yield StoreEntry(folder.name, _identity(folder), _size_bytes(folder), self.completion(folder.name))

    def remove(self, key: str) -> None:
        """Delete a signal; of a link in its place only the link.

        Raises:
            DataError: there is no such key.
        """
        folder = self.folder / key
        if not (folder.is_symlink() or _is_entry(folder)):
            raise DataError(f"{key}: no such signal in {self.folder}")
        remove_tree(folder)

    def block_path(self, key: str, block: int) -> Path:
        """Return the file of one block."""
        return self.folder / key / f"block-{block:05d}.parquet"


@dataclass(frozen=True)
class SignalRef:
    """A complete signal in a store, and what it costs a trial that reads it.

    Attributes:
        store: where it is.
        key: which.
        seconds: what it would cost a trial that had to compute it alone.
        shared_seconds: its part of that when all trials of the sweep that read it pay the same.
        examples_scored: forward passes behind it.
    """

    store: ScoreStore
    key: str
    seconds: float
    shared_seconds: float
    examples_scored: int

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {**vars(self), "store": str(self.store.folder.resolve())}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> SignalRef:
        """Return what `to_json` described."""
        return cls(**{**document, "store": ScoreStore(Path(document["store"]))})


@dataclass(frozen=True)
class StoreEntry:
    """One stored signal: key, what it is, bytes on disk, and its completion record (None: unfinished)."""

    key: str
    identity: dict[str, Any]
    size_bytes: int
    completion: dict[str, Any] | None


def _is_entry(folder: Path) -> bool:
    """Tell whether a folder is that of a signal, whole or damaged; what else lies in a store is left alone."""
    if "scorer" in _identity(folder):
        return True
    try:
        names = os.listdir(folder) if _KEY.fullmatch(folder.name) else []
    except OSError:  # no folder, or one that may not be read
        return False
    return any(name in ("identity.json", "complete.json") or _BLOCK.fullmatch(name) for name in names)


def _identity(folder: Path) -> dict[str, Any]:
    try:
        return read_json(folder / "identity.json") or {}
    except OSError:  # a folder in its place, say
        return {}


def _size_bytes(folder: Path) -> int:
    """Return the size of all files of a folder; what vanishes meanwhile counts nothing."""
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            total += path.stat(follow_symlinks=False).st_size if path.is_file() else 0
    return total


def _to_column(array: np.ndarray) -> pa.Array:
    """Flatten the trailing dimensions of an array into fixed-size lists."""
    import pyarrow as pa

    flat = pa.array(np.ascontiguousarray(array).reshape(-1), pa.large_string() if array.dtype.kind == "O" else None)
    width = int(np.prod(array.shape[1:], dtype=np.int64))
    return flat if array.ndim == 1 else pa.FixedSizeListArray.from_arrays(flat, width)


def _from_column(column: pa.ChunkedArray, shape: list[int]) -> np.ndarray:
    if not shape:
        return np.asarray(column.to_numpy())
    flat = column.combine_chunks().flatten().to_numpy()
    return np.asarray(flat.reshape(len(column), *shape))
