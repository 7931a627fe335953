"""Gifts in a priced basket: what the goods that may be given cost, and the lines of those that are given. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tradepost.kernel.market import Market
from tradepost.kernel.money import PRICE_SCALE, divide
from tradepost.trade.catalog import price_at
from tradepost.trade.pricing.model import GiftLine, Priced, PricedLine, TaxRule
from tradepost.trade.promotion import GiftGoods

NO_PRICE = "gift_no_price"
"""It costs nothing anyway, or nobody knows what: a gift is a discount of all of its price."""


def goods_of(
    gifts: Sequence[GiftLine], market: Market, at_ms: int, scene: str, segments: Sequence[str]
) -> tuple[GiftGoods, ...]:
    """The goods as campaigns weigh them: at the list price of this moment, or missing where they have none."""
    found = []
    for gift in gifts:
        offer = gift.offer
        unit = price_at(offer, market.currency, at_ms, market.code, scene, "", segments)
        listed = _listed(unit or 0, gift.quantity, market)
        found.append(
            GiftGoods(
                offer_id=offer.offer_id,
                seller_id=offer.seller_id,
                sku_id=offer.sku_id,
                quantity=gift.quantity,
                list_minor=listed,
                missing=gift.missing or ("" if listed else NO_PRICE),
            )
        )
    return tuple(found)


def _listed(unit_e4: int, quantity: int, market: Market) -> int:
    return divide(unit_e4 * quantity, PRICE_SCALE, market.rounding)


def with_lines(
    priced: Priced,
    gifts: Sequence[GiftLine],
    market: Market,
    at_ms: int,
    scene: str,
    segments: Sequence[str],
    tax: TaxRule,
) -> Priced:
    """The prices with the lines that are given, numbered on: nothing to pay, taxed as the market taxes nothing."""
    if priced.outcome is None:
        return priced
    offers = {(gift.offer.offer_id, gift.quantity): gift.offer for gift in gifts}
    found: list[PricedLine] = []
    for one in priced.outcome.gifts:
        if not one.is_line:
            continue
        offer = offers[(one.offer_id, one.quantity)]
        unit = price_at(offer, market.currency, at_ms, market.code, scene, "", segments) or 0
        left = one.list_minor + sum(change.amount_minor for change in one.adjustments)
        rate_bps, tax_minor = tax(left, offer.tax_category, market)
        found.append(
            PricedLine(
                line_no=len(priced.lines) + len(found) + 1,
                offer_id=offer.offer_id,
                seller_id=offer.seller_id,
                unit_price_e4=unit,
                quantity=one.quantity,
                list_minor=one.list_minor,
                adjustments=one.adjustments,
                total_minor=left if market.prices_include_tax else left + tax_minor,
                tax_minor=tax_minor,
                tax_rate_bps=rate_bps,
                tax_category=offer.tax_category,
                fee_bps=offer.fee_bps,
                fee_minor=0,
            )
        )
    return msgspec.structs.replace(priced, gifts=tuple(found)) if found else priced
