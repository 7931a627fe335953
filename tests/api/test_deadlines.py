"""The bound on the time a caller waits: who is told what, what goes on, and how its outcome is found."""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import uvicorn
from tests.api.conftest import Client, Shop

from tradepost.surfaces.api import Platform, create_asgi
from tradepost.surfaces.api.deadlines import Deadlines, Waiting
from tradepost.surfaces.api.routes import OPERATIONS
from tradepost.surfaces.cli.worker import http_config
from tradepost.trade.payments import Providers

SOON_MS = 50


class Away:
    """A storage that answers nobody until it is back."""

    def __init__(self, db: Any) -> None:
        self.db = db
        self.back = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.db, name)

    async def transact(self, *args: Any, **named: Any) -> Any:
        done = await self.db.transact(*args, **named)
        await self.back.wait()  # committed, but nobody hears of it
        return done

    async def read(self, *args: Any, **named: Any) -> Any:
        await self.back.wait()
        return await self.db.read(*args, **named)


def behind(shop: Shop, away: Away) -> Platform:
    """The shop on a storage that is away, with little patience."""
    limits = msgspec.structs.replace(shop.platform.limits, deadline_ms=SOON_MS)
    db: Any = away
    return msgspec.structs.replace(shop.platform, db=db, limits=limits)


class Ear:
    """An application whose answers are heard as they are sent, and which is still running then."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def heard(message: dict[str, Any]) -> None:
            await self.sent.put(message)
            await send(message)

        await self.app(scope, receive, heard)

    async def answer(self) -> tuple[int, dict[bytes, bytes], Any]:
        """The next answer: status, headers and problem."""
        async with asyncio.timeout(10):
            head, body = await self.sent.get(), await self.sent.get()
        return head["status"], dict(head["headers"]), msgspec.json.decode(body["body"])


async def on_hand(shop: Shop) -> int:
    """Pieces of the SKU wherever they lie."""
    stock = await shop.seller.get(f"/v1/stock/{shop.sku_id}")
    return sum(int(number) for number in re.findall(rb'"on_hand":(\d+)', stock.body))


async def test_the_caller_is_told_the_work_goes_on_and_the_key_gives_its_answer(shop: Shop) -> None:
    away = Away(shop.platform.db)
    ear = Ear(create_asgi(behind(shop, away)))
    path, body = f"/v1/stock/{shop.sku_id}/receive", {"quantity": 5}
    before = await on_hand(shop)
    asking = asyncio.ensure_future(Client(ear, shop.seller.token).post(path, body, key="once"))
    status, headers, problem = await ear.answer()
    assert not asking.done()
    assert (status, problem["code"], problem["outcome"]) == (503, "request.deadline", "unknown")
    assert (headers[b"retry-after"], problem["retry_after_s"]) == (b"2", 2)
    assert "same Idempotency-Key" in problem["detail"]
    assert problem["trace_id"].encode() in b"".join(headers.values())
    away.back.set()
    await asking
    assert ear.sent.empty(), "one request has one answer"
    again = await shop.seller.post(path, body, key="once")
    assert (again.status, again.headers["idempotency-replayed"]) == (200, "true")
    assert await on_hand(shop) == before + 5


async def test_a_reader_is_told_that_nothing_was_changed(shop: Shop) -> None:
    away = Away(shop.platform.db)
    ear = Ear(create_asgi(behind(shop, away)))
    asking = asyncio.ensure_future(Client(ear, shop.seller.token).get(f"/v1/stock/{shop.sku_id}"))
    status, _, problem = await ear.answer()
    assert (status, problem["code"], "outcome" in problem) == (503, "request.deadline", False)
    assert "Nothing was changed" in problem["detail"]
    away.back.set()
    await asking
    assert ear.sent.empty()


@pytest.fixture
async def served(shop: Shop) -> AsyncIterator[tuple[Away, int]]:
    """The same on a port."""
    away, listening = Away(shop.platform.db), socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(http_config(create_asgi(behind(shop, away)), 1.0))
    serving = asyncio.ensure_future(server.serve([listening]))
    yield away, listening.getsockname()[1]
    away.back.set()
    server.should_exit = True
    await serving


async def test_the_connection_of_a_late_request_serves_the_next_one(
    shop: Shop, served: tuple[Away, int]
) -> None:
    away, port = served
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def ask(path: str) -> tuple[int, bytes]:
        head = f"GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {shop.seller.token}\r\n\r\n"
        writer.write(head.encode())
        async with asyncio.timeout(10):
            told = await reader.readuntil(b"\r\n\r\n")
            length = int(told.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            return int(told.split()[1]), await reader.readexactly(length)

    path = f"/v1/stock/{shop.sku_id}"
    late = [await ask(path) for _ in range(3)]
    assert [(status, b"request.deadline" in body) for status, body in late] == [(503, True)] * 3
    assert (await ask("/health/live"))[0] == 200
    away.back.set()
    status, body = await ask(path)
    assert (status, b"on_hand" in body) == (200, True), "answers stay in step with questions"
    writer.close()


class Desk:
    """Deadlines whose refusals are only noted."""

    def __init__(self, deadline_ms: int, call_timeout_ms: int = 200) -> None:
        self.providers = Providers(call_timeout_ms=call_timeout_ms)
        self.deadlines = Deadlines(deadline_ms, self.providers, self._tell)
        self.told: list[str] = []
        self.heard = asyncio.Event()

    async def _tell(self, waiting: Waiting) -> None:
        self.told.append(waiting.operation.path)
        self.heard.set()

    def begin(self, number: int = 0) -> Waiting:
        async def send(_: Any) -> None:
            raise AssertionError("the desk tells nobody")

        return self.deadlines.begin(PLAIN[number], send, time.perf_counter())


PLAIN = [one for one in OPERATIONS if not one.bulk]
BULK = next(one for one in OPERATIONS if one.bulk)


async def test_one_timer_watches_all_and_rests_when_there_are_none() -> None:
    desk = Desk(SOON_MS)
    for _ in range(100):
        desk.deadlines.end(desk.begin())
    first = desk.deadlines._timer
    waiting = desk.begin(1)
    assert desk.deadlines._timer is first is not None
    async with asyncio.timeout(10):
        await desk.heard.wait()
    assert (desk.told, waiting.late) == ([PLAIN[1].path], True)
    assert (desk.deadlines._timer, desk.deadlines._waiting) == (None, {})
    desk.deadlines.end(waiting)


async def test_waiting_for_a_provider_comes_on_top() -> None:
    desk = Desk(SOON_MS)
    with desk.providers.waited_for():
        waiting, began = desk.begin(), time.perf_counter()
        async with asyncio.timeout(10):
            await desk.heard.wait()
        assert time.perf_counter() - began >= 0.25
    assert waiting.late


async def test_a_provider_that_answers_in_its_time_is_answered_for() -> None:
    desk = Desk(SOON_MS)
    with desk.providers.waited_for():
        waiting = desk.begin()
        waiting.started -= 1  # its time is up, the provider's is not
        desk.deadlines._look()
    assert not desk.deadlines._waiting
    desk.deadlines.end(waiting)
    desk.deadlines._give_up(waiting)
    assert (desk.told, waiting.late) == ([], False)


async def test_bulk_and_a_bound_of_zero_wait_as_long_as_it_takes() -> None:
    desk, endless = Desk(SOON_MS), Desk(0)

    async def send(_: Any) -> None:
        raise AssertionError("nobody is told")

    desk.deadlines.begin(BULK, send, 0.0)
    endless.begin()
    assert (desk.deadlines._timer, endless.deadlines._timer) == (None, None)
    assert not desk.deadlines._waiting
    assert not endless.deadlines._waiting
