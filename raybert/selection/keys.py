"""Random numbers that belong to examples: keyed hashes of (seed, example id), a family of them for every purpose.

What is drawn and what breaks ties must not be the same numbers: a strategy with ties would then share far more examples
with the draw of the same seed than chance allows. So each purpose has a function of its own, and two of them are
independent of each other. On purpose `random`, `random_stratified`, the first pass of `random_epoch` and whatever
`random` follows in `then` are one draw: what differs between them is the rule alone.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

_MIX_1, _MIX_2, _GOLDEN = (
    np.uint64(0xBF58476D1CE4E5B9),
    np.uint64(0x94D049BB133111EB),
    np.uint64(0x9E3779B97F4A7C15),
)


@dataclass(frozen=True, eq=False)
class HashedIds:
    """The ids of a pool, hashed once for all seeds.

    Attributes:
        draws: (n,) uint64, from which `draw_keys` are mixed.
        ties: (n,) uint64, from which `tie_keys` are.
    """

    draws: np.ndarray
    ties: np.ndarray

    @classmethod
    def of(cls, example_ids: np.ndarray) -> HashedIds:
        """Hash ids: (n,) strings."""
        return cls(_hash(example_ids, b""), _hash(example_ids, b"ties"))

    def draw_keys(self, seed: int) -> np.ndarray:
        """Return what `draw_keys` does of the ids."""
        return mix_keys(self.draws, seed)

    def tie_keys(self, seed: int) -> np.ndarray:
        """Return what `tie_keys` does of the ids."""
        return mix_keys(self.ties, seed)


def draw_keys(example_ids: np.ndarray, seed: int) -> np.ndarray:
    """Return (n,) uint64 keys of random draws, independent of position and of the rest of the pool.

    Args:
        example_ids: (n,) strings.
        seed: another seed gives an unrelated order.
    """
    return mix_keys(_hash(example_ids, b""), seed)  # unsalted: the function of raybert 0.1, whose draws stay


def tie_keys(example_ids: np.ndarray, seed: int) -> np.ndarray:
    """Return (n,) uint64 keys that break ties, independent of those of `draw_keys`.

    Args:
        example_ids: (n,) strings.
        seed: another seed gives an unrelated order.
    """
    return mix_keys(_hash(example_ids, b"ties"), seed)


def keys_for(purpose: str, keys: np.ndarray) -> np.ndarray:
    """Return (n,) uint64 keys for another purpose, independent of the given ones.

    Args:
        purpose: another purpose gives an unrelated order.
        keys: (n,) uint64 of `draw_keys` or `tie_keys`.
    """
    digest = hashlib.blake2b(purpose.encode(), digest_size=7).digest()
    return mix_keys(keys, int.from_bytes(digest, "little"))


def mix_keys(keys: np.ndarray, number: int) -> np.ndarray:
    """Return new (n,) uint64 keys from old ones and a number (the finalizer of SplitMix64)."""
    with np.errstate(over="ignore"):
        mixed = keys + np.uint64(number + 1) * _GOLDEN
        mixed = (mixed ^ (mixed >> np.uint64(30))) * _MIX_1
        mixed = (mixed ^ (mixed >> np.uint64(27))) * _MIX_2
        return np.asarray(mixed ^ (mixed >> np.uint64(31)))


def _hash(example_ids: np.ndarray, purpose: bytes) -> np.ndarray:
    packed = bytearray()
    for example_id in example_ids:
        packed += hashlib.blake2b(str(example_id).encode(), digest_size=8, person=purpose).digest()
    return np.frombuffer(packed, "<u8").astype(np.uint64)
