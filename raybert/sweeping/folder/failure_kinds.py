"""How a trial can fail, what that means for another attempt, and how an exception is told from another."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator, Mapping

from raybert.errors import ConfigError, TrialError

KINDS: Mapping[str, str] = {
    "oom": "one example does not fit into the device's memory",
    "nan": "a loss or the weights are not finite",
    "memory": "the host's memory ran out",
    "time": "limits.trial_seconds is used up",
    "stalled": "no heartbeat for limits.stall_seconds",
    "disk": "the disk or the quota is full",
    "lost": "its process or its node died",
    "error": "anything else",
}
RETRY_CHOICES = ("failed", "all", *KINDS)
"""Values of `--retry`."""

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_FULL_WORDS = re.compile(
    r"no space left on device|dis[ck] quota exceeded|quotaexceeded|disk (is )?full|storagefull|outofdisk"
    r"|\[errno (28|122)\]|\(os error (28|122)\)"  # of Python and of Rust, whatever the words of the locale
    r"|pytorchstreamwriter failed"  # torch tells no reason
    r"|\b\d+ requested and \d+ written"  # numpy neither
)
_DEATHS = ("ActorDiedError", "ActorUnavailableError", "RayActorError", "WorkerCrashedError", "NodeDiedError")
_KILLED_FOR_MEMORY = "low on memory"
"""In Ray's message about a process that its memory monitor killed, whatever the exception around it."""


def classify(error: BaseException) -> str:
    """Return the kind of a failure from its exception and those that caused it, of Ray's workers too."""
    kinds = [_kind_of(one) for one in _causes(error)]
    found = next((kind for kind in kinds if kind != "error"), "error")
    # What cleans up after a full disk may fail as well, and then hides it.
    return "disk" if found == "error" and any(map(is_disk_full, _causes(error, with_contexts=True))) else found


def kind_in_words(text: str) -> str:
    """Return the kind of a failure of which only words are left, such as the traceback of another process."""
    return classify(RuntimeError(text))


def is_disk_full(error: BaseException) -> bool:
    """Tell whether an error says that nothing more can be written, by its number or its words."""
    has_number = isinstance(error, OSError) and error.errno in _FULL
    return has_number or _FULL_WORDS.search(f"{type(error).__name__} {error}".lower()) is not None


def check_retry(retry: str | None) -> None:
    """Refuse what `--retry` cannot be.

    Raises:
        ConfigError: it is neither None, nor one of `RETRY_CHOICES`.
    """
    if retry is not None and retry not in RETRY_CHOICES:
        raise ConfigError(f"retry: must be one of {', '.join(RETRY_CHOICES)}, got {retry!r}")


def is_wanted(kind: str, retry: str) -> bool:
    """Tell whether `--retry` names failures of this kind."""
    return retry in ("failed", "all", kind)


def _kind_of(error: BaseException) -> str:
    # By name, as far as it goes: who reads failures has neither torch nor Ray to import.
    name, text = type(error).__name__, str(error).lower()
    if isinstance(error, TrialError):
        return error.kind
    if name == "OutOfMemoryError":
        return "oom" if type(error).__module__.startswith("torch") else "memory"
    if isinstance(error, MemoryError) or _KILLED_FOR_MEMORY in text:
        return "memory"
    if is_disk_full(error):
        return "disk"
    return "lost" if name in _DEATHS else "error"


def _causes(error: BaseException, *, with_contexts: bool = False) -> Iterator[BaseException]:
    """Yield an exception, what it was raised from, and what Ray Train's workers raised.

    Args:
        error: the last one.
        with_contexts: also what was being handled when another one came, which need not be its cause.
    """
    seen: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting:
        one = waiting.pop(0)
        if not isinstance(one, BaseException) or one in seen:
            continue
        seen.append(one)
        yield one
        workers = getattr(one, "worker_failures", None)
        waiting += [one.__cause__, getattr(one, "cause", None), getattr(one, "_base_exc", None)]
        waiting += list(workers.values()) if isinstance(workers, Mapping) else []
        waiting += getattr(one, "exceptions", ())  # of a group
        waiting += [one.__context__] if with_contexts else []
