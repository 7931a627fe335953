"""Trace context: read, minted, told in the answer, carried by events, decided by us and not by strangers."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tradepost.kernel.events import Event, event, record
from tradepost.kernel.world import SystemWorld
from tradepost.telemetry.asgi import Traced
from tradepost.telemetry.trace import bound, carried, carry, parse, read_parent, trace_id, traceparent

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"


@event("test.telemetry.v1")
class Told(Event, frozen=True, kw_only=True):
    """A fact."""

    number: int


@pytest.mark.parametrize(
    ("given", "known"),
    [
        (PARENT, True),
        (PARENT[:-2] + "00", True),
        (f"01-{TRACE}-{SPAN}-01-what-a-later-version-adds", True),
        (f"00-{TRACE}-{SPAN}-01-more", False),
        (f"ff-{TRACE}-{SPAN}-01", False),
        (f"00-{'0' * 32}-{SPAN}-01", False),
        (f"00-{TRACE}-{'0' * 16}-01", False),
        (PARENT.upper(), False),
        (PARENT[:-1], False),
        ("", False),
    ],
)
def test_a_traceparent_is_taken_as_w3c_says(given: str, known: bool) -> None:
    assert (parse(given) is not None) is known
    assert bool(read_parent([(b"host", b"t"), (b"traceparent", given.encode())])) is known


def test_a_payload_carries_its_trace_and_is_read_as_before() -> None:
    row = record(Told(number=7), SystemWorld().mint("order", 3), 1, 5)
    carrying = msgspec.structs.replace(row, payload=carry(row.payload, PARENT))
    assert carried(carrying.payload) == PARENT
    assert carrying.data() == row.data() == Told(number=7)
    assert msgspec.json.decode(carrying.payload)["traceparent"] == PARENT
    assert carry(carrying.payload, "00" + PARENT[2:]) == carrying.payload
    assert carried(row.payload) == ""


@pytest.mark.parametrize("payload", [b"{}", b"[]", b"", b"null"])
def test_a_payload_without_members_stays_as_it_is(payload: bytes) -> None:
    assert carry(payload, PARENT) == payload
    assert carried(payload) == ""


async def ask(headers: list[tuple[bytes, bytes]]) -> tuple[str, dict[bytes, bytes]]:
    """(trace id seen inside, headers of the answer) of one request."""
    seen: list[str] = []
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(trace_id())
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "headers": headers, "method": "GET", "path": "/"}
    await Traced(app, SystemWorld())(scope, None, send)  # type: ignore[arg-type]
    assert trace_id() == "", "nothing is left bound"
    return seen[0], dict(sent[0]["headers"])


async def test_the_callers_trace_is_taken_and_told() -> None:
    seen, headers = await ask([(b"traceparent", PARENT.encode())])
    assert seen == TRACE
    assert headers == {b"content-length": b"0", b"tradepost-trace-id": TRACE.encode()}


async def test_without_a_usable_one_every_request_has_its_own() -> None:
    ids = [(await ask(headers))[0] for headers in ([], [], [(b"traceparent", b"00-zz-1-01")])]
    assert len(set(ids)) == 3
    assert all(len(one) == 32 and parse(f"00-{one}-{SPAN}-01") for one in ids)


def test_binding_ends_with_its_block() -> None:
    with bound(TRACE, PARENT):
        assert (trace_id(), traceparent()) == (TRACE, PARENT)
        with bound("ab" * 16):
            assert (trace_id(), traceparent()) == ("ab" * 16, "")
        assert traceparent() == PARENT
    assert (trace_id(), traceparent()) == ("", "")
