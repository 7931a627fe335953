"""Pure decisions of checkout: make a quote, accept it, and prepare what placing it writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.kernel.market import Market
from tradepost.trade import orders, pricing, shipping, tax
from tradepost.trade.catalog import OfferView
from tradepost.trade.checkout.freezing import SELLABLE, freeze
from tradepost.trade.checkout.gifts import with_gifts
from tradepost.trade.checkout.model import (
    Address,
    Quote,
    QuotedOrder,
    Want,
)
from tradepost.trade.checkout.promoting import Offered, check_codes_used, uses_in
from tradepost.trade.checkout.sending import Shipments, Ways

SHOP_SCENE = "shop"
CONTENT_SCENE = "content"
_NOBODY = pricing.BuyerFacts()


def scene_of(wants: Sequence[Want], named: str) -> str:
    """The scene, computed once and kept on the order: the one named, else by whether content led here."""
    return named or (CONTENT_SCENE if any(want.content_id for want in wants) else SHOP_SCENE)


def check_wants(wants: Sequence[Want], lines_max: int, quantity_max: int) -> None:
    """Refuse an empty request and quantities or counts out of bounds, before anything is read."""
    if not wants:
        raise Refusal("checkout.lines_empty", "There is no line.", field="lines", expected="one line or more")
    if len(wants) > lines_max:
        raise Refusal(
            "checkout.too_many_lines",
            f"{len(wants)} lines are more than {lines_max}.",
            field="lines",
            expected=f"at most {lines_max} lines",
        )
    for index, want in enumerate(wants):
        if not 0 < want.quantity <= quantity_max:
            raise Refusal(
                "pricing.quantity_invalid",
                f"{want.quantity} is not a quantity that can be bought.",
                field=f"lines[{index}].quantity",
                expected=f"1 to {quantity_max}",
            )


def make_quote(
    wants: Sequence[Want],
    views: Mapping[str, OfferView],
    market: Market,
    *,
    buyer_id: str,
    scene: str,
    at_ms: int,
    ttl_ms: int,
    mint: Callable[[str], str],
    adjust: pricing.Adjust | None = None,
    offered: Offered | None = None,
    ways: Ways | None = None,
    gifts: Sequence[pricing.GiftLine] = (),
) -> Quote:
    """Price the lines at this moment and freeze them per seller, in order of each seller's first line.

    `mint(kind)` gives ids on the buyer's gene. `offered` are the campaigns this buyer may use, `gifts` what they may
    give, `ways` the terms of sellers who have some. Raises the refusals of offers, pricing, codes and shipping.
    """
    offers = [_sellable(views.get(want.offer_id), want, index) for index, want in enumerate(wants)]
    to_price = _to_price(wants, offers, market, offered)
    shipments = None if ways is None else Shipments(ways, offers, at_ms)

    def ask(strategy: pricing.Adjust | None) -> pricing.Priced:
        return pricing.price(
            to_price,
            market,
            at_ms,
            tax=tax.TAXES.choose(scene),
            ship=shipping.RATES.choose(scene),
            scene=scene,
            adjust=strategy,
            buyer_id=buyer_id,
            codes=offered.priced.codes if offered is not None else (),
            buyer=offered.facts if offered is not None else _NOBODY,
            lines_max=len(wants),
            send=None if shipments is None else shipments.price,
            traced=False,
            gifts=gifts,
        )

    priced = ask(adjust if offered is None else offered.strategy)
    if offered is not None and offered.priced.codes:
        check_codes_used(offered, priced.outcome, lambda: ask(offered.strategy.explained()).outcome)
    quote = _quote(
        offers, priced, market, offered, buyer_id=buyer_id, scene=scene, at_ms=at_ms, ttl_ms=ttl_ms, mint=mint
    )
    if gifts and priced.outcome is not None:
        quote = with_gifts(quote, priced, gifts)
    return quote if shipments is None else shipments.onto(quote)


def _to_price(
    wants: Sequence[Want], offers: Sequence[OfferView], market: Market, offered: Offered | None
) -> list[pricing.PriceLine]:
    """The lines as pricing takes them; what only campaigns look at is left out where there are none."""
    if offered is None:
        return [
            pricing.PriceLine(
                offer=offer, quantity=want.quantity, content_id=want.content_id, creator_id=want.creator_id
            )
            for want, offer in zip(wants, offers, strict=True)
        ]
    return [to_price_line(want, offer, market) for want, offer in zip(wants, offers, strict=True)]


def _quote(
    offers: Sequence[OfferView],
    priced: pricing.Priced,
    market: Market,
    offered: Offered | None,
    *,
    buyer_id: str,
    scene: str,
    at_ms: int,
    ttl_ms: int,
    mint: Callable[[str], str],
) -> Quote:
    lines = _by_seller(offers, priced.lines, market.currency)
    charges = {charge.seller_id: charge for charge in priced.shipping}
    checkout_id = mint("checkout")
    payment_id = mint("payment") if priced.total_minor else ""
    order_ids = {seller_id: mint("order") for seller_id in lines}
    quoted = tuple(
        [
            _quoted_order(order_ids[seller_id], seller_id, tuple(owned), charges[seller_id])
            for seller_id, owned in lines.items()
        ]
    )
    quote = Quote(
        checkout_id=checkout_id,
        payment_id=payment_id,
        buyer_id=buyer_id,
        market=market.code,
        currency=priced.currency,
        scene=scene,
        made_at_ms=at_ms,
        expires_at_ms=at_ms + ttl_ms,
        orders=quoted,
        total_minor=priced.total_minor,
        shipping_minor=priced.shipping_minor,
        tax_minor=priced.tax_minor,
    )
    return quote if offered is None else _with_campaigns(quote, offered, priced, order_ids, market)


def _with_campaigns(
    quote: Quote, offered: Offered, priced: pricing.Priced, order_ids: Mapping[str, str], market: Market
) -> Quote:
    """The quote with what its campaigns take of their limits, and with all that pricing it again needs."""
    places: dict[str, list[int]] = {}
    for line in priced.lines:
        places.setdefault(line.seller_id, []).append(line.line_no)
    return msgspec.structs.replace(
        quote,
        orders=tuple(
            [msgspec.structs.replace(one, places=tuple(places[one.seller_id])) for one in quote.orders]
        ),
        limits=uses_in(offered, priced, order_ids, market),
        priced=offered.priced,
    )


def to_price_line(want: Want, offer: OfferView, market: Market) -> pricing.PriceLine:
    """A line as pricing and campaigns take it."""
    return pricing.PriceLine(
        offer=offer,
        quantity=want.quantity,
        content_id=want.content_id,
        creator_id=want.creator_id,
        groups=groups_of(offer.tax_category, offer.groups),
        floor_minor=offer.floors.get(market.currency, 0),
    )


def groups_of(tax_category: str, groups: tuple[str, ...]) -> tuple[str, ...]:
    """The groups of goods that campaigns may name: the tax category is one, the seller names others."""
    return (tax_category, *groups)


def _by_seller(
    offers: Sequence[OfferView], priced: Sequence[pricing.PricedLine], currency: str
) -> dict[str, list[orders.OrderLine]]:
    """Frozen lines by seller, in order of each seller's first; each seller's lines count from 1."""
    lines: dict[str, list[orders.OrderLine]] = {}
    for offer, line in zip(offers, priced, strict=True):
        owned = lines.setdefault(offer.seller_id, [])
        owned.append(
            freeze(offer, line, len(owned) + 1, offer.floors.get(currency, 0) if offer.floors else 0)
        )
    return lines


def _sellable(offer: OfferView | None, want: Want, index: int) -> OfferView:
    if offer is None:
        raise Refusal(
            "checkout.offer_unknown",
            f"There is no offer {want.offer_id[:60]!r}.",
            field=f"lines[{index}].offer_id",
            expected="the id of an offer",
        )
    if (offer.state, offer.seller_state) != SELLABLE:
        raise Refusal(
            "checkout.offer_unavailable",
            f"Offer {offer.offer_id} is {offer.state}, its seller {offer.seller_state}.",
            field=f"lines[{index}].offer_id",
            expected="an active offer of an active seller",
            extra={
                "offer_id": offer.offer_id,
                "offer_state": offer.state,
                "seller_state": offer.seller_state,
            },
        )
    return offer


def _quoted_order(
    order_id: str, seller_id: str, lines: tuple[orders.OrderLine, ...], charge: pricing.ShippingCharge
) -> QuotedOrder:
    return QuotedOrder(
        order_id=order_id,
        seller_id=seller_id,
        lines=lines,
        total_minor=sum([line.total_minor for line in lines]) + charge.amount_minor,
        tax_minor=sum([line.tax_minor for line in lines]) + charge.tax_minor,
        shipping_minor=charge.amount_minor,
        fee_minor=sum([line.fee_minor for line in lines]),
        shipping_adjustments=charge.adjustments,
    )


def accept(quote: Quote, *, buyer_id: str, total_minor: int | None, currency: str) -> None:
    """Whether this buyer may place this quote for the total they saw. Raises the refusal that says why not.

    `total_minor` None and an empty `currency` mean that the signed quote itself is what was shown.
    """
    if buyer_id and quote.buyer_id != buyer_id:
        raise Refusal(
            "checkout.quote_of_another_buyer", "The quote was made for another buyer.", field="quote"
        )
    if currency and currency != quote.currency:
        raise Refusal(
            "checkout.currency_mixed",
            f"The total is in {currency}, the market sells in {quote.currency}.",
            field="currency",
            expected=quote.currency,
        )
    if total_minor is not None and total_minor != quote.total_minor:
        raise Refusal(
            "checkout.total_changed",
            f"The total is {quote.total_minor}, the buyer saw {total_minor}.",
            field="total_minor",
            expected=str(quote.total_minor),
            extra={"total_minor": quote.total_minor, "currency": quote.currency},
        )


def check_region(quote: Quote, address: Address, market: Market) -> None:
    """Raise `checkout.region_changed` when the goods go to a region with other taxes than the quote was made for."""
    region = market.destined(address.country, address.region).region
    if region != quote.region:
        raise Refusal(
            "checkout.region_changed",
            f"The quote is for {quote.region or market.name}, the address is in {region or 'no listed region'}.",
            field="address.region",
            expected=quote.region or "a quote made for this region",
        )


def check_address(address: Address, market: Market) -> dict[str, str]:
    """The filled parts of an address that has all its market requires. Raises `checkout.address_incomplete`."""
    parts = {name: value for name, value in msgspec.structs.asdict(address).items() if value}
    for name in market.address_required:
        value = parts.get(name, "")
        if not value or value.isspace():
            raise Refusal(
                "checkout.address_incomplete",
                f"An address in {market.name} needs `{name}`.",
                field=f"address.{name}",
                expected=", ".join(market.address_required),
            )
    return parts
