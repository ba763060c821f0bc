"""A folder of an object store: whole objects are put, read, listed and deleted; what fails for a moment is tried again.

pyarrow completes an upload when its stream is closed, also after an error. So what is small is put as a whole, and who
needs to be sure that what is large has arrived compares sizes in a listing, before the mark that says so is written.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import parse_qs, urlsplit

from raybert.durable import atomic_path
from raybert.errors import StorageAway, StorageError
from raybert.plain import hide

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

Result = TypeVar("Result")

AT_ONCE = 32 * 2**20
"""Bytes of a file that is put as one piece; a larger one is read and sent part by part."""
_PIECE = 2**20
"""Bytes that are read at a time."""
TRIES = 5
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 8.0
_CONNECT_SECONDS, _REQUEST_SECONDS = 5.0, 60.0
_FOR_GOOD = {
    "NO_SUCH_BUCKET": "the bucket does not exist; make it",
    "ACCESS_DENIED": "access is denied; the credentials of the environment need the rights to list, read, write and "
    "delete there",
    "INVALID_ACCESS_KEY_ID": "the store does not know the access key of the environment",
    "SIGNATURE_DOES_NOT_MATCH": "the secret key of the environment is not that of its access key",
    "INVALID_SIGNATURE": "the secret key of the environment is not that of its access key",
    "INVALID_CLIENT_TOKEN_ID": "the store does not know the token of the environment",
    "EXPIRED_TOKEN": "the token of the environment has expired",
    "MISSING_AUTHENTICATION_TOKEN": "there are no credentials in the environment",
    "PERMANENT_REDIRECT": "the bucket is in another region; add ?region=NAME to the URL",
}
"""What no further try changes: S3's word -> what to do about it."""


@dataclass(frozen=True)
class Found:
    """An object: its size in bytes, and when it was written, in seconds since 1970 by the clock of the store."""

    size_bytes: int
    written: float


class Objects(Protocol):
    """Where files go under names, as whole ones: an object store, or what answers as one."""

    @property
    def url(self) -> str:
        """What messages call it."""

    def put_file(self, name: str, path: Path) -> int:
        """Write an object with the content of a file, and return its size."""

    def get_file(self, name: str, path: Path) -> bool:
        """Write a file with the content of an object, and return whether there is one."""

    def list(self, prefix: str = "") -> dict[str, Found]:
        """Return all objects below a folder, by name."""

    def delete(self, name: str) -> None:
        """Delete an object, there or not."""


@dataclass(frozen=True)
class Store:
    """A folder in an object store; names are relative to it, with slashes.

    Attributes:
        url: of the folder, without credentials; opened where it is first needed, in every process anew.
        tries: of every operation that fails for a reason that may pass.
        filesystem: of pyarrow, in place of the one that the URL names; for tests.
        root: of the folder in it.
    """

    url: str
    tries: int = TRIES
    filesystem: Any = field(default=None, compare=False, repr=False)
    root: str = ""

    def put_bytes(self, name: str, content: bytes) -> None:
        """Write an object in one piece: readers see the old one or the new one.

        Raises:
            StorageError: it cannot be written.
        """
        self._trying(lambda files, root: _write(files, f"{root}/{name}", content))

    def put_file(self, name: str, path: Path) -> int:
        """Write an object with the content of a file, and return its size.

        Raises:
            StorageError: it cannot be written.
            OSError: the file cannot be read.
        """
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size <= AT_ONCE:
                content = file.read()
                self.put_bytes(name, content)
                return len(content)

            def send(files: FileSystem, root: str) -> int:
                file.seek(0)
                return _send(files, f"{root}/{name}", file)

            return self._trying(send)

    def get_bytes(self, name: str) -> bytes | None:
        """Return the content of an object; None: there is none.

        Raises:
            StorageError: it cannot be read.
        """

        def read(files: FileSystem, root: str) -> bytes | None:
            try:
                with files.open_input_stream(f"{root}/{name}") as stream:
                    return bytes(stream.read())
            except FileNotFoundError:
                return None

        return self._trying(read)

    def get_file(self, name: str, path: Path) -> bool:
        """Write a file with the content of an object, atomically, and return whether there is one.

        Raises:
            StorageError: it cannot be read.
        """

        def fetch(files: FileSystem, root: str) -> bool:
            try:
                with (
                    files.open_input_stream(f"{root}/{name}") as stream,
                    atomic_path(path) as temporary,
                    temporary.open("wb") as file,
                ):
                    shutil.copyfileobj(stream, file, _PIECE)
            except FileNotFoundError:
                return False
            return True

        return self._trying(fetch)

    def list(self, prefix: str = "") -> dict[str, Found]:
        """Return all objects below a folder, by name, in order; none: there is no such folder.

        Raises:
            StorageError: it cannot be listed.
        """

        def look(files: FileSystem, root: str) -> dict[str, Found]:
            from pyarrow.fs import FileSelector, FileType

            below = f"{root}/{prefix}".rstrip("/")
            found = files.get_file_info(FileSelector(below, recursive=True, allow_not_found=True))
            return {
                info.path[len(root) + 1 :]: Found(int(info.size), (info.mtime_ns or 0) / 1e9)
                for info in sorted(found, key=lambda info: str(info.path))
                if info.type == FileType.File
            }

        return self._trying(look)

    def has(self, name: str) -> bool:
        """Tell whether there is an object of a name.

        Raises:
            StorageError: nobody knows.
        """

        def look(files: FileSystem, root: str) -> bool:
            from pyarrow.fs import FileType

            return bool(files.get_file_info(f"{root}/{name}").type == FileType.File)

        return self._trying(look)

    def delete(self, name: str) -> None:
        """Delete an object, there or not.

        Raises:
            StorageError: it cannot be deleted.
        """

        def remove(files: FileSystem, root: str) -> None:
            with contextlib.suppress(FileNotFoundError):
                files.delete_file(f"{root}/{name}")

        self._trying(remove)

    def _trying(self, act: Callable[[Any, str], Result]) -> Result:
        """Do something, a few times where it fails for a reason that may pass.

        Raises:
            StorageAway: every time.
            StorageError: for a reason that does not pass.
        """
        pause = _FIRST_PAUSE_SECONDS
        for left in range(self.tries - 1, -1, -1):
            try:
                files, root = (self.filesystem, self.root) if self.filesystem is not None else _opened(self.url)
                return act(files, root)
            except OSError as error:  # pyarrow has no other one
                if _is_of_this_machine(error):
                    raise
                why = _reason_for_good(error)
                if why is not None:
                    raise StorageError(
                        f"{self.url}: must be a folder of an object store that can be used: {why}"
                    ) from None
                if not left:
                    raise StorageAway(
                        f"{self.url}: must answer, but does not ({_first_line(error)}); the same command goes on when "
                        "it is back"
                    ) from None
            time.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        raise AssertionError("unreachable")


def open_store(url: str, tries: int = TRIES) -> Store:
    """Return the folder of an object store that a URL names (`check_url`); nothing is asked yet."""
    return Store(url, tries)


_filesystems: dict[tuple[int, str], tuple[Any, str]] = {}
"""Opened by this process (a process that was forked opens its own)."""


def _opened(url: str) -> tuple[Any, str]:
    key = os.getpid(), url
    if key not in _filesystems:
        _filesystems[key] = _open(url)
    return _filesystems[key]


def _open(url: str) -> tuple[FileSystem, str]:
    """Open a file system of pyarrow.

    Raises:
        StorageError: pyarrow cannot; says why.
    """
    import pyarrow as pa
    from pyarrow import fs

    parts = urlsplit(url)
    root = f"{parts.netloc}{parts.path}".rstrip("/")
    try:
        if parts.scheme == "s3":
            return fs.S3FileSystem(**_options_of_s3(parse_qs(parts.query), parts.netloc)), root
        found, path = fs.FileSystem.from_uri(url)
        return found, str(path).rstrip("/")
    except (pa.ArrowException, ValueError, NotImplementedError) as error:
        raise StorageError(f"{url}: must be a URL that pyarrow can open: {_first_line(error)}") from None


def _options_of_s3(query: Mapping[str, list[str]], bucket: str) -> dict[str, Any]:
    """Return how S3 is reached: by the URL, else by the variables that other tools of Amazon read, too."""
    from pyarrow import fs

    endpoint = next(iter(query.get("endpoint_override", ())), "") or os.environ.get(
        "AWS_ENDPOINT_URL_S3", os.environ.get("AWS_ENDPOINT_URL", "")
    )
    scheme, _, host = endpoint.rpartition("://")
    region = next(iter(query.get("region", ())), "") or os.environ.get(
        "AWS_REGION", os.environ.get("AWS_DEFAULT_REGION", "")
    )
    if not region and not endpoint:
        with contextlib.suppress(OSError):  # without the right to ask it is what the SDK finds
            region = fs.resolve_s3_region(bucket)
    return {
        "allow_delayed_open": True,  # what is small is one request in place of three
        "background_writes": True,
        "connect_timeout": _CONNECT_SECONDS,
        "request_timeout": _REQUEST_SECONDS,
        "retry_strategy": fs.AwsStandardS3RetryStrategy(max_attempts=2),
        **({"region": region} if region else {}),
        **({"endpoint_override": host} if host else {}),
        "scheme": next(iter(query.get("scheme", ())), "") or scheme or "https",
    }


def _write(files: FileSystem, path: str, content: bytes) -> None:
    with _opened_to_write(files, path) as stream:
        stream.write(content)


def _opened_to_write(files: FileSystem, path: str) -> Any:
    try:
        return files.open_output_stream(path)
    except FileNotFoundError:  # a file system with folders, which object stores do not have
        files.create_dir(path.rpartition("/")[0], recursive=True)
        return files.open_output_stream(path)


def _send(files: FileSystem, path: str, file: Any) -> int:
    """Send a large file part by part, and return its size."""
    sent = 0
    with _opened_to_write(files, path) as stream:
        while part := file.read(AT_ONCE):
            stream.write(part)
            sent += len(part)
    return sent


def _is_of_this_machine(error: OSError) -> bool:
    """Tell whether it is a file or the disk of this machine that fails."""
    return error.errno is not None and not isinstance(error, (FileNotFoundError, TimeoutError, ConnectionError))


def _reason_for_good(error: OSError) -> str | None:
    words = str(error)
    for name, remedy in _FOR_GOOD.items():
        if f"AWS Error {name}" in words or f"{name} " in words:
            return remedy
    if isinstance(error, PermissionError) or "HTTP status 403" in words or "PermissionDenied" in words:
        return _FOR_GOOD["ACCESS_DENIED"]
    if isinstance(error, FileNotFoundError):
        return "what is needed of it is not there"
    return None


def _first_line(error: BaseException) -> str:
    lines = hide(str(error)).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
