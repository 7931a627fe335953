"""Which request this is: a W3C trace context, bound to the task that answers it and carried by the events it wrote."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator
from contextvars import ContextVar

HEADER = b"traceparent"
ANSWER_HEADER = b"tradepost-trace-id"
_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII | re.DOTALL)
_CARRIED = b',"traceparent":"'
_CARRIED_SIZE = len(_CARRIED) + 55 + 2
SAMPLED = 1

TRACE_ID: ContextVar[str] = ContextVar("tradepost_trace_id", default="")
_traceparent: ContextVar[str] = ContextVar("tradepost_traceparent", default="")

trace_id = TRACE_ID.get
"""The 32 hexadecimal letters of the request or delivery under way, empty outside one."""

traceparent = _traceparent.get
"""The recorded span under way as a `traceparent`, empty while nothing is recorded."""


def read_parent(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The caller's `traceparent` among ASGI headers, empty when there is none that is usable."""
    for name, value in headers:
        if name == HEADER:
            given = value.decode("latin-1")
            return given[:55] if parse(given) else ""
    return ""


def parse(given: str) -> tuple[str, str] | None:
    """(trace id, span id) of a `traceparent`; None for one that W3C Trace Context tells to ignore."""
    found = _PARENT.fullmatch(given)
    if found is None:
        return None
    version, trace, span, _, further = found.groups()
    if version == "ff" or not trace.strip("0") or not span.strip("0") or (version == "00" and further):
        return None
    return trace, span


def write_parent(trace: str, span: str) -> str:
    """A `traceparent` of version 00 that says: recorded."""
    return f"00-{trace}-{span}-{SAMPLED:02x}"


@contextlib.contextmanager
def bound(trace: str, parent: str = "") -> Iterator[None]:
    """Let everything inside know its trace id, and the recorded span it belongs to if there is one."""
    before = TRACE_ID.set(trace)
    before_parent = _traceparent.set(parent)
    try:
        yield
    finally:
        TRACE_ID.reset(before)
        _traceparent.reset(before_parent)


def carry(payload: bytes, parent: str) -> bytes:
    """An event's payload with the `traceparent` as its last member; every reader ignores members it does not know.

    A payload that carries one already, or is no JSON object with members, stays as it is.
    """
    if not payload.endswith(b"}") or payload.endswith(b"{}") or carried(payload):
        return payload
    return b'%b%b%b"}' % (payload[:-1], _CARRIED, parent.encode("ascii"))


def carried(payload: bytes) -> str:
    """The `traceparent` that a payload carries, empty when it carries none."""
    if payload[-_CARRIED_SIZE : -_CARRIED_SIZE + len(_CARRIED)] != _CARRIED:
        return ""
    given = payload[-57:-2].decode("latin-1")
    return given if parse(given) else ""
