"""The writer process: reads calls from its socket, commits them in groups, answers. Ends when the server does.

Which database it writes comes first over the socket, as an `EngineSpec`.
"""

from __future__ import annotations

import contextlib
import gc
import select
import signal
import socket
import sys
import threading
from collections import deque
from collections.abc import Sequence

import msgspec

from tradepost.infra.storage import frames
from tradepost.infra.storage.group import GROUP_CALLS_MAX, Call, refuse_group, run_group
from tradepost.infra.storage.writers import EngineSpec, ThreadWriters, Tickets, open_engines
from tradepost.kernel.tx import Signal
from tradepost.telemetry.logs import configure_logs

RECEIVE_BYTES = 1 << 18
GC_YOUNG = 50_000


class WriterChild:
    """One engine and the server's end of the socket."""

    def __init__(self, channel: socket.socket, spec: EngineSpec, group_max: int = GROUP_CALLS_MAX) -> None:
        self._channel = channel
        self._group_max = group_max
        [self._engine] = open_engines(spec, None)
        self._frames = frames.Frames()
        self._decode = msgspec.msgpack.Decoder(frames.Asks).decode
        self._waiting: deque[Call] = deque()

    def run(self) -> None:
        """Serve until the server closes its end; what it sent before that is still committed."""
        self._send([], [])
        is_open = True
        while is_open or self._waiting:
            while is_open and len(self._waiting) < GROUP_CALLS_MAX:
                wait_s = 0 if self._waiting else None
                if not select.select([self._channel], [], [], wait_s)[0]:
                    break
                data = _receive(self._channel)
                is_open = bool(data)
                self._take(data)
            if self._waiting:
                size = min(len(self._waiting), self._group_max)
                self._commit([self._waiting.popleft() for _ in range(size)])
        self._engine.close()

    def _take(self, data: bytes) -> None:
        for body in self._frames.feed(data):
            calls, refused = _calls_of(self._decode(body))
            self._waiting += calls
            if refused:
                self._send([], refused)

    def _commit(self, group: list[Call]) -> None:
        try:
            signals = run_group(self._engine, group)
        except Exception as error:
            self._engine.rollback()
            signals = []
            refuse_group(group, error)
        self._send(signals, _answers(group))

    def _send(self, signals: list[Signal], answers: list[frames.Answer]) -> None:
        with contextlib.suppress(OSError):  # the server is gone: what was committed stays committed
            self._channel.sendall(frames.frame(frames.Answers(signals, answers)))


class WritersChild:
    """Several engines of one shard, each on a thread of its own, and the server's end of the socket."""

    def __init__(self, channel: socket.socket, spec: EngineSpec, group_max: int = GROUP_CALLS_MAX) -> None:
        self._channel = channel
        self._sending = threading.Lock()
        tickets = Tickets(lambda signals, group: self._send(signals, _answers(group)))
        self._writers = ThreadWriters(
            open_engines(spec, tickets), tickets, group_max, queue_max=sys.maxsize
        )  # the server bounds what is under way

    def run(self) -> None:
        """Serve until the server closes its end; what it sent before that is still committed."""
        self._send([], [])
        cut, decode = frames.Frames(), msgspec.msgpack.Decoder(frames.Asks).decode
        while data := _receive(self._channel):
            for body in cut.feed(data):
                calls, refused = _calls_of(decode(body))
                for call in calls:
                    self._writers.submit(call)
                if refused:
                    self._send([], refused)
        self._writers.finish()

    def _send(self, signals: list[Signal], answers: list[frames.Answer]) -> None:
        with self._sending, contextlib.suppress(OSError):  # the server is gone: what was committed stays
            self._channel.sendall(frames.frame(frames.Answers(signals, answers)))


def _receive(channel: socket.socket) -> bytes:
    try:
        return channel.recv(RECEIVE_BYTES)
    except ConnectionResetError:  # the server was killed before it read what we sent
        return b""


def _answers(group: Sequence[Call]) -> list[frames.Answer]:
    return [frames.pack_answer(call.token, call.handler, call.value, call.error) for call in group]


def _calls_of(asks: frames.Asks) -> tuple[list[Call], list[frames.Answer]]:
    calls: list[Call] = []
    refused: list[frames.Answer] = []
    for ask in asks.calls:
        try:
            calls.append(_call_of(ask))
        except Exception as error:
            refused.append(frames.pack_answer(ask.number, None, None, error))
    return calls, refused


def _call_of(ask: frames.Ask) -> Call:
    if ask.handler:
        item = frames.item_decoder(ask.handler).decode(ask.body)
        return Call(ask.number, handler=frames.find_handler(ask.handler), item=item)
    work, args, kwargs = frames.unpack_work(ask.body)
    return Call(ask.number, work=work, args=args, kwargs=kwargs)


def main() -> None:
    """Run on the socket numbered by the first argument; the second bounds a group."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal tells the server, which lets us finish
    configure_logs(process="writer")
    channel = socket.socket(fileno=int(sys.argv[1]))
    spec = frames.receive_spec(channel)
    kind = WriterChild if spec.writers == 1 else WritersChild
    writer = kind(channel, spec, int(sys.argv[2]))
    gc.freeze()
    gc.set_threshold(GC_YOUNG, 20, 50)  # batches leave no cycles: look for them rarely
    writer.run()


if __name__ == "__main__":
    main()
