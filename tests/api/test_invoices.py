"""Invoices over HTTP: issued when goods leave, credited when money goes back, open to those they concern."""

from __future__ import annotations

import pytest
from tests.api.conftest import Shop
from tests.api.test_journey import delivered, release

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
