"""The writer process: reads calls from its socket, commits them in groups, answers. Ends when the server does."""

from __future__ import annotations

import contextlib
import gc
import select
import signal
import socket
import sys
from collections import deque

import msgspec

from tradepost.infra.storage import frames
from tradepost.infra.storage.group import GROUP_CALLS_MAX, Call, refuse_group, run_group
from tradepost.infra.storage.sqlite_engine import SqliteEngine, connect_writer
from tradepost.kernel.tx import Signal

RECEIVE_BYTES = 1 << 18
GC_YOUNG = 50_000


class WriterChild:
    """One connection to the file and one to the server."""

    def __init__(self, channel: socket.socket, path: str, group_max: int = GROUP_CALLS_MAX) -> None:
        self._channel = channel
        self._group_max = group_max
        self._engine = SqliteEngine(connect_writer(path), 0)
        self._engine.load_sequence()
        self._frames = frames.Frames()
        self._decode = msgspec.msgpack.Decoder(frames.Asks).decode
        self._waiting: deque[Call] = deque()

    def run(self) -> None:
        """Serve until the server closes its end; what it sent before that is still committed."""
        self._channel.sendall(frames.frame(frames.Answers([], [])))
        is_open = True
        while is_open or self._waiting:
            while is_open and len(self._waiting) < GROUP_CALLS_MAX:
                wait_s = 0 if self._waiting else None
                if not select.select([self._channel], [], [], wait_s)[0]:
                    break
                data = self._channel.recv(RECEIVE_BYTES)
                is_open = bool(data)
                self._take(data)
            if self._waiting:
                size = min(len(self._waiting), self._group_max)
                self._commit([self._waiting.popleft() for _ in range(size)])
        self._engine.connection.close()

    def _take(self, data: bytes) -> None:
        for body in self._frames.feed(data):
            refused = []
            for ask in self._decode(body).calls:
                try:
                    self._waiting.append(_call_of(ask))
                except Exception as error:
                    refused.append(frames.pack_answer(ask.number, None, None, error))
            if refused:
                self._send([], refused)

    def _commit(self, group: list[Call]) -> None:
        try:
            signals = run_group(self._engine, group)
        except Exception as error:
            self._engine.rollback()
            signals = []
            refuse_group(group, error)
        self._send(
            signals, [frames.pack_answer(call.token, call.handler, call.value, call.error) for call in group]
        )

    def _send(self, signals: list[Signal], answers: list[frames.Answer]) -> None:
        with contextlib.suppress(OSError):  # the server is gone: what was committed stays committed
            self._channel.sendall(frames.frame(frames.Answers(signals, answers)))


def _call_of(ask: frames.Ask) -> Call:
    if ask.handler:
        item = frames.item_decoder(ask.handler).decode(ask.body)
        return Call(ask.number, handler=frames.find_handler(ask.handler), item=item)
    work, args, kwargs = frames.unpack_work(ask.body)
    return Call(ask.number, work=work, args=args, kwargs=kwargs)


def main() -> None:
    """Run on the socket numbered by the first argument, for the file of the second; the third bounds a group."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal tells the server, which lets us finish
    channel = socket.socket(fileno=int(sys.argv[1]))
    writer = WriterChild(channel, sys.argv[2], int(sys.argv[3]))
    gc.freeze()
    gc.set_threshold(GC_YOUNG, 20, 50)  # batches leave no cycles: look for them rarely
    writer.run()


if __name__ == "__main__":
    main()
