"""Which units an offer takes: whole runs of equal units at a time, so the cost never grows with a quantity."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tradepost.trade.promotion.matching import Ground
from tradepost.trade.promotion.model import Units

Taken = dict[int, int]
"""Units by line."""
_FINE = 32


def unit_order(ground: Ground, places: Iterable[int], units: Units) -> list[int]:
    """Lines by what one unit still costs, cheapest or dearest first.

    Among equals those whose unit may be lowered most, then the earlier line.
    """
    left, quantities = ground.left, ground.quantities
    sign = 1 if units is Units.CHEAPEST else -1

    def each(amount: int, place: int) -> int:
        return (amount << _FINE) // (quantities[place] or 1)

    if not ground.floored:
        return sorted(places, key=lambda place: (sign * each(left[place], place), place))
    return sorted(
        places,
        key=lambda place: (sign * each(left[place], place), -each(ground.room(place), place), place),
    )


def take(order: Iterable[int], available: Mapping[int, int], wanted: int) -> Taken:
    """So many units in this order of lines, or all there are."""
    taken: Taken = {}
    for place in order:
        if wanted <= 0:
            break
        count = min(available[place], wanted)
        if count > 0:
            taken[place] = count
            wanted -= count
    return taken


def worth(ground: Ground, place: int, first: int, count: int) -> int:
    """What `count` units of a line still cost, after `first` of them were counted before; telescopes exactly."""
    left, quantity = ground.left[place], ground.quantities[place]
    return left * (first + count) // quantity - left * first // quantity


def rewards(
    ground: Ground,
    buyable: Sequence[int],
    gettable: Sequence[int],
    *,
    buy: int,
    get: int,
    rounds_max: int,
    units: Units,
    buy_units: Units,
    rewards_max: int = 0,
    whole: bool = False,
    own: bool = False,
) -> Taken:
    """The units that a buy-x-get-y offer rewards, most units possible; see `BuyGet`."""
    quantities = ground.quantities
    if own:
        quantities = [ground.unspent(place)[0] for place in range(len(quantities))]
        needed = -(-rewards_max // get)
        rounds_max = min(rounds_max, needed) if rounds_max and needed else rounds_max or needed
    both = set(buyable) & set(gettable)
    only_buy = sum([quantities[place] for place in buyable if place not in both])
    only_get = sum([quantities[place] for place in gettable if place not in both])
    shared = sum([quantities[place] for place in both])
    rounds = _rounds(only_buy, only_get, shared, buy, get, rounds_max, whole)
    if not rounds:
        return {}
    left = {place: quantities[place] for place in {*buyable, *gettable}}
    order = unit_order(ground, buyable, buy_units)
    order.sort(key=lambda place: place in both)
    ground.bought = take(order, left, rounds * buy)
    for place, count in ground.bought.items():
        left[place] -= count
    wanted = min(rounds * get, rewards_max) if rewards_max else rounds * get
    return take(unit_order(ground, gettable, units), left, wanted)


def _rounds(
    only_buy: int, only_get: int, shared: int, buy: int, get: int, rounds_max: int, whole: bool
) -> int:
    """The fewest rounds that reward the most units: more rounds need more bought units, which are then no reward."""

    def spare(rounds: int) -> int:
        return only_get + shared - max(0, rounds * buy - only_buy)

    high = (only_buy + shared) // buy
    if rounds_max:
        high = min(high, rounds_max)
    low = 0
    while low < high:  # the last round whose rewards are all there
        middle = (low + high + 1) // 2
        if middle * get <= spare(middle):
            low = middle
        else:
            high = middle - 1
    if whole:
        return low
    most = (only_buy + shared) // buy
    after = low + 1
    if after <= (min(most, rounds_max) if rounds_max else most) and spare(after) > low * get:
        return after
    return low


def bundles(
    ground: Ground, parts: Sequence[tuple[Sequence[int], int]], price: int, rounds_max: int
) -> list[tuple[dict[int, int], int]]:
    """Bundles that cost less together, as ({line: what its units cost}, saved) per run of equal bundles.

    Each run uses up some line, so there are at most about as many runs as lines.
    """
    orders = [(unit_order(ground, places, Units.DEAREST), quantity) for places, quantity in parts]
    available = {place: ground.quantities[place] for order, _ in orders for place in order}
    used = dict.fromkeys(available, 0)
    runs: list[tuple[dict[int, int], int]] = []
    rounds = 0
    while not rounds_max or rounds < rounds_max:
        one = _one_bundle(orders, available)
        if one is None:
            break
        times = min(available[place] // count for place, count in one.items())
        if rounds_max:
            times = min(times, rounds_max - rounds)
        costs = {place: worth(ground, place, used[place], count * times) for place, count in one.items()}
        saved = sum(costs.values()) - price * times
        if saved <= 0:
            break
        runs.append((costs, saved))
        for place, count in one.items():
            available[place] -= count * times
            used[place] += count * times
        rounds += times
    return runs


def _one_bundle(
    orders: Sequence[tuple[Sequence[int], int]], available: Mapping[int, int]
) -> dict[int, int] | None:
    """The dearest units for every part, or None when a part cannot be filled any more."""
    one: dict[int, int] = {}
    for order, quantity in orders:
        missing = quantity
        for place in order:
            count = min(available[place] - one.get(place, 0), missing)
            if count > 0:
                one[place] = one.get(place, 0) + count
                missing -= count
                if not missing:
                    break
        if missing:
            return None
    return one
