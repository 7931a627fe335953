"""A priced line as it will stand on the order. Pure."""

from __future__ import annotations

import msgspec

from tradepost.trade import orders, pricing
from tradepost.trade.catalog import OfferView

SELLABLE = ("ACTIVE", "ACTIVE")
"""The states of an offer and its seller in which it is for sale."""


def freeze(offer: OfferView, line: pricing.PricedLine, line_no: int, floor_minor: int) -> orders.OrderLine:
    """What the offer says, then what pricing said: a call with over 15 keywords makes a dictionary, two do not."""
    goods = orders.OrderLine(
        line_no=line_no,
        offer_id=offer.offer_id,
        offer_version=offer.version,
        sku_id=offer.sku_id,
        sku_code=offer.sku_code,
        product_id=offer.product_id,
        title=offer.title,
        quantity=line.quantity,
        unit_price_e4=line.unit_price_e4,
        list_minor=line.list_minor,
        total_minor=line.total_minor,
        pool=offer.pool,
        limit_per_buyer=offer.limit_per_buyer,
        components=tuple([orders.StockItem(part.sku_id, part.quantity) for part in offer.components]),
    )
    return msgspec.structs.replace(
        goods,
        adjustments=line.adjustments,
        tax_minor=line.tax_minor,
        tax_rate_bps=line.tax_rate_bps,
        tax_category=line.tax_category,
        content_id=line.content_id,
        creator_id=line.creator_id,
        fee_bps=line.fee_bps,
        fee_minor=line.fee_minor,
        floor_minor=floor_minor,
        groups=offer.groups,
    )
