"""A batch of placements comes to what placing them one by one comes to, in a number of statements that stands."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.checkout_shop import Shop, rename
from tests.memory_tx import MemoryDatabase

from tradepost.kernel.errors import Refusal
from tradepost.testing.world import TestWorld
from tradepost.trade import inventory, orders
from tradepost.trade.checkout import Terms, placing
from tradepost.trade.checkout.model import Placed, Placement

TABLES = ("checkouts", "orders", "payments", "holds", "stock", "buyer_limits", "idempotency")


class OneShard:
    """The storage port over one memory database."""

    shards = 1

    def __init__(self, database: MemoryDatabase) -> None:
        self.database = database

    def shard_of(self, gene: int) -> int:
        return 0

    async def transact(self, shard: int, work: Any, *args: Any) -> Any:
        return self.database.run(work, *args)

    def listen(self, listener: Any) -> None:
        """Nobody listens here."""


line = st.tuples(st.integers(0, 2), st.integers(1, 3))
wish = st.tuples(
    st.lists(line, min_size=1, max_size=3),  # (offer, quantity)
    st.integers(0, 2),  # buyer
    st.integers(0, 3),  # key: few, so that they are reused
    st.booleans(),  # the same body again under its key, or another
    st.integers(0, 9),  # the wish whose quote it places again, if that was made
)


def build(
    wishes: list[Any], stock: tuple[int, int, int], limit: int, velocity: int
) -> tuple[MemoryDatabase, list[Placement]]:
    """A shop and the placements of these wishes; the same input gives the same ids."""
    world = TestWorld()
    database = MemoryDatabase()
    shop = Shop(OneShard(database), world, terms=Terms(velocity_orders_max=velocity))

    async def prepare() -> list[Placement]:
        offers = [
            await shop.offer(stock[0]),
            await shop.offer(stock[1], price_minor=0, seller_id=world.mint("seller", 9)),
            await shop.offer(stock[2], limit_per_buyer=limit, sku_gene=3),
        ]
        buyers = [world.mint("buyer", gene) for gene in (6, 6, 11)]
        items: list[Placement] = []
        for number, (lines, buyer, key, same_body, again) in enumerate(wishes):
            world.advance(1)
            more = "" if same_body else f" {number}"  # a hash stands for one body: what differs has another
            if again < len(items):
                quoted = items[again]
                items.append(rename(quoted, key=f"k{key}", request_hash=quoted.request_hash + more))
                continue
            made = await shop.accept(
                *[(offers[offer], quantity) for offer, quantity in lines],
                buyer_id=buyers[buyer],
                scope=buyers[buyer],
                key=f"k{key}",
                request_hash=f"{lines}{more}",
            )
            items.append(rename(made, quoted=True))
        return items

    return database, asyncio.run(prepare())


def in_one_batch(database: MemoryDatabase, items: list[Placement]) -> tuple[list[Placed | Refusal], int]:
    """The answers, and in how many rounds they were found."""
    rounds = 0
    step = placing._place_distinct

    def counted(tx: Any, distinct: Any) -> Any:
        nonlocal rounds
        rounds += 1
        return step(tx, distinct)

    with mock.patch.object(placing, "_place_distinct", counted):
        answers: list[Placed | Refusal] = database.run(placing.place, items)
    return answers, rounds


def named(answer: Placed | Refusal) -> Any:
    """An answer without its wording and without the members a later moment changes."""
    return (answer.code, answer.field) if isinstance(answer, Refusal) else answer


def state_of(database: MemoryDatabase) -> dict[str, list[Any]]:
    found = {name: sorted(database.engine.tx.query(f"SELECT * FROM {name}"), key=repr) for name in TABLES}
    found["events"] = [(row.event_id, row.type, row.payload) for row in database.events()]
    return found


@settings(max_examples=40, deadline=None)
@given(
    wishes=st.lists(wish, min_size=1, max_size=10),
    stock=st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(1, 6)),
    limit=st.integers(1, 3),
    cut=st.integers(0, 10),
)
def test_a_batch_is_what_one_by_one_is(
    wishes: list[Any], stock: tuple[int, int, int], limit: int, cut: int
) -> None:
    together, items = build(wishes, stock, limit, 0)
    apart, same_items = build(wishes, stock, limit, 0)
    assert items == same_items
    batched: list[Placed | Refusal] = []
    rounds = 0
    for part in (items[:cut], items[cut:]):
        if part:
            answers, asked = in_one_batch(together, part)
            batched += answers
            rounds = max(rounds, asked)
    single = [answer for item in items for answer in apart.run(placing.place, [item])]
    if rounds == 1:  # else a request waited for the fate of its twin, and others came first
        assert [named(answer) for answer in batched] == [named(answer) for answer in single]
        held, alone = state_of(together), state_of(apart)
        assert sorted(held.pop("events")) == sorted(alone.pop("events"))
        assert held == alone
    report = together.run(inventory.check_stock, 0)
    assert report.conserved, report.findings
    _prove_logs(together)
    together.close()
    apart.close()


def _prove_logs(database: MemoryDatabase) -> None:
    """Every order is what its log says, and is ordered once."""
    for (order_id,) in database.engine.tx.query("SELECT order_id FROM orders"):
        order = database.run(orders.get_order, order_id)
        told = orders.rebuild(database.run(orders.order_log, order_id))
        assert (told.state, told.version, told.deadline_at_ms) == (
            order.state,
            order.version,
            order.deadline_at_ms,
        )


@pytest.mark.parametrize("handle", [placing.place, placing.open_held])
def test_statements_do_not_grow_with_the_items(handle: Any) -> None:
    counts = []
    for size in (1, 16, 256):
        wishes = [([(0, 1)], 0, number, True, size) for number in range(size)]
        database, items = build(wishes, (1_000, 1, 1_000), 1_000, 1_000)
        items = [rename(item, key=f"own {number}") for number, item in enumerate(items)]
        before = database.engine.tx.statements
        answers = database.run(handle, items)
        counts.append(database.engine.tx.statements - before)
        assert [answer.replayed for answer in answers] == [False] * size
        database.close()
    assert len(set(counts)) == 1, counts
    assert counts[0] <= 16
