"""What other goods cost in an exchange: campaigns that are counted stay out, taxes and parcels are the address's."""

from __future__ import annotations

from typing import Any

from tests.api.conftest import ADDRESS, Shop, make_offer
from tests.api.test_campaigns import publish
from tests.api.test_cases import ask, case_of, settle, take
from tests.api.test_journey import delivered, place_and_deliver, release
from tests.api.test_shipping import put

from tradepost.kernel.ids import gene_of
from tradepost.trade import aftersales, orders
from tradepost.trade.orders import Order

REGION = {"name": "Ann Lee", "line1": "1 Main St", "city": "Fresno", "postcode": "93650", "country": "US"}


async def exchanged(shop: Shop, order_id: str, offer_id: str) -> dict[str, Any]:
    """One unit given back for one of an offer: the case as it ended."""
    case = await ask(shop, order_id, kind="exchange", wanted=[{"offer_id": offer_id, "quantity": 1}])
    await take(shop.seller, case, "approve")
    await take(shop.seller, case, "receive")
    await settle(shop)
    return dict(await case_of(shop, case))


async def order_of(shop: Shop, order_id: str) -> Order:
    return await shop.platform.db.read(0, orders.get_order, order_id)


async def test_a_counted_campaign_is_no_part_of_an_exchange(shop: Shop) -> None:
    order_id, _ = await delivered(shop)
    _, offer_id = await make_offer(shop.seller, "BOWL", 5)
    limited = await publish(shop.operator, limits={"total": 5, "per_buyer": 1})
    await release(shop)
    case = await exchanged(shop, order_id, offer_id)
    new = await order_of(shop, case["replacement_id"])
    assert new.total_minor == 0
    (line,) = new.body.lines
    assert [one.code for one in line.adjustments] == ["exchange_credit"]
    assert new.body.redemptions == ()
    assert limited in new.body.priced.without
    # the limit is whole: the buyer's one use of it is still there
    body = {"market": "GB", "lines": [{"offer_id": offer_id, "quantity": 1}]}
    quote = (await shop.buyer.post("/v1/quotes", body)).json
    assert quote["total"]["amount_minor"] == 805
    placed = await shop.buyer.post("/v1/checkouts", {"quote": quote["quote"], "address": ADDRESS})
    assert placed.status == 201, placed.body


async def test_a_campaign_without_limits_lowers_the_price_as_for_everybody(shop: Shop) -> None:
    order_id, _ = await delivered(shop)
    _, offer_id = await make_offer(shop.seller, "BOWL", 5)
    campaign_id = await publish(shop.seller)
    await publish(shop.seller, needs_code=True, codes=["MINE"])
    await release(shop)
    case = await exchanged(shop, order_id, offer_id)
    assert (case["spent_minor"], case["refund_minor"]) == (805, 90)
    new = await order_of(shop, case["replacement_id"])
    (line,) = new.body.lines
    assert [(one.campaign_id, one.amount_minor) for one in line.adjustments] == [
        (campaign_id, -90),
        ("", -805),
    ]
    assert new.body.priced.edition


async def test_the_taxes_are_those_of_the_address(shop: Shop) -> None:
    sold = []
    for code, price in (("PLATE", "10.00"), ("VASE", "20.00")):
        sku_id, offer_id = await make_offer(shop.seller, code, 5)
        terms = {"sku_id": sku_id, "markets": ["US"], "prices": [{"currency": "USD", "price": price}]}
        assert (await shop.seller.put(f"/v1/offers/{offer_id}", terms)).status == 200
        sold.append(offer_id)
    await release(shop)
    address = {**REGION, "region": "CA"}
    lines = [{"offer_id": sold[0], "quantity": 1}]
    to = {"country": "US", "region": "CA", "postcode": "93650"}
    quote = await shop.buyer.post("/v1/quotes", {"market": "US", "lines": lines, "destination": to})
    body = {"quote": quote.json["quote"], "address": address, "payment": {"method": "sandbox_succeeds"}}
    order_id = await place_and_deliver(shop, body)
    old = (await order_of(shop, order_id)).body.lines[0]
    case = await exchanged(shop, order_id, sold[1])
    new = (await order_of(shop, case["replacement_id"])).body
    assert old.tax_rate_bps > 0
    assert new.lines[0].tax_rate_bps == old.tax_rate_bps
    assert new.total_minor + old.total_minor == 2_000 + 2_000 * old.tax_rate_bps // 10_000


async def test_the_parcel_is_the_addresses_and_the_sellers_to_pay(shop: Shop) -> None:
    order_id, _ = await delivered(shop)
    _, offer_id = await make_offer(shop.seller, "BOWL", 5)
    await put(shop.seller, handling_days=3)
    await release(shop)
    case = await exchanged(shop, order_id, offer_id)
    new = await order_of(shop, case["replacement_id"])
    assert (new.body.sending.method, new.body.shipping_minor, new.total_minor) == ("parcel", 0, 0)
    assert new.body.sending.by_date > new.body.sending.from_date


async def test_where_the_seller_does_not_send_the_money_goes_back(shop: Shop) -> None:
    order_id, _ = await delivered(shop)
    _, offer_id = await make_offer(shop.seller, "BOWL", 5)
    await put(shop.seller, zones=[{"code": "home", "countries": ["GB"], "postcodes": ["IV"]}], areas=[])
    await release(shop)
    case = await exchanged(shop, order_id, offer_id)
    assert (case["state"], case["replacement_id"], case["refund_minor"]) == ("REFUNDED", "", 895)


async def test_a_retry_finds_what_was_placed(shop: Shop) -> None:
    """The price of now may be another one by then: what stands counts."""
    order_id, _ = await delivered(shop)
    _, offer_id = await make_offer(shop.seller, "BOWL", 5)
    case = await exchanged(shop, order_id, offer_id)
    before = await order_of(shop, case["replacement_id"])
    await publish(shop.seller)
    await aftersales.replace_goods(shop.platform.checkout, case["return_id"])
    await settle(shop)
    assert (await order_of(shop, case["replacement_id"])).body == before.body
    assert gene_of(before.order_id) == gene_of(order_id)
