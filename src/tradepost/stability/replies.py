"""The fast path of repeats: answers that were committed under a key, remembered where every process finds them.

The database is the truth. A hit answers a repeat without the writer; a miss says nothing at all.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from hashlib import blake2b

import msgspec

from tradepost.stability.cache import KEYS_MAX, Cache, CacheDown, Fill
from tradepost.stability.gathering import Crowded, Gathering

PREFIX = "reply/"
REPLY_MS = 600_000
REPLY_BYTES_MAX = 16 << 10
WAITING_MAX = 4_096


class Reply(msgspec.Struct, frozen=True, array_like=True):
    """An answer that was given, and the request it answered."""

    request_hash: str
    status: int
    body: bytes


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Reply).decode


class Replies:
    """`find` before the work, `keep` after its commit. Answers are kept ten minutes; those over 16 KiB are not."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._waiting: deque[Fill] = deque(maxlen=WAITING_MAX)
        self._putting: asyncio.Task[None] | None = None
        self._looking: Gathering[str, bytes | None] = Gathering(self._look)
        self.hits = 0
        self.misses = 0

    async def find(self, scope: str, key: str, request_hash: str) -> Reply | None:
        """The answer to exactly this request, or None: go the ordinary way, which also judges a reused key."""
        try:
            found = await self._looking.ask(_name(scope, key))
            reply = None if found is None else _decode(found)
        except (CacheDown, Crowded, msgspec.DecodeError):
            reply = None
        if reply is None or reply.request_hash != request_hash:
            self.misses += 1
            return None
        self.hits += 1
        return reply

    async def _look(self, names: Sequence[str]) -> Sequence[bytes | None]:
        return await self._cache.look(names)

    def keep(self, scope: str, key: str, reply: Reply) -> None:
        """Remember an answer whose effect is committed. Returns at once; beyond 4,096 waiting the oldest is lost."""
        if len(reply.body) > REPLY_BYTES_MAX:
            return
        self._waiting.append(Fill(_name(scope, key), _encode(reply), b"", REPLY_MS))
        if self._putting is None:
            self._putting = asyncio.ensure_future(self._put())

    async def _put(self) -> None:
        try:
            while self._waiting:
                fills = [self._waiting.popleft() for _ in range(min(KEYS_MAX, len(self._waiting)))]
                await self._cache.put(fills)
        except CacheDown:
            self._waiting.clear()
        finally:
            self._putting = None

    def gauges(self) -> Mapping[str, int]:
        """Numbers for /metrics, by name."""
        return {"replies_hits": self.hits, "replies_misses": self.misses}


def _name(scope: str, key: str) -> str:
    return PREFIX + blake2b(f"{scope}\0{key}".encode(), digest_size=16).hexdigest()
