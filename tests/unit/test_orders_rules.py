"""Orders: what each input does, and one row per refusal."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from tests import order_samples
from tests.memory_tx import MemoryDatabase

from tradepost.kernel.errors import Refusal, problem_table
from tradepost.kernel.events import EventRow
from tradepost.kernel.tx import Tx
from tradepost.testing.world import TestWorld
from tradepost.trade import orders
from tradepost.trade.orders import LineQuantity, NewOrder, api, jobs, react, rules, store, units
from tradepost.trade.orders.model import ORDER_STATES, Order


@pytest.fixture
def database() -> MemoryDatabase:
    return MemoryDatabase()


def placed(database: MemoryDatabase, order: NewOrder) -> Order:
    database.run(orders.open_orders, [order])
    found: Order = database.run(orders.get_order, order.order_id)
    return found


def decided(
    database: MemoryDatabase, order: NewOrder, at_ms: int, *steps: Callable[[Order], rules.Change]
) -> Order:
    def work(tx: Tx) -> Order:
        return api.change_orders(tx, [(order.order_id, at_ms, step) for step in steps])[order.order_id]

    found: Order = database.run(work)
    return found


def types_of(database: MemoryDatabase) -> list[str]:
    return [row.type for row in database.events()]


def carry(stage: str, lines: list[LineQuantity], at_ms: int = 0) -> Callable[[Order], rules.Change]:
    return lambda order: rules.carry(order, stage, "pkg_1", lines, at_ms)


ALL = [LineQuantity(1, 3), LineQuantity(2, 2)]


@pytest.mark.parametrize(
    ("lines", "remorse_ms", "state", "types"),
    [
        (order_samples.LINES, 0, "UNPAID", ["order.placed.v1"]),
        ([order_samples.line(1, 2, 0)], 10, "ON_HOLD", ["order.placed.v1", "order.paid.v1"]),
        (
            [order_samples.line(1, 2, 0)],
            0,
            "AWAITING_SHIPMENT",
            ["order.placed.v1", "order.paid.v1", "order.released.v1"],
        ),
    ],
)
def test_a_new_order_waits_for_money_unless_it_is_free(
    database: MemoryDatabase, world: TestWorld, lines: list, remorse_ms: int, state: str, types: list[str]
) -> None:
    shipping = 45 if state == "UNPAID" else 0
    order = order_samples.new_order(world, lines, remorse_ms=remorse_ms, shipping_minor=shipping)
    found = placed(database, order)
    assert (found.state, found.version, types_of(database)) == (state, len(types), types)
    assert orders.rebuild(database.events()).state == state


def test_lines_that_do_not_sum_to_the_total_are_a_defect(world: TestWorld) -> None:
    with pytest.raises(ValueError, match="do not sum"):
        rules.new_order(
            orders.OrderBody(order_number="x", lines=order_samples.LINES, total_minor=1),
            order_id="ord_x",
            checkout_id="",
            buyer_id="",
            seller_id="",
            market="",
            currency="",
            scene="",
            payment_id="",
            at_ms=0,
            payment_deadline_ms=0,
        )


@pytest.mark.parametrize(
    ("remorse_ms", "capture", "given", "state", "types"),
    [
        (0, "immediate", "captured", "AWAITING_SHIPMENT", ["order.paid.v1", "order.released.v1"]),
        (9, "immediate", "captured", "ON_HOLD", ["order.paid.v1"]),
        (0, "immediate", "authorized", "UNPAID", []),
        (0, "on_shipment", "authorized", "AWAITING_SHIPMENT", ["order.paid.v1", "order.released.v1"]),
    ],
)
def test_payment_moves_the_order(
    database: MemoryDatabase,
    world: TestWorld,
    remorse_ms: int,
    capture: str,
    given: str,
    state: str,
    types: list[str],
) -> None:
    order = order_samples.new_order(world, remorse_ms=remorse_ms, capture=capture)
    placed(database, order)
    row = payment_row(order, given, 5)
    database.run(react.follow_payments, [row])
    database.run(react.follow_payments, [row])
    assert database.run(orders.get_order, order.order_id).state == state
    assert types_of(database)[1:] == types


def payment_row(order: NewOrder, given: str, at_ms: int) -> EventRow:
    payload = f'{{"payment_id":"{order.payment_id}","order_ids":["{order.order_id}"]}}'.encode()
    return EventRow(order_samples.GENE, order.payment_id, 1, f"payment.{given}.v1", at_ms, payload)


def test_the_stock_of_a_paid_order_has_its_kits_expanded(database: MemoryDatabase, world: TestWorld) -> None:
    order = order_samples.new_order(world)
    placed(database, order)
    database.run(react.follow_payments, [payment_row(order, "captured", 5)])
    paid = database.events()[1].data()
    assert [(item.sku_id, item.quantity) for item in paid.stock] == [
        (order_samples.LINES[0].sku_id, 3),
        ("sku_a", 4),
        ("sku_b", 2),
    ]


def test_money_for_a_cancelled_order_goes_back(database: MemoryDatabase, world: TestWorld) -> None:
    order = order_samples.new_order(world)
    placed(database, order)
    decided(database, order, 1, lambda found: rules.cancel(found, "BUYER", "changed_mind"))
    database.run(react.follow_payments, [payment_row(order, "captured", 5)])
    late = database.events()[-1]
    assert (late.type, late.data().amount_minor) == ("order.paid_late.v1", 700)


@pytest.mark.parametrize(
    ("state", "after", "last"),
    [
        ("UNPAID", "CANCELLED", "order.cancelled.v1"),
        ("ON_HOLD", "AWAITING_SHIPMENT", "order.released.v1"),
        ("DELIVERED", "COMPLETED", "order.completed.v1"),
    ],
)
def test_deadlines_end_states(
    database: MemoryDatabase, world: TestWorld, state: str, after: str, last: str
) -> None:
    order = order_samples.new_order(world, remorse_ms=50)
    found = placed(database, order)
    at_ms = world.now_ms()
    if state != "UNPAID":
        found = decided(database, order, at_ms, lambda found: rules.pay(found, at_ms))
    if state == "DELIVERED":
        steps = [carry(stage, ALL, at_ms) for stage in ("packed", "shipped", "delivered")]
        found = decided(database, order, at_ms, lambda found: rules.release(found, at_ms), *steps)
    assert found.state == state

    assert database.run(jobs.due, found.deadline_at_ms - 1, 10) == []
    assert database.run(jobs.due, found.deadline_at_ms, 10) == [order.order_id]
    database.run(api.end_deadlines, [order.order_id], found.deadline_at_ms - 1)
    assert database.run(orders.get_order, order.order_id) == found
    database.run(api.end_deadlines, [order.order_id], found.deadline_at_ms)
    assert database.run(orders.get_order, order.order_id).state == after
    assert types_of(database)[-1] == last


def test_ship_by_is_listed_for_aftersales(database: MemoryDatabase, world: TestWorld) -> None:
    order = order_samples.new_order(world)
    placed(database, order)
    found = decided(database, order, 1, lambda found: rules.pay(found, world.now_ms()))
    due = database.run(orders.unshipped_orders, found.deadline_at_ms, 10)
    assert due == [order.order_id]
    database.run(orders.defer_deadline, order.order_id, found.deadline_at_ms + 1)
    assert database.run(orders.unshipped_orders, found.deadline_at_ms, 10) == []
    database.run(api.end_deadlines, [order.order_id], found.deadline_at_ms + 1)
    assert database.run(orders.get_order, order.order_id).state == "AWAITING_SHIPMENT"


@pytest.mark.parametrize(
    ("packed", "shipped", "delivered", "state"),
    [
        ([(1, 1)], [], [], "PARTIALLY_SHIPPING"),
        ([(1, 3), (2, 2)], [], [], "AWAITING_COLLECTION"),
        ([(1, 3), (2, 2)], [(1, 3)], [], "AWAITING_COLLECTION"),
        ([(1, 3)], [(1, 3)], [(1, 3)], "PARTIALLY_SHIPPING"),
        ([(1, 3), (2, 2)], [(1, 3), (2, 2)], [(1, 3)], "IN_TRANSIT"),
        ([(1, 3), (2, 2)], [(1, 3), (2, 2)], [(1, 3), (2, 2)], "DELIVERED"),
    ],
)
def test_packages_move_the_order(
    database: MemoryDatabase,
    world: TestWorld,
    packed: list[tuple[int, int]],
    shipped: list[tuple[int, int]],
    delivered: list[tuple[int, int]],
    state: str,
) -> None:
    order = order_samples.new_order(world)
    placed(database, order)
    stages = (("packed", packed), ("shipped", shipped), ("delivered", delivered))
    steps = [carry(stage, [LineQuantity(*item) for item in items]) for stage, items in stages if items]
    found = decided(database, order, 1, lambda found: rules.pay(found, 1), *steps)
    assert found.state == state


def test_cancelling_the_rest_ships_the_order(database: MemoryDatabase, world: TestWorld) -> None:
    order = order_samples.new_order(world)
    placed(database, order)
    steps = [carry(stage, [LineQuantity(1, 3)]) for stage in ("packed", "shipped", "delivered")]
    decided(database, order, 1, lambda found: rules.pay(found, 1), *steps)
    found = database.run(
        orders.cancel_lines, order.order_id, [LineQuantity(2, 2)], "SELLER", "out_of_stock", 2
    )
    fact = database.events()[-1].data()
    assert (found.state, fact.refund_minor) == ("DELIVERED", 555)
    assert found.deadline_at_ms == 2 + 48 * order_samples.HOUR_MS


def test_refunds_of_a_line_sum_to_its_total_and_the_last_unit_takes_the_shipping_along(
    database: MemoryDatabase, world: TestWorld
) -> None:
    order = order_samples.new_order(world)
    placed(database, order)
    steps = [(1, 1), (1, 1), (2, 1), (1, 1), (2, 1)]
    for at_ms, item in enumerate(steps):
        database.run(orders.cancel_lines, order.order_id, [LineQuantity(*item)], "BUYER", "less", at_ms)
    facts = [row.data() for row in database.events()[1:]]
    assert [fact.refund_minor for fact in facts] == [33, 34, 278, 33, 277 + 45]
    assert database.run(orders.get_order, order.order_id).state == "CANCELLED"
    assert types_of(database)[-1] == "order.cancelled.v1"


REFUSALS: list[tuple[str, str, Callable[[Order], object]]] = [
    ("orders.line_unknown", "lines[0].line_no", lambda o: units.check_lines(o, [LineQuantity(9, 1)])),
    ("orders.line_unknown", "lines[0].line_no", lambda o: units.check_lines(o, [LineQuantity(0, 1)])),
    ("orders.quantity_invalid", "lines", lambda o: units.check_lines(o, [])),
    ("orders.quantity_invalid", "lines[0].quantity", lambda o: units.check_lines(o, [LineQuantity(1, 0)])),
    (
        "orders.quantity_invalid",
        "lines[1].quantity",
        lambda o: units.check_lines(o, [LineQuantity(1, 1), LineQuantity(1, 1)]),
    ),
    (
        "orders.quantity_exceeds",
        "lines[0].quantity",
        lambda o: rules.cancel_lines(o, [LineQuantity(1, 4)], "BUYER", "less", 0),
    ),
    ("orders.reason_missing", "reason", lambda o: rules.cancel(o, "BUYER", "")),
    ("orders.reason_missing", "reason", lambda o: rules.cancel(o, "BUYER", "x" * 61)),
    ("state.conflict", "", lambda o: rules.release(o, 0)),
    ("state.conflict", "", rules.complete),
    ("state.conflict", "", lambda o: rules.give_back(o, "rtn_1", [LineQuantity(1, 1)])),
]


@pytest.mark.parametrize(("code", "field", "act"), REFUSALS)
def test_refusals(
    database: MemoryDatabase, world: TestWorld, code: str, field: str, act: Callable[[Order], object]
) -> None:
    found = placed(database, order_samples.new_order(world))
    with pytest.raises(Refusal) as refused:
        act(found)
    assert (refused.value.code, refused.value.field) == (code, field)
    assert refused.value.problem


def test_every_code_of_orders_has_a_row() -> None:
    declared = {code for code in problem_table() if code.startswith("orders.")}
    assert declared == {code for code, _, _ in REFUSALS if code.startswith("orders.")} | {"orders.not_found"}


@pytest.mark.parametrize(
    "read", [orders.get_order, lambda tx, i: orders.cancel_order(tx, i, "BUYER", "x", 1)]
)
def test_unknown_orders(database: MemoryDatabase, world: TestWorld, read: Callable[..., object]) -> None:
    with pytest.raises(Refusal) as refused:
        database.run(read, world.mint("order", 3))
    assert refused.value.code == "orders.not_found"


def test_a_stale_update_is_refused(database: MemoryDatabase, world: TestWorld) -> None:
    found = placed(database, order_samples.new_order(world))
    with pytest.raises(Refusal) as refused:
        database.run(store.update_orders, [(found.version + 1, found)])
    assert refused.value.code == "version.conflict"


def test_statements_do_not_grow_with_orders(database: MemoryDatabase, world: TestWorld) -> None:
    def count(work: Callable[[], object]) -> int:
        before = database.engine.tx.statements
        work()
        return database.engine.tx.statements - before

    used = []
    for size in (2, 256):
        many = [order_samples.new_order(world) for _ in range(size)]
        opened = count(lambda many=many: database.run(orders.open_orders, many))
        rows = [payment_row(order, "captured", 5) for order in many]
        paid = count(lambda rows=rows: database.run(react.follow_payments, rows))
        news = database.events()[-3 * size :]
        seen = count(lambda news=news: database.run(react.follow_orders, news))
        used.append((opened, paid, seen))
    assert used[0] == used[1]
    assert used[1][0] == 2
    assert used[1][1] == 3


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        ("UNPAID", False),
        ("ON_HOLD", False),
        ("AWAITING_SHIPMENT", True),
        ("CANCELLED", False),
        ("COMPLETED", True),
    ],
)
def test_sellers_see_the_address_of_released_orders_only(
    database: MemoryDatabase, world: TestWorld, state: str, shown: bool
) -> None:

    found = msgspec.structs.replace(placed(database, order_samples.new_order(world)), state=state)
    view = orders.seller_view(found)
    assert bool(view.body.address) == bool(view.body.email) == shown


def test_sellers_list_and_look_up_their_orders(database: MemoryDatabase, world: TestWorld) -> None:
    seller_id = world.mint("seller", 9)
    many = []
    for _ in range(5):
        world.advance(10)
        many.append(order_samples.new_order(world, seller_id=seller_id))
    database.run(orders.open_orders, many)
    database.run(react.follow_payments, [payment_row(many[0], "captured", 5)])
    rows = database.events()
    database.run(react.follow_orders, rows)
    database.run(react.follow_orders, rows[:3])
    ids = [order.order_id for order in reversed(many)]

    def page(tx: Tx, state: str, before: str, limit: int) -> list[str]:
        found = orders.list_seller_orders(tx, seller_id, state=state, before=before, limit=limit)
        return [item.order_id for item in found]

    assert database.run(page, "", "", 3) == ids[:3]
    assert database.run(page, "", ids[2], 3) == ids[3:]
    assert database.run(page, "AWAITING_SHIPMENT", "", 9) == [many[0].order_id]
    number = "".join(
        orders.get_order(database.engine.tx, many[2].order_id).body.order_number.lower().split("-")
    )
    assert database.run(orders.find_seller_order, seller_id, number).order_id == many[2].order_id
    with pytest.raises(Refusal) as refused:
        database.run(orders.find_seller_order, world.mint("seller", 9), number)
    assert refused.value.code == "orders.not_found"
    with pytest.raises(Refusal) as unheard:
        database.run(react.follow_orders, [rows[-1]] and [_renamed(rows[-1], world)])
    assert unheard.value.code == "orders.not_found"


def _renamed(row: EventRow, world: TestWorld) -> EventRow:

    return msgspec.structs.replace(row, aggregate_id=world.mint("order", 1))


@pytest.mark.parametrize("spoil", ["gap", "headless", "foreign"])
def test_a_spoiled_log_is_not_believed(database: MemoryDatabase, world: TestWorld, spoil: str) -> None:

    order = order_samples.new_order(world)
    placed(database, order)
    database.run(react.follow_payments, [payment_row(order, "captured", 5)])
    rows = database.run(orders.order_log, order.order_id)
    assert orders.rebuild(rows).version == 3
    first = msgspec.structs.replace(rows[0], version=2)
    spoiled = {
        "gap": [rows[0], rows[2]],
        "headless": [msgspec.structs.replace(rows[1], version=1)],
        "foreign": [rows[0], first],
    }
    with pytest.raises(ValueError, match=r"gap|begin|belong"):
        orders.rebuild(spoiled[spoil])


def test_orders_by_ids_keeps_their_order(database: MemoryDatabase, world: TestWorld) -> None:
    many = [order_samples.new_order(world) for _ in range(3)]
    database.run(orders.open_orders, many)
    ids = [order.order_id for order in reversed(many)]
    found = database.run(orders.orders_by_ids, [*ids, world.mint("order", 1)])
    assert [order.order_id for order in found] == ids


def test_the_state_table_prints() -> None:
    assert "UNPAID --> ON_HOLD: pay" in ORDER_STATES.mermaid()
