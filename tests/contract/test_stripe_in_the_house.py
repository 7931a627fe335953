"""Whole payments through Stripe's adapter: our database and ledger, the double over HTTP, its webhooks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import pytest
from tests.contract.stripe_ground import Ground, ground
from tests.unit.payments_shop import Shop, back

from tradepost.infra.storage.sqlite import SqliteStorage
from tradepost.kernel.errors import Refusal
from tradepost.stability.dependency import Dependency, DependencyTerms
from tradepost.testing.stripe_double import Fault
from tradepost.testing.world import TestWorld
from tradepost.trade import payments
from tradepost.trade.payments import Guarded, NewIntent, PaymentView, Providers
from tradepost.trade.payments.rules import ASK_FIRST_MS


class StripeShop(Shop):
    """The shop of the payment tests with Stripe's double in the sandbox's place."""

    def __init__(self, db: SqliteStorage, world: TestWorld, at: Ground) -> None:
        super().__init__(db, world)
        self.at, self.double = at, at.double
        self.providers = Providers(at.provider, call_timeout_ms=3_000)
        at.double.deliver_to(self.receive)

    async def receive(self, headers: Mapping[str, str], body: bytes) -> None:
        try:
            await payments.handle_webhook(self.db, self.world, self.providers, "stripe", headers, body)
        except Refusal as refusal:
            if refusal.code != "payments.webhook_ignored":
                raise

    async def buy(self, method: str = "pm_card_visa", **changes: object) -> tuple[NewIntent, PaymentView]:
        return await self.pay(method, provider="stripe", **changes)

    async def later(self, by_ms: int = ASK_FIRST_MS) -> None:
        self.world.advance(by_ms)
        await self.sweep("payments.ask")


@pytest.fixture
async def shop(db: SqliteStorage, world: TestWorld) -> AsyncIterator[StripeShop]:
    async with ground(world) as at:
        made = StripeShop(db, world, at)
        yield made
        await made.double.deliver_all()
        await made.double.deliver_all(copies=2)
        await made.check()


async def ignore(headers: Mapping[str, str], body: bytes) -> None:
    """Take a webhook and do nothing."""


async def captured(shop: StripeShop, intent: NewIntent, amount: int = 1000) -> None:
    """Taken once, in our books and in Stripe's."""
    view = await shop.view(intent.payment_id)
    assert (view.state, view.captured_minor) == ("CAPTURED", amount)
    assert shop.double.intent_of(intent.payment_id)["amount_received"] == amount
    paid = [one for one in shop.double.books.charges.values() if one["amount_captured"]]
    assert len(paid) == 1


async def test_paid_at_once(shop: StripeShop) -> None:
    intent, view = await shop.buy()
    assert view.state == "CAPTURED"
    await shop.double.deliver_all(copies=2)
    await captured(shop, intent)
    assert await shop.types(intent.payment_id) == ["payment.captured.v1"]


async def test_declined_and_paid_with_another_card(shop: StripeShop) -> None:
    intent, view = await shop.buy("pm_card_visa_chargeDeclinedInsufficientFunds")
    assert (view.state, view.reason) == ("FAILED", "insufficient_funds")
    await payments.confirm(shop.db, shop.world, shop.providers, intent.payment_id, "pm_card_visa")
    await shop.double.deliver_all()
    await captured(shop, intent)


@pytest.mark.parametrize("fault", [Fault.LOST_ANSWER, Fault.LOST_REQUEST, Fault.ERROR_409, Fault.ERROR_429])
async def test_an_unanswered_call_is_asked_for(shop: StripeShop, fault: Fault) -> None:
    shop.double.faults.append(fault)
    intent, view = await shop.buy()
    assert view.state == "PROCESSING"
    await shop.later()
    await captured(shop, intent)


async def test_an_error_of_stripe_s_own_is_asked_for(shop: StripeShop) -> None:
    shop.double.faults += [Fault.ERROR_500] * 2
    intent, view = await shop.buy()
    assert view.state == "PROCESSING"
    await shop.later()
    assert (await shop.view(intent.payment_id)).state == "PROCESSING"
    await shop.later(ASK_FIRST_MS * 4)
    await captured(shop, intent)


async def test_the_webhook_comes_before_the_answer_or_instead_of_it(shop: StripeShop) -> None:
    shop.double.faults.append(Fault.WEBHOOK_FIRST)
    first, _ = await shop.buy()
    assert await shop.types(first.payment_id) == ["payment.captured.v1"]
    shop.double.faults.append(Fault.LOST_ANSWER)
    second, view = await shop.buy()
    assert view.state == "PROCESSING"
    await shop.double.deliver_all(copies=2)
    assert (await shop.view(second.payment_id)).state == "CAPTURED"
    assert await shop.types(second.payment_id) == ["payment.captured.v1"]


@pytest.mark.parametrize("paid", [True, False])
async def test_a_redirect(shop: StripeShop, paid: bool) -> None:
    intent, view = await shop.buy("pm_card_authenticationRequired")
    assert view.state == "REQUIRES_ACTION"
    assert view.redirect_url.startswith("https://hooks.stripe.com/")
    shop.double.settle(intent.payment_id, paid=paid)
    await shop.double.deliver_all()
    assert (await shop.view(intent.payment_id)).state == ("CAPTURED" if paid else "FAILED")


async def test_a_slow_method_that_pays_after_the_order_ended_is_given_back(shop: StripeShop) -> None:
    intent, view = await shop.buy("pm_usBankAccount_success")
    assert view.state == "PENDING"
    for index in range(2):
        await shop.end(intent, index)
    await shop.later()
    assert (await shop.view(intent.payment_id)).state == "VOIDED"
    shop.double.settle(intent.payment_id)
    await shop.double.deliver_all()
    await shop.relay()
    assert [refund.state for refund in await shop.refunds(intent)] == ["SUCCEEDED", "SUCCEEDED"]
    given = [one["amount"] for one in shop.double.books.refunds.values()]
    assert sorted(given) == [300, 700]


async def test_ended_before_stripe_saw_it(shop: StripeShop) -> None:
    shop.double.faults.append(Fault.LOST_REQUEST)
    intent, view = await shop.buy()
    for index in range(2):
        await shop.end(intent, index)
    await shop.later()
    view = await shop.view(intent.payment_id)
    assert view.state == "VOIDED"
    assert shop.double.intent_of(intent.payment_id)["status"] == "canceled"
    assert shop.double.books.charges == {}


async def test_captures_on_shipment_and_the_rest_released(shop: StripeShop) -> None:
    intent, view = await shop.buy(capture="on_shipment")
    assert view.state == "AUTHORIZED"
    view = await payments.capture(shop.db, shop.world, shop.providers, intent.payment_id, 300, "parcel-1")
    assert (view.state, view.captured_minor) == ("PARTIALLY_CAPTURED", 300)
    view = await payments.void(shop.db, shop.world, shop.providers, intent.payment_id)
    assert (view.state, view.captured_minor) == ("CAPTURED", 300)
    assert shop.double.intent_of(intent.payment_id)["status"] == "succeeded"


async def test_every_parcel_captured(shop: StripeShop) -> None:
    intent, _ = await shop.buy(capture="on_shipment")
    shop.double.faults.append(Fault.LOST_ANSWER)
    await payments.capture(shop.db, shop.world, shop.providers, intent.payment_id, 300, "parcel-1")
    await shop.later()
    await payments.capture(shop.db, shop.world, shop.providers, intent.payment_id, 700, "parcel-2")
    await captured(shop, intent)


async def collected(shop: StripeShop, intent: NewIntent, index: int) -> None:
    """An order's parcel left; the timers that follow have run."""
    order_id = intent.portions[index].order_id
    await shop.tell("package.collected.v1", order_id, order_id=order_id, all_collected=True)
    await shop.sweep("payments.ask")


async def test_one_capture_waits_for_the_last_parcel(shop: StripeShop) -> None:
    intent, _ = await shop.buy("pm_card_jcb", capture="on_shipment")
    shop.double.faults.append(Fault.LOST_ANSWER)
    await collected(shop, intent, 0)
    await shop.later(3_600_000)
    assert (await shop.view(intent.payment_id)).captured_minor == 0
    shop.double.faults.append(Fault.LOST_ANSWER)
    await collected(shop, intent, 1)
    await shop.later(3_600_000)
    await captured(shop, intent)
    assert shop.at.notices == []


async def test_one_capture_is_heard_of_late_when_a_webhook_told_of_the_authorization(
    shop: StripeShop,
) -> None:
    shop.double.faults.append(Fault.LOST_ANSWER)
    intent, _ = await shop.buy("pm_card_jcb", capture="on_shipment")
    await shop.double.deliver_all()
    view = await payments.capture(shop.db, shop.world, shop.providers, intent.payment_id, 300, "parcel-1")
    assert (view.state, view.captured_minor) == ("AUTHORIZED", 0)
    view = await payments.capture(shop.db, shop.world, shop.providers, intent.payment_id, 700, "parcel-2")
    assert (view.state, view.captured_minor) == ("CAPTURED", 1000)
    await captured(shop, intent)


async def test_one_capture_waits_no_longer_for_what_was_cancelled(shop: StripeShop) -> None:
    intent, _ = await shop.buy("pm_card_jcb", capture="on_shipment")
    await collected(shop, intent, 0)
    await shop.end(intent, 1)
    await shop.sweep("payments.ask")
    await captured(shop, intent, 700)
    assert shop.at.notices == []


async def test_one_capture_takes_everything_before_the_money_is_let_go(shop: StripeShop) -> None:
    intent, _ = await shop.buy("pm_card_jcb", capture="on_shipment")
    await collected(shop, intent, 0)
    requests = len(shop.double.requests)
    for _ in range(5 * 24):
        await shop.later(3_600_000)
    assert len(shop.double.requests) == requests  # nobody is asked while it waits
    await shop.later(86_400_000)
    await captured(shop, intent)
    await shop.end(intent, 1)  # the second parcel never left
    await shop.relay()
    assert [refund.amount_minor for refund in await shop.refunds(intent)] == [300]


async def test_a_stripe_that_fails_is_left_alone_and_comes_back(shop: StripeShop) -> None:
    dependency = Dependency("stripe", DependencyTerms(), shop.world.now_ms, lambda bits: 0)
    shop.providers = Providers(Guarded(shop.at.provider, dependency), call_timeout_ms=3_000)
    shop.double.faults += [Fault.ERROR_500] * 100
    bought = [(await shop.buy())[0] for _ in range(40)]
    asked = len(shop.double.requests)
    assert asked < 40
    assert shop.providers.gauges()["dependency_stripe_open"] == 1
    assert shop.providers.gauges()["dependency_stripe_turned_away"] > 0
    shop.double.faults.clear()
    for _ in range(40):  # how many rounds it takes depends on how fast the machine answers
        await shop.later(dependency.breaker.rest_ms() + ASK_FIRST_MS * 2)
        states = {(await shop.view(one.payment_id)).state for one in bought}
        if states == {"CAPTURED"}:
            break
    assert states == {"CAPTURED"}
    assert shop.providers.gauges()["dependency_stripe_open"] == 0


async def test_a_webhook_of_no_concern_is_counted(shop: StripeShop) -> None:
    await shop.buy()
    await shop.double.deliver_all()
    before = shop.providers.gauges()["webhooks_ignored_stripe"]
    shop.double.books.tell("customer.created", {"id": "cus_1", "object": "customer"})
    await shop.double.deliver_all()
    assert shop.providers.gauges()["webhooks_ignored_stripe"] == before + 1


async def test_refunds(shop: StripeShop) -> None:
    intent, _ = await shop.buy()
    for amount in (100, 600):
        refund = await payments.refund(shop.db, shop.world, shop.providers, back(shop, intent, amount))
        assert refund.state == "SUCCEEDED"
    shop.double.faults.append(Fault.LOST_ANSWER)
    await shop.end(intent, 1)
    await shop.relay()
    shop.world.advance(60_000)
    await shop.sweep("payments.refunds")
    assert {refund.state for refund in await shop.refunds(intent)} == {"SUCCEEDED"}
    assert sum(one["amount"] for one in shop.double.books.refunds.values()) == 1000


async def test_a_pending_refund_ends_by_webhook(shop: StripeShop) -> None:
    intent, _ = await shop.buy("pm_card_pendingRefund")
    request = back(shop, intent, 100)
    refund = await payments.refund(shop.db, shop.world, shop.providers, request)
    assert refund.state == "PROCESSING"
    shop.double.settle_refunds(intent.payment_id)
    await shop.double.deliver_all(copies=2)
    assert {refund.state for refund in await shop.refunds(intent)} == {"SUCCEEDED"}


async def test_a_webhook_of_another_amount_records_nothing(shop: StripeShop) -> None:
    intent, _ = await shop.buy("pm_card_authenticationRequired")
    shop.double.intent_of(intent.payment_id)["amount"] = 900
    shop.double.settle(intent.payment_id, paid=True)
    with pytest.raises(Refusal) as caught:
        await shop.double.deliver_all()
    assert caught.value.code == "payments.fact_mismatch"
    assert (await shop.view(intent.payment_id)).captured_minor == 0
    shop.double.deliver_to(ignore)
