"""Offers: a SKU at a price by a seller under terms."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import gene_of
from tradepost.kernel.money import price_from_major
from tradepost.kernel.tx import Tx
from tradepost.markets import market
from tradepost.surfaces.api.operation import Call, Routes
from tradepost.surfaces.api.routes.catalog import SELLING, SellerQuery, acting
from tradepost.surfaces.api.words import (
    Code,
    Cursor,
    Id,
    Limit,
    Minor,
    MomentMs,
    Page,
    Place,
    Price,
    PriceView,
    Version,
    home,
    unit_price,
)
from tradepost.trade import catalog, parties
from tradepost.trade.catalog import Component, Layer, OfferTerms, OfferView, PriceWindow

ROUTES = Routes("offers")
OFFER = {
    "sku_id": "sku_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "markets": ["GB"],
    "prices": [{"currency": "GBP", "price": "8.95"}],
    "limit_per_buyer": 0,
}
OFFER_ANSWER = {
    "offer_id": "off_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "seller_id": "sel_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "sku_id": "sku_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "sku_code": "MUG-01-BLUE",
    "product_id": "prd_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "code": "",
    "title": "Stoneware mug, blue",
    "description": "Holds 300 ml, glazed by hand.",
    "image": "https://img.example/mug.jpg",
    "tax_category": "standard",
    "components": [{"sku_id": "sku_01m4xk9v0c7s8p2q3r4t5v6w7x", "quantity": 1}],
    "markets": ["GB"],
    "prices": [{"currency": "GBP", "price": "8.95", "from_ms": 0, "until_ms": 0}],
    "pool": "shop",
    "limit_per_buyer": 0,
    "quantity_max": 0,
    "state": "ACTIVE",
    "seller_state": "ACTIVE",
    "version": 1,
}
TERM_CODES = (
    "catalog.sku_unknown",
    "catalog.offer_unknown",
    "catalog.offer_exists",
    "catalog.markets_invalid",
    "catalog.market_without_price",
    "catalog.price_negative",
    "catalog.price_window_empty",
    "catalog.price_layer_invalid",
    "catalog.price_windows_overlap",
    "catalog.pool_invalid",
    "catalog.limit_invalid",
    "market.unknown",
    "money.price_invalid",
    "money.currency_unknown",
    "state.conflict",
    "version.conflict",
)


Floors = Annotated[
    dict[str, Minor],
    Meta(
        max_length=64,
        description="The least a unit may cost after every discount, in minor units by currency.",
    ),
]


class PriceTerm(msgspec.Struct, frozen=True, kw_only=True):
    """A unit price in major units from a moment until just before another; 0 leaves that end open.

    Where prices of several layers hold, the later layer decides. Above the layer `list` a price may be bound to a
    market, a scene, the content that led to the line, or a group of buyers.
    """

    currency: Annotated[str, Meta(min_length=3, max_length=3)]
    price: Price
    from_ms: MomentMs = 0
    until_ms: MomentMs = 0
    layer: Layer = Layer.LIST
    market: Code = ""
    scene: Annotated[str, Meta(max_length=64)] = ""
    content_id: Annotated[str, Meta(max_length=64)] = ""
    segment: Annotated[str, Meta(max_length=64)] = ""


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What a seller asks: where, for how much, from which pool, how many (0: no limit). `version` as read."""

    markets: Annotated[tuple[Code, ...], Meta(max_length=300)]
    prices: Annotated[tuple[PriceTerm, ...], Meta(max_length=64)]
    pool: Place = "shop"
    limit_per_buyer: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    quantity_max: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    version: Version = 0
    floors: Floors = {}


class NewOffer(msgspec.Struct, frozen=True, kw_only=True):
    """A SKU to offer. `code` tells several offers of one SKU apart; most have none."""

    sku_id: Id
    markets: Annotated[tuple[Code, ...], Meta(max_length=300)]
    prices: Annotated[tuple[PriceTerm, ...], Meta(max_length=64)]
    pool: Place = "shop"
    limit_per_buyer: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    quantity_max: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    code: Code = ""
    state: Literal["ACTIVE", "PAUSED"] = "ACTIVE"
    floors: Floors = {}


class OfferInput(msgspec.Struct, frozen=True, kw_only=True):
    """What to do with an offer; `version` 0 takes it as it is."""

    input: Literal["pause", "resume", "end"]
    version: Version = 0


class OfferList(msgspec.Struct, frozen=True, kw_only=True):
    """Which offers: those shown in a market, or every offer of a seller (sellers: your own)."""

    market: Code = ""
    seller_id: Annotated[str, Meta(max_length=64)] = ""
    cursor: Cursor = ""
    limit: Limit = 50


class OfferAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An offer with its prices as decimal strings. `components` are the SKUs that one unit takes from stock."""

    offer_id: str
    seller_id: str
    sku_id: str
    sku_code: str
    product_id: str
    code: str
    title: str
    description: str
    image: str
    tax_category: str
    components: tuple[Component, ...]
    markets: tuple[str, ...]
    prices: tuple[PriceView, ...]
    pool: str
    limit_per_buyer: int
    quantity_max: int
    state: str
    seller_state: str
    version: int
    floors: dict[str, int] = {}


_BOUNDS = ("market", "scene", "content_id", "segment")
_SAME = tuple(name for name in OfferAnswer.__struct_fields__ if name != "prices")


def view_offer(offer: OfferView) -> OfferAnswer:
    """An offer as shown."""
    prices = tuple(
        PriceView(
            currency=window.currency,
            price=unit_price(window.price_e4, window.currency),
            from_ms=window.from_ms,
            until_ms=window.until_ms,
            layer=window.layer.value,
            **{bound: getattr(window, bound) for bound in _BOUNDS},
        )
        for window in offer.prices
    )
    return OfferAnswer(prices=prices, **{name: getattr(offer, name) for name in _SAME})


def _terms(body: Terms | NewOffer) -> OfferTerms:
    prices = tuple(
        PriceWindow(
            currency=term.currency,
            price_e4=price_from_major(term.price, term.currency),
            from_ms=term.from_ms,
            until_ms=term.until_ms,
            layer=term.layer,
            **{bound: getattr(term, bound) for bound in _BOUNDS},
        )
        for term in body.prices
    )
    return OfferTerms(
        markets=body.markets,
        prices=prices,
        pool=body.pool,
        limit_per_buyer=body.limit_per_buyer,
        quantity_max=body.quantity_max,
        floors=body.floors,
    )


def _view(tx: Tx, offer_id: str) -> OfferAnswer:
    found = catalog.offer_views(tx, [offer_id]).get(offer_id)
    if found is None:
        raise Refusal("catalog.offer_unknown", f"No offer {offer_id[:60]}.", field="offer_id")
    return view_offer(found)


def _create(
    tx: Tx, seller_id: str, body: NewOffer, offer_id: str, terms: OfferTerms, at_ms: int
) -> OfferAnswer:
    catalog.create_offer(tx, seller_id, body.sku_id, offer_id, terms, at_ms, code=body.code, state=body.state)
    return _view(tx, offer_id)


def _change(
    tx: Tx, seller_id: str, offer_id: str, terms: OfferTerms, version: int, at_ms: int
) -> OfferAnswer:
    catalog.change_offer(tx, seller_id, offer_id, terms, version, at_ms)
    return _view(tx, offer_id)


def _move(tx: Tx, seller_id: str, offer_id: str, given: str, version: int, at_ms: int) -> OfferAnswer:
    catalog.move_offer(tx, seller_id, offer_id, given, version, at_ms)
    return _view(tx, offer_id)


@ROUTES.add(
    "POST",
    "/v1/offers",
    body=NewOffer,
    query=SellerQuery,
    returns=OfferAnswer,
    status=201,
    scope="catalog:write",
    roles=SELLING,
    example=OFFER,
    answer=OFFER_ANSWER,
    codes=TERM_CODES,
)
async def create_offer(call: Call) -> OfferAnswer:
    """Offer a SKU"""
    body: NewOffer = call.body
    seller_id, shard = acting(call, call.query.seller_id)
    offer_id = call.platform.world.mint("offer", gene_of(seller_id))
    return await call.platform.db.transact(
        shard, _create, seller_id, body, offer_id, _terms(body), call.now_ms()
    )


@ROUTES.add(
    "GET",
    "/v1/offers",
    query=OfferList,
    returns=Page[OfferAnswer],
    answer={"items": [OFFER_ANSWER], "next_cursor": ""},
    codes=("market.unknown",),
)
async def list_offers(call: Call) -> Page[OfferAnswer]:
    """List offers: of a market as buyers see them, or all of a seller"""
    query: OfferList = call.query
    if query.market:
        found = await catalog.offers_in_market(
            call.platform.db, market(query.market).code, query.cursor, query.limit
        )
    else:
        seller_id, shard = acting(call, query.seller_id)
        found = await call.platform.db.read(
            shard, catalog.offers_of_seller, seller_id, query.cursor, query.limit
        )
    return Page(items=tuple(view_offer(offer) for offer in found.offers), next_cursor=found.after)


@ROUTES.add(
    "GET",
    "/v1/offers/{offer_id}",
    returns=OfferAnswer,
    answer=OFFER_ANSWER,
    codes=("catalog.offer_unknown",),
)
async def get_offer(call: Call) -> OfferAnswer:
    """Read an offer

    Others than its seller see it while it is not ended.
    """
    offer_id = call.path["offer_id"]
    shard = home(call.platform.db, offer_id, "offer")
    found = await call.platform.db.read(shard, _view, offer_id)
    if found.state == "ENDED" and not parties.may_see(call.principal, seller_id=found.seller_id):
        raise Refusal("catalog.offer_unknown", f"No offer {offer_id}.", field="offer_id")
    return found


@ROUTES.add(
    "PUT",
    "/v1/offers/{offer_id}",
    body=Terms,
    query=SellerQuery,
    returns=OfferAnswer,
    scope="catalog:write",
    roles=SELLING,
    example={"markets": ["GB"], "prices": [{"currency": "GBP", "price": "7.95"}], "version": 1},
    answer={**OFFER_ANSWER, "version": 2},
    codes=TERM_CODES,
)
async def change_offer(call: Call) -> OfferAnswer:
    """Replace an offer's terms; quotes given before keep their prices"""
    body: Terms = call.body
    seller_id, shard = acting(call, call.query.seller_id)
    return await call.platform.db.transact(
        shard, _change, seller_id, call.path["offer_id"], _terms(body), body.version, call.now_ms()
    )


@ROUTES.add(
    "POST",
    "/v1/offers/{offer_id}/state",
    body=OfferInput,
    query=SellerQuery,
    returns=OfferAnswer,
    scope="catalog:write",
    roles=SELLING,
    example={"input": "pause"},
    answer={**OFFER_ANSWER, "state": "PAUSED", "version": 2},
    codes=("catalog.offer_unknown", "state.conflict", "version.conflict"),
)
async def move_offer(call: Call) -> OfferAnswer:
    """Pause, resume or end an offer"""
    body: OfferInput = call.body
    seller_id, shard = acting(call, call.query.seller_id)
    return await call.platform.db.transact(
        shard, _move, seller_id, call.path["offer_id"], body.input, body.version, call.now_ms()
    )
