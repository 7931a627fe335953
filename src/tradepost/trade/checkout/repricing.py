"""Pricing placed orders again: by the rules of their day, or by others. Pure; prices are the orders' own snapshots."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from tradepost.kernel.market import Market
from tradepost.trade import tax
from tradepost.trade.catalog import OfferView, PriceWindow
from tradepost.trade.checkout.model import Quote
from tradepost.trade.checkout.rules import groups_of
from tradepost.trade.orders import Order, OrderLine, PricedUnder
from tradepost.trade.pricing import (
    Adjustment,
    BuyerFacts,
    GiftLine,
    Priced,
    PriceLine,
    Promotions,
    no_adjustments,
    price,
)
from tradepost.trade.promotion import Campaign, Edition, InForce, Policy, Verdict, policy_of


class Portion(msgspec.Struct, frozen=True, kw_only=True):
    """One seller's part of a basket as it stands: its lines, where they stood, and what its parcels cost.

    `missed` are gifts that decided with the others what the rules gave, and sold out before the order was placed.
    """

    seller_id: str
    lines: tuple[OrderLine, ...]
    places: tuple[int, ...]
    total_minor: int
    tax_minor: int
    shipping_minor: int
    shipping_adjusted_minor: int
    missed: tuple[OrderLine, ...] = ()


class Bought(msgspec.Struct, frozen=True, kw_only=True):
    """A whole basket as it was bought, or quoted: what is needed to price it again."""

    name: str
    buyer_id: str
    market: str
    scene: str
    at_ms: int
    priced: PricedUnder
    portions: tuple[Portion, ...]
    country: str = ""
    region: str = ""

    @property
    def total_minor(self) -> int:
        """What the buyer was to pay."""
        return sum(portion.total_minor for portion in self.portions)


EDITIONS_READY_MAX = 256
"""Editions that are kept compiled; beyond them the one met first is made ready again when it is asked for."""


class Rules:
    """Strategies by edition, compiled when asked for; with drafts they stand beside, or in place of, those of the day.

    `editions` may be read when they are asked for: nothing but the last 256 is kept of them.
    """

    def __init__(self, editions: Mapping[int, Edition], drafts: Sequence[Campaign] = ()) -> None:
        self._editions = editions
        self._drafts = tuple(drafts)
        self._ready: dict[int, InForce] = {}

    def strategy(self, edition: int, policy: Policy, without: Iterable[str]) -> Promotions | None:
        """The engine for baskets of an edition; None when nothing is in force. Raises KeyError for a lost edition."""
        ready = self._ready.get(edition)
        if ready is None:
            if len(self._ready) >= EDITIONS_READY_MAX:
                del self._ready[next(iter(self._ready))]
            ready = self._ready[edition] = InForce(self._with_drafts(edition))
        return ready.strategy(policy, frozenset(without)) if ready else None

    @property
    def unlocked(self) -> tuple[str, ...]:
        """Drafts count for everybody, whether or not they need a code."""
        return tuple(draft.campaign_id for draft in self._drafts)

    def _with_drafts(self, edition: int) -> Edition:
        found = self._editions[edition] if edition else Edition(edition=0, campaigns=())
        replaced = {draft.campaign_id for draft in self._drafts}
        kept = [one for one in found.campaigns if one.campaign_id not in replaced]
        return msgspec.structs.replace(found, campaigns=(*kept, *self._drafts))


def bought(orders: Sequence[Order]) -> Bought:
    """The basket of one checkout, out of all its orders."""
    first = orders[0]
    places = _places([(order.order_id, order.body.places, len(order.body.lines)) for order in orders])
    return Bought(
        name=first.checkout_id,
        buyer_id=first.buyer_id,
        market=first.market,
        scene=first.scene,
        at_ms=first.body.priced.at_ms or first.placed_at_ms,
        priced=first.body.priced,
        country=first.body.address.get("country", ""),
        region=first.body.address.get("region", ""),
        portions=tuple(
            Portion(
                seller_id=order.seller_id,
                lines=order.body.lines,
                places=places[order.order_id],
                total_minor=order.total_minor,
                tax_minor=order.body.tax_minor,
                shipping_minor=order.body.shipping_minor,
                shipping_adjusted_minor=_campaigns_gave(order.body.shipping_adjustments),
                missed=order.body.missed_gifts,
            )
            for order in orders
        ),
    )


def _campaigns_gave(changes: Iterable[Adjustment]) -> int:
    """What campaigns took off; what the seller's terms took off is a part of the rate."""
    return sum(one.amount_minor for one in changes if one.campaign_id)


def _places(orders: Iterable[tuple[str, tuple[int, ...], int]]) -> dict[str, tuple[int, ...]]:
    """The places by order id, of (order id, places as told, lines): counted on where none were told."""
    found: dict[str, tuple[int, ...]] = {}
    count = 0
    for order_id, told, size in orders:
        found[order_id] = told or tuple(range(count + 1, count + size + 1))
        count += size
    return found


def quoted(quote: Quote) -> Bought:
    """The basket of a quote."""
    places = _places([(one.order_id, one.places, len(one.lines)) for one in quote.orders])
    return Bought(
        name=quote.checkout_id,
        buyer_id=quote.buyer_id,
        market=quote.market,
        scene=quote.scene,
        at_ms=quote.made_at_ms,
        priced=quote.priced,
        country=quote.market,
        region=quote.region,
        portions=tuple(
            Portion(
                seller_id=one.seller_id,
                lines=one.lines,
                places=places[one.order_id],
                total_minor=one.total_minor,
                tax_minor=one.tax_minor,
                shipping_minor=one.shipping_minor,
                shipping_adjusted_minor=_campaigns_gave(one.shipping_adjustments),
            )
            for one in quote.orders
        ),
    )


def reprice(basket: Bought, where: Market, rules: Rules, *, explain: bool = False) -> Priced:
    """What the basket costs under these rules, at its moment, with its list prices and its parcels' rates.

    Gifts are given as far as they were then: a draft gives none that the basket had not. With `explain` the outcome has
    a verdict on every rule. Raises KeyError when its edition is not among the rules.
    """
    where = where.destined(basket.country, basket.region)
    pairs = sorted(
        (place, line, portion.seller_id)
        for portion in basket.portions
        for place, line in zip(portion.places, portion.lines, strict=True)
        if line.gift is None
    )
    rates = {portion.seller_id: _rate(portion, where) for portion in basket.portions}
    strategy = rules.strategy(basket.priced.edition, policy_of(where), basket.priced.without)
    if strategy is not None and explain:
        strategy = strategy.explained()
    priced = price(
        [_price_line(line, seller_id, where) for _, line, seller_id in pairs],
        where,
        basket.at_ms,
        tax=tax.TAXES.choose(basket.scene),
        ship=lambda market, seller_id, goods_minor, units: rates[seller_id],
        scene=basket.scene,
        adjust=strategy or no_adjustments,
        buyer_id=basket.buyer_id,
        codes=basket.priced.codes,
        buyer=BuyerFacts(
            segments=basket.priced.segments, first_order=basket.priced.first_order, unlocked=rules.unlocked
        ),
        lines_max=len(pairs),
        gifts=_gifts(basket, where),
    )
    return _without_missed(basket, priced) if priced.gifts else priced


def _gifts(basket: Bought, where: Market) -> tuple[GiftLine, ...]:
    """The goods that were given, and those that would have been."""
    found = {
        (line.offer_id, line.quantity): _price_line(line, portion.seller_id, where).offer
        for portion in basket.portions
        for line in (*portion.lines, *portion.missed)
        if line.gift is not None
    }
    return tuple([GiftLine(offer=offer, quantity=quantity) for (_, quantity), offer in found.items()])


def _without_missed(basket: Bought, priced: Priced) -> Priced:
    """The prices without the gifts that nobody got."""
    missed = {
        (line.gift.campaign_id, line.gift.code)
        for portion in basket.portions
        for line in portion.missed
        if line.gift is not None
    }
    units = [one for one in (priced.outcome.gifts if priced.outcome is not None else ()) if one.is_line]
    kept = [
        line
        for one, line in zip(units, priced.gifts, strict=True)
        if (one.campaign_id, one.code) not in missed
    ]
    return msgspec.structs.replace(priced, gifts=tuple(kept))


def _rate(portion: Portion, where: Market) -> int:
    """What a seller's parcels cost before discounts, in the market's own sense."""
    tax_minor = portion.tax_minor - sum(line.tax_minor for line in portion.lines)
    charged = portion.shipping_minor - (0 if where.prices_include_tax else tax_minor)
    return charged - portion.shipping_adjusted_minor


def _price_line(line: OrderLine, seller_id: str, where: Market) -> PriceLine:
    offer = OfferView(
        offer_id=line.offer_id,
        seller_id=seller_id,
        sku_id=line.sku_id,
        sku_code=line.sku_code,
        product_id=line.product_id,
        title=line.title,
        description="",
        image="",
        components=(),
        markets=(where.code,),
        prices=(PriceWindow(currency=where.currency, price_e4=line.unit_price_e4),),
        state="ACTIVE",
        seller_state="ACTIVE",
        fee_bps=line.fee_bps,
        version=line.offer_version,
        tax_category=line.tax_category,
    )
    return PriceLine(
        offer=offer,
        quantity=line.quantity,
        content_id=line.content_id,
        creator_id=line.creator_id,
        groups=groups_of(line.tax_category, line.groups),
        floor_minor=line.floor_minor,
    )


class LineReasons(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the rules for one line of a basket: those that lowered it and by how much, the others and why."""

    place: int
    offer_id: str
    title: str
    quantity: int
    list_minor: int
    total_minor: int
    applied: tuple[tuple[Verdict, int], ...]


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """A basket's prices with their reasons. `refused` gave nothing to any line; `agrees`: it costs what it cost."""

    name: str
    currency: str
    total_minor: int
    agrees: bool
    lines: tuple[LineReasons, ...]
    applied: tuple[Verdict, ...]
    refused: tuple[Verdict, ...]
    left_out: tuple[str, ...]


def explain(basket: Bought, where: Market, rules: Rules) -> Explained:
    """Why a basket costs what it costs: each rule of its day with what it gave to each line, or why it gave nothing."""
    priced = reprice(basket, where, rules, explain=True)
    verdicts = priced.outcome.verdicts if priced.outcome is not None else ()
    applied = tuple(verdict for verdict in verdicts if verdict.applied)
    stood = sorted(
        (line.gift is not None, place, line.title)
        for one in basket.portions
        for place, line in zip(one.places, one.lines, strict=True)
    )
    titles = {  # gifts come last, in the order they are given
        line.line_no: title
        for line, (_, _, title) in zip((*priced.lines, *priced.gifts), stood, strict=False)
    }
    return Explained(
        name=basket.name,
        currency=priced.currency,
        total_minor=priced.total_minor,
        agrees=priced.total_minor == basket.total_minor,
        lines=tuple(
            LineReasons(
                place=line.line_no,
                offer_id=line.offer_id,
                title=titles.get(line.line_no, ""),
                quantity=line.quantity,
                list_minor=line.list_minor,
                total_minor=line.total_minor,
                applied=tuple(
                    [(one, one.lines[line.line_no]) for one in applied if line.line_no in one.lines]
                ),
            )
            for line in (*priced.lines, *priced.gifts)
        ),
        applied=applied,
        refused=tuple(verdict for verdict in verdicts if not verdict.applied),
        left_out=basket.priced.without,
    )
