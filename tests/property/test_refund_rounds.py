"""Whatever the rounds were: everything given back is everything that was paid, and never a minor unit more."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tradepost.trade.aftersales import Asked, Return, Valuation, new_case, policy_of, value_case
from tradepost.trade.aftersales.valuing import left_minor
from tradepost.trade.orders import LineQuantity, Order, OrderBody, OrderLine, StockItem, full_progress
from tradepost.trade.orders.model import LineProgress
from tradepost.trade.pricing import Adjustment, Funder

POLICY = policy_of("GB")


@st.composite
def lines(draw: st.DrawFn, number: int) -> OrderLine:
    quantity, total = draw(st.integers(1, 7)), draw(st.integers(0, 5_000))
    off = draw(st.lists(st.tuples(st.sampled_from(list(Funder)), st.integers(1, 900)), max_size=3))
    return OrderLine(
        line_no=number,
        offer_id="off",
        sku_id=f"sku_{number}",
        sku_code="S",
        quantity=quantity,
        unit_price_e4=1,
        list_minor=total + sum(amount for _, amount in off),
        adjustments=tuple(
            Adjustment(code="c", reason="r", funder=funder, amount_minor=-amount) for funder, amount in off
        ),
        total_minor=total,
        tax_minor=draw(st.integers(0, total // 4)),
        fee_minor=draw(st.integers(0, total // 8)),
        components=(StockItem(f"sku_{number}", 1),),
    )


@st.composite
def orders(draw: st.DrawFn) -> Order:
    made = tuple(draw(lines(number)) for number in range(1, draw(st.integers(1, 4)) + 1))
    shipping = draw(st.sampled_from([0, 1, 45, 499]))
    body = OrderBody(
        order_number="N",
        lines=made,
        total_minor=sum(line.total_minor for line in made) + shipping,
        shipping_minor=shipping,
        tax_minor=sum(line.tax_minor for line in made) + shipping // 6,
        fee_minor=sum(line.fee_minor for line in made) + shipping // 9,
    )
    return Order(
        order_id="ord",
        checkout_id="chk",
        buyer_id="byr",
        seller_id="sel",
        market="GB",
        currency="GBP",
        scene="shop",
        state="DELIVERED",
        version=9,
        total_minor=body.total_minor,
        placed_at_ms=0,
        deadline_at_ms=0,
        payment_id="pay",
        progress=tuple(LineProgress(delivered=line.quantity) for line in made),
        cancellation=None,
        body=body,
    )


def settle(order: Order, cases: list[Return], asked: Asked) -> tuple[Order, Valuation]:
    """One round: what it is worth, the order and the cases after it."""
    value = value_case(order, cases, asked, POLICY)
    cases.append(
        replace(
            new_case("ord", f"rtn_{len(cases)}", asked.reason, 0, lines=asked.lines, kind=asked.kind),
            state="REFUNDED",
            amount_minor=asked.amount_minor,
            values=value.lines,
            shipping_minor=value.shipping_minor,
        )
    )
    if not asked.amount_minor:
        progress = list(full_progress(order))
        for item in asked.lines:
            done = progress[item.line_no - 1]
            progress[item.line_no - 1] = replace(done, returned=done.returned + item.quantity)
        order = replace(order, progress=tuple(progress))
    return order, value


def open_units(order: Order) -> tuple[LineQuantity, ...]:
    units = zip(order.body.lines, full_progress(order), strict=True)
    return tuple(
        LineQuantity(line.line_no, line.quantity - done.returned)
        for line, done in units
        if line.quantity > done.returned
    )


@st.composite
def units_of(draw: st.DrawFn, order: Order) -> tuple[LineQuantity, ...]:
    left = draw(st.lists(st.sampled_from(open_units(order)), min_size=1, unique=True))
    return tuple(LineQuantity(one.line_no, draw(st.integers(1, one.quantity))) for one in left)


@settings(max_examples=300, deadline=None)
@given(order=orders(), data=st.data())
def test_everything_in_any_rounds_is_everything(order: Order, data: st.DataObject) -> None:
    cases: list[Return] = []
    given_back = 0
    for _ in range(data.draw(st.integers(0, 6))):
        if not open_units(order):
            break
        reason = data.draw(st.sampled_from(["changed_mind", "damaged"]))
        left = sum(max(0, amount) for amount in left_minor(order, cases).values())
        if left and data.draw(st.booleans()):
            amount = data.draw(st.integers(1, left))
            asked = Asked(kind="refund_only", reason=reason, lines=(), amount_minor=amount)
        else:
            asked = Asked(kind="return_refund", reason=reason, lines=data.draw(units_of(order)))
        order, value = settle(order, cases, asked)
        assert value.owed_minor >= 0
        if asked.amount_minor:
            assert value.owed_minor == asked.amount_minor
        given_back += value.owed_minor
        assert given_back <= order.total_minor
    if open_units(order):
        rest = Asked(kind="return_refund", reason="changed_mind", lines=open_units(order))
        order, value = settle(order, cases, rest)
        given_back += value.owed_minor
    assert given_back == order.total_minor


@settings(max_examples=200, deadline=None)
@given(order=orders(), data=st.data())
def test_every_part_of_every_line_goes_back_whole(order: Order, data: st.DataObject) -> None:
    cases: list[Return] = []
    tax = fee = 0
    discounts: dict[Funder, int] = {}
    goods = 0
    while open_units(order):
        asked = Asked(kind="return_refund", reason="changed_mind", lines=data.draw(units_of(order)))
        order, value = settle(order, cases, asked)
        tax, fee = tax + value.tax_minor, fee + value.fee_minor
        for line in value.lines:
            goods += line.goods_minor
            assert line.goods_minor + sum(d.amount_minor for d in line.discounts) == line.total_minor
            for one in line.discounts:
                discounts[one.funder] = discounts.get(one.funder, 0) + one.amount_minor
    wanted: dict[Funder, int] = {}
    for sold in order.body.lines:
        for adjustment in sold.adjustments:
            wanted[adjustment.funder] = wanted.get(adjustment.funder, 0) + adjustment.amount_minor
    assert (tax, fee) == (order.body.tax_minor, order.body.fee_minor)
    assert discounts == wanted
    assert goods == sum(line.list_minor for line in order.body.lines)


@settings(max_examples=200, deadline=None)
@given(order=orders(), data=st.data())
def test_a_deduction_is_taken_off_and_never_given_back(order: Order, data: st.DataObject) -> None:
    units = data.draw(units_of(order))
    whole = value_case(order, [], Asked(kind="return_refund", reason="x", lines=units), POLICY)
    less = data.draw(st.integers(0, 6_000))
    worn = Asked(kind="return_refund", reason="x", lines=units, deduction_minor=less)
    value = value_case(order, [], worn, POLICY)
    assert value.owed_minor == max(0, whole.owed_minor - less)
    assert 0 <= value.tax_minor <= whole.tax_minor
