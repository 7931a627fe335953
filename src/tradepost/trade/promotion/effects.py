"""What each effect takes off which line, before stacking is judged: pure arithmetic on a `Ground`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from tradepost.kernel.money import PRICE_SCALE, divide
from tradepost.trade.promotion import choosing
from tradepost.trade.promotion.matching import Ground, sieve_of
from tradepost.trade.promotion.model import (
    PPM,
    Basis,
    BundlePrice,
    BuyGet,
    CheapestFree,
    Fixed,
    Gift,
    NthUnit,
    Percentage,
    Rule,
    RuleClass,
    SetTotal,
    Tier,
    TierBasis,
    TieredFlat,
    TieredPercent,
)
from tradepost.trade.promotion.policy import Level, Policy
from tradepost.trade.promotion.spreading import spread

Gives = list[tuple[int, int]]
"""(line, amount taken off, above zero)."""


def reckon(ground: Ground, rule: Rule, places: Sequence[int], policy: Policy, giver: str = "") -> Gives:
    """What a rule would take off these lines now, within floors and the rule's cap.

    `giver` is the seller whose goods alone a gift may be; empty: anybody's.
    """
    ground.giver = giver
    ground.taken = {}
    ground.bought = {}
    gives = _EFFECTS[type(rule.effect)](ground, rule, places, policy)
    if rule.cap_minor:
        whole = sum([amount for _, amount in gives])
        if whole > rule.cap_minor:
            amounts = [amount for _, amount in gives]
            parts = spread(rule.cap_minor, amounts, amounts, policy.remainder)
            return [(place, part) for (place, _), part in zip(gives, parts, strict=True) if part]
    return gives


def sets_units_apart(effect: object) -> bool:
    """Whether the units that an effect counted are known apart from the others of their line afterwards."""
    if isinstance(effect, BuyGet):
        return effect.own_units
    return isinstance(effect, Percentage | Fixed) and effect.max_units > 0


def value(ground: Ground, rule: Rule, places: Sequence[int], policy: Policy, giver: str = "") -> int:
    """What `reckon` would take off all lines together; an amount off the whole need not be spread to know."""
    effect = rule.effect
    if isinstance(effect, Fixed) and rule.rule_class is not RuleClass.LINE and not effect.max_units:
        whole = min(effect.amount_minor, sum(ground.rooms(places)))
        return min(whole, rule.cap_minor) if rule.cap_minor else whole
    return sum([amount for _, amount in reckon(ground, rule, places, policy, giver)])


def _fitted(ground: Ground, gives: Gives, counts: Mapping[int, int] = MappingProxyType({})) -> Gives:
    """The same, no line below its floor, nor any of the units that `counts` names where not all are lowered."""
    left, floors, quantities = ground.left, ground.floors, ground.quantities
    fitted = []
    for place, amount in gives:
        room = left[place] - floors[place]
        if counts and room > 0:
            if place in ground.spent:
                share = -(-floors[place] * counts[place] // quantities[place])
                room = min(room, _cost_of(ground, place, counts[place]) - share)
            else:
                room = _part_of(room, counts[place], quantities[place])
        fits = amount if amount < room else room
        if fits > 0:
            fitted.append((place, fits))
    return fitted


def _over(ground: Ground, whole: int, places: Sequence[int], weights: Sequence[int], policy: Policy) -> Gives:
    """One amount over lines by weight."""
    parts = spread(whole, weights, ground.rooms(places), policy.remainder)
    return [(place, part) for place, part in zip(places, parts, strict=True) if part]


def _bases(ground: Ground, rule: Rule, places: Sequence[int]) -> list[int]:
    amounts = ground.listed if rule.basis is Basis.LIST else ground.left
    return [amounts[place] for place in places]


def _some(ground: Ground, places: Sequence[int], effect: Percentage | Fixed) -> dict[int, int]:
    """The units an effect takes: all of the lines, or as many as it allows of those that can cost less."""
    quantities = ground.quantities
    if not effect.max_units:
        return {place: quantities[place] for place in places}
    available = {place: quantities[place] for place in places if ground.room(place)}
    order = choosing.unit_order(ground, available, effect.units)
    ground.taken = choosing.take(order, available, effect.max_units)
    return ground.taken


def _part_of(amount: int, count: int, quantity: int) -> int:
    return amount if count == quantity else amount * count // quantity


def _cost_of(ground: Ground, place: int, count: int) -> int:
    """What so many units of a line still cost: units that no limited offer has lowered, while there are enough."""
    units, cost = ground.unspent(place)
    if 0 < count <= units:
        return cost * count // units
    return _part_of(ground.left[place], count, ground.quantities[place])


def _percentage(ground: Ground, rule: Rule, places: Sequence[int], policy: Policy) -> Gives:
    effect: Percentage = rule.effect  # type: ignore[assignment]
    if effect.max_units:
        counts = _some(ground, places, effect)
        places = sorted(counts)
    else:
        counts = {}
    return _percent(ground, rule, places, counts, effect.percent_ppm, policy)


def _percent(
    ground: Ground, rule: Rule, places: Sequence[int], counts: dict[int, int], ppm: int, policy: Policy
) -> Gives:
    """A percentage of these lines, or of so many units of each, rounded at the level of the rule's class."""
    level = policy.line_level if rule.rule_class is RuleClass.LINE else policy.order_level
    if level is Level.UNIT:
        return _fitted(
            ground,
            [(place, _by_unit(ground, rule, place, counts, ppm, policy)) for place in places],
            counts,
        )
    bases = _bases(ground, rule, places)
    if counts:
        bases = [
            _cost_of(ground, place, counts[place])
            if rule.basis is Basis.LEFT
            else _part_of(base, counts[place], ground.quantities[place])
            for place, base in zip(places, bases, strict=True)
        ]
    rounding = policy.rounding
    if level is Level.LINE:
        return _fitted(
            ground,
            [(place, divide(base * ppm, PPM, rounding)) for place, base in zip(places, bases, strict=True)],
            counts,
        )
    return _over(ground, divide(sum(bases) * ppm, PPM, rounding), places, bases, policy)


def _by_unit(ground: Ground, rule: Rule, place: int, counts: dict[int, int], ppm: int, policy: Policy) -> int:
    """The percentage of each unit rounded by itself; only two different unit amounts occur."""
    quantity = ground.quantities[place]
    count = counts.get(place, quantity)
    if rule.basis is Basis.LIST or ground.left[place] == ground.listed[place]:
        price_e4 = ground.lines[place].unit_price_e4
        return count * divide(price_e4 * ppm, PRICE_SCALE * PPM, policy.rounding)
    each, odd = divmod(ground.left[place], quantity)
    dear = min(odd, count)
    high = divide((each + 1) * ppm, PPM, policy.rounding)
    return dear * high + (count - dear) * divide(each * ppm, PPM, policy.rounding)


def _fixed(ground: Ground, rule: Rule, places: Sequence[int], policy: Policy) -> Gives:
    effect: Fixed = rule.effect  # type: ignore[assignment]
    counts = _some(ground, places, effect)
    chosen = sorted(counts)
    if rule.rule_class is RuleClass.LINE:
        return _fitted(ground, [(place, effect.amount_minor * counts[place]) for place in chosen], counts)
    tops = [_cost_of(ground, place, counts[place]) for place in chosen]
    return _over(ground, min(effect.amount_minor, sum(tops)), chosen, tops, policy)


def _set_total(ground: Ground, rule: Rule, places: Sequence[int], policy: Policy) -> Gives:
    effect: SetTotal = rule.effect  # type: ignore[assignment]
    left = [ground.left[place] for place in places]
    if rule.rule_class is RuleClass.LINE:
        return _fitted(
            ground,
            [
                (place, amount - effect.amount_minor * ground.quantities[place])
                for place, amount in zip(places, left, strict=True)
            ],
        )
    return _over(ground, sum(left) - effect.amount_minor, places, left, policy)


def tier_of(tiers: Sequence[Tier], measure: int) -> Tier | None:
    """The highest tier reached, or None below all of them."""
    reached = [tier for tier in tiers if measure >= tier.at_least]
    return max(reached, key=lambda tier: tier.at_least) if reached else None


def _measure(ground: Ground, rule: Rule, places: Sequence[int], basis: TierBasis) -> int:
    if basis in (TierBasis.QUANTITY, TierBasis.LINE_QUANTITY):
        return sum([ground.quantities[place] for place in places])
    return sum(_bases(ground, rule, places))


def _tiered(ground: Ground, rule: Rule, places: Sequence[int], policy: Policy) -> Gives:
    effect: TieredPercent | TieredFlat = rule.effect  # type: ignore[assignment]
    alone = effect.basis in (TierBasis.LINE_AMOUNT, TierBasis.LINE_QUANTITY)
    gives: Gives = []
    for group in [[place] for place in places] if alone else [places]:
        tier = tier_of(effect.tiers, _measure(ground, rule, group, effect.basis))
        if isinstance(effect, TieredPercent):
            ppm = tier.percent_ppm if tier else effect.base_ppm
            gives += _percent(ground, rule, group, {}, ppm, policy)
        else:
            amount = tier.amount_minor if tier else effect.base_minor
            gives += _over(ground, amount, group, [ground.left[place] for place in group], policy)
    return gives


def _free(ground: Ground, taken: choosing.Taken, ppm: int, policy: Policy) -> Gives:
    gives = []
    ground.taken = taken
    for place in sorted(taken):
        part = _part_of(ground.left[place], taken[place], ground.quantities[place])
        gives.append((place, part if ppm == PPM else divide(part * ppm, PPM, policy.rounding)))
    return _fitted(ground, gives, taken)


def _buy_get(ground: Ground, rule: Rule, places: Sequence[int], policy: Policy) -> Gives:
    effect: BuyGet = rule.effect  # type: ignore[assignment]
    taken = rewarded(ground, effect, places)
    if not effect.own_units:
        return _free(ground, taken, effect.percent_ppm, policy)
    ground.taken = taken
    gives = []
    for place in sorted(taken):
        units, cost = ground.unspent(place)
        part = cost * taken[place] // units
        least = -(-ground.floors[place] * taken[place] // ground.quantities[place])
        off = divide(part * effect.percent_ppm, PPM, policy.rounding)
        gives.append((place, min(off, part - least, ground.room(place))))
    return [(place, amount) for place, amount in gives if amount > 0]


def rewarded(ground: Ground, effect: BuyGet, places: Sequence[int]) -> choosing.Taken:
    """The units that a buy-x-get-y effect rewards among these lines."""
    among = set(places)
    return choosing.rewards(
        ground,
        [place for place in ground.match(sieve_of(effect.buy)) if place in among],
        [place for place in ground.match(sieve_of(effect.get)) if place in among],
        buy=effect.buy_quantity,
        get=effect.get_quantity,
        rounds_max=effect.rounds_max,
        units=effect.units,
        buy_units=effect.buy_units,
        rewards_max=effect.rewards_max,
        whole=effect.whole_rounds,
        own=effect.own_units,
    )


def _cheapest(ground: Ground, rule: Rule, places: Sequence[int], policy: Policy) -> Gives:
    effect: CheapestFree = rule.effect  # type: ignore[assignment]
    available = {place: ground.quantities[place] for place in places}
    total = sum(available.values())
    free = total // effect.every if effect.every else min(total, 1)
    if effect.rounds_max:
        free = min(free, effect.rounds_max)
    order = choosing.unit_order(ground, places, effect.units)
    return _free(ground, choosing.take(order, available, free), PPM, policy)


def _bundle(ground: Ground, rule: Rule, places: Sequence[int], policy: Policy) -> Gives:
    effect: BundlePrice = rule.effect  # type: ignore[assignment]
    among = set(places)
    parts = [
        ([place for place in ground.match(sieve_of(part.of)) if place in among], part.quantity)
        for part in effect.parts
    ]
    sums: dict[int, int] = {}
    for costs, saved in choosing.bundles(ground, parts, effect.price_minor, effect.rounds_max):
        weights = list(costs.values())
        for place, part in zip(costs, spread(saved, weights, weights, policy.remainder), strict=True):
            sums[place] = sums.get(place, 0) + part
    return _fitted(ground, sorted(sums.items()))


def _gift(ground: Ground, rule: Rule, places: Sequence[int], policy: Policy) -> Gives:
    effect: Gift = rule.effect  # type: ignore[assignment]
    given = ground.gifts_of(effect.sku_id)
    available = {place: ground.quantities[place] for place in given}
    return _free(ground, choosing.take(given, available, effect.quantity), PPM, policy)


def _nth(ground: Ground, rule: Rule, places: Sequence[int], policy: Policy) -> Gives:
    effect: NthUnit = rule.effect  # type: ignore[assignment]
    gives = []
    for place in places:
        quantity = ground.quantities[place]
        count = min(quantity, effect.max_units) if effect.max_units else quantity
        most = ground.room(place) // quantity if quantity else 0
        first, more = min(effect.first_minor, most), min(effect.additional_minor, most)
        gives.append((place, first + more * (count - 1)))
    return _fitted(ground, gives)


_EFFECTS: dict[type, Callable[[Ground, Rule, Sequence[int], Policy], Gives]] = {
    Percentage: _percentage,
    Fixed: _fixed,
    SetTotal: _set_total,
    TieredPercent: _tiered,
    TieredFlat: _tiered,
    BuyGet: _buy_get,
    CheapestFree: _cheapest,
    BundlePrice: _bundle,
    Gift: _gift,
    NthUnit: _nth,
}
