"""Chargebacks through Stripe's adapter: our books and ledger, the double's disputes, its webhooks in every order."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec.structs import replace
from tests.contract.stripe_ground import WEBHOOK_SECRETS, ground
from tests.contract.test_stripe_in_the_house import StripeShop
from tests.unit.payments_shop import back

from tradepost.infra.payments import stripe_signature
from tradepost.infra.payments.stripe_facts import dispute_fact_of
from tradepost.infra.payments.stripe_notices import NoticeKind
from tradepost.infra.payments.stripe_shapes import BalanceMove, Dispute
from tradepost.infra.storage.sqlite import SqliteStorage
from tradepost.kernel.errors import Refusal
from tradepost.stability.dependency import Dependency, DependencyTerms
from tradepost.testing.stripe_double import disputes
from tradepost.testing.world import TestWorld
from tradepost.trade import ledger, payments
from tradepost.trade.payments import DisputeFact, DisputeStatus, Guarded, NewIntent, Providers

FEE = disputes.FEE


@pytest.fixture
async def shop(db: SqliteStorage, world: TestWorld) -> AsyncIterator[StripeShop]:
    async with ground(world) as at:
        made = StripeShop(db, world, at)
        yield made
        await made.double.deliver_all(copies=2)
        balances = await db.read(0, ledger.account_balances)
        assert sum(one.posted_minor for one in balances.values()) == 0


async def balances(shop: StripeShop) -> dict[str, int]:
    found = await shop.db.read(0, ledger.account_balances)
    return {account: one.posted_minor for (account, _), one in found.items() if one.posted_minor}


async def only(shop: StripeShop, intent: NewIntent) -> payments.Dispute:
    (found,) = await shop.db.read(0, payments.find_disputes, intent.payment_id)
    return found


async def test_withdrawn_with_its_fee_and_won(shop: StripeShop) -> None:
    intent, _ = await shop.buy()
    before = await balances(shop)
    told = shop.double.dispute(intent.payment_id, 700)
    await shop.double.deliver_all(copies=2)
    held = await balances(shop)
    assert held["dispute:stripe"] == 700
    assert held["writeoff:dispute_fees"] == FEE
    assert held["provider:stripe"] == before["provider:stripe"] - 700 - FEE
    opened = await only(shop, intent)
    assert (opened.state, opened.dispute_ref, opened.fee_minor) == ("OPEN", told["id"], FEE)
    disputes.answer(shop.double.books, told)
    disputes.end(shop.double.books, told, won=True)
    await shop.double.deliver_all(copies=2)
    assert (await only(shop, intent)).state == "WON"
    gone = {"writeoff:dispute_fees": FEE, "provider:stripe": before["provider:stripe"] - FEE}
    assert await balances(shop) == before | gone


async def test_a_fee_that_comes_back_is_booked_back(shop: StripeShop) -> None:
    intent, _ = await shop.buy()
    before = await balances(shop)
    told = shop.double.dispute(intent.payment_id)
    await shop.double.deliver_all()
    disputes.end(shop.double.books, told, won=True, fee_back=True)
    await shop.double.deliver_all(copies=2)
    assert await balances(shop) == before


async def test_lost_is_taken_back_from_the_sellers(shop: StripeShop) -> None:
    intent, _ = await shop.buy()
    told = shop.double.dispute(intent.payment_id)
    disputes.end(shop.double.books, told, won=False)
    await shop.double.deliver_all(copies=2)
    dispute = await only(shop, intent)
    assert (dispute.state, dispute.uncovered_minor) == ("LOST", 0)
    assert await balances(shop) == {"writeoff:dispute_fees": FEE, "provider:stripe": -FEE}
    assert await shop.types(dispute.dispute_id) == ["dispute.opened.v1", "dispute.lost.v1"]
    with pytest.raises(Refusal, match=r"payments\.charged_back"):
        await payments.refund(shop.db, shop.world, shop.providers, back(shop, intent, 1))


async def test_an_inquiry_moves_nothing_and_may_become_a_chargeback(shop: StripeShop) -> None:
    intent, _ = await shop.buy()
    before = await balances(shop)
    told = shop.double.dispute(intent.payment_id, inquiry=True)
    await shop.double.deliver_all()
    assert await shop.db.read(0, payments.find_disputes, intent.payment_id) == []
    given = await payments.refund(shop.db, shop.world, shop.providers, back(shop, intent, 100))
    assert given.state == "SUCCEEDED", "an inquiry does not stand in the way of a refund"
    disputes.withdraw(shop.double.books, told)
    disputes.end(shop.double.books, told, won=True, fee_back=True)
    await shop.double.deliver_all()
    assert (await only(shop, intent)).state == "WON"
    assert (await balances(shop))["provider:stripe"] == before["provider:stripe"] - 100
    assert {one.key.partition(".")[0] for one in shop.at.notices} == {"inquiry", "dispute"}


async def test_an_inquiry_that_is_closed_leaves_no_trace(shop: StripeShop) -> None:
    intent, _ = await shop.buy()
    before = await balances(shop)
    told = shop.double.dispute(intent.payment_id, inquiry=True)
    disputes.end(shop.double.books, told, won=True)
    await shop.double.deliver_all(copies=2)
    assert await shop.db.read(0, payments.find_disputes, intent.payment_id) == []
    assert await balances(shop) == before


async def test_a_refund_that_is_owed_waits_and_is_made_when_we_win(shop: StripeShop) -> None:
    intent, _ = await shop.buy()
    told = shop.double.dispute(intent.payment_id)
    # Stripe has the dispute, we have not heard of it: the refund is refused there and waits here
    asked = await payments.refund(shop.db, shop.world, shop.providers, back(shop, intent, 300))
    assert asked.state == "CONTESTED"
    disputes.end(shop.double.books, told, won=True)
    await shop.double.deliver_all(copies=2)
    shop.world.advance(60_000)
    await shop.sweep("payments.refunds")
    (refund,) = await shop.refunds(intent)
    assert refund.state == "SUCCEEDED"
    assert sum(one["amount"] for one in shop.double.books.refunds.values()) == 300


async def test_a_refund_that_is_owed_gives_way_when_we_lose(shop: StripeShop) -> None:
    intent, _ = await shop.buy()
    told = shop.double.dispute(intent.payment_id)
    await payments.refund(shop.db, shop.world, shop.providers, back(shop, intent, 300))
    disputes.end(shop.double.books, told, won=False)
    await shop.double.deliver_all()
    (refund,) = await shop.refunds(intent)
    assert refund.state == "CHARGED_BACK"
    assert shop.double.books.refunds == {}
    assert await balances(shop) == {"writeoff:dispute_fees": FEE, "provider:stripe": -FEE}


async def test_refunded_first_and_charged_back_all_the_same_is_our_loss(shop: StripeShop) -> None:
    intent, _ = await shop.buy()
    await payments.refund(shop.db, shop.world, shop.providers, back(shop, intent, 700))
    told = shop.double.dispute(intent.payment_id, 1000)
    disputes.end(shop.double.books, told, won=False)
    await shop.double.deliver_all()
    dispute = await only(shop, intent)
    assert (dispute.state, dispute.uncovered_minor) == ("LOST", 700)
    assert (await balances(shop))["writeoff:chargebacks"] == 700


def sent(shop: StripeShop) -> list[bytes]:
    return [
        json.dumps(event).encode()
        for event in shop.double.books.events
        if event["type"].startswith(("charge.dispute.", "payment_intent.succeeded"))
    ]


async def deliver(shop: StripeShop, body: bytes) -> None:
    headers = stripe_signature.sign([WEBHOOK_SECRETS[0]], shop.world.now_ms() // 1000, body)
    await shop.receive(headers, body)


@pytest.mark.parametrize("won", [True, False])
@pytest.mark.parametrize("first", range(4))
async def test_webhooks_in_any_order_and_before_the_answer(shop: StripeShop, first: int, won: bool) -> None:
    """Every order of the charge's and the dispute's webhooks that begins with one of them, each told twice."""
    ends: set[tuple[tuple[str, int], ...]] = set()
    for order in [each for each in itertools.permutations(range(4)) if each[0] == first]:
        intent = await shop.open(shop.intent("pm_card_visa", provider="stripe"))
        earlier = await balances(shop)
        skip = len(sent(shop))
        call = await shop.at.provider.authorize(  # paid, and our process fell before it wrote that down
            payments.AuthorizeCall(
                key=f"{intent.payment_id}.authorize.1",
                payment_id=intent.payment_id,
                attempt=1,
                amount_minor=1000,
                currency="GBP",
                method="pm_card_visa",
                capture=True,
            )
        )
        assert call.captured_minor == 1000
        told = shop.double.dispute(intent.payment_id, 400)
        disputes.end(shop.double.books, told, won=won)
        bodies = sent(shop)[skip:]
        for index in order:
            for _ in range(2):
                await deliver(shop, bodies[index])
        if won:
            await deliver(shop, bodies[4])
        dispute = await only(shop, intent)
        assert dispute.state == ("WON" if won else "LOST")
        assert (await shop.view(intent.payment_id)).captured_minor == 1000
        now = await balances(shop)
        change = {key: now.get(key, 0) - earlier.get(key, 0) for key in now.keys() | earlier.keys()}
        ends.add(tuple(sorted((k.partition(":")[0], v) for k, v in change.items() if v)))
    assert len(ends) == 1, "any order ends alike"


async def test_a_webhook_that_stripe_is_not_asked_about_in_time_is_to_be_sent_again(shop: StripeShop) -> None:
    intent, _ = await shop.buy()
    await shop.double.deliver_all()
    shop.double.dispute(intent.payment_id)
    shop.providers = Providers(shop.at.provider, call_timeout_ms=1)
    body = sent(shop)[-1]
    with pytest.raises(Refusal) as caught:
        await deliver(shop, body)
    assert caught.value.code == "payments.webhook_unanswered"
    assert await shop.db.read(0, payments.find_disputes, intent.payment_id) == []
    guard = Dependency("stripe", DependencyTerms(), shop.world.now_ms, shop.world.chance)
    shop.providers = Providers(Guarded(shop.at.provider, guard), call_timeout_ms=3_000)
    await deliver(shop, body)
    assert (await only(shop, intent)).state == "OPEN"


async def test_a_dispute_about_another_systems_payment_is_acknowledged(shop: StripeShop) -> None:
    intent, _ = await shop.buy()
    await shop.double.deliver_all()
    shop.double.dispute(intent.payment_id)
    document = json.loads(sent(shop)[-1])
    other, before = (
        shop.double.intent_of(intent.payment_id),
        shop.providers.gauges()["webhooks_ignored_stripe"],
    )
    shop.double.books.intents["pi_other"] = other | {"id": "pi_other", "metadata": {}}
    for number, named in enumerate(("pi_other", "pi_nowhere", None)):
        document["data"]["object"]["payment_intent"] = named
        body = json.dumps(document | {"id": f"evt_{number}"}).encode()
        headers = stripe_signature.sign([WEBHOOK_SECRETS[0]], shop.world.now_ms() // 1000, body)
        with pytest.raises(Refusal) as caught:
            await payments.handle_webhook(shop.db, shop.world, shop.providers, "stripe", headers, body)
        assert caught.value.code == "payments.webhook_ignored"
    assert shop.providers.gauges()["webhooks_ignored_stripe"] == before + 3


def move(amount: int, fee: int, currency: str = "gbp") -> BalanceMove:
    return BalanceMove(amount=amount, fee=fee, currency=currency)


PLAIN = Dispute(id="du_1", amount=1_000, currency="gbp", status="needs_response")
READ: list[tuple[str, dict[str, Any], DisputeFact | None]] = [
    (
        "gbp",
        {"status": "under_review"},
        DisputeFact(dispute_ref="du_1", amount_minor=1_000, status=DisputeStatus.OPEN),
    ),
    ("gbp", {"status": "warning_needs_response"}, None),
    ("gbp", {"status": "prevented"}, None),
    (
        "gbp",
        {"status": "prevented", "balance_transactions": (move(-1_000, 0),)},
        DisputeFact(dispute_ref="du_1", amount_minor=1_000, status=DisputeStatus.LOST),
    ),
    (
        "gbp",
        {"status": "warning_closed", "balance_transactions": (move(-1_000, 0), move(1_000, 0))},
        DisputeFact(dispute_ref="du_1", amount_minor=1_000, status=DisputeStatus.WON),
    ),
    (
        "gbp",
        {"status": "a status of next year", "balance_transactions": (move(-1_000, 0),)},
        DisputeFact(dispute_ref="du_1", amount_minor=1_000, status=DisputeStatus.OPEN),
    ),
    (
        "jpy",
        {"currency": "jpy", "balance_transactions": (move(-520, 1_500, "eur"), move(520, -500, "eur"))},
        DisputeFact(
            dispute_ref="du_1",
            amount_minor=1_000,
            status=DisputeStatus.OPEN,
            fee_minor=1_500,
            fee_back_minor=500,
            fee_currency="EUR",
        ),
    ),
    (
        "isk",  # Stripe counts two decimals of a currency that has none
        {"currency": "isk", "amount": 120_000},
        DisputeFact(dispute_ref="du_1", amount_minor=1_200, status=DisputeStatus.OPEN),
    ),
    (
        "kwd",
        {"currency": "kwd", "amount": 12_340, "balance_transactions": (move(-12_340, 4_600, "kwd"),)},
        DisputeFact(
            dispute_ref="du_1",
            amount_minor=12_340,
            status=DisputeStatus.OPEN,
            fee_minor=4_600,
            fee_currency="KWD",
        ),
    ),
]


@pytest.mark.parametrize(("currency", "changes", "fact"), READ)
def test_what_a_dispute_says(currency: str, changes: dict[str, Any], fact: DisputeFact | None) -> None:
    assert dispute_fact_of(replace(PLAIN, **changes), currency) == fact


async def test_what_the_books_cannot_hold_is_a_task(shop: StripeShop) -> None:
    intent, _ = await shop.buy()
    told = shop.double.dispute(intent.payment_id)
    told["currency"] = "eur"
    await shop.double.deliver_all()
    assert await shop.db.read(0, payments.find_disputes, intent.payment_id) == []
    unbooked = [one for one in shop.at.notices if one.detail == "not booked: payments.stripe_currency"]
    assert {(one.kind, one.payment_id) for one in unbooked} == {(NoticeKind.DISPUTE, intent.payment_id)}
    told["currency"] = "gbp"
    told["balance_transactions"][0]["currency"] = "xxx"
    disputes.answer(shop.double.books, told)
    await shop.double.deliver_all()
    dispute = await only(shop, intent)
    assert (dispute.state, dispute.fee_minor) == ("OPEN", 0), "the dispute counts, its fee is a task"


async def test_money_that_comes_back_after_a_loss_is_a_task(shop: StripeShop) -> None:
    intent, _ = await shop.buy()
    told = shop.double.dispute(intent.payment_id)
    disputes.end(shop.double.books, told, won=False)
    shop.double.books.tell("charge.dispute.funds_reinstated", told)
    await shop.double.deliver_all()
    assert (await only(shop, intent)).state == "LOST"
    assert "reinstated" in {one.key.partition(".")[0] for one in shop.at.notices}
