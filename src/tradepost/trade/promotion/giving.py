"""Gifts as lines of their own: which goods a rule may give in a basket, what they are worth, what earned them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tradepost.trade.promotion.basket import Adjustment, Basket, GiftGoods, GiftUnits
from tradepost.trade.promotion.matching import Ground, Sieve
from tradepost.trade.promotion.model import Gift
from tradepost.trade.promotion.rulebook import Active

UNKNOWN, FOREIGN, ALONE = "gift_unknown", "gift_foreign", "gift_travels_alone"
"""Not among the goods that may be given, of another seller than the campaign's, of one of whom nothing is bought."""


class GiftShelf:
    """The goods that may be given in one basket, by offer and quantity."""

    __slots__ = ("_goods", "_ground")

    def __init__(self, basket: Basket, ground: Ground) -> None:
        self._goods = {(one.offer_id, one.quantity): one for one in basket.gifts} if basket.gifts else {}
        self._ground = ground

    def _find(self, gift: Gift) -> GiftGoods | None:
        return self._goods.get((gift.offer_id, gift.quantity))

    def refusal_of(self, gift: Gift, giver: str) -> str:
        """Why a gift cannot be given, a stable word; empty when it can. `giver` may give its own goods alone."""
        goods = self._find(gift)
        if goods is None:
            return UNKNOWN
        if giver not in ("", goods.seller_id):
            return FOREIGN
        if all(line.seller_id != goods.seller_id for line in self._ground.lines):
            return ALONE
        return goods.missing

    def worth(self, gift: Gift, giver: str) -> int:
        """What a gift costs at list price; nothing where it cannot be given."""
        goods = self._find(gift)
        return goods.list_minor if goods is not None and not self.refusal_of(gift, giver) else 0

    def missed(self, active: Active, gift: Gift, why: str) -> GiftUnits | None:
        """An earned gift whose goods cannot be given; None when `why` speaks of a rule that gives nothing here."""
        goods = self._find(gift)
        if goods is None or not why or goods.missing != why:
            return None
        return GiftUnits(
            code=active.rule.code,
            campaign_id=active.campaign.campaign_id,
            version=active.campaign.version,
            sku_id=goods.sku_id,
            offer_id=gift.offer_id,
            quantity=gift.quantity,
            taken=0,
            missing=why,
        )

    def give(
        self,
        active: Active,
        gift: Gift,
        changes: tuple[Adjustment, ...],
        places: Sequence[int],
        among: Callable[[Sieve], Sequence[int]],
    ) -> GiftUnits:
        """The line that a rule gives, with what earned it: the lines its amounts and quantities are of, else `places`.

        Raises KeyError for goods that `refusal_of` refuses as unknown.
        """
        goods = self._goods[(gift.offer_id, gift.quantity)]
        counted: set[int] = set()
        least_minor, least_units = 0, 1
        for condition, sieve in active.conditions:
            units = max(condition.quantity_at_least or 0, condition.any_line_quantity_at_least or 0)
            amount = condition.items_total_at_least or 0
            if units or amount:
                counted.update(among(sieve))
                least_minor, least_units = max(least_minor, amount), max(least_units, units)
        lines = self._ground.lines
        return GiftUnits(
            code=active.rule.code,
            campaign_id=active.campaign.campaign_id,
            version=active.campaign.version,
            sku_id=goods.sku_id,
            offer_id=goods.offer_id,
            quantity=goods.quantity,
            taken=0,
            list_minor=goods.list_minor,
            adjustments=changes,
            earned_by=tuple(sorted(lines[place].line_no for place in counted or places)),
            least_minor=least_minor,
            least_units=least_units,
        )
