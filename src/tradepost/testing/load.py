"""A load driver for this machine alone: one thread, epoll, raw sockets, prebuilt requests.

Closed loop: each connection sends its next request when the last one is answered. Open loop (`rate` > 0):
requests start on a fixed schedule and their latency counts from the intended start, so a server that stalls
cannot hide it. `python -m tradepost.testing.load --help` runs it in a process of its own.
"""

from __future__ import annotations

import argparse
import functools
import gc
import importlib
import itertools
import select
import socket
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path

import msgspec

from tradepost.testing.histogram import Histogram, Latency
from tradepost.testing.wire import check_loopback, read_requests

Conversation = Generator[bytes, tuple[int, bytes], None]
"""Requests that depend on answers: yields request bytes, is sent (status, body)."""

_HEAD_END = b"\r\n\r\n"
_RECEIVE = 1 << 14  # a larger buffer comes from mmap on every call and doubles the cost of an answer
_SECOND = 1_000_000_000


class LoadReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one run measured. `latency` counts from the intended start, `service` from the moment of sending;
    `refused` is the part of `latency` whose answers had status 400 or more.

    `codes` counts the `code` member of problem documents; `failures` counts requests without an answer by
    cause; `conversations` times whole conversations; `cpu_share` is the driver's own CPU time over elapsed.
    """

    answered: int
    elapsed_s: float
    per_second: float
    connections: int
    rate: float
    statuses: dict[str, int]
    codes: dict[str, int]
    failures: dict[str, int]
    latency: Latency
    refused: Latency
    service: Latency
    conversations: Latency
    cpu_s: float
    cpu_share: float


class _Connection:
    __slots__ = ("inbox", "intended", "outbox", "sent", "socket", "talk", "talk_from", "waiting")

    def __init__(self, opened: socket.socket) -> None:
        self.socket = opened
        self.inbox = b""
        self.outbox = b""
        self.waiting = False
        self.intended = 0
        self.sent = 0
        self.talk: Conversation | None = None
        self.talk_from = 0


class LoadDriver:
    """One run. Give `requests` (bytes, one answer each) or `conversations` (closed loop only).

    The run ends after `count` requests (or conversations), after `seconds`, or when the iterator ends, whatever
    comes first; what is in flight then has `grace_s` to be answered. Raises ValueError for a host that is not
    loopback and OSError when nobody listens.
    """

    def __init__(
        self,
        port: int,
        requests: Iterable[bytes] = (),
        *,
        conversations: Iterable[Conversation] | None = None,
        host: str = "127.0.0.1",
        connections: int = 256,
        count: int = 0,
        seconds: float = 0,
        rate: float = 0,
        codes: bool = False,
        grace_s: float = 30,
    ) -> None:
        if conversations is not None and rate:
            raise ValueError("conversations run in a closed loop: leave out the rate")
        self._address = (check_loopback(host), port)
        self._requests: Iterator[bytes] = itertools.islice(requests, count or None)
        self._talks = None if conversations is None else itertools.islice(conversations, count or None)
        self._width, self._seconds, self._rate = connections, seconds, rate
        self._codes, self._grace_ns = codes, int(grace_s * _SECOND)
        self._epoll = select.epoll()
        self._open: dict[int, _Connection] = {}
        self._idle: deque[_Connection] = deque()
        self._in_flight = 0
        self._interval = int(_SECOND / rate) if rate else 0
        self._next_at = self._last_answer = 0
        self._stop_at = sys.maxsize
        self._length_name = b"content-length: "
        self._statuses: Counter[bytes] = Counter()
        self._problems: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()
        self._latency, self._service, self._whole = Histogram(), Histogram(), Histogram()
        self._refused = Histogram()

    def run(self) -> LoadReport:
        """Drive the load to its end and report."""
        for _ in range(self._width):
            self._connect()
        cpu, start = time.process_time(), time.perf_counter_ns()
        self._next_at = self._last_answer = start
        if self._seconds:
            self._stop_at = start + int(self._seconds * _SECOND)
        try:
            self._loop()
        finally:
            for connection in self._open.values():
                connection.socket.close()
            self._epoll.close()
        return self._report(time.process_time() - cpu, max(self._last_answer - start, 1))

    def _report(self, cpu_s: float, elapsed_ns: int) -> LoadReport:
        elapsed_s = elapsed_ns / _SECOND
        return LoadReport(
            answered=self._service.count,
            elapsed_s=round(elapsed_s, 6),
            per_second=round(self._service.count / elapsed_s, 1),
            connections=self._width,
            rate=self._rate,
            statuses={status.decode(): count for status, count in sorted(self._statuses.items())},
            codes=dict(sorted(self._problems.items())),
            failures=dict(self._failures),
            latency=self._latency.latency(),
            refused=self._refused.latency(),
            service=self._service.latency(),
            conversations=self._whole.latency(),
            cpu_s=round(cpu_s, 6),
            cpu_share=round(cpu_s / elapsed_s, 4),
        )

    def _connect(self) -> _Connection:
        family = socket.AF_INET6 if ":" in self._address[0] else socket.AF_INET
        opened = socket.socket(family, socket.SOCK_STREAM)
        opened.settimeout(5)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            opened.connect(self._address)
        except OSError:
            opened.close()
            raise
        opened.setblocking(False)
        connection = _Connection(opened)
        self._open[opened.fileno()] = connection
        self._idle.append(connection)
        self._epoll.register(opened.fileno(), select.EPOLLIN)
        return connection

    def _loop(self) -> None:
        more = self._start_due()
        while more or self._in_flight:
            self._wait(more)
            now = time.perf_counter_ns()
            if more and now >= self._stop_at:
                more, self._stop_at = False, now
            if not (more and self._idle) and now > self._last_answer + self._grace_ns:
                self._failures["no_answer"] += self._in_flight
                return
            if more:
                more = self._start_due()
            if more and not self._open:
                return

    def _wait(self, more: bool) -> None:
        if more and self._interval and self._idle:
            # epoll counts whole milliseconds; select on the epoll descriptor keeps the schedule to microseconds
            left = (self._next_at - time.perf_counter_ns()) / _SECOND
            if left > 0:
                select.select([self._epoll], [], [], min(left, 0.1))
            events = self._epoll.poll(0)
        else:
            events = self._epoll.poll(0.1)
        for descriptor, what in events:
            connection = self._open.get(descriptor)
            if connection is not None and what & select.EPOLLOUT:
                self._flush(connection)
            if connection is not None and what & ~select.EPOLLOUT:
                self._readable(connection)

    def _start_due(self) -> bool:
        """Start whatever is due on idle connections; False when no request is left or the time is over."""
        while self._idle:
            now = time.perf_counter_ns()
            if now >= self._stop_at:
                return False
            if self._interval and now < self._next_at:
                return True
            connection = self._idle.popleft()
            request = self._next_request(connection, now)
            if request is None:
                self._idle.appendleft(connection)
                return False
            connection.intended = self._next_at if self._interval else now
            self._next_at += self._interval
            self._send(connection, request, now)
        return True

    def _next_request(self, connection: _Connection, now: int) -> bytes | None:
        if self._talks is None:
            return next(self._requests, None)
        for talk in self._talks:
            request = next(talk, None)
            if request is not None:
                connection.talk, connection.talk_from = talk, now
                return request
        return None

    def _send(self, connection: _Connection, request: bytes, now: int) -> None:
        connection.sent, connection.waiting = now, True
        self._in_flight += 1
        try:
            done = connection.socket.send(request)
        except BlockingIOError:
            done = 0
        except OSError:
            self._lost(connection)
            return
        if done < len(request):
            connection.outbox = request[done:]
            self._epoll.modify(connection.socket.fileno(), select.EPOLLIN | select.EPOLLOUT)

    def _flush(self, connection: _Connection) -> None:
        try:
            done = connection.socket.send(connection.outbox)
        except BlockingIOError:
            return
        except OSError:
            connection.outbox = b""  # the reading side sees the same end
            done = 0
        connection.outbox = connection.outbox[done:]
        if not connection.outbox:
            self._epoll.modify(connection.socket.fileno(), select.EPOLLIN)

    def _readable(self, connection: _Connection) -> None:
        try:
            data = connection.socket.recv(_RECEIVE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lost(connection)
            return
        if connection.inbox:
            data = connection.inbox + data
        end = data.find(_HEAD_END)
        length = self._content_length(data, end) if end > 0 else 0
        if length < 0:
            self._lost(connection, "unframed")
            return
        if end < 0 or len(data) < end + 4 + length:
            connection.inbox = data
            return
        connection.inbox = b""
        if connection.waiting:
            self._answered(connection, data, end)

    def _content_length(self, data: bytes, end: int) -> int:
        at = data.find(self._length_name, 0, end)
        if at < 0:
            head = data[:end].lower()
            at = head.find(b"content-length: ")
            if at < 0:
                return 0 if data[9:12] in (b"204", b"304") else -1
            self._length_name = data[at : at + 16]
        at += 16
        stop = data.find(b"\r", at, end)
        return int(data[at : stop if stop > 0 else end])

    def _answered(self, connection: _Connection, data: bytes, end: int) -> None:
        now = self._last_answer = time.perf_counter_ns()
        connection.waiting = False
        self._in_flight -= 1
        self._latency.note((now - connection.intended) // 1000)
        self._service.note((now - connection.sent) // 1000)
        status = data[9:12]
        self._statuses[status] += 1
        if status >= b"400":
            self._refused.note((now - connection.intended) // 1000)
        if self._codes and status >= b"400":
            at = data.find(b'"code":"', end)
            if at > 0:
                self._problems[data[at + 8 : data.find(b'"', at + 8)].decode()] += 1
        if data.find(b"onnection: close", 0, end) > 0:
            self._replace(connection)
        elif connection.talk is None:
            self._idle.append(connection)
        else:
            self._go_on(connection, int(status), data[end + 4 :], now)

    def _go_on(self, connection: _Connection, status: int, body: bytes, now: int) -> None:
        assert connection.talk is not None
        try:
            request = connection.talk.send((status, body))
        except StopIteration:
            self._whole.note((now - connection.talk_from) // 1000)
            connection.talk = None
            self._idle.append(connection)
            return
        connection.intended = now
        self._send(connection, request, now)

    def _lost(self, connection: _Connection, cause: str = "closed") -> None:
        if connection.waiting:
            self._in_flight -= 1
            self._failures[cause] += 1
        self._replace(connection)

    def _replace(self, connection: _Connection) -> None:
        del self._open[connection.socket.fileno()]
        if connection in self._idle:
            self._idle.remove(connection)
        connection.socket.close()
        try:
            self._connect()
        except OSError:
            self._failures["refused"] += 1


def run_load(port: int, requests: Iterable[bytes], **options: object) -> LoadReport:
    """One run of `LoadDriver` with these options."""
    run: Callable[..., LoadDriver] = LoadDriver
    return run(port, requests, **options).run()


def main() -> None:
    """Run from a file of requests (or a generator of conversations) and print the report as JSON."""
    parser = argparse.ArgumentParser(prog="python -m tradepost.testing.load", description=__doc__)
    option = functools.partial(parser.add_argument)
    option("--port", type=int, required=True)
    option("--host", default="127.0.0.1")
    option("--requests", type=Path, help="file of requests, each behind its length in 4 bytes, big endian")
    option(
        "--repeat", action="store_true", help="start the file again when it ends (give --count or --seconds)"
    )
    option("--conversations", help="module:function that returns an iterable of conversations")
    option("--connections", type=int, default=256)
    option("--count", type=int, default=0)
    option("--seconds", type=float, default=0)
    option("--rate", type=float, default=0, help="requests a second; 0 is a closed loop")
    option("--grace-s", type=float, default=30)
    option("--codes", action="store_true", help="count the code of problem documents")
    given = vars(parser.parse_args())
    path, repeat, talks = given.pop("requests"), given.pop("repeat"), given.pop("conversations")
    if (path is None) == (talks is None):
        parser.error("give either --requests or --conversations")
    requests: Iterable[bytes] = read_requests(path) if path else ()
    if talks:
        module, _, function = talks.partition(":")
        given["conversations"] = getattr(importlib.import_module(module), function)()
    gc.freeze()
    gc.disable()
    report = run_load(requests=itertools.cycle(requests) if repeat else requests, **given)
    sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")


if __name__ == "__main__":
    main()
