"""Cases of what promotions take off: kind promotion_amount, through the promotion engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from msgspec.structs import replace

from tradepost.kernel.money import exponent_of
from tradepost.testing.conformance.campaigns import (
    as_list,
    basket_of,
    campaigns_of,
    engine_policy,
    exact_minor,
    ppm_of,
    tiered_percent,
)
from tradepost.testing.conformance.model import Unsupported, exact, whole
from tradepost.testing.conformance.switches import only
from tradepost.trade.promotion import (
    Basis,
    Campaign,
    CampaignState,
    Fixed,
    NthUnit,
    Outcome,
    Percentage,
    Policy,
    Promotions,
    Rule,
    RuleClass,
    TierBasis,
    Units,
)

__all__ = ["run_promotion_amount"]

Given = Mapping[str, Any]
_INPUT = (
    "currency",
    "lines",
    "promotions",
    "coupons",
    "base",
    "base_major",
    "percent",
    "tiered_percent",
    "tiered_flat",
    "tier_basis",
    "qty",
    "first_unit_discount",
    "additional_unit_discount",
    "max_units",
)
_LINE = ("id", "sku", "unit_price", "qty", "line_subtotal", "group", "min_price")
_BASES = {
    "order items total": TierBasis.AMOUNT,
    "items total": TierBasis.AMOUNT,
    "order total": TierBasis.AMOUNT,
    "amount": TierBasis.AMOUNT,
    "line total": TierBasis.LINE_AMOUNT,
    "line subtotal": TierBasis.LINE_AMOUNT,
    "line amount": TierBasis.LINE_AMOUNT,
    "order items quantity": TierBasis.QUANTITY,
    "items quantity": TierBasis.QUANTITY,
    "order quantity": TierBasis.QUANTITY,
    "quantity": TierBasis.QUANTITY,
    "line quantity": TierBasis.LINE_QUANTITY,
}
_COUPONS = {
    "percent": "percent",
    "percentage": "percent",
    "fixed": "order",
    "fixed_cart": "order",
    "fixed cart": "order",
    "fixed_order": "order",
    "order_fixed": "order",
    "fixed_product": "unit",
    "fixed product": "unit",
    "fixed_unit": "unit",
    "unit_fixed": "unit",
    "fixed_per_unit": "unit",
}


def run_promotion_amount(given: Given, policy: Given) -> dict[str, Any]:
    """Kind promotion_amount: every amount positive. Raises Unsupported for what the engine has no rule for."""
    only(given, _INPUT)
    return _run(given, policy)


def _run(given: Given, policy: Given) -> dict[str, Any]:
    currency = str(given.get("currency", "EUR"))
    listed = [*as_list(given.get("promotions")), *as_list(given.get("coupons"))]
    switches = engine_policy(policy, [one for one in listed if isinstance(one, Mapping)])
    lines = _lines(given, currency)
    for line in lines:
        only(line, _LINE)
    if not lines:
        return {"discount": 0, "amount": 0, "line_discounts": [], "lines": {}, "by_promotion": {}}
    campaigns, switches = _campaigns(given, policy, switches, currency)
    codes = [coupon for coupon in as_list(given.get("coupons")) if not isinstance(coupon, Mapping)]
    basket = basket_of(lines, switches, codes, currency)
    outcome = Promotions(campaigns, switches, explain=True)(basket)
    return _answer(lines, outcome)


def _lines(given: Given, currency: str) -> Sequence[Given]:
    """The lines, or the one line that a bare base or a bare quantity stands for."""
    if given.get("lines") is not None:
        return as_list(given["lines"])
    if "base" in given:
        return [{"unit_price": given["base"], "qty": 1}]
    if "base_major" in given:
        minor = exact(given["base_major"]) * 10 ** exponent_of(currency)
        return [{"unit_price": Decimal(minor.numerator) / Decimal(minor.denominator), "qty": 1}]
    if "qty" in given and "first_unit_discount" in given:
        price = exact_minor(given["first_unit_discount"]) + exact_minor(given["additional_unit_discount"])
        return [{"unit_price": price, "qty": given["qty"]}]
    raise Unsupported("nothing to take a discount off")


def _campaigns(given: Given, policy: Given, switches: Policy, currency: str) -> tuple[list[Campaign], Policy]:
    rules = [
        key for key in ("percent", "tiered_percent", "tiered_flat", "first_unit_discount") if key in given
    ]
    campaigns = campaigns_of(as_list(given.get("promotions")), policy, currency)
    if len(rules) > 1 or (rules and (campaigns or as_list(given.get("coupons")))):
        raise Unsupported("several rules at once")
    if rules:
        return [_one(_rule(rules[0], given), currency)], switches
    coupons = [coupon for coupon in as_list(given.get("coupons")) if isinstance(coupon, Mapping)]
    if coupons and campaigns:
        raise Unsupported("promotions beside coupons that are rules themselves")
    if coupons:
        return [_one(rule, currency) for rule in _coupons(coupons, policy)], _in_order(switches)
    return campaigns, switches


def _in_order(switches: Policy) -> Policy:
    """The same where rules run as listed whatever their class: priorities say so."""
    return replace(switches, sequence=type(switches.sequence).PRIORITY)


def _one(rule: Rule, currency: str) -> Campaign:
    return Campaign(
        campaign_id=rule.code, rules=(rule,), currency=currency, state=CampaignState.ACTIVE, title=rule.title
    )


def _rule(key: str, given: Given) -> Rule:
    if key == "percent":
        return Rule(code="rule", effect=Percentage(percent_ppm=ppm_of(given["percent"])), basis=Basis.LIST)
    if key == "first_unit_discount":
        return Rule(
            code="rule",
            effect=NthUnit(
                first_minor=exact_minor(given["first_unit_discount"]),
                additional_minor=exact_minor(given["additional_unit_discount"]),
                max_units=whole(given.get("max_units") or 0),
            ),
        )
    name = str(given.get("tier_basis", "amount")).lower()
    basis = _BASES.get(name)
    if basis is None:
        raise Unsupported(f"tier_basis {name!r}")
    flat = key == "tiered_flat"
    return Rule(
        code="rule",
        rule_class=RuleClass.ORDER if flat else RuleClass.LINE,
        effect=tiered_percent(given[key], basis),
    )


def _coupons(coupons: Sequence[Given], policy: Given) -> list[Rule]:
    """Coupons that are rules themselves, the first listed first.

    A percentage is reckoned on the whole and spread; where the policy rounds per line, line by line.
    """
    based = str(policy.get("coupon_base", "what the coupon before left"))
    if based not in ("list price", "what the coupon before left"):
        raise Unsupported(f"coupon_base {based!r}")
    dearest = "dearest" in f"{policy.get('unit_order', '')}{policy.get('units', '')}"
    units = Units.DEAREST if dearest else Units.CHEAPEST
    rules = []
    for number, coupon in enumerate(coupons):
        only(coupon, ("kind", "amount", "max_units", "code"))
        kind = _COUPONS.get(str(coupon.get("kind")))
        if kind is None:
            raise Unsupported(f"coupon kind {coupon.get('kind')!r}")
        most = whole(coupon.get("max_units") or 0)
        effect: Percentage | Fixed
        if kind == "percent":
            effect = Percentage(percent_ppm=ppm_of(coupon["amount"]), max_units=most, units=units)
        else:
            effect = Fixed(amount_minor=exact_minor(coupon["amount"]), max_units=most, units=units)
        rules.append(
            Rule(
                code=f"{number:06d}",
                title=str(coupon.get("code", "")),
                rule_class=RuleClass.LINE if kind == "unit" else RuleClass.ORDER,
                effect=effect,
                basis=Basis.LIST if based == "list price" else Basis.LEFT,
                priority=len(coupons) - number,
            )
        )
    return rules


def _answer(lines: Sequence[Given], outcome: Outcome) -> dict[str, Any]:
    amounts = [-sum(change.amount_minor for change in changes) for changes in outcome.lines]
    named: dict[str, int] = {}
    for number, (line, amount) in enumerate(zip(lines, amounts, strict=True), 1):
        name = _name(line, number)
        named[name] = named.get(name, 0) + amount
    by_promotion: dict[str, dict[str, int]] = {}
    for verdict in outcome.verdicts:
        if verdict.applied and verdict.title:
            taken = by_promotion.setdefault(verdict.title, {})
            for number, count in verdict.units.items():
                name = _name(lines[number - 1], number)
                taken[name] = taken.get(name, 0) + count
    whole = sum(amounts)
    return {
        "discount": whole,
        "amount": whole,
        "first_line_discount": amounts[0],
        "line_discounts": amounts,
        "lines": named,
        "by_promotion": by_promotion,
    }


def _name(line: Given, number: int) -> str:
    return str(line.get("id", line.get("sku", number)))
