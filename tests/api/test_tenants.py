"""Every route of the table as everybody who has no business there: never data, never an effect."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import msgspec
import pytest
from tests.api.conftest import Client, Shop, make_key
from tests.api.test_journey import delivered, release

from tradepost.surfaces.api.operation import FORM, JSON, Operation
from tradepost.surfaces.api.routes import OPERATIONS
from tradepost.surfaces.api.routes.shipping_views import TERMS
from tradepost.trade.parties import Role

REFUSED = (401, 403, 404)
OPEN = {"get_offer"}
"""Routes with an id that anybody may read."""
OWN = {"get_shipping_terms", "end_shipping_terms"}
"""Routes whose path names no tenant: everybody gets its own, and nothing of the victim's."""
FOR_STOREFRONTS = {
    "get_order",
    "list_orders",
    "cancel_order",
    "list_packages",
    "list_returns",
    "list_cases",
    "list_disputes",
    "preview_refund",
    "get_store_credit",
    "get_buyer",
    "list_events",
    "list_order_invoices",
    "get_invoice",
    "get_invoice_document",
}
"""Routes without a list of roles where a storefront acts for every buyer."""
ROLES = {
    "nobody": "",
    "other_buyer": Role.BUYER,
    "other_seller": Role.SELLER,
    "guest": Role.GUEST,
    "creator": Role.CREATOR,
    "storefront": Role.STOREFRONT,
}


class Victim(NamedTuple):
    """A shop in which one buyer's order is under way, every id of it by name, and the callers from outside."""

    shop: Shop
    ids: dict[str, str]
    callers: dict[str, Client]


@pytest.fixture
async def victim(shop: Shop) -> Victim:
    order_id, package_id = await delivered(shop)
    order = (await shop.buyer.get(f"/v1/orders/{order_id}")).json
    wanted = {"lines": [{"line_no": 1, "quantity": 1}], "reason": "colour"}
    back = (await shop.buyer.post(f"/v1/orders/{order_id}/returns", wanted)).json
    refund = {"order_id": order_id, "amount_minor": 10, "reason": "goodwill"}
    given = (await shop.operator.post(f"/v1/payments/{order['payment_id']}/refunds", refund)).json
    offer = (await shop.buyer.get(f"/v1/offers/{shop.offer_id}")).json
    key = (await shop.buyer.post("/v1/keys", {})).json
    invoice = (await shop.seller.post(f"/v1/orders/{order_id}/invoices")).json
    plan = (await shop.seller.post("/v1/commission-plans", {"rate_bps": 1_000})).json
    rules = [{"code": "ten", "effect": {"kind": "percentage", "percent_ppm": 100_000}}]
    drafted = await shop.seller.post("/v1/campaigns", {"currency": "GBP", "rules": rules})
    earner_id, earner = await make_key(shop.platform, "creator")
    account = {"holder": "Earner", "account": "GB82WEST12345698765432"}
    entered = await shop.buyer.using(earner).put(f"/v1/creators/{earner_id}/payout-account", account)
    assert entered.status == 200, entered.body
    ids = {
        "creator_id": earner_id,
        "campaign_id": drafted.json["campaign_id"],
        "plan_id": plan["plan_id"],
        "invoice_id": invoice["invoice_id"],
        "format": "xml",
        "order_id": order_id,
        "package_id": package_id,
        "return_id": back["return_id"],
        "case_id": back["return_id"],
        "refund_id": given["refund_id"],
        "payment_id": order["payment_id"],
        "checkout_id": order["checkout_id"],
        "cart_id": (await shop.buyer.post("/v1/carts", {"market": "GB"})).json["cart_id"],
        "key_id": key["key_id"],
        "buyer_id": shop.buyer_id,
        "seller_id": shop.seller_id,
        "sku_id": shop.sku_id,
        "offer_id": shop.offer_id,
        "currency": "GBP",
        "product_id": offer["product_id"],
    }
    await release(shop)
    assert (await shop.seller.put("/v1/shipping-terms", TERMS)).status == 200
    _, creator = await make_key(shop.platform, "creator")
    guest = (await shop.storefront.post("/v1/guests")).json["guest_token"]
    callers = {
        "nobody": shop.buyer.using(""),
        "other_buyer": shop.other_buyer,
        "other_seller": shop.other_seller,
        "guest": shop.buyer.using(guest),
        "creator": shop.buyer.using(creator),
        "storefront": shop.storefront,
    }
    return Victim(shop, ids, callers)


def private(ids: dict[str, str]) -> set[str]:
    """What no other tenant may learn; offers, their sellers, SKUs and products are on show."""
    return {
        value
        for name, value in ids.items()
        if name not in {"offer_id", "seller_id", "sku_id", "product_id", "format", "currency"}
    }


def filled(value: Any, ids: dict[str, str]) -> Any:
    """An example with the victim's ids where it names ids."""
    if isinstance(value, dict):
        return {name: ids[name] if name in ids else filled(inner, ids) for name, inner in value.items()}
    if isinstance(value, list):
        return [filled(inner, ids) for inner in value]
    return value


def request_of(operation: Operation, ids: dict[str, str], *, naming: bool) -> tuple[str, Any, dict[str, str]]:
    """Path, body and headers of a request that would succeed for the victim; `naming` names it in the query too."""
    path = re.sub(r"\{(\w+)\}", lambda found: ids.get(found[1], "sandbox"), operation.path)
    if naming and operation.query is not None:
        named = [
            field
            for field in ("buyer_id", "seller_id", "creator_id", "party_id")
            if field in operation.query.__struct_fields__
        ]
        given = {"party_id": ids["buyer_id"]} | ids
        path += "".join(f"{'&' if at else '?'}{field}={given[field]}" for at, field in enumerate(named))
    media_type = operation.accepts[0]
    example = operation.example
    if operation.bulk:
        example = example[media_type].encode()
    body = filled(example, ids) if media_type == JSON else example
    if media_type == FORM:
        body = b"outcome=decline"
    return path, body, {"content-type": media_type}


def allowed(operation: Operation, role: str) -> bool:
    """Whether a storefront has business there: it acts for every buyer."""
    return role == Role.STOREFRONT and (role in operation.roles or operation.name in FOR_STOREFRONTS)


@pytest.mark.parametrize("who", ROLES)
async def test_no_route_serves_a_stranger(victim: Victim, who: str) -> None:
    client, role = victim.callers[who], ROLES[who]
    found: list[str] = []
    for operation in OPERATIONS:
        if operation.public:
            continue
        for naming in (False, True):
            path, body, headers = request_of(operation, victim.ids, naming=naming)
            reply = await client.request(operation.method, path, body, headers=headers)
            case = f"{operation.method} {path}: {reply.status} {reply.body[:120]!r}"
            if reply.status >= 500:
                found.append(case)
            elif not role:
                found += [case] if (reply.status, reply.code) != (401, "auth.missing") else []
            elif operation.roles and role not in operation.roles:
                found += [case] if (reply.status, reply.code) != (403, "auth.forbidden") else []
            elif allowed(operation, role):
                continue
            elif operation.name in OWN:
                theirs = private(victim.ids) | {victim.ids["seller_id"]}
                if reply.status < 300 and any(secret.encode() in reply.body for secret in theirs):
                    found.append(case)
            elif "{" in operation.path and operation.name not in OPEN:
                found += [case] if reply.status not in REFUSED else []
            elif reply.status < 300 and any(secret.encode() in reply.body for secret in private(victim.ids)):
                found.append(case)
    assert found == []


async def test_strangers_changed_nothing(victim: Victim) -> None:
    shop, ids = victim.shop, victim.ids
    reads = [
        (shop.buyer, f"/v1/orders/{ids['order_id']}"),
        (shop.buyer, f"/v1/payments/{ids['payment_id']}"),
        (shop.buyer, f"/v1/carts/{ids['cart_id']}"),
        (shop.buyer, "/v1/keys"),
        (shop.seller, f"/v1/stock/{ids['sku_id']}"),
        (shop.seller, f"/v1/offers/{ids['offer_id']}"),
        (shop.seller, f"/v1/products/{ids['product_id']}"),
        (shop.seller, f"/v1/shipping-terms/{ids['currency']}"),
        (shop.operator, f"/v1/sellers/{ids['seller_id']}"),
        (shop.operator, f"/v1/creators/{ids['creator_id']}/settlement"),
    ]
    before = [(await client.get(path)).body for client, path in reads]
    for who in ("nobody", "other_buyer", "other_seller", "guest", "creator"):
        for operation in OPERATIONS:
            if operation.method == "GET" or operation.public or "{" not in operation.path:
                continue
            path, body, headers = request_of(operation, ids, naming=False)
            await victim.callers[who].request(operation.method, path, body, headers=headers)
    assert [(await client.get(path)).body for client, path in reads] == before


@pytest.mark.parametrize("role", [Role.SELLER, Role.STOREFRONT, Role.BUYER, Role.CREATOR, Role.GUEST])
def test_operator_routes_name_their_role(role: str) -> None:
    for operation in OPERATIONS:
        if operation.scope == "admin":
            assert operation.roles == (Role.OPERATOR,), operation.name
    for name in ("capture_payment", "void_payment", "refund_payment", "retry_refund", "settle_refund"):
        found = next(operation for operation in OPERATIONS if operation.name == name)
        assert role not in found.roles, name


async def test_public_routes_are_these(shop: Shop) -> None:
    assert {operation.name for operation in OPERATIONS if operation.public} == {
        "hear_webhook",
        "list_markets",
        "show_redirect",
        "decide_redirect",
        "raise_dispute",
    }


@pytest.mark.parametrize(
    "operation", [one for one in OPERATIONS if one.reads_body], ids=lambda operation: operation.name
)
async def test_every_body_is_bounded(platform: Any, operation: Operation) -> None:
    from tradepost.surfaces.api import create_asgi

    limits = msgspec.structs.replace(platform.limits, body_bytes_max=2_000, import_bytes_max=2_000)
    client = Client(create_asgi(msgspec.structs.replace(platform, limits=limits)))
    role = operation.roles[0] if operation.roles else "operator"
    if role != Role.GUEST and not operation.public:
        _, client.token = await make_key(platform, role)
    path = re.sub(r"\{\w+\}", "x", operation.path)
    size = max(2_001, operation.body_bytes_max + 1)
    for chunks in (1, 3):
        reply = await client.request(
            operation.method,
            path,
            b" " * size,
            headers={"content-type": operation.accepts[0]},
            chunks=chunks,
        )
        assert (reply.status, reply.code) == (413, "input.body_too_large")


async def test_a_scope_that_is_missing_is_named(shop: Shop) -> None:
    for operation in OPERATIONS:
        if not operation.scope or operation.scope == "admin":
            continue
        role = (
            Role.OPERATOR if Role.OPERATOR in operation.roles or not operation.roles else operation.roles[0]
        )
        assert role == Role.OPERATOR, operation.name
    narrow = (await shop.operator.post("/v1/keys", {"scopes": ["events:read"]})).json["token"]
    client = shop.operator.using(narrow)
    for operation in OPERATIONS:
        if operation.scope:
            reply = await client.request(operation.method, re.sub(r"\{\w+\}", "x", operation.path), b"{}")
            assert (reply.status, reply.json.get("needed_scope")) == (403, operation.scope), operation.name
