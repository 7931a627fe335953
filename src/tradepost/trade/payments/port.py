"""The provider port: what an outside payment company is asked, and the facts it answers with.

Facts are cumulative ("captured so far"), so hearing one twice, late or out of order changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

import msgspec

from tradepost.kernel.errors import Kind, Refusal, declare_problems

declare_problems(
    {
        "payments.webhook_ignored": (
            Kind.UNPROCESSABLE,
            "The webhook is genuine and of no concern here",
            "Nothing: it is acknowledged. Register the endpoint for the events that the how-to lists.",
        ),
        "payments.webhook_unanswered": (
            Kind.OVERLOADED,
            "The provider did not say which payment its webhook is about",
            "Send the webhook again, as providers do by themselves.",
        ),
    }
)


class Status(StrEnum):
    """How far the provider has come with one attempt to pay."""

    PROCESSING = "processing"
    REQUIRES_ACTION = "requires_action"
    PENDING = "pending"
    AUTHORIZED = "authorized"
    DECLINED = "declined"
    VOIDED = "voided"


class RefundStatus(StrEnum):
    """What became of one attempt to give money back."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    REFUSED = "refused"


class RefundFact(msgspec.Struct, frozen=True, kw_only=True):
    """What the provider says about one refund; `attempt` is the one it speaks of."""

    refund_id: str
    attempt: int
    status: RefundStatus
    reason: str = ""


CHARGED_BACK = "charged_back"
"""The reason of a refused refund whose money a dispute holds or took: not to be tried again while that stands."""


class DisputeStatus(StrEnum):
    """How far the bank has come with a dispute: funds withdrawn, given back to us, or lost."""

    OPEN = "open"
    WON = "won"
    LOST = "lost"


class DisputeFact(msgspec.Struct, frozen=True, kw_only=True):
    """What the provider says about one dispute (chargeback): `amount_minor` is withdrawn from us while it is open.

    `dispute_ref` is the provider's own name of it; WON and LOST are final. `fee_minor` of `fee_currency` is what the
    provider ever took for it besides, `fee_back_minor` what it ever gave back of that.
    """

    dispute_ref: str
    amount_minor: int
    status: DisputeStatus
    reason: str = ""
    fee_minor: int = 0
    fee_back_minor: int = 0
    fee_currency: str = ""


class ProviderFact(msgspec.Struct, frozen=True, kw_only=True):
    """What the provider says about one payment. Amounts are totals since its beginning, in minor units.

    A provider authorizes the whole amount or nothing. `attempt` is the try that `status` speaks of.
    `captures_once` says that the first capture of this payment releases the rest, and `capture_before_ms` until when
    what is set aside can be taken (0: the provider does not say).
    """

    payment_id: str
    status: Status
    attempt: int = 1
    authorized_minor: int = 0
    captured_minor: int = 0
    currency: str = ""
    redirect_url: str = ""
    reference: str = ""
    reason: str = ""
    refunds: tuple[RefundFact, ...] = ()
    disputes: tuple[DisputeFact, ...] = ()
    captures_once: bool = False
    capture_before_ms: int = 0


class ProviderEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook whose signature was verified. `event_id` is the same for every delivery of it.

    One that names a payment only by the provider's own id has that as `unnamed` and no fact: see `Naming`.
    """

    event_id: str
    fact: ProviderFact
    unnamed: str = ""


class AuthorizeCall(msgspec.Struct, frozen=True, kw_only=True):
    """Set the amount aside, or take it at once with `capture`. `key` makes the call safe to repeat."""

    key: str
    payment_id: str
    attempt: int
    amount_minor: int
    currency: str
    method: str
    capture: bool


class CaptureCall(msgspec.Struct, frozen=True, kw_only=True):
    """Take part of what was set aside; after the `last` one nothing more is wanted, and the rest may be released."""

    key: str
    payment_id: str
    amount_minor: int
    last: bool = False


class VoidCall(msgspec.Struct, frozen=True, kw_only=True):
    """Give up what was set aside and not taken; a payment the provider has not seen shall never be taken."""

    key: str
    payment_id: str


class RefundCall(msgspec.Struct, frozen=True, kw_only=True):
    """Give back part of what was taken."""

    key: str
    payment_id: str
    refund_id: str
    attempt: int
    amount_minor: int


class PaymentProvider(Protocol):
    """An outside party. Any exception or timeout of a call means that its outcome is unknown."""

    name: str

    async def authorize(self, call: AuthorizeCall) -> ProviderFact:
        """Start or repeat one attempt."""
        ...

    async def capture(self, call: CaptureCall) -> ProviderFact:
        """Take money; when the provider says no, the fact's total has not grown and `reason` says why.

        A part that is not the `last` is refused with `captures_once` where taking it would release the rest.
        """
        ...

    async def void(self, call: VoidCall) -> ProviderFact:
        """Release what is left; when the provider cannot, the fact's status is not VOIDED."""
        ...

    async def refund(self, call: RefundCall) -> ProviderFact:
        """Give money back; the outcome is the entry of `refunds` with this refund id and attempt."""
        ...

    async def ask(self, payment_id: str) -> ProviderFact | None:
        """All the provider knows of a payment; None when it has never heard of it."""
        ...

    def parse_webhook(self, headers: Mapping[str, str], body: bytes, now_ms: int) -> ProviderEvent:
        """Verify and decode. Raises Refusal `payments.webhook_unsigned` or `payments.webhook_invalid`."""
        ...


@runtime_checkable
class Naming(Protocol):
    """A provider some of whose webhooks do not tell which payment of ours they are about."""

    async def look_up(self, reference: str) -> ProviderFact | None:
        """All the provider knows of the payment it calls by this name; None when it is not one of ours."""
        ...


@runtime_checkable
class Gauged(Protocol):
    """A provider that has numbers for /metrics."""

    def gauges(self) -> Mapping[str, int]:
        """Numbers by name."""
        ...


class Providers:
    """The providers this process may call, by name, and how long it waits for each of them."""

    def __init__(self, *providers: PaymentProvider, call_timeout_ms: int = 10_000) -> None:
        self._by_name = {provider.name: provider for provider in providers}
        self._ignored = dict.fromkeys(self._by_name, 0)
        self.call_timeout_ms = call_timeout_ms
        self._waiting: set[Any] = set()

    def of(self, name: str) -> PaymentProvider:
        """The provider of this name. Raises Refusal `payments.provider_unknown`."""
        found = self._by_name.get(name)
        if found is None:
            raise Refusal(
                "payments.provider_unknown",
                f"There is no payment provider {name[:60]!r} here.",
                field="provider",
                expected=" or ".join(sorted(self._by_name)),
            )
        return found

    def join(self, provider: PaymentProvider) -> None:
        """Add a provider that is made later than the others; one of its name gives way."""
        self._by_name[provider.name] = provider
        self._ignored.setdefault(provider.name, 0)

    @contextmanager
    def waited_for(self) -> Iterator[None]:
        """Note that the present task waits for a provider inside."""
        task = asyncio.current_task()
        self._waiting.add(task)
        try:
            yield
        finally:
            self._waiting.discard(task)

    def is_waited_for_by(self, task: Any) -> bool:
        """Whether this task waits for a provider just now."""
        return task in self._waiting

    def note_ignored(self, name: str) -> None:
        """Count a genuine webhook of this provider that needed nothing here."""
        self._ignored[name] += 1

    def gauges(self) -> Mapping[str, int]:
        """Numbers for /metrics, by name: webhooks ignored, and what guards a provider."""
        found = {f"webhooks_ignored_{name}": count for name, count in self._ignored.items()}
        for provider in self._by_name.values():
            if isinstance(provider, Gauged):
                found |= provider.gauges()
        return found
