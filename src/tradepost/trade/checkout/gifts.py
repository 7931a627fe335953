"""Gifts in a quote: the goods that campaigns in force may give, whether they are there, and the lines they become.

A gift is a line of the order of its own seller: that seller sends some of the basket anyway, so that nothing is sent
for a gift alone, and the order waits for its payment like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from msgspec.structs import replace

from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import gene_of
from tradepost.kernel.market import Market
from tradepost.stability.switches import QUOTE_CACHE_ONLY
from tradepost.trade import inventory, orders, pricing
from tradepost.trade.catalog import OfferView
from tradepost.trade.checkout.context import Context
from tradepost.trade.checkout.freezing import SELLABLE, freeze
from tradepost.trade.checkout.model import Quote
from tradepost.trade.checkout.promoting import Offered
from tradepost.trade.promotion import GiftUnits

SOLD_OUT = "gift_sold_out"
UNAVAILABLE = "gift_unavailable"
"""Its offer is not for sale here now, or no longer fit to be given."""
LIMITED = "gift_limited"
"""The same goods are bought in this basket under a limit per buyer, which a gift must not be counted in."""
GIFTS_MAX = 64
"""Different gifts looked at for one quote: beyond them, those of campaigns with later ids are not given."""


def unfit(offer: OfferView, currency: str) -> str:
    """Why an offer cannot be given at all; empty when it can.

    A kit's parts may lie on several shards, of which the one may be sold out and the other held; a floor is a promise
    that the goods are never sold below it.
    """
    if len(offer.components) != 1:
        return "kit"
    return "floor" if offer.floors.get(currency, 0) else ""


async def find_gifts(
    context: Context, offered: Offered, where: Market, scene: str, views: Mapping[str, OfferView]
) -> tuple[pricing.GiftLine, ...]:
    """The goods that campaigns running here may give beside these offers; empty where none gives any."""
    sellers = {view.seller_id for view in views.values()}
    at_ms = offered.priced.at_ms
    wanted = dict.fromkeys(
        (gift.offer_id, gift.quantity)
        for campaign, gift in offered.in_force.gifts
        if campaign.campaign_id not in offered.priced.without
        and (not campaign.seller_id or campaign.seller_id in sellers)
        and (not campaign.needs_code or not set(offered.priced.codes).isdisjoint(campaign.codes))
        and campaign.is_running(at_ms, where.code, where.currency, scene)
    )
    if not wanted:
        return ()
    few = list(wanted)[:GIFTS_MAX]
    ids = list(dict.fromkeys(offer_id for offer_id, _ in few))
    known, missing = context.book.peek(ids)
    if missing and not context.switches.is_on(QUOTE_CACHE_ONLY):
        known = await context.book.get(ids)
    limited = {part.sku_id for view in views.values() if view.limit_per_buyer for part in view.components}
    return tuple(
        [
            pricing.GiftLine(offer=offer, quantity=quantity, missing=_missing(offer, where, limited))
            for offer_id, quantity in few
            if (offer := known.get(offer_id)) is not None and offer.seller_id in sellers
        ]
    )


def _missing(offer: OfferView, where: Market, limited: set[str]) -> str:
    if (offer.state, offer.seller_state) != SELLABLE or where.code not in offer.markets:
        return UNAVAILABLE
    if unfit(offer, where.currency):
        return UNAVAILABLE
    return LIMITED if any(part.sku_id in limited for part in offer.components) else ""


async def quote_in_stock(
    context: Context,
    gifts: tuple[pricing.GiftLine, ...],
    quote: Quote,
    make: Callable[[tuple[pricing.GiftLine, ...]], Quote],
) -> Quote:
    """The quote whose gifts are there now. It is made again without those that are not: others may take their place."""
    while True:
        short = await _short(context, quote)
        left = tuple(
            [
                replace(one, missing=short.get((one.offer.offer_id, one.quantity), one.missing))
                for one in gifts
            ]
        )
        if left == gifts:
            return quote
        gifts, quote = left, make(left)


async def _short(context: Context, quote: Quote) -> dict[tuple[str, int], str]:
    """Why gifts of a quote, by (offer, quantity), are not there beside all that is bought in it."""
    given = [line for ordered in quote.orders for line in ordered.lines if line.gift is not None]
    if not given or context.switches.is_on(QUOTE_CACHE_ONLY):
        return {}
    try:
        free = await _free(context, {part.sku_id for line in given for part in line.components})
    except Refusal:  # who cannot tell what is there promises no gift, and sells the goods
        return {(line.offer_id, line.quantity): UNAVAILABLE for line in given}
    for ordered in quote.orders:
        for line in ordered.lines:
            if line.gift is None:
                _take(free, line)
    return {(line.offer_id, line.quantity): SOLD_OUT for line in given if not _take(free, line)}


async def _free(context: Context, sku_ids: set[str]) -> dict[tuple[str, str], int]:
    by_shard: dict[int, list[str]] = {}
    for sku_id in sorted(sku_ids):
        by_shard.setdefault(context.db.shard_of(gene_of(sku_id)), []).append(sku_id)
    found: dict[tuple[str, str], int] = {}
    for shard, ids in by_shard.items():
        found.update(await context.db.read(shard, inventory.available, ids))
    return found


def _take(free: dict[tuple[str, str], int], line: orders.OrderLine) -> bool:
    """Take a line off what is free of the SKUs that gifts are of; False, and nothing taken, when it is not there."""
    part = line.components[0]
    wanted = [
        ((one.sku_id, line.pool), one.quantity * line.quantity)
        for one in line.components
        if line.gift is not None or (one.sku_id, line.pool) in free
    ]
    if line.gift is not None and free.get((part.sku_id, line.pool), 0) < part.quantity * line.quantity:
        return False
    for key, units in wanted:
        free[key] = free.get(key, 0) - units
    return True


def with_gifts(quote: Quote, priced: pricing.Priced, gifts: Sequence[pricing.GiftLine]) -> Quote:
    """The quote with the lines that campaigns give, each the last of its seller's order, and those that are missing."""
    outcome = priced.outcome
    if outcome is None or not outcome.gifts:
        return quote
    offers = {(one.offer.offer_id, one.quantity): one.offer for one in gifts}
    given = [one for one in outcome.gifts if one.is_line]
    found = {one.seller_id: one for one in quote.orders}
    for unit, line in zip(given, priced.gifts, strict=True):
        ordered = found[line.seller_id]
        frozen = freeze(offers[(unit.offer_id, unit.quantity)], line, len(ordered.lines) + 1, 0)
        frozen = replace(frozen, limit_per_buyer=0, gift=_mark(unit, priced, line.seller_id))
        found[line.seller_id] = replace(
            ordered, lines=(*ordered.lines, frozen), places=(*ordered.places, line.line_no)
        )
    missed = [
        orders.MissedGift(
            campaign_id=one.campaign_id,
            code=one.code,
            offer_id=one.offer_id,
            title=offers[(one.offer_id, one.quantity)].title,
            quantity=one.quantity,
            why=one.missing,
        )
        for one in outcome.gifts
        if one.missing
    ]
    return replace(quote, orders=tuple(found.values()), missed_gifts=tuple(missed))


def _mark(unit: GiftUnits, priced: pricing.Priced, seller_id: str) -> orders.Given:
    """What the gift stands for within its own order: what other sellers' lines bring to it counts as kept."""
    numbers: dict[int, int] = {}
    others_minor = others_units = count = 0
    for line in priced.lines:
        count += line.seller_id == seller_id
        if line.line_no not in unit.earned_by:
            continue
        if line.seller_id == seller_id:
            numbers[line.line_no] = count
        else:
            others_minor += line.list_minor
            others_units += line.quantity
    return orders.Given(
        campaign_id=unit.campaign_id,
        code=unit.code,
        earned_by=tuple(numbers.values()),
        least_minor=max(0, unit.least_minor - others_minor),
        least_units=max(0, unit.least_units - others_units),
    )
