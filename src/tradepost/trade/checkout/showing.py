"""What a buyer is shown before there is a quote: the price of one piece in a list, and a whole cart.

Both are asked of the same pricing, under the same campaigns, as a quote of the same moment; nothing is kept of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.kernel.market import Market
from tradepost.markets import market
from tradepost.stability.switches import COUPONS_OFF
from tradepost.trade import pricing, tax
from tradepost.trade.catalog import Layer, OfferView, price_at
from tradepost.trade.checkout import rules, sending
from tradepost.trade.checkout.buy import find_campaigns, price_wants
from tradepost.trade.checkout.context import Context
from tradepost.trade.checkout.converting import shown_in
from tradepost.trade.checkout.freezing import SELLABLE
from tradepost.trade.checkout.model import Quote, Want
from tradepost.trade.checkout.promoting import Asker, Offered
from tradepost.trade.promotion import Adjustment, Campaign, RuleClass

CHANGES_TRIED = 8
"""Moments at which something begins or ends that a price is worked out for, to find when it changes."""
SHOWN_ANYHOW = ("promotion.", "shipping.", "pricing.", "checkout.", "switch.", "fx.")
"""Refusals of a quote that a cart is shown in spite of."""


class PriceNow(msgspec.Struct, frozen=True, kw_only=True):
    """What one piece of an offer costs at a moment. `list_e4` is its list price, `unit_e4` that of its price layers.

    `amount_minor` is what is left after the campaigns that need no code and lower lines, by `changes`; all three as
    the market writes prices, with tax or before it.
    `changes_at_ms` is the next moment at which the price is another one, as far as is known now; 0 when none is known.
    """

    offer_id: str
    list_e4: int | None
    unit_e4: int
    amount_minor: int
    changes: tuple[Adjustment, ...] = ()
    changes_at_ms: int = 0


class CartPrices(msgspec.Struct, frozen=True, kw_only=True):
    """A cart priced as its quote would be; `quote` is None when there is none, and `refusal` says why.

    `left_out` are offers that cannot be bought now, `refused_codes` the problem of the codes that gave nothing.
    """

    quote: Quote | None
    left_out: tuple[str, ...] = ()
    refused_codes: str = ""
    refusal: str = ""


async def price_offers(
    context: Context,
    offers: Sequence[OfferView],
    where: Market,
    *,
    buyer_id: str = "",
    segments: tuple[str, ...] = (),
    scene: str = "",
    content_id: str = "",
) -> dict[str, PriceNow]:
    """What one piece of each offer costs now in a market, by offer id; those without a price here are left out.

    Without `buyer_id` campaigns for first orders give nothing and nobody's own limits are looked at.
    """
    offers = list(shown_in(context, {offer.offer_id: offer for offer in offers}, where).values())
    wants = [Want(offer_id=offer.offer_id, quantity=1, content_id=content_id) for offer in offers]
    scene = rules.scene_of(wants, scene)
    offered = None
    if offers and context.campaigns is not None:
        asker = Asker(buyer_id=buyer_id, segments=segments)
        sellers = {offer.seller_id for offer in offers}
        offered = await find_campaigns(context, where, scene, asker, wants, sellers)
    ask = _Question(context, where, scene, content_id, segments, offered)
    at_ms = context.world.now_ms() if offered is None else offered.priced.at_ms
    found = {}
    for offer in offers:
        now = ask.price(offer, at_ms)
        if now is not None:
            found[offer.offer_id] = msgspec.structs.replace(
                now, changes_at_ms=ask.next_change(offer, now, at_ms)
            )
    return found


class _Question:
    """The same question at several moments: one piece of an offer, alone in a basket."""

    def __init__(
        self,
        context: Context,
        where: Market,
        scene: str,
        content_id: str,
        segments: tuple[str, ...],
        offered: Offered | None,
    ) -> None:
        self.where, self.scene, self.content_id, self.segments = where, scene, content_id, segments
        self.facts = pricing.BuyerFacts(segments=segments) if offered is None else offered.facts
        self.adjust: pricing.Adjust | None = offered.strategy if offered is not None else None
        if self.adjust is None and context.switches.is_on(COUPONS_OFF):
            self.adjust = pricing.no_adjustments
        campaigns = offered.in_force.by_id.values() if offered is not None else ()
        self.campaigns = [one for one in campaigns if not one.needs_code and _is_here(one, where)]

    def price(self, offer: OfferView, at_ms: int) -> PriceNow | None:
        """The price at a moment; None where the offer has none."""
        want = Want(offer_id=offer.offer_id, quantity=1, content_id=self.content_id)
        try:
            line = pricing.price(
                [rules.to_price_line(want, offer, self.where)],
                self.where,
                at_ms,
                tax=tax.TAXES.choose(self.scene),
                ship=_nothing,
                scene=self.scene,
                adjust=self.adjust,
                buyer=self.facts,
                traced=False,
            ).lines[0]
        except Refusal as refusal:
            if refusal.code.startswith("pricing."):
                return None
            raise
        changes = tuple([one for one in line.adjustments if one.rule_class is RuleClass.LINE])
        return PriceNow(
            offer_id=offer.offer_id,
            list_e4=price_at(_Listed(offer), self.where.currency, at_ms),
            unit_e4=line.unit_price_e4,
            amount_minor=line.list_minor + sum([one.amount_minor for one in changes]),
            changes=changes,
        )

    def next_change(self, offer: OfferView, now: PriceNow, at_ms: int) -> int:
        """The first of the next moments at which the price is another one than now; 0 when none of them is."""
        moments = {moment for window in offer.prices for moment in (window.from_ms, window.until_ms)}
        for one in self.campaigns:
            if _may_touch(one, offer):
                moments |= {one.from_ms, one.until_ms}
        for moment in sorted(moment for moment in moments if moment > at_ms)[:CHANGES_TRIED]:
            if self.price(offer, moment) != now:
                return moment
        return 0


class _Listed:
    """The list prices of an offer alone."""

    def __init__(self, offer: OfferView) -> None:
        self.prices = tuple([window for window in offer.prices if window.layer is Layer.LIST])


def _is_here(campaign: Campaign, where: Market) -> bool:
    return campaign.currency == where.currency and (not campaign.markets or where.code in campaign.markets)


def _may_touch(campaign: Campaign, offer: OfferView) -> bool:
    """Whether some rule that lowers lines may be for this offer, by what its filter says of goods."""
    return campaign.seller_id in ("", offer.seller_id) and any(
        rule.rule_class is RuleClass.LINE
        and (not rule.filter.offers or offer.offer_id in rule.filter.offers)
        and (not rule.filter.products or offer.product_id in rule.filter.products)
        and (not rule.filter.skus or offer.sku_id in rule.filter.skus)
        and (not rule.filter.sellers or offer.seller_id in rule.filter.sellers)
        for rule in campaign.rules
    )


def _nothing(market: Market, seller_id: str, goods_minor: int, units: int) -> int:
    return 0


async def price_cart(
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
) -> CartPrices:
    """What these lines would be quoted at now. A cart is shown whatever is wrong with it, so little is refused.

    What cannot be bought now is left out, codes that give nothing are left away.
    """
    where = market(market_code).destined(market_code, region)
    views = shown_in(context, await context.book.get([want.offer_id for want in wants]), where)
    at_ms = context.world.now_ms()
    place = rules.scene_of(wants, scene)
    buyable = [_is_buyable(views, want, where, at_ms, place, segments) for want in wants]
    kept = [want for want, fits in zip(wants, buyable, strict=True) if fits]
    left_out = tuple([want.offer_id for want, fits in zip(wants, buyable, strict=True) if not fits])
    if not kept:
        return CartPrices(quote=None, left_out=left_out, refusal="checkout.lines_empty")
    refused = ""
    for given in (codes, ()) if codes else ((),):
        asker = Asker(buyer_id=buyer_id, codes=given, segments=segments)
        try:
            quote = await price_wants(context, where, kept, asker, scene, 0, wish)
        except Refusal as refusal:
            if not refusal.code.startswith(SHOWN_ANYHOW):
                raise
            if not (given and refusal.code.startswith("promotion.")):
                return CartPrices(quote=None, left_out=left_out, refused_codes=refused, refusal=refusal.code)
            refused = refusal.code
        else:
            return CartPrices(quote=quote, left_out=left_out, refused_codes=refused)
    return CartPrices(quote=None, left_out=left_out, refused_codes=refused, refusal=refused)


def _is_buyable(
    views: Mapping[str, OfferView],
    want: Want,
    where: Market,
    at_ms: int,
    scene: str,
    segments: Iterable[str],
) -> bool:
    """Whether a quote would take the line: on sale here, at a price, in this quantity."""
    offer = views.get(want.offer_id)
    return (
        offer is not None
        and (offer.state, offer.seller_state) == SELLABLE
        and where.code in offer.markets
        and 0 < want.quantity <= (offer.quantity_max or pricing.QUANTITY_MAX)
        and pricing.list_price(
            offer, where, at_ms, scene=scene, content_id=want.content_id, segments=tuple(segments)
        )
        is not None
    )
