"""Whole answers in one write, idle connections on one timer: less of uvicorn's own time a request.

uvicorn checks and writes head and body apart and sets a timer anew after each answer. Here the answers of one turn
of the loop leave together at its end, so that a client with many connections wakes up once. Everything unusual
(streams, HEAD, closing connections) stays uvicorn's.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
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
LINE_BYTES_MAX = 256
REFUSING_S = 1.0
"""So long after a refusal requests are looked at before they are parsed."""
_LENGTH = b"\r\ncontent-length: "
_find_negotiation = re.compile(rb"\n(?:connection|expect|upgrade|transfer-encoding|[ \t])").search
RefuseEarly = Callable[[bytes, bytes], bytes | None]
_CYCLES_OWN = (b"connection", b"transfer-encoding")


@lru_cache(LINES_REMEMBERED)
def _opening(name: bytes) -> bytes:
    """What a header's line begins with; empty when the cycle shall judge it."""
    return b"" if name in _CYCLES_OWN or HEADER_RE.search(name) else name.lower() + b": "


@lru_cache(LINES_REMEMBERED)
def _line(name: bytes, value: bytes) -> bytes:
    """The header as it is sent; empty when the cycle shall judge it."""
    opening = _opening(name)
    return b"" if not opening or HEADER_VALUE_RE.search(value) else opening + value + b"\r\n"


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
        # a value of letters and digits, such as a trace id, may be new each time and needs no judge
        opening = _opening(name) if value.isalnum() else b""
        line = opening + value + b"\r\n" if opening else _line(name, value)
        if not line:
            return b""
        parts.append(line)
    if not told:
        return b""
    parts += (b"\r\n", body)
    return b"".join(parts)


def _refuse_nothing(method: bytes, url: bytes) -> bytes | None:
    return None


def name_plain(data: bytes) -> tuple[bytes, bytes] | None:
    """Method and URL of a request that is here whole and alone, kept alive and framed by one length; else None.

    Whatever leaves a doubt about where the request ends is the parser's.
    """
    line = data.find(b" HTTP/1.1\r\n", 0, LINE_BYTES_MAX)
    end = data.find(b"\r\n\r\n", line)
    if line < 0 or end < 0:
        return None
    head = data[line : end + 2].lower()
    start = head.find(_LENGTH)
    if start < 0 or head.count(b"\ncontent-length") > 1 or _find_negotiation(head):
        return None
    digits = head[start + len(_LENGTH) : head.find(b"\r", start + 2)]
    if not digits.isdigit() or len(data) != end + 4 + int(digits):
        return None
    method, _, url = data[:line].partition(b" ")
    return method, url


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
    """uvicorn's protocol with joined answers. A connection is idle from `_idle_since` (monotonic seconds) on.

    Where the application has `refuse_early(method, url)`, it is asked as soon as the head of a request is read. Bytes
    are the whole answer: they are sent without a task, a trace or a look at the body, so that those who were let in
    have the time. While that goes on, a plain request that came in one piece is refused before it is parsed.
    """

    _refusing_until: ClassVar[float] = 0.0
    _idle_since = 0.0
    _turn: ClassVar[Turn | None] = None

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._refuse_early: RefuseEarly = getattr(self.app, "refuse_early", _refuse_nothing)
        self._refused = self._inside = self._let_in = False

    def data_received(self, data: bytes) -> None:
        """As uvicorn's, but for what is refused unparsed."""
        if JoinedProtocol._refusing_until and not self._inside and self._is_alone():
            if time.monotonic() > JoinedProtocol._refusing_until:
                JoinedProtocol._refusing_until = 0.0
            elif named := name_plain(data):
                answer = self._refuse_early(*named)
                if answer is not None:
                    self._unset_keepalive_if_required()
                    self._send_refusal(answer, True)
                    return
                self._let_in = True
        super().data_received(data)
        self._let_in = False

    def _is_alone(self) -> bool:
        """Whether a refusal may be written now: behind no other answer, to a client that takes what it is sent."""
        return (self.cycle is None or self.cycle.response_complete) and not self.flow.write_paused

    def on_message_begin(self) -> None:
        """A request begins; what follows is its rest."""
        self._inside = True
        self._idle_since = 0.0  # one packet may bring a refused request and the next one
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Refuse or go on. A request behind another one on its connection, or one that negotiates, goes on."""
        self._refused = False
        if self._let_in:
            self._let_in = False  # asked already; asked twice it would take two places
        elif self._is_alone() and not self.expect_100_continue:
            parser = self.parser
            answer = None if parser.should_upgrade() else self._refuse_early(parser.get_method(), self.url)
            if answer is not None:
                self._refused = True
                self._send_refusal(answer, parser.get_http_version() != "1.0" and parser.should_keep_alive())
                return
        super().on_headers_complete()

    def _send_refusal(self, answer: bytes, keep_alive: bool) -> None:
        self.server_state.total_requests += 1
        JoinedProtocol._refusing_until = time.monotonic() + REFUSING_S
        turn = self._this_turn()
        if keep_alive:
            turn.write(self.transport, answer)
            self._rest()
            return
        turn.flush()
        self.transport.write(answer.replace(b"\r\n", b"\r\nconnection: close\r\n", 1))
        self.transport.close()

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body; nobody waits for that of a refused request."""
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._inside = False
        if not self._refused:
            super().on_message_complete()
        elif not self.transport.is_closing():
            self._rest()  # its body came after the refusal

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


__all__ = ["JoinedCycle", "JoinedProtocol", "Turn", "join_answer", "name_plain"]
