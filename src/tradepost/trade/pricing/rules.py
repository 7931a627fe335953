"""The price of a basket: list price, adjustments, tax, fee, shipping. Pure; the cost is flat in quantity."""

from __future__ import annotations

from collections.abc import Sequence

from tradepost.kernel.errors import Refusal
from tradepost.kernel.market import Market
from tradepost.kernel.money import PRICE_SCALE, Rounding, divide, split
from tradepost.trade.catalog import OfferView, price_at
from tradepost.trade.pricing.model import (
    ADJUSTMENTS,
    AMOUNT_MAX_MINOR,
    LINES_MAX,
    QUANTITY_MAX,
    Adjust,
    Adjustment,
    Basket,
    BasketLine,
    Priced,
    PricedLine,
    PriceLine,
    Proposal,
    ShippingCharge,
    ShippingRule,
    TaxRule,
    no_adjustments,
)

_NONE: tuple[Adjustment, ...] = ()


def list_price(offer: OfferView, market: Market, at_ms: int) -> int | None:
    """The unit price (ten-thousandths of a minor unit) in the market's currency at a moment, or None."""
    return price_at(offer, market.currency, at_ms)


def price(
    lines: Sequence[PriceLine],
    market: Market,
    at_ms: int,
    *,
    tax: TaxRule,
    ship: ShippingRule,
    scene: str = "default",
    adjust: Adjust | None = None,
    buyer_id: str = "",
    codes: tuple[str, ...] = (),
    lines_max: int = LINES_MAX,
) -> Priced:
    """The basket's price at a moment; the same facts give the same answer everywhere.

    `tax` and `ship` are the strategies of `trade.tax` and `trade.shipping`; `adjust` defaults to the scene's
    strategy of the point `pricing.adjustments`. Raises Refusal `pricing.*` and whatever the strategies refuse.
    """
    _check_count(len(lines), lines_max)
    trace: list[str] = []
    units = [_unit_price(line, index, market, at_ms) for index, line in enumerate(lines)]
    listed = [
        divide(unit * line.quantity, PRICE_SCALE, market.rounding)
        for unit, line in zip(units, lines, strict=True)
    ]
    if sum(listed) > AMOUNT_MAX_MINOR:
        raise Refusal("pricing.amount_too_large", "The basket costs more than can be booked.", field="lines")
    strategy = adjust or ADJUSTMENTS.choose(scene)
    adjusted: list[tuple[Adjustment, ...]] = [_NONE] * len(lines)
    if strategy is not no_adjustments:
        basket = _basket(lines, units, listed, market, at_ms, scene, buyer_id, codes)
        adjusted = _apply(strategy(basket), listed, trace)
    priced = tuple(
        _price_line(index, line, units[index], listed[index], adjusted[index], market, tax, trace)
        for index, line in enumerate(lines)
    )
    return _sum_up(market.currency, priced, _ship(priced, market, tax, ship, trace), trace)


def _check_count(count: int, lines_max: int) -> None:
    if not 0 < count <= lines_max:
        raise Refusal(
            "pricing.lines_invalid",
            f"A basket has 1 to {lines_max} lines, this one {count}.",
            field="lines",
            expected=f"1 to {lines_max} lines",
        )


def _sum_up(
    currency: str, lines: tuple[PricedLine, ...], shipping: tuple[ShippingCharge, ...], trace: list[str]
) -> Priced:
    shipping_minor = sum([charge.amount_minor for charge in shipping])
    return Priced(
        currency=currency,
        lines=lines,
        shipping=shipping,
        total_minor=sum([line.total_minor for line in lines]) + shipping_minor,
        shipping_minor=shipping_minor,
        tax_minor=sum([line.tax_minor for line in lines]) + sum([charge.tax_minor for charge in shipping]),
        trace=tuple(trace),
    )


def _unit_price(line: PriceLine, index: int, market: Market, at_ms: int) -> int:
    offer = line.offer
    quantity_max = offer.quantity_max or QUANTITY_MAX
    if not 0 < line.quantity <= quantity_max:
        raise Refusal(
            "pricing.quantity_invalid",
            f"{line.quantity} is not a quantity this offer can be bought in.",
            field=f"lines[{index}].quantity",
            expected=f"1 to {quantity_max}",
        )
    if line.currency and line.currency != market.currency:
        raise Refusal(
            "pricing.currency_mixed",
            f"The line is in {line.currency}, the market sells in {market.currency}.",
            field=f"lines[{index}].currency",
            expected=market.currency,
        )
    if market.code not in offer.markets:
        raise Refusal(
            "pricing.offer_not_in_market",
            f"Offer {offer.offer_id} is not sold in {market.code}.",
            field=f"lines[{index}].offer_id",
            expected="an offer of this market",
            extra={"offer_id": offer.offer_id, "markets": list(offer.markets)},
        )
    unit = list_price(offer, market, at_ms)
    if unit is None:
        raise Refusal(
            "pricing.no_price",
            f"Offer {offer.offer_id} has no price in {market.currency} at this moment.",
            field=f"lines[{index}].offer_id",
            expected="an offer with a price that holds now",
            extra={"offer_id": offer.offer_id},
        )
    return unit


def _basket(
    lines: Sequence[PriceLine],
    units: Sequence[int],
    listed: Sequence[int],
    market: Market,
    at_ms: int,
    scene: str,
    buyer_id: str,
    codes: tuple[str, ...],
) -> Basket:
    return Basket(
        market=market.code,
        currency=market.currency,
        scene=scene,
        at_ms=at_ms,
        buyer_id=buyer_id,
        codes=codes,
        lines=tuple(
            BasketLine(
                line_no=index + 1,
                offer_id=line.offer.offer_id,
                seller_id=line.offer.seller_id,
                sku_id=line.offer.sku_id,
                product_id=line.offer.product_id,
                quantity=line.quantity,
                unit_price_e4=units[index],
                list_minor=listed[index],
                content_id=line.content_id,
                creator_id=line.creator_id,
            )
            for index, line in enumerate(lines)
        ),
    )


def _apply(
    proposals: Sequence[Proposal], listed: Sequence[int], trace: list[str]
) -> list[tuple[Adjustment, ...]]:
    """Proposals in order, each on what the ones before it left. A line number that is not there is a KeyError."""
    left = {index + 1: amount for index, amount in enumerate(listed)}
    applied: dict[int, list[Adjustment]] = {number: [] for number in left}
    for proposal in proposals:
        numbers = tuple(dict.fromkeys(proposal.line_nos)) or tuple(left)
        weights = [left[number] for number in numbers]
        amount = max(proposal.amount_minor, -sum(weights))
        if amount != proposal.amount_minor:
            trace.append(f"adjust {proposal.code} capped {proposal.amount_minor} to {amount}")
        for number, part in zip(numbers, split(amount, weights), strict=True):
            if part:
                left[number] += part
                applied[number].append(
                    Adjustment(
                        code=proposal.code,
                        reason=proposal.reason,
                        funder=proposal.funder,
                        amount_minor=part,
                    )
                )
                trace.append(f"adjust {number} {proposal.code} {proposal.funder} {part}")
    return [tuple(adjustments) for adjustments in applied.values()]


def _price_line(
    index: int,
    line: PriceLine,
    unit: int,
    listed: int,
    adjustments: tuple[Adjustment, ...],
    market: Market,
    tax: TaxRule,
    trace: list[str],
) -> PricedLine:
    offer = line.offer
    amount = listed
    for adjustment in adjustments:
        amount += adjustment.amount_minor
    category = offer.tax_category
    rate_bps, tax_minor = tax(amount, category, market)
    if market.prices_include_tax:
        total, net = amount, amount - tax_minor
    else:
        total, net = amount + tax_minor, amount
    fee_minor = divide(net * offer.fee_bps, 10_000, Rounding.HALF_UP) if offer.fee_bps else 0
    number = index + 1
    trace.append(
        f"line {number} list {unit}*{line.quantity}={listed} tax {category} {rate_bps}={tax_minor}"
        f" fee {offer.fee_bps}={fee_minor}"
    )
    return PricedLine(
        line_no=number,
        offer_id=offer.offer_id,
        seller_id=offer.seller_id,
        unit_price_e4=unit,
        quantity=line.quantity,
        list_minor=listed,
        adjustments=adjustments,
        total_minor=total,
        tax_minor=tax_minor,
        tax_rate_bps=rate_bps,
        tax_category=category,
        fee_bps=offer.fee_bps,
        fee_minor=fee_minor,
        content_id=line.content_id,
        creator_id=line.creator_id,
    )


def _ship(
    lines: Sequence[PricedLine], market: Market, tax: TaxRule, ship: ShippingRule, trace: list[str]
) -> tuple[ShippingCharge, ...]:
    """One charge per seller, since each seller sends parcels of their own."""
    goods: dict[str, tuple[int, int]] = {}
    for line in lines:
        amount, units = goods.get(line.seller_id, (0, 0))
        goods[line.seller_id] = (amount + line.total_minor, units + line.quantity)
    category = "shipping" if "shipping" in market.tax_rates_bps else "standard"
    charges = []
    for seller_id, (goods_minor, units) in goods.items():
        amount = ship(market, seller_id, goods_minor, units)
        rate_bps, tax_minor = tax(amount, category, market) if amount else (0, 0)
        if not market.prices_include_tax:
            amount += tax_minor
        charges.append(
            ShippingCharge(
                seller_id=seller_id, amount_minor=amount, tax_minor=tax_minor, tax_rate_bps=rate_bps
            )
        )
        if amount:
            trace.append(f"shipping {seller_id} {amount} tax {rate_bps}={tax_minor}")
    return tuple(charges)
