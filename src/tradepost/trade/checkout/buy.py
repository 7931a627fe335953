"""The ways to buy: ask for a quote, place a quote, or buy now in one call."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tradepost.kernel.ids import gene_of
from tradepost.kernel.market import Market
from tradepost.markets import market
from tradepost.stability.switches import COUPONS_OFF, QUOTE_CACHE_ONLY, refusal_of
from tradepost.trade.checkout import rules
from tradepost.trade.checkout.context import Context
from tradepost.trade.checkout.earlier import Asked
from tradepost.trade.checkout.model import Address, Particulars, Placement, Quote, Want
from tradepost.trade.checkout.placement import make_placement
from tradepost.trade.checkout.tokens import quote_hash, read_quote, sign_quote
from tradepost.trade.inventory import Demand
from tradepost.trade.pricing import no_adjustments


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What comes with every placement: who asks, under which key, where to and how it is paid.

    `scope` is the party whose key this is; `request_hash` names the exact request, so that a repeat is known.
    `new_buyer` is a guest whose id was minted for this request: nothing can have been placed under it.
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


async def make_quote(
    context: Context, market_code: str, wants: Sequence[Want], *, buyer_id: str, scene: str = ""
) -> tuple[Quote, str]:
    """A priced promise for these lines and its signed token. Nothing is written and nothing is held."""
    where = market(market_code)
    rules.check_wants(wants, context.lines_max, context.quantity_max)
    quote = await _price(context, where, wants, buyer_id, scene, context.quote_ms(market_code, buyer_id))
    return quote, sign_quote(quote, context.secret)


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
    return _placement(context, quote, market(quote.market), request, quote_hash(token), quoted=True)


async def accept_buy_now(
    context: Context, market_code: str, wants: Sequence[Want], request: Request, *, scene: str = ""
) -> Placement:
    """The placement of these lines at their price of this moment, if the total is the one the buyer saw."""
    where = market(market_code)
    rules.check_wants(wants, context.lines_max, context.quantity_max)
    await _refuse_sold_out(context, wants, request)
    quote = await _price(context, where, wants, request.buyer_id, scene, 0)
    rules.accept(
        quote,
        buyer_id=request.buyer_id,
        total_minor=request.total_minor,
        currency=request.currency,
    )
    return _placement(context, quote, where, request, "", quoted=False)


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


async def _price(
    context: Context, where: Market, wants: Sequence[Want], buyer_id: str, scene: str, ttl_ms: int
) -> Quote:
    offer_ids = [want.offer_id for want in wants]
    views, missing = context.book.peek(offer_ids)
    if missing:
        if context.switches.is_on(QUOTE_CACHE_ONLY):
            raise refusal_of(
                "switch.quote_cache_only", "Some offers are not remembered here.", offer_ids=sorted(missing)
            )
        views = await context.book.get(offer_ids)
    gene = gene_of(buyer_id)
    world = context.world
    return rules.make_quote(
        wants,
        views,
        where,
        buyer_id=buyer_id,
        scene=rules.scene_of(wants, scene),
        at_ms=world.now_ms(),
        ttl_ms=ttl_ms,
        mint=lambda kind: world.mint(kind, gene),
        adjust=no_adjustments if context.switches.is_on(COUPONS_OFF) else None,
    )


def _placement(
    context: Context, quote: Quote, where: Market, request: Request, hashed: str, *, quoted: bool
) -> Placement:
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
    )
    return make_placement(quote, where, context.terms, given)
