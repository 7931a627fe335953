"""The cache port: copies that may vanish at any moment, never set by what was read before they were dropped.

A miss gives a lease, and only the holder of the newest lease may fill (R. Nishtala et al., Scaling Memcache at
Facebook, NSDI 2013, section 3.2.1): `drop` takes the copy and the lease, so a slow reader fills nothing. The lease
is the epoch of a key. An evicted lease, an emptied or restarted cache only lose copies.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

KEYS_MAX = 256
LEASE_MS = 500


class CacheDown(Exception):
    """The cache cannot be asked now. Go the way without it: nothing was read and, at most, something was dropped."""


class Copy(NamedTuple):
    """What is cached under a key, or None and the lease that allows to fill it; a lease ends after 500 ms."""

    value: bytes | None
    lease: bytes = b""


class Fill(NamedTuple):
    """A copy to set, if `lease` is still the newest one of its key. `tell` lets followers hear it."""

    key: str
    value: bytes
    lease: bytes
    ttl_ms: int
    tell: bool = False


class Follower(Protocol):
    """Hears what happened to the cache, in the order in which it happened there."""

    def heard(self, key: str, value: bytes | None, mark: str) -> None:
        """A key was dropped (None, with the mark of the drop) or filled."""
        ...

    def lost(self) -> None:
        """From now on things may happen unheard: what was heard before is worth nothing."""
        ...

    def resumed(self) -> None:
        """Everything that happens from now on is heard."""
        ...


class Cache(Protocol):
    """Copies shared by the processes of a shop. Every method takes at most 256 keys and raises CacheDown."""

    async def fetch(self, keys: Sequence[str]) -> list[Copy]:
        """The copy of each key, or a lease to fill it."""
        ...

    async def look(self, keys: Sequence[str]) -> list[bytes | None]:
        """The copy of each key; no lease is given."""
        ...

    async def fill(self, fills: Sequence[Fill]) -> list[bool]:
        """Which copies were set: those whose lease was still the newest."""
        ...

    async def drop(self, keys: Sequence[str], mark: str = "") -> None:
        """Forget copies and leases, and tell every follower."""
        ...

    def follow(self, follower: Follower) -> None:
        """Let somebody hear every drop and every told fill from now on; `resumed` is its first word."""
        ...

    def is_heard(self) -> bool:
        """Whether followers hear everything: the last sign of life is at most 500 ms old."""
        ...

    async def close(self) -> None:
        """Let go of connections and tasks."""
        ...
