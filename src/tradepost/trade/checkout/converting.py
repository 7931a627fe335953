"""Offers sold in a currency their seller set no price in: converted at the rate in force, which the quote freezes.

A price of the seller's own in the buyer's currency always decides. The margin is income of the platform and is
taken with its fee; what is left is owed to the seller at the rate itself, in the currency of the seller's price.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from fractions import Fraction

from msgspec.structs import replace

from tradepost.kernel.errors import Refusal
from tradepost.kernel.market import Market
from tradepost.kernel.money import Rounding, divide
from tradepost.trade.catalog import OfferView, PriceWindow, price_at
from tradepost.trade.checkout.context import Context
from tradepost.trade.checkout.model import Quote, QuotedOrder
from tradepost.trade.checkout.promoting import Offered
from tradepost.trade.orders import Conversion, OrderLine
from tradepost.trade.pricing import FrozenRate, GiftLine, Rates, convert_currency, quote_price, rates_in_force

PPM = 1_000_000
Ask = Callable[[Offered | None, tuple[GiftLine, ...]], Quote]
"""Price a basket under these campaigns, with what they may give."""
Make = Callable[[Offered | None, tuple[GiftLine, ...], Mapping[str, OfferView]], Quote]
"""The same, with these offers."""


def shown_in(context: Context, offers: Mapping[str, OfferView], where: Market) -> Mapping[str, OfferView]:
    """The offers as a market shows them: converted where a rate holds, without a price where none does."""
    if not any([offer.convert_from for offer in offers.values()]):
        return offers
    at_ms = context.world.now_ms()
    rates = rates_in_force(context.live, at_ms)
    return {offer_id: _shown(offer, where, rates, at_ms) for offer_id, offer in offers.items()}


def _shown(offer: OfferView, where: Market, rates: Rates, at_ms: int) -> OfferView:
    try:
        return convert_offer(offer, where, rates, at_ms)
    except Refusal as refusal:
        if refusal.code not in ("fx.no_rate", "fx.rate_stale"):
            raise
        return offer


def convert_offer(offer: OfferView, where: Market, rates: Rates, at_ms: int) -> OfferView:
    """The offer with its prices and floor in the market's currency besides, for as long as the rate holds.

    Each stands behind the seller's own prices in that currency, so those decide wherever there are any. Raises
    Refusal `fx.no_rate` or `fx.rate_stale`; an offer that is not sold converted comes back as it is.
    """
    sold, paid = offer.convert_from, where.currency
    if not sold or sold == paid:
        return offer
    found = []
    for window in [one for one in offer.prices if one.currency == sold]:
        try:
            quoted = quote_price({sold: window.price_e4}, paid, rates, at_ms)
        except Refusal as refusal:
            refusal.extra["offer_id"] = offer.offer_id
            raise
        if quoted.rate is not None:
            found.append(_within(replace(window, currency=paid, price_e4=quoted.price_e4), quoted.rate))
    floors = offer.floors
    if found and floors.get(sold) and not floors.get(paid):
        rate = rates[(sold, paid)].with_margin()
        floors = {**floors, paid: convert_currency(floors[sold], sold, paid, rate, Rounding.UP)}
    kept = [window for window in found if not window.until_ms or window.from_ms < window.until_ms]
    return replace(offer, prices=(*offer.prices, *kept), floors=floors)


def _within(window: PriceWindow, rate: FrozenRate) -> PriceWindow:
    until_ms = min(window.until_ms or rate.until_ms, rate.until_ms)
    return replace(window, from_ms=max(window.from_ms, rate.published_ms), until_ms=until_ms)


def price_converted(
    context: Context, where: Market, views: Mapping[str, OfferView], refusal: Refusal, make: Make
) -> Ask:
    """How to price a basket of which an offer has no price here: with converted ones, frozen into the quote.

    Raises the refusal itself where no offer of the basket is sold converted, `fx.*` where no rate holds.
    """
    if refusal.code != "pricing.no_price" or not any([view.convert_from for view in views.values()]):
        raise refusal
    at_ms = context.world.now_ms()
    rates = rates_in_force(context.live, at_ms)
    converted = {}
    for offer_id, view in views.items():
        unpriced = offer_id == refusal.extra.get("offer_id") or not _has_own(view, where)
        convert = convert_offer if unpriced else _shown
        converted[offer_id] = convert(view, where, rates, at_ms)

    def again(offered: Offered | None, given: tuple[GiftLine, ...]) -> Quote:
        segments = offered.facts.segments if offered is not None else ()
        return freeze_rates(make(offered, given, converted), views, where, rates, segments)

    return again


def _has_own(offer: OfferView, where: Market) -> bool:
    return any([window.currency == where.currency for window in offer.prices])


def freeze_rates(
    quote: Quote, views: Mapping[str, OfferView], where: Market, rates: Rates, segments: Collection[str]
) -> Quote:
    """The quote with the rates it was priced at, their margin in its fees, and a deadline no later than theirs.

    `views` are the offers as their sellers made them. Raises Refusal `fx.mixed`.
    """
    ordered = [_freeze(one, quote, views, where, rates, tuple(segments)) for one in quote.orders]
    untils = [held.rate.until_ms - 1 for one in ordered for held in one.conversions]
    return replace(quote, orders=tuple(ordered), expires_at_ms=min([quote.expires_at_ms, *untils]))


def _freeze(
    ordered: QuotedOrder,
    quote: Quote,
    views: Mapping[str, OfferView],
    where: Market,
    rates: Rates,
    segments: tuple[str, ...],
) -> QuotedOrder:
    own = [
        0 if line.gift is not None else _own_price(line, views[line.offer_id], quote, where, segments)
        for line in ordered.lines
    ]
    sold = {
        views[line.offer_id].convert_from for line, price in zip(ordered.lines, own, strict=True) if price
    }
    if not sold:
        return ordered
    if len(sold) > 1:
        raise Refusal(
            "fx.mixed",
            f"Goods of seller {ordered.seller_id} are converted from {' and '.join(sorted(sold))}.",
            field="lines",
            expected="goods of one of them",
            extra={"seller_id": ordered.seller_id},
        )
    rate = rates[(sold.pop(), where.currency)]
    lines = [
        replace(line, fee_minor=line.fee_minor + _margin(line, rate, where)) if price else line
        for line, price in zip(ordered.lines, own, strict=True)
    ]
    return replace(
        ordered,
        lines=tuple(lines),
        fee_minor=ordered.fee_minor + _fees(lines) - _fees(ordered.lines),
        conversions=(Conversion(rate=rate, sold_e4=tuple(own)),),
    )


def _own_price(
    line: OrderLine, offer: OfferView, quote: Quote, where: Market, segments: tuple[str, ...]
) -> int:
    """The seller's price that was converted for a line, ten-thousandths of a minor unit; 0 where none was."""
    asked = (quote.made_at_ms, where.code, quote.scene, line.content_id, segments)
    if not offer.convert_from or price_at(offer, where.currency, *asked) is not None:
        return 0
    return price_at(offer, offer.convert_from, *asked) or 0


def _margin(line: OrderLine, rate: FrozenRate, where: Market) -> int:
    """The margin within what the buyer pays for a line, never more than fee and tax leave of it."""
    paid = line.total_minor if where.prices_include_tax else line.total_minor - line.tax_minor
    share = Fraction(rate.margin_ppm, PPM + rate.margin_ppm)
    amount = divide(paid * share.numerator, share.denominator, where.rounding)
    return max(0, min(amount, line.total_minor - line.tax_minor - line.fee_minor))


def _fees(lines: Iterable[OrderLine]) -> int:
    return sum([line.fee_minor for line in lines])
