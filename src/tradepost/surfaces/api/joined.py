"""Whole answers in one write, idle connections on one timer: less of uvicorn's own time a request.

uvicorn checks and writes head and body apart and sets a timer anew after each answer. Here the answers of one turn
of the loop leave together at its end, so that a client with many connections wakes up once. Everything unusual
(streams, HEAD, closing connections) stays uvicorn's.
"""

from __future__ import annotations

import asyncio
import time
from functools import lru_cache
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import (
    HEADER_RE,
    HEADER_VALUE_RE,
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from tradepost.surfaces.api.raw import Message

LINES_REMEMBERED = 256
_CYCLES_OWN = (b"connection", b"transfer-encoding")


@lru_cache(LINES_REMEMBERED)
def _line(name: bytes, value: bytes) -> bytes:
    """The header as it is sent; empty when the cycle shall judge it."""
    if name in _CYCLES_OWN or HEADER_RE.search(name) or HEADER_VALUE_RE.search(value):
        return b""
    return name.lower() + b": " + value + b"\r\n"


def join_answer(head: Message, body: bytes) -> bytes:
    """Head and body of a whole answer as they are sent; empty when it is not an answer of known length."""
    parts = [STATUS_LINE[head["status"]]]
    length = b"%d" % len(body)
    told = False
    for name, value in head["headers"]:
        if name == b"content-length":
            if value != length:
                return b""
            told = True
            parts.append(b"content-length: " + value + b"\r\n")
            continue
        line = _line(name, value)
        if not line:
            return b""
        parts.append(line)
    if not told:
        return b""
    parts += (b"\r\n", body)
    return b"".join(parts)


class Turn:
    """The answers of one turn of a loop, sent one after the other at its end."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._waiting: list[tuple[asyncio.Transport, bytes]] = []

    def write(self, transport: asyncio.Transport, data: bytes) -> None:
        """Send at the end of this turn."""
        if not self._waiting:
            self.loop.call_soon(self.flush)
        self._waiting.append((transport, data))

    def flush(self) -> None:
        """Send what waits: before anything is written past this turn, and before a connection is closed."""
        waiting, self._waiting = self._waiting, []
        for transport, data in waiting:
            if not transport.is_closing():
                transport.write(data)


class JoinedCycle:
    """The `send` of one request: it keeps the head until the body comes and sends both at once."""

    __slots__ = ("_cycle", "_head", "_turn")

    def __init__(self, cycle: RequestResponseCycle, turn: Turn) -> None:
        self._cycle = cycle
        self._turn = turn
        self._head: Message | None = None

    async def send(self, message: Message) -> None:
        """As ASGI's."""
        cycle = self._cycle
        head = self._head
        if head is None:
            if message["type"] == "http.response.start" and not cycle.response_started:
                self._head = message
                return
            self._turn.flush()
            await cycle.send(message)  # type: ignore[arg-type]
            return
        self._head = None
        if message["type"] == "http.response.body" and not message.get("more_body") and self._is_plain():
            joined = join_answer(head, message.get("body", b""))
            if joined:
                self._end(joined)
                return
        self._turn.flush()
        await cycle.send(head)  # type: ignore[arg-type]
        await cycle.send(message)  # type: ignore[arg-type]

    def _is_plain(self) -> bool:
        cycle = self._cycle
        return (
            cycle.keep_alive
            and not cycle.disconnected
            and not cycle.flow.write_paused
            and not cycle.access_log
            and not cycle.default_headers
            and cycle.scope["method"] != "HEAD"
        )

    def _end(self, joined: bytes) -> None:
        cycle = self._cycle
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        self._turn.write(cycle.transport, joined)
        cycle.message_event.set()
        cycle.on_response()


class JoinedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with joined answers. A connection is idle from `_idle_since` (monotonic seconds) on."""

    _idle_since = 0.0
    _turn: ClassVar[Turn | None] = None

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        turn = self._this_turn()

        async def joined(scope: Any, receive: Any, _: Any) -> None:
            await app(scope, receive, JoinedCycle(cycle, turn).send)

        super()._start_asgi_task(cycle, joined)

    def _this_turn(self) -> Turn:
        turn = JoinedProtocol._turn
        if turn is None or turn.loop is not self.loop:
            turn = JoinedProtocol._turn = Turn(self.loop)
        return turn

    def shutdown(self) -> None:
        """Send what waits, then as uvicorn's."""
        self._this_turn().flush()
        super().shutdown()

    def send_400_response(self, msg: str) -> None:
        """Send what waits, then as uvicorn's."""
        self._this_turn().flush()
        super().send_400_response(msg)

    def on_response_complete(self) -> None:
        """As uvicorn's; the timer that watches the connection goes on instead of starting anew."""
        if self.pipeline:
            super().on_response_complete()
            return
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        self._rest()

    def _rest(self) -> None:
        self._idle_since = time.monotonic()  # the loop's own time stands still during a long turn
        if self.timeout_keep_alive_task is None:
            self._watch(self.timeout_keep_alive)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let the connection and its timer go."""
        super().connection_lost(exc)
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None

    def _unset_keepalive_if_required(self) -> None:
        self._idle_since = 0.0

    def _watch(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self._close_idle)

    def _close_idle(self) -> None:
        self.timeout_keep_alive_task = None
        if not self._idle_since:
            return  # a request is under way: its answer starts the next watch
        left_s = self._idle_since + self.timeout_keep_alive - time.monotonic()
        if left_s > 0:
            self._watch(left_s)
        else:
            self._this_turn().flush()  # after a turn of seconds the last answer may still wait
            self.timeout_keep_alive_handler()


__all__ = ["JoinedCycle", "JoinedProtocol", "Turn", "join_answer"]
