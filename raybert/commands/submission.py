"""`raybert submit`: a sweep or a study as a job of a cluster, followed from here, and commands on it that run there."""

from __future__ import annotations

import base64
import re
import shlex
import time
import uuid
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from raybert.config.imports import takes_safe
from raybert.durable import atomic_path
from raybert.errors import ConfigError, ResourceError
from raybert.storage import check_url, is_url, url_of
from raybert.version import __version__

if TYPE_CHECKING:
    from raybert.sweeping.submit.bundle import Bundle
    from raybert.sweeping.submit.jobs import Jobs

_RUNS = "~/raybert-runs"
"""Where results go if nobody says it: the working folder of a job goes with it."""
_TYPED = "RAYBERT_COMMAND"
"""Names to the job what its user has typed, for what it says of how to continue."""
_OF_HELPERS = "raybert-command"
_SEND = "python -m raybert.sweeping.submit.send"


@dataclass(frozen=True)
class SubmittedJob:
    """A job that was sent.

    Attributes:
        job_id: its name.
        address: of the dashboard.
        output: results folder, on the cluster.
        bundle: what was sent with it.
    """

    job_id: str
    address: str
    output: str
    bundle: Bundle

    def follow(self, told: Callable[[str], None], note: Callable[[str], None] = lambda _: None) -> int:
        """Hand on what the job says until it ends; return the exit code of its command."""
        return attach(self.job_id, self.address, told=told, note=note)


@takes_safe
def submit(
    config: str | Path,
    address: str | None = None,
    *,
    output: str | None = None,
    overrides: Iterable[str] = (),
    retry: str | None = None,
    safe: bool = False,
    told: Callable[[Bundle], None] = lambda bundle: None,
) -> SubmittedJob:
    """Send a file to a cluster as a job, which runs there whatever becomes of this process.

    A sweep file is run as by `sweep`, a pretraining file as by `study`.

    What goes with it: the file, local data and models that it names, and modules of a user's own that it names; nothing
    else. `raybert` must be installed on the cluster, in the version that is here.

    Args:
        config: a sweep file, or a pretraining file.
        address: of the dashboard, `http://HOST:PORT`; default: `RAY_API_SERVER_ADDRESS`, else that of a tunnel.
        output: results folder on the cluster, absolute or below its home folder, or a URL such as `s3://bucket/x`;
            default: `~/raybert-runs/<name>` there, by the file.
        overrides: keys to override, as for `load_config`.
        retry: as for `sweep` and `study`.
        safe: as for `sweep`; modules that the file names are not sent.
        told: called with what is sent before it is.

    Returns:
        The job: `follow` waits for its end.

    Raises:
        RaybertError: what is wrong with the file, or the cluster does not take it.
    """
    import tempfile

    from raybert.config.kinds import load_any
    from raybert.config.pretraining import PretrainingConfig
    from raybert.sweeping.submit.bundle import make_bundle
    from raybert.sweeping.submit.jobs import OUTPUT, VERSION, Jobs, dashboard_address

    overrides = tuple(overrides)
    settings = load_any(config, overrides)
    name = settings.name
    place = _place(output, name)
    bundle = make_bundle(Path(config), overrides, with_code=not safe)
    jobs = Jobs(dashboard_address(address))
    told(bundle)
    command = "study" if isinstance(settings, PretrainingConfig) else "sweep"
    words = [command, bundle.name, *(f"--set={one}" for one in bundle.overrides)]
    words += [*(["--safe"] if safe else []), *(["--retry", retry] if retry is not None else [])]
    job_id = f"{name}-{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:4]}"
    with tempfile.TemporaryDirectory(prefix="raybert-submit-") as folder:
        bundle.write(Path(folder))
        typed = ["raybert", "submit", str(config), "--address", jobs.address, "--output", place]
        typed += [*(f"--set={one}" for one in overrides), *(["--safe"] if safe else [])]
        line = " ".join([f"{_TYPED}={shlex.quote(shlex.join(typed))}", _python(words), "--output", _quoted(place)])
        jobs.submit(line, job_id, Path(folder), {OUTPUT: place, VERSION: __version__})
    return SubmittedJob(job_id, jobs.address, place, bundle)


def attach(
    job_id: str,
    address: str | None = None,
    *,
    told: Callable[[str], None],
    note: Callable[[str], None] = lambda _: None,
) -> int:
    """Hand on what a job has said and says until it ends, and return the exit code of its command.

    Args:
        job_id: of `submit`.
        address: of the dashboard, as there.
        told: called with every line.
        note: called with what is to be known of the connection.

    Raises:
        ResourceError: there is no such job, or the cluster has not run it to its end.
    """
    from raybert.sweeping.submit.jobs import Jobs, dashboard_address, exit_code_of

    jobs = Jobs(dashboard_address(address))
    for line in jobs.follow(job_id, note):
        told(line)
    return int(exit_code_of(jobs.state(job_id)))


def run_there(
    words: Sequence[str],
    target: str,
    address: str | None = None,
    *,
    told: Callable[[str], None],
    note: Callable[[str], None] = lambda _: None,
) -> int:
    """Run a command of raybert on the cluster, where results are, and return its exit code.

    Args:
        words: of the command; the first one that is `target` becomes the results folder.
        target: a job, or a results folder there (absolute, below its home folder, or a URL).
        address: of the dashboard.
        told: called with every line that it says.
        note: called with what is to be known of the connection.

    Raises:
        ResourceError: there is no such job, or the cluster does not run the command.
    """
    from raybert.sweeping.submit.jobs import Jobs, dashboard_address, exit_code_of

    jobs = Jobs(dashboard_address(address))
    place = results_there(jobs, target)
    at = words.index(target)
    command = " ".join([_python(words[:at]), _quoted(place), *map(shlex.quote, words[at + 1 :])])
    return _run_helper(jobs, command, told, note, lambda job_id: int(exit_code_of(jobs.state(job_id))))


def fetch_report(target: str, address: str | None = None, *, folder: Path = Path()) -> Path:
    """Fetch `report.html` of results on a cluster; return where it is here.

    Args:
        target: a job, or a results folder there.
        address: of the dashboard.
        folder: where it goes.

    Raises:
        ResourceError: there is none, or it cannot be sent.
    """
    from raybert.sweeping.submit.jobs import Jobs, dashboard_address

    jobs = Jobs(dashboard_address(address))
    place = results_there(jobs, target)
    lines: list[str] = []

    def ended(job_id: str) -> int:
        return jobs.state(job_id).exit_code or 0

    code = _run_helper(jobs, f"{_SEND} {_quoted(place)} report.html", lines.append, lambda _: None, ended)
    sent = "".join(line.removeprefix("data:") for line in lines if line.startswith("data:"))
    if code or not sent:
        raise ResourceError(f"{place}: has no report.html on the cluster yet; `raybert report {target}` writes it")
    name = re.sub(r"[^\w.-]+", "-", place.rstrip("/").rpartition("/")[2]) or "sweep"
    path = folder / f"{name}.report.html"
    with atomic_path(path) as scratch:
        scratch.write_bytes(zlib.decompress(base64.b64decode(sent)))
    return path


def results_there(jobs: Jobs, target: str) -> str:
    """Return the results folder of a job, or of a path that is one.

    Raises:
        ResourceError: there is no such job, or it is none of `raybert submit`.
    """
    if is_url(target):
        return url_of(target)
    if target.startswith(("/", "~/")):
        return target
    output = jobs.state(target).output
    if not output:
        raise ResourceError(f"{target}: must be a job of `raybert submit`, got another one; name its results folder")
    return output


def _run_helper(
    jobs: Jobs, command: str, told: Callable[[str], None], note: Callable[[str], None], ended: Callable[[str], int]
) -> int:
    """Run a command as a job of its own, which is removed from the list of jobs after it."""
    from raybert.sweeping.submit.jobs import VERSION

    job_id = f"{_OF_HELPERS}-{uuid.uuid4().hex[:12]}"
    jobs.submit(command, job_id, None, {VERSION: __version__})
    for line in jobs.follow(job_id, note):
        told(line)
    code = ended(job_id)
    jobs.forget(job_id)
    return code


def _place(output: str | None, name: str) -> str:
    """Return where results go on the cluster.

    Raises:
        ConfigError: a relative path would be one of the job's own folder, which goes with it.
    """
    if output is None:
        return f"{_RUNS}/{name}"
    if is_url(output):
        return check_url(output)
    if output.startswith(("/", "~/")):
        return output
    raise ConfigError(
        f"output: must be a path on the cluster (/shared/runs/x, ~/x) or a URL (s3://bucket/x), got {output}: the "
        "folder of a job goes with it"
    )


def _python(words: Sequence[str]) -> str:
    """Return the command of a shell on the cluster; lines come as they are said."""
    return "PYTHONUNBUFFERED=1 python -m raybert " + shlex.join(words)


def _quoted(place: str) -> str:
    """Return a path for a shell, which still finds the home folder."""
    return "~/" + shlex.quote(place[2:]) if place.startswith("~/") else shlex.quote(place)


def dashboard(address: str | None) -> str:
    """Return the dashboard that commands on jobs use."""
    from raybert.sweeping.submit.jobs import dashboard_address

    return dashboard_address(address)


def detached_lines(job_id: str, address: str) -> list[str]:
    """Return what to say to who has left a job alone."""
    at = f"--address={address}"
    return [
        f"detached; the job goes on. Its log again:  raybert submit --attach {job_id} {at}",
        f"how it stands:  raybert status {job_id} {at}",
        f"stop it, saved:  raybert stop {job_id} {at}",
    ]
