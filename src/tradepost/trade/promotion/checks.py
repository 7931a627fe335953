"""What a campaign must hold beyond its types, said once before it may be published."""

from __future__ import annotations

from collections.abc import Iterator

from tradepost.kernel.errors import Kind, Refusal, declare_problems
from tradepost.kernel.splitting import Remainder
from tradepost.trade.promotion.model import (
    CODES_MAX,
    GIFT_UNITS_MAX,
    PPM,
    RULES_MAX,
    BundlePrice,
    BuyGet,
    Campaign,
    CheapestFree,
    Fixed,
    Funder,
    Gift,
    NthUnit,
    Owner,
    Percentage,
    Rule,
    RuleClass,
    SetTotal,
    TieredFlat,
    TieredPercent,
)
from tradepost.trade.promotion.policy import Policy

WHOLE_BPS = 10_000
LIMIT_MAX = 1_000_000_000
"""What a limit may allow, in uses or minor units: what one stock unit of the inventory can hold."""
_SHIPPING_EFFECTS = (Percentage, Fixed, SetTotal, TieredPercent, TieredFlat)
Fault = tuple[str, str]
"""(field, what would be right)."""

declare_problems(
    {
        "promotion.campaign_invalid": (
            Kind.INVALID,
            "The campaign cannot run as written",
            "Correct the named field as `expected` says.",
        ),
        "promotion.policy_invalid": (
            Kind.INVALID,
            "The promotion policy cannot be followed",
            "Name a remainder that gives every unit of money to some line.",
        ),
    }
)


def check_campaign(campaign: Campaign) -> None:
    """Refuse a campaign that could not do what it says. Raises Refusal `promotion.campaign_invalid`."""
    for field, expected in _faults(campaign):
        raise Refusal(
            "promotion.campaign_invalid",
            f"{field} of campaign {campaign.campaign_id[:60]!r} cannot be so.",
            field=field,
            expected=expected,
        )


def check_policy(policy: Policy) -> None:
    """Refuse a policy under which money would be left over. Raises Refusal `promotion.policy_invalid`."""
    if policy.remainder in (Remainder.APART, Remainder.BLOCKS):
        raise Refusal(
            "promotion.policy_invalid",
            f"{policy.remainder} keeps money apart, and a discount has no such place.",
            field="remainder",
            expected="a remainder that gives everything to the lines",
        )


def _faults(campaign: Campaign) -> Iterator[Fault]:
    if not 0 < len(campaign.rules) <= RULES_MAX:
        yield "rules", f"1 to {RULES_MAX} rules"
    if len({rule.code for rule in campaign.rules}) < len(campaign.rules):
        yield "rules", "a code of its own for each rule"
    if len(campaign.codes) > CODES_MAX:
        yield "codes", f"at most {CODES_MAX} codes"
    if campaign.codes and not campaign.needs_code:
        yield "needs_code", "true where codes are given"
    if campaign.until_ms and campaign.until_ms <= campaign.from_ms:
        yield "until_ms", "a moment after from_ms, or 0"
    if (campaign.owner is Owner.SELLER) != bool(campaign.seller_id):
        yield "seller_id", "the seller of a seller's campaign, and of no other"
    limits = campaign.limits
    bounds = (limits.total, limits.per_buyer, limits.per_day, limits.per_content, limits.budget_minor)
    if min(bounds) < 0 or max(bounds) > LIMIT_MAX:
        yield "limits", f"numbers of 0 to {LIMIT_MAX}"
    for number, rule in enumerate(campaign.rules):
        for field, expected in _rule_faults(campaign, rule):
            yield f"rules[{number}].{field}", expected


def _rule_faults(campaign: Campaign, rule: Rule) -> Iterator[Fault]:
    if not rule.code:
        yield "code", "a word"
    if rule.cap_minor < 0:
        yield "cap_minor", "zero or more"
    funders = [share.funder for share in rule.funding]
    if sum(share.bps for share in rule.funding) != WHOLE_BPS or min(s.bps for s in rule.funding) < 0:
        yield "funding", "shares of zero or more that sum to 10000 bps"
    elif len(set(funders)) < len(funders):
        yield "funding", "each funder once"
    elif campaign.owner is Owner.SELLER and set(funders) != {Funder.SELLER}:
        yield "funding", "the seller alone in a seller's campaign"
    elif (
        Funder.CREATOR in funders
    ):  # whoever buys names the creator of a line: that is nobody's consent to pay
        yield "funding", "nothing of a creator's: no plan yet records that a creator agreed to pay"
    if campaign.owner is Owner.SELLER and (rule.exclusive or rule.stop_after or rule.best_of):
        yield (
            "exclusive",
            "no exclusive, stop_after or best_of in a seller's campaign: they shut out others' rules",
        )
    if rule.rule_class is RuleClass.SHIPPING and not isinstance(rule.effect, _SHIPPING_EFFECTS):
        yield "effect", "a percentage, a fixed amount, a total or tiers for shipping"
    for field, expected in _effect_faults(rule):
        yield f"effect.{field}", expected


def _effect_faults(rule: Rule) -> Iterator[Fault]:
    effect = rule.effect
    if isinstance(effect, (Percentage, BuyGet)) and not 0 < effect.percent_ppm <= PPM:
        yield "percent_ppm", f"1 to {PPM}"
    if isinstance(effect, (Percentage, Fixed, NthUnit)) and effect.max_units < 0:
        yield "max_units", "zero or more"
    if isinstance(effect, Fixed) and effect.amount_minor <= 0:
        yield "amount_minor", "above zero"
    if isinstance(effect, SetTotal) and effect.amount_minor < 0:
        yield "amount_minor", "zero or more"
    if isinstance(effect, BuyGet) and min(effect.buy_quantity, effect.get_quantity) < 1:
        yield "buy_quantity", "quantities of one or more"
    if isinstance(effect, (BuyGet, CheapestFree, BundlePrice)) and effect.rounds_max < 0:
        yield "rounds_max", "zero or more"
    if isinstance(effect, CheapestFree) and effect.every < 0:
        yield "every", "zero or more"
    if isinstance(effect, BundlePrice) and (
        effect.price_minor < 0 or not effect.parts or min(part.quantity for part in effect.parts) < 1
    ):
        yield "parts", "a price of zero or more and one part or more, each of one unit or more"
    if isinstance(effect, Gift):
        yield from _gift_faults(rule, effect)
    if isinstance(effect, NthUnit) and min(effect.first_minor, effect.additional_minor) < 0:
        yield "first_minor", "amounts of zero or more"
    if isinstance(effect, (TieredPercent, TieredFlat)):
        yield from _tier_faults(effect)


def _gift_faults(rule: Rule, gift: Gift) -> Iterator[Fault]:
    if bool(gift.sku_id) == bool(gift.offer_id):
        yield "sku_id", "either an offer or a SKU"
    if not 0 < gift.quantity <= GIFT_UNITS_MAX:
        yield "quantity", f"1 to {GIFT_UNITS_MAX}"
    if gift.offer_id and rule.cap_minor:
        yield "offer_id", "no cap_minor where a line is given: it is free as a whole"


def _tier_faults(effect: TieredPercent | TieredFlat) -> Iterator[Fault]:
    bounds = [tier.at_least for tier in effect.tiers]
    if not bounds or bounds != sorted(set(bounds)) or bounds[0] < 0:
        yield "tiers", "one tier or more, their bounds rising"
    if isinstance(effect, TieredPercent):
        rates = [effect.base_ppm, *[tier.percent_ppm for tier in effect.tiers]]
        if min(rates) < 0 or max(rates) > PPM or any(tier.amount_minor for tier in effect.tiers):
            yield "tiers", f"percentages of 0 to {PPM} and no amounts"
    elif min([effect.base_minor, *[tier.amount_minor for tier in effect.tiers]]) < 0 or any(
        tier.percent_ppm for tier in effect.tiers
    ):
        yield "tiers", "amounts of zero or more and no percentages"
