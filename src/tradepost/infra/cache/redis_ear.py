"""Listening to Redis: one connection, a heartbeat, and an honest word when something may have gone unheard."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from tradepost.infra.cache.redis_link import GRACE_PASSES, patient
from tradepost.stability.cache import Follower

BEAT_S = 0.1
SILENCE_MAX_MS = 500
CONNECT_S = 0.5
REST_S = 0.2
log = logging.getLogger("tradepost.stability")


class RedisEar:
    """Subscribes while it has followers. Silence of 500 ms, though asked every 100 ms, counts as loss."""

    def __init__(self, redis: Redis, channel: str, now_ms: Callable[[], int]) -> None:
        self._pool = redis.connection_pool
        self._channel = channel
        self._now_ms = now_ms
        self._followers: list[Follower] = []
        self._listening: asyncio.Task[None] | None = None
        self._open = False
        self._told = ""
        self._heard_at_ms = 0

    def is_open(self) -> bool:
        """Whether everything is heard; judged by the clock, so that a busy process does not trust an old silence."""
        return self._open and self._now_ms() - self._heard_at_ms <= SILENCE_MAX_MS

    def follow(self, follower: Follower) -> None:
        """Tell one more; its first word comes when the subscription stands."""
        self._followers.append(follower)
        if self._open:
            follower.resumed()
        if self._listening is None:
            self._listening = asyncio.ensure_future(self._listen())

    async def close(self) -> None:
        """Stop listening."""
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
            self._listening = None

    async def _listen(self) -> None:
        while True:
            connection = self._pool.make_connection()  # type: ignore[no-untyped-call]
            try:
                await patient(self._subscribe(connection), CONNECT_S)
                self._set_open(True)
                self._told = ""
                await self._hear(connection)
            except (RedisError, OSError, TimeoutError) as error:
                if self._told != repr(error):  # once for each reason, not once for each try
                    self._told = repr(error)
                    log.info("not listening to redis: %s", self._told)
            finally:
                self._set_open(False)
                with contextlib.suppress(RedisError, OSError, TimeoutError):
                    await connection.disconnect(nowait=True)
            await asyncio.sleep(REST_S)

    async def _subscribe(self, connection: Any) -> None:
        await connection.connect()
        await connection.send_command("SUBSCRIBE", self._channel)
        await connection.read_response()

    async def _hear(self, connection: Any) -> None:
        """Read and beat until either fails."""
        both = [asyncio.ensure_future(self._read(connection)), asyncio.ensure_future(self._beat(connection))]
        try:
            done, _ = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            for ended in done:
                ended.result()
        finally:
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)

    async def _read(self, connection: Any) -> None:
        while True:
            self._take(await connection.read_response())

    async def _beat(self, connection: Any) -> None:
        while True:
            await connection.send_command("PING")
            await asyncio.sleep(BEAT_S)
            for _ in range(GRACE_PASSES):  # what came in while this process was busy is read first
                if self.is_open():
                    break
                await asyncio.sleep(0)
            else:
                raise TimeoutError

    def _take(self, message: Any) -> None:
        self._heard_at_ms = self._now_ms()
        if message[0] == b"message":
            for key, value, mark in read_note(message[2]):
                for follower in self._followers:
                    follower.heard(key, value, mark)

    def _set_open(self, opened: bool) -> None:
        if opened:
            self._heard_at_ms = self._now_ms()
        if opened == self._open:
            return
        self._open = opened
        for follower in self._followers:
            if opened:
                follower.resumed()
            else:
                follower.lost()


def read_note(text: bytes) -> Iterator[tuple[str, bytes | None, str]]:
    """(key, value or None, mark) of each key a message speaks of: `f` one fill, `d` a mark and dropped keys."""
    first, rest = _take_text(text[1:])
    if text[:1] == b"f":
        yield first, rest, ""
        return
    while rest:
        key, rest = _take_text(rest)
        yield key, None, first


def _take_text(text: bytes) -> tuple[str, bytes]:
    size, _, rest = text.partition(b":")
    return rest[: int(size)].decode(), rest[int(size) :]
