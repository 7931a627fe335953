"""The Stripe provider: PaymentIntents and refunds behind the payment port.

One intent carries a payment through all its attempts. Keys are ours (payment id and step), so a repeat after a
crash or a timeout has the same effect; what is unknown is asked for, never assumed.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from tradepost.infra.payments.stripe_calls import (
    CONFIRMATION,
    Conflict,
    Declined,
    Rejected,
    StripeCalls,
    Unanswered,
)
from tradepost.infra.payments.stripe_facts import dispute_fact_of, fact_of, refund_facts_of
from tradepost.infra.payments.stripe_finding import KEY_TRUSTED_MS, Finder
from tradepost.infra.payments.stripe_http import open_client
from tradepost.infra.payments.stripe_money import to_charge, to_stripe
from tradepost.infra.payments.stripe_notices import Notice, NoticeKind, Notify, log_notice
from tradepost.infra.payments.stripe_settings import StripeAccount
from tradepost.infra.payments.stripe_shapes import Charge, Dispute, Intent
from tradepost.infra.payments.stripe_webhooks import EventReader
from tradepost.kernel.errors import Refusal
from tradepost.kernel.world import World
from tradepost.trade.payments import (
    AuthorizeCall,
    CaptureCall,
    DisputeFact,
    ProviderEvent,
    ProviderFact,
    RefundCall,
    RefundFact,
    RefundStatus,
    Status,
    VoidCall,
)

HOUR_MS = 3_600_000
TOMBSTONE_CURRENCY, TOMBSTONE_AMOUNT = "USD", 100
_METHODS = ("pm_", "card_", "src_", CONFIRMATION)
_BUYERS_PARAMS = frozenset({"payment_method", "confirmation_token"})
_BUYERS_CODES = frozenset({"amount_too_small", "amount_too_large"})
_STATE_CODES = frozenset({"payment_intent_unexpected_state", "charge_expired_for_capture"})
_SPENT_CODES = frozenset(
    {"charge_already_refunded", "charge_disputed", "insufficient_funds", "balance_insufficient"}
)


class StripeProvider:
    """See `PaymentProvider`. `notify` hears what an operator has to look at; close it with `aclose`.

    In the port's terms: a card captures once unless it allows several (`multicapture`); its last capture releases
    what is left, which the fact says by VOIDED beside what was captured.
    """

    def __init__(
        self, world: World, account: StripeAccount, notify: Notify = log_notice, *, name: str = "stripe"
    ) -> None:
        self.name = name
        self._world = world
        self._notify = notify
        client, self._transport = open_client(account)
        self._calls = StripeCalls(
            client,
            return_url=account.settings.return_url,
            multicapture=account.settings.multicapture,
            locked_out=self._locked_out,
        )
        self._finder = Finder(world, self._calls)
        self._reader = EventReader(account, notify)

    async def authorize(self, call: AuthorizeCall) -> ProviderFact:
        """See `PaymentProvider.authorize`. What Stripe cannot charge is declined without asking it."""
        try:
            amount = to_charge(call.amount_minor, call.currency)
        except Refusal as refusal:
            return _declined(call, refusal.code)
        if not call.method.startswith(_METHODS):
            return _declined(call, "payment_method_unknown")
        try:
            found = None
            if call.attempt > 1 or self._finder.age_ms(call.payment_id) > KEY_TRUSTED_MS:
                found = await self._finder.find(call.payment_id)
            intent = await (self._again(found, call) if found else self._create(call, amount))
        except Declined as declined:
            return (
                fact_of(self._finder.remember(declined.intent))
                if declined.intent
                else self._no(call, declined)
            )
        except Rejected as rejected:
            return self._no(call, rejected)
        return fact_of(intent)

    async def _create(self, call: AuthorizeCall, amount: int) -> Intent:
        key = f"{call.payment_id}.intent"
        try:
            return self._finder.remember(await self._calls.create(call, amount, key))
        except Conflict as conflict:
            found = await self._finder.find(call.payment_id)
            if found is not None:
                return await self._again(found, call)
            if call.attempt == 1:
                raise Unanswered("the key is taken and its intent not visible") from conflict
        # an earlier attempt spent the key without making an intent
        return self._finder.remember(await self._calls.create(call, amount, call.key))

    async def _again(self, intent: Intent, call: AuthorizeCall) -> Intent:
        """The next attempt on an intent that waits for one; any other intent answers for itself."""
        waits = intent.status == "requires_payment_method" or intent.is_idle
        if intent.is_tombstone or not waits or (intent.attempt >= call.attempt and not intent.is_idle):
            return intent
        try:
            if intent.attempt != call.attempt:
                await self._calls.prepare(intent.id, call)
            return await self._calls.confirm(intent.id, call)
        except (Conflict, Rejected) as error:
            if isinstance(error, Rejected) and error.trouble.code not in _STATE_CODES:
                raise
            return await self._calls.retrieve(intent.id)  # somebody was quicker

    def _no(self, call: AuthorizeCall, error: Rejected) -> ProviderFact:
        """Stripe refused the request itself: nothing was taken. Unless it is the buyer's, somebody has to see why."""
        reason = error.trouble.reason()
        theirs = error.trouble.param in _BUYERS_PARAMS or reason in _BUYERS_CODES
        if not (theirs or isinstance(error, Declined)):
            self._reject(call.payment_id, call.key, f"{reason} {error.trouble.param or ''}".strip())
        return _declined(call, reason)

    async def capture(self, call: CaptureCall) -> ProviderFact:
        """See `PaymentProvider.capture`. The intent keeps which captures it had: Stripe's keys last a day only."""
        intent = await self._own(call.payment_id)
        if intent.status != "requires_capture" or call.key in intent.captures:
            return _fact(intent, "not_capturable")
        try:
            amount = to_stripe(call.amount_minor, intent.currency.upper())
        except Refusal as refusal:
            self._reject(call.payment_id, call.key, refusal.detail)
            return _fact(intent, refusal.code)
        if not 0 < amount <= intent.amount_capturable:
            return _fact(intent, "exceeds_authorized")
        final = call.last or amount == intent.amount_capturable
        if not (final or _takes_several(intent)):
            return _fact(intent, "captures_once")
        try:
            taken = await self._calls.capture(intent, amount, call.key, final=final)
        except (Conflict, Rejected) as error:
            return await self._after(intent, call.key, error)
        return _fact(taken)

    async def _after(self, intent: Intent, key: str, error: Conflict | Rejected) -> ProviderFact:
        """What is true after a call that was not carried out."""
        now = await self._calls.retrieve(intent.id)
        if isinstance(error, Conflict):
            return _fact(now, "key_in_use")
        reason = error.trouble.reason()
        if reason not in _STATE_CODES and not isinstance(error, Declined):
            self._reject(intent.payment_id, key, reason)
        return _fact(now, reason)

    async def void(self, call: VoidCall) -> ProviderFact:
        """See `PaymentProvider.void`. A payment that Stripe has not seen gets an intent that can only be cancelled."""
        intent = await self._finder.find(call.payment_id)
        if intent is None:
            try:
                made = await self._calls.create_tombstone(
                    call.payment_id, TOMBSTONE_CURRENCY, TOMBSTONE_AMOUNT, f"{call.payment_id}.intent"
                )
            except Conflict as conflict:
                raise Unanswered("an authorization is under way") from conflict
            intent = self._finder.remember(made)
        if intent.status in ("succeeded", "canceled"):
            return _fact(intent)
        key = f"{call.key}.{intent.status}"  # Stripe repeats a refusal under its key even after the state changed
        try:
            if intent.amount_received:
                done = await self._calls.release(intent.id, key)
            else:
                done = await self._calls.cancel(intent.id, key)
        except (Conflict, Rejected) as error:
            return await self._after(intent, call.key, error)
        return _fact(done)

    async def refund(self, call: RefundCall) -> ProviderFact:
        """See `PaymentProvider.refund`."""
        intent = await self._own(call.payment_id)
        reason = ""
        try:
            amount = to_stripe(call.amount_minor, intent.currency.upper())
            await self._calls.refund(intent.id, call, amount)
        except Refusal as refusal:
            reason = refusal.code
        except Rejected as error:
            reason = error.trouble.reason()
            if reason not in _SPENT_CODES:
                self._reject(call.payment_id, call.key, reason)
        except Conflict:
            pass  # the refund made under this key is among those listed below, or the outcome stays open
        fact = await self._whole_fact(await self._calls.retrieve(intent.id))
        mine = (call.refund_id, call.attempt)
        if any((known.refund_id, known.attempt) == mine for known in fact.refunds):
            return fact
        if not reason:
            raise Unanswered("the refund is not visible yet")
        refused = RefundFact(
            refund_id=call.refund_id, attempt=call.attempt, status=RefundStatus.REFUSED, reason=reason
        )
        kept = [known for known in fact.refunds if known.refund_id != call.refund_id]
        return replace(fact, refunds=(*kept, refused))

    async def ask(self, payment_id: str) -> ProviderFact | None:
        """See `PaymentProvider.ask`. An attempt that was prepared and never confirmed was never heard of."""
        intent = await self._finder.find(payment_id)
        return None if intent is None or intent.is_idle else await self._whole_fact(intent)

    def parse_webhook(self, headers: Mapping[str, str], body: bytes, now_ms: int) -> ProviderEvent:
        """See `PaymentProvider.parse_webhook`; Refusal `payments.webhook_ignored` for what is of no concern."""
        event = self._reader.read(headers, body, now_ms)
        if event.fact.reference.startswith("pi_"):
            self._finder.remember_id(event.fact.payment_id, event.fact.reference)
        return event

    async def look_up(self, reference: str) -> ProviderFact | None:
        """See `Naming`: what an intent says now, with all its refunds and disputes."""
        try:
            intent = await self._calls.retrieve(reference)
        except Rejected as error:
            if error.trouble.code == "resource_missing":
                return None
            raise Unanswered(f"refused: {error}") from error
        if not intent.payment_id:
            return None
        return await self._whole_fact(self._finder.remember(intent), is_disputed=True)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.close_async()

    async def _own(self, payment_id: str) -> Intent:
        intent = await self._finder.find(payment_id)
        if intent is None:
            raise Refusal("payments.not_found", f"Stripe has no payment {payment_id[:60]!r}.")
        return intent

    async def _whole_fact(self, intent: Intent, *, is_disputed: bool = False) -> ProviderFact:
        """The fact with every refund of ours and every dispute; only money that was taken can have any."""
        if not intent.amount_received:
            return fact_of(intent)
        refunds = refund_facts_of(await self._calls.refunds(intent.id))
        told = await self._calls.disputes(intent.id) if is_disputed or intent.is_disputed else []
        ordered = sorted(told, key=lambda dispute: (dispute.created, dispute.id))
        facts = [self._dispute_fact(intent, dispute) for dispute in ordered]
        return fact_of(intent, refunds, [fact for fact in facts if fact is not None])

    def _dispute_fact(self, intent: Intent, dispute: Dispute) -> DisputeFact | None:
        """What our books can hold of a dispute, without its fee where only that is the trouble; the rest is a task."""
        try:
            return dispute_fact_of(dispute, intent.currency)
        except Refusal as refusal:
            if any(move.fee for move in dispute.balance_transactions):
                moves = tuple(replace(move, fee=0) for move in dispute.balance_transactions)
                return self._dispute_fact(intent, replace(dispute, balance_transactions=moves))
            self._notify(
                Notice(
                    key=f"dispute_unbooked.{dispute.id}",
                    kind=NoticeKind.DISPUTE,
                    at_ms=self._world.now_ms(),
                    payment_id=intent.payment_id,
                    reference=dispute.id,
                    amount=dispute.amount,
                    currency=dispute.currency.upper(),
                    detail=f"not booked: {refusal.code}",
                )
            )
            return None

    def _reject(self, payment_id: str, key: str, detail: str) -> None:
        self._notify(
            Notice(
                key=f"rejected.{key}",
                kind=NoticeKind.REJECTED,
                at_ms=self._world.now_ms(),
                payment_id=payment_id,
                detail=detail,
            )
        )

    def _locked_out(self, detail: str) -> None:
        at_ms = self._world.now_ms()
        self._notify(
            Notice(key=f"access.{at_ms // HOUR_MS}", kind=NoticeKind.ACCESS, at_ms=at_ms, detail=detail)
        )


def _fact(intent: Intent, reason: str = "") -> ProviderFact:
    fact = fact_of(intent)
    return fact if fact.reason or not reason else replace(fact, reason=reason)


def _declined(call: AuthorizeCall, reason: str) -> ProviderFact:
    return ProviderFact(
        payment_id=call.payment_id, status=Status.DECLINED, attempt=call.attempt, reason=reason
    )


def _takes_several(intent: Intent) -> bool:
    return isinstance(intent.latest_charge, Charge) and intent.latest_charge.takes_several()
