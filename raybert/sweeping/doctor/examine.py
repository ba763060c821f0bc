"""The examination: this machine, the cluster, every node of it, then a short trial on a node of each kind."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import ray
from huggingface_hub import constants
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raybert.errors import ConfigError, ResourceError
from raybert.files import cache_folder
from raybert.refusals import refusal_in_words
from raybert.storage import check_local, check_url, is_url
from raybert.sweeping.cluster.connect import connected
from raybert.sweeping.doctor.finding import Diagnosis, Finding
from raybert.sweeping.doctor.judge import judge_node, judge_versions
from raybert.sweeping.doctor.node import NodeFacts, read_node, see_and_remove, write_there
from raybert.sweeping.doctor.object_store import judge_store, try_store
from raybert.sweeping.doctor.trial import STEPS, TrialSpeed, try_training
from raybert.sweeping.plan.placement import Cluster
from raybert.sweeping.plan.where import VARIABLE, starts_here

_SECONDS_OF_HUB = 10.0
_SECONDS_OF_NODE = 60.0
_SECONDS_OF_TRIAL = 300.0
_LONGEST = 300


def examine(
    address: str | None, output: str | Path, *, trial: bool = True, told: Callable[[Finding], None] = lambda _: None
) -> Diagnosis:
    """Look at everything that sweeps need; Ray is started where it has to be, and nothing is left behind.

    Args:
        address: of a cluster; None: this machine.
        output: where results would go, there or not: a folder, or a URL of an object store.
        trial: train twenty steps on a node of each kind.
        told: called with every finding as soon as it is there.

    Raises:
        ConfigError: the URL cannot be one.
    """
    if not is_url(output):
        check_local(output, "output", "s3://, gs:// and abfs:// are those that results may be in")
    found: list[Finding] = []
    place = check_url(output) if is_url(output) else Path(output).expanduser().absolute()
    for finding in _all(address, place, trial=trial):
        found.append(finding)
        told(finding)
    return Diagnosis(tuple(found))


def _all(address: str | None, output: str | Path, *, trial: bool) -> Iterator[Finding]:
    folders = {"results": str(output)} if isinstance(output, Path) else {}
    try:
        folders["cache"] = str(cache_folder())
    except ConfigError as error:
        text, _, remedy = str(error).partition("; ")
        yield Finding("cache", "", "failure", text, remedy)
    driver = read_node(folders)
    yield _hub(driver.host)
    starts = starts_here(address)
    try:
        with connected(address, check_versions=False) as cluster:
            yield from _of_cluster(driver, folders, output, starts=starts, trial=trial, where=cluster)
    except ResourceError as error:
        text, _, remedy = str(error).partition("; ")
        yield Finding("Ray", "", "failure", text, remedy)
        yield from judge_versions([], driver)
        yield from judge_node(driver, {}, 0.0)


def _of_cluster(
    driver: NodeFacts, folders: dict[str, str], output: str | Path, *, starts: bool, trial: bool, where: Cluster
) -> Iterator[Finding]:
    nodes = [node for node in ray.nodes() if node["Alive"]]
    dead = len(ray.nodes()) - len(nodes)
    by = f" (named by {where.named_by})" if where.named_by == VARIABLE else ""
    joined = f"joined at {where.address or 'the address that this process has'}{by}, {len(nodes)} nodes"
    what = "starts on this machine, at its own address" if starts else joined
    yield Finding("Ray", "", "ok", f"{ray.__version__} {what}" + (f" ({dead} have left it)" if dead else ""))
    facts: dict[str, NodeFacts] = {}
    skews: dict[str, float] = {}
    for node in nodes:
        began = time.time()
        try:
            one = _on(node, read_node, folders)
        except (RayError, GetTimeoutError) as error:
            yield Finding("node", node["NodeManagerHostname"], "failure", _line(error), "see `ray status`, restart it")
            continue
        facts[node["NodeID"]] = one
        skews[node["NodeID"]] = max(0.0, began - one.clock, one.clock - time.time())
    yield from judge_versions(facts.values(), driver)
    answering = [node for node in nodes if node["NodeID"] in facts]
    for node in answering:
        yield from judge_node(facts[node["NodeID"]], node["Resources"], skews[node["NodeID"]])
        host = facts[node["NodeID"]].host
        if isinstance(output, Path):
            yield _storage(node, host, output, is_alone=len(nodes) == 1)
        else:
            yield _object_store(node, host, output)
    for node in _kinds(answering) if trial else ():
        yield _trial(node, facts[node["NodeID"]].host)


def _on(node: dict[str, Any], function: Callable[..., Any], *arguments: Any, seconds: float = _SECONDS_OF_NODE) -> Any:
    """Call a function on a node, which takes none of its resources."""
    place = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
    task = ray.remote(function).options(num_cpus=0, max_retries=0, scheduling_strategy=place)
    return ray.get(task.remote(*arguments), timeout=seconds)


def _hub(host: str) -> Finding:
    """Ask the hub for a sign of life, as downloads would: by the proxies of the environment."""
    if constants.HF_HUB_OFFLINE:
        return Finding("hub", host, "ok", "not asked: HF_HUB_OFFLINE=1 is set")
    remedy = "fetch what a file names where there is a network (`raybert download`), or set the proxy"
    try:
        with urlopen(Request(constants.ENDPOINT, method="HEAD"), timeout=_SECONDS_OF_HUB):
            return Finding("hub", host, "ok", f"{constants.ENDPOINT} answers")
    except (URLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        return Finding("hub", host, "warning", f"{constants.ENDPOINT} cannot be reached ({reason})", remedy)


def _storage(node: dict[str, Any], host: str, output: Path, *, is_alone: bool) -> Finding:
    """Write where results would go, on a node, and look whether the driver sees it."""
    shared = "give `--output` (Python: `output`) a folder that all nodes see, and may write to (NFS, a mounted bucket)"
    try:
        path = _on(node, write_there, str(output))
    except OSError as error:
        words = refusal_in_words(getattr(error, "cause", None) or error) or _line(error)
        return Finding("storage", host, "failure", words, "" if is_alone else shared)
    except (RayError, GetTimeoutError) as error:
        return Finding("storage", host, "failure", _line(error), shared)
    if see_and_remove(path):
        seen = "" if is_alone else ", and the driver sees it"
        return Finding("storage", host, "ok", f"{Path(path).parent} can be written, synced, locked{seen}")
    _on(node, see_and_remove, path)
    return Finding("storage", host, "failure", f"what it writes into {output} the driver does not see", shared)


def _object_store(node: dict[str, Any], host: str, url: str) -> Finding:
    """Use an object store from a node."""
    is_driver = node["NodeID"] == ray.get_runtime_context().get_node_id()
    try:
        tried = try_store(url) if is_driver else _on(node, try_store, url)
    except (RayError, GetTimeoutError) as error:
        tried = 0.0, _line(error)
    return judge_store(host, url, tried, is_driver=is_driver)


def _kinds(nodes: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield a node of each kind that has CPUs: by CPUs, GPUs and what these are called."""
    seen = set()
    for node in nodes:
        resources = node["Resources"]
        names = sorted(name for name in resources if name.startswith("accelerator_type:"))
        kind = (resources.get("CPU", 0), resources.get("GPU", 0), *names)
        if kind not in seen and resources.get("CPU", 0):
            seen.add(kind)
            yield node


def _trial(node: dict[str, Any], host: str) -> Finding:
    resources = node["Resources"]
    kind = f"{resources.get('CPU', 0):g} CPUs, {resources.get('GPU', 0):g} GPUs"
    place = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
    needed = {"num_cpus": min(1, resources["CPU"]), "num_gpus": min(1, resources.get("GPU", 0))}
    running = ray.remote(try_training).options(**needed, max_retries=0, scheduling_strategy=place).remote()
    try:
        speed: TrialSpeed = ray.get(running, timeout=_SECONDS_OF_TRIAL)
    except GetTimeoutError:
        ray.cancel(running, force=True)
        text = f"{STEPS} steps were not done within {_SECONDS_OF_TRIAL:.0f} s ({kind})"
        return Finding("trial", host, "warning", text, "try again when the node is less busy")
    except Exception as error:  # whatever training raises there, it is what was asked for
        remedy = "see whether `python -c 'import raybert.training'` works there, and the GPU's driver"
        return Finding("trial", host, "failure", f"{_line(error)} ({kind})", remedy)
    text = f"{STEPS} steps in {speed.seconds:.1f} s, {speed.examples_per_second:,.0f} examples/s {speed.on} ({kind})"
    return Finding("trial", host, "ok", text)


def _line(error: BaseException) -> str:
    """Return what an error of Ray's says, or what it was raised from, in one line."""
    cause = getattr(error, "cause", None)
    shown = cause if isinstance(cause, BaseException) else error
    lines = [line.strip() for line in str(shown).splitlines() if line.strip()]
    return f"{type(shown).__name__}: {lines[0] if lines else ''}"[:_LONGEST]
