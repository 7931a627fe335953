"""Claims on holds: reserve, release, ship, put back; the events that cause them; the reaper; the check."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from tradepost.infra.storage.sqlite import SqliteStorage
from tradepost.kernel.errors import Refusal
from tradepost.kernel.events import EventRow
from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import Tx
from tradepost.testing.world import TestWorld
from tradepost.trade import inventory
from tradepost.trade.inventory import Claim, Demand, HoldRequest, StockChange
from tradepost.trade.inventory.model import Deadline, Movement

Step = Callable[[Tx, Sequence[Claim]], None]


class Shop:
    """One order that holds 5 pieces of one SKU, 3 at one location and 2 at another, out of 10."""

    def __init__(self, db: SqliteStorage, world: TestWorld) -> None:
        self.db, self.world = db, world
        self.sku_id, self.order_id = world.mint("sku", 3), world.mint("order", 7)
        self.request = HoldRequest(
            checkout_id=world.mint("checkout", 7),
            buyer_id=world.mint("buyer", 7),
            at_ms=1,
            expires_at_ms=100,
            demands=(Demand(owner_id=self.order_id, sku_id=self.sku_id, quantity=5, limit_per_buyer=9),),
        )

    async def open(self) -> Shop:
        pieces = (("loc_a", 3), ("loc_b", 7))
        changes = [
            StockChange(sku_id=self.sku_id, location_id=at, delta=n, reference=f"in {at}", at_ms=1)
            for at, n in pieces
        ]
        await self.db.transact(0, inventory.receive, changes)
        await self.db.transact(0, inventory.hold, [self.request])
        return self

    def claim(self, quantity: int, reference: str = "", **more: Any) -> Claim:
        facts: dict[str, Any] = {"owner_id": self.order_id, "at_ms": 2, "items": ((self.sku_id, quantity),)}
        return Claim(reference=reference or self.world.mint("package", 7), **{**facts, **more})

    async def do(self, step: Step, *claims: Claim) -> None:
        await self.db.transact(0, step, claims)

    async def figures(self) -> tuple[int, int, int]:
        levels = await self.db.read(0, inventory.levels, [self.sku_id])
        total = inventory.totals(levels)[self.sku_id]
        return (total.on_hand, total.held, total.reserved)

    async def findings(self, now_ms: int = 0) -> list[str]:
        report = await self.db.read(0, inventory.check_stock, now_ms)
        return [finding.kind for finding in report.findings]


@pytest.fixture
async def shop(db: SqliteStorage, world: TestWorld) -> Shop:
    return await Shop(db, world).open()


async def test_the_life_of_a_hold(shop: Shop) -> None:
    assert await shop.figures() == (10, 5, 0)
    await shop.do(inventory.reserve, shop.claim(5))
    assert await shop.figures() == (10, 0, 5)
    await shop.do(inventory.release, shop.claim(1))
    assert await shop.figures() == (10, 0, 4)
    await shop.do(inventory.ship, shop.claim(1), shop.claim(3))
    assert await shop.figures() == (6, 0, 0)
    await shop.do(inventory.put_back, shop.claim(2))
    await shop.do(inventory.put_back, shop.claim(2, pool="shop"))
    available = await shop.db.read(0, inventory.available, [shop.sku_id])
    assert available == {(shop.sku_id, "shop"): 8, (shop.sku_id, "returned"): 2}
    assert await shop.findings() == []


@pytest.mark.parametrize("step", [inventory.reserve, inventory.release, inventory.ship])
async def test_a_step_counts_once(shop: Shop, step: Step) -> None:
    claim = shop.claim(2, "evt.1")
    await shop.do(step, claim, claim)
    after = await shop.figures()
    await shop.do(step, claim)
    assert await shop.figures() == after != (10, 5, 0)
    assert await shop.findings() == []


async def test_steps_of_different_rooms_may_arrive_in_any_order(shop: Shop) -> None:
    steps: list[tuple[Step, int]] = [(inventory.reserve, 5), (inventory.ship, 3), (inventory.release, 2)]
    for order in itertools.permutations(steps):
        one = await Shop(shop.db, shop.world).open()
        for step, quantity in order:
            await one.do(step, one.claim(quantity))
        assert await one.figures() == (7, 0, 0), order
    assert await shop.findings() == []


async def test_a_step_after_release_changes_nothing(shop: Shop) -> None:
    await shop.do(inventory.release, shop.claim(5))
    await shop.do(inventory.release, shop.claim(5))
    await shop.do(inventory.reserve, shop.claim(5))
    assert await shop.figures() == (10, 0, 0)
    [answer] = await shop.db.transact(0, inventory.hold, [shop.request])
    assert answer.code == "inventory.released"


async def _shipped(shop: Shop) -> None:
    await shop.do(inventory.ship, shop.claim(5))


async def _held(shop: Shop) -> None:
    return None


@pytest.mark.parametrize(
    ("before", "step", "quantity", "more", "code"),
    [
        (_held, inventory.ship, 6, {}, "inventory.not_held"),
        (_held, inventory.release, 6, {}, "inventory.not_held"),
        (_shipped, inventory.release, 1, {}, "inventory.not_held"),
        (_shipped, inventory.put_back, 6, {}, "inventory.not_shipped"),
        (_held, inventory.put_back, 1, {}, "inventory.not_shipped"),
        (_held, inventory.reserve, 1, {"owner_id": "ord_x"}, "inventory.hold_unknown"),
        (_held, inventory.ship, 1, {"owner_id": "ord_x"}, "inventory.hold_unknown"),
        (_held, inventory.put_back, 1, {"owner_id": "ord_x"}, "inventory.hold_unknown"),
        (_held, inventory.ship, 0, {}, "inventory.quantity_invalid"),
        (_held, inventory.release, -1, {}, "inventory.quantity_invalid"),
    ],
)
async def test_every_refusal_of_a_claim(
    shop: Shop, before: Any, step: Step, quantity: int, more: dict[str, Any], code: str
) -> None:
    await before(shop)
    figures = await shop.figures()
    with pytest.raises(Refusal) as refused:
        await shop.do(step, shop.claim(quantity, **more))
    assert refused.value.code == code
    assert refused.value.problem.title
    assert await shop.figures() == figures


async def test_256_orders_are_reserved_in_as_many_statements_as_one(
    db: SqliteStorage, world: TestWorld
) -> None:
    orders = [await Shop(db, world).open() for _ in range(3)]
    sku_id = orders[0].sku_id
    more = [
        HoldRequest(
            checkout_id=world.mint("checkout", 7),
            buyer_id="byr",
            at_ms=1,
            demands=(Demand(owner_id=world.mint("order", 7), sku_id=sku_id, quantity=1),),
        )
        for _ in range(255)
    ]
    bulk = StockChange(sku_id=sku_id, location_id="loc_c", delta=500, reference="bulk", at_ms=1)
    await db.transact(0, inventory.receive, [bulk])
    await db.transact(0, inventory.hold, more)

    def counted(tx: Any, claims: list[Claim]) -> int:
        before: int = tx.statements
        inventory.reserve(tx, claims)
        return int(tx.statements) - before

    one = await db.transact(0, counted, [orders[0].claim(5)])
    claims = [
        Claim(owner_id=r.demands[0].owner_id, reference=f"e{n}", at_ms=2, items=((sku_id, 1),))
        for n, r in enumerate(more)
    ]
    assert await db.transact(0, counted, claims) == one == 6
    assert await orders[0].findings() == []


def event(kind: str, order_id: str, version: int, **payload: Any) -> EventRow:
    body = msgspec.json.encode({"order_id": order_id, "other": 1, **payload})
    return EventRow(gene_of(order_id), order_id, version, kind, 5, body)


async def test_events_drive_the_stock(shop: Shop) -> None:
    consumers = {kind: consumer for consumer in inventory.CONSUMERS for kind in consumer.types}
    stock = [{"sku_id": shop.sku_id, "quantity": 2}]
    story: list[tuple[str, dict[str, Any], tuple[int, int, int]]] = [
        ("order.paid.v1", {"stock": [{"sku_id": shop.sku_id, "quantity": 5}]}, (10, 0, 5)),
        ("order.lines_cancelled.v1", {"stock": stock}, (10, 0, 3)),
        ("package.collected.v1", {"stock": stock}, (8, 0, 1)),
        ("return.received.v1", {"stock": stock, "restock_pool": "outlet"}, (10, 0, 1)),
        ("order.cancelled.v1", {"stock": [{"sku_id": shop.sku_id, "quantity": 1}]}, (10, 0, 0)),
        ("order.cancelled.v1", {"stock": []}, (10, 0, 0)),
    ]
    for version, (kind, payload, figures) in enumerate(story, 1):
        row = event(kind, shop.order_id, version, **payload)
        consumer = consumers[kind]
        assert consumer.genes is not None
        assert set(consumer.genes(row)) == ({gene_of(shop.sku_id)} if payload["stock"] else set())
        for _ in range(2):
            await shop.db.transact(0, consumer.consume, [row])
            assert await shop.figures() == figures, kind
    assert (shop.sku_id, "outlet") in await shop.db.read(0, inventory.available, [shop.sku_id])
    assert await shop.findings() == []


async def reap(shop: Shop, exists: bool) -> list[tuple[str, str]]:
    asked: list[tuple[str, str]] = []

    async def claim_checkout(buyer_id: str, checkout_id: str) -> bool:
        asked.append((buyer_id, checkout_id))
        return exists

    [sweep] = inventory.sweeps(shop.db, shop.world, claim_checkout)
    assert await shop.db.read(0, sweep.due, 99, 10) == []
    due = await shop.db.read(0, sweep.due, 100, 10)
    await sweep.act(due)
    await sweep.act(due)
    assert await shop.db.read(0, sweep.due, 100, 10) == []
    return asked


async def test_the_reaper_keeps_the_hold_of_a_checkout_that_exists(shop: Shop) -> None:
    assert await shop.findings(100_000) == ["overdue"]
    asked = await reap(shop, exists=True)
    assert asked[0] == (shop.request.buyer_id, shop.request.checkout_id)
    assert await shop.figures() == (10, 5, 0)
    assert await shop.findings(100_000) == []


async def test_the_reaper_frees_the_hold_of_a_checkout_that_never_came(shop: Shop) -> None:
    await reap(shop, exists=False)
    assert await shop.figures() == (10, 0, 0)
    assert await shop.findings(100_000) == []
    [answer] = await shop.db.transact(0, inventory.hold, [shop.request])
    assert answer.code == "inventory.released"


async def test_a_confirmed_hold_is_not_reaped(shop: Shop) -> None:
    confirmed = inventory.Confirmed(shop.request.checkout_id, (gene_of(shop.sku_id),))
    await shop.db.batch(0, inventory.CONFIRM, confirmed)
    await shop.db.batch(0, inventory.CONFIRM, confirmed)
    assert await reap(shop, exists=False) == []
    assert await shop.figures() == (10, 5, 0)


async def test_deadlines_name_each_gene_once(db: SqliteStorage, world: TestWorld) -> None:
    skus = [world.mint("sku", gene) for gene in (1, 1, 2)]
    changes = [StockChange(sku_id=s, location_id="l", delta=9, reference="in", at_ms=1) for s in skus]
    await db.transact(0, inventory.receive, changes)
    owners = [world.mint("order", 7) for _ in range(3)]
    demands = tuple(Demand(owner_id=o, sku_id=s, quantity=1) for o, s in zip(owners, skus, strict=True))
    item = HoldRequest(checkout_id="chk", buyer_id="byr", at_ms=1, expires_at_ms=5, demands=demands)
    await db.transact(0, inventory.hold, [item, item])
    [sweep] = inventory.sweeps(db, world, None)  # type: ignore[arg-type]
    assert await db.read(0, sweep.due, 5, 10) == [
        Deadline(1, "chk", "byr", (owners[0], owners[1]), 5),
        Deadline(2, "chk", "byr", (owners[2],), 5),
    ]


@pytest.mark.parametrize(
    ("damage", "kinds"),
    [
        ("UPDATE stock SET on_hand = on_hand + 1 WHERE location_id = 'loc_a'", {"balance"}),
        ("UPDATE stock SET held = 4 WHERE location_id = 'loc_a'", {"balance", "negative", "holds"}),
        ("DELETE FROM stock WHERE location_id = 'loc_b'", {"balance", "holds"}),
        ("DELETE FROM holds", {"holds", "limit"}),
        ("DELETE FROM movements WHERE kind = 'hold'", {"balance"}),
        ("UPDATE holds SET state = 'RELEASED'", {"hold"}),
        ("UPDATE holds SET returned = 1", {"hold"}),
        ("UPDATE buyer_limits SET taken = 3", {"limit"}),
        ("DELETE FROM buyer_limits", {"limit"}),
    ],
)
async def test_the_check_sees_damage(shop: Shop, damage: str, kinds: set[str]) -> None:
    def spoil(tx: Tx) -> int:
        return tx.execute(damage)

    assert await shop.findings() == []
    assert await shop.db.transact(0, spoil)
    assert set(await shop.findings()) == kinds


async def test_a_check_by_range_of_genes_adds_up(shop: Shop) -> None:
    whole = await shop.db.read(0, inventory.check_stock, 0)
    parts = [
        await shop.db.read(0, inventory.check_stock, 0, first_gene=a, last_gene=b)
        for a, b in ((0, 2), (3, 3), (4, 1023))
    ]
    assert inventory.merge_reports(parts) == whole
    assert (whole.units, whole.movements, whole.on_hand, whole.held) == (2, 4, 10, 5)


async def test_the_movement_log_tells_every_change(shop: Shop) -> None:
    await shop.do(inventory.ship, shop.claim(4, "pkg.1"))
    log = await shop.db.read(0, inventory.movements, shop.sku_id)
    sums = [sum(getattr(row, name) for row in log) for name in ("on_hand", "held", "reserved")]
    assert tuple(sums) == await shop.figures() == (6, 0, 1)
    assert {row.kind for row in log} == {Movement.RECEIVE, Movement.HOLD, Movement.SHIP}
    rest = await shop.db.read(0, inventory.movements, shop.sku_id, after=("pkg", ""))
    assert [row.kind for row in rest] == ["ship", "ship"]
