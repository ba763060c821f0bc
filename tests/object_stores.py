"""Object stores for tests: a folder of this machine as one, one that fails after some calls, and a real S3 server."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from pyarrow import fs

from raybert.polling import wait_until
from raybert.storage import Store

AWAY = "When putting object: AWS Error NETWORK_CONNECTION during PutObject operation: could not connect"
KEYS = {"AWS_ACCESS_KEY_ID": "tester", "AWS_SECRET_ACCESS_KEY": "sesame-of-tests", "AWS_REGION": "us-east-1"}


class Failing:
    """A file system of pyarrow that answers only some calls of those that change or read objects.

    Attributes:
        left: calls that are answered; None: all.
        calls: how many there were.
        tears: whether an object that cannot be written is left with half of its bytes, as a large one may be.
    """

    def __init__(self, files: fs.FileSystem, left: int | None = None, *, tears: bool = False) -> None:
        self.files, self.left, self.calls, self.tears = files, left, 0, tears

    def _count(self) -> None:
        self.calls += 1
        if self.left is not None:
            if self.left <= 0:
                raise OSError(AWAY)
            self.left -= 1

    def open_output_stream(self, path: str) -> object:
        try:
            self._count()
        except OSError:
            if self.tears:
                self.tears = False
                self.create_dir(path.rpartition("/")[0], recursive=True)
                with self.files.open_output_stream(path) as stream:
                    stream.write(b"torn")
            raise
        return self.files.open_output_stream(path)

    def open_input_stream(self, path: str) -> object:
        self._count()
        return self.files.open_input_stream(path)

    def get_file_info(self, what: object) -> object:
        self._count()
        return self.files.get_file_info(what)

    def delete_file(self, path: str) -> None:
        self._count()
        self.files.delete_file(path)

    def create_dir(self, path: str, *, recursive: bool) -> None:
        self.files.create_dir(path, recursive=recursive)


def failing(folder: Path, left: int | None = None, *, tears: bool = False) -> Failing:
    """A folder of this machine as an object store that answers so many calls."""
    folder.mkdir(parents=True, exist_ok=True)
    return Failing(fs.SubTreeFileSystem(str(folder), fs.LocalFileSystem()), left, tears=tears)


def local_store(folder: Path, files: object = None) -> Store:
    """A folder of this machine as an object store, which is tried once."""
    return Store("s3://bucket/runs/x", tries=1, filesystem=files or failing(folder), root="runs/x")


@contextlib.contextmanager
def s3_server() -> Iterator[str]:
    """A real S3 server on this machine with the bucket `bucket`, in the environment of this process; yields its URL."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def answers() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        return False

    before = dict(os.environ)
    try:
        assert wait_until(answers, 0.1, 60), "moto does not start"
        os.environ.update(KEYS, AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}")
        made, _ = fs.FileSystem.from_uri("s3://bucket?allow_bucket_creation=true")
        made.create_dir("bucket")
        yield os.environ["AWS_ENDPOINT_URL"]
    finally:
        server.kill()
        server.wait()
        os.environ.clear()
        os.environ.update(before)
