"""Where the time of an order goes: the placing pipeline in this process, layer by layer, and under cProfile."""

from __future__ import annotations

import asyncio
import cProfile
import io
import pstats
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from tradepost.app import App, database_path
from tradepost.infra.storage.group import Call, run_group
from tradepost.infra.storage.sqlite_engine import SqliteEngine, SqliteTx, connect_writer
from tradepost.markets import market
from tradepost.surfaces.api import raw
from tradepost.surfaces.api.routes.checkout_views import PlaceRequest, view_checkout
from tradepost.testing.bench import asking
from tradepost.testing.bench.driving import Tally
from tradepost.testing.bench.goals import make_figure
from tradepost.testing.bench.in_process import PLACE, make_placements
from tradepost.testing.bench.model import Pace, Series
from tradepost.testing.bench.over_http import Found
from tradepost.testing.bench.shop import MARKET, Plan, Shop, opened
from tradepost.trade import checkout, pricing, shipping, tax
from tradepost.trade.pricing import PriceLine

BATCH = 256
BATCHES = 12
TOP = 28
READ, PRICE, FREEZE, BATCH_CODE, SQL, COMMIT, ANSWER, RELAY = (
    "read, decode, authorise",
    "price",
    "freeze and encode the orders",
    "batch handler in Python",
    "SQL statements",
    "commit and flush",
    "encode the answer",
    "relay and consumers, later",
)
Layers = dict[str, float]
"""Microseconds of one order by layer: CPU time, and for the commit the time until the disk has it."""


class TimedTx(SqliteTx):
    """Counts the time inside SQLite's statements."""

    spent_s = 0.0

    @contextmanager
    def _timed(self) -> Iterator[None]:
        began = time.thread_time()
        try:
            yield
        finally:
            self.spent_s += time.thread_time() - began

    def query(self, sql: str, params: Sequence[Any] = ()) -> list[Any]:
        """As SqliteTx."""
        with self._timed():
            return super().query(sql, params)

    def execute(self, sql: str, params: Sequence[Any] = ()) -> int:
        """As SqliteTx."""
        with self._timed():
            return super().execute(sql, params)

    def execute_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> int:
        """As SqliteTx."""
        with self._timed():
            return super().execute_many(sql, rows)


class TimedEngine(SqliteEngine):
    """Counts the time of commits and of statements apart."""

    commit_s = commit_cpu_s = 0.0

    def __init__(self, path: str) -> None:
        super().__init__(connect_writer(path), 0)
        self.timed = TimedTx(self.connection, 0)
        self.tx = self.timed
        self.load_sequence()

    def commit(self) -> Any:
        """As SqliteEngine."""
        began, cpu = time.perf_counter(), time.thread_time()
        signals = super().commit()
        self.commit_s += time.perf_counter() - began
        self.commit_cpu_s += time.thread_time() - cpu
        return signals


def measure_layers(shop: Shop, tally: Tally, pace: Pace) -> Found:
    """Microseconds of one order by layer, in batches of 256, nothing else at work."""
    layers = asyncio.run(_layers(shop, 2 if pace.rounds == 1 else BATCHES))
    lines: dict[str, tuple[float, ...]] = {name: (round(us, 1),) for name, us in layers.items()}
    title = "Where the time of one order goes, in process"
    series = Series(name="layers", title=title, unit="us", under=("one order",), lines=lines)
    figure = make_figure(
        "order_in_process",
        [sum(layers.values())],
        details={name: line[0] for name, line in lines.items()},
        note="Batches of 256, nothing else at work; HTTP and the event loop come on top.",
    )
    return [figure], [series]


async def _layers(shop: Shop, batches: int) -> Layers:
    folder, count = shop.fresh(), batches * BATCH
    async with opened(folder) as app:
        path = str(database_path(app.settings))
        found = await _before_the_batch(app, shop.plan, count)
        placements = await make_placements(app, shop.plan, count)
    found |= _the_batch(path, placements)
    view = msgspec.json.Decoder(checkout.CheckoutView).decode
    encode = msgspec.json.Encoder().encode
    found[ANSWER] = _us(
        lambda: [encode(view_checkout(view(placement.body))) for placement in placements], count
    )
    async with opened(folder) as app:
        began = time.process_time()
        await app.platform.runtime.drain()
        found[RELAY] = (time.process_time() - began) * 1e6 / count
    shutil.rmtree(folder)
    return found


async def _before_the_batch(app: App, plan: Plan, count: int) -> Layers:
    requests = list(asking.place_requests(plan, plan.baskets, count=count))
    platform = app.platform
    heads, bodies = zip(*(request.split(b"\r\n\r\n", 1) for request in requests), strict=True)
    scopes = [{"headers": _headers(head)} for head in heads]
    await platform.keyring.find(raw.read_token(scopes[0]))

    def read() -> None:
        for scope, body in zip(scopes, bodies, strict=True):
            platform.keyring.peek(raw.read_token(scope))
            raw.read_key(scope)
            raw.decode_body(PlaceRequest, body)
            raw.hash_request("POST", "/v1/checkouts", body)

    views = await platform.checkout.book.get([offer for basket in plan.baskets for offer in basket.offers])
    lines = [
        [
            PriceLine(offer=views[offer], quantity=1)
            for offer in plan.baskets[number % len(plan.baskets)].offers
        ]
        for number in range(count)
    ]
    where, at_ms = market(MARKET), platform.world.now_ms()
    by_tax, by_rate = tax.TAXES.choose("shop"), shipping.RATES.choose("shop")

    def price() -> None:
        for basket in lines:
            pricing.price(basket, where, at_ms, tax=by_tax, ship=by_rate, scene="shop")

    found = {READ: _us(read, count), PRICE: _us(price, count)}
    await make_placements(app, plan, 200)
    began = time.thread_time()
    await make_placements(app, plan, count)
    found[FREEZE] = (time.thread_time() - began) * 1e6 / count - found[PRICE]
    return found


def _headers(head: bytes) -> list[tuple[bytes, bytes]]:
    pairs = [line.split(b": ", 1) for line in head.split(b"\r\n")[1:]]
    return [(name.lower(), value) for name, value in pairs]


def _the_batch(path: str, placements: Sequence[Any]) -> Layers:
    engine = TimedEngine(path)
    began = time.thread_time()
    _run_batches(engine, placements)
    whole_s = time.thread_time() - began
    engine.connection.close()
    sql_s, commit_s, count = engine.timed.spent_s, engine.commit_s, len(placements)
    return {
        BATCH_CODE: (whole_s - sql_s - engine.commit_cpu_s) * 1e6 / count,
        SQL: sql_s * 1e6 / count,
        COMMIT: commit_s * 1e6 / count,
    }


def _run_batches(engine: SqliteEngine, placements: Sequence[Any]) -> None:
    for start in range(0, len(placements), BATCH):
        calls = [Call(None, handler=PLACE, item=item) for item in placements[start : start + BATCH]]
        run_group(engine, calls)
        assert not any(call.error for call in calls), "the bench's own orders were refused"


def _us(work: Callable[[], Any], count: int) -> float:
    began = time.thread_time()
    work()
    return (time.thread_time() - began) * 1e6 / count


def profile_placing(shop: Shop) -> tuple[Layers, str]:
    """Microseconds of one order by layer, and the busiest functions of the pipeline under cProfile."""
    layers = asyncio.run(_layers(shop, BATCHES))
    return layers, asyncio.run(_profile(shop))


async def _profile(shop: Shop) -> str:
    folder, profiler = shop.fresh(), cProfile.Profile()
    async with opened(folder) as app:
        await make_placements(app, shop.plan, 200)
        profiler.enable()
        placements = await make_placements(app, shop.plan, BATCHES * BATCH)
        profiler.disable()
        path = str(database_path(app.settings))
    engine = SqliteEngine(connect_writer(path), 0)
    engine.load_sequence()
    profiler.enable()
    _run_batches(engine, placements)
    profiler.disable()
    engine.connection.close()
    shutil.rmtree(folder)
    text = io.StringIO()
    pstats.Stats(profiler, stream=text).strip_dirs().sort_stats("tottime").print_stats(TOP)
    return text.getvalue()
