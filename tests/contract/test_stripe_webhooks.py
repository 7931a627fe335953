"""Stripe's webhooks: signatures, rotation, every event we map, and what is acknowledged without effect."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import stripe
from msgspec.structs import replace
from tests.contract.stripe_ground import WEBHOOK_SECRETS, Ground, authorize, capture, ground, refund, void

from tradepost.infra.payments import stripe_signature
from tradepost.infra.payments.stripe_notices import NoticeKind
from tradepost.infra.payments.stripe_settings import API_VERSION
from tradepost.infra.payments.stripe_webhooks import EVENTS
from tradepost.kernel.errors import Refusal
from tradepost.testing.stripe_double import disputes
from tradepost.testing.stripe_double.books import API_VERSION as DOUBLE_VERSION
from tradepost.testing.world import TestWorld
from tradepost.trade.payments import ProviderEvent, RefundStatus, Status

NOW_S = 1_790_000_000
BODY = b'{"id": "evt_1"}'


@pytest.fixture
async def at(world: TestWorld) -> AsyncIterator[Ground]:
    async with ground(world) as made:
        yield made


@pytest.fixture
def payment_id(world: TestWorld) -> str:
    return world.mint("payment", 5)


def test_the_versions_agree() -> None:
    assert API_VERSION == DOUBLE_VERSION == stripe.api_version


def test_our_signature_is_the_library_s() -> None:
    header = stripe_signature.sign(["whsec_a"], NOW_S, BODY)["Stripe-Signature"]
    assert header == stripe.WebhookSignature.generate_signature_header(  # type: ignore[no-untyped-call]
        BODY.decode(), "whsec_a", NOW_S
    )


GOOD = stripe_signature.sign(["whsec_a"], NOW_S, BODY)["Stripe-Signature"]
V1 = GOOD.partition("v1=")[2]
HEADERS = [
    (GOOD, True),
    (f"t={NOW_S},v1={'0' * 64},v1={V1}", True),
    (f"t={NOW_S},v0={'0' * 64},v1={V1}", True),
    (f" t={NOW_S} , v1={V1}", True),
    (f"t={NOW_S},v0={V1}", False),
    (f"t={NOW_S + 1},v1={V1}", False),
    (f"t={NOW_S},v1={V1[:-1]}", False),
    (f"t={NOW_S},v1=é", False),
    (f"v1={V1}", False),
    (f"t={NOW_S}", False),
    (f"t=-{NOW_S},v1={V1}", False),
    (f"t=١٢٣,v1={V1}", False),
    (f"t={'9' * 13},v1={V1}", False),
    ("", False),
    (",,,", False),
    (",".join(["v1=00"] * 16 + [f"t={NOW_S}", f"v1={V1}"]), False),
]


@pytest.mark.parametrize(("header", "fits"), HEADERS)
def test_signature_headers(header: str, fits: bool) -> None:
    headers = {"stripe-signature": header}
    if fits:
        stripe_signature.verify(["whsec_a"], headers, BODY, NOW_S * 1000)
        return
    with pytest.raises(Refusal) as caught:
        stripe_signature.verify(["whsec_a"], headers, BODY, NOW_S * 1000)
    assert caught.value.code == "payments.webhook_unsigned"


@pytest.mark.parametrize("off_s", [-301, 301])
def test_an_old_or_early_webhook_is_refused(off_s: int) -> None:
    with pytest.raises(Refusal, match="five minutes"):
        stripe_signature.verify(["whsec_a"], {"Stripe-Signature": GOOD}, BODY, (NOW_S + off_s) * 1000)


@pytest.mark.parametrize("signed_with", [*WEBHOOK_SECRETS, "whsec_another_endpoint_entirely"])
async def test_each_secret_of_a_rotation_opens(at: Ground, payment_id: str, signed_with: str) -> None:
    await at.provider.authorize(authorize(payment_id, capture=True))
    body = json.dumps(at.double.books.events[-1]).encode()
    headers = stripe_signature.sign([signed_with], at.world.now_ms() // 1000, body)
    if signed_with in WEBHOOK_SECRETS:
        assert at.provider.parse_webhook(headers, body, at.world.now_ms()).fact.captured_minor == 1000
        with pytest.raises(Refusal, match="No signature fits"):
            at.provider.parse_webhook(headers, body + b" ", at.world.now_ms())
    else:
        with pytest.raises(Refusal, match="No signature fits"):
            at.provider.parse_webhook(headers, body, at.world.now_ms())


def send(at: Ground, type_: str, document: dict[str, Any], **changes: Any) -> ProviderEvent:
    """Parse an event of this account as if Stripe had sent it."""
    event = {"id": "evt_1", "type": type_, "data": {"object": document}, "livemode": False}
    body = json.dumps(event | changes).encode()
    headers = stripe_signature.sign([WEBHOOK_SECRETS[0]], at.world.now_ms() // 1000, body)
    return at.provider.parse_webhook(headers, body, at.world.now_ms())


async def test_the_answer_and_the_webhook_say_the_same(at: Ground, payment_id: str) -> None:
    told = await at.provider.authorize(authorize(payment_id))
    (event,) = await at.heard()
    assert event.fact == replace(told, capture_before_ms=0)  # an event names its charge and does not show it
    told = await at.provider.capture(capture(payment_id, 1, 300))
    (event,) = await at.heard()
    assert event.fact == replace(told, capture_before_ms=0)
    told = await at.provider.void(void(payment_id))
    assert (told.status, told.captured_minor) == (Status.VOIDED, 300)
    facts = [event.fact for event in await at.heard()]
    assert told in facts
    assert {fact.captured_minor for fact in facts} == {300}


async def test_twice_is_the_same_event(at: Ground, payment_id: str) -> None:
    await at.provider.authorize(authorize(payment_id, capture=True))
    await at.double.deliver_all(copies=2)
    ids = [json.loads(body)["id"] for _, body in at.webhooks]
    assert ids == [one for pair in zip(ids[::2], ids[::2], strict=True) for one in pair]


async def test_a_webhook_tells_another_process_which_intent_it_is(at: Ground, payment_id: str) -> None:
    await at.provider.authorize(authorize(payment_id, capture=True))
    await at.double.deliver_all()
    other = at.another()
    headers, body = at.webhooks[-1]
    other.parse_webhook(headers, body, at.world.now_ms())
    at.double.requests.clear()
    assert (await other.ask(payment_id)) is not None
    assert all("search" not in path for _, path in at.calls())


async def test_refund_events_carry_the_refund_only(at: Ground, world: TestWorld, payment_id: str) -> None:
    await at.provider.authorize(authorize(payment_id, capture=True))
    await at.heard()
    refund_id = world.mint("refund", 5)
    await at.provider.refund(refund(payment_id, refund_id, 3, 400))
    made, charged = [event.fact for event in await at.heard()]
    assert (made.attempt, made.captured_minor, made.payment_id) == (0, 0, payment_id)
    assert [(one.refund_id, one.attempt, one.status) for one in made.refunds] == [
        (refund_id, 3, RefundStatus.SUCCEEDED)
    ]
    assert (charged.attempt, charged.authorized_minor, charged.captured_minor) == (0, 1000, 1000)


async def test_a_dispute_becomes_a_task_before_it_is_acknowledged(at: Ground, payment_id: str) -> None:
    await at.provider.authorize(authorize(payment_id, "pm_card_createDispute", capture=True))
    await at.heard()
    (notice,) = {one.key: one for one in at.notices}.values()
    assert (notice.kind, notice.amount, notice.currency) == (NoticeKind.DISPUTE, 1000, "GBP")
    assert notice.reference == at.double.intent_of(payment_id)["id"]
    assert notice.detail == "fraudulent, needs_response"


async def test_a_refund_made_in_the_dashboard_becomes_a_task(at: Ground) -> None:
    document = {
        "id": "re_1",
        "amount": 400,
        "currency": "gbp",
        "status": "succeeded",
        "payment_intent": "pi_1",
    }
    with pytest.raises(Refusal, match="made elsewhere"):
        send(at, "refund.created", document | {"metadata": {}})
    assert [(one.kind, one.reference) for one in at.notices] == [(NoticeKind.REFUND_FOREIGN, "pi_1")]


IGNORED: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("customer.created", {"id": "cus_1"}, {}),
    ("payment_intent.succeeded", {"id": "pi_1", "status": "succeeded", "metadata": {}}, {}),
    (
        "payment_intent.created",
        {"id": "pi_1", "status": "requires_payment_method", "metadata": {"payment_id": "p"}},
        {},
    ),
    ("charge.refunded", {"id": "ch_1", "amount": 1, "currency": "gbp", "metadata": {}}, {}),
    (
        "payment_intent.canceled",
        {"id": "pi_1", "status": "canceled", "currency": "gbp", "metadata": {"payment_id": "p"}},
        {"livemode": True},
    ),
    ("balance.available", {"id": "ba_1"}, {"api_version": "2019-02-11"}),
]


@pytest.mark.parametrize(("type_", "document", "changes"), IGNORED)
async def test_what_is_of_no_concern(
    at: Ground, type_: str, document: dict[str, Any], changes: dict[str, Any]
) -> None:
    with pytest.raises(Refusal) as caught:
        send(at, type_, document, **changes)
    assert caught.value.code == "payments.webhook_ignored"
    assert at.notices == []


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"id": 1}', b'{"id":"evt_1","type":"refund.created","data":{}}']
)
async def test_signed_nonsense(at: Ground, body: bytes) -> None:
    headers = stripe_signature.sign([WEBHOOK_SECRETS[0]], at.world.now_ms() // 1000, body)
    with pytest.raises(Refusal) as caught:
        at.provider.parse_webhook(headers, body, at.world.now_ms())
    assert caught.value.code == "payments.webhook_invalid"


async def test_every_event_we_register_for_is_read(at: Ground, world: TestWorld) -> None:
    for method in (
        "pm_card_visa", "pm_card_jcb", "pm_card_chargeDeclined", "pm_card_authenticationRequired",
        "pm_usBankAccount_success", "pm_card_createDispute", "pm_card_refundFail",
    ):  # fmt: skip
        payment_id = world.mint("payment", 5)
        slow = "AccountSuccess" in method or "createDispute" in method or "us" in method
        await at.provider.authorize(authorize(payment_id, method, capture=slow))
        await at.provider.capture(capture(payment_id, 1, 300))
        await at.provider.void(void(payment_id))
        for dispute in list(at.double.books.disputes.values()):
            disputes.answer(at.double.books, dispute)
            disputes.end(at.double.books, dispute, won=True)
        if method == "pm_card_refundFail":
            await at.provider.refund(refund(payment_id, world.mint("refund", 5), 1, 100))
            at.double.settle_refunds(payment_id)
    seen = {event["type"] for event in at.double.books.events}
    assert set(EVENTS) <= seen
    await at.heard()
