"""Looking at the address of a cluster before it is joined: `ray.init` tries a dead one for a quarter of an hour."""

from __future__ import annotations

import os
import socket
import threading

import psutil
import ray
from ray._private.services import canonicalize_bootstrap_address
from ray._raylet import GcsClient  # type: ignore[attr-defined]  # of Cython; see `_ask`
from ray.exceptions import AuthenticationError

from raybert.errors import ResourceError
from raybert.sweeping.cluster.loopback import LOOPBACK, is_on_this_machine_only
from raybert.sweeping.cluster.quiet import cxx_lines_kept
from raybert.sweeping.cluster.token import token_is_here, token_kept_back, use_token
from raybert.sweeping.plan.where import LOCAL

SECONDS_TO_CONNECT = 5.0
"""Until a machine has taken a connection; one that is there takes milliseconds."""
SECONDS_TO_ANSWER = 15.0
"""Until the head of a cluster has said its name; one that is there takes milliseconds."""


def check_address(address: str) -> None:
    """Refuse an address at which no cluster answers, or one that asks for another token, within seconds.

    Raises:
        ResourceError: says which of both it is, and how to go on.
    """
    host, port = _find(address)
    use_token()
    try:
        socket.create_connection((host, port), SECONDS_TO_CONNECT).close()
    except OSError as error:
        reason = "no answer" if isinstance(error, TimeoutError) else error.strerror or str(error)
        raise ResourceError(
            f"address: no Ray cluster answers at {_named(address, host, port)} ({reason}); see `ray status` on its "
            "head, or leave `address` out to run on this machine"
        ) from None
    _ask(address, host, port)


def check_is_joined(address: str, num_nodes: int) -> None:
    """Refuse an address that is not that of the cluster which this process is connected to.

    Args:
        address: that is asked for.
        num_nodes: of the cluster that is joined.

    Raises:
        ResourceError: names both.
    """
    joined = ray.get_runtime_context().gcs_address
    if address == LOCAL:
        if num_nodes == 1 and _is_of_this_machine(joined.rpartition(":")[0]):
            return
        asked = "local: asks for a Ray on this machine alone"
    elif address == "auto" or _is_same(_find(address), _find(joined)):
        return
    else:
        asked = f"must be {joined}, got {address}"
    raise ResourceError(
        f"address: {asked}, but this process is connected to the Ray cluster at {joined} ({num_nodes} nodes) already; "
        "leave `address` out to use that one, or call ray.shutdown() before"
    )


def _is_same(one: tuple[str, int], other: tuple[str, int]) -> bool:
    """Tell whether two addresses are those of one head: of several names, or of several addresses of this machine."""
    if one[1] != other[1]:
        return False
    if one[0] == other[0] or _addresses(one[0]) & _addresses(other[0]):
        return True
    both_here = _is_of_this_machine(one[0]) and _is_of_this_machine(other[0])
    return both_here and not is_on_this_machine_only(f"{LOOPBACK}:{one[1]}")


def _addresses(host: str) -> set[str]:
    try:
        return {str(found[4][0]) for found in socket.getaddrinfo(host, None)}
    except OSError:
        return {host}


def _is_of_this_machine(host: str) -> bool:
    own = {part.address for parts in psutil.net_if_addrs().values() for part in parts}
    return bool(_addresses(host.strip("[]")) & own)


def _find(address: str) -> tuple[str, int]:
    """Return the host and the port of a cluster's head.

    Raises:
        ResourceError: the address is none, or `auto` finds no cluster.
    """
    if address.startswith(("http://", "https://")):
        raise ResourceError(
            f"address: must be auto, local or HOST:PORT of a Ray cluster, got {address}, which is that of a dashboard; "
            f"send the sweep there by `raybert submit FILE --address {address}`"
        )
    if "://" in address:
        raise ResourceError(
            f"address: must be auto, local or HOST:PORT, got {address}: a sweep is driven from a node of the cluster, "
            "not through Ray Client; run raybert there with `--address auto`, or as a job (`ray job submit`)"
        )
    try:
        found = canonicalize_bootstrap_address(address) or ""
        host, _, port = found.rpartition(":")
        return host.strip("[]"), int(port)
    except ConnectionError:
        raise ResourceError(
            f"address: {address} finds no Ray cluster on this machine; start one with `ray start --head`, or leave "
            "`address` out to run on this machine alone"
        ) from None
    except (ValueError, OSError) as error:
        reason = f" ({error.strerror})" if isinstance(error, OSError) and error.strerror else ""
        raise ResourceError(
            f"address: must be auto, local or HOST:PORT of a Ray cluster, got {address!r}{reason}"
        ) from None


def _ask(address: str, host: str, port: int) -> None:
    """Ask the head of a cluster for its name.

    There is no public call with a limit of time: this is what `ray.init` does first, and up to twenty times.

    Raises:
        ResourceError: it does not tell, or only those who have its token.
    """
    where = _named(address, host, port)
    if _is_token_wanted() and not token_is_here():
        raise ResourceError(f"address: RAY_AUTH_MODE=token asks for a token to join {where}, but {_WITHOUT_TOKEN}")
    if _is_token_wanted():  # and not shown to a head that has none
        with token_kept_back():
            answer = _answer(address, host, port)
        if answer is None:
            raise ResourceError(f"address: the Ray cluster at {where} {_OPEN.format(_source())}")
        if not isinstance(answer, AuthenticationError):
            raise _cannot_be_joined(where, answer)
    answer = _answer(address, host, port)
    if isinstance(answer, AuthenticationError):
        raise ResourceError(f"address: the Ray cluster at {where} {_refusal()}")
    if answer is not None:
        raise _cannot_be_joined(where, answer)


def _answer(address: str, host: str, port: int) -> Exception | None:
    """Return what the head says to who asks for its name; None: the name.

    Raises:
        ResourceError: it says nothing.
    """
    answers: list[Exception | None] = []

    def ask() -> None:
        try:
            GcsClient(address=f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
            answers.append(None)
        except Exception as error:  # whatever it is, it is the answer
            answers.append(error)

    thread = threading.Thread(target=ask, name="raybert-ask-cluster", daemon=True)
    with cxx_lines_kept():
        thread.start()
        thread.join(SECONDS_TO_ANSWER)
    if not answers:
        raise ResourceError(
            f"address: what answers at {_named(address, host, port)} is no Ray cluster, or its head hangs (nothing "
            f"within {SECONDS_TO_ANSWER:.0f} s); the port is that of `ray start --head`, by default 6379"
        )
    return answers[0]


def _cannot_be_joined(where: str, answer: Exception) -> ResourceError:
    return ResourceError(f"address: the Ray cluster at {where} cannot be joined: {str(answer).splitlines()[0]}")


_WITHOUT_TOKEN = (
    "there is none here; copy ~/.ray/auth_token of its head to this machine, or set RAY_AUTH_TOKEN (or "
    "RAY_AUTH_TOKEN_PATH)"
)
_AT_HOME = "~/.ray/auth_token"
_OPEN = (
    "must ask for the token that this machine has ({}), and asks for none, so that its nodes and this process would "
    "refuse each other: start the cluster with that token on every node, or set RAY_AUTH_MODE=disabled here to join "
    "it as it is, open to whoever reaches it"
)
"""Said of a head without a token: a driver with one refuses the head's calls, which takes it for dead; trials die."""


def _refusal() -> str:
    if not token_is_here():
        return f"asks for a token, and {_WITHOUT_TOKEN}"
    if not _is_token_wanted():
        return f"asks for a token, which RAY_AUTH_MODE={os.environ.get('RAY_AUTH_MODE')} keeps back; unset that"
    return (
        f"refuses the token of this machine ({_source()}): it must be that of its head, which `ray get-auth-token` "
        "prints there"
    )


def _source() -> str:
    """Return where the token of this machine is."""
    return next((name for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH") if os.environ.get(name)), _AT_HOME)


def _named(address: str, host: str, port: int) -> str:
    return f"{host}:{port} ({address})" if address == "auto" else address


def _is_token_wanted() -> bool:
    return os.environ.get("RAY_AUTH_MODE", "").lower() == "token"
