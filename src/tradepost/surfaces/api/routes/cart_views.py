"""Carts as they are shown, with what has drifted since the buyer looked."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from tradepost.kernel.ids import gene_of
from tradepost.kernel.money import Money
from tradepost.kernel.tx import Storage
from tradepost.markets import market
from tradepost.surfaces.api.operation import Call
from tradepost.surfaces.api.routes.quote_views import (
    GBP,
    NONE,
    QUOTE_ORDERS,
    TAX,
    AdjustmentView,
    MissedGiftView,
    QuoteLine,
    view_adjusted,
    view_missed,
    view_quoted,
)
from tradepost.surfaces.api.words import money, unit_price
from tradepost.trade import cart, checkout, inventory
from tradepost.trade.cart import Cart
from tradepost.trade.catalog import OfferView

CART_ANSWER = {
    "cart_id": "crt_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "buyer_id": "byr_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "market": "GB",
    "currency": "GBP",
    "state": "OPEN",
    "version": 2,
    "merged_into": "",
    "lines": [
        {
            "offer_id": "off_01m4xk9v0c7s8p2q3r4t5v6w7x",
            "seller_id": "sel_01m4xk9v0c7s8p2q3r4t5v6w7x",
            "quantity": 2,
            "selected": True,
            "seen_price": "8.95",
            "content_id": "",
            "creator_id": "",
        }
    ],
    "warnings": [],
    "guest_token": "",
}


PRICED_CART = {
    "total": GBP,
    "tax": TAX,
    "shipping": NONE,
    "orders": [
        {
            **{name: QUOTE_ORDERS[0][name] for name in ("seller_id", "total", "lines")},
            "shipping": NONE,
            "shipping_adjustments": [],
        }
    ],
    "left_out": [],
    "refused_codes": "",
    "refusal": "",
    "missed_gifts": [],
}


class CartLineView(msgspec.Struct, frozen=True, kw_only=True):
    """A line. `seen_price` is the unit price the buyer saw last."""

    offer_id: str
    seller_id: str
    quantity: int
    selected: bool
    seen_price: str
    content_id: str = ""
    creator_id: str = ""


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """What has drifted since the buyer looked; nothing of it refuses anything."""

    code: str
    offer_id: str
    old_price: str = ""
    new_price: str = ""
    available: int = 0


class PricedOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What one seller would be owed for the selected lines."""

    seller_id: str
    total: Money
    shipping: Money
    lines: tuple[QuoteLine, ...]
    shipping_adjustments: tuple[AdjustmentView, ...] = ()


class PricedCart(msgspec.Struct, frozen=True, kw_only=True):
    """What the selected lines cost now, by seller, as a quote of this moment says it; nothing is promised.

    `left_out` are offers that cannot be bought now. `refused_codes` is the problem code of `codes` that gave nothing,
    and then it is priced without them; `refusal` that of the quote where there is none, and then `orders` is empty.
    `missed_gifts` were earned and are not there.
    """

    total: Money
    tax: Money
    shipping: Money
    orders: tuple[PricedOrder, ...] = ()
    left_out: tuple[str, ...] = ()
    refused_codes: str = ""
    refusal: str = ""
    missed_gifts: tuple[MissedGiftView, ...] = ()


class CartView(msgspec.Struct, frozen=True, kw_only=True):
    """A cart with what has drifted. `guest_token` is filled where a guest was made, `priced` where a cart is read."""

    cart_id: str
    buyer_id: str
    market: str
    currency: str
    state: str
    version: int
    lines: tuple[CartLineView, ...]
    warnings: tuple[Drift, ...] = ()
    merged_into: str = ""
    guest_token: str = ""
    priced: PricedCart | None = None


class CartList(msgspec.Struct, frozen=True, kw_only=True):
    """A buyer's newest carts, at most 50."""

    items: tuple[CartView, ...]


class Asked(msgspec.Struct, frozen=True):
    """SKUs whose stock was asked for already, and the pieces found, by (SKU, pool)."""

    sku_ids: Collection[str] = ()
    pieces: Mapping[tuple[str, str], int] = {}


NOTHING_ASKED = Asked()


async def available_of(
    db: Storage, offers: Mapping[str, OfferView], asked: Asked = NOTHING_ASKED
) -> dict[str, int]:
    """Pieces available by SKU in the pools of these offers, over all shards; what was `asked` is not read again."""
    wanted: dict[int, set[str]] = {}
    pools = {part.sku_id: offer.pool for offer in offers.values() for part in offer.components}
    for sku_id in pools:
        if sku_id not in asked.sku_ids:
            wanted.setdefault(db.shard_of(gene_of(sku_id)), set()).add(sku_id)
    found = {sku_id: asked.pieces.get((sku_id, pool), 0) for sku_id, pool in pools.items()}
    for shard, sku_ids in wanted.items():
        for (sku_id, pool), pieces in (await db.read(shard, inventory.available, sorted(sku_ids))).items():
            if pools[sku_id] == pool:
                found[sku_id] = pieces
    return found


async def view_cart(call: Call, found: Cart, guest_token: str = "", asked: Asked = NOTHING_ASKED) -> CartView:
    """A cart as shown, with its warnings."""
    platform, where = call.platform, market(found.market)
    offers = await platform.checkout.book.get([line.offer_id for line in found.lines]) if found.lines else {}
    available = await available_of(platform.db, offers, asked) if offers else {}
    shown = checkout.shown_in(platform.checkout, offers, where)
    warnings = cart.warn(found, shown, available, where, call.now_ms())
    return CartView(
        cart_id=found.cart_id,
        buyer_id=found.buyer_id,
        market=found.market,
        currency=where.currency,
        state=found.state,
        version=found.version,
        lines=tuple([_line(line, where.currency) for line in found.lines]),
        warnings=tuple([_warning(warning, where.currency) for warning in warnings]),
        merged_into=found.merged_into,
        guest_token=guest_token,
    )


def view_prices(found: checkout.CartPrices, currency: str) -> PricedCart:
    """A cart's prices as shown."""
    quote = found.quote
    if quote is None:
        nothing = money(0, currency)
        return PricedCart(
            total=nothing,
            tax=nothing,
            shipping=nothing,
            left_out=found.left_out,
            refused_codes=found.refused_codes,
            refusal=found.refusal,
        )
    return PricedCart(
        total=money(quote.total_minor, currency),
        tax=money(quote.tax_minor, currency),
        shipping=money(quote.shipping_minor, currency),
        orders=tuple(
            [
                PricedOrder(
                    seller_id=order.seller_id,
                    total=money(order.total_minor, currency),
                    shipping=money(order.shipping_minor, currency),
                    lines=view_quoted(order, currency).lines,
                    shipping_adjustments=view_adjusted(order.shipping_adjustments, currency),
                )
                for order in quote.orders
            ]
        ),
        left_out=found.left_out,
        refused_codes=found.refused_codes,
        missed_gifts=view_missed(quote.missed_gifts),
    )


def _line(line: cart.CartLine, currency: str) -> CartLineView:
    return CartLineView(
        offer_id=line.offer_id,
        seller_id=line.seller_id,
        quantity=line.quantity,
        selected=line.selected,
        seen_price=unit_price(line.seen_price_e4, currency),
        content_id=line.content_id,
        creator_id=line.creator_id,
    )


def _warning(warning: cart.Warnings, currency: str) -> Drift:
    code = str(warning.__struct_config__.tag)
    if isinstance(warning, cart.PriceChanged):
        return Drift(
            code=code,
            offer_id=warning.offer_id,
            old_price=unit_price(warning.old_price_e4, currency),
            new_price=unit_price(warning.new_price_e4, currency),
        )
    if isinstance(warning, cart.LowStock):
        return Drift(code=code, offer_id=warning.offer_id, available=warning.available)
    return Drift(code=code, offer_id=warning.offer_id)
