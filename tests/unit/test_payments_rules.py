"""Pure rules of payments: every refusal has a row, and the order of facts does not matter."""

from __future__ import annotations

import itertools
from collections import defaultdict
from typing import Any

import pytest
from msgspec.structs import replace

from tradepost.kernel.errors import Refusal, problem_table
from tradepost.kernel.ids import gene_of, time_of
from tradepost.testing.world import TestWorld
from tradepost.trade.ledger import Transaction
from tradepost.trade.payments import booking, commands, refund_rules, rules
from tradepost.trade.payments.model import (
    NewIntent,
    Payment,
    Portion,
    PortionLine,
    Refund,
    RefundRequest,
    Share,
)
from tradepost.trade.payments.port import ProviderFact, RefundFact, RefundStatus, Status

WORLD = TestWorld()
AT = WORLD.now_ms()
PAY = WORLD.mint("payment", 7)
ORDER_A, ORDER_B = WORLD.mint("order", 7), WORLD.mint("order", 7)
SELLER_A, SELLER_B = WORLD.mint("seller", 1), WORLD.mint("seller", 2)


def intent(capture: str = "immediate", *, confirm: bool = True, **changes: Any) -> NewIntent:
    portions = (
        Portion(
            order_id=ORDER_A,
            seller_id=SELLER_A,
            amount_minor=700,
            fee_minor=35,
            tax_minor=117,
            market="GB",
        ),
        Portion(
            order_id=ORDER_B, seller_id=SELLER_B, amount_minor=300, fee_minor=15, tax_minor=50, market="GB"
        ),
    )
    facts: dict[str, Any] = {
        "payment_id": PAY,
        "checkout_id": WORLD.mint("checkout", 7),
        "buyer_id": WORLD.mint("buyer", 7),
        "provider": "sandbox",
        "method": "sandbox_succeeds",
        "currency": "GBP",
        "amount_minor": 1000,
        "capture": capture,
        "portions": portions,
        "at_ms": AT,
        "confirm": confirm,
    }
    return NewIntent(**(facts | changes))


def payment(capture: str = "immediate", **changes: Any) -> Payment:
    return commands.open_payment(intent(capture, **changes))


def fact(status: Status, authorized: int = 0, captured: int = 0, **more: Any) -> ProviderFact:
    return ProviderFact(
        payment_id=PAY,
        status=status,
        authorized_minor=authorized,
        captured_minor=captured,
        currency="GBP",
        **more,
    )


def after(start: Payment, *facts: ProviderFact) -> tuple[Payment, list[Transaction], list[str]]:
    postings: list[Transaction] = []
    events: list[str] = []
    for heard in facts:
        change = rules.apply_fact(start, heard, AT)
        if change is not None:
            start = change.payment
            postings += change.postings
            events += [type(event).__name__ for event in change.events]
    return start, postings, events


def posted(postings: list[Transaction]) -> dict[str, int]:
    sums: dict[str, int] = defaultdict(int)
    for transaction in postings:
        assert sum(entry.amount_minor for entry in transaction.entries) == 0
        if transaction.state == "posted":
            for entry in transaction.entries:
                sums[entry.account] += entry.amount_minor
    return dict(sums)


PAID = fact(Status.AUTHORIZED, 1000, 1000)
HELD = fact(Status.AUTHORIZED, 1000)
HALF = fact(Status.AUTHORIZED, 1000, 400)
GOES_ON = fact(Status.PENDING)
REDIRECTS = fact(Status.REQUIRES_ACTION, redirect_url="/there")
DECLINED = fact(Status.DECLINED, reason="card_declined")
VOIDED = fact(Status.VOIDED)
RELEASED = fact(Status.VOIDED, 1000, 400)

HISTORIES = {
    "paid": ([REDIRECTS, GOES_ON, PAID, PAID], "CAPTURED"),
    "held then taken": ([HELD, HALF, PAID, HELD], "CAPTURED"),
    "declined": ([REDIRECTS, GOES_ON, DECLINED, DECLINED], "FAILED"),
    "redirected": ([REDIRECTS, REDIRECTS], "REQUIRES_ACTION"),
    "pending": ([GOES_ON, REDIRECTS, GOES_ON], "PENDING"),
    "held": ([GOES_ON, HELD, HELD], "AUTHORIZED"),
    "voided": ([HELD, VOIDED, VOIDED], "VOIDED"),
    "rest released": ([HELD, HALF, RELEASED], "CAPTURED"),
    "voided before": ([GOES_ON, VOIDED], "VOIDED"),
    "declined, but money came": ([DECLINED, PAID], "CAPTURED"),
}


def whole(end: Payment) -> tuple[object, ...]:
    shares = tuple((share.order_id, share.captured, share.returning) for share in end.body.shares)
    return (
        end.state,
        end.authorized_minor,
        end.captured_minor,
        end.body.voided,
        end.body.rank,
        end.body.redirect_url,
        shares,
    )


@pytest.mark.parametrize("name", HISTORIES)
def test_any_order_of_facts_ends_alike(name: str) -> None:
    facts, state = HISTORIES[name]
    ends = {}
    for order in itertools.permutations(facts):
        end, postings, events = after(payment(), *order)
        ends[whole(end)] = tuple(sorted(posted(postings).items()))
        assert events.count("PaymentFailed") <= 1
        assert events.count("PaymentAuthorized") <= 1
    assert len(set(ends.items())) == 1
    assert next(iter(ends))[0] == state


@pytest.mark.parametrize("name", HISTORIES)
def test_a_fact_heard_again_changes_nothing(name: str) -> None:
    facts, _ = HISTORIES[name]
    end, _, _ = after(payment(), *facts)
    assert all(rules.apply_fact(end, heard, AT + 9) is None for heard in facts)


def test_closing_before_or_after_the_money_owes_the_same_back() -> None:
    before = commands.close_portion(payment(), ORDER_A, None, AT)
    assert before is not None
    paid_after = rules.apply_fact(before.payment, PAID, AT)
    paid, _, _ = after(payment(), PAID)
    closed_after = commands.close_portion(paid, ORDER_A, None, AT)
    assert paid_after is not None
    assert closed_after is not None
    assert paid_after.owed == closed_after.owed == ((ORDER_A, 700, 0),)
    assert whole(paid_after.payment) == whole(closed_after.payment)


def test_cancelled_twice_is_owed_once_and_returns_do_not_count_twice() -> None:
    paid, _, _ = after(payment(), PAID)
    share = replace(paid.body.shares[0], returning=100)
    change = commands.close_portion(rules.with_share(paid, share), ORDER_A, 650, AT)
    assert change is not None
    assert change.owed == ((ORDER_A, 600, 0),)
    again = commands.close_portion(change.payment, ORDER_A, None, AT)
    assert again is not None
    assert again.owed == ()
    assert commands.close_portion(again.payment, ORDER_A, None, AT) is None


def test_nothing_taken_closes_the_intent_and_calls_for_a_void() -> None:
    closed = payment()
    for order_id in (ORDER_A, ORDER_B):
        change = commands.close_portion(closed, order_id, None, AT)
        assert change is not None
        closed = change.payment
    assert closed.state == "VOIDED"
    assert [type(event).__name__ for event in change.events] == ["PaymentVoided"]
    assert rules.next_call(closed) == rules.Todo("void")
    assert closed.ask_at_ms == AT
    settled, _, events = after(closed, VOIDED)
    assert (settled.state, settled.ask_at_ms, rules.next_call(settled), events) == ("VOIDED", 0, None, [])
    late = rules.apply_fact(closed, PAID, AT)
    assert late is not None
    assert late.payment.state == "CAPTURED"
    assert sum(amount for _, amount, _ in late.owed) == 1000


def test_unconfirmed_intent_is_voided_without_the_provider() -> None:
    change = commands.give_up_rest(payment(confirm=False), AT)
    assert change is not None
    assert (change.payment.state, change.payment.ask_at_ms) == ("VOIDED", 0)
    assert rules.next_call(change.payment) is None


def test_captures_go_one_after_the_other_and_add_up() -> None:
    held, postings, _ = after(payment("on_shipment"), HELD)
    planned = commands.plan_capture(held, ORDER_B, 120, "first", AT)
    assert planned is not None
    planned = commands.plan_capture(planned, "", 333, "second", AT)
    assert planned is not None
    assert commands.plan_capture(planned, "", 333, "second", AT) is None
    assert rules.next_call(planned) == rules.Todo("capture", 1, 120)
    step, more, _ = after(planned, fact(Status.AUTHORIZED, 1000, 120))
    assert (step.body.shares[0].captured, step.body.shares[1].captured) == (0, 120)
    assert rules.next_call(step) == rules.Todo("capture", 2, 333)
    end, rest, events = after(step, fact(Status.AUTHORIZED, 1000, 453), RELEASED_AT_453)
    assert (end.state, end.body.shares[0].captured, end.body.shares[1].captured) == ("CAPTURED", 265, 188)
    assert events == ["PaymentCaptured", "PaymentVoided"]
    sums = posted(postings + more + rest)
    assert sums["provider:sandbox"] == 453
    assert sum(sums.values()) == 0
    pending = [t for t in postings + more + rest if t.state == "pending" or t.pending_id]
    assert sum(t.amount_minor * (1 if t.state == "pending" else -1) for t in pending) == 0


RELEASED_AT_453 = fact(Status.VOIDED, 1000, 453)


def test_a_new_attempt_ignores_the_old_ones_late_decline() -> None:
    failed, _, _ = after(payment(), DECLINED)
    again = commands.begin_attempt(failed, "sandbox_pending_succeeds", AT)
    assert (again.state, again.body.attempt) == ("PROCESSING", 2)
    assert rules.apply_fact(again, DECLINED, AT) is None
    end, _, _ = after(again, fact(Status.PENDING, attempt=2), replace(PAID, attempt=2))
    assert end.state == "CAPTURED"


def test_silence_waits_longer_each_time_and_expires_after_a_week() -> None:
    waits, moment = payment(), AT
    gaps = []
    for _ in range(12):
        change = commands.note_silence(waits, moment)
        assert change is not None
        waits = change.payment
        gaps.append(waits.ask_at_ms - moment)
        moment = waits.ask_at_ms
    assert gaps[:3] == [30_000, 60_000, 120_000]
    assert gaps[-1] == rules.ASK_LAST_MS
    change = commands.note_silence(waits, AT + commands.EXPIRE_AFTER_MS + 1)
    assert change is not None
    assert change.payment.state == "VOIDED"
    assert rules.next_call(change.payment) == rules.Todo("void")


def test_shipment_lines_cost_exactly_their_total() -> None:
    lines = (PortionLine(1, 3, 100), PortionLine(2, 1, 599))
    portion = replace(intent().portions[0], lines=lines, amount_minor=700)
    held, _, _ = after(payment("on_shipment", portions=(portion, intent().portions[1])), HELD)
    amounts = []
    for number, (units, last) in enumerate([({1: 1}, False), ({1: 1}, False), ({1: 1, 2: 1}, True)]):
        planned = commands.plan_shipment(held, ORDER_A, units, last, f"package.{number}", AT)
        assert planned is not None
        amounts.append(rules.planned_of(planned, ORDER_A) - rules.planned_of(held, ORDER_A))
        held = planned
    assert amounts == [33, 34, 633]


@pytest.mark.parametrize(
    ("share", "steps"),
    [
        (Share(ORDER_A, SELLER_A, 1000, 50, 167, "GB"), [1, 1, 333, 332, 333]),
        (Share(ORDER_A, SELLER_A, 7, 3, 4, "JP"), [1] * 7),
        (Share(ORDER_A, SELLER_A, 100, 0, 0, "US"), [99, 1]),
        (Share(ORDER_A, SELLER_A, 3, 1, 1, "GB"), [1, 1, 1]),
    ],
)
def test_parts_of_a_share_grow_and_sum_exactly(share: Share, steps: list[int]) -> None:
    before, taken = (0, 0, 0), 0
    for step in steps:
        taken += step
        parts = booking.divide_share(share, taken)
        assert sum(parts) == taken
        assert all(new >= old for new, old in zip(parts, before, strict=True))
        before = parts
    assert before == (share.amount - share.fee - share.tax, share.fee, share.tax)


CAPTURED = after(payment(), PAID)[0]
AUTHORIZED = after(payment("on_shipment"), HELD)[0]


def ask_back(amount: int, **changes: str) -> RefundRequest:
    facts = {"refund_id": WORLD.mint("refund", 7), "payment_id": PAY, "order_id": ORDER_A} | changes
    return RefundRequest(**facts, amount_minor=amount, reason="asked", at_ms=AT)


REFUSALS = [
    ("payments.amount_invalid", lambda: payment(amount_minor=0)),
    ("payments.amount_invalid", lambda: payment(amount_minor=999)),
    ("payments.amount_invalid", lambda: commands.plan_capture(AUTHORIZED, "", 0, "r", AT)),
    ("payments.amount_invalid", lambda: commands.plan_capture(AUTHORIZED, "", -5, "r", AT)),
    ("payments.capture_exceeds_authorized", lambda: commands.plan_capture(AUTHORIZED, "", 1001, "r", AT)),
    ("payments.capture_exceeds_authorized", lambda: commands.plan_capture(AUTHORIZED, ORDER_B, 301, "r", AT)),
    ("payments.order_unknown", lambda: commands.plan_capture(AUTHORIZED, "ord_x", 1, "r", AT)),
    ("payments.order_unknown", lambda: commands.close_portion(AUTHORIZED, "ord_x", None, AT)),
    ("state.conflict", lambda: commands.plan_capture(payment(), "", 1, "r", AT)),
    ("state.conflict", lambda: commands.plan_capture(CAPTURED, "", 1, "r", AT)),
    ("state.conflict", lambda: commands.plan_capture(after(payment(), DECLINED)[0], "", 1, "r", AT)),
    ("state.conflict", lambda: commands.give_up_rest(CAPTURED, AT)),
    ("state.conflict", lambda: commands.begin_attempt(CAPTURED, "", AT)),
    ("state.conflict", lambda: commands.begin_attempt(AUTHORIZED, "", AT)),
    ("payments.fact_mismatch", lambda: rules.apply_fact(payment(), fact(Status.AUTHORIZED, 999), AT)),
    ("payments.fact_mismatch", lambda: rules.apply_fact(payment(), fact(Status.AUTHORIZED, 1000, 1001), AT)),
    ("payments.fact_mismatch", lambda: rules.apply_fact(payment(), replace(PAID, currency="USD"), AT)),
    (
        "payments.refund_exceeds_captured",
        lambda: refund_rules.accept_request(ask_back(701), CAPTURED.body.shares[0]),
    ),
    (
        "payments.refund_exceeds_captured",
        lambda: refund_rules.accept_request(ask_back(1), AUTHORIZED.body.shares[0]),
    ),
    ("payments.amount_invalid", lambda: refund_rules.accept_request(ask_back(0), CAPTURED.body.shares[0])),
]


@pytest.mark.parametrize(("code", "act"), REFUSALS, ids=[f"{n}-{r[0]}" for n, r in enumerate(REFUSALS)])
def test_refusals(code: str, act: Any) -> None:
    with pytest.raises(Refusal) as caught:
        act()
    assert caught.value.code == code
    assert code in problem_table()


def refund(state: str = "PROCESSING", attempts: int = 1, next_at_ms: int = 0) -> Refund:
    return Refund(
        refund_id=WORLD.mint("refund", 7),
        payment_id=PAY,
        order_id=ORDER_A,
        amount_minor=10,
        currency="GBP",
        reason="asked",
        state=state,
        attempts=attempts,
        next_at_ms=next_at_ms,
    )


@pytest.mark.parametrize(
    ("state", "attempts", "status", "of_attempt", "end"),
    [
        ("PROCESSING", 1, RefundStatus.SUCCEEDED, 1, "SUCCEEDED"),
        ("PROCESSING", 2, RefundStatus.SUCCEEDED, 1, "SUCCEEDED"),
        ("REFUSED", 1, RefundStatus.SUCCEEDED, 1, "SUCCEEDED"),
        ("REQUESTED", 0, RefundStatus.SUCCEEDED, 1, "SUCCEEDED"),
        ("NEEDS_OPERATOR", 5, RefundStatus.SUCCEEDED, 5, "SUCCEEDED"),
        ("PROCESSING", 1, RefundStatus.REFUSED, 1, "REFUSED"),
        ("PROCESSING", 5, RefundStatus.REFUSED, 5, "NEEDS_OPERATOR"),
        ("PROCESSING", 10, RefundStatus.REFUSED, 10, "NEEDS_OPERATOR"),
        ("PROCESSING", 2, RefundStatus.REFUSED, 1, None),
        ("REFUSED", 1, RefundStatus.REFUSED, 1, None),
        ("PROCESSING", 1, RefundStatus.PENDING, 1, None),
        ("SUCCEEDED", 1, RefundStatus.SUCCEEDED, 1, None),
        ("SUCCEEDED", 1, RefundStatus.REFUSED, 1, None),
        ("SETTLED_BY_HAND", 5, RefundStatus.SUCCEEDED, 5, None),
    ],
)
def test_what_a_word_about_a_refund_means(
    state: str, attempts: int, status: RefundStatus, of_attempt: int, end: str | None
) -> None:
    known = refund(state, attempts)
    heard = refund_rules.hear(
        known, RefundFact(refund_id=known.refund_id, attempt=of_attempt, status=status), AT
    )
    assert (heard.state if heard else None) == end


@pytest.mark.parametrize(
    ("state", "next_at_ms", "called"),
    [
        ("REQUESTED", AT + 5, True),
        ("REFUSED", AT, True),
        ("REFUSED", AT + 1, False),
        ("PROCESSING", AT, True),
        ("PROCESSING", AT + 1, False),
        ("SUCCEEDED", 0, False),
        ("NEEDS_OPERATOR", 0, False),
        ("SETTLED_BY_HAND", 0, False),
    ],
)
def test_when_a_refund_is_called(state: str, next_at_ms: int, called: bool) -> None:
    begun = refund_rules.begin_call(refund(state, 1, next_at_ms), AT)
    assert (begun is not None) is called
    if begun is not None:
        assert begun.attempts == (1 if state == "PROCESSING" else 2)


def test_derived_refund_ids_stay_on_the_orders_shard() -> None:
    one = refund_rules.derive_refund_id(ORDER_A, "cancel.0")
    assert one == refund_rules.derive_refund_id(ORDER_A, "cancel.0")
    assert one != refund_rules.derive_refund_id(ORDER_A, "cancel.10")
    assert (gene_of(one), time_of(one), len(one)) == (gene_of(ORDER_A), time_of(ORDER_A), 30)
