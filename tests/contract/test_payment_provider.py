"""What every payment provider's adapter has to do, whoever it talks to."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import msgspec
import pytest
from tests.contract.stripe_ground import authorize, capture, ground, refund

from tradepost.infra.payments import standard_webhooks
from tradepost.infra.payments.sandbox import LATE_MS, SandboxProvider
from tradepost.infra.storage.sqlite import SqliteStorage
from tradepost.kernel.errors import Refusal
from tradepost.kernel.tx import Taken, Tx
from tradepost.testing.world import TestWorld
from tradepost.trade import payments
from tradepost.trade.payments import (
    STORE_CREDIT,
    STORED_VALUE,
    AuthorizeCall,
    PaymentProvider,
    ProviderEvent,
    ProviderFact,
    RefundStatus,
    Status,
    StoredValueProvider,
    VoidCall,
)

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
VECTORS = json.loads((Path(__file__).parent.parent / "data" / "standard_webhooks.json").read_text())

Pay = Callable[..., AuthorizeCall]
METHODS = {"sandbox": "sandbox_succeeds", "stripe": "pm_card_visa", STORED_VALUE: STORE_CREDIT}
"""Each adapter's method that stands for a payment that goes well."""
ONCE = {"sandbox": "sandbox_captures_once", "stripe": "pm_card_jcb"}
"""Each adapter's method whose first capture releases the rest; stored value has none."""


@pytest.fixture(params=METHODS)
def kind(request: pytest.FixtureRequest) -> str:
    """The adapter under test: the sandbox in this process, Stripe's over HTTP to its double, or our own ledger."""
    return str(request.param)


class Vault(StoredValueProvider):
    """Stored value of one buyer, whose payments are there when they are asked for, as placing an order makes them."""

    def __init__(self, db: SqliteStorage, world: TestWorld) -> None:
        super().__init__(db, world)
        self.db, self.world, self.buyer_id = db, world, world.mint("buyer", 5)

    async def fill(self, amount_minor: int) -> None:
        given = (self.buyer_id, "fill", amount_minor, "GBP", self.world.now_ms())
        await self.db.transact(self.db.shard_of(5), payments.issue_credit, *given)

    async def authorize(self, call: AuthorizeCall) -> ProviderFact:
        await self.db.transact(self.db.shard_of(5), self._open, call)
        return await super().authorize(call)

    def _open(self, tx: Tx, call: AuthorizeCall) -> None:
        portion = payments.Portion(
            order_id=self.world.mint("order", 5),
            seller_id="sel_1",
            amount_minor=call.amount_minor,
            fee_minor=0,
            tax_minor=0,
            market="GB",
        )
        intent = payments.NewIntent(
            payment_id=call.payment_id,
            checkout_id=self.world.mint("checkout", 5),
            buyer_id=self.buyer_id,
            provider=self.name,
            method=call.method,
            currency=call.currency,
            amount_minor=call.amount_minor,
            capture=payments.ON_SHIPMENT,
            portions=(portion,),
            at_ms=self.world.now_ms(),
        )
        with contextlib.suppress(Taken):
            payments.open_intents(tx, [intent])


@pytest.fixture
async def provider(kind: str, world: TestWorld, database_path: Path) -> AsyncIterator[PaymentProvider]:
    if kind == "sandbox":
        yield SandboxProvider(world, SECRET)
        return
    if kind == STORED_VALUE:
        db = SqliteStorage(database_path)
        vault = Vault(db, world)
        await vault.fill(1_000)
        yield vault
        assert await db.read(db.shard_of(5), payments.find_drift) == []
        await db.close()
        return
    async with ground(world) as made:
        yield made.provider


@pytest.fixture
def pay(kind: str) -> Pay:
    """The call that begins a payment that goes well."""
    return functools.partial(authorize, method=METHODS[kind])


@pytest.fixture
def payment_id(world: TestWorld) -> str:
    return world.mint("payment", 5)


async def test_authorize_is_idempotent_by_key(provider: PaymentProvider, pay: Pay, payment_id: str) -> None:
    first = await provider.authorize(pay(payment_id))
    assert (first.status, first.authorized_minor, first.captured_minor) == (Status.AUTHORIZED, 1000, 0)
    assert (first.payment_id, first.currency, first.attempt) == (payment_id, "GBP", 1)
    assert await provider.authorize(pay(payment_id)) == first


async def test_authorize_and_capture_at_once(provider: PaymentProvider, pay: Pay, payment_id: str) -> None:
    fact = await provider.authorize(pay(payment_id, capture=True))
    assert (fact.authorized_minor, fact.captured_minor) == (1000, 1000)


async def test_captures_are_cumulative_and_idempotent(
    provider: PaymentProvider, pay: Pay, payment_id: str
) -> None:
    await provider.authorize(pay(payment_id))
    totals = []
    for number, amount in ((1, 300), (1, 300), (2, 700), (2, 700), (3, 1)):
        totals.append((await provider.capture(capture(payment_id, number, amount))).captured_minor)
    assert totals == [300, 300, 1000, 1000, 1000]


@pytest.mark.parametrize("kind", ONCE, indirect=True)
async def test_where_one_capture_is_all_a_part_is_taken_only_as_the_last(
    provider: PaymentProvider, kind: str, payment_id: str
) -> None:
    fact = await provider.authorize(authorize(payment_id, ONCE[kind]))
    assert (fact.status, fact.captures_once) == (Status.AUTHORIZED, True)
    refused = await provider.capture(capture(payment_id, 1, 300))
    assert (refused.status, refused.captured_minor, refused.captures_once) == (Status.AUTHORIZED, 0, True)
    for _ in range(2):
        taken = await provider.capture(capture(payment_id, 1, 400, last=True))
        assert (taken.status, taken.captured_minor, taken.authorized_minor) == (Status.VOIDED, 400, 1000)
    assert (await provider.capture(capture(payment_id, 2, 600, last=True))).captured_minor == 400


@pytest.mark.parametrize("kind", ONCE, indirect=True)
async def test_where_one_capture_is_all_the_whole_is_taken_at_once(
    provider: PaymentProvider, kind: str, payment_id: str
) -> None:
    await provider.authorize(authorize(payment_id, ONCE[kind]))
    taken = await provider.capture(capture(payment_id, 1, 1000))
    assert (taken.status, taken.captured_minor) == (Status.AUTHORIZED, 1000)


async def test_void_releases_what_is_left(provider: PaymentProvider, pay: Pay, payment_id: str) -> None:
    await provider.authorize(pay(payment_id))
    await provider.capture(capture(payment_id, 1, 300))
    for _ in range(2):
        fact = await provider.void(VoidCall(key=f"{payment_id}.void.0", payment_id=payment_id))
        assert (fact.status, fact.captured_minor) == (Status.VOIDED, 300)
    assert (await provider.capture(capture(payment_id, 2, 300))).captured_minor == 300


async def test_a_payment_voided_before_it_was_seen_is_never_taken(
    provider: PaymentProvider, pay: Pay, payment_id: str
) -> None:
    fact = await provider.void(VoidCall(key=f"{payment_id}.void.0", payment_id=payment_id))
    assert fact.status is Status.VOIDED
    fact = await provider.authorize(pay(payment_id, capture=True))
    assert (fact.status, fact.captured_minor) == (Status.VOIDED, 0)


async def test_ask_tells_everything_or_nothing(
    provider: PaymentProvider, pay: Pay, payment_id: str, world: TestWorld
) -> None:
    assert await provider.ask(payment_id) is None
    await provider.authorize(pay(payment_id, capture=True))
    refund_id = world.mint("refund", 5)
    answered = await provider.refund(refund(payment_id, refund_id, 1, 400))
    assert await provider.ask(payment_id) == answered
    assert [(fact.refund_id, fact.attempt, fact.status) for fact in answered.refunds] == [
        (refund_id, 1, RefundStatus.SUCCEEDED)
    ]


async def test_refunds_are_idempotent_and_capped(
    provider: PaymentProvider, pay: Pay, payment_id: str, world: TestWorld
) -> None:
    await provider.authorize(pay(payment_id, capture=True))
    first, second = world.mint("refund", 5), world.mint("refund", 5)
    one = await provider.refund(refund(payment_id, first, 1, 600))
    assert await provider.refund(refund(payment_id, first, 1, 600)) == one
    fact = await provider.refund(refund(payment_id, second, 1, 401))
    assert {known.refund_id: known.status for known in fact.refunds} == {
        first: RefundStatus.SUCCEEDED,
        second: RefundStatus.REFUSED,
    }
    fact = await provider.refund(refund(payment_id, second, 2, 400))
    assert {known.status for known in fact.refunds} == {RefundStatus.SUCCEEDED}


async def test_a_webhook_without_our_signature_is_refused(
    provider: PaymentProvider, world: TestWorld
) -> None:
    for headers in ({}, standard_webhooks.sign(b"another key" * 3, "evt_1", world.now_ms() // 1000, b"{}")):
        with pytest.raises(Refusal) as caught:
            provider.parse_webhook(headers, b"{}", world.now_ms())
        assert caught.value.code == "payments.webhook_unsigned"


class Inbox:
    """Where the sandbox's webhooks go."""

    def __init__(self) -> None:
        self.got: list[tuple[Mapping[str, str], bytes]] = []
        self.failures = 0

    async def __call__(self, headers: Mapping[str, str], body: bytes) -> None:
        if self.failures:
            self.failures -= 1
            raise ConnectionError
        self.got.append((headers, body))

    def events(self, provider: SandboxProvider, world: TestWorld) -> list[ProviderEvent]:
        return [provider.parse_webhook(headers, body, world.now_ms()) for headers, body in self.got]


async def test_sandbox_webhooks_are_signed_and_repeated_until_taken(
    world: TestWorld, payment_id: str
) -> None:
    inbox = Inbox()
    inbox.failures = 2
    sandbox = SandboxProvider(world, SECRET, inbox)
    await sandbox.authorize(authorize(payment_id, capture=True, method="sandbox_pending_succeeds"))
    assert await sandbox.run_due(world.now_ms()) == 0
    moments = []
    while (due_ms := sandbox.next_due_ms()) is not None:
        moments.append(due_ms - world.now_ms())
        world.set_now(due_ms)
        await sandbox.run_due(due_ms)
    assert moments == [2_000, 5_000, 10_000]
    (event,) = inbox.events(sandbox, world)
    assert (event.fact.status, event.fact.captured_minor) == (Status.AUTHORIZED, 1000)
    headers, body = inbox.got[0]
    with pytest.raises(Refusal, match="five minutes"):
        sandbox.parse_webhook(headers, body, world.now_ms() + 301_000)


async def test_sandbox_twice_means_the_same_event(world: TestWorld, payment_id: str) -> None:
    inbox = Inbox()
    sandbox = SandboxProvider(world, SECRET, inbox)
    await sandbox.authorize(authorize(payment_id, capture=True, method="sandbox_webhook_twice"))
    assert await sandbox.settle() == 2
    first, second = inbox.events(sandbox, world)
    assert first == second


async def test_sandbox_signed_nonsense_is_refused(world: TestWorld) -> None:
    sandbox = SandboxProvider(world, SECRET)
    key, at_s = standard_webhooks.decode_secret(SECRET), world.now_ms() // 1000
    for body in (b"", b"[]", b'{"type":"x","data":{"payment_id":1}}', b'{"data":'):
        with pytest.raises(Refusal) as caught:
            sandbox.parse_webhook(standard_webhooks.sign(key, "evt_1", at_s, body), body, world.now_ms())
        assert caught.value.code == "payments.webhook_invalid"


async def test_sandbox_remembers_across_a_kill(world: TestWorld, payment_id: str, tmp_path: Path) -> None:
    path = tmp_path / "sandbox.jsonl"
    sandbox = SandboxProvider(world, SECRET, path=path)
    paid = await sandbox.authorize(authorize(payment_id, "sandbox_succeeds", capture=True))
    late = world.mint("payment", 6)
    await sandbox.authorize(authorize(late, capture=True, method="sandbox_webhook_late"))
    with path.open("ab") as file:
        file.write(b'{"payment_id":"torn')
    inbox = Inbox()
    again = SandboxProvider(world, SECRET, inbox, path=path)
    assert await again.ask(payment_id) == paid
    assert await again.authorize(authorize(payment_id, "sandbox_succeeds", capture=True)) == paid
    world.advance(LATE_MS)
    assert await again.run_due(world.now_ms()) == 1
    again.close()
    sandbox.close()
    third = SandboxProvider(world, SECRET, path=path)
    fact = await third.ask(late)
    assert fact is not None
    assert fact.captured_minor == 1000
    assert third.next_due_ms() is None
    third.close()


@pytest.mark.parametrize("vector", VECTORS["vectors"], ids=[v["name"] for v in VECTORS["vectors"]])
def test_standard_webhooks_vectors(vector: dict[str, object]) -> None:
    given = msgspec.convert(vector["headers"], dict[str, str])
    key = standard_webhooks.decode_secret(VECTORS["secret"])
    body, now_ms = str(vector["body"]).encode(), msgspec.convert(vector["now"], int) * 1000
    if vector["accept"]:
        assert standard_webhooks.verify(key, given, body, now_ms) == given["webhook-id"]
    else:
        with pytest.raises(Refusal) as caught:
            standard_webhooks.verify(key, given, body, now_ms)
        assert caught.value.code == "payments.webhook_unsigned"


@pytest.mark.parametrize(
    ("text", "fits"), [(SECRET, True), ("whsec_c2hvcnQ=", False), ("whsec_%%", False), ("", False)]
)
def test_what_may_be_a_secret(text: str, fits: bool) -> None:
    assert standard_webhooks.is_secret(text) is fits
    if fits:
        assert standard_webhooks.encode_secret(standard_webhooks.decode_secret(text)) == text
