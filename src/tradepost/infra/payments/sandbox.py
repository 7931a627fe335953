"""The sandbox provider: an outside party with a memory of its own, and a named method for each way it can go."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import msgspec

from tradepost.infra.payments import standard_webhooks
from tradepost.infra.payments.sandbox_book import Account, Book, Delivery
from tradepost.infra.payments.sandbox_shared import SharedBook
from tradepost.kernel.errors import Refusal
from tradepost.kernel.world import World
from tradepost.trade.payments import (
    CHARGED_BACK,
    AuthorizeCall,
    CaptureCall,
    DisputeFact,
    DisputeStatus,
    ProviderEvent,
    ProviderFact,
    RefundCall,
    RefundFact,
    RefundStatus,
    Status,
    VoidCall,
)

Deliver = Callable[[Mapping[str, str], bytes], Awaitable[None]]

SOON_MS = 2_000
LATE_MS = 7_200_000
DISPUTE_MS = 3_600_000
"""How long the sandbox's banks think about a dispute."""
REDELIVERIES_MAX = 8
REDELIVER_AFTER_MS = 5_000

METHODS: dict[str, str] = {
    "sandbox_succeeds": "paid at once",
    "sandbox_declines": "declined at once",
    "sandbox_redirect": "needs the buyer on the provider's page, then paid or declined",
    "sandbox_pending_succeeds": "stays pending, then paid",
    "sandbox_pending_fails": "stays pending, then declined",
    "sandbox_timeout_succeeded": "the call times out, but the money was taken",
    "sandbox_webhook_twice": "paid at once, its webhook comes twice",
    "sandbox_webhook_first": "the webhook comes before the answer to the call",
    "sandbox_webhook_late": "pending, cannot be voided, paid two hours later",
    "sandbox_captures_once": "paid; of what is set aside one capture can be made, which releases the rest",
    "sandbox_refund_refused_once": "paid at once; each refund is refused once",
    "sandbox_refund_refused": "paid at once; every refund is refused",
}
"""Test methods, and what each does."""

_PAID = "paid"
_DECLINED = "declined"
_WON, _LOST = "dispute_won", "dispute_lost"


class _Document(msgspec.Struct, frozen=True, kw_only=True):
    type: str
    data: ProviderFact


_decode = msgspec.json.Decoder(_Document).decode
_encode = msgspec.json.Encoder().encode


class SandboxProvider:
    """See `PaymentProvider`. `deliver(headers, body)` is where its webhooks go; one that raises is sent again.

    Its memory is this process's own, kept in the file `path`, or the file `shared` of several processes.
    Nothing happens by itself: `run_due(now_ms)` does what has fallen due, `settle()` everything there is.
    """

    def __init__(
        self,
        world: World,
        secret: str,
        deliver: Deliver | None = None,
        *,
        path: Path | None = None,
        shared: Path | None = None,
        name: str = "sandbox",
    ) -> None:
        self.name = name
        self._world = world
        self._key = standard_webhooks.decode_secret(secret)
        self._deliver = deliver
        self._book = Book(path) if shared is None else SharedBook(shared)

    def deliver_to(self, deliver: Deliver) -> None:
        """Name where webhooks go, once that is known."""
        self._deliver = deliver

    async def authorize(self, call: AuthorizeCall) -> ProviderFact:
        """See `PaymentProvider.authorize`. Raises TimeoutError for the method that times out."""
        account = self._book.find(call.payment_id)
        if account is None:
            account = Account(payment_id=call.payment_id)
        if call.key in account.keys or account.voided:
            return account.fact(self.name)
        account.keys.append(call.key)
        account.method, account.currency = call.method, call.currency
        account.reason = ""
        account.amount, account.capture, account.attempt = call.amount_minor, call.capture, call.attempt
        self._begin(account)
        self._book.keep(account)
        if call.method == "sandbox_timeout_succeeded":
            raise TimeoutError("the sandbox does not answer")
        if call.method == "sandbox_webhook_first":
            await self.run_due(self._world.now_ms())
        return account.fact(self.name)

    def _begin(self, account: Account) -> None:
        method = account.method
        if method == "sandbox_redirect":
            account.status = Status.REQUIRES_ACTION
        elif method in ("sandbox_pending_succeeds", "sandbox_pending_fails", "sandbox_webhook_late"):
            account.status = Status.PENDING
            outcome = _DECLINED if method == "sandbox_pending_fails" else _PAID
            self._plan(account, LATE_MS if method == "sandbox_webhook_late" else SOON_MS, outcome)
        elif method == "sandbox_declines" or method not in METHODS:
            self._decide(account, _DECLINED)
        else:
            self._decide(account, _PAID)
            if method == "sandbox_webhook_twice":
                self._plan(account, SOON_MS, "", copies=2)
            elif method in ("sandbox_webhook_first", "sandbox_timeout_succeeded"):
                self._plan(account, 0 if method == "sandbox_webhook_first" else SOON_MS * 2, "")

    def _plan(self, account: Account, after_ms: int, outcome: str, copies: int = 1) -> None:
        account.events += 1
        event_id = f"evt_{account.payment_id[-26:]}_{account.events}"
        at_ms = self._world.now_ms() + after_ms
        body = "" if outcome else self._document(account).decode()
        account.due += [
            Delivery(event_id=event_id, at_ms=at_ms + copy, outcome=outcome, body=body)
            for copy in range(copies)
        ]

    def _decide(self, account: Account, outcome: str) -> None:
        verdict, _, ref = outcome.partition(" ")
        if verdict in (_WON, _LOST):
            known = account.disputes[ref]
            status = DisputeStatus.WON if verdict == _WON else DisputeStatus.LOST
            account.disputes[ref] = msgspec.structs.replace(known, status=status)
            return
        if account.voided or account.authorized:
            return
        if outcome == _DECLINED:
            account.status, account.reason = Status.DECLINED, "card_declined"
            return
        account.status = Status.AUTHORIZED
        account.authorized = account.amount
        account.captured = account.amount if account.capture else 0

    async def complete_redirect(self, payment_id: str, *, paid: bool = True) -> ProviderFact:
        """The buyer finished on the provider's page; a webhook tells. Raises Refusal `payments.not_found`."""
        account = self._known(payment_id)
        if account.status is Status.REQUIRES_ACTION:
            self._decide(account, _PAID if paid else _DECLINED)
            self._plan(account, 0, "")
            self._book.keep(account)
        return account.fact(self.name)

    async def raise_dispute(
        self, payment_id: str, amount_minor: int = 0, *, lost: bool = True, after_ms: int = DISPUTE_MS
    ) -> ProviderFact:
        """The buyer's bank withdraws an amount (0: all that is left) and decides after a while; webhooks tell.

        What was refunded before is won by us: the bank sees that the buyer has it. Raises Refusal
        `payments.not_found`; a payment of which nothing is captured has nothing to dispute.
        """
        account = self._known(payment_id)
        left = account.captured - account.returned() - account.withdrawn()
        amount = min(amount_minor or left, account.captured)
        if amount <= 0:
            return account.fact(self.name)
        ref = f"dp_{payment_id[-26:]}_{len(account.disputes) + 1}"
        account.disputes[ref] = DisputeFact(
            dispute_ref=ref, amount_minor=amount, status=DisputeStatus.OPEN, reason="fraudulent"
        )
        self._plan(account, 0, "")
        self._plan(account, after_ms, f"{_LOST if lost and amount <= left else _WON} {ref}")
        self._book.keep(account)
        return account.fact(self.name)

    async def capture(self, call: CaptureCall) -> ProviderFact:
        """See `PaymentProvider.capture`."""
        account = self._known(call.payment_id)
        if call.key not in account.keys:
            total = account.captured + call.amount_minor
            fits = total <= account.authorized and not account.voided and call.amount_minor > 0
            if fits and (call.last or total == account.authorized or not account.captures_once):
                account.keys.append(call.key)
                account.captured = total
                account.voided = account.captures_once and total < account.authorized
                self._book.keep(account)
        return account.fact(self.name)

    async def void(self, call: VoidCall) -> ProviderFact:
        """See `PaymentProvider.void`. The late method is past voiding."""
        account = self._book.find(call.payment_id) or Account(payment_id=call.payment_id)
        too_late = account.method == "sandbox_webhook_late" and not account.authorized
        whole = account.authorized and account.captured == account.authorized
        if not (account.voided or too_late or whole):
            account.voided = True
            self._book.keep(account)
        return account.fact(self.name)

    async def refund(self, call: RefundCall) -> ProviderFact:
        """See `PaymentProvider.refund`."""
        account = self._known(call.payment_id)
        if call.key in account.keys:
            return account.fact(self.name)
        account.keys.append(call.key)
        refused = account.method == "sandbox_refund_refused" or (
            account.method == "sandbox_refund_refused_once" and call.attempt == 1
        )
        reason = "refused_by_bank" if refused else ""
        if not refused and account.returned() + call.amount_minor > account.captured:
            refused, reason = True, "exceeds_captured"
        elif not refused and account.returned() + account.withdrawn() + call.amount_minor > account.captured:
            refused, reason = True, CHARGED_BACK
        account.refunded[call.refund_id] = call.amount_minor
        account.refunds[call.refund_id] = RefundFact(
            refund_id=call.refund_id,
            attempt=call.attempt,
            status=RefundStatus.REFUSED if refused else RefundStatus.SUCCEEDED,
            reason=reason,
        )
        self._book.keep(account)
        return account.fact(self.name)

    async def ask(self, payment_id: str) -> ProviderFact | None:
        """See `PaymentProvider.ask`."""
        account = self._book.find(payment_id)
        return account.fact(self.name) if account is not None else None

    def parse_webhook(self, headers: Mapping[str, str], body: bytes, now_ms: int) -> ProviderEvent:
        """See `PaymentProvider.parse_webhook`."""
        event_id = standard_webhooks.verify(self._key, headers, body, now_ms)
        try:
            return ProviderEvent(event_id=event_id, fact=_decode(body).data)
        except msgspec.DecodeError as error:
            raise Refusal("payments.webhook_invalid", str(error), field="body") from error

    def _known(self, payment_id: str) -> Account:
        account = self._book.find(payment_id)
        if account is None:
            raise Refusal("payments.not_found", f"The sandbox has no payment {payment_id[:60]!r}.")
        return account

    def _document(self, account: Account) -> bytes:
        return _encode(_Document(type="payment.updated", data=account.fact(self.name)))

    async def run_due(self, now_ms: int | None) -> int:
        """Do what has fallen due, earliest first; the number of webhooks sent. None: without regard to time."""
        sent = 0
        while (found := self._book.next_due(now_ms)) is not None:
            account, delivery = found
            account.due.remove(delivery)
            if delivery.outcome:
                self._decide(account, delivery.outcome)
                delivery.outcome, delivery.body = "", self._document(account).decode()
            self._book.keep(account)
            sent += await self._send(account, delivery)
        return sent

    async def settle(self) -> int:
        """Do everything that is planned, whenever it would fall due; the number of webhooks sent."""
        return await self.run_due(None)

    def next_due_ms(self) -> int | None:
        """When something falls due next, for whoever runs the clock."""
        return self._book.next_moment()

    async def _send(self, account: Account, delivery: Delivery) -> bool:
        if self._deliver is None:
            return False
        body = delivery.body.encode()
        at_ms = self._world.now_ms()
        try:
            await self._deliver(
                standard_webhooks.sign(self._key, delivery.event_id, at_ms // 1000, body), body
            )
        except Exception:
            if delivery.tries < REDELIVERIES_MAX:
                after_ms = REDELIVER_AFTER_MS << delivery.tries
                account.due.append(
                    Delivery(
                        event_id=delivery.event_id,
                        at_ms=at_ms + after_ms,
                        body=delivery.body,
                        tries=delivery.tries + 1,
                    )
                )
                self._book.keep(account)
            return False
        return True

    def close(self) -> None:
        """Close the file of its memory."""
        self._book.close()
