"""Who works in a results folder of an object store: an object each, with a heartbeat; the first one stays.

Who comes writes its claim, and then looks at the others. Of two that come at once at least one sees the other, as every
store that pyarrow opens shows in a listing what has been written before; who sees a living one goes. So two never stay,
and no conditional write is needed, which pyarrow does not have.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import random
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from raybert.errors import StorageError, SweepError
from raybert.polling import Throttle, repeating
from raybert.storage import Store
from raybert.sweeping.folder.owner import Owner
from raybert.sweeping.storage.parts import ATTEMPT, CLAIMS

SECONDS_BETWEEN_BEATS = 5.0
FRESH_SECONDS = 30.0
"""A claim that does not change for so long is that of a dead process; as on a file system (`ownership`)."""
_SECONDS_BETWEEN_LOOKS = 1.0
_TRIES = 3
"""Of processes that come at once and see each other."""


_withdrawn: set[str] = set()
"""Claims of this process that hold no longer; the store may have been away when they were to be deleted."""


class LeaseLost(SweepError):
    """Another process has taken over the folder meanwhile: nothing more must be written."""


def _clock() -> float:
    """Return seconds by a clock that also counts while the machine sleeps, which the lid of a laptop makes it do."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


@dataclass
class Lease:
    """A claim on a folder of an object store.

    Attributes:
        store: the folder.
        owner: this process.
        name: of the object.
        previous: number of the last owner; 0: nobody has worked there.
        owns: whether no living process was in the way.
        beat: how often it was written.
        why_lost: why it holds no longer; empty: it does.
        seen: when the store last said that it holds.
    """

    store: Store
    owner: Owner
    name: str
    previous: int
    owns: bool = False
    beat: int = 0
    why_lost: str = ""
    seen: Throttle = field(default_factory=lambda: Throttle(SECONDS_BETWEEN_BEATS, _clock))

    def write(self) -> None:
        """Write the claim with its next heartbeat.

        Raises:
            StorageError: it cannot be written.
        """
        self.beat += 1
        content = {**dataclasses.asdict(self.owner), "beat": self.beat, "owns": self.owns}
        self.store.put_bytes(self.name, json.dumps(content).encode())
        self.seen.is_due(force=True)

    def look(self) -> bool:
        """See whether it still holds, and write a heartbeat; return whether it is lost.

        Raises:
            StorageError: nobody knows.
        """
        if not self.why_lost:
            others = read_claims(self.store)
            mine = others.pop(self.name, None)
            newer = [claim for claim in others.values() if claim.get("attempt", 0) > self.owner.attempt]
            if newer or mine is None:
                self.why_lost = "another process has taken over the folder"
            else:
                self.write()
        return bool(self.why_lost)

    def check(self) -> None:
        """Pass, where the claim holds; after a pause (a machine that slept) the store is asked first.

        Raises:
            LeaseLost: it does not.
            StorageError: nobody knows.
        """
        if not self.why_lost and self.seen.seconds_since() > FRESH_SECONDS / 2:
            self.look()
        if self.why_lost:
            raise LeaseLost(f"{self.store.url}: {self.why_lost}; nothing more is written there")

    @contextlib.contextmanager
    def beating(self, note: Callable[[str], None], lost: Callable[[str], None]) -> Iterator[None]:
        """Write heartbeats from a thread for the length of a `with` block.

        Args:
            note: told what goes wrong on the way.
            lost: told once why the claim does not hold any more.
        """

        def beat() -> bool:
            if self.look():
                lost(self.why_lost)
                return True
            return False

        with repeating(beat, SECONDS_BETWEEN_BEATS, "the heartbeat", note):
            yield

    def leave(self) -> None:
        """Withdraw the claim.

        Raises:
            StorageError: it cannot be; it grows old, or who comes next in this process removes it.
        """
        _withdrawn.add(self.name)
        self.store.delete(self.name)


def take(store: Store, note: Callable[[str], None], at_least: int = 0) -> Lease:
    """Claim a folder of an object store for this process.

    Args:
        store: the folder.
        note: told whose place is taken, or waited for.
        at_least: number of the last owner that this machine knows.

    Raises:
        SweepError: a living process works in it; says which.
        StorageError: the store cannot be used.
    """
    for tries_left in range(_TRIES - 1, -1, -1):
        previous = read_attempt(store)
        owner = Owner.of_this_process(max(previous, at_least) + 1)
        lease = Lease(store, owner, f"{CLAIMS}{uuid.uuid4().hex[:12]}.json", previous)
        lease.write()
        try:
            living = _living(store, lease, note)
        except BaseException:
            with contextlib.suppress(StorageError):
                lease.leave()
            raise
        if not living:
            lease.owns = True
            lease.write()
            store.put_bytes(ATTEMPT, str(owner.attempt).encode())
            return lease
        lease.leave()
        if not tries_left or any(claim.get("owns") for claim in living):
            break
        time.sleep(random.uniform(0.5, 3.0))
    raise SweepError(
        f"{store.url}: in use by another raybert process ({_words(living[0])}); wait for it, end it with "
        f"`raybert stop {store.url}`, or give `output` another folder"
    )


def read_attempt(store: Store) -> int:
    """Return the number of the newest owner; 0: nobody has worked there.

    Raises:
        StorageError: it cannot be read.
    """
    try:
        return int(store.get_bytes(ATTEMPT) or b"0")
    except ValueError:
        return 0


def read_claims(store: Store) -> dict[str, dict[str, Any]]:
    """Return what who works there says of itself, by the name of the object.

    Raises:
        StorageError: it cannot be read.
    """
    found = {}
    for name in store.list(CLAIMS):
        content = store.get_bytes(name)
        if content is not None:
            found[name] = _parsed(content)
    return found


def owner_of(claim: dict[str, Any]) -> Owner | None:
    """Return who wrote a claim; None: it is damaged."""
    known = {field.name for field in dataclasses.fields(Owner)}
    try:
        return Owner(**{name: value for name, value in claim.items() if name in known})
    except TypeError:
        return None


def _living(store: Store, lease: Lease, note: Callable[[str], None]) -> list[dict[str, Any]]:
    """Return the claims of living processes besides one's own; those of dead ones are removed."""
    before = {name: claim for name, claim in read_claims(store).items() if name != lease.name}
    unknown = {}
    for name, claim in before.items():
        owner = owner_of(claim)
        if name in _withdrawn:
            store.delete(name)
        elif owner is not None and owner.is_here and owner.process is not None:
            if owner.is_seen:
                return [claim]
            note(f"note: taken over from {owner}, which ended without leaving")
            store.delete(name)
        else:
            unknown[name] = claim
    if unknown:
        note(f"note: looking for {FRESH_SECONDS:.0f} s whether {_words(next(iter(unknown.values())))} is alive")
    deadline = _clock() + FRESH_SECONDS
    while unknown and _clock() < deadline:
        time.sleep(_SECONDS_BETWEEN_LOOKS)
        lease.write()
        now = read_claims(store)
        changed = [now[name] for name, claim in unknown.items() if name in now and now[name] != claim]
        if changed:
            return changed
        unknown = {name: claim for name, claim in unknown.items() if name in now}
    for name, claim in unknown.items():
        note(f"note: taken over from {_words(claim)}, which has sent no heartbeat for {FRESH_SECONDS:.0f} s")
        store.delete(name)
    return [claim for name, claim in read_claims(store).items() if name not in (lease.name, *before)]


def _words(claim: dict[str, Any]) -> str:
    return str(owner_of(claim) or "an unknown one")


def _parsed(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
