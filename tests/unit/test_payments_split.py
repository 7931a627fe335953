"""Store credit pays a part and the provider the rest: what each took, it gets back, whatever comes in between."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.unit.payments_shop import Shop, back

from tradepost.books.reconcile import ReportRow, Window, gather
from tradepost.books.reconcile.rules import match_provider
from tradepost.infra.storage.sqlite import SqliteStorage
from tradepost.kernel.errors import Refusal
from tradepost.testing.world import TestWorld
from tradepost.trade import ledger, payments
from tradepost.trade.payments import Heard, NewIntent, PaymentView, ProviderFact, Status
from tradepost.trade.payments.record import record_results

CREDIT = 5_000


class SplitShop(Shop):
    """A shop whose buyers have store credit."""

    async def split(
        self, stored: int, method: str = "sandbox_succeeds", **changes: Any
    ) -> tuple[NewIntent, PaymentView]:
        intent = payments.share_stored(self.intent(method, **changes), stored)
        await self.db.transact(
            0, payments.issue_credit, intent.buyer_id, "gift", CREDIT, "GBP", self.world.now_ms()
        )
        await self.open(intent)
        return intent, await payments.charge(self.db, self.world, self.providers, intent)

    async def credit(self, intent: NewIntent) -> int:
        found: int = await self.db.read(0, payments.balance_of, intent.buyer_id, "GBP")
        return found

    async def provider_took(self, intent: NewIntent) -> tuple[int, int]:
        """(captured, given back) by the provider's own books."""
        account = self.sandbox._book.find(intent.payment_id)
        return (account.captured, account.returned()) if account is not None else (0, 0)

    async def posted(self) -> dict[str, int]:
        found = await self.db.read(0, ledger.account_balances)
        return {account: one.posted_minor for (account, _), one in found.items() if one.posted_minor}

    async def give_back(self, intent: NewIntent, amount: int, index: int = 0) -> payments.Refund:
        request = payments.RefundRequest(
            refund_id=back(self, intent, amount).refund_id,
            payment_id=intent.payment_id,
            order_id=intent.portions[index].order_id,
            amount_minor=amount,
            reason="return",
            at_ms=self.world.now_ms(),
        )
        return await payments.refund(self.db, self.world, self.providers, request)


@pytest.fixture
async def shop(db: SqliteStorage, world: TestWorld) -> AsyncIterator[SplitShop]:
    shop = SplitShop(db, world)
    yield shop
    await shop.check()
    assert await db.read(0, payments.find_drift) == []


def stored_of(view: PaymentView) -> list[tuple[int, int, int]]:
    return [(p.stored_minor, p.stored_captured_minor, p.stored_refunded_minor) for p in view.portions]


async def test_each_tender_takes_its_part(shop: SplitShop) -> None:
    intent, view = await shop.split(401)
    assert (view.state, view.captured_minor, view.authorized_minor) == ("CAPTURED", 1_000, 1_000)
    assert stored_of(view) == [(281, 281, 0), (120, 120, 0)]
    assert await shop.provider_took(intent) == (599, 0)
    assert await shop.credit(intent) == CREDIT - 401
    posted = await shop.posted()
    assert posted["provider:sandbox"] == 599
    assert "provider:stored_value" not in posted, "what was held is captured"
    assert sum(minor for account, minor in posted.items() if account.startswith("seller:")) < 0
    assert await shop.types(intent.payment_id) == ["payment.captured.v1"]


async def test_a_declined_card_keeps_the_part_until_the_order_ends_and_gives_it_back_once(
    shop: SplitShop,
) -> None:
    intent, view = await shop.split(400, "sandbox_declines")
    assert view.state == "FAILED"
    assert await shop.credit(intent) == CREDIT - 400, "the buyer may try another card"
    for _ in range(2):
        for index in (0, 1):
            await shop.end(intent, index)
    assert (await shop.view(intent.payment_id)).state == "VOIDED"
    assert await shop.credit(intent) == CREDIT
    assert await shop.posted() == {f"stored:{intent.buyer_id}": -CREDIT, "platform:stored_value": CREDIT}


async def test_another_card_pays_the_same_rest(shop: SplitShop) -> None:
    intent, _ = await shop.split(400, "sandbox_declines")
    again = await payments.confirm(shop.db, shop.world, shop.providers, intent.payment_id, "sandbox_succeeds")
    assert again.state == "CAPTURED"
    assert await shop.provider_took(intent) == (600, 0)
    assert await shop.credit(intent) == CREDIT - 400


async def test_a_payment_nobody_began_gives_its_part_back(shop: SplitShop) -> None:
    intent = payments.share_stored(shop.intent(confirm=False), 999)
    await shop.db.transact(0, payments.issue_credit, intent.buyer_id, "g", 999, "GBP", 1)
    await shop.open(intent)
    assert await shop.credit(intent) == 0
    for index in (0, 1):
        await shop.end(intent, index)
    assert (await shop.view(intent.payment_id)).state == "VOIDED"
    assert await shop.credit(intent) == 999
    assert await shop.provider_took(intent) == (0, 0)


async def test_late_money_for_an_order_that_ended_goes_back_to_the_card_alone(shop: SplitShop) -> None:
    intent, view = await shop.split(400, "sandbox_webhook_late")
    assert view.state == "PENDING"
    for index in (0, 1):
        await shop.end(intent, index, "order.cancelled.v1")
    assert await shop.credit(intent) == CREDIT, "it does not wait for the provider's last word"
    await shop.sandbox.settle()
    await shop.sweep()
    await shop.relay()
    for _ in range(8):
        shop.world.advance(4_000_000)
        await shop.sweep()
    view = await shop.view(intent.payment_id)
    assert (view.captured_minor, view.refunded_minor) == (600, 600)
    assert await shop.provider_took(intent) == (600, 600)
    assert await shop.credit(intent) == CREDIT
    assert await shop.sweep() == 0, "nothing is asked for ever"


async def test_parcels_take_stored_value_first_and_ask_the_provider_for_the_rest(shop: SplitShop) -> None:
    intent, view = await shop.split(400, capture="on_shipment")
    assert (view.state, view.authorized_minor) == ("AUTHORIZED", 1_000)

    async def take(amount: int, reference: str) -> tuple[int, int, int]:
        view = await payments.capture(
            shop.db,
            shop.world,
            shop.providers,
            intent.payment_id,
            amount,
            reference,
            intent.portions[0].order_id,
        )
        return (
            view.captured_minor,
            (await shop.provider_took(intent))[0],
            view.portions[0].stored_captured_minor,
        )

    assert await take(200, "first") == (200, 0, 200), "280 of the first order are stored value's"
    assert await take(200, "first") == (200, 0, 200)
    assert await take(180, "second") == (380, 100, 280)
    view = await payments.void(shop.db, shop.world, shop.providers, intent.payment_id)
    assert (view.state, view.captured_minor) == ("CAPTURED", 380)
    assert await shop.credit(intent) == CREDIT - 280, "the second order's 120 are back"
    assert (await shop.posted())["provider:sandbox"] == 100


async def test_an_order_that_stored_value_covers_after_all_lets_the_card_go(shop: SplitShop) -> None:
    intent, _ = await shop.split(400, capture="on_shipment")
    await shop.end(intent, 0, "order.lines_cancelled.v1", refund_minor=500)
    await shop.end(intent, 1)
    view = await payments.capture(shop.db, shop.world, shop.providers, intent.payment_id, 200, "parcel")
    assert (view.state, view.captured_minor) == ("CAPTURED", 200)
    assert await shop.provider_took(intent) == (0, 0)
    assert await shop.credit(intent) == CREDIT - 200


@pytest.mark.parametrize("stored", [1, 400, 999])
async def test_one_capture_waits_for_the_last_parcel(shop: SplitShop, stored: int) -> None:
    intent, _ = await shop.split(stored, "sandbox_captures_once", capture="on_shipment")
    first, second = (portion.order_id for portion in intent.portions)
    args = (shop.db, shop.world, shop.providers, intent.payment_id)
    view = await payments.capture(*args, 200, "a", first)
    assert view.captured_minor == 0, "a part taken now would release the rest"
    await payments.capture(*args, 500, "b", first)
    view = await payments.capture(*args, 300, "c", second)
    assert (view.state, view.captured_minor) == ("CAPTURED", 1_000)
    assert await shop.provider_took(intent) == (1_000 - stored, 0)
    assert await shop.credit(intent) == CREDIT - stored


async def test_refunds_go_to_the_card_first_and_end_at_each_tenders_sum(shop: SplitShop) -> None:
    intent, _ = await shop.split(401)
    seen = []
    for amount in (100, 300, 100, 200):
        refund = await shop.give_back(intent, amount)
        assert refund.state == "SUCCEEDED"
        seen.append((refund.card_minor, refund.stored_minor))
    assert seen == [(100, 0), (300, 0), (19, 81), (0, 200)]
    with pytest.raises(Refusal, match=r"payments\.refund_exceeds_captured"):
        await shop.give_back(intent, 1)
    await shop.give_back(intent, 300, 1)
    view = await shop.view(intent.payment_id)
    assert view.refunded_minor == 1_000
    assert stored_of(view) == [(281, 281, 281), (120, 120, 120)]
    assert await shop.provider_took(intent) == (599, 599)
    assert await shop.credit(intent) == CREDIT


async def test_a_preview_is_the_refund(shop: SplitShop) -> None:
    intent, _ = await shop.split(401)
    await shop.give_back(intent, 350)
    order_id = intent.portions[0].order_id
    shown = await shop.db.read(0, payments.preview_entries, intent.payment_id, order_id, 200)
    before = await shop.posted()
    refund = await shop.give_back(intent, 200)
    after = await shop.posted()
    part = await shop.db.read(0, payments.find_stored_part, intent.payment_id, order_id, 10**6)
    moved = {account: after.get(account, 0) - before.get(account, 0) for account in {*after, *before}}
    entries = {entry.account: entry.amount_minor for entry in shown}
    # what comes to the clearing account goes on to the buyer in the same commit
    entries[f"stored:{intent.buyer_id}"] = entries.pop("provider:stored_value")
    assert {account: minor for account, minor in moved.items() if minor} == entries
    assert (refund.stored_minor, part) == (131, 281 - 131)


async def test_a_refund_the_bank_refuses_keeps_its_parts_until_somebody_settles_it(shop: SplitShop) -> None:
    intent, _ = await shop.split(400, "sandbox_refund_refused")
    refund = await shop.give_back(intent, 700)
    assert (refund.state, refund.card_minor, refund.stored_minor) == ("REFUSED", 420, 280)
    assert await shop.credit(intent) == CREDIT - 400
    for _ in range(8):
        shop.world.advance(4_000_000)
        await shop.sweep("payments.refunds")
    [refund] = await shop.refunds(intent)
    assert refund.state == "NEEDS_OPERATOR"
    await shop.db.transact(0, payments.settle_refund, refund.refund_id, "cheque", shop.world.now_ms())
    posted = await shop.posted()
    assert posted["platform:adjustments"] == -420, "the platform paid the card's part alone"
    assert await shop.credit(intent) == CREDIT - 400 + 280


async def test_a_chargeback_concerns_the_card_alone(shop: SplitShop) -> None:
    intent, _ = await shop.split(400)
    await shop.sandbox.raise_dispute(intent.payment_id, 0, lost=True, after_ms=1_000)
    await shop.sandbox.run_due(shop.world.now_ms())
    view = await shop.view(intent.payment_id)
    assert [p.disputed_minor for p in view.portions] == [420, 180]
    refund = await shop.give_back(intent, 200)
    assert (refund.state, refund.card_minor, refund.stored_minor) == ("SUCCEEDED", 0, 200)
    with pytest.raises(Refusal, match=r"payments\.charged_back"):
        await shop.give_back(intent, 81)
    shop.world.advance(2_000)
    await shop.sandbox.run_due(shop.world.now_ms())
    view = await shop.view(intent.payment_id)
    assert [p.charged_back_minor for p in view.portions] == [420, 180]
    await shop.give_back(intent, 80)
    await shop.give_back(intent, 120, 1)
    assert await shop.credit(intent) == CREDIT
    assert await shop.provider_took(intent) == (600, 0)


async def test_a_refund_that_gives_way_to_a_bank_still_pays_its_stored_part(shop: SplitShop) -> None:
    intent, _ = await shop.split(400, "sandbox_refund_refused")
    refund = await shop.give_back(intent, 700)
    assert (refund.state, refund.stored_minor) == ("REFUSED", 280)
    await shop.sandbox.raise_dispute(intent.payment_id, 600, lost=True, after_ms=1_000)
    shop.world.advance(2_000)
    await shop.sandbox.run_due(shop.world.now_ms())
    await shop.relay()
    first, rest = sorted(await shop.refunds(intent), key=lambda one: one.requested_at_ms)
    assert (first.state, rest.state, rest.amount_minor) == ("CHARGED_BACK", "SUCCEEDED", 280)
    assert (rest.card_minor, rest.stored_minor) == (0, 280)
    assert await shop.credit(intent) == CREDIT - 400 + 280
    assert await shop.provider_took(intent) == (600, 0)


async def test_a_provider_that_took_another_amount_is_not_believed(shop: SplitShop) -> None:
    intent, _ = await shop.split(400, "sandbox_redirect")
    for authorized, captured in ((1_000, 1_000), (600, 601), (599, 0)):
        fact = ProviderFact(
            payment_id=intent.payment_id,
            status=Status.AUTHORIZED,
            authorized_minor=authorized,
            captured_minor=captured,
        )
        heard = Heard(intent.payment_id, "sandbox", shop.world.now_ms(), fact)
        [answer] = await shop.db.transact(0, record_results, [heard])
        assert isinstance(answer, Refusal)
        assert answer.code == "payments.fact_mismatch"
    for index in (0, 1):
        await shop.end(intent, index)


async def test_no_answer_between_the_commits_is_asked_for(shop: SplitShop) -> None:
    """The process died after the order and before the provider was called."""
    intent = payments.share_stored(shop.intent(), 400)
    await shop.db.transact(0, payments.issue_credit, intent.buyer_id, "g", 400, "GBP", 1)
    await shop.open(intent)
    shop.world.advance(16_000)
    await shop.sweep("payments.ask")
    assert (await shop.view(intent.payment_id)).state == "CAPTURED"
    assert await shop.provider_took(intent) == (600, 0)
    assert await shop.credit(intent) == 0


async def test_what_is_not_there_opens_nothing(shop: SplitShop) -> None:
    intent = payments.share_stored(shop.intent(), 400)
    await shop.db.transact(0, payments.issue_credit, intent.buyer_id, "g", 399, "GBP", 1)
    with pytest.raises(Refusal, match=r"version\.conflict"):
        await shop.open(intent)
    with pytest.raises(Refusal, match=r"payments\.not_found"):
        await shop.view(intent.payment_id)
    assert await shop.credit(intent) == 399
    purse = await shop.db.transact(0, payments.open_purse, [intent])
    refusal = purse.refuse_or_take(intent)
    assert refusal is not None
    assert (refusal.code, refusal.extra) == ("stored.too_little", {"available_minor": 399})


async def test_the_providers_report_is_compared_with_the_cards_part(shop: SplitShop) -> None:
    intent, _ = await shop.split(400)
    await shop.give_back(intent, 500)
    gathered = await shop.db.read(0, gather, shop.world.now_ms())
    moved = {(row.payment_id, row.kind): row.amount_minor for row in gathered.moved}
    wanted = {"capture": 600, "stored_capture": 400, "refund": 420, "stored_refund": 80}
    assert moved == {(intent.payment_id, kind): amount for kind, amount in wanted.items()}
    report = [
        ReportRow(id=intent.payment_id, kind=kind, amount_minor=amount, currency="GBP", at_ms=1)
        for kind, amount in (("capture", 600), ("refund", 420))
    ]
    assert match_provider(gathered.moved, report, Window()) == []
