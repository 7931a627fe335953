"""Campaigns made ready once: rules in the order they run, found by what a basket holds instead of one by one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tradepost.trade.promotion import policy as policies
from tradepost.trade.promotion.basket import Basket
from tradepost.trade.promotion.matching import Ground, Sieve, sieve_of
from tradepost.trade.promotion.model import Campaign, Condition, Gift, Owner, Rule, RuleClass
from tradepost.trade.promotion.policy import Policy
from tradepost.trade.promotion.policy import Sequence as Order

_CLASS_RANK = {RuleClass.LINE: 0, RuleClass.ORDER: 1, RuleClass.SHIPPING: 2}


class Active:
    """One rule of one campaign, ready to run. `rank` is its place among all rules of the book.

    `gift` is its effect when that frees units of the basket, `given` when that adds a line.
    """

    __slots__ = ("campaign", "conditions", "gift", "given", "giver", "rank", "rule", "sieve")

    def __init__(self, campaign: Campaign, rule: Rule) -> None:
        self.campaign = campaign
        self.rule = rule
        self.rank = 0
        self.sieve: Sieve = sieve_of(rule.filter)
        self.conditions: tuple[tuple[Condition, Sieve], ...] = tuple(
            (condition, sieve_of(condition.among)) for condition in rule.conditions
        )
        effect = rule.effect if isinstance(rule.effect, Gift) else None
        self.gift = effect if effect is not None and not effect.offer_id else None
        self.given = effect if effect is not None and effect.offer_id else None
        self.giver = campaign.seller_id if campaign.owner is Owner.SELLER else ""

    def places(self, ground: Ground, sieve: Sieve) -> Sequence[int]:
        """The lines that pass a sieve and that this campaign may touch."""
        found = ground.match(sieve)
        if self.campaign.owner is Owner.SELLER:
            seller_id = self.campaign.seller_id
            found = [place for place in found if ground.lines[place].seller_id == seller_id]
        if self.gift is not None:
            found = [place for place in found if ground.lines[place].sku_id != self.gift.sku_id]
        return found

    def holds(self, ground: Ground, policy: Policy) -> bool:
        """Whether every condition of the rule is met."""
        for condition, sieve in self.conditions:
            if not ground.holds(condition, self.places(ground, sieve), policy.conditions_see):
                return False
        return True


class Rulebook:
    """The rules of all campaigns given, sorted by rank and indexed by what they are looking for.

    Evaluating a basket touches only rules that could match one of its lines, so thousands of campaigns for other
    goods cost nothing. Campaigns of the same id and version count once.
    """

    def __init__(self, campaigns: Iterable[Campaign], policy: Policy = policies.STANDARD) -> None:
        self.policy = policy
        self.campaigns = tuple(
            {(campaign.campaign_id, campaign.version): campaign for campaign in campaigns}.values()
        )
        rules = [Active(campaign, rule) for campaign in self.campaigns for rule in campaign.rules]
        rules.sort(key=lambda active: _rank(active, policy))
        for rank, active in enumerate(rules):
            active.rank = rank
        self.rules = rules
        self._by_name = {(active.campaign.campaign_id, active.rule.code): active for active in rules}
        self.goods = _Shelf([active for active in rules if active.rule.rule_class is not RuleClass.SHIPPING])
        self.shipping = [active for active in rules if active.rule.rule_class is RuleClass.SHIPPING]

    def find(self, campaign_id: str, code: str) -> Active | None:
        """The rule of this campaign and code, or None."""
        return self._by_name.get((campaign_id, code))


class _Shelf:
    """Rules by the most telling value their filter names; those that name none are always looked at."""

    def __init__(self, rules: Sequence[Active]) -> None:
        self.anywhere: list[Active] = []
        self.anchored: dict[str, dict[str, list[Active]]] = {}
        for active in rules:
            if not active.sieve.keyed or active.gift is not None:
                self.anywhere.append(active)
                continue
            name, values = active.sieve.keyed[0]
            shelf = self.anchored.setdefault(name, {})
            for value in values:
                shelf.setdefault(value, []).append(active)

    def candidates(self, ground: Ground) -> list[Active]:
        """The rules that could match a line of this basket, by rank."""
        found = {active.rank: active for active in self.anywhere}
        for name, shelf in self.anchored.items():
            for value in ground.values(name):
                for active in shelf.get(value, ()):
                    found[active.rank] = active
        return [found[rank] for rank in sorted(found)]


def _rank(active: Active, policy: Policy) -> tuple[int, int, str, int, str]:
    rule, campaign = active.rule, active.campaign
    by_class, by_priority = _CLASS_RANK[rule.rule_class], -rule.priority
    first = (by_class, by_priority) if policy.sequence is Order.CLASS else (by_priority, by_class)
    return (*first, campaign.campaign_id, campaign.version, rule.code)


def refusal_of(campaign: Campaign, basket: Basket) -> str:
    """Why a campaign does not run for a basket: `not_running`, `coupon_missing`, or nothing when it does."""
    if not campaign.is_running(basket.at_ms, basket.market, basket.currency, basket.scene):
        return "not_running"
    if (
        campaign.needs_code
        and not coupon_of(campaign, basket)
        and campaign.campaign_id not in basket.unlocked
    ):
        return "coupon_missing"
    return ""


def coupon_of(campaign: Campaign, basket: Basket) -> str:
    """The code of the basket that opens a campaign, empty when none does."""
    return next((code for code in basket.codes if code in campaign.codes), "")
