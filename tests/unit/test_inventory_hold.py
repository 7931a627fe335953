"""Holding stock: admission, idempotency, limits, one row per refusal, statements and plans."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import msgspec
import pytest

from tradepost.infra.storage.sqlite import SqliteStorage
from tradepost.infra.storage.sqlite_engine import driven
from tradepost.infra.storage.tables.columns import TIME_FIRST
from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import Signal, Tx
from tradepost.testing.world import TestWorld
from tradepost.trade import inventory
from tradepost.trade.inventory import Claim, Demand, Held, HoldRequest, Level, StockChange, store
from tradepost.trade.inventory.rules import Shelves, admit


def receive(world: TestWorld, sku_id: str, pieces: int, location: str = "loc_a", pool: str = "shop") -> Any:
    return StockChange(
        sku_id=sku_id,
        location_id=location,
        pool=pool,
        delta=pieces,
        reference=world.mint("transaction", 0),
        at_ms=world.now_ms(),
    )


def request(world: TestWorld, *demands: Demand, buyer: str = "byr_1", expires: int = 0) -> HoldRequest:
    return HoldRequest(
        checkout_id=world.mint("checkout", 7),
        buyer_id=buyer,
        at_ms=world.now_ms(),
        expires_at_ms=expires,
        demands=demands,
    )


def demand(world: TestWorld, sku_id: str, quantity: int, owner: str = "", **more: Any) -> Demand:
    return Demand(owner_id=owner or world.mint("order", 7), sku_id=sku_id, quantity=quantity, **more)


async def level(db: SqliteStorage, sku_id: str, pool: str = "shop") -> Level:
    found = await db.read(0, inventory.levels, [sku_id])
    return next(unit for unit in found if unit.pool == pool)


async def clean(db: SqliteStorage, world: TestWorld) -> None:
    report = await db.read(0, inventory.check_stock, world.now_ms())
    assert report.conserved, report.findings


async def test_500_callers_for_50_pieces_get_exactly_50(db: SqliteStorage, world: TestWorld) -> None:
    sku_id = world.mint("sku", 3)
    await db.transact(0, inventory.receive, [receive(world, sku_id, 50)])
    requests = [request(world, demand(world, sku_id, 1), buyer=f"byr_{n}") for n in range(500)]
    answers = await asyncio.gather(
        *(db.batch(0, inventory.HOLD, item) for item in requests), return_exceptions=True
    )
    kinds = Counter(a.code if isinstance(a, Refusal) else type(a).__name__ for a in answers)
    assert kinds == {"Held": 50, "inventory.sold_out": 450}
    assert all(isinstance(answer, Held) for answer in answers[:50]), "first come, first served"
    assert (await level(db, sku_id)).held == 50
    await clean(db, world)


async def test_a_repeated_hold_gets_the_same_answer(db: SqliteStorage, world: TestWorld) -> None:
    sku_id = world.mint("sku", 3)
    await db.transact(0, inventory.receive, [receive(world, sku_id, 2), receive(world, sku_id, 3, "loc_b")])
    first = request(world, demand(world, sku_id, 4))
    twice = await db.transact(0, inventory.hold, [first, first])
    later = await db.transact(0, inventory.hold, [first])
    assert twice[0] == twice[1] == later[0]
    assert [(a.location_id, a.quantity) for a in later[0].allocations] == [("loc_a", 2), ("loc_b", 2)]
    assert sum(unit.held for unit in await db.read(0, inventory.levels, [sku_id])) == 4
    await clean(db, world)


async def test_kits_and_lines_that_share_a_component_are_summed_first(
    db: SqliteStorage, world: TestWorld
) -> None:
    shared, other = world.mint("sku", 3), world.mint("sku", 9)
    await db.transact(0, inventory.receive, [receive(world, shared, 5), receive(world, other, 5)])
    order, second = world.mint("order", 7), world.mint("order", 7)
    basket = request(
        world,
        demand(world, shared, 2, order),
        demand(world, other, 1, order),
        demand(world, shared, 2, order),
        demand(world, shared, 2, second),
    )
    [answer] = await db.transact(0, inventory.hold, [basket])
    assert answer.code == "inventory.sold_out"
    assert answer.extra == {"sku_id": shared, "available": 5}
    assert (await level(db, other)).held == 0, "all or nothing"
    await clean(db, world)


async def test_only_this_shards_demands_are_held(db: SqliteStorage, world: TestWorld) -> None:
    here, elsewhere = world.mint("sku", 2), world.mint("sku", 3)
    await db.transact(0, inventory.receive, [receive(world, here, 5)])

    def hold_on_one_of_two(tx: Any) -> list[Any]:
        tx.shards = 2
        try:
            return inventory.hold(tx, [request(world, demand(world, here, 1), demand(world, elsewhere, 1))])
        finally:
            tx.shards = 1

    [answer] = await db.transact(0, hold_on_one_of_two)
    assert [a.sku_id for a in answer.allocations] == [here]


async def test_limits_count_up_with_holds_and_down_with_releases(db: SqliteStorage, world: TestWorld) -> None:
    sku_id = world.mint("sku", 3)
    await db.transact(0, inventory.receive, [receive(world, sku_id, 50)])
    first = request(world, demand(world, sku_id, 2, limit_per_buyer=3))
    same = request(world, demand(world, sku_id, 1, limit_per_buyer=3))
    over = request(world, demand(world, sku_id, 1, limit_per_buyer=3))
    other = request(world, demand(world, sku_id, 3, limit_per_buyer=3), buyer="byr_2")
    answers = await db.transact(0, inventory.hold, [first, same, over, other])
    assert [type(a) for a in answers] == [Held, Held, Refusal, Held]
    assert answers[2].extra == {"sku_id": sku_id, "limit": 3, "remaining": 0}
    back = Claim(owner_id=first.demands[0].owner_id, reference="r1", at_ms=1, items=((sku_id, 1),))
    await db.transact(0, inventory.release, [back])
    await db.transact(0, inventory.release, [back])
    [again, more] = await db.transact(0, inventory.hold, [over, request(world, demand(world, sku_id, 1))])
    assert isinstance(again, Held)
    assert isinstance(more, Held), "a demand without limit does not count"
    await clean(db, world)


async def test_every_refusal_of_a_hold(db: SqliteStorage, world: TestWorld) -> None:
    sku_id, unknown = world.mint("sku", 3), world.mint("sku", 3)
    await db.transact(0, inventory.receive, [receive(world, sku_id, 5)])
    held = request(world, demand(world, sku_id, 1))
    await db.transact(0, inventory.hold, [held])
    owner = held.demands[0].owner_id
    buried = request(world, demand(world, sku_id, 1))
    ghost = Claim(owner_id=buried.demands[0].owner_id, reference="r", at_ms=1, items=((sku_id, 1),))
    await db.transact(0, inventory.release, [ghost])
    await db.transact(0, inventory.release, [msgspec.structs.replace(ghost, reference="other")])
    rows = [
        (request(world, demand(world, unknown, 1)), "inventory.sku_unknown"),
        (request(world, demand(world, sku_id, 1, pool="room")), "inventory.sold_out"),
        (request(world, demand(world, sku_id, 5)), "inventory.sold_out"),
        (request(world, demand(world, sku_id, 2, limit_per_buyer=1)), "inventory.limit_reached"),
        (request(world, demand(world, sku_id, 0)), "inventory.quantity_invalid"),
        (request(world, demand(world, sku_id, -1)), "inventory.quantity_invalid"),
        (request(world, demand(world, sku_id, 2, owner)), "inventory.hold_conflict"),
        (buried, "inventory.released"),
    ]
    answers = await db.transact(0, inventory.hold, [row[0] for row in rows])
    assert [answer.code for answer in answers] == [row[1] for row in rows]
    assert all(answer.problem.title for answer in answers)
    assert (await level(db, sku_id)).held == 1, "refusals changed nothing"
    await clean(db, world)


async def test_hints_refuse_only_until_stock_goes_up(db: SqliteStorage, world: TestWorld) -> None:
    sku_id = world.mint("sku", 3)
    hints = inventory.SoldOutHints(db, size_max=2)
    await db.transact(0, inventory.receive, [receive(world, sku_id, 3)])
    one, two = demand(world, sku_id, 1), demand(world, sku_id, 2)
    held = request(world, two)
    [_, refused] = await db.transact(0, inventory.hold, [held, request(world, demand(world, sku_id, 2))])
    assert hints.refuses([two]) == refused
    assert hints.refuses([one, one]) == refused, "summed"
    assert hints.refuses([one]) is None
    back = Claim(owner_id=two.owner_id, reference="r", at_ms=1, items=((sku_id, 1),))
    await db.transact(0, inventory.release, [back])
    assert hints.refuses([two]) is None
    for n in range(5):
        hints._note(Signal("sold_out", f"sku_{n}/shop"))
    assert len(hints) == 2


def test_a_faster_writer_is_noticed_by_the_guard() -> None:
    class Beaten:
        def execute_many(self, sql: str, rows: Any) -> int:
            return len(rows) - 1

    tx: Any = Beaten()
    with pytest.raises(Refusal, match=r"inventory\.contended"):
        store.take(tx, {(1, "sku", "loc", "shop"): 1})
    with pytest.raises(Refusal, match=r"inventory\.contended"):
        store.shift(tx, {(1, "sku", "loc", "shop"): (0, 1, 0)})


async def test_statements_do_not_grow_with_requests(db: SqliteStorage, world: TestWorld) -> None:
    skus = [world.mint("sku", world.gene()) for _ in range(60)]
    await db.transact(0, inventory.receive, [receive(world, sku, 1000) for sku in skus])

    def counted(tx: Any, requests: list[HoldRequest]) -> int:
        before: int = tx.statements
        assert all(isinstance(answer, Held) for answer in inventory.hold(tx, requests))
        return int(tx.statements) - before

    plain = [request(world, demand(world, skus[n % 60], 1)) for n in range(256)]
    limited = [
        request(world, demand(world, skus[n % 60], 1, limit_per_buyer=500), expires=1) for n in range(256)
    ]
    assert await db.transact(0, counted, plain[:1]) <= 7
    assert await db.transact(0, counted, plain) <= 7
    assert await db.transact(0, counted, limited) <= 11


@pytest.mark.parametrize(
    ("sql", "columns", "table"),
    [
        (store.LINES_BY_OWNER, ("gene", "owner_id"), "holds"),
        (store.UNITS_BY_SKU, ("gene", "sku_id"), "stock"),
        (store.MOVEMENTS_BY_REFERENCE, ("gene", "sku_id", "reference"), "movements"),
        (store.LIMITS_BY_BUYER, ("gene", "sku_id", "buyer_id"), "buyer_limits"),
    ],
)
async def test_hot_selects_use_the_primary_key(
    db: SqliteStorage, sql: str, columns: tuple[str, ...], table: str
) -> None:
    keys = [tuple([1] + ["x"] * (len(columns) - 1)), tuple([2] + ["y"] * (len(columns) - 1))]

    def plan(tx: Tx) -> list[str]:
        values = [value for key in keys for value in key]
        return [
            str(row[3]) for row in tx.query("EXPLAIN QUERY PLAN " + driven(sql, columns, len(keys)), values)
        ]

    lines = await db.read(0, plan)
    assert {line for line in lines if line.startswith("SCAN")} == {"SCAN wanted", "SCAN 2 CONSTANT ROWS"}, (
        lines
    )
    seek = {f"{column}=?" for column in (columns[1:] if table in TIME_FIRST else columns)}
    [found] = [line for line in lines if f"SEARCH {table}" in line]
    assert set(found.partition("PRIMARY KEY (")[2].rstrip(")").split(" AND ")) == seek, lines


def test_admission_is_first_come_first_served_over_locations(world: TestWorld) -> None:
    sku_id = world.mint("sku", 3)
    gene = gene_of(sku_id)
    shelves = Shelves([(gene, sku_id, "loc_b", "shop", 2), (gene, sku_id, "loc_a", "shop", 1)])
    requests = [request(world, demand(world, sku_id, n)) for n in (2, 2, 1)]
    admission = admit(requests, shelves, {}, {})
    assert [type(a) for a in admission.answers] == [Held, Refusal, Held]
    assert admission.spent == {(gene, sku_id, "loc_a", "shop"): 1, (gene, sku_id, "loc_b", "shop"): 2}
    assert admission.sold_out == {(sku_id, "shop"): 0}
