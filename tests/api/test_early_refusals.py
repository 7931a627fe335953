"""The short way of refusals over a real socket: answered at the head, and the connection stays in step."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn

from tradepost.surfaces.api.joined import JoinedProtocol, name_plain
from tradepost.surfaces.cli.scrape import Neighbours
from tradepost.surfaces.cli.worker import Front, http_config

FULL = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nfull"
BODY = b"0123456789"


class Half:
    """Refuses POST /full early; answers everything else with its path and body."""

    def __init__(self) -> None:
        self.served: list[tuple[str, bytes]] = []
        self.asked: list[bytes] = []

    def refuse_early(self, method: bytes, url: bytes) -> bytes | None:
        self.asked.append(url)
        return FULL if (method, url) == (b"POST", b"/full") else None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        self.served.append((scope["path"], body))
        answer = scope["path"].encode()
        headers = [(b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})


@pytest.fixture
async def place() -> AsyncIterator[tuple[Half, int]]:
    """The application on a port of its own."""
    app, listening = Half(), socket.socket()
    listening.bind(("127.0.0.1", 0))
    config = uvicorn.Config(
        app,
        http=JoinedProtocol,
        loop="none",
        lifespan="off",
        server_header=False,
        date_header=False,
        log_config=None,
        proxy_headers=False,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
    serving = asyncio.ensure_future(server.serve([listening]))
    yield app, listening.getsockname()[1]
    server.should_exit = True
    await serving


def head(method: str, path: str, *lines: str) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "host: x", *lines, "", ""]).encode()


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes, bytes]:
    """Status, head and body of the next answer."""
    async with asyncio.timeout(10):
        top = await reader.readuntil(b"\r\n\r\n")
        length = int(top.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        return int(top.split()[1]), top, await reader.readexactly(length)


async def test_refused_and_served_requests_take_turns_on_one_connection(place: tuple[Half, int]) -> None:
    app, port = place
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(3):
        writer.write(head("POST", "/full", "content-length: 10") + BODY)
        assert (await answer(reader))[::2] == (503, b"full")
        writer.write(head("POST", "/room", "content-length: 10") + BODY)
        assert (await answer(reader))[::2] == (200, b"/room")
    assert app.served == [("/room", BODY)] * 3
    writer.close()


async def test_each_request_is_asked_about_once_parsed_or_not(place: tuple[Half, int]) -> None:
    app, port = place
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    paths = [
        "/open",
        "/full",
        "/open",
        "/full",
        "/open",
    ]  # from the first refusal on they are looked at unparsed
    for path in paths:
        writer.write(head("POST", path, "content-length: 10") + BODY)
        await answer(reader)
    assert app.asked == [path.encode() for path in paths], "a place would be kept for each time"
    writer.close()


async def test_a_body_that_comes_after_the_refusal_is_no_request(place: tuple[Half, int]) -> None:
    app, port = place
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head("POST", "/full", "content-length: 10"))
    assert (await answer(reader))[0] == 503
    writer.write(BODY[:4])
    await writer.drain()
    writer.write(BODY[4:] + head("GET", "/next"))
    assert (await answer(reader))[::2] == (200, b"/next")
    assert app.served == [("/next", b"")]
    writer.close()


async def test_requests_sent_together_are_answered_in_order(place: tuple[Half, int]) -> None:
    _, port = place
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    full, room = head("POST", "/full", "content-length: 0"), head("GET", "/room")
    writer.write(full + room + room)
    assert [(await answer(reader))[0] for _ in range(3)] == [503, 200, 200]
    writer.close()


async def test_a_refused_caller_who_wants_to_close_is_let_go(place: tuple[Half, int]) -> None:
    _, port = place
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head("POST", "/full", "content-length: 0", "connection: close"))
    status, top, _ = await answer(reader)
    assert (status, b"connection: close" in top) == (503, True)
    async with asyncio.timeout(10):
        assert await reader.read() == b""
    writer.close()


async def test_a_caller_who_asks_before_sending_takes_the_usual_way(place: tuple[Half, int]) -> None:
    app, port = place
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head("POST", "/full", "content-length: 10", "expect: 100-continue"))
    async with asyncio.timeout(10):
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(BODY)
    assert (await answer(reader))[0] == 200
    assert app.served == [("/full", BODY)]
    writer.close()


PLAIN = head("POST", "/full", "Content-Length: 10", "idempotency-key: k")


@pytest.mark.parametrize(
    "data",
    [
        PLAIN,
        PLAIN + BODY[:9],
        PLAIN + BODY + b"G",
        head("POST", "/full"),
        head("POST", "/full", "content-length: 10", "content-length: 10") + BODY,
        head("POST", "/full", "content-length: 1x") + BODY,
        head("POST", "/full", "content-length:10") + BODY,
        head("POST", "/full", "content-length: 10", "Connection: close") + BODY,
        head("POST", "/full", "content-length: 10", "Expect: 100-continue") + BODY,
        head("POST", "/full", "content-length: 10", "transfer-encoding: chunked") + BODY,
        head("POST", "/full", "content-length: 10", " folded") + BODY,
        (PLAIN + BODY).replace(b"HTTP/1.1", b"HTTP/1.0"),
        BODY,
        b"",
    ],
)
def test_what_leaves_a_doubt_is_the_parsers(data: bytes) -> None:
    assert name_plain(data) is None


def test_a_plain_request_is_known_by_its_line() -> None:
    assert name_plain(PLAIN + BODY) == (b"POST", b"/full")
    assert name_plain(head("POST", "/full", "content-length: 0")) == (b"POST", b"/full")


async def test_pieces_of_a_request_are_never_taken_for_one(place: tuple[Half, int]) -> None:
    """A body that looks like a request to refuse, sent while others are refused, stays a body."""
    app, port = place
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(PLAIN + BODY)
    assert (await answer(reader))[0] == 503
    inner = PLAIN + BODY
    writer.write(head("POST", "/room", f"content-length: {len(inner)}"))
    await writer.drain()
    await asyncio.sleep(0.05)  # so that the body is read by itself; together the answer is the same
    writer.write(inner)
    assert (await answer(reader))[::2] == (200, b"/room")
    assert app.served == [("/room", inner)]
    writer.close()


async def test_a_worker_refuses_early_as_its_application_does_until_it_drains() -> None:
    app, listening = Half(), socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    front = Front(app, Neighbours("", "api-0", 0, app))
    server = uvicorn.Server(http_config(front, 1.0))
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
    serving = asyncio.ensure_future(server.serve([listening]))
    reader, writer = await asyncio.open_connection(*listening.getsockname())
    writer.write(head("POST", "/full", "content-length: 0"))
    assert (await answer(reader))[0] == 503
    front.draining = True
    writer.write(head("POST", "/full", "content-length: 0"))
    status, top, body = await answer(reader)
    assert (status, body, b"connection: close" in top.lower()) == (200, b"/full", True)
    assert app.served == [("/full", b"")], "the first one never got past its head"
    writer.close()
    server.should_exit = True
    await serving
