"""Baskets and campaigns for the tests of the promotion engine."""

from __future__ import annotations

from typing import Any

from tradepost.trade import promotion
from tradepost.trade.promotion import (
    Basket,
    BasketLine,
    Campaign,
    CampaignState,
    Outcome,
    Policy,
    Rule,
    RuleClass,
)

AT = 1_000


def line(price: int, quantity: int = 1, **facts: Any) -> dict[str, Any]:
    """A line of `price` minor units a unit; numbers and ids are given by `basket`."""
    return {"price": price, "quantity": quantity, **facts}


def basket(*lines: dict[str, Any], **facts: Any) -> Basket:
    """A basket of these lines in GBP."""
    made = []
    for number, given in enumerate(lines, 1):
        known = dict(given)
        price, quantity = known.pop("price"), known.pop("quantity")
        name = known.pop("sku", f"sku_{number}")
        made.append(
            BasketLine(
                line_no=number,
                offer_id=known.pop("offer", f"off_{name}"),
                seller_id=known.pop("seller", "sel_1"),
                sku_id=name,
                product_id=known.pop("product", f"prd_{name}"),
                quantity=quantity,
                unit_price_e4=price * 10_000,
                list_minor=price * quantity,
                **known,
            )
        )
    told: dict[str, Any] = {
        "market": "GB",
        "currency": "GBP",
        "scene": "shop",
        "at_ms": AT,
        "buyer_id": "byr_1",
        "codes": (),
        **facts,
    }
    return Basket(lines=tuple(made), **told)


def rule(effect: Any, code: str = "R", **facts: Any) -> Rule:
    """A rule of this effect."""
    return Rule(code=code, effect=effect, **facts)


def order_rule(effect: Any, code: str = "R", **facts: Any) -> Rule:
    """A rule that takes one amount off the order."""
    return rule(effect, code, rule_class=RuleClass.ORDER, **facts)


def campaign(*rules: Rule, **facts: Any) -> Campaign:
    """An active campaign of these rules."""
    told: dict[str, Any] = {
        "campaign_id": "cmp_1",
        "currency": "GBP",
        "state": CampaignState.ACTIVE,
        **facts,
    }
    return Campaign(rules=rules, **told)


def outcome(
    goods: Basket, *offered: Rule | Campaign, policy: Policy = promotion.STANDARD, explain: bool = False
) -> Outcome:
    """What these rules or campaigns make of a basket; each rule is a campaign of its own."""
    campaigns = [
        one if isinstance(one, Campaign) else campaign(one, campaign_id=f"cmp_{number}")
        for number, one in enumerate(offered, 1)
    ]
    return promotion.evaluate(promotion.compile_rules(campaigns, policy), goods, explain=explain)


def off(found: Outcome) -> list[int]:
    """What was taken off each line, as positive minor units."""
    return [-sum(change.amount_minor for change in changes) for changes in found.lines]
