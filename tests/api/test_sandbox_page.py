"""The sandbox's page for buyers: what it shows, what its buttons do, and that production has none."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from tests.api.conftest import Client, Reply, Shop
from tests.api.test_journey import release

from tradepost.infra.payments.sandbox import SandboxProvider
from tradepost.surfaces.api import create_asgi

FORM = {"content-type": "application/x-www-form-urlencoded"}


def sandbox_of(shop: Shop) -> SandboxProvider:
    found = shop.platform.sandbox
    assert isinstance(found, SandboxProvider)
    return found


async def opened(shop: Shop) -> tuple[str, str]:
    """A payment that waits for its buyer: (payment id, where to go)."""
    placed = await shop.buy(method="sandbox_redirect")
    assert placed["payment"]["state"] == "REQUIRES_ACTION"
    return placed["payment_id"], placed["payment"]["redirect_url"]


async def press(shop: Shop, url: str, outcome: str) -> Reply:
    return await shop.buyer.using("").post(url, f"outcome={outcome}".encode(), headers=FORM)


async def test_the_page_has_two_buttons_and_takes_one_answer(shop: Shop) -> None:
    payment_id, url = await opened(shop)
    page = await shop.buyer.using("").get(url)
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert page.body.count(b"<button") == 2
    assert "default-src 'none'" in page.headers["content-security-policy"]
    done = await press(shop, url, "pay")
    assert done.status == 200
    assert b"Paid." in done.body
    assert b"Paid." in (await press(shop, url, "decline")).body, "the first answer stands"
    assert b"<button" not in (await shop.buyer.get(url)).body
    await sandbox_of(shop).run_due(shop.world.now_ms())
    assert (await shop.buyer.get(f"/v1/payments/{payment_id}")).json["state"] == "CAPTURED"


async def test_declined_there_is_failed_here_and_may_be_tried_again(shop: Shop) -> None:
    payment_id, url = await opened(shop)
    assert b"Not paid." in (await press(shop, url, "decline")).body
    await sandbox_of(shop).run_due(shop.world.now_ms())
    assert (await shop.buyer.get(f"/v1/payments/{payment_id}")).json["state"] == "FAILED"
    again = await shop.buyer.post(f"/v1/payments/{payment_id}/confirm", {"method": "sandbox_succeeds"})
    assert again.json["state"] == "CAPTURED"


@pytest.mark.parametrize("first", ["webhook", "buyer", "together"])
async def test_coming_back_races_with_the_webhook(shop: Shop, first: str) -> None:
    payment_id, url = await opened(shop)
    await press(shop, url, "pay")
    back: Any = lambda: shop.buyer.post(f"/v1/payments/{payment_id}/confirm", {})  # noqa: E731
    told: Any = lambda: sandbox_of(shop).run_due(shop.world.now_ms())  # noqa: E731
    if first == "together":
        reply, _ = await asyncio.gather(back(), told())
    elif first == "buyer":
        reply = await back()
        await told()
    else:
        await told()
        reply = await back()
    assert reply.json["state"] == "CAPTURED", reply.body
    await release(shop)
    payment = (await shop.buyer.get(f"/v1/payments/{payment_id}")).json
    assert payment["captured"] == payment["amount"]
    log = (await shop.operator.get("/v1/events?types=payment.captured.v1&limit=200")).json["items"]
    assert len([one for one in log if one["subject"] == payment_id]) == 1


async def test_what_does_not_fit_is_refused(shop: Shop) -> None:
    _, url = await opened(shop)
    unknown = "/sandbox/redirect/<script>"
    nobody = shop.buyer.using("")
    assert (await nobody.get(unknown)).code == "payments.not_found"
    assert (await nobody.post(unknown, b"outcome=pay", headers=FORM)).code == "payments.not_found"
    assert (await nobody.post(url, b"outcome=steal", headers=FORM)).code == "input.invalid"
    assert (await nobody.post(url, b"", headers=FORM)).code == "input.invalid"
    assert (await nobody.post(url, {"outcome": "pay"})).code == "input.media_type"
    assert (
        await nobody.post(url, b"outcome=pay&x=" + b"x" * 1_024, headers=FORM)
    ).code == "input.body_too_large"


async def test_without_a_sandbox_there_is_no_page(shop: Shop) -> None:
    _, url = await opened(shop)
    client = Client(create_asgi(msgspec.structs.replace(shop.platform, sandbox=None)))
    assert (await client.get(url)).code == "route.unknown"
    assert (await client.post(url, b"outcome=pay", headers=FORM)).code == "route.unknown"
