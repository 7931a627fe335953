"""Goods of the torture's own in the demo shop: so many pieces, kits made of them, a limit for each buyer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from tradepost.testing.torture.client import Client
from tradepost.testing.torture.crowd import ADDRESS
from tradepost.testing.torture.shop import KEYS
from tradepost.testing.wire import build_request

PRICE = "1.00"
PRICE_MINOR = 100
_encode = msgspec.json.Encoder().encode


class Good(msgspec.Struct, frozen=True):
    """Something for sale at 1.00 GBP."""

    offer_id: str
    sku_id: str
    code: str


def enter_good(
    client: Client,
    code: str,
    stock: int = 0,
    *,
    kit: Mapping[str, int] | None = None,
    limit_per_buyer: int = 0,
) -> Good:
    """Enter a product, its SKU (or a kit of other codes), its stock and its offer. Raises AssertionError."""
    product = _done(client, "/v1/products", {"title": code, "code": code})
    parts = [{"code": part, "quantity": count} for part, count in (kit or {}).items()]
    new_sku = {"product_id": product["product_id"], "code": code, "title": code, "components": parts}
    sku_id = _done(client, "/v1/skus", new_sku)["sku_id"]
    if stock:
        _done(client, f"/v1/stock/{sku_id}/receive", {"quantity": stock})
    terms = {"markets": ["GB"], "prices": [{"currency": "GBP", "price": PRICE}]}
    offer = {"sku_id": sku_id, **terms, "limit_per_buyer": limit_per_buyer}
    return Good(_done(client, "/v1/offers", offer)["offer_id"], sku_id, code)


def _done(client: Client, path: str, body: dict[str, Any]) -> Any:
    ask = client.send("POST", path, body, token=KEYS["seller"], key=f"{path}-{_encode(body).hex()[-100:]}")
    assert ask.accepted, f"{path} {body}: {ask.status} {ask.answer!r}"
    return ask.said()


def levels(client: Client, good: Good) -> dict[str, int]:
    """Pieces on hand, held, reserved and available, all places together."""
    said = client.send("GET", f"/v1/stock/{good.sku_id}", token=KEYS["operator"]).said()
    names = ("on_hand", "held", "reserved", "available")
    return {name: sum(level[name] for level in said["levels"]) for name in names}


def wish(good: Good, key: str, *, quantity: int = 1, buyer_id: str = "") -> dict[str, Any]:
    """The body of one buy-now request; the mail address on its order is the key."""
    return {
        "market": "GB",
        "lines": [{"offer_id": good.offer_id, "quantity": quantity}],
        "total": {"amount_minor": PRICE_MINOR * quantity, "currency": "GBP"},
        "address": ADDRESS,
        "email": f"{key}@example.org",
        "payment": {"method": "sandbox_succeeds"},
        "buyer_id": buyer_id,
    }


def buy_now(good: Good, key: str, *, quantity: int = 1, buyer_id: str = "") -> bytes:
    """The bytes of one such request."""
    body = wish(good, key, quantity=quantity, buyer_id=buyer_id)
    headers = {"Authorization": f"Bearer {KEYS['storefront']}", "Idempotency-Key": key}
    return build_request("POST", "/v1/checkouts", _encode(body), headers)
