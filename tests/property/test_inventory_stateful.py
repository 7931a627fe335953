"""Stock under any sequence of steps, against a model that only counts."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from tradepost.infra.storage.sqlite_engine import SqliteEngine
from tradepost.infra.storage.tables import events
from tradepost.infra.storage.tables import inventory as tables
from tradepost.kernel.errors import Refusal
from tradepost.testing.world import TestWorld
from tradepost.trade import inventory
from tradepost.trade.inventory import Claim, Demand, Held, HoldRequest, StockChange, StockCount, StockMove

TABLES = [
    tables.STOCK,
    tables.HOLDS,
    tables.MOVEMENTS,
    tables.MOVEMENT_SPANS,
    tables.BUYER_LIMITS,
    tables.HOLD_DEADLINES,
    events.EVENTS,
]
DDL = [str(CreateTable(table).compile(dialect=sqlite.dialect())) for table in TABLES]
DDL += [str(CreateIndex(i).compile(dialect=sqlite.dialect())) for table in TABLES for i in table.indexes]
WORLD = TestWorld(seed=11)
SKUS = [WORLD.mint("sku", gene) for gene in (1, 1, 2)]
LOCATIONS = ["loc_a", "loc_b"]
POOLS = ["shop", "room"]
BUYERS = ["byr_1", "byr_2"]
LIMIT = 5

sku_at = st.integers(0, len(SKUS) - 1)
pieces = st.integers(1, 4)


class Order:
    """What the model remembers of one owner: pieces by SKU."""

    def __init__(self, request: HoldRequest, answer: Held) -> None:
        self.request, self.answer = request, answer
        self.paid = False
        self.open: dict[str, int] = {}
        self.shipped: dict[str, int] = {}
        self.touched = False
        for part in answer.allocations:
            self.open[part.sku_id] = self.open.get(part.sku_id, 0) + part.quantity


class StockMachine(RuleBasedStateMachine):
    """Holds, claims, changes and moves in any order; refusals must change nothing."""

    def __init__(self) -> None:
        super().__init__()
        connection = sqlite3.connect(":memory:", isolation_level=None)
        for statement in DDL:
            connection.execute(statement)
        self.engine = SqliteEngine(connection, 0)
        self.on_hand = dict.fromkeys(SKUS, 0)
        self.orders: list[Order] = []
        self.number = 0

    def teardown(self) -> None:
        """Close the database."""
        self.engine.connection.close()

    def run(self, work: Callable[..., Any], *args: Any) -> Any:
        """One work in its own transaction; a Refusal is returned, and has rolled back."""
        self.engine.begin()
        self.engine.savepoint()
        try:
            result = work(self.engine.tx, *args)
            self.engine.keep()
        except Refusal as refusal:
            self.engine.undo()
            result = refusal
        self.engine.commit()
        return result

    def reference(self) -> str:
        """A new one each time."""
        self.number += 1
        return f"ref_{self.number}"

    def claim(self, order: Order, items: dict[str, int], pool: str = "") -> Claim:
        """A claim on an order."""
        return Claim(
            owner_id=order.request.demands[0].owner_id,
            reference=self.reference(),
            at_ms=1,
            items=tuple(items.items()),
            pool=pool,
        )

    @initialize()
    def fill(self) -> None:
        """Something to sell from the start."""
        for sku in range(len(SKUS)):
            self.receive(sku, 0, 0, 12)

    @rule(sku=sku_at, location=st.integers(0, 1), pool=st.integers(0, 1), quantity=pieces)
    def receive(self, sku: int, location: int, pool: int, quantity: int) -> None:
        """Goods come in."""
        item = StockChange(
            sku_id=SKUS[sku],
            location_id=LOCATIONS[location],
            pool=POOLS[pool],
            delta=quantity,
            reference=self.reference(),
            at_ms=1,
        )
        assert not isinstance(self.run(inventory.receive, [item]), Refusal)
        self.run(inventory.receive, [item])
        self.on_hand[SKUS[sku]] += quantity

    @rule(
        baskets=st.lists(
            st.tuples(
                st.lists(st.tuples(sku_at, st.integers(0, 1), pieces, st.booleans()), min_size=1, max_size=4),
                st.integers(0, 1),
            ),
            min_size=1,
            max_size=4,
        ),
        again=st.booleans(),
    )
    def hold(self, baskets: list[tuple[list[tuple[int, int, int, bool]], int]], again: bool) -> None:
        """A batch of checkouts, perhaps with everything twice."""
        requests = []
        for lines, buyer in baskets:
            owner, checkout = WORLD.mint("order", 7), WORLD.mint("checkout", 7)
            demands = tuple(
                Demand(
                    owner_id=owner,
                    sku_id=SKUS[sku],
                    pool=POOLS[pool],
                    quantity=quantity,
                    limit_per_buyer=LIMIT if limited else 0,
                )
                for sku, pool, quantity, limited in lines
            )
            requests.append(
                HoldRequest(checkout_id=checkout, buyer_id=BUYERS[buyer], at_ms=1, demands=demands)
            )
        answers = self.run(inventory.hold, requests * 2 if again else requests)
        if again:
            assert answers[: len(requests)] == answers[len(requests) :]
        for request, answer in zip(requests, answers, strict=False):
            if isinstance(answer, Held):
                wanted = sum(demand.quantity for demand in request.demands)
                assert sum(part.quantity for part in answer.allocations) == wanted
                self.orders.append(Order(request, answer))

    @rule(data=st.data())
    def repeat_hold(self, data: st.DataObject) -> None:
        """An old request again: the same answer, or released when something of it was."""
        if not self.orders:
            return
        order = data.draw(st.sampled_from(self.orders[-3:]))
        [answer] = self.run(inventory.hold, [order.request])
        if isinstance(answer, Refusal):
            assert answer.code == "inventory.released"
            assert order.touched
        else:
            assert answer == order.answer

    @rule(data=st.data(), step=st.sampled_from(["release", "ship"]), share=st.integers(1, 8))
    def settle(self, data: st.DataObject, step: str, share: int) -> None:
        """Release or ship so many pieces of each SKU of an order; more than is open is refused."""
        if not self.orders:
            return
        order = data.draw(st.sampled_from(self.orders[-3:]))
        items = {sku_id: min(share, count) for sku_id, count in order.open.items() if count}
        if not items:
            return
        beyond = {sku_id: order.open[sku_id] + 1 for sku_id in items}
        work = inventory.release if step == "release" else inventory.ship
        refused = self.run(work, [self.claim(order, beyond)])
        assert isinstance(refused, Refusal)
        assert refused.code == "inventory.not_held"
        claim = self.claim(order, items)
        assert self.run(work, [claim]) is None
        assert self.run(work, [claim]) is None
        order.touched = True
        for sku_id, count in items.items():
            order.open[sku_id] -= count
            if step == "ship":
                order.shipped[sku_id] = order.shipped.get(sku_id, 0) + count
                self.on_hand[sku_id] -= count

    @rule(data=st.data())
    def reserve(self, data: st.DataObject) -> None:
        """The order is paid; perhaps twice."""
        if self.orders:
            order = data.draw(st.sampled_from(self.orders[-3:]))
            self.run(inventory.reserve, [self.claim(order, dict.fromkeys(order.open, 1))])

    @rule(data=st.data(), quantity=pieces, pool=st.sampled_from(["", "shop"]))
    def put_back(self, data: st.DataObject, quantity: int, pool: str) -> None:
        """Goods come back, but never more than went out."""
        shipped = [order for order in self.orders if any(order.shipped.values())]
        if not shipped:
            return
        order = data.draw(st.sampled_from(shipped[-2:]))
        sku_id = next(sku_id for sku_id, count in order.shipped.items() if count)
        result = self.run(inventory.put_back, [self.claim(order, {sku_id: quantity}, pool)])
        if quantity > order.shipped[sku_id]:
            assert result.code == "inventory.not_shipped"
            return
        assert result is None
        order.shipped[sku_id] -= quantity
        self.on_hand[sku_id] += quantity

    @rule(sku=sku_at, delta=st.integers(-6, 6).filter(bool), write_off=st.booleans())
    def adjust(self, sku: int, delta: int, write_off: bool) -> None:
        """A correction, or a loss; refused below what is promised."""
        item = StockChange(
            sku_id=SKUS[sku], location_id="loc_a", delta=delta, reference=self.reference(), at_ms=1
        )
        [level] = [
            x for x in self.levels() if (x.sku_id, x.location_id, x.pool) == (SKUS[sku], "loc_a", "shop")
        ]
        work = inventory.write_off if write_off and delta < 0 else inventory.adjust
        result = self.run(work, [item])
        if level.available + delta < 0:
            assert result.code == "inventory.below_committed"
        else:
            assert result[0].on_hand == level.on_hand + delta
            self.on_hand[SKUS[sku]] += delta

    @rule(sku=sku_at, on_hand=st.integers(0, 12), stale=st.booleans())
    def count(self, sku: int, on_hand: int, stale: bool) -> None:
        """A stocktake; one with an old version is refused."""
        [level] = [
            x for x in self.levels() if (x.sku_id, x.location_id, x.pool) == (SKUS[sku], "loc_a", "shop")
        ]
        item = StockCount(
            sku_id=SKUS[sku],
            location_id="loc_a",
            on_hand=on_hand,
            expected_version=level.version - stale,
            reference=self.reference(),
            at_ms=1,
        )
        result = self.run(inventory.count, [item])
        if stale:
            assert result.code == "version.conflict"
        elif on_hand < level.held + level.reserved:
            assert result.code == "inventory.below_committed"
        else:
            self.on_hand[SKUS[sku]] += on_hand - level.on_hand

    @rule(sku=sku_at, quantity=pieces, back=st.booleans(), location=st.integers(0, 1))
    def move(self, sku: int, quantity: int, back: bool, location: int) -> None:
        """Between the pools, perhaps to the other location: the total never changes."""
        source, target = POOLS[::-1] if back else POOLS
        item = StockMove(
            sku_id=SKUS[sku],
            location_id="loc_a",
            to_location_id=LOCATIONS[location],
            from_pool=source,
            to_pool=target,
            quantity=quantity,
            reference=self.reference(),
            at_ms=1,
        )
        self.run(inventory.move, [item])

    def levels(self) -> list[inventory.Level]:
        """All stock units."""
        return inventory.levels(self.engine.tx, SKUS)

    @invariant()
    def balances_hold(self) -> None:
        """on_hand >= held + reserved >= 0; pools sum to the total; the check finds nothing; the model agrees."""
        levels = self.levels()
        for level in levels:
            assert level.on_hand >= level.held + level.reserved
            assert min(level.on_hand, level.held, level.reserved) >= 0
        totals = inventory.totals(levels)
        for sku_id, on_hand in self.on_hand.items():
            if sku_id in totals:
                assert totals[sku_id].on_hand == on_hand
            promised = sum(order.open.get(sku_id, 0) for order in self.orders)
            assert sum(x.held + x.reserved for x in levels if x.sku_id == sku_id) == promised
        report = inventory.check_stock(self.engine.tx, 0)
        assert report.conserved, report.findings

    @invariant()
    def limits_hold(self) -> None:
        """No buyer has more of a SKU than its limit through limited demands."""
        for (taken,) in self.engine.tx.query("SELECT taken FROM buyer_limits"):
            assert 0 <= taken <= LIMIT


TestStock = StockMachine.TestCase
TestStock.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
