"""Whoever funds an order gets its part back: any sequence of captures and refunds, told or not, ends at zero."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tradepost.trade import ledger
from tradepost.trade.ledger import Transaction
from tradepost.trade.payments import Division, Funding, booking, refund_rules, rules
from tradepost.trade.payments.funding import Side, side_of
from tradepost.trade.payments.model import Body, Payment, Refund, RefundRequest, Share
from tradepost.trade.payments.sheet import Sheet

PAYMENT = "pay_01m4xk9v0c7s8p2q3r4t5v6w7x"
ORDER = "ord_01m4xk9v0c7s8p2q3r4t5v6w7x"
ACCOUNTS = ("platform:promotions", "creator:cre_1")


@st.composite
def begun(draw: st.DrawFn) -> Payment:
    amount = draw(st.integers(1, 1_000))
    fee, tax = draw(st.integers(0, amount)), draw(st.integers(0, amount))
    funded = draw(
        st.lists(
            st.tuples(st.sampled_from(ACCOUNTS), st.integers(-300, 900)), max_size=3, unique_by=lambda p: p[0]
        )
    )
    sides = (Side(ORDER, tuple(Funding(*one) for one in funded)),) if funded else ()
    return Payment(
        payment_id=PAYMENT,
        checkout_id="chk",
        buyer_id="byr",
        provider="sandbox",
        currency="GBP",
        amount_minor=amount,
        state="AUTHORIZED",
        body=Body("card", "on_shipment", (Share(ORDER, "sel_1", amount, fee, tax, "GB"),)),
        sides=sides,
    )


def capture(payment: Payment, amount: int) -> tuple[Payment, list[Transaction]]:
    share = payment.body.shares[0]
    payment = rules.with_share(payment, replace(share, captured=share.captured + amount))
    payment, posting = booking.book_capture(payment, [(ORDER, amount)], 1)
    return payment, [posting, *booking.book_funding(payment, [(ORDER, amount)], 1)]


def give_back(
    payment: Payment, amount: int, number: int, told: Division | None
) -> tuple[Payment, list[Transaction]]:
    share = payment.body.shares[0]
    name = f"ref_{number:026}"
    if told is not None:
        asked = RefundRequest(
            refund_id=name,
            payment_id=PAYMENT,
            order_id=ORDER,
            amount_minor=amount,
            reason="r",
            at_ms=1,
            division=told,
        )
        payment = booking.note_division(payment, share, asked)
    refund = Refund(
        refund_id=name, payment_id=PAYMENT, order_id=ORDER, amount_minor=amount, currency="GBP", reason="r"
    )
    preview = booking.divide_refund(share, side_of(payment.sides, ORDER), amount, told)
    payment, postings = booking.book_refund(payment, share, refund, 1)
    booked = {entry.account: entry.amount_minor for entry in postings[0].entries}
    assert booked.get("platform:fees", 0) == preview.fee, "a preview is the refund"
    return rules.with_share(payment, replace(share, refunded=share.refunded + amount)), postings


TOLD = st.none() | st.builds(
    Division,
    st.integers(-50, 400),
    st.integers(-50, 400),
    st.lists(st.builds(Funding, st.sampled_from(ACCOUNTS), st.integers(-300, 500)), max_size=2).map(tuple),
)


@settings(max_examples=300, deadline=None)
@given(begun(), st.lists(st.tuples(st.booleans(), st.integers(1, 400), TOLD), max_size=12))
def test_any_sequence_ends_at_zero(payment: Payment, moves: list[tuple[bool, int, Division | None]]) -> None:
    booked: list[Transaction] = []
    for number, (takes, wanted, told) in enumerate(moves):
        share = payment.body.shares[0]
        left = share.amount - share.captured if takes else share.captured - share.refunded
        amount = min(wanted, left)
        if amount:
            payment, postings = (
                capture(payment, amount) if takes else give_back(payment, amount, number, told)
            )
            booked += postings
    share = payment.body.shares[0]
    stands = booking.parts_left(share, side_of(payment.sides, ORDER))
    sums = {account: balance.posted_minor for (account, _), balance in ledger.balances(booked).items()}
    net = share.captured - share.refunded
    assert sum(sums.values()) == 0
    assert sums.get("platform:fees", 0) == -stands.fee
    assert sums.get("tax:GB", 0) == -stands.tax
    assert -sums.get("seller:sel_1", 0) == net - stands.fee - stands.tax + sum(stands.funded)
    if share.captured < share.amount:
        payment, postings = capture(payment, share.amount - share.captured)
        booked += postings
        share = payment.body.shares[0]
    if share.refunded < share.amount:
        payment, postings = give_back(payment, share.amount - share.refunded, 99, None)
        booked += postings
    assert not any(balance.posted_minor for balance in ledger.balances(booked).values())


def test_who_funds_pays_the_seller_and_gets_it_back() -> None:
    share = Share(ORDER, "sel_1", 900, 50, 150, "GB")
    payment = Payment(
        payment_id=PAYMENT,
        checkout_id="chk",
        buyer_id="byr",
        provider="sandbox",
        currency="GBP",
        amount_minor=900,
        state="AUTHORIZED",
        body=Body("card", "immediate", (share,)),
        sides=(Side(ORDER, (Funding("platform:promotions", 300), Funding("creator:cre_1", 100))),),
    )
    payment, first = capture(payment, 900)
    assert [(t.transaction_id.partition(".")[2], t.kind) for t in first] == [
        ("capture.1", "capture"),
        ("funding.1", "funding"),
    ]
    owed = {account: b.posted_minor for (account, _), b in ledger.balances(first).items()}
    assert owed["seller:sel_1"] == -(900 - 50 - 150 + 300 + 100)
    assert (owed["platform:promotions"], owed["creator:cre_1"]) == (300, 100)
    # the line that came back was the one the platform had paid for
    told = Division(20, 60, (Funding("platform:promotions", 300),))
    payment, second = give_back(payment, 360, 1, told)
    back = {account: b.posted_minor for (account, _), b in ledger.balances(second).items()}
    assert back == {
        "provider:sandbox": -360,
        "seller:sel_1": 360 - 20 - 60 + 300,
        "platform:fees": 20,
        "tax:GB": 60,
        "platform:promotions": -300,
    }
    assert not side_of(payment.sides, ORDER).asked


def test_a_told_refund_after_a_partly_lost_dispute_takes_what_is_left() -> None:
    share = Share(ORDER, "sel_1", 900, 90, 150, "GB", captured=900, lost=300)
    payment = Payment(
        payment_id=PAYMENT,
        checkout_id="chk",
        buyer_id="byr",
        provider="sandbox",
        currency="GBP",
        amount_minor=900,
        state="CAPTURED",
        captured_minor=900,
        body=Body("card", "immediate", (share,)),
    )
    asked = RefundRequest(
        refund_id="ref_01m4xk9v0c7s8p2q3r4t5v6w7x",
        payment_id=PAYMENT,
        order_id=ORDER,
        amount_minor=600,
        reason="return",
        at_ms=1,
        division=Division(60, 100),
    )
    sheet = Sheet({PAYMENT: payment})
    refund = sheet.request(asked)
    noted = sheet.payment(PAYMENT)
    _, postings = booking.book_refund(noted, refund_rules.as_booked(noted.body.shares[0]), refund, 1)
    back = {account: one.posted_minor for (account, _), one in ledger.balances(postings).items()}
    assert (back["platform:fees"], back["tax:GB"]) == (60, 100), "the dispute gave back 30 and 50"
