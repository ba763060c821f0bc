"""Jobs of a cluster, by the API behind its dashboard: sent, followed, asked; they live without whoever sent them."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray.exceptions import AuthenticationError
from ray.job_submission import JobStatus, JobSubmissionClient

from raybert.errors import ExitCode, ResourceError
from raybert.sweeping.cluster.token import token_is_here, use_token

DEFAULT_ADDRESS = "http://127.0.0.1:8265"
"""Of a dashboard: where `ray dashboard cluster.yaml` brings it."""
VARIABLE = "RAY_API_SERVER_ADDRESS"
"""Names a dashboard for Ray's own commands on jobs, too."""
OUTPUT, VERSION = "raybert_output", "raybert_version"
"""Keys of a job's metadata."""
_OF_OTHERS = ("RAY_ADDRESS", VARIABLE)
"""Variables that Ray would follow in place of the address that it is given."""
_TALKATIVE = ("ray.dashboard.modules.dashboard_sdk", "ray._private.runtime_env.packaging")
"""Loggers of Ray that tell of every upload."""
_SECONDS_BETWEEN_LOOKS = 1.0
_BYTES_PER_SECOND = 200_000
"""Of a log, which is read whole at every look: a long one is looked at less often."""


@dataclass(frozen=True)
class JobState:
    """How a job stands.

    Attributes:
        job_id: its name.
        status: `PENDING`, `RUNNING`, `STOPPED`, `SUCCEEDED` or `FAILED`, in Ray's words.
        has_ended: whether it is over.
        exit_code: of its command; None: it has not ended, or never began.
        message: what Ray says of it.
        output: its results folder on the cluster.
    """

    job_id: str
    status: str
    has_ended: bool
    exit_code: int | None
    message: str
    output: str


def dashboard_address(address: str | None) -> str:
    """Return the address of a dashboard: given, or of the environment, or the one that a tunnel has by default.

    Raises:
        ResourceError: it is an address of another kind.
    """
    asked = address or os.environ.get(VARIABLE, "").strip() or DEFAULT_ADDRESS
    if not asked.startswith(("http://", "https://")):
        raise ResourceError(
            f"address: must be that of a dashboard, http://HOST:PORT, got {asked}: `ray dashboard cluster.yaml` brings "
            f"it to {DEFAULT_ADDRESS}; on a node of the cluster itself use `raybert sweep --address auto`"
        )
    return asked.rstrip("/")


class Jobs:
    """The jobs of one cluster.

    Args:
        address: of its dashboard, see `dashboard_address`.

    Raises:
        ResourceError: no dashboard answers there, it asks for another token, or Ray's part for it is not installed.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        use_token()
        with self._asked(), _without(_OF_OTHERS):
            self._client = JobSubmissionClient(address)

    def submit(self, command: str, job_id: str, folder: Path | None, metadata: dict[str, str]) -> None:
        """Send a job, with a folder in which its command runs; all processes of the job find what is in it.

        Args:
            command: of a shell.
            job_id: that no other job has.
            folder: here; None: it needs none.
            metadata: kept with the job.
        """
        for name in _TALKATIVE:
            logging.getLogger(name).setLevel(logging.WARNING)
        environment: dict[str, Any] = {} if folder is None else {"working_dir": str(folder)}
        with self._asked():
            self._client.submit_job(
                entrypoint=command, submission_id=job_id, runtime_env=environment, metadata=metadata
            )

    def state(self, job_id: str) -> JobState:
        """Return how a job stands.

        Raises:
            ResourceError: there is no such job, or nobody answers.
        """
        with self._asked(job_id):
            info = self._client.get_job_info(job_id)
        status = JobStatus(info.status)
        code = info.driver_exit_code
        output = str((info.metadata or {}).get(OUTPUT, ""))
        return JobState(job_id, status.value, status.is_terminal(), code, info.message or "", output)

    def log(self, job_id: str) -> str:
        """Return what a job has said so far."""
        with self._asked(job_id):
            return str(self._client.get_job_logs(job_id))

    def follow(self, job_id: str, note: Callable[[str], None]) -> Iterator[str]:
        """Yield what a job says, whole lines, until it ends; where the dashboard is out of reach it is tried again.

        Args:
            job_id: its name.
            note: told in one line when the dashboard does not answer, and when it does again.
        """
        read, is_lost = 0, False
        self.state(job_id)  # an unknown one is said at once
        while True:
            try:
                state, text = self.state(job_id), self.log(job_id)
            except Unreachable as error:
                if not is_lost:
                    note(f"{error}; the job goes on, and it is tried again")
                is_lost = True
                time.sleep(_SECONDS_BETWEEN_LOOKS * 5)
                continue
            if is_lost:
                note("the dashboard answers again")
                is_lost = False
            read = max(read, _start(text, job_id))
            end = len(text) if state.has_ended else text.rfind("\n") + 1
            if end > read and (state.has_ended or read > 0):
                yield from text[read:end].splitlines()
                read = end
            if state.has_ended:
                return
            time.sleep(max(_SECONDS_BETWEEN_LOOKS, len(text) / _BYTES_PER_SECOND))

    def forget(self, job_id: str) -> None:
        """Remove a job that has ended from the list of jobs."""
        with self._asked(job_id):
            self._client.delete_job(job_id)

    @contextmanager
    def _asked(self, job_id: str = "") -> Iterator[None]:
        """Turn what Ray's client raises into one line."""
        try:
            yield
        except AuthenticationError as error:
            has_one = token_is_here()
            what = "refuses the token of this machine" if has_one else "asks for a token, and there is none here"
            raise ResourceError(
                f"address: the cluster behind {self.address} {what}; copy ~/.ray/auth_token of its head here, or set "
                "RAY_AUTH_TOKEN (`ray get-auth-token` prints it there)"
            ) from error
        except RuntimeError as error:
            raise ResourceError(self._refusal(str(error), job_id)) from error
        except (OSError, ImportError) as error:  # what `requests` raises is an OSError
            raise Unreachable(
                f"address: no dashboard of a Ray cluster answers at {self.address} ({_reason(error)}); keep "
                "`ray dashboard cluster.yaml` (or an SSH tunnel) open meanwhile, and see `ray status` on the head"
            ) from error

    def _refusal(self, said: str, job_id: str) -> str:
        if "ray[default]" in said:
            return (
                "submit: needs Ray's client of jobs, which is not installed here; install it by "
                "`pip install 'raybert[submit]'` (or 'ray[default]')"
            )
        if job_id and ("status code 404" in said or "does not exist" in said):
            return f"{job_id}: there is no such job at {self.address}; open that address for a list of all"
        return f"address: the cluster behind {self.address} refuses it: {_in_short(said)}"


def _start(text: str, job_id: str) -> int:
    """Return where what the command says begins in a log, after what Ray says of its start."""
    at = text.find(f"Running entrypoint for job {job_id}: ")
    return 0 if at < 0 else text.find("\n", at) + 1 or len(text)


class Unreachable(ResourceError):
    """Nobody answers at the address of a dashboard, now."""


def exit_code_of(state: JobState) -> ExitCode | int:
    """Return how a command ends that has followed a job to its end: as the job's own command.

    Raises:
        ResourceError: the command never ran to an end of its own.
    """
    if state.exit_code is not None and state.exit_code >= 0 and state.status != "STOPPED":
        return state.exit_code
    if state.status == "STOPPED":
        return ExitCode.INTERRUPTED
    raise ResourceError(f"{state.job_id}: the cluster has not run it to its end: {_in_short(state.message)}")


@contextmanager
def _without(names: tuple[str, ...]) -> Iterator[None]:
    kept = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)


def _in_short(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines[0] if lines else "it does not say why")[:300]


def _reason(error: BaseException) -> str:
    inner = error
    while (inner.__cause__ or inner.__context__) is not None and not isinstance(inner, ConnectionRefusedError):
        inner = inner.__cause__ or inner.__context__  # type: ignore[assignment]
    if isinstance(inner, ConnectionRefusedError):
        return "Connection refused"
    return _in_short(str(error)) if not isinstance(error, json.JSONDecodeError) else "no answer of Ray's"
