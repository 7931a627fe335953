"""The double on a port: just enough HTTP/1.1 for one client, and connections that can be lost."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from tradepost.testing.stripe_double.double import Answer, StripeDouble

BODY_BYTES_MAX = 1 << 20


@contextlib.asynccontextmanager
async def serving(double: StripeDouble, port: int) -> AsyncIterator[str]:
    """The base URL at which a double answers on this machine, until the block ends."""
    open_now: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_now[writer] = asyncio.current_task()
        double.most_connections = max(double.most_connections, len(open_now))
        try:
            while await _one(double, reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            del open_now[writer]
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.close()
        tasks = [task for task in open_now.values() if task is not None]
        for writer in open_now:
            writer.close()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


async def _one(double: StripeDouble, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Answer one request; whether the connection stays."""
    line = (await reader.readline()).decode("latin-1").split()
    if len(line) < 2:
        return False
    headers: dict[str, str] = {}
    while (header := (await reader.readline()).decode("latin-1").strip()) != "":
        name, _, value = header.partition(":")
        headers[name.strip().lower()] = value.strip()
    length = int(headers.get("content-length", "0"))
    if length > BODY_BYTES_MAX:
        return False
    body = await reader.readexactly(length)
    answer = await double.handle(line[0], line[1], headers, body)
    if answer.silent:
        await reader.read()  # until the client gives up
        return False
    if answer.lost:
        return False
    await _send(writer, answer)
    return True


async def _send(writer: asyncio.StreamWriter, answer: Answer) -> None:
    head = (
        f"HTTP/1.1 {answer.status} Double\r\nContent-Type: application/json\r\nRequest-Id: req_double\r\n"
        f"Content-Length: {len(answer.body)}\r\n\r\n"
    )
    writer.write(head.encode() + answer.body)
    await writer.drain()
