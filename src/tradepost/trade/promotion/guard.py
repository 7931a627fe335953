"""The guard against price errors: what a campaign would make of single goods, before anybody buys at that. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median_low

import msgspec

from tradepost.kernel.errors import Kind, Refusal, declare_problems
from tradepost.kernel.money import PRICE_SCALE, Rounding, divide
from tradepost.trade.promotion.basket import Basket, BasketLine, GiftGoods
from tradepost.trade.promotion.engine import evaluate
from tradepost.trade.promotion.model import PPM, Campaign, CampaignState
from tradepost.trade.promotion.rulebook import Rulebook

QUANTITIES = (1, 10)
"""Baskets of one good that are tried: a single unit, and enough of them for rewards by quantity."""
ERRORS_TOLD = 20

declare_problems(
    {
        "promotion.price_error": (
            Kind.UNPROCESSABLE,
            "A price that looks like a mistake",
            "Correct the campaign. If it is meant, raise the key `checkout.discount_max_ppm` or `.deviation_max_ppm`.",
        ),
    }
)


class GuardTerms(msgspec.Struct, frozen=True, kw_only=True):
    """How far a price may go, in parts per million: off the list price, and below what was paid lately."""

    discount_max_ppm: int = 900_000
    deviation_max_ppm: int = 800_000


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """A good as it is sold now. `paid_e4` is what one unit was sold for lately, ten-thousandths, 0 if never."""

    line: BasketLine
    paid_e4: int = 0


class PriceError(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with the price of one good: `floor`, `discount` or `deviation`. Minor units for all units."""

    offer_id: str
    why: str
    quantity: int
    list_minor: int
    price_minor: int
    least_minor: int


def find_price_errors(
    campaign: Campaign,
    probes: Iterable[Probe],
    terms: GuardTerms,
    *,
    market: str,
    at_ms: int,
    gifts: tuple[GiftGoods, ...] = (),
) -> list[PriceError]:
    """The prices this campaign alone would make that are below the floor, too far off list, or off what was paid.

    Each good is tried alone, for a buyer who meets every condition about buyers. At most 20 are told. What
    comes with it out of `gifts` counts among what it is worth.
    """
    campaign = msgspec.structs.replace(campaign, state=CampaignState.ACTIVE)
    book = Rulebook([campaign])
    found: list[PriceError] = []
    for probe in probes:
        for quantity in QUANTITIES:
            error = _try(campaign, book, probe, quantity, terms, market, at_ms, gifts)
            if error is not None:
                found.append(error)
                break
        if len(found) == ERRORS_TOLD:
            break
    return found


def _try(
    campaign: Campaign,
    book: Rulebook,
    probe: Probe,
    quantity: int,
    terms: GuardTerms,
    market: str,
    at_ms: int,
    gifts: tuple[GiftGoods, ...],
) -> PriceError | None:
    unit = probe.line.unit_price_e4
    listed = divide(unit * quantity, PRICE_SCALE)
    line = msgspec.structs.replace(
        probe.line, quantity=quantity, list_minor=listed, floor_minor=0, content_id=_any(campaign, "contents")
    )
    basket = _basket(campaign, line, market, at_ms, gifts)
    outcome = evaluate(book, basket)
    price = listed + sum(change.amount_minor for change in outcome.lines[0])
    worth = listed + sum(gift.list_minor for gift in outcome.gifts if gift.is_line)
    if price == worth:
        return None
    leasts = {
        "floor": probe.line.floor_minor * quantity,
        "discount": divide(worth * (PPM - terms.discount_max_ppm), PPM, Rounding.DOWN),
        "deviation": divide(
            probe.paid_e4 * quantity * (PPM - terms.deviation_max_ppm), PPM * PRICE_SCALE, Rounding.DOWN
        ),
    }
    for why, least in leasts.items():
        if price < least:
            return PriceError(
                offer_id=line.offer_id,
                why=why,
                quantity=quantity,
                list_minor=worth,
                price_minor=price,
                least_minor=least,
            )
    return None


def _basket(
    campaign: Campaign, line: BasketLine, market: str, at_ms: int, gifts: tuple[GiftGoods, ...]
) -> Basket:
    return Basket(
        market=market,
        currency=campaign.currency,
        scene=campaign.scenes[0] if campaign.scenes else "shop",
        at_ms=max(at_ms, campaign.from_ms),
        buyer_id="",
        codes=campaign.codes[:1],
        unlocked=(campaign.campaign_id,),
        segments=_segments(campaign),
        first_order=True,
        lines=(line,),
        gifts=gifts,
    )


def _segments(campaign: Campaign) -> tuple[str, ...]:
    named: dict[str, None] = {}
    for rule in campaign.rules:
        named.update(dict.fromkeys(rule.filter.segments))
        for condition in rule.conditions:
            named.update(dict.fromkeys((*condition.segments, *condition.among.segments)))
    return tuple(named)


def _any(campaign: Campaign, field: str) -> str:
    return next((value for rule in campaign.rules for value in getattr(rule.filter, field)), "")


def refuse_price_errors(errors: list[PriceError]) -> Refusal:
    """The refusal that tells the worst prices."""
    worst = errors[0]
    return Refusal(
        "promotion.price_error",
        f"{worst.quantity} of {worst.offer_id} would cost {worst.price_minor} instead of {worst.list_minor};"
        f" the least is {worst.least_minor} ({worst.why}).",
        field="rules",
        expected=f"{worst.least_minor} or more",
        extra={
            "why": worst.why,
            "offer_id": worst.offer_id,
            "price_minor": worst.price_minor,
            "list_minor": worst.list_minor,
            "offer_ids": [error.offer_id for error in errors],
        },
    )


def check_discount(list_minor: int, price_minor: int, terms: GuardTerms) -> None:
    """Refuse goods that are sold too far below their list price altogether. Raises `promotion.price_error`."""
    least = divide(list_minor * (PPM - terms.discount_max_ppm), PPM, Rounding.DOWN)
    if price_minor < least:
        raise Refusal(
            "promotion.price_error",
            f"The goods would cost {price_minor} instead of {list_minor}; the least is {least} (discount).",
            field="quote",
            expected=f"{least} or more",
            extra={"why": "discount", "price_minor": price_minor, "list_minor": list_minor},
        )


def usual_prices(sales: Iterable[tuple[str, int]]) -> dict[str, int]:
    """The median unit price by offer of (offer id, unit price) sales."""
    by_offer: dict[str, list[int]] = {}
    for offer_id, price_e4 in sales:
        by_offer.setdefault(offer_id, []).append(price_e4)
    return {offer_id: median_low(prices) for offer_id, prices in by_offer.items()}
