"""Promotions of a case as campaigns of ours: the one translation that both kinds with promotions use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import msgspec

from tradepost.kernel.money import PRICE_SCALE, line_total
from tradepost.kernel.splitting import Remainder
from tradepost.testing.conformance.amounts import percent
from tradepost.testing.conformance.model import Unsupported, exact, whole
from tradepost.testing.conformance.switches import only, remainder_of, rounding_of
from tradepost.trade.promotion import (
    Basis,
    Basket,
    BasketLine,
    BundlePart,
    BundlePrice,
    BuyGet,
    Campaign,
    CampaignState,
    CheapestFree,
    Condition,
    Filter,
    Fixed,
    Level,
    Percentage,
    Policy,
    Rule,
    RuleClass,
    SetTotal,
    Tier,
    TierBasis,
    TieredFlat,
    TieredPercent,
    Ties,
    Units,
)
from tradepost.trade.promotion import (
    Sequence as Order,
)

__all__ = [
    "SELLER",
    "as_list",
    "basket_of",
    "campaigns_of",
    "engine_policy",
    "exact_minor",
    "ppm_of",
    "tiered_percent",
    "tiers",
]

Given = Mapping[str, Any]
SELLER = "seller"
_SCOPES = {"unit": RuleClass.LINE, "order": RuleClass.ORDER, "shipping": RuleClass.SHIPPING}
_KEYS = (
    "scope",
    "percent",
    "fixed",
    "set_items_total_to",
    "cap",
    "priority",
    "exclusive",
    "coupon",
    "promotion",
    "filter",
    "conditions",
    "kind",
    "qty",
    "price",
    "max_units",
    "code",
    "buy_filter",
    "buy_qty",
    "get_filter",
    "get_qty",
    "get_percent",
)
_AMOUNTS = ("percent", "fixed", "set_items_total_to")
_OF_KINDS = ("qty", "price", "buy_filter", "buy_qty", "get_filter", "get_qty", "get_percent")
_FILTER = ("line_index", "list_price_equals", "group", "unit_price_min", "unit_price_max", "product")
_CONDITION = (
    "items_total_at_least",
    "any_line_quantity_at_least",
    "quantity_at_least",
    "contains_group",
    "contains_product",
)
_SPREAD = "in proportion to discounted line totals, then evenly over units; odd cents to the first"


def as_list(value: Any) -> list[Any]:
    """A value, several or none, as a list."""
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def exact_minor(value: Any) -> int:
    """An amount in minor units that is whole. Raises Unsupported for a fraction."""
    found = exact(value)
    if found.denominator != 1:
        raise Unsupported(f"{value!r} is no whole number of minor units")
    return int(found)


def ppm_of(text: Any) -> int:
    """A percentage as parts per million. Raises Unsupported beyond four decimals or outside 0 to 100."""
    found = percent(text) * 1_000_000
    if found.denominator != 1 or not 0 <= found <= 1_000_000:
        raise Unsupported(f"percentage {text!r}")
    return int(found)


def basket_of(
    lines: Sequence[Given],
    policy: Policy,
    coupons: Iterable[Any],
    currency: str,
    *,
    unit_first: bool = False,
) -> Basket:
    """The lines as listed. Groups, products and floors are the engine's own fields; a SKU is its product too.

    With `unit_first` a unit's price is rounded before it is multiplied, else the product.
    """
    return Basket(
        market="",
        currency=currency,
        scene="",
        at_ms=0,
        buyer_id="",
        codes=tuple(str(coupon) for coupon in coupons),
        lines=tuple(_line(number, line, policy, unit_first) for number, line in enumerate(lines, 1)),
    )


def _line(number: int, line: Given, policy: Policy, unit_first: bool) -> BasketLine:
    quantity = whole(line.get("qty", 1))
    if quantity < 0:
        raise Unsupported("a line of less than no unit")
    subtotal = line.get("line_subtotal")
    if "unit_price" in line:
        price = exact(line["unit_price"]) * PRICE_SCALE
    elif subtotal is not None and quantity:
        price = Fraction(exact_minor(subtotal) * PRICE_SCALE // quantity)
    else:
        raise Unsupported("a line without a price")
    if price.denominator != 1 or price < 0:
        raise Unsupported(f"unit price {line.get('unit_price', subtotal)!r}")
    if unit_first:
        price = Fraction(line_total(int(price), 1, policy.rounding) * PRICE_SCALE)
    listed = line_total(int(price), quantity, policy.rounding)
    name = str(line.get("sku", line.get("id", f"line {number}")))
    return BasketLine(
        line_no=number,
        offer_id=name,
        seller_id=SELLER,
        sku_id=name,
        product_id=name,
        quantity=quantity,
        unit_price_e4=int(price),
        list_minor=listed if subtotal is None else exact_minor(subtotal),
        groups=tuple(str(group) for group in as_list(line.get("group"))),
        floor_minor=exact_minor(line.get("min_price") or 0),
    )


def engine_policy(policy: Given, promotions: Sequence[Given] = ()) -> Policy:
    """The engine's switches for a case's policy; raises Unsupported for a value that no switch answers to.

    Where a case says nothing: a percentage off each unit rounds per unit, one off the order once; priorities run
    over all classes, and line rules run before order rules of the same priority.
    """
    words = str(policy.get("rounding", "")).lower()
    level = str(policy.get("rounding_level", "line" if "per line" in words else ""))
    if level not in ("", "line", "unit", "order"):
        raise Unsupported(f"rounding_level {level!r}")
    remainder = _remainder(policy)
    evaluation = str(policy.get("promotion_evaluation", ""))
    if evaluation and not evaluation.startswith("sequential"):
        raise Unsupported(f"promotion_evaluation {evaluation!r}")
    ranked = any("priority" in promotion for promotion in promotions if isinstance(promotion, Mapping))
    by_unit = str(policy.get("unit_order", ""))
    if by_unit not in ("", "dearest unit price first"):
        raise Unsupported(f"unit_order {by_unit!r}")
    return Policy(
        rounding=rounding_of(policy),
        line_level=Level.LINE if level == "line" else Level.UNIT,
        order_level=Level.LINE if level == "line" else Level.ORDER,
        remainder=remainder,
        sequence=Order.PRIORITY if ranked and not evaluation else Order.CLASS,
        conditions_see=Basis.LEFT if evaluation else Basis.LIST,
        ties=Ties.DEAREST if by_unit else Ties.LISTED,
    )


def _remainder(policy: Given) -> Remainder:
    spread = policy.get("order_discount_spread")
    if spread not in (None, _SPREAD):
        raise Unsupported(f"order_discount_spread {spread!r}")
    if spread and "remainder" not in policy:
        return Remainder.NEAREST_FIRST
    if str(policy.get("remainder", "")).startswith("as listed"):
        return Remainder.FIRST  # in an order the lines are what is listed
    found = remainder_of(policy)
    if found in (Remainder.APART, Remainder.BLOCKS):
        raise Unsupported("a discount leaves nothing apart")
    return found


class Wishes(msgspec.Struct, frozen=True, kw_only=True):
    """What a policy says of units and repetition."""

    units: Units
    rounds_max: int


def _wishes(policy: Given) -> Wishes:
    words = str(policy.get("units", ""))
    application = str(policy.get("application", ""))
    if application not in ("", "once"):
        raise Unsupported(f"application {application!r}")
    dearest = "dearest" in words or "dearest" in str(policy.get("unit_order", ""))
    if words and not words.startswith("dearest"):
        raise Unsupported(f"units {words!r}")
    once = application == "once" or "at most once" in words
    return Wishes(units=Units.DEAREST if dearest else Units.CHEAPEST, rounds_max=1 if once else 0)


def campaigns_of(promotions: Sequence[Given], policy: Given, currency: str) -> list[Campaign]:
    """One campaign per promotion; actions of one promotion are rules of one campaign, in the order listed."""
    wishes = _wishes(policy)
    grouped: dict[str, list[tuple[int, Given]]] = {}
    for number, promotion in enumerate(promotions):
        only(promotion, _KEYS)
        name = promotion.get("promotion")
        grouped.setdefault(f"#{number}" if name is None else f"={name}", []).append((number, promotion))
    return [_campaign(members, wishes, currency) for members in grouped.values()]


def _campaign(members: Sequence[tuple[int, Given]], wishes: Wishes, currency: str) -> Campaign:
    coupons = {str(promotion["coupon"]) for _, promotion in members if promotion.get("coupon")}
    return Campaign(
        campaign_id=f"{members[0][0]:06d}",
        title=str(members[0][1].get("code", "")),
        currency=currency,
        rules=tuple(_rule(number, promotion, wishes) for number, promotion in members),
        needs_code=bool(coupons),
        codes=tuple(sorted(coupons)),
        state=CampaignState.ACTIVE,
    )


def _rule(number: int, promotion: Given, wishes: Wishes) -> Rule:
    kind, rule_class = promotion.get("kind"), _class_of(promotion)
    return Rule(
        code=f"{number:06d}",
        title=str(promotion.get("code", "")),
        rule_class=rule_class,
        effect=_kind(str(kind), promotion, wishes) if kind else _plain(promotion, wishes),
        filter=filter_of(promotion.get("filter")),
        conditions=tuple(_condition(condition) for condition in as_list(promotion.get("conditions"))),
        cap_minor=exact_minor(promotion.get("cap") or 0),
        priority=whole(promotion.get("priority") or 0),
        exclusive=bool(promotion.get("exclusive", False)),
        basis=Basis.LIST if rule_class is RuleClass.LINE else Basis.LEFT,
    )


def _class_of(promotion: Given) -> RuleClass:
    """The class a scope names; a kind of its own lowers lines, and a total for the items is the order's."""
    if promotion.get("kind"):
        return RuleClass.LINE
    if promotion.get("set_items_total_to") is not None:
        return RuleClass.ORDER
    found = _SCOPES.get(str(promotion.get("scope")))
    if found is None:
        raise Unsupported(f"scope {promotion.get('scope')!r}")
    return found


def _plain(promotion: Given, wishes: Wishes) -> Percentage | Fixed | SetTotal:
    given = [key for key in _AMOUNTS if promotion.get(key) is not None]
    if len(given) != 1:
        raise Unsupported(f"a promotion with {' and '.join(given) or 'no amount'}")
    stray = [key for key in _OF_KINDS if key in promotion]
    if stray:
        raise Unsupported(f"{' and '.join(stray)} without a kind")
    most = whole(promotion.get("max_units") or 0)
    value = promotion[given[0]]
    if given[0] == "percent":
        return Percentage(percent_ppm=ppm_of(value), max_units=most, units=wishes.units)
    if given[0] == "fixed":
        return Fixed(amount_minor=_not_below(value, 0), max_units=most, units=wishes.units)
    return SetTotal(amount_minor=_not_below(value, 0))


def _not_below(value: Any, least: int) -> int:
    found = exact_minor(value)
    if found < least:
        raise Unsupported(f"{value!r} in a promotion")
    return found


def _kind(kind: str, promotion: Given, wishes: Wishes) -> BuyGet | CheapestFree | BundlePrice:
    beside = [key for key in _AMOUNTS if promotion.get(key) is not None]
    if beside:
        raise Unsupported(f"{' and '.join(beside)} beside the kind {kind!r}")
    most = whole(promotion.get("max_units") or 0)
    if kind == "cheapest_free":
        every = _not_below(promotion.get("qty") or 0, 0)
        rounds = [bound for bound in (wishes.rounds_max, most) if bound]  # a round frees one unit
        return CheapestFree(every=every, rounds_max=min(rounds, default=0))
    if kind == "bundle_fixed_price":
        if most:
            raise Unsupported("a bundle with max_units")
        return BundlePrice(
            price_minor=_not_below(promotion["price"], 0),
            parts=(BundlePart(quantity=_not_below(promotion["qty"], 1)),),
            rounds_max=wishes.rounds_max,
        )
    if kind != "buy_x_get_y":
        raise Unsupported(f"promotion kind {kind!r}")
    buy = filter_of(promotion.get("buy_filter"))
    return BuyGet(
        buy_quantity=_not_below(promotion.get("buy_qty", promotion.get("qty", 1)), 1),
        get_quantity=_not_below(promotion.get("get_qty", 1), 1),
        buy=buy,
        get=filter_of(promotion["get_filter"]) if "get_filter" in promotion else buy,
        percent_ppm=ppm_of(promotion.get("get_percent", 100)),
        units=wishes.units,
        rounds_max=wishes.rounds_max,
        rewards_max=most,
        whole_rounds=True,
        own_units=True,
    )


def filter_of(given: Given | None) -> Filter:
    """A filter of the vocabulary as ours; line numbers count from 0 there and from 1 here."""
    if not given:
        return Filter()
    only(given, _FILTER)
    price: dict[str, Any] = {
        key: exact_minor(given[key])
        for key in ("unit_price_min", "unit_price_max", "list_price_equals")
        if given.get(key) is not None
    }
    return Filter(
        line_nos=tuple(whole(index) + 1 for index in as_list(given.get("line_index"))),
        groups=tuple(str(group) for group in as_list(given.get("group"))),
        products=tuple(str(product) for product in as_list(given.get("product"))),
        **price,
    )


def _condition(given: Given) -> Condition:
    """One condition; a quantity beside a group or product is the quantity of those goods."""
    only(given, _CONDITION)
    groups = tuple(str(group) for group in as_list(given.get("contains_group")))
    products = tuple(str(product) for product in as_list(given.get("contains_product")))
    bounds: dict[str, Any] = {
        key: exact_minor(given[key])
        for key in ("items_total_at_least", "any_line_quantity_at_least", "quantity_at_least")
        if given.get(key) is not None
    }
    among = Filter(groups=groups, products=products) if bounds else Filter()
    return Condition(contains_groups=groups, contains_products=products, among=among, **bounds)


def tiers(given: Mapping[str, Any], *, rates: bool) -> tuple[Tier, ...]:
    """Tiers by rising bound, with percentages or amounts."""
    bounds = sorted((exact_minor(bound), value) for bound, value in given.items())
    if rates:
        return tuple(Tier(at_least=bound, percent_ppm=ppm_of(value)) for bound, value in bounds)
    return tuple(Tier(at_least=bound, amount_minor=exact_minor(value)) for bound, value in bounds)


def tiered_percent(given: Given, basis: TierBasis) -> TieredPercent | TieredFlat:
    """A table of percentages, or of amounts where it has a base amount."""
    only(given, ("base_percent", "base_amount", "tiers"))
    if "base_amount" in given:
        return TieredFlat(
            base_minor=exact_minor(given["base_amount"]),
            tiers=tiers(given["tiers"], rates=False),
            basis=basis,
        )
    base = given.get("base_percent")
    return TieredPercent(
        base_ppm=0 if base is None else ppm_of(base), tiers=tiers(given["tiers"], rates=True), basis=basis
    )
