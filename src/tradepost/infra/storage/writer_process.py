"""ProcessWriter: group commit in a process of its own, so that SQL and the web do not share one interpreter lock."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable

import msgspec

from tradepost.infra.storage import frames
from tradepost.infra.storage.group import (
    GROUP_CALLS_MAX,
    QUEUE_CALLS_MAX,
    Call,
    outcome_unknown,
    overloaded,
)
from tradepost.infra.storage.writers import EngineSpec
from tradepost.kernel.errors import Refusal
from tradepost.kernel.tx import Signal

ASKS_AT_ONCE = 24
"""Asks go out by so many even within one turn of the loop: both processes then work at once, not in turns."""
RECEIVE_BYTES = 1 << 18
BACKOFF_FIRST_S = 0.1
BACKOFF_LONGEST_S = 5.0
EXIT_WAIT_S = 5.0

log = logging.getLogger("tradepost.storage")


class ProcessWriter:
    """The server's end: sends the calls of one loop tick as one frame, answers them as groups come back.

    When the child dies, every call under way is refused with `storage.unavailable` (it may have been committed:
    repeat it under its key), and the next call starts another child, after a growing pause when it keeps dying.
    """

    def __init__(
        self,
        spec: EngineSpec,
        loop: asyncio.AbstractEventLoop,
        deliver: Callable[[list[Signal], list[Call]], None],
        lock_files: tuple[int, ...] = (),
        group_max: int = GROUP_CALLS_MAX,
    ) -> None:
        self._spec = spec
        self._loop = loop
        self._deliver = deliver
        self._lock_files = lock_files
        self._group_max = group_max
        self._decode = msgspec.msgpack.Decoder(frames.Answers).decode
        self._in_flight: dict[int, Call] = {}
        self._asks: list[frames.Ask] = []
        self._out = bytearray()
        self._number = 0
        self._flushing = False
        self._writing = False
        self._closing = False
        self._backoff_s = 0.0
        self._start_at = 0.0
        self._idle = asyncio.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._frames = frames.Frames()
        self._start()

    def depth(self) -> int:
        """Calls under way."""
        return len(self._in_flight)

    def submit(self, call: Call) -> None:
        """Send one call. Raises Refusal `storage.overloaded` or `storage.unavailable`, both before any effect."""
        if self._closing:
            raise _not_sent("The storage is closing.")
        if len(self._in_flight) >= QUEUE_CALLS_MAX:
            raise overloaded()
        if call.handler is not None:
            name, body = call.handler.name, frames.pack_item(call.item)
        else:
            name, body = "", frames.pack_work(call.work, call.args, call.kwargs)
        if self._channel is None:
            self._start()
        self._number += 1
        self._in_flight[self._number] = call
        self._asks.append(frames.Ask(self._number, name, body))
        if len(self._asks) >= ASKS_AT_ONCE:
            self._flush()
        elif not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    async def close(self) -> None:
        """Wait for every answer, then end the child."""
        self._closing = True
        while self._in_flight:
            self._idle.clear()
            await self._idle.wait()
        if self._channel is not None and self._child is not None:
            self._loop.remove_reader(self._channel)
            self._channel.close()
            self._channel = None
            await self._loop.run_in_executor(None, self._child.wait)

    def _start(self) -> None:
        """Start a child. Raises Refusal `storage.unavailable` while the pause after a death lasts."""
        if self._loop.time() < self._start_at:
            raise _not_sent("The writer process died and is about to be started again.")
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        command = [sys.executable, "-m", "tradepost.infra.storage.writer_child"]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
        self._child = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [*command, str(theirs.fileno()), str(self._group_max)],
            pass_fds=(theirs.fileno(), *self._lock_files),  # the child too owns a file until it has ended
            env=environment,
            stdin=subprocess.DEVNULL,
        )
        theirs.close()
        ours.send(frames.spec_frame(self._spec))  # the first bytes of a new socket always fit
        self._channel = ours
        self._frames = frames.Frames()
        self._loop.add_reader(ours, self._receive)

    def _flush(self) -> None:
        self._flushing = False
        asks, self._asks = self._asks, []
        if asks and self._channel is not None:
            self._out += frames.frame(frames.Asks(asks))
            if not self._writing:
                self._write()

    def _write(self) -> None:
        channel = self._channel
        if channel is None:
            return
        try:
            while self._out:
                sent = channel.send(self._out)
                del self._out[:sent]
        except BlockingIOError:
            if not self._writing:
                self._writing = True
                self._loop.add_writer(channel, self._write)
            return
        except OSError:
            self._lose()
            return
        if self._writing:
            self._writing = False
            self._loop.remove_writer(channel)

    def _receive(self) -> None:
        channel = self._channel
        if channel is None:
            return
        try:
            data = channel.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lose()
            return
        for body in self._frames.feed(data):
            group = self._decode(body)
            if group.answers:
                self._backoff_s = 0.0
            calls = [self._answered(answer) for answer in group.answers]
            self._deliver(group.signals, calls)
        if not self._in_flight:
            self._idle.set()

    def _answered(self, answer: frames.Answer) -> Call:
        call = self._in_flight.pop(answer.number)
        result_type = None if call.handler is None else call.handler.result_type
        call.value, call.error = frames.unpack_answer(answer, result_type)
        return call

    def _lose(self) -> None:
        """The child is gone: nobody knows what became of the calls under way."""
        channel, child = self._channel, self._child
        if channel is None or child is None:
            return
        self._loop.remove_reader(channel)
        if self._writing:
            self._loop.remove_writer(channel)
        channel.close()
        child.kill()
        status = child.wait(EXIT_WAIT_S)
        self._channel, self._writing, self._asks, self._out = None, False, [], bytearray()
        self._start_at = self._loop.time() + self._backoff_s
        self._backoff_s = min(BACKOFF_LONGEST_S, max(BACKOFF_FIRST_S, 2 * self._backoff_s))
        calls, self._in_flight = list(self._in_flight.values()), {}
        log.error("the writer process ended with status %s under %s calls", status, len(calls))
        for call in calls:
            call.value, call.error = None, outcome_unknown("The writer process ended before it answered.")
        self._deliver([], calls)
        self._idle.set()


def _not_sent(detail: str) -> Refusal:
    return Refusal("storage.unavailable", f"{detail} Nothing was changed.", extra={"retry_after_s": 1})
