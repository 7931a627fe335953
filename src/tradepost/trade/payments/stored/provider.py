"""Stored value as a payment provider: it pays for a whole payment or declines, and refunds to where money came from.

Its books are rows of ours on the payment's shard, so each call is one transaction that may be repeated. What is set
aside has left the owner's account already; what is never captured comes back with the void.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec.structs import replace

from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import Storage, Tx
from tradepost.kernel.world import World
from tradepost.trade.payments.port import (
    AuthorizeCall,
    CaptureCall,
    ProviderEvent,
    ProviderFact,
    RefundCall,
    RefundFact,
    RefundStatus,
    Status,
    VoidCall,
)
from tradepost.trade.payments.store import find_payments
from tradepost.trade.payments.stored import store, value


class Tender(msgspec.Struct, frozen=True, kw_only=True):
    """What stored value did for one payment. Amounts in minor units."""

    payment_id: str
    owner_id: str
    currency: str
    attempt: int = 1
    status: Status = Status.PROCESSING
    authorized_minor: int = 0
    captured_minor: int = 0
    voided: bool = False
    keys: tuple[str, ...] = ()
    refunds: tuple[RefundFact, ...] = ()
    returned_minor: int = 0
    reason: str = ""

    def fact(self) -> ProviderFact:
        """What the port hears of it."""
        return ProviderFact(
            payment_id=self.payment_id,
            status=Status.VOIDED if self.voided else self.status,
            attempt=self.attempt,
            authorized_minor=self.authorized_minor,
            captured_minor=self.captured_minor,
            currency=self.currency,
            reason=self.reason,
            refunds=self.refunds,
        )


def _find(tx: Tx, payment_id: str) -> Tender | None:
    found = store.find_tender(tx, payment_id)
    return msgspec.json.decode(found, type=Tender) if found is not None else None


def _keep(tx: Tx, tender: Tender) -> ProviderFact:
    store.write_tender(tx, tender.payment_id, msgspec.json.encode(tender))
    return tender.fact()


def _known(tx: Tx, payment_id: str) -> Tender:
    tender = _find(tx, payment_id)
    if tender is None:
        raise Refusal("payments.not_found", f"No stored value was asked for {payment_id[:60]!r}.")
    return tender


def authorize(tx: Tx, call: AuthorizeCall, at_ms: int) -> ProviderFact:
    """Spend the owner's money, or decline. The owner is the payment's buyer."""
    payment = find_payments(tx, [call.payment_id]).get(call.payment_id)
    tender = _find(tx, call.payment_id)
    if tender is not None and (call.key in tender.keys or tender.voided or tender.authorized_minor):
        return tender.fact()
    if payment is None:
        raise Refusal("payments.not_found", f"There is no payment {call.payment_id[:60]!r}.")
    tender = tender or Tender(payment_id=call.payment_id, owner_id=payment.buyer_id, currency=call.currency)
    tender = replace(tender, attempt=call.attempt, keys=(*tender.keys, call.key))
    name = f"{call.payment_id}.stored.spend"
    if not value.spend(tx, tender.owner_id, name, call.amount_minor, call.currency, at_ms):
        return _keep(tx, replace(tender, status=Status.DECLINED, reason="too_little_stored_value"))
    return _keep(
        tx,
        replace(
            tender,
            status=Status.AUTHORIZED,
            authorized_minor=call.amount_minor,
            captured_minor=call.amount_minor if call.capture else 0,
            reason="",
        ),
    )


def capture(tx: Tx, call: CaptureCall) -> ProviderFact:
    """Take part of what was set aside."""
    tender = _known(tx, call.payment_id)
    total = tender.captured_minor + call.amount_minor
    if (
        call.key in tender.keys
        or tender.voided
        or not call.amount_minor > 0
        or total > tender.authorized_minor
    ):
        return tender.fact()
    return _keep(tx, replace(tender, captured_minor=total, keys=(*tender.keys, call.key)))


def void(tx: Tx, call: VoidCall, at_ms: int) -> ProviderFact:
    """Bring back what was set aside and not taken; a payment never heard of shall never be taken."""
    tender = _find(tx, call.payment_id) or Tender(payment_id=call.payment_id, owner_id="", currency="")
    left = tender.authorized_minor - tender.captured_minor
    if tender.voided or (tender.authorized_minor and not left):
        return tender.fact()
    if left:
        name = f"{call.payment_id}.stored.void"
        value.give_back(tx, tender.owner_id, name, left, tender.currency, at_ms)
    return _keep(tx, replace(tender, voided=True))


def refund(tx: Tx, call: RefundCall, at_ms: int) -> ProviderFact:
    """Give money back to the account it came from."""
    tender = _known(tx, call.payment_id)
    if call.key in tender.keys:
        return tender.fact()
    fits = tender.returned_minor + call.amount_minor <= tender.captured_minor
    done = RefundFact(
        refund_id=call.refund_id,
        attempt=call.attempt,
        status=RefundStatus.SUCCEEDED if fits else RefundStatus.REFUSED,
        reason="" if fits else "exceeds_captured",
    )
    if fits:
        name = f"{call.payment_id}.sref.{call.refund_id[-26:]}"
        value.give_back(tx, tender.owner_id, name, call.amount_minor, tender.currency, at_ms)
    others = tuple(one for one in tender.refunds if one.refund_id != call.refund_id)
    return _keep(
        tx,
        replace(
            tender,
            refunds=(*others, done),
            keys=(*tender.keys, call.key),
            returned_minor=tender.returned_minor + (call.amount_minor if fits else 0),
        ),
    )


def ask(tx: Tx, payment_id: str) -> ProviderFact | None:
    """What is known of a payment."""
    tender = _find(tx, payment_id)
    return tender.fact() if tender is not None else None


class StoredValueProvider:
    """See `PaymentProvider`. It answers at once and sends no webhooks."""

    def __init__(self, db: Storage, world: World) -> None:
        self.name = value.PROVIDER
        self._db = db
        self._world = world

    def _shard(self, payment_id: str) -> int:
        return self._db.shard_of(gene_of(payment_id))

    async def authorize(self, call: AuthorizeCall) -> ProviderFact:
        """See `PaymentProvider.authorize`."""
        return await self._db.transact(self._shard(call.payment_id), authorize, call, self._world.now_ms())

    async def capture(self, call: CaptureCall) -> ProviderFact:
        """See `PaymentProvider.capture`."""
        return await self._db.transact(self._shard(call.payment_id), capture, call)

    async def void(self, call: VoidCall) -> ProviderFact:
        """See `PaymentProvider.void`."""
        return await self._db.transact(self._shard(call.payment_id), void, call, self._world.now_ms())

    async def refund(self, call: RefundCall) -> ProviderFact:
        """See `PaymentProvider.refund`."""
        return await self._db.transact(self._shard(call.payment_id), refund, call, self._world.now_ms())

    async def ask(self, payment_id: str) -> ProviderFact | None:
        """See `PaymentProvider.ask`."""
        return await self._db.read(self._shard(payment_id), ask, payment_id)

    def parse_webhook(self, headers: Mapping[str, str], body: bytes, now_ms: int) -> ProviderEvent:
        """No webhook is ever sent: whoever claims to bring one is not us."""
        raise Refusal("payments.webhook_unsigned", "Stored value sends no webhooks.")
