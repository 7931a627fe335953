"""Payments against the sandbox and a real file: each test method, every race, late money."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from tests.unit.payments_shop import Shop, back, stray

from tradepost.events import Runtime
from tradepost.infra.payments.sandbox import LATE_MS, METHODS
from tradepost.infra.storage.sqlite import SqliteStorage
from tradepost.infra.storage.sqlite_engine import SqliteTx, connect_writer
from tradepost.kernel.errors import Refusal
from tradepost.testing.world import TestWorld
from tradepost.trade import ledger, payments
from tradepost.trade.payments import (
    Heard,
    NewIntent,
    PortionLine,
)
from tradepost.trade.payments.record import record_results


@pytest.fixture
async def shop(db: SqliteStorage, world: TestWorld) -> AsyncIterator[Shop]:
    shop = Shop(db, world)
    yield shop
    await shop.check()


NOW_AND_THEN = [
    ("sandbox_succeeds", "CAPTURED", "CAPTURED"),
    ("sandbox_declines", "FAILED", "FAILED"),
    ("no_such_method", "FAILED", "FAILED"),
    ("sandbox_redirect", "REQUIRES_ACTION", "REQUIRES_ACTION"),
    ("sandbox_pending_succeeds", "PENDING", "CAPTURED"),
    ("sandbox_pending_fails", "PENDING", "FAILED"),
    ("sandbox_timeout_succeeded", "PROCESSING", "CAPTURED"),
    ("sandbox_webhook_twice", "CAPTURED", "CAPTURED"),
    ("sandbox_webhook_first", "CAPTURED", "CAPTURED"),
    ("sandbox_webhook_late", "PENDING", "CAPTURED"),
    ("sandbox_captures_once", "CAPTURED", "CAPTURED"),
    ("sandbox_refund_refused_once", "CAPTURED", "CAPTURED"),
    ("sandbox_refund_refused", "CAPTURED", "CAPTURED"),
]


def test_every_sandbox_method_is_tried() -> None:
    assert {row[0] for row in NOW_AND_THEN} - {"no_such_method"} == set(METHODS)


@pytest.mark.parametrize("confirm", [True, False])
@pytest.mark.parametrize(("method", "now", "then"), NOW_AND_THEN)
async def test_methods(shop: Shop, method: str, now: str, then: str, confirm: bool) -> None:
    intent, view = await shop.pay(method, confirm=confirm)
    assert view.state == now
    shop.world.advance(LATE_MS)
    await shop.sandbox.run_due(shop.world.now_ms())
    view = await shop.view(intent.payment_id)
    assert view.state == then
    assert view.captured_minor == (1000 if then == "CAPTURED" else 0)
    types = await shop.types(intent.payment_id)
    assert types.count("payment.captured.v1") == (then == "CAPTURED")


async def test_the_common_way_is_one_commit_after_placing(shop: Shop) -> None:
    intent, view = await shop.pay()
    assert view.state == "CAPTURED"
    assert await shop.types(intent.payment_id) == ["payment.captured.v1"]
    captured = (await shop.events())[0].data()
    assert captured.order_ids == tuple(portion.order_id for portion in intent.portions)
    assert captured.amount_minor == captured.captured_minor == 1000
    assert await shop.sweep() == 0


@pytest.mark.parametrize("method", ["sandbox_timeout_succeeded", "sandbox_pending_succeeds"])
async def test_an_unknown_outcome_is_asked_about(shop: Shop, method: str) -> None:
    intent, _ = await shop.pay(method)
    shop.down = True  # no webhook will help
    assert await shop.sweep() == 0
    for _ in range(6):
        shop.world.advance(60_000)
        await shop.sandbox.run_due(shop.world.now_ms())
        await shop.sweep()
    assert (await shop.view(intent.payment_id)).state == "CAPTURED"
    assert await shop.sweep() == 0


async def test_a_call_that_was_never_made_is_made_by_the_sweep(shop: Shop) -> None:
    intent = await shop.open(shop.intent())
    shop.world.advance(15_000)
    assert await shop.sweep("payments.ask") == 1
    assert (await shop.view(intent.payment_id)).state == "CAPTURED"


async def test_a_hanging_provider_is_given_up_on_in_time(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    async def hang(call: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(shop.sandbox, "authorize", hang)
    _, view = await shop.pay()
    assert view.state == "PROCESSING"


STEPS = ["response", "webhook", "webhook", "ask"]


@pytest.mark.parametrize("order", sorted(set(itertools.permutations(STEPS))))
async def test_response_webhook_and_question_race_safely(shop: Shop, order: tuple[str, ...]) -> None:
    intent = await shop.open(shop.intent("sandbox_webhook_twice"))
    shop.down = True
    call = payments.AuthorizeCall(
        key=f"{intent.payment_id}.authorize.1",
        payment_id=intent.payment_id,
        attempt=1,
        amount_minor=1000,
        currency="GBP",
        method=intent.method,
        capture=True,
    )
    response = await shop.sandbox.authorize(call)
    shop.down = False
    for step in order:
        if step == "webhook":
            shop.world.advance(2_001)
            await shop.sandbox.run_due(shop.world.now_ms())
            if shop.webhooks:
                await shop.receive(*shop.webhooks[0])
        elif step == "ask":
            await payments.confirm(shop.db, shop.world, shop.providers, intent.payment_id)
        else:
            heard = Heard(intent.payment_id, "sandbox", shop.world.now_ms(), response)
            await shop.db.batch(0, payments.RECORD_RESULT, heard)
    view = await shop.view(intent.payment_id)
    assert (view.state, view.captured_minor, view.version) == ("CAPTURED", 1000, 1)


async def test_redirect_return_and_webhook(shop: Shop) -> None:
    intent, view = await shop.pay("sandbox_redirect")
    assert view.redirect_url.endswith(intent.payment_id)
    back = await payments.confirm(shop.db, shop.world, shop.providers, intent.payment_id)
    assert back.state == "REQUIRES_ACTION"
    await shop.sandbox.complete_redirect(intent.payment_id)
    back = await payments.confirm(shop.db, shop.world, shop.providers, intent.payment_id)
    assert (back.state, back.redirect_url) == ("CAPTURED", "")
    await shop.sandbox.settle()
    assert len(shop.webhooks) == 1
    assert (await shop.view(intent.payment_id)).version == 1


async def test_declined_is_tried_again_with_another_method(shop: Shop) -> None:
    intent, _ = await shop.pay("sandbox_declines")
    view = await payments.confirm(
        shop.db, shop.world, shop.providers, intent.payment_id, method="sandbox_succeeds"
    )
    assert (view.state, view.method) == ("CAPTURED", "sandbox_succeeds")
    assert await shop.types(intent.payment_id) == ["payment.failed.v1", "payment.captured.v1"]


async def test_late_money_on_a_closed_order_goes_back_by_itself(shop: Shop) -> None:
    intent, _ = await shop.pay("sandbox_webhook_late")
    for index in (0, 1):
        await shop.end(intent, index)
    assert (await shop.view(intent.payment_id)).state == "VOIDED"
    await shop.sweep()
    shop.world.advance(LATE_MS)
    await shop.sandbox.run_due(shop.world.now_ms())
    for index in (0, 1):
        await shop.end(intent, index, "order.paid_late.v1", amount_minor=1)
    await shop.relay()
    view = await shop.view(intent.payment_id)
    assert (view.state, view.captured_minor, view.refunded_minor) == ("CAPTURED", 1000, 1000)
    assert [(refund.reason, refund.state) for refund in await shop.refunds(intent)] == [
        ("late_payment", "SUCCEEDED")
    ] * 2
    assert await shop.types(intent.payment_id) == ["payment.voided.v1", "payment.captured.v1"]
    balances = await shop.db.read(0, ledger.account_balances)
    assert {balance.posted_minor for balance in balances.values()} == {0}


async def test_paid_late_heard_before_cancelled_refunds_once(shop: Shop) -> None:
    intent, _ = await shop.pay()
    await shop.end(intent, 0, "order.paid_late.v1", amount_minor=700)
    await shop.end(intent, 0)
    await shop.relay()
    refunds = await shop.refunds(intent)
    assert [(refund.amount_minor, refund.reason) for refund in refunds] == [(700, "late_payment")]


async def test_pending_intent_of_cancelled_orders_is_voided_at_the_provider(shop: Shop) -> None:
    intent, _ = await shop.pay("sandbox_pending_succeeds")
    await shop.end(intent, 0)
    assert (await shop.view(intent.payment_id)).state == "PENDING"
    await shop.end(intent, 1)
    await shop.sweep()
    shop.world.advance(LATE_MS)
    await shop.sandbox.run_due(shop.world.now_ms())
    view = await shop.view(intent.payment_id)
    assert (view.state, view.captured_minor) == ("VOIDED", 0)
    assert await shop.sweep() == 0


async def test_lines_cancelled_after_payment_give_their_part_back(shop: Shop) -> None:
    intent, _ = await shop.pay()
    await shop.end(intent, 0, "order.lines_cancelled.v1", refund_minor=123)
    await shop.end(intent, 0, "order.lines_cancelled.v1", refund_minor=7, at=2)
    await shop.end(intent, 0, at=3)
    await shop.relay()
    assert sorted(refund.amount_minor for refund in await shop.refunds(intent)) == [7, 123, 570]
    view = await shop.view(intent.payment_id)
    assert (view.refunded_minor, view.portions[0].refunded_minor) == (700, 700)


async def test_capture_in_parts_then_void_the_rest(shop: Shop) -> None:
    intent, view = await shop.pay(capture="on_shipment")
    assert (view.state, view.authorized_minor) == ("AUTHORIZED", 1000)
    args = (shop.db, shop.world, shop.providers, intent.payment_id)
    view = await payments.capture(*args, 333, "a")
    view = await payments.capture(*args, 333, "a")
    assert (view.state, view.captured_minor) == ("PARTIALLY_CAPTURED", 333)
    with pytest.raises(Refusal) as caught:
        await payments.capture(*args, 668, "b")
    assert caught.value.code == "payments.capture_exceeds_authorized"
    assert caught.value.extra == {"available_minor": 667}
    view = await payments.capture(*args, 100, "c", intent.portions[1].order_id)
    view = await payments.void(*args)
    assert (view.state, view.captured_minor) == ("CAPTURED", 433)
    assert await shop.types(intent.payment_id) == [
        "payment.authorized.v1",
        "payment.captured.v1",
        "payment.captured.v1",
        "payment.voided.v1",
    ]


async def test_void_before_anything_was_taken(shop: Shop) -> None:
    intent, _ = await shop.pay(capture="on_shipment")
    args = (shop.db, shop.world, shop.providers, intent.payment_id)
    assert (await payments.void(*args)).state == "VOIDED"
    assert (await payments.void(*args)).state == "VOIDED"
    with pytest.raises(Refusal, match="state"):
        await payments.capture(*args, 1, "x")


async def test_capture_on_shipment_follows_the_packages(shop: Shop) -> None:
    intent = shop.intent(capture="on_shipment")
    lines = (PortionLine(1, 3, 100), PortionLine(2, 1, 500))
    first = msgspec.structs.replace(intent.portions[0], lines=lines)
    intent = msgspec.structs.replace(intent, portions=(first, intent.portions[1]))
    await shop.open(intent)
    await payments.charge(shop.db, shop.world, shop.providers, intent)
    package = {"order_id": first.order_id, "lines": [{"line_no": 1, "quantity": 2}]}
    await shop.tell("package.collected.v1", shop.world.mint("package", 1), **package)
    await shop.sweep()
    assert (await shop.view(intent.payment_id)).captured_minor == 67
    package = {"order_id": first.order_id, "lines": [{"line_no": 1, "quantity": 1}], "all_collected": True}
    await shop.tell("package.collected.v1", shop.world.mint("package", 1), **package)
    await shop.sweep()
    assert (await shop.view(intent.payment_id)).captured_minor == 700
    await shop.end(intent, 1)
    await shop.sweep()
    view = await shop.view(intent.payment_id)
    assert (view.state, view.captured_minor, view.refunded_minor) == ("CAPTURED", 700, 0)
    captured = [row.data().order_ids for row in await shop.events() if row.type == "payment.captured.v1"]
    assert captured == [(first.order_id,)] * 2


async def test_packages_of_other_payments_are_nobodys_business(shop: Shop) -> None:
    intent, _ = await shop.pay()
    await shop.tell("package.collected.v1", "pkg", order_id=intent.portions[0].order_id, all_collected=True)
    await shop.tell("order.cancelled.v1", "ord", order_id="ord", payment_id="", refund_minor=0)
    assert (await shop.view(intent.payment_id)).version == 1


NOT_FOUND = "pay_01jz0000000000000000000000"


@pytest.mark.parametrize(
    ("code", "act"),
    [
        ("payments.not_found", lambda s: s.view(NOT_FOUND)),
        ("payments.not_found", lambda s: payments.confirm(s.db, s.world, s.providers, NOT_FOUND)),
        ("payments.not_found", lambda s: payments.capture(s.db, s.world, s.providers, NOT_FOUND, 1, "x")),
        ("payments.not_found", lambda s: payments.void(s.db, s.world, s.providers, NOT_FOUND)),
        ("payments.not_found", lambda s: payments.refund(s.db, s.world, s.providers, back(s, LOST, 1))),
        ("id.invalid", lambda s: payments.refund(s.db, s.world, s.providers, back(s, LOST, 1, STRANGE))),
        ("payments.refund_not_found", lambda s: s.db.transact(0, payments.retry_refund, NOT_FOUND, 1)),
        ("payments.provider_unknown", lambda s: s.pay(provider="nobody")),
        (
            "payments.provider_unknown",
            lambda s: payments.handle_webhook(s.db, s.world, s.providers, "nobody", {}, b""),
        ),
        (
            "payments.webhook_unsigned",
            lambda s: payments.handle_webhook(s.db, s.world, s.providers, "sandbox", {}, b""),
        ),
        ("payments.not_found", lambda s: s.db.batch(0, payments.RECORD_RESULT, stray("sandbox", NOT_FOUND))),
    ],
)
async def test_refusals(shop: Shop, code: str, act: Any) -> None:
    with pytest.raises(Refusal) as caught:
        await act(shop)
    assert caught.value.code == code


STRANGE = TestWorld(8).mint("refund", 5)
LOST = Shop.intent(type("Minting", (), {"world": TestWorld(9)})())  # type: ignore[arg-type]


async def test_another_provider_cannot_speak_for_a_payment(shop: Shop) -> None:
    intent = await shop.open(shop.intent())
    with pytest.raises(Refusal) as caught:
        await shop.db.batch(0, payments.RECORD_RESULT, stray("mallory", intent.payment_id))
    assert caught.value.code == "payments.not_found"


async def test_a_provider_that_reports_another_amount_is_not_believed(shop: Shop) -> None:
    intent = await shop.open(shop.intent())
    with pytest.raises(Refusal) as caught:
        await shop.db.batch(0, payments.RECORD_RESULT, stray("sandbox", intent.payment_id, 1001))
    assert caught.value.code == "payments.fact_mismatch"
    assert (await shop.view(intent.payment_id)).state == "PROCESSING"


async def test_old_webhook_ids_are_forgotten(shop: Shop, database_path: Any) -> None:
    await shop.pay("sandbox_webhook_twice")
    await shop.sandbox.settle()
    assert len(shop.webhooks) == 2
    count = "SELECT COUNT(*) FROM provider_events"
    with sqlite3.connect(database_path) as connection:
        assert connection.execute(count).fetchone() == (1,)
        shop.world.advance(31 * 86_400_000)
        await shop.sweep("payments.forget_webhooks")
        assert connection.execute(count).fetchone() == (0,)


def test_statements_do_not_grow_with_the_results(database_path: Any, world: TestWorld) -> None:
    connection = connect_writer(str(database_path))
    tx = SqliteTx(connection, 0)
    minting = type("Minting", (), {"world": world})()
    counts = []
    for size in (1, 256):
        intents = [Shop.intent(minting) for _ in range(size)]
        connection.execute("BEGIN")
        payments.open_intents(tx, intents)
        tx.statements = 0
        answers = record_results(tx, [stray("sandbox", intent.payment_id) for intent in intents])
        assert not any(isinstance(answer, Refusal) for answer in answers)
        assert len(tx.events) == size
        counts.append(tx.statements)
        tx.events.clear()
        connection.execute("ROLLBACK")
    connection.close()
    assert counts[0] == counts[1] <= 5


async def test_items_and_results_can_travel_to_a_writer_process(shop: Shop) -> None:
    intent, _ = await shop.pay("sandbox_redirect")
    fact = await shop.sandbox.complete_redirect(intent.payment_id)
    item = Heard(intent.payment_id, "sandbox", shop.world.now_ms(), fact, "evt_1", True)
    handler = payments.RECORD_RESULT
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(item), type=handler.item_type) == item
    result = await shop.db.batch(0, handler, item)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(result), type=handler.result_type) == result
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(intent), type=NewIntent) == intent


async def test_the_events_runtime_drives_refunds_and_questions(shop: Shop) -> None:
    tasks = payments.tasks(shop.db, shop.world, shop.providers)
    sweeps = payments.sweeps(shop.db, shop.world, shop.providers)
    runtime = Runtime(shop.db, shop.world, consumers=payments.CONSUMERS, tasks=tasks, sweeps=sweeps)
    paid, _ = await shop.pay("sandbox_refund_refused_once")
    silent, _ = await shop.pay("sandbox_timeout_succeeded")
    await shop.db.transact(0, payments.request_refund, back(shop, paid, 10))
    await runtime.drain()
    assert (await shop.refunds(paid))[0].state == "REFUSED"
    shop.world.advance(60_000)
    await runtime.drain()
    assert (await shop.refunds(paid))[0].state == "SUCCEEDED"
    assert (await shop.view(silent.payment_id)).state == "CAPTURED"
