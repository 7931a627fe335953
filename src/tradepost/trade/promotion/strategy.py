"""The engine as a pricing strategy: campaigns made ready once, then asked for every basket."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tradepost.trade.promotion import policy as policies
from tradepost.trade.promotion.basket import Basket, Charge, Outcome
from tradepost.trade.promotion.engine import evaluate
from tradepost.trade.promotion.model import Campaign
from tradepost.trade.promotion.policy import Policy
from tradepost.trade.promotion.rulebook import Rulebook
from tradepost.trade.promotion.shipping import discount_shipping


class Promotions:
    """A strategy for the point `pricing.adjustments`. Pure: it holds rules, and no state of any basket.

    Build it once per edition of the campaigns in force. `explained` is the same with a verdict on every rule.
    """

    __slots__ = ("book", "explain")

    def __init__(
        self,
        campaigns: Iterable[Campaign] = (),
        policy: Policy = policies.STANDARD,
        *,
        book: Rulebook | None = None,
        explain: bool = False,
    ) -> None:
        self.book = book or Rulebook(campaigns, policy)
        self.explain = explain

    def __call__(self, basket: Basket) -> Outcome:
        """What the line and order rules make of a basket."""
        return evaluate(self.book, basket, explain=self.explain)

    def ship(self, basket: Basket, outcome: Outcome, charges: Sequence[Charge]) -> Outcome:
        """The outcome with what the shipping rules take off these charges."""
        return discount_shipping(self.book, basket, outcome, charges, explain=self.explain)

    def explained(self) -> Promotions:
        """The same rules, asked to say why."""
        return Promotions(book=self.book, explain=True)
