"""What a provider's adapter says of chargebacks: the sandbox, or Stripe over HTTP to its double."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Protocol

import pytest
from tests.contract.stripe_ground import Ground, authorize, ground, refund

from tradepost.infra.payments.sandbox import SandboxProvider
from tradepost.kernel.errors import Refusal
from tradepost.testing.stripe_double import disputes
from tradepost.testing.world import TestWorld
from tradepost.trade.payments import DisputeFact, DisputeStatus, PaymentProvider, ProviderFact, RefundStatus
from tradepost.trade.payments.port import Naming
from tradepost.trade.payments.refund_rules import CHARGED_BACK_REASONS

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
METHODS = {"sandbox": "sandbox_succeeds", "stripe": "pm_card_visa"}


class Bank(Protocol):
    """The buyer's bank, and the provider that it speaks to."""

    provider: PaymentProvider

    async def withdraw(self, payment_id: str, amount_minor: int, *, won: bool) -> None:
        """Take an amount back (0: all); `won` is how it will end."""
        ...

    async def decide(self, payment_id: str) -> None:
        """Say how it ended."""
        ...

    async def heard(self) -> list[ProviderFact]:
        """What the house hears by webhooks, asking for what they do not tell."""
        ...


class SandboxBank:
    def __init__(self, world: TestWorld) -> None:
        self.webhooks: list[tuple[Mapping[str, str], bytes]] = []
        self.world = world
        self.sandbox = SandboxProvider(world, SECRET, self._receive)
        self.provider: PaymentProvider = self.sandbox

    async def _receive(self, headers: Mapping[str, str], body: bytes) -> None:
        self.webhooks.append((headers, body))

    async def withdraw(self, payment_id: str, amount_minor: int, *, won: bool) -> None:
        await self.sandbox.raise_dispute(payment_id, amount_minor, lost=not won)
        await self.sandbox.run_due(self.world.now_ms())

    async def decide(self, payment_id: str) -> None:
        await self.sandbox.settle()

    async def heard(self) -> list[ProviderFact]:
        now_ms = self.world.now_ms()
        return [self.provider.parse_webhook(*told, now_ms).fact for told in self.webhooks]


class StripeBank:
    def __init__(self, at: Ground) -> None:
        self.at = at
        self.provider: PaymentProvider = at.provider
        self.won = False

    async def withdraw(self, payment_id: str, amount_minor: int, *, won: bool) -> None:
        self.won = won
        self.at.double.dispute(payment_id, amount_minor)

    async def decide(self, payment_id: str) -> None:
        for dispute in self.at.double.books.disputes.values():
            disputes.end(self.at.double.books, dispute, won=self.won)

    async def heard(self) -> list[ProviderFact]:
        facts = []
        for event in await self.at.heard():
            fact: ProviderFact | None = event.fact
            if event.unnamed:
                assert isinstance(self.provider, Naming)
                fact = await self.provider.look_up(event.unnamed)
            assert fact is not None
            facts.append(fact)
        return facts


@pytest.fixture(params=METHODS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def bank(kind: str, world: TestWorld) -> AsyncIterator[Bank]:
    if kind == "sandbox":
        yield SandboxBank(world)
        return
    async with ground(world) as at:
        yield StripeBank(at)


@pytest.fixture
async def payment_id(bank: Bank, kind: str, world: TestWorld) -> str:
    found = world.mint("payment", 5)
    await bank.provider.authorize(authorize(found, METHODS[kind], capture=True))
    return found


def only(fact: ProviderFact | None) -> DisputeFact:
    assert fact is not None
    (found,) = fact.disputes
    return found


@pytest.mark.parametrize("won", [True, False])
async def test_a_chargeback_is_told_from_its_begin_to_its_end(bank: Bank, payment_id: str, won: bool) -> None:
    await bank.withdraw(payment_id, 700, won=won)
    opened = only(await bank.provider.ask(payment_id))
    assert (opened.amount_minor, opened.status, opened.reason) == (700, DisputeStatus.OPEN, "fraudulent")
    await bank.decide(payment_id)
    ended = only(await bank.provider.ask(payment_id))
    assert ended.status is (DisputeStatus.WON if won else DisputeStatus.LOST)
    assert (ended.dispute_ref, ended.amount_minor) == (opened.dispute_ref, 700)
    assert (ended.fee_minor, ended.fee_currency) == (opened.fee_minor, opened.fee_currency)


async def test_webhooks_tell_of_it_too(bank: Bank, payment_id: str) -> None:
    await bank.withdraw(payment_id, 0, won=False)
    await bank.decide(payment_id)
    told = [fact for fact in await bank.heard() if fact.disputes]
    assert {fact.payment_id for fact in told} == {payment_id}
    assert only(told[-1]).status is DisputeStatus.LOST
    assert only(told[-1]).amount_minor == 1000


@pytest.mark.parametrize("won", [True, False])
async def test_what_the_bank_has_is_not_refunded_unless_it_gives_it_back(
    bank: Bank, payment_id: str, world: TestWorld, won: bool
) -> None:
    await bank.withdraw(payment_id, 0, won=won)
    refund_id = world.mint("refund", 5)
    fact = await bank.provider.refund(refund(payment_id, refund_id, 1, 400))
    (refused,) = [one for one in fact.refunds if one.refund_id == refund_id]
    assert refused.status is RefundStatus.REFUSED
    assert refused.reason in CHARGED_BACK_REASONS
    assert only(fact).status is DisputeStatus.OPEN
    await bank.decide(payment_id)
    fact = await bank.provider.refund(refund(payment_id, refund_id, 2, 400))
    assert [one.status for one in fact.refunds if one.attempt == 2] == [
        RefundStatus.SUCCEEDED if won else RefundStatus.REFUSED
    ]


async def test_a_webhook_of_a_payment_that_is_not_there_is_nobodys(bank: Bank) -> None:
    if isinstance(bank.provider, Naming):
        assert await bank.provider.look_up("pi_of_nobody") is None
    with pytest.raises(Refusal):
        bank.provider.parse_webhook({}, b"{}", 1)
