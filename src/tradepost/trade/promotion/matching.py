"""The basket as the engine works on it: indexed once, so that a rule finds its lines without looking at all."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence

import msgspec

from tradepost.kernel.money import PRICE_SCALE
from tradepost.trade.promotion.basket import Basket, BasketLine
from tradepost.trade.promotion.model import EVERYTHING, Basis, Condition, Filter
from tradepost.trade.promotion.policy import Policy, Ties

KEYS = ("skus", "offers", "products", "contents", "creators", "groups", "sellers")
"""Fields of a filter that name values, the most telling first."""

_FIELDS = {
    "skus": operator.attrgetter("sku_id"),
    "offers": operator.attrgetter("offer_id"),
    "products": operator.attrgetter("product_id"),
    "contents": operator.attrgetter("content_id"),
    "creators": operator.attrgetter("creator_id"),
    "sellers": operator.attrgetter("seller_id"),
}


class Sieve(msgspec.Struct, frozen=True):
    """A filter made ready: the values it names by field, and whether more than those must be looked at."""

    filter: Filter
    keyed: tuple[tuple[str, tuple[str, ...]], ...]
    plain: bool
    worldwide: bool


def sieve_of(filter_: Filter) -> Sieve:
    """The filter made ready for `Ground.match`."""
    keyed = tuple((name, getattr(filter_, name)) for name in KEYS if getattr(filter_, name))
    prices = (filter_.unit_price_min, filter_.unit_price_max, filter_.list_price_equals)
    excepted = filter_.except_skus or filter_.except_products or filter_.except_groups
    return Sieve(
        filter=filter_,
        keyed=keyed,
        plain=not filter_.line_nos and not excepted and all(price is None for price in prices),
        worldwide=not filter_.markets and not filter_.segments and filter_.first_order is None,
    )


ALL = sieve_of(EVERYTHING)


class Ground:
    """One basket under evaluation: lines in the order ties are broken by, and what each still costs.

    `listed` and `left` are minor units per line, `floors` the least a line may cost. `taken` are the units that the
    effect reckoned last chose, where it did not take whole lines, `bought` those it counted as bought. `spent` are
    units by line that offers for some units only have counted, and what those units still cost. `giver` is
    the seller of the campaign under evaluation, empty for the platform's.
    """

    __slots__ = (
        "basket",
        "bought",
        "everywhere",
        "floored",
        "floors",
        "giver",
        "index",
        "left",
        "left_total",
        "lines",
        "listed",
        "listed_total",
        "places",
        "quantities",
        "quantity_total",
        "spent",
        "taken",
    )

    def __init__(self, basket: Basket, policy: Policy) -> None:
        lines = basket.lines
        if policy.ties is Ties.LISTED or len(lines) < 2:
            self.places = list(range(len(lines)))
            self.lines: Sequence[BasketLine] = lines
        else:
            key = _identity if policy.ties is Ties.IDENTITY else _dearness
            keys = [key(line) for line in lines]
            self.places = sorted(range(len(lines)), key=keys.__getitem__)
            self.lines = [lines[place] for place in self.places]
        self.giver = ""
        self.taken: dict[int, int] = {}
        self.bought: dict[int, int] = {}
        self.spent: dict[int, tuple[int, int]] = {}
        self.basket = basket
        self.listed = [line.list_minor for line in self.lines]
        self.left = self.listed.copy()
        self.quantities = [line.quantity for line in self.lines]
        self.floors = [line.floor_minor * line.quantity for line in self.lines]
        self.floored = any(self.floors)
        self.index: dict[str, dict[str, list[int]]] = {}
        self.everywhere = range(len(lines))
        self.listed_total = self.left_total = sum(self.listed)
        self.quantity_total = sum(self.quantities)

    def lower(self, gives: Iterable[tuple[int, int]]) -> None:
        """Take amounts off lines."""
        left = self.left
        for place, amount in gives:
            left[place] -= amount
            self.left_total -= amount

    def unspent(self, place: int) -> tuple[int, int]:
        """Units of a line that no offer for some units only has counted, and what they cost together."""
        units, cost = self.spent.get(place, (0, 0))
        return self.quantities[place] - units, max(0, self.left[place] - cost)

    def spend(self, gives: Iterable[tuple[int, int]]) -> None:
        """Count the units that the offer reckoned last bought and rewarded; call it before `lower`."""
        off = dict(gives)
        for place in {*self.bought, *self.taken}:
            count = self.bought.get(place, 0) + self.taken.get(place, 0)
            free, worth = self.unspent(place)
            units, cost = self.spent.get(place, (0, 0))
            if count <= free:
                self.spent[place] = (units + count, cost + worth * count // free - off.get(place, 0))
            else:  # the offer came upon units counted before: all count the same again
                self.spent[place] = (self.quantities[place], self.left[place] - off.get(place, 0))

    def room(self, place: int) -> int:
        """What may still be taken off a line."""
        room = self.left[place] - self.floors[place]
        return room if room > 0 else 0

    def rooms(self, places: Sequence[int]) -> list[int]:
        """What may still be taken off each of these lines."""
        left, floors = self.left, self.floors
        if not self.floored:
            return left if places is self.everywhere else [left[place] for place in places]
        return [left[place] - floors[place] if left[place] > floors[place] else 0 for place in places]

    def values(self, name: str) -> dict[str, list[int]]:
        """Lines by the value of a filter's field, found once."""
        known = self.index.get(name)
        if known is None:
            known = self.index[name] = {}
            if name == "groups":
                pairs = [
                    (place, group)
                    for place, line in enumerate(self.lines)
                    for group in dict.fromkeys(line.groups)
                ]
            else:
                pairs = list(enumerate(map(_FIELDS[name], self.lines)))
            for place, value in pairs:
                if value in known:
                    known[value].append(place)
                else:
                    known[value] = [place]
        return known

    def gifts_of(self, sku_id: str) -> list[int]:
        """The lines of a SKU that the campaign under evaluation may give away: a seller's only its own goods."""
        found = self.values("skus").get(sku_id, [])
        return [place for place in found if self.giver in ("", self.lines[place].seller_id)]

    def match(self, sieve: Sieve) -> Sequence[int]:
        """The lines that pass, in order."""
        if not sieve.worldwide and not self._passes(sieve.filter):
            return ()
        found: Sequence[int] = self.everywhere
        for number, (name, wanted) in enumerate(sieve.keyed):
            known = self.values(name)
            if len(wanted) == 1:
                hits: Iterable[int] = known.get(wanted[0], ())
            else:
                hits = {place for value in wanted if value in known for place in known[value]}
            if number:
                among = set(hits)
                found = [place for place in found if place in among]
            else:
                found = hits if isinstance(hits, (list, tuple)) else sorted(hits)
            if not found:
                return ()
        if not sieve.plain:
            return self._sift(found, sieve.filter)
        return found

    def _sift(self, places: Sequence[int], filter_: Filter) -> list[int]:
        """What the index does not know: prices, numbers and exceptions."""
        lines = self.lines
        least, most, exact = filter_.unit_price_min, filter_.unit_price_max, filter_.list_price_equals
        if exact is not None:
            wanted = exact * PRICE_SCALE
            places = [place for place in places if lines[place].unit_price_e4 == wanted]
        if least is not None:
            bound = least * PRICE_SCALE
            places = [place for place in places if lines[place].unit_price_e4 >= bound]
        if most is not None:
            bound = most * PRICE_SCALE
            places = [place for place in places if lines[place].unit_price_e4 <= bound]
        if filter_.line_nos:
            places = [place for place in places if lines[place].line_no in filter_.line_nos]
        if filter_.except_skus or filter_.except_products or filter_.except_groups:
            places = [place for place in places if not _is_excepted(lines[place], filter_)]
        return list(places)

    def _passes(self, filter_: Filter) -> bool:
        basket = self.basket
        return (
            (not filter_.markets or basket.market in filter_.markets)
            and (not filter_.segments or any(one in filter_.segments for one in basket.segments))
            and filter_.first_order in (None, basket.first_order)
        )

    def holds(self, condition: Condition, places: Sequence[int], basis: Basis) -> bool:
        """Whether a condition is met by these lines."""
        basket = self.basket
        if condition.first_order not in (None, basket.first_order):
            return False
        if condition.segments and not any(one in condition.segments for one in basket.segments):
            return False
        if condition.contains_groups and not any(
            group in condition.contains_groups for place in places for group in self.lines[place].groups
        ):
            return False
        if condition.contains_products and not any(
            self.lines[place].product_id in condition.contains_products for place in places
        ):
            return False
        return self._enough(condition, places, basis)

    def amount(self, places: Sequence[int], basis: Basis) -> int:
        """What these lines cost together, listed or as left."""
        listed = basis is Basis.LIST
        if places is self.everywhere:
            return self.listed_total if listed else self.left_total
        amounts = self.listed if listed else self.left
        return sum([amounts[place] for place in places])

    def count(self, places: Sequence[int]) -> int:
        """Units of these lines."""
        if places is self.everywhere:
            return self.quantity_total
        return sum([self.quantities[place] for place in places])

    def _enough(self, condition: Condition, places: Sequence[int], basis: Basis) -> bool:
        least = condition.items_total_at_least
        if least is not None and self.amount(places, basis) < least:
            return False
        least = condition.quantity_at_least
        if least is not None and self.count(places) < least:
            return False
        least = condition.any_line_quantity_at_least
        return least is None or any(self.quantities[place] >= least for place in places)


def _dearness(line: BasketLine) -> tuple[int | str, ...]:
    return (-line.unit_price_e4, line.line_no)


_identity = operator.attrgetter(
    "sku_id", "offer_id", "unit_price_e4", "quantity", "content_id", "creator_id", "line_no"
)


def _is_excepted(line: BasketLine, filter_: Filter) -> bool:
    return (
        line.sku_id in filter_.except_skus
        or line.product_id in filter_.except_products
        or any(group in filter_.except_groups for group in line.groups)
    )
