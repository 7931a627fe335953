"""Every request we send is accepted by stripe-mock, which knows Stripe's own description of its API, and every
answer it gives is read; and the double answers in the same shapes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import msgspec
import pytest
from tests.contract.stripe_ground import (
    API_KEY,
    WEBHOOK_SECRETS,
    account_for,
    authorize,
    ground,
    refund,
)

from tradepost.infra.payments.stripe_calls import Rejected, StripeCalls
from tradepost.infra.payments.stripe_http import open_client
from tradepost.infra.payments.stripe_shapes import Charge, Dispute, Event
from tradepost.services.testing import running
from tradepost.testing.stripe_double import StripeDouble
from tradepost.testing.stripe_double.books import API_VERSION
from tradepost.testing.world import TestWorld

pytestmark = pytest.mark.server("stripe-mock")
INTENT = "pi_1"


@pytest.fixture(scope="module")
def mock_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running("stripe-mock", folder=tmp_path_factory.mktemp("stripe-mock")) as servers:
        yield servers["stripe-mock"].url


@pytest.fixture
async def calls(mock_url: str) -> AsyncIterator[StripeCalls]:
    account = account_for(mock_url)
    client, transport = open_client(account)
    locked: list[str] = []
    yield StripeCalls(
        client, return_url=account.settings.return_url, multicapture=True, locked_out=locked.append
    )
    await transport.close_async()
    assert locked == []


@pytest.mark.parametrize("capture", [True, False])
@pytest.mark.parametrize("method", ["pm_card_visa", "ctoken_1"])
@pytest.mark.parametrize("currency", ["GBP", "JPY", "KWD"])
async def test_create(
    calls: StripeCalls, world: TestWorld, capture: bool, method: str, currency: str
) -> None:
    call = authorize(world.mint("payment", 5), method, capture=capture, currency=currency)
    intent = await calls.create(call, 5_120, call.key)
    assert (intent.amount, intent.currency) == (5_120, currency.lower())


@pytest.mark.parametrize("method", ["pm_card_visa", "ctoken_1"])
async def test_the_next_attempt(calls: StripeCalls, world: TestWorld, method: str) -> None:
    call = authorize(world.mint("payment", 5), method, attempt=2)
    assert (await calls.prepare(INTENT, call)).id
    assert (await calls.confirm(INTENT, call)).id


async def test_everything_else(calls: StripeCalls, world: TestWorld) -> None:
    payment_id = world.mint("payment", 5)
    assert (await calls.create_tombstone(payment_id, "USD", 100, "k")).amount == 100
    retrieved = await calls.retrieve(INTENT)
    assert retrieved.id
    assert retrieved.latest_charge is None or isinstance(retrieved.latest_charge, Charge)
    for amount, final in ((300, False), (700, True)):
        assert (await calls.capture(retrieved, amount, f"{payment_id}.capture.1", final=final)).id
    assert (await calls.release(INTENT, "k")).id
    assert (await calls.cancel(INTENT, "k")).id
    assert all(found.id for found in await calls.search(payment_id))
    found, whole = await calls.list_since(1_790_000_000, 2)
    assert found
    assert whole
    made = await calls.refund(INTENT, refund(payment_id, world.mint("refund", 5), 1, 400), 400)
    assert made.amount == 400
    assert all(one.id for one in await calls.refunds(INTENT))
    assert all(one.id for one in await calls.disputes(INTENT))


async def test_what_does_not_fit_stripe_s_description_is_rejected(calls: StripeCalls) -> None:
    with pytest.raises(Rejected):
        await calls.create_tombstone("p", "USD", "all of it", "k")  # type: ignore[arg-type]


async def documents(mock_url: str) -> dict[str, dict[str, Any]]:
    """One document of each kind, as the mock answers it."""
    paths = {
        "payment_intent": "/v1/payment_intents/pi_1",
        "charge": "/v1/charges/ch_1",
        "refund": "/v1/refunds/re_1",
        "dispute": "/v1/disputes/du_1",
        "event": "/v1/events/evt_1",
    }
    async with httpx.AsyncClient(base_url=mock_url, headers={"Authorization": f"Bearer {API_KEY}"}) as client:
        return {kind: (await client.get(path)).json() for kind, path in paths.items()}


async def test_events_and_disputes_are_read(mock_url: str) -> None:
    found = await documents(mock_url)
    assert msgspec.convert(found["dispute"], Dispute).amount == found["dispute"]["amount"]
    assert msgspec.convert(found["charge"], Charge).amount == found["charge"]["amount"]
    assert msgspec.json.decode(json.dumps(found["event"]).encode(), type=Event).type


async def test_the_double_has_the_same_shapes(mock_url: str, world: TestWorld) -> None:
    found = await documents(mock_url)
    async with ground(world) as at:
        payment_id = world.mint("payment", 5)
        await at.provider.authorize(authorize(payment_id, "pm_card_createDispute", capture=True))
        another = world.mint("payment", 5)
        await at.provider.authorize(authorize(another, capture=True))
        await at.provider.refund(refund(another, world.mint("refund", 5), 1, 400))
        books = at.double.books
        made = {
            "payment_intent": at.double.intent_of(payment_id),
            "charge": next(iter(books.charges.values())),
            "refund": next(iter(books.refunds.values())),
            "dispute": next(one["data"]["object"] for one in books.events if "dispute" in one["type"]),
            "event": books.events[0],
        }
    optional = {"refunds", "failure_reason"}
    for kind, document in made.items():
        assert set(document) - optional == set(found[kind]) - optional, kind
        for name, value in document.items():
            theirs = found[kind].get(name)
            if value is not None and theirs is not None:
                assert type(value) is type(theirs), f"{kind}.{name}"


async def test_the_double_takes_what_the_mock_takes(mock_url: str, world: TestWorld) -> None:
    """The same form gives 200 from both, and an unknown version gives an error from the double."""
    double = StripeDouble(world, API_KEY, WEBHOOK_SECRETS)
    form = b"amount=500&currency=gbp&metadata[payment_id]=p&expand[0]=latest_charge"
    headers = {
        "authorization": f"Bearer {API_KEY}",
        "stripe-version": API_VERSION,
        "content-type": "application/x-www-form-urlencoded",
    }
    async with httpx.AsyncClient(base_url=mock_url) as client:
        theirs = await client.post("/v1/payment_intents", content=form, headers=headers)
    ours = await double.handle("POST", "/v1/payment_intents", headers, form)
    assert (ours.status, theirs.status_code) == (200, 200)
    assert json.loads(ours.body)["amount"] == theirs.json()["amount"] == 500
    old = await double.handle("POST", "/v1/payment_intents", headers | {"stripe-version": "2019-02-11"}, form)
    assert old.status == 400
