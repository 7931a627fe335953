"""The wires between the platform and its provider: calls get lost, webhooks come twice, late or in disorder."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, TypeVar

from tradepost.infra.payments.sandbox import SandboxProvider
from tradepost.testing.simulation.weather import UNANSWERED, UNHEARD, Weather
from tradepost.trade.payments import (
    AuthorizeCall,
    CaptureCall,
    ProviderEvent,
    ProviderFact,
    RefundCall,
    VoidCall,
)

T = TypeVar("T")
Outside = Callable[[Coroutine[Any, Any, Any]], "asyncio.Task[Any]"]
"""Starts a task that belongs to nobody who can crash."""


class ConnectionLost(Exception):
    """The other side went away, or the message did; whether it had an effect is unknown."""


class ProviderLine:
    """The provider as one incarnation of the platform reaches it: see `payments.PaymentProvider`."""

    def __init__(self, sandbox: SandboxProvider, weather: Weather, outside: Outside) -> None:
        self.name = sandbox.name
        self.dead = False
        self._sandbox = sandbox
        self._weather = weather
        self._outside = outside

    async def authorize(self, call: AuthorizeCall) -> ProviderFact:
        """See `PaymentProvider.authorize`."""
        return await self._call(lambda: self._sandbox.authorize(call))

    async def capture(self, call: CaptureCall) -> ProviderFact:
        """See `PaymentProvider.capture`."""
        return await self._call(lambda: self._sandbox.capture(call))

    async def void(self, call: VoidCall) -> ProviderFact:
        """See `PaymentProvider.void`."""
        return await self._call(lambda: self._sandbox.void(call))

    async def refund(self, call: RefundCall) -> ProviderFact:
        """See `PaymentProvider.refund`."""
        return await self._call(lambda: self._sandbox.refund(call))

    async def ask(self, payment_id: str) -> ProviderFact | None:
        """See `PaymentProvider.ask`."""
        return await self._call(lambda: self._sandbox.ask(payment_id))

    def parse_webhook(self, headers: Mapping[str, str], body: bytes, now_ms: int) -> ProviderEvent:
        """See `PaymentProvider.parse_webhook`."""
        return self._sandbox.parse_webhook(headers, body, now_ms)

    async def _call(self, act: Callable[[], Coroutine[Any, Any, T]]) -> T:
        plan = self._weather.call_plan()
        await asyncio.sleep(plan.out_s)
        if self.dead:
            raise asyncio.CancelledError
        if plan.lost == UNHEARD:
            await self._break()
        answer: T = await asyncio.shield(self._outside(act()))
        if plan.lost == UNANSWERED:
            await self._break()
        await asyncio.sleep(plan.back_s)
        return answer

    async def _break(self) -> None:
        await asyncio.sleep(self._weather.hang_s())
        raise TimeoutError("the line is silent")


def postman(
    weather: Weather, arrive: Callable[[Mapping[str, str], bytes], Awaitable[None]]
) -> Callable[[Mapping[str, str], bytes], Awaitable[None]]:
    """Carries webhooks; what it does not confirm the provider sends again, later than others: so order is lost."""

    async def deliver(headers: Mapping[str, str], body: bytes) -> None:
        plan = weather.post_plan()
        await asyncio.sleep(plan.under_way_s)
        for _ in range(plan.copies):
            await arrive(headers, body)
        if not plan.told:
            raise ConnectionLost

    return deliver
