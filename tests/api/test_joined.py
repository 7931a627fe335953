"""Answers leave whole and in order on real connections; what is unusual stays uvicorn's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn

from tradepost.surfaces.api.joined import JoinedProtocol, join_answer


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answers by path."""
    path = scope["path"]
    await receive()
    if path == "/raises":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ValueError("after the head")
    if path == "/stream":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for piece in (b"one", b"two"):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        return
    if path == "/slow":
        for _ in range(5):
            await asyncio.sleep(0)
    body = path.encode()
    headers = [(b"content-length", b"%d" % len(body)), (b"x-path", b"a\rb" if path == "/bad" else body)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[tuple[int, uvicorn.Server]]:
    """A server on a free port."""
    config = uvicorn.Config(
        application, port=0, http=JoinedProtocol, lifespan="off", log_config=None, server_header=False,
        date_header=False, **options,
    )  # fmt: skip
    server = uvicorn.Server(config)
    task = asyncio.ensure_future(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0)
    try:
        yield server.servers[0].sockets[0].getsockname()[1], server
    finally:
        server.should_exit = True
        await task


async def ask(port: int, text: str) -> bytes:
    """Everything the server says to this text until it closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(text.replace("\n", "\r\n").encode())
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize("first", ["/slow", "/stream", "/quick", "/raises"])
def test_pipelined_requests_are_answered_in_order(first: str) -> None:
    async def story() -> bytes:
        async with serving() as (port, _):
            close = "GET /last HTTP/1.1\nhost: x\nconnection: close\n\n"
            return await ask(
                port, f"GET {first} HTTP/1.1\nhost: x\n\nGET /second HTTP/1.1\nhost: x\n\n{close}"
            )

    answer = asyncio.run(story())
    if first == "/raises":
        assert answer.startswith(b"HTTP/1.1 500")
        return
    found = [answer.index(word) for word in (b"HTTP/1.1 200", b"/second", b"/last")]
    assert found == sorted(found)
    assert answer.count(b"HTTP/1.1 200") == 3


def test_a_head_request_has_no_body() -> None:
    async def story() -> bytes:
        async with serving() as (port, _):
            return await ask(port, "HEAD /one HTTP/1.1\nhost: x\nconnection: close\n\n")

    head, _, body = asyncio.run(story()).partition(b"\r\n\r\n")
    assert b"content-length: 4" in head
    assert body == b""


def test_a_header_with_a_line_break_is_never_sent() -> None:
    async def story() -> bytes:
        async with serving() as (port, _):
            return await ask(port, "GET /bad HTTP/1.1\nhost: x\n\n")

    answer = asyncio.run(story())
    assert b"a\rb" not in answer


def test_an_idle_connection_is_closed_after_its_time_and_a_busy_one_is_not() -> None:
    async def story() -> tuple[int, bytes]:
        async with serving(timeout_keep_alive=1) as (port, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            answered, loop = 0, asyncio.get_running_loop()
            until = loop.time() + 1.5
            while loop.time() < until:
                writer.write(b"GET /one HTTP/1.1\r\nhost: x\r\n\r\n")
                await reader.readuntil(b"/one\r\n\r\n/one")
                answered += 1
                await asyncio.sleep(0.1)
            async with asyncio.timeout(10):
                rest = await reader.read()
            writer.close()
            return answered, rest

    answered, rest = asyncio.run(story())
    assert answered > 5
    assert rest == b""


def test_what_waits_is_sent_before_the_server_ends() -> None:
    async def story() -> bytes:
        async with serving() as (port, server):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n")
            while not server.server_state.total_requests:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0)
            for protocol in list(server.server_state.connections):
                protocol.shutdown()
            async with asyncio.timeout(10):
                answer = await reader.read()
            writer.close()
            return answer

    assert asyncio.run(story()).endswith(b"/slow")


def test_an_answer_that_still_waits_is_sent_before_an_idle_connection_is_closed() -> None:
    async def story() -> bytes:
        async with serving() as (port, server):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /one HTTP/1.1\r\nhost: x\r\n\r\n")
            await reader.readuntil(b"/one\r\n\r\n/one")
            (protocol,) = server.server_state.connections
            assert isinstance(protocol, JoinedProtocol)
            protocol._this_turn().write(protocol.transport, b"late")
            protocol._idle_since = -1e9
            protocol._close_idle()
            async with asyncio.timeout(10):
                rest = await reader.read()
            writer.close()
            return rest

    assert asyncio.run(story()) == b"late"


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"content-length", b"3")],
        [(b"content-length", b"2"), (b"connection", b"close")],
        [(b"content-length", b"2"), (b"transfer-encoding", b"chunked")],
        [(b"content-length", b"2"), (b"x:y", b"1")],
        [(b"content-length", b"2"), (b"x", b"1\n2")],
    ],
)
def test_an_unusual_answer_is_left_to_uvicorn(headers: list[tuple[bytes, bytes]]) -> None:
    assert join_answer({"status": 200, "headers": headers}, b"ok") == b""


def test_a_usual_answer_is_one_piece() -> None:
    head = {"status": 201, "headers": [(b"Content-Type", b"a/b"), (b"content-length", b"2")]}
    assert join_answer(head, b"ok") == (
        b"HTTP/1.1 201 Created\r\ncontent-type: a/b\r\ncontent-length: 2\r\n\r\nok"
    )
