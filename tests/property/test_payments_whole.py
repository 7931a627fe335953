"""The short way of a whole capture comes to exactly what the merge of facts comes to, and keeps out of all else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tradepost.kernel.errors import Refusal
from tradepost.testing.world import TestWorld
from tradepost.trade.payments import NewIntent, Portion, ProviderFact, Status, commands, rules
from tradepost.trade.payments.model import Payment
from tradepost.trade.payments.whole import capture_whole

WORLD = TestWorld()
AT = WORLD.now_ms()
PAY = WORLD.mint("payment", 7)
ORDERS = [WORLD.mint("order", 7) for _ in range(3)]
SELLERS = [WORLD.mint("seller", 1) for _ in range(2)]


@st.composite
def payments(draw: st.DrawFn) -> Payment:
    """An intent of one to three orders, fees and taxes at their edges too."""
    portions = []
    for order_id in ORDERS[: draw(st.integers(1, 3))]:
        amount = draw(st.integers(1, 5_000))
        fee = draw(st.integers(0, amount))
        portions.append(
            Portion(
                order_id=order_id,
                seller_id=draw(st.sampled_from(SELLERS)),
                amount_minor=amount,
                fee_minor=fee,
                tax_minor=draw(st.integers(0, amount - fee)),
                market=draw(st.sampled_from(["GB", "DE"])),
            )
        )
    return commands.open_payment(
        NewIntent(
            payment_id=PAY,
            checkout_id="chk",
            buyer_id="byr",
            provider="sandbox",
            method="card",
            currency="GBP",
            amount_minor=sum(portion.amount_minor for portion in portions),
            capture=draw(st.sampled_from(["immediate", "on_shipment"])),
            portions=tuple(portions),
            at_ms=AT,
            confirm=draw(st.booleans()),
        )
    )


@st.composite
def facts(draw: st.DrawFn, amount: int) -> ProviderFact:
    """What a provider may say, most often that all is taken."""
    captured = draw(st.sampled_from([amount, amount, amount, 0, amount // 2]))
    return ProviderFact(
        payment_id=PAY,
        status=draw(st.sampled_from([Status.AUTHORIZED, Status.AUTHORIZED, *Status])),
        attempt=draw(st.sampled_from([1, 1, 1, 2])),
        authorized_minor=amount if captured else draw(st.sampled_from([0, amount])),
        captured_minor=captured,
        currency=draw(st.sampled_from(["GBP", "", "EUR"])),
        redirect_url=draw(st.sampled_from(["", "/there"])),
        reference=draw(st.sampled_from(["", "ref_1"])),
        reason=draw(st.sampled_from(["", "because"])),
    )


def _apply(payment: Payment, fact: ProviderFact) -> rules.Change | str | None:
    try:
        return rules.apply_fact(payment, fact, AT)
    except Refusal as refusal:
        return refusal.code


@given(st.data())
def test_the_short_way_is_the_merge(data: st.DataObject) -> None:
    payment = data.draw(payments())
    for _ in range(data.draw(st.integers(0, 3))):
        if data.draw(st.integers(0, 3)) == 0:
            change = commands.close_portion(payment, payment.body.shares[0].order_id, 1, AT)
        else:
            merged = _apply(payment, data.draw(facts(payment.amount_minor)))
            change = merged if isinstance(merged, rules.Change) else None
        payment = change.payment if change is not None else payment
    fact = data.draw(facts(payment.amount_minor))
    short = capture_whole(payment, fact, AT + 1)
    if short is not None:
        assert short == rules.apply_fact(payment, fact, AT + 1)


@given(st.data())
def test_the_usual_outcome_takes_the_short_way(data: st.DataObject) -> None:
    payment = data.draw(payments().filter(lambda payment: payment.state == "PROCESSING"))
    amount = payment.amount_minor
    fact = ProviderFact(
        payment_id=PAY,
        status=Status.AUTHORIZED,
        authorized_minor=amount,
        captured_minor=amount,
        currency="GBP",
    )
    assert capture_whole(payment, fact, AT) is not None
