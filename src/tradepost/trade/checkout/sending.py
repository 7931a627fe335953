"""How a basket is sent: sellers' terms looked up, their methods priced for the lines, one chosen for each seller."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import gene_of
from tradepost.kernel.market import Market
from tradepost.stability.switches import QUOTE_CACHE_ONLY, refusal_of
from tradepost.trade import inventory, orders, shipping
from tradepost.trade.catalog import OfferView
from tradepost.trade.checkout.context import Context
from tradepost.trade.checkout.model import Address, Quote, QuotedOrder
from tradepost.trade.pricing import Adjustment, Funder, PricedLine, Sent
from tradepost.trade.promotion import RuleClass
from tradepost.trade.shipping import Destination, Load, Option, Terms

Shelf = tuple[str, str]
"""(SKU id, pool)."""
Places = list[tuple[str, int]]
"""(location id, pieces), in order of location: the order in which stock is held."""


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """Where the goods go and which method the buyer chose of which seller; the cheapest of those not named.

    `place` is how the request calls the destination. None means somewhere in the market's own country.
    """

    destination: Destination | None = None
    methods: Mapping[str, str] = {}
    place: str = "destination"


NO_WISH = Wish()


class Ways(msgspec.Struct, frozen=True, kw_only=True):
    """The terms that price a basket's parcels, by seller, and what they need to know beside its lines.

    `kept` are the parts of `to` that decide a price. `stock` says where pieces lie, of sellers who send from several
    locations.
    """

    terms: Mapping[str, Terms]
    to: Destination
    kept: Destination
    methods: Mapping[str, str]
    stock: Mapping[Shelf, Places]


async def find_ways(
    context: Context, views: Mapping[str, OfferView], where: Market, wish: Wish
) -> Ways | None:
    """The terms of the sellers of these offers in the market's currency; None, and no read, where there are none.

    Raises Refusal `shipping.destination_incomplete`, `.method_unavailable`, or `switch.quote_cache_only`.
    """
    versions = {view.seller_id: view.shipping_version for view in views.values() if view.shipping_version}
    terms = await _terms(context, versions, where.currency) if versions else {}
    for seller_id, method in wish.methods.items():
        if seller_id not in terms:
            raise _refuse_method(seller_id, method, ())
    if not terms:
        return None
    given = wish.destination
    to = (
        _place(where, where.code, where.region, "")
        if given is None
        else _place(where, given.country, given.region or where.region, given.postcode)
    )
    kept = shipping.deciding(terms.values(), to, wish.place)
    stock = await _stock(context, [view for view in views.values() if _is_spread(terms, view)])
    return Ways(terms=terms, to=to, kept=kept, methods=wish.methods, stock=stock)


def _is_spread(terms: Mapping[str, Terms], view: OfferView) -> bool:
    found = terms.get(view.seller_id)
    return found is not None and found.by_location


async def _terms(context: Context, versions: Mapping[str, int], currency: str) -> dict[str, Terms]:
    book = context.shipping
    if book is None:
        return {}
    known, missing = book.peek(versions)
    if missing:
        if context.switches.is_on(QUOTE_CACHE_ONLY):
            raise refusal_of("switch.quote_cache_only", "Some shipping terms are not remembered here.")
        known = await book.get(versions)
    return {seller_id: terms[currency] for seller_id, terms in known.items() if currency in terms}


async def _stock(context: Context, views: Sequence[OfferView]) -> dict[Shelf, Places]:
    """Where the pieces of these offers lie, one read a shard: a forecast of what holding them will take."""
    if not views or context.switches.is_on(QUOTE_CACHE_ONLY):
        return {}
    by_shard: dict[int, list[str]] = {}
    for sku_id in dict.fromkeys(part.sku_id for view in views for part in view.components):
        by_shard.setdefault(context.db.shard_of(gene_of(sku_id)), []).append(sku_id)
    found: dict[Shelf, Places] = {}
    for shard, sku_ids in by_shard.items():
        for level in await context.db.read(shard, inventory.levels, sku_ids):
            if level.available > 0:
                found.setdefault((level.sku_id, level.pool), []).append((level.location_id, level.available))
    return found


def _place(where: Market, country: str, region: str, postcode: str) -> Destination:
    """A destination to compare: in capitals, the market's own code for a region it lists by name."""
    to = shipping.clean(country or where.code, region, postcode)
    if to.region and to.country == where.code:
        for code, name in where.regions.items():
            if to.region in (code.upper(), name.upper()):
                return msgspec.structs.replace(to, region=code.upper())
    return to


def wish_of(address: Address, methods: Mapping[str, str]) -> Wish:
    """The wish of somebody who buys now: the goods go to the address."""
    to = Destination(country=address.country, region=address.region, postcode=address.postcode)
    return Wish(destination=to, methods=methods, place="address")


def check_destination(quote: Quote, address: Address, where: Market) -> None:
    """Raise `shipping.destination_changed` when an address lies elsewhere than what the quote's parcels were priced to.

    Only parts that decide a price are compared; a quote that no terms priced goes anywhere.
    """
    if quote.destination.country:
        now = _place(where, address.country, address.region, address.postcode)
        shipping.check_same(quote.destination, now)


def without_options(quote: Quote) -> Quote:
    """The quote as its token carries it: with what was chosen, without what else could have been."""
    if not quote.destination.country:
        return quote
    ordered = tuple([msgspec.structs.replace(one, options=()) for one in quote.orders])
    return msgspec.structs.replace(quote, orders=ordered)


class Shipments:
    """The parcels of one basket: `price` is the rule that pricing asks, `onto` puts what was chosen on the quote."""

    def __init__(self, ways: Ways, offers: Sequence[OfferView], at_ms: int) -> None:
        self._ways = ways
        self._offers = offers
        self._at_ms = at_ms
        self._options: dict[str, tuple[Option, ...]] = {}
        self._chosen: dict[str, Option] = {}

    def price(self, lines: Sequence[PricedLine]) -> dict[str, Sent]:
        """What sending these lines costs, by seller with terms.

        Raises Refusal `shipping.not_here`, `.too_large` or `.method_unavailable`.
        """
        loads: dict[str, list[Load]] = {}
        goods: dict[str, int] = {}
        counts: dict[str, int] = {}
        stock = {shelf: list(places) for shelf, places in self._ways.stock.items()}
        for offer, line in zip(self._offers, lines, strict=True):
            seller_id = offer.seller_id
            if seller_id not in self._ways.terms:
                continue
            counts[seller_id] = counts.get(seller_id, 0) + 1
            goods[seller_id] = goods.get(seller_id, 0) + line.total_minor
            loads.setdefault(seller_id, []).extend(
                Load(
                    line_no=counts[seller_id],
                    location_id=location_id,
                    units=units,
                    weight_g=offer.weight_g,
                    unit_minor=line.total_minor // line.quantity,
                )
                for location_id, units in _leave(stock, offer, line.quantity)
            )
        for seller_id, owned in loads.items():
            self._options[seller_id] = self._price(seller_id, owned, goods[seller_id])
            self._chosen[seller_id] = self._choose(seller_id)
        return {seller_id: _sent(option) for seller_id, option in self._chosen.items()}

    def _price(self, seller_id: str, loads: Sequence[Load], goods_minor: int) -> tuple[Option, ...]:
        ways = self._ways
        try:
            return shipping.options(
                ways.terms[seller_id], loads, ways.to, self._at_ms, goods_minor=goods_minor
            )
        except Refusal as refusal:
            raise Refusal(
                refusal.code,
                refusal.detail,
                field=refusal.field,
                expected=refusal.expected,
                extra={"seller_id": seller_id},
            ) from None

    def _choose(self, seller_id: str) -> Option:
        found, method = self._options[seller_id], self._ways.methods.get(seller_id, "")
        if not method:
            return found[0]
        for option in found:
            if option.method == method:
                return option
        raise _refuse_method(seller_id, method, [option.method for option in found])

    def onto(self, quote: Quote) -> Quote:
        """The quote with the destination it holds for, and each seller's method, promise and other options."""
        return msgspec.structs.replace(
            quote,
            destination=self._ways.kept,
            orders=tuple(
                [
                    self._onto(ordered, self._chosen[ordered.seller_id])
                    if ordered.seller_id in self._chosen
                    else ordered
                    for ordered in quote.orders
                ]
            ),
        )

    def _onto(self, ordered: QuotedOrder, chosen: Option) -> QuotedOrder:
        return msgspec.structs.replace(
            ordered,
            options=self._options[ordered.seller_id],
            sending=orders.Sending(
                method=chosen.method,
                title=chosen.title,
                from_date=chosen.from_date,
                by_date=chosen.by_date,
                parcels=len(chosen.parcels),
            ),
        )


def _leave(stock: dict[Shelf, Places], offer: OfferView, quantity: int) -> list[tuple[str, int]]:
    """(location, units) that a line leaves from, taken off the stock; what nobody has leaves from nowhere named.

    A kit leaves from where its first component lies.
    """
    part = offer.components[0]
    places = stock.get((part.sku_id, offer.pool))
    if not places:
        return [("", quantity)]
    found: list[tuple[str, int]] = []
    left = quantity
    for index, (location_id, pieces) in enumerate(places):
        units = min(left, pieces // part.quantity)
        if units:
            places[index] = (location_id, pieces - units * part.quantity)
            found.append((location_id, units))
            left -= units
    return [*found, ("", left)] if left else found


def _sent(option: Option) -> Sent:
    return Sent(
        listed_minor=option.listed_minor,
        adjustments=tuple(
            [
                Adjustment(
                    code=paid.code,
                    reason=paid.reason,
                    funder=Funder(paid.funder),
                    amount_minor=paid.amount_minor,
                    rule_class=RuleClass.SHIPPING,
                )
                for paid in option.contributions
            ]
        ),
    )


def _refuse_method(seller_id: str, method: str, known: Iterable[str]) -> Refusal:
    return Refusal(
        "shipping.method_unavailable",
        f"Seller {seller_id[:60]} does not send by {method[:40]!r} here.",
        field=f"shipping.{seller_id[:60]}",
        expected=" or ".join(known) or "no choice: the seller has no shipping terms in this currency",
        extra={"seller_id": seller_id[:60]},
    )
