"""What parcels cost in a priced basket: one charge per seller, its discounts and its tax. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tradepost.kernel.market import Market
from tradepost.trade.pricing.model import PricedLine, Sent, ShippingCharge, ShippingRule, TaxRule
from tradepost.trade.promotion import Adjustment, Charge, Outcome

_NONE: tuple[Adjustment, ...] = ()


def charge(
    lines: Sequence[PricedLine], market: Market, ship: ShippingRule, sent: Mapping[str, Sent]
) -> list[Charge]:
    """One charge per seller, since each seller sends parcels of their own; what others pay by terms is off."""
    goods: dict[str, tuple[int, int]] = {}
    for line in lines:
        amount, units = goods.get(line.seller_id, (0, 0))
        goods[line.seller_id] = (amount + line.total_minor, units + line.quantity)
    return [
        Charge(
            seller_id=seller_id,
            amount_minor=_left(sent[seller_id])
            if seller_id in sent
            else ship(market, seller_id, goods_minor, units),
        )
        for seller_id, (goods_minor, units) in goods.items()
    ]


def _left(sent: Sent) -> int:
    return sent.listed_minor + sum([change.amount_minor for change in sent.adjustments])


def ship_charges(
    charges: Sequence[Charge],
    sent: Mapping[str, Sent],
    outcome: Outcome | None,
    market: Market,
    tax: TaxRule,
    trace: list[str],
) -> tuple[ShippingCharge, ...]:
    """The charges less their discounts, with their tax."""
    category = "shipping" if "shipping" in market.tax_rates_bps else "standard"
    discounts = outcome.shipping if outcome is not None else ()
    found = []
    for number, charge in enumerate(charges):
        changes = discounts[number] if discounts else _NONE
        amount = charge.amount_minor
        if changes:
            amount += sum([change.amount_minor for change in changes])
        listed = charge.amount_minor
        if charge.seller_id in sent:
            by_terms = sent[charge.seller_id]
            listed, changes = by_terms.listed_minor, (*by_terms.adjustments, *changes)
            trace += [
                f"adjust {charge.seller_id} {change.code} {change.funder} {change.amount_minor}"
                for change in by_terms.adjustments
            ]
        rate_bps, tax_minor = tax(amount, category, market) if amount else (0, 0)
        if not market.prices_include_tax:
            amount += tax_minor
        found.append(
            ShippingCharge(
                seller_id=charge.seller_id,
                amount_minor=amount,
                tax_minor=tax_minor,
                tax_rate_bps=rate_bps,
                list_minor=listed,
                adjustments=changes,
            )
        )
        if amount:
            trace.append(f"shipping {charge.seller_id} {amount} tax {rate_bps}={tax_minor}")
    return tuple(found)
