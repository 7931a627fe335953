"""A Stripe provider and the double it talks to over HTTP: what the tests of Stripe stand on."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from tradepost.infra.payments.stripe import StripeProvider
from tradepost.infra.payments.stripe_notices import Notice
from tradepost.infra.payments.stripe_settings import StripeAccount, StripeSettings, open_account
from tradepost.kernel.errors import Refusal
from tradepost.services.ports import reserve_ports
from tradepost.testing.stripe_double import StripeDouble, serving
from tradepost.testing.world import TestWorld
from tradepost.trade.payments import AuthorizeCall, CaptureCall, ProviderEvent, RefundCall, VoidCall

API_KEY = "sk_test_51DoubleKeyThatOpensNothing"
WEBHOOK_SECRETS = ("whsec_double_secret_of_this_endpoint", "whsec_double_secret_after_rotation")


def account_for(base_url: str, **changes: Any) -> StripeAccount:
    """An account at a test address, with several captures unless told otherwise."""
    facts: dict[str, Any] = {
        "base_url": base_url,
        "return_url": "https://shop.example/orders/{payment_id}",
        "multicapture": True,
        "connect_timeout_ms": 2_000,
        "read_timeout_ms": 2_000,
    }
    environment = {"STRIPE_API_KEY": API_KEY, "STRIPE_WEBHOOK_SECRETS": " ".join(WEBHOOK_SECRETS)}
    return open_account(StripeSettings(**(facts | changes)), environment, production=False)


class Ground:
    """One provider, its double, the notices for operators and the webhooks that arrived."""

    def __init__(self, world: TestWorld, double: StripeDouble, account: StripeAccount) -> None:
        self.world, self.double, self.account = world, double, account
        self.notices: list[Notice] = []
        self.webhooks: list[tuple[Mapping[str, str], bytes]] = []
        self.providers: list[StripeProvider] = []
        self.provider = self.another()
        double.deliver_to(self.receive)

    async def receive(self, headers: Mapping[str, str], body: bytes) -> None:
        self.webhooks.append((headers, body))

    def another(self) -> StripeProvider:
        """A provider of another process: it remembers nothing."""
        self.providers.append(StripeProvider(self.world, self.account, self.notices.append))
        return self.providers[-1]

    async def heard(self) -> list[ProviderEvent]:
        """What the house hears of the webhooks that wait now; the ignored ones left out."""
        self.webhooks.clear()
        await self.double.deliver_all()
        events = []
        for headers, body in self.webhooks:
            try:
                events.append(self.provider.parse_webhook(headers, body, self.world.now_ms()))
            except Refusal as refusal:
                if refusal.code != "payments.webhook_ignored":
                    raise
        return events

    def calls(self) -> Iterator[tuple[str, str]]:
        """Method and path of each request so far."""
        return ((request.method, request.path) for request in self.double.requests)


@contextlib.asynccontextmanager
async def ground(world: TestWorld, **changes: Any) -> AsyncIterator[Ground]:
    """A ground that stands while the block runs."""
    double = StripeDouble(world, API_KEY, WEBHOOK_SECRETS)
    (port,) = reserve_ports(1)
    async with serving(double, port) as url:
        made = Ground(world, double, account_for(url, **changes))
        try:
            yield made
        finally:
            for provider in made.providers:
                await provider.aclose()


def authorize(
    payment_id: str,
    method: str = "pm_card_visa",
    *,
    capture: bool = False,
    attempt: int = 1,
    amount: int = 1000,
    currency: str = "GBP",
) -> AuthorizeCall:
    return AuthorizeCall(
        key=f"{payment_id}.authorize.{attempt}",
        payment_id=payment_id,
        attempt=attempt,
        amount_minor=amount,
        currency=currency,
        method=method,
        capture=capture,
    )


def capture(payment_id: str, number: int, amount: int, *, last: bool = False) -> CaptureCall:
    key = f"{payment_id}.capture.{number}"
    return CaptureCall(key=key, payment_id=payment_id, amount_minor=amount, last=last)


def void(payment_id: str) -> VoidCall:
    return VoidCall(key=f"{payment_id}.void.0", payment_id=payment_id)


def refund(payment_id: str, refund_id: str, attempt: int, amount: int) -> RefundCall:
    return RefundCall(
        key=f"{refund_id}.{attempt}",
        payment_id=payment_id,
        refund_id=refund_id,
        attempt=attempt,
        amount_minor=amount,
    )
