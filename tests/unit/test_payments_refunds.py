"""Refunds against the sandbox and a real file: rounds, refusals, silence, the operator."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.unit.payments_shop import Shop, back

from tradepost.infra.storage.sqlite import SqliteStorage
from tradepost.kernel.errors import Refusal
from tradepost.testing.world import TestWorld
from tradepost.trade import ledger, payments
from tradepost.trade.payments import (
    NewIntent,
    ProviderFact,
)


@pytest.fixture
async def shop(db: SqliteStorage, world: TestWorld) -> AsyncIterator[Shop]:
    shop = Shop(db, world)
    yield shop
    await shop.check()


async def test_refund_in_rounds_up_to_what_was_captured(shop: Shop) -> None:
    intent, _ = await shop.pay()
    args = (shop.db, shop.world, shop.providers)
    first = back(shop, intent, 301)
    done = await payments.refund(*args, first)
    assert (done.state, await payments.refund(*args, first)) == ("SUCCEEDED", done)
    with pytest.raises(Refusal) as caught:
        await payments.refund(*args, back(shop, intent, 302, first.refund_id))
    assert caught.value.code == "payments.refund_differs"
    with pytest.raises(Refusal) as caught:
        await payments.refund(*args, back(shop, intent, 400))
    assert (caught.value.code, caught.value.extra) == (
        "payments.refund_exceeds_captured",
        {"available_minor": 399},
    )
    await payments.refund(*args, back(shop, intent, 399))
    await shop.relay()
    assert (await shop.view(intent.payment_id)).refunded_minor == 700
    assert await shop.types(first.refund_id) == ["refund.requested.v1", "refund.succeeded.v1"]


async def test_a_refund_refused_once_is_retried(shop: Shop) -> None:
    intent, _ = await shop.pay("sandbox_refund_refused_once")
    done = await payments.refund(shop.db, shop.world, shop.providers, back(shop, intent, 50))
    assert (done.state, done.error) == ("REFUSED", "refused_by_bank")
    assert await shop.sweep() == 0
    shop.world.advance(60_000)
    assert await shop.sweep() == 1
    assert (await shop.refunds(intent))[0].state == "SUCCEEDED"


async def refuse_until_task(shop: Shop) -> tuple[NewIntent, str]:
    intent, _ = await shop.pay("sandbox_refund_refused")
    refund = await payments.refund(shop.db, shop.world, shop.providers, back(shop, intent, 50))
    for _ in range(4):
        assert await shop.db.read(0, payments.list_refund_tasks) == []
        shop.world.advance(3_600_000)
        await shop.sweep("payments.refunds")
    tasks = await shop.db.read(0, payments.list_refund_tasks)
    assert [(task.refund_id, task.attempts, task.state) for task in tasks] == [
        (refund.refund_id, 5, "NEEDS_OPERATOR")
    ]
    return intent, refund.refund_id


async def test_an_operator_settles_a_refund_by_hand(shop: Shop) -> None:
    intent, refund_id = await refuse_until_task(shop)
    settled = await shop.db.transact(0, payments.settle_refund, refund_id, "bank transfer 42", 5)
    assert (settled.state, settled.error) == ("SETTLED_BY_HAND", "bank transfer 42")
    assert (await shop.view(intent.payment_id)).refunded_minor == 50
    assert (await shop.types(refund_id))[-2:] == ["refund.failed.v1", "refund.succeeded.v1"]
    balances = await shop.db.read(0, ledger.account_balances)
    assert balances["provider:sandbox", "GBP"].posted_minor == 1000
    assert balances["platform:adjustments", "GBP"].posted_minor == -50
    for act in (payments.settle_refund, payments.retry_refund):
        with pytest.raises(Refusal) as caught:
            await shop.db.transact(0, act, refund_id, *(["x", 6] if act is payments.settle_refund else [6]))
        assert caught.value.code == "state.conflict"


async def test_an_operator_sends_a_refund_again(shop: Shop) -> None:
    intent, refund_id = await refuse_until_task(shop)
    shop.sandbox._book.accounts[intent.payment_id].method = "sandbox_succeeds"
    await shop.db.transact(0, payments.retry_refund, refund_id, shop.world.now_ms())
    await shop.relay()
    refund = (await shop.refunds(intent))[0]
    assert (refund.state, refund.attempts) == ("SUCCEEDED", 6)
    assert await shop.db.read(0, payments.list_refund_tasks) == []


@pytest.mark.parametrize("reached", [True, False])
async def test_a_refund_without_an_answer_is_asked_about(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, reached: bool
) -> None:
    intent, _ = await shop.pay()
    real = shop.sandbox.refund

    async def silent(call: payments.RefundCall) -> ProviderFact:
        if reached:
            await real(call)
        raise TimeoutError

    monkeypatch.setattr(shop.sandbox, "refund", silent)
    refund = await payments.refund(shop.db, shop.world, shop.providers, back(shop, intent, 50))
    assert refund.state == "PROCESSING"
    monkeypatch.setattr(shop.sandbox, "refund", real)
    await shop.relay()
    assert (await shop.refunds(intent))[0].state == "PROCESSING"
    shop.world.advance(30_000)
    assert await shop.sweep() == 1
    refund = (await shop.refunds(intent))[0]
    assert (refund.state, refund.attempts) == ("SUCCEEDED", 1)
    assert shop.sandbox._book.accounts[intent.payment_id].returned() == 50
