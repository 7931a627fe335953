"""The price of a basket: list price, adjustments, tax, fee, shipping. Pure; the cost is flat in quantity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from tradepost.kernel.errors import Refusal
from tradepost.kernel.market import Market, TaxLevel
from tradepost.kernel.money import PRICE_SCALE, divide, split
from tradepost.trade.catalog import OfferView, price_at
from tradepost.trade.pricing import giving
from tradepost.trade.pricing.charging import charge, ship_charges
from tradepost.trade.pricing.model import (
    ADJUSTMENTS,
    AMOUNT_MAX_MINOR,
    LINES_MAX,
    NOBODY,
    QUANTITY_MAX,
    Adjust,
    BuyerFacts,
    GiftLine,
    Priced,
    PricedLine,
    PriceLine,
    Proposal,
    SendRule,
    Sent,
    ShippingCharge,
    ShippingRule,
    TaxRule,
    no_adjustments,
)
from tradepost.trade.promotion import Adjustment, Basket, BasketLine, Outcome, Promotions
from tradepost.trade.tax import by_category, by_level

_NONE: tuple[Adjustment, ...] = ()
_NOBODY_SENDS: Mapping[str, Sent] = {}
_BY_LINE = TaxLevel.LINE


def list_price(
    offer: OfferView,
    market: Market,
    at_ms: int,
    *,
    scene: str = "",
    content_id: str = "",
    segments: Sequence[str] = (),
) -> int | None:
    """The unit price (ten-thousandths of a minor unit) in the market's currency at a moment, or None.

    The offer's price layers decide by moment, market, scene, content and the buyer's groups.
    """
    return price_at(offer, market.currency, at_ms, market.code, scene, content_id, segments)


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
    buyer: BuyerFacts = NOBODY,
    lines_max: int = LINES_MAX,
    send: SendRule | None = None,
    traced: bool = True,
    gifts: Sequence[GiftLine] = (),
) -> Priced:
    """The basket's price at a moment; the same facts give the same answer everywhere.

    `tax` and `ship` are the strategies of `trade.tax` and `trade.shipping`; `adjust` defaults to the scene's
    strategy of the point `pricing.adjustments`; `buyer` is what promotions may know of the buyer; `send` prices the
    parcels of sellers with terms of their own, in place of `ship`; `gifts` are the goods that campaigns may give, which
    no parcel counts. Not `traced`, the trace is empty.

    Raises Refusal `pricing.*` and whatever the strategies refuse.
    """
    _check_count(len(lines), lines_max)
    market = market.at(at_ms)
    trace: list[str] = []
    told = trace if traced else None
    units = [
        _unit_price(line, index, market, at_ms, scene, buyer.segments) for index, line in enumerate(lines)
    ]
    listed = [
        divide(unit * line.quantity, PRICE_SCALE, market.rounding)
        for unit, line in zip(units, lines, strict=True)
    ]
    if sum(listed) > AMOUNT_MAX_MINOR:
        raise Refusal("pricing.amount_too_large", "The basket costs more than can be booked.", field="lines")
    strategy = adjust or ADJUSTMENTS.choose(scene)
    adjusted: list[tuple[Adjustment, ...]] = [_NONE] * len(lines)
    basket, outcome = None, None
    if strategy is not no_adjustments:
        basket = _basket(lines, units, listed, market, at_ms, scene, buyer_id, codes, buyer, gifts)
        outcome, adjusted = _adjust(strategy, basket, listed, trace)
    rules = _levelled(lines, listed, adjusted, market, tax)
    priced = tuple(
        _price_line(index, line, units[index], listed[index], adjusted[index], market, rules[index], told)
        for index, line in enumerate(lines)
    )
    sent = send(priced) if send is not None else _NOBODY_SENDS
    charges = charge(priced, market, ship, sent)
    if outcome is not None and basket is not None and isinstance(strategy, Promotions):
        outcome = strategy.ship(basket, outcome, charges)
    shipping = ship_charges(charges, sent, outcome, market, tax, trace)
    summed = _sum_up(market.currency, priced, shipping, trace if traced else (), outcome)
    return giving.with_lines(summed, gifts, market, at_ms, scene, buyer.segments, tax) if gifts else summed


def _adjust(
    strategy: Adjust, basket: Basket, listed: Sequence[int], trace: list[str]
) -> tuple[Outcome | None, list[tuple[Adjustment, ...]]]:
    """What a strategy makes of a basket: its exact outcome, or its proposals applied."""
    proposed = strategy(basket)
    if isinstance(proposed, Outcome):
        return _noted(proposed, trace), list(proposed.lines)
    return None, _apply(proposed, listed, trace)


def _told(answer: tuple[int, int], amount_minor: int, category: str, market: Market) -> tuple[int, int]:
    """The answer worked out beforehand, in the shape of a tax rule."""
    return answer


def _levelled(
    lines: Sequence[PriceLine],
    listed: Sequence[int],
    adjusted: Sequence[Sequence[Adjustment]],
    market: Market,
    tax: TaxRule,
) -> list[TaxRule]:
    """A rule for each line where a market rounds by unit or by order: a seller's lines are one order.

    Only the market's own rates know levels; another strategy answers line by line.
    """
    if market.tax_level is _BY_LINE or tax is not by_category:
        return [tax] * len(lines)
    amounts = [
        amount + sum(one.amount_minor for one in changes)
        for amount, changes in zip(listed, adjusted, strict=True)
    ]
    sellers: dict[str, list[int]] = {}
    for index, line in enumerate(lines):
        sellers.setdefault(line.offer.seller_id, []).append(index)
    found: list[TaxRule] = [tax] * len(lines)
    for owned in sellers.values():
        asked = [(amounts[index], lines[index].offer.tax_category, lines[index].quantity) for index in owned]
        for index, answer in zip(owned, by_level(asked, market), strict=True):
            found[index] = partial(_told, answer)
    return found


def _check_count(count: int, lines_max: int) -> None:
    if not 0 < count <= lines_max:
        raise Refusal(
            "pricing.lines_invalid",
            f"A basket has 1 to {lines_max} lines, this one {count}.",
            field="lines",
            expected=f"1 to {lines_max} lines",
        )


def _sum_up(
    currency: str,
    lines: tuple[PricedLine, ...],
    shipping: tuple[ShippingCharge, ...],
    trace: Sequence[str],
    outcome: Outcome | None,
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
        outcome=outcome,
    )


def _unit_price(
    line: PriceLine, index: int, market: Market, at_ms: int, scene: str, segments: Sequence[str]
) -> int:
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
    unit = price_at(offer, market.currency, at_ms, market.code, scene, line.content_id, segments)
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
    buyer: BuyerFacts,
    gifts: Sequence[GiftLine],
) -> Basket:
    return Basket(
        gifts=giving.goods_of(gifts, market, at_ms, scene, buyer.segments) if gifts else (),
        market=market.code,
        currency=market.currency,
        scene=scene,
        at_ms=at_ms,
        buyer_id=buyer_id,
        codes=codes,
        unlocked=buyer.unlocked,
        segments=buyer.segments,
        first_order=buyer.first_order,
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
                groups=line.groups,
                floor_minor=line.floor_minor,
            )
            for index, line in enumerate(lines)
        ),
    )


def _noted(outcome: Outcome, trace: list[str]) -> Outcome:
    for use in outcome.uses:
        trace.append(f"campaign {use.campaign_id} {use.version} {-use.discount_minor}")
    return outcome


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
    trace: list[str] | None,
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
    fee_minor = divide(net * offer.fee_bps, 10_000) if offer.fee_bps else 0
    number = index + 1
    if trace is not None:
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
