"""Any sequence of asks, answers, webhooks and cancellations keeps the money straight."""

from __future__ import annotations

import sqlite3
from typing import Any

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

import tradepost.infra.storage.tables.events
import tradepost.infra.storage.tables.ledger
import tradepost.infra.storage.tables.payments  # noqa: F401
from tradepost.infra.storage.group import Call, run_group
from tradepost.infra.storage.sqlite_engine import SqliteEngine
from tradepost.infra.storage.tables.columns import METADATA
from tradepost.kernel.errors import Refusal
from tradepost.kernel.events import EventRow
from tradepost.testing.world import TestWorld
from tradepost.trade import ledger, payments
from tradepost.trade.payments import (
    Funding,
    Heard,
    NewIntent,
    Portion,
    ProviderFact,
    RefundFact,
    RefundRequest,
    RefundStatus,
    Status,
    api,
    paying,
    store,
    tenders,
)

CREDIT = 5_000
AMOUNTS = st.sampled_from([-5, 0, 1, 7, 100, 298, 299, 300, 350, 701, 702, 1000, 1200]) | st.integers(1, 400)
SELDOM = st.sampled_from([False, False, False, False, True])
EXPECTED = {
    "state.conflict",
    "payments.amount_invalid",
    "payments.capture_exceeds_authorized",
    "payments.refund_exceeds_captured",
}


def memory() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    engine = create_engine("sqlite://", creator=lambda: connection, poolclass=StaticPool)
    METADATA.create_all(engine)
    return connection


class Payments(RuleBasedStateMachine):
    """A provider with its own totals, whose words arrive late, twice and in any order."""

    @initialize(
        capture=st.sampled_from(["immediate", "on_shipment"]),
        confirm=st.booleans(),
        paid=st.booleans(),
        stored=st.sampled_from([0, 0, 1, 299, 650, 999]),
    )
    def begin(self, capture: str, confirm: bool, paid: bool, stored: int) -> None:
        self.connection = memory()
        self.engine = SqliteEngine(self.connection, 0)
        self.engine.load_sequence()
        self.world = TestWorld()
        self.payment_id = self.world.mint("payment", 9)
        self.orders = [self.world.mint("order", 9) for _ in range(2)]
        self.buyer_id = self.world.mint("buyer", 9)
        self.authorized = self.captured = 0
        self.asked = 1000 - stored
        self.status = Status.PENDING
        self.capture_at_once = capture == "immediate"
        self.said: list[ProviderFact] = []
        self.told = 0
        portions = tuple(
            Portion(
                order_id=order_id,
                seller_id=self.world.mint("seller", 1),
                amount_minor=amount,
                fee_minor=amount // 17,
                tax_minor=amount // 6,
                market="GB",
                funded=(Funding("platform:promotions", 333), Funding("creator:cre_1", 50))[: amount % 3],
            )
            for order_id, amount in zip(self.orders, (701, 299), strict=True)
        )
        intent = NewIntent(
            payment_id=self.payment_id,
            checkout_id="chk",
            buyer_id=self.buyer_id,
            provider="sandbox",
            method="any",
            currency="GBP",
            amount_minor=1000,
            capture=capture,
            portions=portions,
            at_ms=self.world.now_ms(),
            confirm=confirm,
        )
        self.run(payments.issue_credit, self.buyer_id, "gift", CREDIT, "GBP", self.world.now_ms())
        self.run(payments.open_intents, [payments.share_stored(intent, stored) if stored else intent])
        if confirm and paid:
            self.provider_pays(True)

    def run(self, work: Any, *args: Any) -> Any:
        call = Call(None, work=work, args=args)
        run_group(self.engine, [call])
        if isinstance(call.error, Refusal) and call.error.code in EXPECTED:
            return None
        if call.error is not None:
            raise call.error
        return call.value

    def hear(self, fact: ProviderFact | None, event_id: str = "", asked: bool = False) -> None:
        at_ms = self.world.advance(10)
        heard = Heard(self.payment_id, "sandbox", at_ms, fact, event_id, asked)
        call = Call(None, handler=payments.RECORD_RESULT, item=heard)
        run_group(self.engine, [call])
        if call.error is not None and not (
            isinstance(call.error, Refusal) and call.error.code == "state.conflict"
        ):
            raise call.error

    def speak(self, *refunds: RefundFact) -> ProviderFact:
        fact = ProviderFact(
            payment_id=self.payment_id,
            status=self.status,
            authorized_minor=self.authorized,
            captured_minor=self.captured,
            currency="GBP",
            refunds=refunds,
        )
        self.said.append(fact)
        return fact

    @rule()
    def confirm(self) -> None:
        self.run(api.begin_attempt, self.payment_id, "", self.world.now_ms())

    @rule(at_once=st.booleans())
    def provider_pays(self, at_once: bool) -> None:
        payment = self.payment()
        if payment.state == "CREATED" or self.status is Status.VOIDED:
            return
        self.status, self.authorized = Status.AUTHORIZED, self.asked
        if self.capture_at_once:
            self.captured = self.asked
        fact = self.speak()
        if at_once:
            self.hear(fact)

    @rule()
    def provider_does_what_is_due(self) -> None:
        payment = self.payment()
        todo = payments.rules.next_call(payment)
        if todo is None:
            return
        if todo.own:
            self.hear(paying.own_word(self.payment_id, todo))
        elif todo.call == "capture" and self.status is not Status.VOIDED:
            taken = tenders.card_taken(payment)
            self.captured = max(self.captured, min(self.asked, taken + todo.amount_minor))
        elif todo.call == "void" and self.captured < self.asked:
            self.status = Status.VOIDED
        self.speak()

    @rule(which=st.integers(0, 50), webhook=st.booleans(), asked=st.booleans())
    def some_word_arrives(self, which: int, webhook: bool, asked: bool) -> None:
        if self.said:
            index = which % len(self.said)
            self.hear(self.said[index], f"evt_{index}" if webhook else "", asked)

    @rule()
    def silence(self) -> None:
        self.hear(None, asked=True)

    @rule(amount=AMOUNTS, whose=st.integers(-1, 1), key=st.integers(0, 4))
    def capture(self, amount: int, whose: int, key: int) -> None:
        order_id = self.orders[whose] if whose >= 0 else ""
        self.run(api.plan_capture, self.payment_id, order_id, amount, f"key{key}", self.world.now_ms())

    @rule(really=SELDOM)
    def void(self, really: bool) -> None:
        if really:
            self.run(api.give_up, self.payment_id, self.world.now_ms())

    @rule(amount=AMOUNTS, whose=st.integers(0, 1))
    def refund(self, amount: int, whose: int) -> None:
        request = RefundRequest(
            refund_id=self.world.mint("refund", 9),
            payment_id=self.payment_id,
            order_id=self.orders[whose],
            amount_minor=amount,
            reason="asked",
            at_ms=self.world.now_ms(),
        )
        self.run(payments.request_refund, request)

    @rule(which=st.integers(0, 9), status=st.sampled_from(RefundStatus))
    def word_about_a_refund(self, which: int, status: RefundStatus) -> None:
        refunds = store.refunds_of(self.engine.tx, self.payment_id)
        if refunds:
            refund = refunds[which % len(refunds)]
            self.run(api.begin_refund_call, refund.refund_id, self.world.advance(4_000_000))
            attempt = store.find_refunds(self.engine.tx, [refund.refund_id])[refund.refund_id].attempts
            self.hear(self.speak(RefundFact(refund_id=refund.refund_id, attempt=attempt, status=status)))

    @rule(which=st.integers(0, 9), by_hand=st.booleans())
    def operator_acts(self, which: int, by_hand: bool) -> None:
        tasks = payments.list_refund_tasks(self.engine.tx)
        if tasks:
            refund_id = tasks[which % len(tasks)].refund_id
            if by_hand:
                self.run(payments.settle_refund, refund_id, "paid in cash", self.world.now_ms())
            else:
                self.run(payments.retry_refund, refund_id, self.world.now_ms())

    @rule(
        really=SELDOM,
        whose=st.integers(0, 1),
        minor=st.integers(1, 800),
        type_=st.sampled_from(["order.cancelled.v1", "order.lines_cancelled.v1", "order.paid_late.v1"]),
    )
    def an_order_ends(self, really: bool, whose: int, minor: int, type_: str) -> None:
        if not really:
            return
        self.told += 1
        payload = {"order_id": self.orders[whose], "payment_id": self.payment_id, "refund_minor": minor}
        row = EventRow(
            9, self.orders[whose], self.told, type_, self.world.now_ms(), msgspec.json.encode(payload)
        )
        self.run(payments.CONSUMERS[0].consume, [row])

    def payment(self) -> payments.model.Payment:
        return store.find_payments(self.engine.tx, [self.payment_id])[self.payment_id]

    @invariant()
    def money_is_straight(self) -> None:
        if not hasattr(self, "engine"):
            return
        tx, payment = self.engine.tx, self.payment()
        assert 0 <= payment.refunded_minor <= payment.captured_minor <= payment.authorized_minor <= 1000
        assert tenders.card_taken(payment) <= self.captured
        shares = payment.body.shares
        assert sum(share.captured for share in shares) == payment.captured_minor
        assert sum(share.refunded for share in shares) == payment.refunded_minor
        for share in shares:
            assert 0 <= share.refunded + share.returning <= share.captured <= share.amount
            assert payments.rules.owed_back(share) == (0, 0)
        refunds = store.refunds_of(tx, self.payment_id)
        done = [r.amount_minor for r in refunds if r.state in ("SUCCEEDED", "SETTLED_BY_HAND")]
        assert sum(done) == payment.refunded_minor
        assert sum(r.amount_minor for r in refunds) == sum(s.refunded + s.returning for s in shares)

    @invariant()
    def each_tender_is_straight(self) -> None:
        if not hasattr(self, "engine"):
            return
        tx, payment = self.engine.tx, self.payment()
        refunds = store.refunds_of(tx, self.payment_id)
        out = waits = 0
        for share in payment.body.shares:
            stored = tenders.stored_of(payment, share.order_id)
            own = [refund for refund in refunds if refund.order_id == share.order_id]
            taken = min(share.captured, stored.held)
            assert 0 <= stored.given <= stored.back <= taken <= stored.part
            assert sum(refund.stored_minor for refund in own) == stored.back
            assert 0 <= sum(refund.card_minor for refund in own) <= share.captured - taken
            if share.refunded == share.captured:
                assert stored.given == taken, "what is given back whole is given back to each tender whole"
            waits += stored.held - taken
            out += stored.held - stored.given
        assert payments.balance_of(tx, self.buyer_id, "GBP") == CREDIT - out
        assert payments.find_drift(tx) == []
        balances = ledger.account_balances(tx)
        held = balances.get((tenders.ACCOUNT, "GBP"))
        assert (-held.posted_minor if held is not None else 0) == waits
        if payment.state in tenders.ENDED:
            assert waits == 0, "nothing stays set aside for a payment that ended"

    @invariant()
    def ledger_agrees(self) -> None:
        if not hasattr(self, "engine"):
            return
        tx, payment = self.engine.tx, self.payment()
        balances = ledger.account_balances(tx)
        assert sum(balance.posted_minor for balance in balances.values()) == 0
        assert sum(balance.pending_minor for balance in balances.values()) == 0
        assert ledger.captured_by_payment(tx).get(self.payment_id, 0) == payment.captured_minor
        assert ledger.refunded_by_payment(tx).get(self.payment_id, 0) == payment.refunded_minor
        if payment.captured_minor == payment.refunded_minor:
            sellers = [
                b.posted_minor for (account, _), b in balances.items() if account.startswith("seller:")
            ]
            assert not any(sellers)
            rest = {account: b.posted_minor for (account, _), b in balances.items()}
            assert not any(
                amount for account, amount in rest.items() if account.startswith(("platform:pro", "creator:"))
            ), "who funded has its part back"
        if not payment.body.held:
            assert not any(balance.pending_minor for balance in balances.values())

    @invariant()
    def logs_have_no_gaps(self) -> None:
        if not hasattr(self, "engine"):
            return
        rows = self.engine.tx.query(
            "SELECT aggregate_id, COUNT(*), MIN(version), MAX(version) FROM events GROUP BY aggregate_id"
        )
        for aggregate_id, count, first, last in rows:
            assert (first, last) == (1, count)
            if aggregate_id == self.payment_id:
                assert count == self.payment().version

    def teardown(self) -> None:
        if hasattr(self, "connection"):
            self.connection.close()


Payments.TestCase.settings = settings(
    max_examples=150,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestPayments = Payments.TestCase
