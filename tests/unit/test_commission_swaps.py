"""What a line earns when units of it were given back for other goods: pure, whatever the numbers."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.test_commission import PLAN, SEEN
from tests.unit.test_invoices import line, order

from tradepost.trade.aftersales import Swap
from tradepost.trade.creators import Agency, OrderCommissions, estimate, settle
from tradepost.trade.creators.accounting import base_of, book, entries_of, follow, owed_parts
from tradepost.trade.orders import Order
from tradepost.trade.orders.model import LineProgress

LINES = st.lists(
    st.tuples(st.integers(1, 9), st.integers(100, 90_000), st.sampled_from((0, 500, 2_000))),
    min_size=1,
    max_size=4,
)


def begun(sold: Order) -> OrderCommissions:
    """Every line earns a tenth, an agency a quarter of it; all of it is settled."""
    lines = [
        settle(
            estimate(
                PLAN,
                Agency(agency_id="cre_2", share_bps=2_500),
                SEEN,
                order_id=sold.order_id,
                line_no=one.line_no,
                buyer_id=sold.buyer_id,
                currency=sold.currency,
                base_minor=base_of(one, one.quantity),
                units=one.quantity,
                counted=0,
                at_ms=0,
            )
        )
        for one in sold.body.lines
    ]
    return OrderCommissions(
        order_id="ord_01m4xk9v0c7s8p2q3r4t5v6w7x",
        seller_id=sold.seller_id,
        payment_id="pay_01m4xk9v0c7s8p2q3r4t5v6w7x",
        market=sold.market,
        version=0,
        next_at_ms=0,
        settle_at_ms=1,
        planned=True,
        lines=tuple(lines),
    )


def returned(sold: Order, counts: list[int]) -> Order:
    return msgspec.structs.replace(sold, progress=tuple(LineProgress(returned=count) for count in counts))


def after(stands: OrderCommissions, sold: Order, swaps: list[Swap], beside: int = 0) -> OrderCommissions:
    return follow(stands, sold, beside, False, 2, lambda *_: 0, swaps)


@given(LINES, st.data())
def test_the_commission_follows_what_stays_paid(drawn: list[tuple[int, int, int]], data: Any) -> None:
    sold = order([line(number, *row) for number, row in enumerate(drawn, 1)])
    stands = begun(sold)
    counts = [data.draw(st.integers(0, one.quantity)) for one in sold.body.lines]
    swaps = []
    for one, count in zip(sold.body.lines, counts, strict=True):
        units = data.draw(st.integers(0, count))
        worth = one.total_minor * units // one.quantity
        if units:
            swaps.append(Swap(one.line_no, units, data.draw(st.integers(0, worth))))
    kept = {swap.line_no: swap.kept_minor for swap in swaps}
    moved = after(stands, returned(sold, counts), swaps)
    for one, count, old, new in zip(sold.body.lines, counts, stands.lines, moved.lines, strict=True):
        taxless = one.total_minor - one.tax_minor
        stays = old.first_base_minor * (one.quantity - count) // one.quantity
        stays += kept.get(one.line_no, 0) * taxless // one.total_minor
        assert new.base_minor == (stays if not new.is_over else 0)
        assert 0 <= new.base_minor <= old.base_minor
        assert new.is_over == (stays == 0)
    assert after(moved, returned(sold, counts), swaps) == moved, "a second look changes nothing"


@given(LINES, st.data())
def test_every_step_is_conserved_and_all_back_leaves_nothing(
    drawn: list[tuple[int, int, int]], data: Any
) -> None:
    """Exchanged for less and less, then given back: what was booked sums to zero at each step."""
    sold = order([line(number, *row) for number, row in enumerate(drawn, 1)])
    everything = returned(sold, [one.quantity for one in sold.body.lines])
    stands, sums = begun(sold), dict[str, int]()
    stands, postings, _ = book(stands, stands, 1)
    kept = [one.total_minor for one in sold.body.lines]
    for _ in range(3):
        for posting in postings:
            assert sum(entry.amount_minor for entry in posting.entries) == 0
            for entry in posting.entries:
                sums[entry.account] = sums.get(entry.account, 0) + entry.amount_minor
        kept = [data.draw(st.integers(0, amount)) for amount in kept]
        swaps = [
            Swap(one.line_no, one.quantity, amount) for one, amount in zip(sold.body.lines, kept, strict=True)
        ]
        moved = after(stands, everything, swaps)
        counted = msgspec.structs.replace(moved, version=stands.version + 1)
        stands, postings, _ = book(stands, counted, 1)
        for one in stands.lines:
            assert sum(entries_of(one, owed_parts(one)).values()) == 0
    ended = after(stands, everything, [])
    stands, last, _ = book(stands, msgspec.structs.replace(ended, version=9), 1)
    for posting in (*postings, *last):
        for entry in posting.entries:
            sums[entry.account] = sums.get(entry.account, 0) + entry.amount_minor
    assert {account: amount for account, amount in sums.items() if amount} == {}
