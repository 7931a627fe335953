"""A provider behind a bulkhead, a time limit and a breaker: what it cannot take is not asked of it."""

from __future__ import annotations

from collections.abc import Mapping

from tradepost.stability.dependency import Dependency
from tradepost.trade.payments.port import (
    AuthorizeCall,
    CaptureCall,
    Naming,
    PaymentProvider,
    ProviderEvent,
    ProviderFact,
    RefundCall,
    VoidCall,
)


class Guarded:
    """The same provider. Its calls also raise Refusal `dependency.*`, which callers take as every other failure:
    the outcome is unknown, and a sweep asks."""

    def __init__(self, provider: PaymentProvider, dependency: Dependency) -> None:
        self.name = provider.name
        self.dependency = dependency
        self._provider = provider

    async def authorize(self, call: AuthorizeCall) -> ProviderFact:
        """See PaymentProvider."""
        return await self.dependency.run(lambda: self._provider.authorize(call))

    async def capture(self, call: CaptureCall) -> ProviderFact:
        """See PaymentProvider."""
        return await self.dependency.run(lambda: self._provider.capture(call))

    async def void(self, call: VoidCall) -> ProviderFact:
        """See PaymentProvider."""
        return await self.dependency.run(lambda: self._provider.void(call))

    async def refund(self, call: RefundCall) -> ProviderFact:
        """See PaymentProvider."""
        return await self.dependency.run(lambda: self._provider.refund(call))

    async def ask(self, payment_id: str) -> ProviderFact | None:
        """See PaymentProvider."""
        return await self.dependency.run(lambda: self._provider.ask(payment_id))

    async def look_up(self, reference: str) -> ProviderFact | None:
        """See `Naming`; None where the provider names every payment itself."""
        inner = self._provider
        return (
            await self.dependency.run(lambda: inner.look_up(reference)) if isinstance(inner, Naming) else None
        )

    def gauges(self) -> Mapping[str, int]:
        """Numbers for /metrics, by name."""
        return self.dependency.gauges()

    def parse_webhook(self, headers: Mapping[str, str], body: bytes, now_ms: int) -> ProviderEvent:
        """See PaymentProvider."""
        return self._provider.parse_webhook(headers, body, now_ms)
