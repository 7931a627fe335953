"""The figures without HTTP: group commit at the storage port, statements of a batch, quotes."""

from __future__ import annotations

import asyncio
import gc
import pkgutil
import shutil
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from tradepost.app import App, database_path
from tradepost.infra.storage.group import Call, run_group
from tradepost.infra.storage.sqlite import SqliteStorage
from tradepost.infra.storage.sqlite_engine import SqliteEngine, connect_writer
from tradepost.kernel.tx import Storage
from tradepost.testing.bench.driving import Tally
from tradepost.testing.bench.goals import make_figure
from tradepost.testing.bench.model import Figure, Pace, Series
from tradepost.testing.bench.over_http import Found
from tradepost.testing.bench.shop import MARKET, Plan, Shop, opened
from tradepost.trade import checkout

GROUPS = (1, 4, 16, 64, 256)
CALLERS = 256
COUNTED = (1, 16, 256)
MANY = 1_000_000
QUOTES = 60
PLACE = pkgutil.resolve_name("tradepost.trade.checkout.placing:PLACE")
"""The batch handler by its name, as a writer process finds it."""

ADDRESS = checkout.Address(name="Ann Lee", line1="1 High St", city="Leeds", postcode="LS1 1AA", country="GB")


async def make_placements(app: App, plan: Plan, count: int, run: str = "bench") -> list[Any]:
    """Placements that are accepted and not placed yet, spread over offers and buyers."""
    context = app.platform.checkout
    await context.book.get([offer_id for basket in plan.baskets for offer_id in basket.offers])
    found: list[Any] = []
    for number in range(count):
        basket = plan.baskets[number % len(plan.baskets)]
        request = checkout.Request(
            scope="bench",
            key=f"{run}-{number}",
            request_hash=f"{number:032x}",
            buyer_id=plan.buyers[number % len(plan.buyers)],
            address=ADDRESS,
            email="ann@example.org",
            method="sandbox_succeeds",
            total_minor=basket.total_minor,
            currency="GBP",
        )
        wants = [checkout.Want(offer_id=offer_id, quantity=1) for offer_id in basket.offers]
        found.append(await checkout.accept_buy_now(context, MARKET, wants, request))
    return found


def measure_storage(shop: Shop, tally: Tally, pace: Pace) -> Found:
    """The same orders in groups of several sizes, by 256 callers, each size on its own copy of the file."""
    return asyncio.run(_storage(shop, pace))


async def _storage(shop: Shop, pace: Pace) -> Found:
    folder = shop.fresh()
    async with opened(folder) as app:
        placements = await make_placements(app, shop.plan, int(pace.storage_s * 10_000) * pace.rounds)
        path = database_path(app.settings)
    found: dict[int, list[float]] = {group: [] for group in GROUPS}
    for lap in range(pace.rounds):
        share = placements[lap :: pace.rounds]
        for group in GROUPS:
            found[group].append(await _placed_on_a_copy(path, share, group, pace.storage_s))
    statements = [_count_statements(path, placements[:size]) for size in COUNTED]
    shutil.rmtree(folder)
    best = {group: median(values) for group, values in found.items()}
    ratios = [many / one for one, many in zip(found[1], found[GROUPS[-1]], strict=True)]
    details = {f"groups_of_{group}_per_s": float(round(value)) for group, value in best.items()}
    batched = make_figure(
        "batched_over_naive",
        ratios,
        details=details,
        note="256 callers; groups of 256 over groups of one, in turns. Look at the flushes a second beside it.",
    )
    return [batched, _statements(statements)], [
        Series(
            name="groups",
            title="Orders a second by size of the group committed together",
            unit="/s",
            under=tuple(str(group) for group in GROUPS),
            lines={"orders a second": tuple(round(best[group]) for group in GROUPS)},
        )
    ]


def _statements(counts: Sequence[int]) -> Figure:
    told = ", ".join(f"{count} for {size}" for size, count in zip(COUNTED, counts, strict=True))
    return make_figure(
        "statements",
        [counts[-1]],
        details={f"items_{size}": count for size, count in zip(COUNTED, counts, strict=True)},
        note=f"{told} items; BEGIN and COMMIT not counted.",
    )


async def _placed_on_a_copy(path: Path, placements: Sequence[Any], group: int, seconds: float) -> float:
    """Orders a second on a copy of the file."""
    copy = path.with_name(f"group-{group}.db")
    shutil.copyfile(path, copy)
    db = SqliteStorage(copy, group_max=group)
    try:
        return await place_all(db, placements, seconds)
    finally:
        await db.close()
        copy.unlink()


async def place_all(db: Storage, placements: Sequence[Any], seconds: float) -> float:
    """Orders a second of 256 callers that each place one after the other at the storage port."""
    waiting, done = iter(placements), 0
    gc.collect()
    began = time.perf_counter()
    until = began + seconds

    async def call() -> None:
        nonlocal done
        for placement in waiting:
            await db.batch(0, PLACE, placement)
            done += 1
            if time.perf_counter() > until:
                return

    await asyncio.gather(*[call() for _ in range(CALLERS)])
    return done / (time.perf_counter() - began)


def _count_statements(path: Path, placements: Sequence[Any]) -> int:
    copy = path.with_name("statements.db")
    shutil.copyfile(path, copy)
    engine = SqliteEngine(connect_writer(str(copy)), 0)
    engine.load_sequence()
    calls = [Call(None, handler=PLACE, item=placement) for placement in placements]
    run_group(engine, calls)
    engine.connection.close()
    copy.unlink()
    assert not any(call.error for call in calls), "the bench's own orders were refused"
    return engine.tx.statements


def measure_quotes(shop: Shop, tally: Tally, pace: Pace) -> Found:
    """A signed quote of 100 lines, a piece each and a million pieces each."""
    return asyncio.run(_quotes(shop))


async def _quotes(shop: Shop) -> Found:
    folder = shop.fresh()
    async with opened(folder) as app:
        context = msgspec.structs.replace(app.platform.checkout, quantity_max=MANY)
        buyer_id = shop.plan.buyers[0]

        def quote(quantity: int) -> Callable[[], Awaitable[object]]:
            wants = [checkout.Want(offer_id=offer_id, quantity=quantity) for offer_id in shop.plan.hundred]
            return lambda: checkout.make_quote(context, MARKET, wants, buyer_id=buyer_id)

        few, many = await _times_ms([quote(1), quote(MANY)])
    shutil.rmtree(folder)
    note = "Price, ids, freeze, sign; without decoding the request and encoding the answer."
    ratio = {"over_quantity_1": round(median(many) / median(few), 3)}
    return [
        make_figure("quote_100", [median(few)], note=note, details={"p90_ms": _high(few)}),
        make_figure("quote_100_many", [median(many)], note=note, details={"p90_ms": _high(many), **ratio}),
    ], []


async def _times_ms(acts: Sequence[Callable[[], Awaitable[object]]]) -> list[list[float]]:
    times: list[list[float]] = [[] for _ in acts]
    for act in acts:
        await act()
    for _ in range(QUOTES):
        for act, noted in zip(acts, times, strict=True):
            began = time.perf_counter()
            await act()
            noted.append((time.perf_counter() - began) * 1000)
    return times


def _high(values: Sequence[float]) -> float:
    return round(sorted(values)[len(values) * 9 // 10], 3)
