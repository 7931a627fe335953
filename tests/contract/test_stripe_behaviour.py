"""The Stripe adapter against its double: declines, detours, lost calls, partial captures, refunds, late facts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.contract.stripe_ground import Ground, authorize, capture, ground, refund, void

from tradepost.infra.payments.stripe_calls import Unanswered
from tradepost.infra.payments.stripe_finding import KEY_TRUSTED_MS, SEARCH_TRUSTED_MS
from tradepost.infra.payments.stripe_notices import NoticeKind
from tradepost.kernel.errors import Refusal
from tradepost.testing.stripe_double import Fault
from tradepost.testing.world import TestWorld
from tradepost.trade.payments import Providers, RefundStatus, Status
from tradepost.trade.payments.patience import call_provider


@pytest.fixture
async def at(world: TestWorld) -> AsyncIterator[Ground]:
    async with ground(world) as made:
        yield made


@pytest.fixture
def payment_id(world: TestWorld) -> str:
    return world.mint("payment", 5)


DECLINES = [
    ("pm_card_chargeDeclined", "generic_decline"),
    ("pm_card_visa_chargeDeclinedInsufficientFunds", "insufficient_funds"),
    ("pm_card_visa_chargeDeclinedLostCard", "lost_card"),
    ("pm_card_chargeDeclinedExpiredCard", "expired_card"),
    ("pm_card_chargeDeclinedIncorrectCvc", "incorrect_cvc"),
    ("pm_card_chargeDeclinedProcessingError", "processing_error"),
]


@pytest.mark.parametrize(("method", "reason"), DECLINES)
async def test_a_declined_card_says_why(at: Ground, payment_id: str, method: str, reason: str) -> None:
    fact = await at.provider.authorize(authorize(payment_id, method))
    assert (fact.status, fact.reason, fact.attempt) == (Status.DECLINED, reason, 1)
    assert (fact.authorized_minor, fact.captured_minor) == (0, 0)
    assert fact.reference.startswith("pi_")
    assert at.notices == []


async def test_the_next_attempt_goes_on_with_the_same_intent(at: Ground, payment_id: str) -> None:
    first = await at.provider.authorize(authorize(payment_id, "pm_card_chargeDeclined", capture=True))
    again = await at.provider.authorize(authorize(payment_id, "pm_card_visa", capture=True, attempt=2))
    assert (again.status, again.attempt, again.captured_minor) == (Status.AUTHORIZED, 2, 1000)
    assert again.reference == first.reference
    assert len(at.double.books.intents) == 1
    assert (
        await at.provider.authorize(authorize(payment_id, "pm_card_visa", capture=True, attempt=2)) == again
    )
    declined = [event.fact for event in await at.heard() if event.fact.status is Status.DECLINED]
    assert [fact.attempt for fact in declined] == [1]


async def test_an_attempt_that_stopped_half_way_is_unknown_and_made_again(
    at: Ground, payment_id: str
) -> None:
    await at.provider.authorize(authorize(payment_id, "pm_card_chargeDeclined"))
    at.double.faults[:] = [
        Fault.WEBHOOK_FIRST,
        Fault.LOST_REQUEST,
    ]  # prepared, and then the confirmation is lost
    with pytest.raises(Unanswered):
        await at.provider.authorize(authorize(payment_id, attempt=2))
    assert await at.provider.ask(payment_id) is None
    fact = await at.provider.authorize(authorize(payment_id, attempt=2))
    assert (fact.status, fact.attempt) == (Status.AUTHORIZED, 2)


@pytest.mark.parametrize("paid", [True, False])
async def test_a_redirect_and_what_follows(at: Ground, payment_id: str, paid: bool) -> None:
    fact = await at.provider.authorize(authorize(payment_id, "pm_card_authenticationRequired", capture=True))
    assert fact.status is Status.REQUIRES_ACTION
    assert fact.redirect_url.startswith("https://hooks.stripe.com/redirect/")
    asked = await at.provider.ask(payment_id)
    assert asked == fact
    at.double.settle(payment_id, paid=paid)
    last = (await at.heard())[-1].fact
    if paid:
        assert (last.status, last.captured_minor, last.redirect_url) == (Status.AUTHORIZED, 1000, "")
    else:
        assert (last.status, last.reason) == (Status.DECLINED, "payment_intent_authentication_failure")


async def test_the_buyer_comes_back_to_the_order(at: Ground, payment_id: str) -> None:
    await at.provider.authorize(authorize(payment_id, "pm_card_authenticationRequired"))
    action = at.double.intent_of(payment_id)["next_action"]
    assert action["redirect_to_url"]["return_url"] == f"https://shop.example/orders/{payment_id}"


@pytest.mark.parametrize(
    ("method", "status", "captured"),
    [
        ("pm_usBankAccount_success", Status.AUTHORIZED, 1000),
        ("pm_usBankAccount_insufficientFunds", Status.DECLINED, 0),
    ],
)
async def test_slow_methods(at: Ground, payment_id: str, method: str, status: Status, captured: int) -> None:
    fact = await at.provider.authorize(authorize(payment_id, method, capture=True))
    assert (fact.status, fact.captured_minor) == (Status.PENDING, 0)
    too_late = await at.provider.void(void(payment_id))
    assert too_late.status is Status.PENDING
    at.double.settle(payment_id)
    last = (await at.heard())[-1].fact
    assert (last.status, last.captured_minor) == (status, captured)
    voided = await at.provider.void(void(payment_id))  # the refusal of the first try is not repeated
    assert voided.status is (status if captured else Status.VOIDED)


UNKNOWN = [
    Fault.LOST_ANSWER,
    Fault.LOST_REQUEST,
    Fault.ERROR_500,
    Fault.ERROR_429,
    Fault.ERROR_409,
    Fault.ERROR_401,
]


@pytest.mark.parametrize("fault", UNKNOWN)
@pytest.mark.parametrize("forgetful", [True, False])
async def test_what_was_not_answered_is_asked_for_and_done_once(
    at: Ground, payment_id: str, fault: Fault, forgetful: bool
) -> None:
    at.double.faults.append(fault)
    with pytest.raises(Unanswered):
        await at.provider.authorize(authorize(payment_id, capture=True))
    provider = at.another() if forgetful else at.provider
    known = await provider.ask(payment_id)
    assert (known is not None) == (fault is Fault.LOST_ANSWER)
    fact = await provider.authorize(authorize(payment_id, capture=True))
    assert (fact.status, fact.captured_minor) == (Status.AUTHORIZED, 1000)
    assert len(at.double.books.charges) == 1
    assert [notice.kind for notice in at.notices] == [NoticeKind.ACCESS] * (fault is Fault.ERROR_401)


async def test_silence_is_cut_off_by_the_house_and_the_connection_is_given_back(
    world: TestWorld, payment_id: str
) -> None:
    async with ground(world, connections_max=1, read_timeout_ms=30_000) as at:
        at.double.faults.append(Fault.SILENCE)
        providers = Providers(at.provider, call_timeout_ms=150)
        answered, fact = await call_provider(
            providers, at.provider.authorize(authorize(payment_id, capture=True))
        )
        assert (answered, fact) == (False, None)
        answered, fact = await call_provider(providers, at.provider.ask(payment_id))
        assert fact is not None
        assert fact.captured_minor == 1000


async def test_stripes_own_silence_is_bounded(world: TestWorld, payment_id: str) -> None:
    async with ground(world, read_timeout_ms=100) as at:
        at.double.faults.append(Fault.SILENCE)
        with pytest.raises(Unanswered):
            await at.provider.authorize(authorize(payment_id))


async def test_calls_share_a_bounded_pool(world: TestWorld) -> None:
    async with ground(world, connections_max=2) as at:
        ids = [world.mint("payment", 5) for _ in range(30)]
        facts = await asyncio.gather(*(at.provider.authorize(authorize(one, capture=True)) for one in ids))
        assert {fact.captured_minor for fact in facts} == {1000}
        assert [fact.payment_id for fact in facts] == ids
        assert at.double.most_connections <= 2


async def test_repeats_of_other_processes_charge_once(at: Ground, payment_id: str) -> None:
    calls = [at.another().authorize(authorize(payment_id, capture=True)) for _ in range(5)]
    facts = await asyncio.gather(*calls)
    assert len(set(facts)) == 1
    assert len(at.double.books.charges) == 1


async def test_keys_are_forgotten_after_a_day_but_payments_are_not(
    at: Ground, world: TestWorld, payment_id: str
) -> None:
    await at.provider.authorize(authorize(payment_id, capture=True))
    world.advance(3 * KEY_TRUSTED_MS)
    fact = await at.another().authorize(authorize(payment_id, capture=True))
    assert fact.captured_minor == 1000
    assert len(at.double.books.charges) == 1


async def test_a_declined_attempt_is_not_tried_again_when_its_key_is_forgotten(
    at: Ground, world: TestWorld, payment_id: str
) -> None:
    first = await at.provider.authorize(authorize(payment_id, "pm_card_chargeDeclined"))
    world.advance(3 * KEY_TRUSTED_MS)
    assert await at.another().authorize(authorize(payment_id, "pm_card_chargeDeclined")) == first
    assert len(at.double.books.charges) == 1


async def test_asking_needs_no_list_once_the_index_is_trusted(
    at: Ground, world: TestWorld, payment_id: str
) -> None:
    world.advance(SEARCH_TRUSTED_MS)
    assert await at.provider.ask(payment_id) is None
    assert [path for _, path in at.calls()] == ["/v1/payment_intents/search"]


async def test_a_fresh_intent_is_found_in_a_long_list(at: Ground, world: TestWorld) -> None:
    ids = [world.mint("payment", 5) for _ in range(230)]
    for one in ids:
        await at.provider.authorize(authorize(one))
    fact = await at.another().ask(ids[0])
    assert fact is not None
    assert fact.payment_id == ids[0]
    lists = [path for method, path in at.calls() if method == "GET" and path == "/v1/payment_intents"]
    assert len(lists) == 3


async def test_a_void_that_overtakes_its_authorization(at: Ground, payment_id: str) -> None:
    at.double.faults.append(Fault.LOST_REQUEST)
    with pytest.raises(Unanswered):
        await at.provider.authorize(authorize(payment_id, capture=True))
    assert (await at.another().void(void(payment_id))).status is Status.VOIDED
    late = await at.another().authorize(authorize(payment_id, capture=True))
    assert (late.status, late.captured_minor, late.currency) == (Status.VOIDED, 0, "")
    assert at.double.books.charges == {}
    asked = await at.provider.ask(payment_id)
    assert asked is not None
    assert asked.status is Status.VOIDED


async def test_a_card_that_takes_one_capture_says_so_and_until_when(
    at: Ground, payment_id: str, world: TestWorld
) -> None:
    fact = await at.provider.authorize(authorize(payment_id, "pm_card_jcb"))
    assert fact.captures_once
    assert fact.capture_before_ms == (world.now_ms() // 1000 + 7 * 86_400) * 1000
    several = await at.provider.authorize(authorize(world.mint("payment", 5)))
    assert not several.captures_once
    assert several.capture_before_ms


async def test_without_the_feature_no_several_captures_are_asked_for(
    world: TestWorld, payment_id: str
) -> None:
    async with ground(world, multicapture=False) as at:
        await at.provider.authorize(authorize(payment_id))
        assert "payment_method_options" not in at.double.requests[0].params
        fact = await at.provider.capture(capture(payment_id, 1, 300))
        assert (fact.status, fact.captured_minor, fact.reason) == (Status.AUTHORIZED, 0, "captures_once")


@pytest.mark.parametrize("fault", [Fault.LOST_ANSWER, Fault.LOST_REQUEST, Fault.ERROR_500])
async def test_a_capture_without_an_answer_is_taken_once(at: Ground, payment_id: str, fault: Fault) -> None:
    await at.provider.authorize(authorize(payment_id))
    at.double.faults.append(fault)
    with pytest.raises(Unanswered):
        await at.provider.capture(capture(payment_id, 1, 300))
    assert (await at.another().capture(capture(payment_id, 1, 300))).captured_minor == 300
    assert (await at.provider.ask(payment_id)).captured_minor == 300  # type: ignore[union-attr]


async def test_too_much_is_not_captured(at: Ground, payment_id: str) -> None:
    await at.provider.authorize(authorize(payment_id))
    fact = await at.provider.capture(capture(payment_id, 1, 1001))
    assert (fact.captured_minor, fact.reason) == (0, "exceeds_authorized")
    assert (await at.provider.capture(capture(payment_id, 1, 0))).captured_minor == 0


async def test_nothing_is_known_of_a_strange_payment(at: Ground, world: TestWorld, payment_id: str) -> None:
    for call in (
        at.provider.capture(capture(payment_id, 1, 1)),
        at.provider.refund(refund(payment_id, world.mint("refund", 5), 1, 1)),
    ):
        with pytest.raises(Refusal) as caught:
            await call
        assert caught.value.code == "payments.not_found"


async def test_refunds_between_captures_and_in_several_rounds(
    at: Ground, world: TestWorld, payment_id: str
) -> None:
    await at.provider.authorize(authorize(payment_id))
    await at.provider.capture(capture(payment_id, 1, 300))
    ids = [world.mint("refund", 5) for _ in range(4)]
    told = [await at.provider.refund(refund(payment_id, ids[0], 1, 300))]
    told.append(await at.provider.refund(refund(payment_id, ids[1], 1, 1)))
    await at.provider.capture(capture(payment_id, 2, 700))
    told.append(await at.provider.refund(refund(payment_id, ids[2], 1, 500)))
    told.append(await at.provider.refund(refund(payment_id, ids[3], 1, 200)))
    assert [fact.refunds[-1].status.value for fact in told] == [
        "succeeded",
        "refused",
        "succeeded",
        "succeeded",
    ]
    over = await at.provider.refund(refund(payment_id, world.mint("refund", 5), 1, 1))
    assert (over.refunds[-1].status, over.refunds[-1].reason) == (
        RefundStatus.REFUSED,
        "charge_already_refunded",
    )
    known = await at.another().ask(payment_id)
    assert known is not None
    assert [fact.refund_id for fact in known.refunds] == [ids[0], ids[2], ids[3]]


@pytest.mark.parametrize("fault", [Fault.LOST_ANSWER, Fault.LOST_REQUEST, Fault.ERROR_500])
async def test_a_refund_without_an_answer_is_given_once(
    at: Ground, world: TestWorld, payment_id: str, fault: Fault
) -> None:
    await at.provider.authorize(authorize(payment_id, capture=True))
    call = refund(payment_id, world.mint("refund", 5), 1, 400)
    at.double.faults.append(fault)
    with pytest.raises(Unanswered):
        await at.provider.refund(call)
    asked = await at.provider.ask(payment_id)
    assert asked is not None
    assert bool(asked.refunds) == (fault is Fault.LOST_ANSWER)
    assert (await at.another().refund(call)).refunds[0].status is RefundStatus.SUCCEEDED
    assert len(at.double.books.refunds) == 1


async def test_a_refund_that_fails_later_is_refused_and_tried_again(
    at: Ground, world: TestWorld, payment_id: str
) -> None:
    await at.provider.authorize(authorize(payment_id, "pm_card_refundFail", capture=True))
    refund_id = world.mint("refund", 5)
    await at.provider.refund(refund(payment_id, refund_id, 1, 400))
    at.double.settle_refunds(payment_id)
    refused = [event.fact.refunds[0] for event in await at.heard() if event.fact.refunds]
    assert refused[-1].status is RefundStatus.REFUSED
    assert refused[-1].reason == "declined"
    assert [notice.kind for notice in at.notices][:1] == [NoticeKind.REFUND_FAILED]
    again = await at.provider.refund(refund(payment_id, refund_id, 2, 400))
    assert [(fact.attempt, fact.status.value) for fact in again.refunds] == [(1, "refused"), (2, "succeeded")]


async def test_a_pending_refund_is_pending_until_the_bank_says(
    at: Ground, world: TestWorld, payment_id: str
) -> None:
    await at.provider.authorize(authorize(payment_id, "pm_card_pendingRefund", capture=True))
    fact = await at.provider.refund(refund(payment_id, world.mint("refund", 5), 1, 400))
    assert fact.refunds[0].status is RefundStatus.PENDING
    at.double.settle_refunds(payment_id)
    assert (await at.heard())[-1].fact.refunds[0].status is RefundStatus.SUCCEEDED


REFUSED = [
    ("pm_card_visa", 29, "GBP", "payments.stripe_bounds"),
    ("pm_card_visa", 100_000_000, "GBP", "payments.stripe_bounds"),
    ("pm_card_visa", 1_234, "KWD", "payments.stripe_inexact"),
    ("pm_card_visa", 150, "MGA", "payments.stripe_inexact"),
    ("pm_card_visa", 1_000, "IQD", "payments.stripe_currency"),
    ("visa 4242", 1_000, "GBP", "payment_method_unknown"),
]


@pytest.mark.parametrize(("method", "amount", "currency", "reason"), REFUSED)
async def test_what_stripe_cannot_charge_is_declined_without_asking(
    at: Ground, payment_id: str, method: str, amount: int, currency: str, reason: str
) -> None:
    fact = await at.provider.authorize(authorize(payment_id, method, amount=amount, currency=currency))
    assert (fact.status, fact.reason) == (Status.DECLINED, reason)
    assert at.double.requests == []
    again = await at.provider.authorize(authorize(payment_id, attempt=2))
    assert (again.status, again.attempt) == (Status.AUTHORIZED, 2)


async def test_a_request_that_stripe_rejects_is_declined_and_somebody_looks(
    at: Ground, payment_id: str
) -> None:
    at.double.faults.append(Fault.ERROR_400)
    fact = await at.provider.authorize(authorize(payment_id))
    assert (fact.status, fact.reason) == (Status.DECLINED, "parameter_unknown")
    (notice,) = at.notices
    assert (notice.kind, notice.detail) == (NoticeKind.REJECTED, "parameter_unknown frills")
    again = await at.provider.authorize(authorize(payment_id, attempt=2))
    assert again.status is Status.AUTHORIZED


async def test_a_method_that_does_not_exist_is_the_buyers_affair(at: Ground, payment_id: str) -> None:
    fact = await at.provider.authorize(authorize(payment_id, "pm_card_nobodyKnows"))
    assert (fact.status, fact.reason) == (Status.DECLINED, "resource_missing")
    assert at.notices == []


async def test_a_capture_is_not_taken_again_when_its_key_is_forgotten(
    at: Ground, world: TestWorld, payment_id: str
) -> None:
    await at.provider.authorize(authorize(payment_id))
    at.double.faults.append(Fault.LOST_ANSWER)
    with pytest.raises(Unanswered):
        await at.provider.capture(capture(payment_id, 1, 300))
    world.advance(2 * KEY_TRUSTED_MS)
    assert (await at.another().capture(capture(payment_id, 1, 300))).captured_minor == 300
    assert (await at.provider.capture(capture(payment_id, 2, 300))).captured_minor == 600


async def test_an_attempt_that_somebody_else_finished_answers_for_itself(at: Ground, payment_id: str) -> None:
    await at.provider.authorize(authorize(payment_id, "pm_card_chargeDeclined", capture=True))
    calls = [at.another().authorize(authorize(payment_id, capture=True, attempt=2)) for _ in range(4)]
    facts = await asyncio.gather(*calls)
    assert {(fact.status, fact.captured_minor, fact.attempt) for fact in facts} == {
        (Status.AUTHORIZED, 1000, 2)
    }
    assert sum(one["amount_captured"] for one in at.double.books.charges.values()) == 1000


@pytest.mark.parametrize(
    ("currency", "minor", "sent"),
    [
        ("JPY", 500, 500),
        ("UGX", 500, 50_000),
        ("ISK", 500, 50_000),
        ("MGA", 50_000, 500),
        ("KWD", 5_120, 5_120),
    ],
)
async def test_amounts_go_out_and_come_back_exactly(
    at: Ground, world: TestWorld, payment_id: str, currency: str, minor: int, sent: int
) -> None:
    fact = await at.provider.authorize(authorize(payment_id, capture=True, amount=minor, currency=currency))
    assert at.double.intent_of(payment_id)["amount"] == sent
    assert (fact.authorized_minor, fact.captured_minor, fact.currency) == (minor, minor, currency)
    told = await at.provider.refund(refund(payment_id, world.mint("refund", 5), 1, minor))
    assert told.refunds[0].status is RefundStatus.SUCCEEDED


async def test_an_inexact_part_is_neither_captured_nor_refunded(
    at: Ground, world: TestWorld, payment_id: str
) -> None:
    await at.provider.authorize(authorize(payment_id, amount=5_120, currency="KWD"))
    fact = await at.provider.capture(capture(payment_id, 1, 1_001))
    assert (fact.captured_minor, fact.reason) == (0, "payments.stripe_inexact")
    await at.provider.capture(capture(payment_id, 1, 5_120))
    told = await at.provider.refund(refund(payment_id, world.mint("refund", 5), 1, 1_001))
    assert (told.refunds[0].status, told.refunds[0].reason) == (
        RefundStatus.REFUSED,
        "payments.stripe_inexact",
    )
    assert {notice.kind for notice in at.notices} == {NoticeKind.REJECTED}


async def test_confirmation_tokens_work_for_every_attempt(at: Ground, payment_id: str) -> None:
    declined = await at.provider.authorize(authorize(payment_id, "ctoken_card_chargeDeclined"))
    assert declined.status is Status.DECLINED
    fact = await at.provider.authorize(authorize(payment_id, "ctoken_card_visa", attempt=2))
    assert (fact.status, fact.attempt) == (Status.AUTHORIZED, 2)
