"""Fulfilment: packing, handing over, delivering, letting go; one row per refusal."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests import order_samples
from tests.memory_tx import MemoryDatabase

from tradepost.kernel.errors import Refusal, problem_table
from tradepost.kernel.tx import Tx
from tradepost.testing.world import TestWorld
from tradepost.trade import fulfilment, orders
from tradepost.trade.fulfilment import PackLine, Tracking, react, rules
from tradepost.trade.fulfilment.model import TRACKING_MAX
from tradepost.trade.orders import api as orders_api
from tradepost.trade.orders import rules as orders_rules


@pytest.fixture
def database() -> MemoryDatabase:
    return MemoryDatabase()


@pytest.fixture
def order_id(database: MemoryDatabase, world: TestWorld) -> str:
    """A released order: 3 units of line 1, 2 kits on line 2."""
    order = order_samples.new_order(world)

    def pay(tx: Tx) -> None:
        orders_api.change_orders(tx, [(order.order_id, 1, lambda found: orders_rules.pay(found, 1))])

    database.run(orders.open_orders, [order])
    database.run(pay)
    released = [row for row in database.events() if row.type == "order.released.v1"]
    database.run(react.follow_orders, released)
    database.run(react.follow_orders, released)
    return order.order_id


@pytest.fixture
def parcel(world: TestWorld) -> Callable[[], str]:
    return lambda: world.mint("package", order_samples.GENE)


def facts_of(database: MemoryDatabase) -> list[object]:
    return [row.data() for row in database.events() if row.type.startswith("package.")]


def test_a_release_opens_the_work(database: MemoryDatabase, order_id: str) -> None:
    work = database.run(fulfilment.find_fulfilment, order_id)
    assert work.state == "OPEN"
    assert rules.open_lines(work) == (PackLine(1, 3), PackLine(2, 2))


def test_two_parcels_go_their_way(database: MemoryDatabase, order_id: str, parcel: Callable[[], str]) -> None:
    first, second = parcel(), parcel()
    database.run(fulfilment.pack, order_id, first, [PackLine(1, 1), PackLine(2, 2)], 10)
    assert database.run(fulfilment.find_fulfilment, order_id).state == "PARTLY_PACKED"
    database.run(fulfilment.collect, order_id, first, "acme", "T1", 11)
    database.run(fulfilment.ship, order_id, second, "acme", "T2", 12)
    assert database.run(fulfilment.find_fulfilment, order_id).state == "COLLECTED"
    database.run(fulfilment.deliver, order_id, second, 13)
    delivered = database.run(fulfilment.deliver_order, order_id, 14)
    assert [package.package_id for package in delivered] == [first]
    facts = facts_of(database)
    assert [getattr(fact, "all_packed", None) for fact in facts] == [False, None, True, None, None, None]
    assert [getattr(fact, "all_collected", None) for fact in facts] == [None, False, None, True, None, None]
    assert [getattr(fact, "all_delivered", None) for fact in facts] == [None, None, None, None, False, True]
    stock = [(item.sku_id, item.quantity) for item in facts[1].stock]
    assert stock == [(order_samples.LINES[0].sku_id, 1), ("sku_a", 4), ("sku_b", 2)]
    packages = database.run(fulfilment.list_packages, order_id)
    assert [package.state for package in packages] == ["DELIVERED", "DELIVERED"]


def test_every_step_may_run_twice(database: MemoryDatabase, order_id: str, parcel: Callable[[], str]) -> None:
    package_id = parcel()
    seen = Tracking(code="hub", text="at the hub", at_ms=11)
    for _ in range(2):
        database.run(fulfilment.pack, order_id, package_id, [PackLine(1, 1)], 10)
        database.run(fulfilment.collect, order_id, package_id, "acme", "T1", 11)
        database.run(fulfilment.track, order_id, package_id, seen, 12)
        package = database.run(fulfilment.deliver, order_id, package_id, 13)
    assert package.version == len(facts_of(database)) == 4


def test_withdrawn_units_do_not_count(
    database: MemoryDatabase, order_id: str, parcel: Callable[[], str]
) -> None:
    database.run(fulfilment.withdraw, order_id, [PackLine(1, 3)])
    database.run(fulfilment.ship, order_id, parcel(), "acme", "T1", 12)
    assert [fact.all_packed for fact in facts_of(database)[:1]] == [True]
    assert [(item.sku_id, item.quantity) for item in facts_of(database)[1].stock] == [
        ("sku_a", 4),
        ("sku_b", 2),
    ]
    assert database.run(fulfilment.find_fulfilment, order_id).state == "COLLECTED"


def test_all_can_be_withdrawn_once(database: MemoryDatabase, order_id: str) -> None:
    database.run(fulfilment.withdraw, order_id, None)
    database.run(fulfilment.withdraw, order_id, None)
    assert database.run(fulfilment.find_fulfilment, order_id).state == "WITHDRAWN"


Act = Callable[[Tx, str, str], object]


def _tracked_to_the_brim(tx: Tx, order_id: str, package_id: str) -> None:
    fulfilment.ship(tx, order_id, package_id, "acme", "T", 1)
    for number in range(TRACKING_MAX + 1):
        fulfilment.track(tx, order_id, package_id, Tracking(code="hub", at_ms=number), number)


def _withdrawn_after_packing(lines: list[PackLine] | None) -> Act:
    def act(tx: Tx, order_id: str, package_id: str) -> None:
        fulfilment.pack(tx, order_id, package_id, [PackLine(1, 2)], 1)
        fulfilment.withdraw(tx, order_id, lines)

    return act


def _shipped_twice(tx: Tx, order_id: str, package_id: str) -> None:
    fulfilment.ship(tx, order_id, package_id, "acme", "T", 1)
    fulfilment.collect(tx, order_id, package_id, "other", "T", 1)


def _packed_when_done(tx: Tx, order_id: str, package_id: str) -> None:
    fulfilment.ship(tx, order_id, package_id, "acme", "T", 1)
    fulfilment.pack(tx, order_id, package_id[:-1] + ("0" if package_id[-1] != "0" else "1"), (), 1)


def _delivered_before_collection(tx: Tx, order_id: str, package_id: str) -> None:
    fulfilment.pack(tx, order_id, package_id, (), 1)
    fulfilment.deliver(tx, order_id, package_id, 1)


def _carrier_without_name(tx: Tx, order_id: str, package_id: str) -> None:
    fulfilment.ship(tx, order_id, package_id, "", "T", 1)


def _long_report(tx: Tx, order_id: str, package_id: str) -> None:
    fulfilment.ship(tx, order_id, package_id, "acme", "T", 1)
    fulfilment.track(tx, order_id, package_id, Tracking(code="hub", text="x" * 201, at_ms=1), 1)


REFUSALS: list[tuple[str, str, Act]] = [
    ("fulfilment.not_open", "order_id", lambda tx, o, p: fulfilment.pack(tx, p, p, (), 1)),
    (
        "fulfilment.line_unknown",
        "lines[0].line_no",
        lambda tx, o, p: fulfilment.pack(tx, o, p, [PackLine(7, 1)], 1),
    ),
    (
        "fulfilment.quantity_invalid",
        "lines[0].quantity",
        lambda tx, o, p: fulfilment.pack(tx, o, p, [PackLine(1, 0)], 1),
    ),
    (
        "fulfilment.quantity_invalid",
        "lines[1].quantity",
        lambda tx, o, p: fulfilment.pack(tx, o, p, [PackLine(1, 1), PackLine(1, 1)], 1),
    ),
    ("fulfilment.quantity_invalid", "lines", lambda tx, o, p: fulfilment.withdraw(tx, o, [])),
    (
        "fulfilment.quantity_exceeds",
        "lines[0].quantity",
        lambda tx, o, p: fulfilment.pack(tx, o, p, [PackLine(1, 4)], 1),
    ),
    ("fulfilment.packed", "order_id", _withdrawn_after_packing(None)),
    ("fulfilment.packed", "lines[0].quantity", _withdrawn_after_packing([PackLine(1, 2)])),
    ("fulfilment.package_unknown", "package_id", lambda tx, o, p: fulfilment.deliver(tx, o, p, 1)),
    ("fulfilment.tracking_full", "", _tracked_to_the_brim),
    ("fulfilment.tracking_invalid", "carrier", _carrier_without_name),
    ("fulfilment.tracking_invalid", "text", _long_report),
    ("fulfilment.nothing_open", "", _packed_when_done),
    ("fulfilment.nothing_open", "", lambda tx, o, p: fulfilment.deliver_order(tx, o, 1)),
    ("state.conflict", "", _shipped_twice),
    ("state.conflict", "", _delivered_before_collection),
]


@pytest.mark.parametrize(("code", "field", "act"), REFUSALS)
def test_refusals(
    database: MemoryDatabase, order_id: str, parcel: Callable[[], str], code: str, field: str, act: Act
) -> None:
    before = database.events()
    with pytest.raises(Refusal) as refused:
        database.run(act, order_id, parcel())
    assert (refused.value.code, refused.value.field) == (code, field)
    assert refused.value.problem
    assert database.events() == before


def test_every_code_of_fulfilment_has_a_row() -> None:
    declared = {code for code in problem_table() if code.startswith("fulfilment.")}
    assert declared == {code for code, _, _ in REFUSALS if code.startswith("fulfilment.")}
