"""Offers: a SKU at a price by a seller under terms."""

from __future__ import annotations

from collections.abc import Sequence
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
from tradepost.surfaces.api.routes.offer_views import (
    OFFER,
    OFFER_ANSWER,
    PRICE_BOUNDS,
    PRICE_NOW,
    OfferAnswer,
    view_offer,
    view_price,
)
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
    Version,
    home,
)
from tradepost.trade import catalog, checkout, parties
from tradepost.trade.catalog import Layer, OfferTerms, OfferView, PriceWindow
from tradepost.trade.parties import Role

ROUTES = Routes("offers")
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


Convert = Annotated[
    str,
    Meta(
        max_length=3,
        description="Sell in markets without a price of their own too, converted from the prices in this currency at"
        " the rate in force; you are paid in it. Empty sells nothing converted.",
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
    convert_from: Convert = ""


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
    convert_from: Convert = ""


class OfferInput(msgspec.Struct, frozen=True, kw_only=True):
    """What to do with an offer; `version` 0 takes it as it is."""

    input: Literal["pause", "resume", "end"]
    version: Version = 0


class PriceQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Where an offer is looked at: its `now` is the price in this market, in this scene, led to by this content."""

    market: Code = ""
    scene: Annotated[str, Meta(max_length=64)] = ""
    content_id: Annotated[str, Meta(max_length=64)] = ""


class OfferList(msgspec.Struct, frozen=True, kw_only=True):
    """Which offers: those shown in a market, or every offer of a seller (sellers: your own).

    Their `now` is the price in that market, in this scene, led to by this content.
    """

    market: Code = ""
    scene: Annotated[str, Meta(max_length=64)] = ""
    content_id: Annotated[str, Meta(max_length=64)] = ""
    seller_id: Annotated[str, Meta(max_length=64)] = ""
    cursor: Cursor = ""
    limit: Limit = 50


async def _shown(call: Call, offers: Sequence[OfferView]) -> tuple[OfferAnswer, ...]:
    """Offers with their prices of this moment in the market that was named, in their order."""
    query: PriceQuery | OfferList = call.query
    where = market(query.market)
    buying = call.principal.role in (Role.BUYER, Role.GUEST)
    prices = await checkout.price_offers(
        call.platform.checkout,
        offers,
        where,
        buyer_id=call.principal.party_id if buying else "",
        scene=query.scene,
        content_id=query.content_id,
    )
    return tuple(
        [view_offer(offer, view_price(prices.get(offer.offer_id), where.currency)) for offer in offers]
    )


def _terms(body: Terms | NewOffer) -> OfferTerms:
    prices = tuple(
        PriceWindow(
            currency=term.currency,
            price_e4=price_from_major(term.price, term.currency),
            from_ms=term.from_ms,
            until_ms=term.until_ms,
            layer=term.layer,
            **{bound: getattr(term, bound) for bound in PRICE_BOUNDS},
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
        convert_from=body.convert_from,
    )


def _find(tx: Tx, offer_id: str) -> OfferView:
    found = catalog.offer_views(tx, [offer_id]).get(offer_id)
    if found is None:
        raise Refusal("catalog.offer_unknown", f"No offer {offer_id[:60]}.", field="offer_id")
    return found


def _view(tx: Tx, offer_id: str) -> OfferAnswer:
    return view_offer(_find(tx, offer_id))


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
    answer={"items": [{**OFFER_ANSWER, "now": PRICE_NOW}], "next_cursor": ""},
    codes=("market.unknown",),
)
async def list_offers(call: Call) -> Page[OfferAnswer]:
    """List offers: of a market as buyers see them, or all of a seller

    Of a market each has its price of this moment as `now`.
    """
    query: OfferList = call.query
    if query.market:
        found = await catalog.offers_in_market(
            call.platform.db, market(query.market).code, query.cursor, query.limit
        )
        return Page(items=await _shown(call, found.offers), next_cursor=found.after)
    seller_id, shard = acting(call, query.seller_id)
    found = await call.platform.db.read(shard, catalog.offers_of_seller, seller_id, query.cursor, query.limit)
    return Page(items=tuple(view_offer(offer) for offer in found.offers), next_cursor=found.after)


@ROUTES.add(
    "GET",
    "/v1/offers/{offer_id}",
    query=PriceQuery,
    returns=OfferAnswer,
    answer={**OFFER_ANSWER, "now": PRICE_NOW},
    codes=("catalog.offer_unknown", "market.unknown"),
)
async def get_offer(call: Call) -> OfferAnswer:
    """Read an offer, and what it costs now where a market is named

    Others than its seller see it while it is not ended.
    """
    offer_id = call.path["offer_id"]
    shard = home(call.platform.db, offer_id, "offer")
    found = await call.platform.db.read(shard, _find, offer_id)
    if found.state == "ENDED" and not parties.may_see(call.principal, seller_id=found.seller_id):
        raise Refusal("catalog.offer_unknown", f"No offer {offer_id}.", field="offer_id")
    return (await _shown(call, [found]))[0] if call.query.market else view_offer(found)


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
