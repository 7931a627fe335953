"""The cache port in the memory of one process: bounded, the copy used longest ago goes first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tradepost.stability.admission import Grant
from tradepost.stability.cache import LEASE_MS, Copy, Fill, Follower

COPIES_MAX = 100_000


class _Kept(NamedTuple):
    value: bytes | None
    lease: bytes
    until_ms: int


class MemoryCache:
    """Copies and leases together are at most `copies_max`. `now_ms` is a monotonic clock."""

    def __init__(self, now_ms: Callable[[], int], copies_max: int = COPIES_MAX) -> None:
        self._now_ms = now_ms
        self._copies_max = copies_max
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._followers: list[Follower] = []
        self._leases = 0

    def __len__(self) -> int:
        """Copies and leases kept now, ended ones too."""
        return len(self._kept)

    async def fetch(self, keys: Sequence[str]) -> list[Copy]:
        """See the port."""
        return [self._fetch(key) for key in keys]

    def _fetch(self, key: str) -> Copy:
        kept = self._find(key)
        if kept is not None:
            return Copy(kept.value, kept.lease)
        self._leases += 1
        lease = b"%d" % self._leases
        self._keep(key, _Kept(None, lease, self._now_ms() + LEASE_MS))
        return Copy(None, lease)

    async def look(self, keys: Sequence[str]) -> list[bytes | None]:
        """See the port."""
        found = [self._find(key) for key in keys]
        return [None if kept is None else kept.value for kept in found]

    async def fill(self, fills: Sequence[Fill]) -> list[bool]:
        """See the port."""
        return [self._fill(fill) for fill in fills]

    def _fill(self, fill: Fill) -> bool:
        kept = self._find(fill.key)
        if kept is None or kept.value is not None or kept.lease != fill.lease:
            return False
        self._keep(fill.key, _Kept(fill.value, b"", self._now_ms() + fill.ttl_ms))
        if fill.tell:
            self._tell(fill.key, fill.value, "")
        return True

    async def drop(self, keys: Sequence[str], mark: str = "") -> None:
        """See the port."""
        for key in keys:
            self._kept.pop(key, None)
            self._tell(key, None, mark)

    def follow(self, follower: Follower) -> None:
        """See the port."""
        self._followers.append(follower)
        follower.resumed()

    def is_heard(self) -> bool:
        """See the port."""
        return True

    async def close(self) -> None:
        """See the port."""
        self._kept.clear()

    def _tell(self, key: str, value: bytes | None, mark: str) -> None:
        for follower in self._followers:
            follower.heard(key, value, mark)

    def _find(self, key: str) -> _Kept | None:
        kept = self._kept.get(key)
        if kept is None:
            return None
        if kept.until_ms <= self._now_ms():
            del self._kept[key]
            return None
        self._kept.move_to_end(key)
        return kept

    def _keep(self, key: str, kept: _Kept) -> None:
        self._kept[key] = kept
        self._kept.move_to_end(key)
        if len(self._kept) > self._copies_max:
            self._kept.popitem(last=False)


class MemoryShares:
    """The capacity of a shop that is one process, as a bucket; the twin that the Redis script is tested against."""

    def __init__(self, now_us: Callable[[], int], workers: int = 1) -> None:
        self._now_us = now_us
        self._workers = workers
        self._level = 0
        self._at_us: int | None = None

    async def take(self, wanted: int, capacity_per_s: int, burst: int) -> Grant:
        """See the port."""
        now_us = self._now_us()
        full = burst * 1_000_000
        passed_us = full if self._at_us is None else min(now_us - self._at_us, 10_000_000)
        self._level = min(full, self._level + max(0, passed_us) * capacity_per_s)
        self._at_us = now_us
        tokens = min(wanted, self._level // 1_000_000)
        self._level -= tokens * 1_000_000
        return Grant(tokens, self._workers)
