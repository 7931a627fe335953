"""The ways to buy: ask for a quote, place a quote, or buy now in one call."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import gene_of
from tradepost.kernel.market import Market
from tradepost.markets import market
from tradepost.stability.switches import COUPONS_OFF, QUOTE_CACHE_ONLY, refusal_of
from tradepost.trade.catalog import OfferView
from tradepost.trade.checkout import gifts, rules, sending
from tradepost.trade.checkout.context import Context
from tradepost.trade.checkout.converting import Ask, price_converted
from tradepost.trade.checkout.earlier import Asked
from tradepost.trade.checkout.model import Address, Particulars, Placement, Quote, Want
from tradepost.trade.checkout.placement import make_placement
from tradepost.trade.checkout.promoting import (
    Asker,
    Offered,
    clean_codes,
    find_offered,
    leave_out_spent,
    offer_uncounted,
    refuse_unknown,
)
from tradepost.trade.checkout.tendering import StoredWish, find_part
from tradepost.trade.checkout.tokens import quote_hash, read_quote, sign_quote
from tradepost.trade.inventory import Demand
from tradepost.trade.pricing import ADJUSTMENTS, GiftLine, no_adjustments
from tradepost.trade.promotion import NOTHING_IN_FORCE, check_discount


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What comes with every placement: who asks, under which key, where to and how it is paid.

    `scope` is the party whose key this is; `request_hash` names the exact request, so that a repeat is known.
    `new_buyer` is a guest whose id was minted for this request: nothing can have been placed under it. `shipping` are
    the methods chosen, by seller. `stored` is what of the total stored value shall pay; `method` then pays the rest.
    """

    scope: str
    key: str
    request_hash: str
    buyer_id: str
    address: Address
    email: str = ""
    method: str = ""
    confirm: bool = False
    total_minor: int | None = None
    currency: str = ""
    new_buyer: bool = False
    codes: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()
    shipping: Mapping[str, str] = {}
    stored: StoredWish | None = None


async def make_quote(
    context: Context,
    market_code: str,
    wants: Sequence[Want],
    *,
    buyer_id: str,
    scene: str = "",
    codes: tuple[str, ...] = (),
    segments: tuple[str, ...] = (),
    region: str = "",
    wish: sending.Wish = sending.NO_WISH,
) -> tuple[Quote, str]:
    """A priced promise for these lines and its signed token. Nothing is written and nothing is held.

    `codes` are coupons, `segments` the groups that whoever asks for the buyer says they are in, `region` is where the
    goods go if the market's taxes differ by region, `wish` where they go and how, of sellers with shipping terms.
    Raises `promotion.*` for a code that gives nothing and `shipping.*` for what cannot be sent.
    """
    given = wish.destination
    if given is not None and not region:
        region = given.region if given.country in ("", market_code) else ""
    where = market(market_code).destined(market_code, region)
    rules.check_wants(wants, context.lines_max, context.quantity_max)
    asker = Asker(buyer_id=buyer_id, codes=codes, segments=segments)
    ttl_ms = context.quote_ms(market_code, buyer_id)
    quote = await price_wants(context, where, wants, asker, scene, ttl_ms, wish)
    if where.region:
        quote = msgspec.structs.replace(quote, region=where.region)
    kept = msgspec.structs.replace(quote, missed_gifts=()) if quote.missed_gifts else quote
    return quote, sign_quote(sending.without_options(kept), context.secret)


async def price_exchange(
    context: Context, market_code: str, wants: Sequence[Want], *, buyer_id: str, scene: str, address: Address
) -> Quote:
    """What other goods cost the buyer of an order, sent to its address, now. Nothing is written or held.

    Campaigns that are counted are left out: an exchange takes no use of them. Raises what quotes do.
    """
    where = market(market_code).destined(address.country, address.region)
    rules.check_wants(wants, context.lines_max, context.quantity_max)
    asker = Asker(buyer_id=buyer_id, counted=False)
    quote = await price_wants(context, where, wants, asker, scene, 0, sending.wish_of(address, {}))
    _guard(context, quote)
    return quote


async def accept_quote(context: Context, token: str, request: Request) -> Placement:
    """The placement of a signed quote. Raises the refusals of forged, foreign and changed quotes and addresses.

    A deadline that has passed is refused by placing, and only when the quote was not placed before.
    """
    quote = read_quote(token, context.secret)
    rules.accept(
        quote,
        buyer_id=request.buyer_id,
        total_minor=request.total_minor,
        currency=request.currency,
    )
    where = market(quote.market)
    rules.check_region(quote, request.address, where)
    sending.check_destination(quote, request.address, where)
    stored = 0 if request.stored is None else await find_part(context, quote, request.stored, request.method)
    return _placement(context, quote, where, request, quote_hash(token), quoted=True, stored_minor=stored)


async def accept_buy_now(
    context: Context, market_code: str, wants: Sequence[Want], request: Request, *, scene: str = ""
) -> Placement:
    """The placement of these lines at their price of this moment, if the total is the one the buyer saw."""
    where = market(market_code).destined(request.address.country, request.address.region)
    rules.check_wants(wants, context.lines_max, context.quantity_max)
    await _refuse_sold_out(context, wants, request)
    asker = Asker(
        buyer_id=request.buyer_id,
        codes=request.codes,
        segments=request.segments,
        new_buyer=request.new_buyer,
    )
    wish = sending.wish_of(request.address, request.shipping)
    quote = await price_wants(context, where, wants, asker, scene, 0, wish)
    rules.accept(
        quote,
        buyer_id=request.buyer_id,
        total_minor=request.total_minor,
        currency=request.currency,
    )
    stored = 0 if request.stored is None else await find_part(context, quote, request.stored, request.method)
    return _placement(context, quote, where, request, "", quoted=False, stored_minor=stored)


async def _refuse_sold_out(context: Context, wants: Sequence[Want], request: Request) -> None:
    """Refuse the crowd after a sale before anything is priced, unless it repeats what was placed."""
    if not context.hints:
        return
    views, missing = context.book.peek([want.offer_id for want in wants])
    if missing:
        return
    demands = [
        Demand(
            owner_id="",
            sku_id=component.sku_id,
            pool=view.pool,
            quantity=component.quantity * want.quantity,
        )
        for want in wants
        for view in (views[want.offer_id],)
        for component in view.components
    ]
    refusal = await context.hints.last_word(demands)
    if refusal is None:
        return
    asked = Asked(
        gene=gene_of(request.buyer_id),
        scope=request.scope,
        key=request.key,
        request_hash=request.request_hash,
        buyer_id=request.buyer_id,
    )
    if await context.earlier.find(asked) is None:
        raise refusal


async def price_wants(
    context: Context,
    where: Market,
    wants: Sequence[Want],
    asker: Asker,
    scene: str,
    ttl_ms: int,
    wish: sending.Wish,
) -> Quote:
    """The quote of these lines now, unsigned: the one place where a basket is priced, for carts and checkouts alike."""
    offer_ids = [want.offer_id for want in wants]
    views, missing = context.book.peek(offer_ids)
    if missing:
        views = await _load(context, offer_ids, missing)
    scene = rules.scene_of(wants, scene)
    offered = None
    if asker.codes or (context.campaigns is not None and context.campaigns.present is not NOTHING_IN_FORCE):
        sellers = {view.seller_id for view in views.values()}
        offered = await find_campaigns(context, where, scene, asker, wants, sellers)
    has_terms = wish.methods or any([view.shipping_version for view in views.values()])
    ways = await sending.find_ways(context, views, where, wish) if has_terms else None
    gene, world = gene_of(asker.buyer_id), context.world

    def make(
        offered: Offered | None, given: tuple[GiftLine, ...] = (), views: Mapping[str, OfferView] = views
    ) -> Quote:
        return rules.make_quote(
            wants,
            views,
            where,
            buyer_id=asker.buyer_id,
            scene=scene,
            at_ms=world.now_ms() if offered is None else offered.priced.at_ms,
            ttl_ms=ttl_ms,
            mint=lambda kind: world.mint(kind, gene),
            adjust=no_adjustments if context.switches.is_on(COUPONS_OFF) else None,
            offered=offered,
            ways=ways,
            gifts=given,
        )

    given: tuple[GiftLine, ...] = ()
    if offered is not None and offered.in_force.gifts and asker.counted:
        given = await gifts.find_gifts(context, offered, where, scene, views)
    ask: Ask = make
    try:
        quote = make(offered, given)
    except Refusal as refusal:
        ask = price_converted(context, where, views, refusal, make)
        quote = ask(offered, given)
    return await _within_limits(context, offered, where, given, quote, ask)


async def _within_limits(
    context: Context,
    offered: Offered | None,
    where: Market,
    given: tuple[GiftLine, ...],
    quote: Quote,
    ask: Ask,
) -> Quote:
    """The quote without what is used up: campaigns of whose limits too little is left, and gifts that are gone."""
    if quote.limits and offered is not None:
        fewer = await leave_out_spent(context, offered, where, quote.limits)
        if fewer is not None:
            offered, quote = fewer, ask(fewer, given)
    if given:
        return await gifts.quote_in_stock(context, given, quote, partial(ask, offered))
    return quote


async def _load(context: Context, offer_ids: Sequence[str], missing: Sequence[str]) -> dict[str, OfferView]:
    if context.switches.is_on(QUOTE_CACHE_ONLY):
        raise refusal_of(
            "switch.quote_cache_only", "Some offers are not remembered here.", offer_ids=sorted(missing)
        )
    return await context.book.get(offer_ids)


async def find_campaigns(
    context: Context,
    where: Market,
    scene: str,
    asker: Asker,
    wants: Sequence[Want],
    sellers: Collection[str],
) -> Offered | None:
    """The campaigns this buyer may use; None where nothing is in force."""
    book = context.campaigns
    if book is None:
        in_force = None
    else:
        in_force = book.present
        if in_force is None:
            in_force = await book.load()
    if not in_force and not asker.codes:
        return None
    if context.switches.is_on(COUPONS_OFF) or ADJUSTMENTS.choose(scene) is not no_adjustments:
        return None
    if not in_force or book is None:
        raise refuse_unknown(clean_codes(asker.codes)[0])
    if not asker.counted:
        return offer_uncounted(in_force, where, context.world.now_ms())
    return await find_offered(context, in_force, where, scene, asker, wants, sellers)


def _placement(
    context: Context,
    quote: Quote,
    where: Market,
    request: Request,
    hashed: str,
    *,
    quoted: bool,
    stored_minor: int = 0,
) -> Placement:
    _guard(context, quote)
    given = Particulars(
        address=rules.check_address(request.address, where),
        email=request.email,
        method=request.method,
        confirm=request.confirm,
        scope=request.scope,
        key=request.key,
        request_hash=request.request_hash,
        quote_hash=hashed,
        quoted=quoted,
        new_buyer=request.new_buyer,
        at_ms=context.world.now_ms(),
        stored_minor=stored_minor,
    )
    return make_placement(quote, where, context.terms, given)


def _guard(context: Context, quote: Quote) -> None:
    """Raise `promotion.price_error` where campaigns together take more off than the market's guard lets pass."""
    if quote.priced.edition:
        lines = [line for ordered in quote.orders for line in ordered.lines if line.gift is None]
        listed = sum([line.list_minor for line in lines])
        lowered = sum([change.amount_minor for line in lines for change in line.adjustments])
        check_discount(listed, listed + lowered, context.guard(quote.market))
