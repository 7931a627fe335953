"""What travels between the server and its writer process: length-prefixed MessagePack, works and errors pickled.

The socket pair is private to the two processes, which run the same code as the same user; nothing from outside is
ever unpickled.
"""

from __future__ import annotations

import functools
import importlib
import pickle
import socket
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from tradepost.infra.storage.writers import EngineSpec
from tradepost.kernel.errors import Refusal
from tradepost.kernel.tx import BatchHandler, Signal

LENGTH = struct.Struct("!I")
_PICKLE = pickle.HIGHEST_PROTOCOL
_encoder = msgspec.msgpack.Encoder()

VALUE, RESULT, REFUSED, FAILED = range(4)
"""Kinds of answer: a pickled value, a handler's result in MessagePack, a Refusal, another exception."""


class Ask(msgspec.Struct, array_like=True):
    """One call: an item for the named handler, or a pickled (work, args, kwargs) when there is no handler."""

    number: int
    handler: str
    body: bytes


class Answer(msgspec.Struct, array_like=True):
    """What became of one call after its group was committed or dropped."""

    number: int
    kind: int
    body: bytes


class Asks(msgspec.Struct, array_like=True):
    """Calls of one tick of the event loop."""

    calls: list[Ask]


class Answers(msgspec.Struct, array_like=True):
    """One group: its signals in commit order, then its answers."""

    signals: list[Signal]
    answers: list[Answer]


class _Refused(msgspec.Struct, array_like=True):
    code: str
    detail: str
    field: str
    expected: str
    extra: dict[str, Any]


_refused = msgspec.msgpack.Decoder(_Refused)


def frame(message: Asks | Answers) -> bytes:
    """A message with its length in front."""
    body = _encoder.encode(message)
    return LENGTH.pack(len(body)) + body


def spec_frame(spec: EngineSpec) -> bytes:
    """What a writer process is told first."""
    body = _encoder.encode(spec)
    return LENGTH.pack(len(body)) + body


def receive_spec(channel: socket.socket) -> EngineSpec:
    """Wait for it. Raises EOFError when the server ends before."""
    (size,) = LENGTH.unpack(_receive_exactly(channel, LENGTH.size))
    return msgspec.msgpack.decode(_receive_exactly(channel, size), type=EngineSpec)


def _receive_exactly(channel: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = channel.recv(size - len(data))
        if not more:
            raise EOFError("the server ended before its writer had begun")
        data += more
    return data


class Frames:
    """Cuts a stream of bytes back into the bodies of its frames."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The bodies completed by these bytes."""
        rest = self._rest
        rest += data
        at = 0
        while len(rest) - at >= LENGTH.size:
            (size,) = LENGTH.unpack_from(rest, at)
            end = at + LENGTH.size + size
            if len(rest) < end:
                break
            yield bytes(rest[at + LENGTH.size : end])
            at = end
        del rest[:at]


def pack_work(work: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bytes:
    """A work on its way to the writer. Raises what pickle raises for a work that is no module-level function."""
    return pickle.dumps((work, tuple(args), dict(kwargs)), _PICKLE)


def unpack_work(body: bytes) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    """The work, its arguments and keywords."""
    work: tuple[Any, tuple[Any, ...], dict[str, Any]] = pickle.loads(body)  # noqa: S301 - from our own parent
    return work


def pack_item(item: Any) -> bytes:
    """A handler's item as MessagePack."""
    return _encoder.encode(item)


@functools.cache
def find_handler(name: str) -> BatchHandler[Any, Any]:
    """The handler called `package.module:ATTRIBUTE`. Raises LookupError when there is none under that name."""
    module, _, attribute = name.partition(":")
    try:
        handler = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise LookupError(f"no batch handler is called {name}: {error}") from error
    if not isinstance(handler, BatchHandler) or handler.name != name:
        raise LookupError(f"{name} is not the batch handler of that name")
    return handler


@functools.cache
def item_decoder(name: str) -> msgspec.msgpack.Decoder[Any]:
    """Decodes a handler's items."""
    return msgspec.msgpack.Decoder(find_handler(name).item_type)


@functools.lru_cache(maxsize=256)
def _result_decoder(result_type: Any) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(result_type)


def pack_answer(number: int, handler: BatchHandler[Any, Any] | None, value: Any, error: Any) -> Answer:
    """The answer of one call; a value that cannot travel becomes an error that says so."""
    try:
        if isinstance(error, Refusal):
            refused = _Refused(error.code, error.detail, error.field, error.expected, error.extra)
            return Answer(number, REFUSED, _encoder.encode(refused))
        if error is not None:
            return Answer(number, FAILED, pickle.dumps(error, _PICKLE))
        if handler is not None:
            return Answer(number, RESULT, _encoder.encode(value))
        return Answer(number, VALUE, pickle.dumps(value, _PICKLE))
    except Exception as failure:
        lost = error if error is not None else value
        told = RuntimeError(f"{type(lost).__name__} cannot leave the writer process: {lost!r} ({failure})")
        return Answer(number, FAILED, pickle.dumps(told, _PICKLE))


def unpack_answer(answer: Answer, result_type: Any) -> tuple[Any, BaseException | None]:
    """(value, error) of an answer."""
    try:
        if answer.kind == RESULT:
            return _result_decoder(result_type).decode(answer.body), None
        if answer.kind == REFUSED:
            told = _refused.decode(answer.body)
            return None, Refusal(
                told.code, told.detail, field=told.field, expected=told.expected, extra=told.extra
            )
        found = pickle.loads(answer.body)  # noqa: S301 - from our own child
    except Exception as error:
        return None, RuntimeError(f"the writer's answer cannot be read: {error}")
    return (None, found) if answer.kind == FAILED else (found, None)
