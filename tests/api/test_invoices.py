"""Invoices over HTTP: issued when goods leave, credited when money goes back, open to those they concern."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from tests.api.conftest import Shop
from tests.api.test_journey import delivered, release

from tradepost import markets
from tradepost.kernel.events import EventRow
from tradepost.trade import invoicing
from tradepost.trade.invoicing import check_ubl

PARTY = {
    "name": "Home & Hearth Ltd",
    "line1": "1 High Street",
    "city": "Leeds",
    "country": "GB",
    "tax_id": "GB123",
}


async def documents(shop: Shop, order_id: str) -> list[dict[str, object]]:
    reply = await shop.buyer.get(f"/v1/orders/{order_id}/invoices")
    assert reply.status == 200, reply.body
    return list(reply.json["items"])


async def test_from_goods_that_leave_to_a_credit_note(shop: Shop) -> None:
    assert (await shop.seller.get("/v1/legal-party")).code == "invoicing.not_found"
    entered = await shop.seller.put("/v1/legal-party", PARTY)
    assert (entered.status, entered.json["tax_id"]) == (200, "GB123")
    order_id, _ = await delivered(shop)
    await release(shop)
    (invoice,) = await documents(shop, order_id)
    order = (await shop.buyer.get(f"/v1/orders/{order_id}")).json
    assert invoice["gross_minor"] == order["total"]["amount_minor"]
    assert str(invoice["number"]).startswith("GB-0000")
    assert invoice["seller"]["name"] == "Home & Hearth Ltd"  # type: ignore[index]
    again = await shop.seller.post(f"/v1/orders/{order_id}/invoices", {})
    assert again.json["invoice_id"] == invoice["invoice_id"]

    lines = [{"line_no": 1, "quantity": 1}]
    wanted = await shop.buyer.post(f"/v1/orders/{order_id}/returns", {"lines": lines, "reason": "colour"})
    path = f"/v1/orders/{order_id}/returns/{wanted.json['return_id']}"
    await shop.seller.post(f"{path}/approve")
    received = await shop.seller.post(f"{path}/receive", {})
    await release(shop)
    first, note = await documents(shop, order_id)
    assert first == invoice, "a document never changes"
    assert (note["kind"], note["credits"]) == ("credit_note", invoice["number"])
    assert note["gross_minor"] == received.json["refund_minor"]

    listed = await shop.seller.get("/v1/invoices?series=GB&limit=1")
    assert [one["number"] for one in listed.json["items"]] == ["GB-000001"]
    assert (await shop.seller.get("/v1/invoices?series=GB-C")).json["items"] == [note]


async def test_each_form_of_a_document(shop: Shop) -> None:
    await shop.seller.put("/v1/legal-party", PARTY)
    order_id, _ = await delivered(shop)
    await release(shop)
    (invoice,) = await documents(shop, order_id)
    path = f"/v1/invoices/{invoice['invoice_id']}"
    assert (await shop.buyer.get(path)).json == invoice
    page = await shop.buyer.get(f"{path}/html")
    assert page.status == 200
    assert str(invoice["number"]).encode() in page.body
    assert (await shop.buyer.get(f"{path}/pdf")).body.startswith(b"%PDF-")
    assert check_ubl((await shop.seller.get(f"{path}/xml")).body) == []
    assert (await shop.buyer.get(f"{path}/docx")).code == "invoicing.format_unknown"


async def test_documents_are_shown_to_those_they_concern(shop: Shop) -> None:
    order_id, _ = await delivered(shop)
    await release(shop)
    (invoice,) = await documents(shop, order_id)
    path = f"/v1/invoices/{invoice['invoice_id']}"
    for stranger in (shop.other_buyer, shop.other_seller):
        assert (await stranger.get(path)).code == "invoicing.not_found"
        assert (await stranger.get(f"{path}/pdf")).code == "invoicing.not_found"
        assert (await stranger.get(f"/v1/orders/{order_id}/invoices")).code == "orders.not_found"
    assert (await shop.operator.get(path)).status == 200


@pytest.mark.parametrize(
    ("body", "code"),
    [({"name": " "}, "invoicing.party_invalid"), ({"name": "A", "country": "uk"}, "invoicing.party_invalid")],
)
async def test_a_party_that_is_none(shop: Shop, body: dict[str, str], code: str) -> None:
    assert (await shop.seller.put("/v1/legal-party", body)).code == code


async def test_an_order_that_is_not_paid_has_nothing_to_invoice(shop: Shop) -> None:
    placed = await shop.buy(method="sandbox_declines")
    order_id = placed["orders"][0]["order_id"]
    assert (await shop.seller.post(f"/v1/orders/{order_id}/invoices", {})).code == "invoicing.not_due"
    assert await documents(shop, order_id) == []


async def paid(shop: Shop, quantity: int = 3) -> str:
    placed = await shop.buy(quantity=quantity)
    await release(shop)
    return str(placed["orders"][0]["order_id"])


async def give(shop: Shop, order_id: str, amount_minor: int) -> None:
    """Money that goes back beside any goods."""
    payment_id = (await shop.buyer.get(f"/v1/orders/{order_id}")).json["payment_id"]
    refund = {"order_id": order_id, "amount_minor": amount_minor, "reason": "goodwill"}
    given = await shop.operator.post(f"/v1/payments/{payment_id}/refunds", refund)
    assert given.json["state"] == "SUCCEEDED", given.body


async def cancel_one(shop: Shop, order_id: str) -> None:
    wanted = {"lines": [{"line_no": 1, "quantity": 1}], "reason": "mistake"}
    reply = await shop.buyer.post(f"/v1/orders/{order_id}/cancel", wanted)
    assert reply.status == 200, reply.body


async def ship(shop: Shop, order_id: str) -> None:
    packed = await shop.seller.post(f"/v1/orders/{order_id}/packages", {})
    package = f"/v1/orders/{order_id}/packages/{packed.json['package_id']}"
    assert (
        await shop.seller.post(f"{package}/collect", {"carrier": "RM", "tracking_code": "1"})
    ).status == 200


async def kept(shop: Shop, order_id: str) -> int:
    """What the order's buyer paid and did not get back."""
    payment_id = (await shop.buyer.get(f"/v1/orders/{order_id}")).json["payment_id"]
    payment = (await shop.buyer.get(f"/v1/payments/{payment_id}")).json
    return int(payment["captured"]["amount_minor"]) - int(payment["refunded"]["amount_minor"])


def summed(issued: list[dict[str, object]]) -> int:
    return sum(int(str(one["gross_minor"])) * (-1 if one["kind"] == "credit_note" else 1) for one in issued)


async def test_what_was_refunded_before_the_invoice_is_credited_with_it(shop: Shop) -> None:
    order_id = await paid(shop)
    await give(shop, order_id, 101)
    await release(shop)
    assert await documents(shop, order_id) == []
    await ship(shop, order_id)
    await release(shop)
    invoice, note = await documents(shop, order_id)
    assert (note["credits"], note["gross_minor"], note["reason"]) == (invoice["number"], 101, "goodwill")
    assert summed([invoice, note]) == await kept(shop, order_id)


@pytest.mark.parametrize("order", list(itertools.permutations(("invoicing.supply", "invoicing.refunds"))))
async def test_events_in_any_order_and_twice_end_in_the_same_documents(
    shop: Shop, order: tuple[str, str]
) -> None:
    order_id = await paid(shop)
    platform = shop.platform
    await give(shop, order_id, 101)
    await give(shop, order_id, 57)
    await ship(shop, order_id)
    tasks = {one.name: one for one in invoicing.tasks(platform.db, platform.world, markets.market)}
    payload = b'{"order_id":"%s"}' % order_id.encode()
    for name in (*order, *order):
        kind = tasks[name].types[0]
        await tasks[name].act(EventRow(0, order_id, 1, kind, shop.world.now_ms(), payload))
    before = await documents(shop, order_id)
    assert {one["gross_minor"] for one in before[1:]} == {101, 57}
    assert summed(before) == await kept(shop, order_id)
    await release(shop)
    assert await documents(shop, order_id) == before


async def test_a_refund_that_meets_no_invoice_is_found_by_it(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The invoice's commit comes between another task's look for it and that task's end."""
    order_id = await paid(shop)
    platform = shop.platform
    real = platform.db.transact
    calls: list[object] = []

    async def late(shard: int, work: Any, *given: Any) -> Any:
        if work is invoicing.issue_invoice and not calls:
            calls.append(work)
            await cancel_one(shop, order_id)
            await release(shop)  # its refund's task looks for an invoice here, and finds none
        return await real(shard, work, *given)

    monkeypatch.setattr(platform.db, "transact", late)
    await invoicing.issue(platform.db, platform.world, markets.market, order_id)
    invoice, note = await documents(shop, order_id)
    assert (invoice["gross_minor"], note["reason"]) == (await shop.total(3), "lines_cancelled")
    assert summed([invoice, note]) == await kept(shop, order_id)


@pytest.mark.parametrize("early", [False, True], ids=["cancelled before", "cancelled after"])
async def test_cancelled_units_are_credited_as_far_as_they_were_invoiced(shop: Shop, early: bool) -> None:
    order_id = await paid(shop)
    if early:
        assert (await shop.seller.post(f"/v1/orders/{order_id}/invoices", {})).status == 200
    await give(shop, order_id, 40)
    await cancel_one(shop, order_id)
    if not early:
        assert (await shop.seller.post(f"/v1/orders/{order_id}/invoices", {})).status == 200
    await release(shop)  # only now is the cancellation's refund made
    await ship(shop, order_id)
    await release(shop)
    invoice, *notes = await documents(shop, order_id)
    assert {one["reason"] for one in notes} == ({"goodwill", "lines_cancelled"} if early else {"goodwill"})
    assert invoice["gross_minor"] == await shop.total(3 if early else 2)
    assert summed([invoice, *notes]) == await kept(shop, order_id)


async def test_an_order_cancelled_whole_is_not_invoiced(shop: Shop) -> None:
    order_id = await paid(shop)
    await give(shop, order_id, 40)
    assert (await shop.buyer.post(f"/v1/orders/{order_id}/cancel", {"reason": "mistake"})).status == 200
    await release(shop)
    assert (await shop.seller.post(f"/v1/orders/{order_id}/invoices", {})).code == "invoicing.not_due"
    assert await documents(shop, order_id) == []
    assert await kept(shop, order_id) == 0
