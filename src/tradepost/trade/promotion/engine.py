"""The engine: rules and a basket in, adjustments out. Pure, deterministic to the last tie, flat in quantity."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tradepost.trade.promotion import policy as policies
from tradepost.trade.promotion.basket import Adjustment, Basket, GiftUnits, Outcome, Use, Verdict
from tradepost.trade.promotion.effects import Gives, reckon, sets_units_apart, value
from tradepost.trade.promotion.giving import GiftShelf
from tradepost.trade.promotion.matching import Ground
from tradepost.trade.promotion.model import Campaign, Funder, Gift
from tradepost.trade.promotion.policy import Policy
from tradepost.trade.promotion.rulebook import Active, Rulebook, coupon_of, refusal_of
from tradepost.trade.promotion.spreading import fund

Gain = tuple[Active, Gives]


def compile_rules(campaigns: Iterable[Campaign], policy: Policy = policies.STANDARD) -> Rulebook:
    """Campaigns made ready for `evaluate`; do it once per change of a campaign, not per basket."""
    return Rulebook(campaigns, policy)


def evaluate(book: Rulebook, basket: Basket, *, explain: bool = False) -> Outcome:
    """What the line and order rules make of a basket; shipping rules wait for `discount_shipping`.

    The same book and basket always give the same outcome. No line falls below zero or its floor, and each rule's
    parts sum to what it gives. With `explain` every rule of the book gets a verdict.
    """
    ground = Ground(basket, book.policy)
    run = Run(book.policy, ground, ground, basket, explain)
    candidates = book.goods.candidates(ground)
    if explain:
        looked = {active.rank for active in candidates}
        for active in book.rules:
            if active not in book.shipping and active.rank not in looked:
                run.refuse(active, refusal_of(active.campaign, basket) or "no_line_matches")
    run.play([active for active in candidates if run.runs(active)])
    return Outcome(
        lines=tuple(_by_line(run.gains, ground, len(basket.lines))),
        gifts=tuple(run.gifts),
        uses=tuple(uses_of(run.gains, basket, run.gifts)),
        verdicts=tuple(run.verdicts),
    )


class Run:
    """One pass of ranked rules over a ground: goods, or the charges of shipping while `judged` holds the goods."""

    def __init__(self, policy: Policy, ground: Ground, judged: Ground, basket: Basket, explain: bool) -> None:
        self.policy = policy
        self.ground = ground
        self.judged = judged
        self.basket = basket
        self.explain = explain
        self.gains: list[Gain] = []
        self.gifts: list[GiftUnits] = []
        self.shelf = GiftShelf(basket, ground)
        self.verdicts: list[Verdict] = []
        self.refusals: dict[tuple[str, int], str] = {}

    def runs(self, active: Active) -> bool:
        """Whether the rule's campaign runs for this basket; judged once per campaign."""
        campaign = active.campaign
        key = (campaign.campaign_id, campaign.version)
        why = self.refusals.get(key)
        if why is None:
            why = self.refusals[key] = refusal_of(campaign, self.basket)
        if why:
            self.refuse(active, why)
        return not why

    def play(self, rules: Sequence[Active]) -> None:
        """Let the rules run in order: an exclusive one alone, of each best-of group the best, none after a stop."""
        rules = self._alone(rules)
        best: dict[str, Active] = {}
        for number, active in enumerate(rules):
            group = active.rule.best_of
            if group and group not in best:
                best[group] = self._best([one for one in rules[number:] if one.rule.best_of == group])
            if group and best[group] is not active:
                self.refuse(active, "not_the_best", best[group].rule.code)
                continue
            gives, why = self.attempt(active)
            if why:
                self._turn_down(active, why)
                continue
            if sets_units_apart(active.rule.effect):
                self.ground.spend(gives)
            self.ground.lower(gives)
            self.gains.append((active, gives))
            if active.given is not None:
                self._approve_gift(active, active.given)
            else:
                self._approve(active, gives)
            if active.rule.stop_after:
                for other in rules[number + 1 :]:
                    self.refuse(other, "stopped", active.rule.code)
                return

    def attempt(self, active: Active) -> tuple[Gives, str]:
        """What a rule would lower now; nothing where it may not, and why, or where it gives a line of its own."""
        places, why = self._eligible(active)
        if why:
            return [], why
        if active.given is not None:
            return [], self.shelf.refusal_of(active.given, active.giver)
        gives = reckon(self.ground, active.rule, places, self.policy, active.giver)
        if active.gift is not None:
            self._note_gift(active, gives)
        return gives, "" if gives else "nothing_to_give"

    def _eligible(self, active: Active) -> tuple[Sequence[int], str]:
        """The lines a rule may lower, or why it may not run."""
        places = self.places(active)
        if not places and active.gift is None:
            return places, "no_line_matches"
        return places, "" if active.holds(self.judged, self.policy) else "condition_not_met"

    def _worth(self, active: Active) -> int:
        places, why = self._eligible(active)
        if active.given is not None:
            return 0 if why else self.shelf.worth(active.given, active.giver)
        return 0 if why else value(self.ground, active.rule, places, self.policy, active.giver)

    def places(self, active: Active) -> Sequence[int]:
        """The lines, or the charges of the sellers of the lines, that a rule may lower."""
        found = active.places(self.judged, active.sieve)
        if self.judged is self.ground:
            return found
        sellers = {self.judged.lines[place].seller_id for place in found}
        return [place for place, line in enumerate(self.ground.lines) if line.seller_id in sellers]

    def _alone(self, rules: Sequence[Active]) -> Sequence[Active]:
        for active in rules:
            if active.rule.exclusive and not self.attempt(active)[1]:
                owner = active.campaign
                for other in rules:
                    if other.campaign is not owner:
                        self.refuse(other, "exclusive_other", active.rule.code)
                return [other for other in rules if other.campaign is owner]
        return rules

    def _best(self, group: Sequence[Active]) -> Active:
        """The rule worth most now; the one of higher rank among equals."""
        return max(group, key=self._worth)

    def _note_gift(self, active: Active, gives: Gives) -> None:
        gift = active.gift
        name = (active.campaign.campaign_id, active.rule.code)
        if gift is None or any((known.campaign_id, known.code) == name for known in self.gifts):
            return
        there = self.ground.gifts_of(gift.sku_id)
        taken = min(gift.quantity, sum([self.ground.quantities[place] for place in there])) if gives else 0
        self.gifts.append(
            GiftUnits(
                code=active.rule.code,
                campaign_id=active.campaign.campaign_id,
                sku_id=gift.sku_id,
                quantity=gift.quantity,
                taken=taken,
            )
        )

    def _turn_down(self, active: Active, why: str) -> None:
        """A rule gives nothing; goods that it would have given but cannot are told."""
        self.refuse(active, why)
        missed = None if active.given is None else self.shelf.missed(active, active.given, why)
        if missed is not None:
            self.gifts.append(missed)

    def _hand_over(self, active: Active, gift: Gift) -> dict[int, int]:
        """The line of its own that a rule gives, as (line number, worth): they count on from the basket's."""
        worth = self.shelf.worth(gift, active.giver)
        changes = tuple([change for _, change in adjustments_of(active, [(0, worth)])]) if worth else ()
        given = self.shelf.give(
            active, gift, changes, self.places(active), lambda sieve: active.places(self.ground, sieve)
        )
        self.gifts.append(given)
        lines = [one for one in self.gifts if one.is_line]
        return {len(self.basket.lines) + len(lines): worth}

    def refuse(self, active: Active, why: str, detail: str = "") -> None:
        """Note that a rule gave nothing and why, if somebody asked."""
        if self.explain:
            self.verdicts.append(_verdict(active, applied=False, why=why, detail=detail))

    def _approve(self, active: Active, gives: Gives) -> None:
        if self.explain:
            ground = self.ground
            lines = {ground.lines[place].line_no: amount for place, amount in gives}
            units = {
                ground.lines[place].line_no: ground.taken.get(place, ground.quantities[place])
                for place, _ in gives
            }
            self.verdicts.append(_verdict(active, applied=True, why="applied", lines=lines, units=units))

    def _approve_gift(self, active: Active, gift: Gift) -> None:
        lines = self._hand_over(active, gift)
        if self.explain:
            units = dict.fromkeys(lines, gift.quantity)
            self.verdicts.append(_verdict(active, applied=True, why="applied", lines=lines, units=units))


def _verdict(
    active: Active,
    *,
    applied: bool,
    why: str,
    detail: str = "",
    lines: dict[int, int] | None = None,
    units: dict[int, int] | None = None,
) -> Verdict:
    lines = lines or {}
    return Verdict(
        campaign_id=active.campaign.campaign_id,
        version=active.campaign.version,
        code=active.rule.code,
        title=active.rule.title or active.campaign.title,
        applied=applied,
        why=why,
        detail=detail,
        amount_minor=sum(lines.values()),
        rule_class=active.rule.rule_class,
        lines=lines,
        units=units or {},
    )


def _by_line(gains: Sequence[Gain], ground: Ground, count: int) -> list[tuple[Adjustment, ...]]:
    """The adjustments per line, in the basket's own order."""
    found: list[list[Adjustment]] = [[] for _ in range(count)]
    places = ground.places
    for active, gives in gains:
        for place, change in adjustments_of(active, gives):
            found[places[place]].append(change)
    return [tuple(changes) for changes in found]


def adjustments_of(active: Active, gives: Gives) -> list[tuple[int, Adjustment]]:
    """A rule's gain as adjustments by line, told apart by funder where several bear it."""
    rule, campaign = active.rule, active.campaign
    reason = rule.title or campaign.title or rule.code

    def change(funder: Funder, amount: int) -> Adjustment:
        return Adjustment(
            code=rule.code,
            reason=reason,
            funder=funder,
            amount_minor=-amount,
            campaign_id=campaign.campaign_id,
            version=campaign.version,
            rule_class=rule.rule_class,
        )

    if len(rule.funding) == 1:
        only = rule.funding[0].funder
        return [(place, change(only, amount)) for place, amount in gives]
    rows = fund([amount for _, amount in gives], rule.funding)
    return [
        (place, change(share.funder, part))
        for (place, _), row in zip(gives, rows, strict=True)
        for share, part in zip(rule.funding, row, strict=True)
        if part
    ]


def uses_of(gains: Sequence[Gain], basket: Basket, gifts: Sequence[GiftUnits] = ()) -> list[Use]:
    """One use per campaign that gave something, in order of its first gain; a line of its own counts at list price."""
    sums: dict[tuple[str, int], int] = {}
    campaigns: dict[tuple[str, int], Campaign] = {}
    for active, gives in gains:
        key = (active.campaign.campaign_id, active.campaign.version)
        sums[key] = sums.get(key, 0) + sum([amount for _, amount in gives])
        campaigns[key] = active.campaign
    for gift in gifts:
        if gift.is_line:
            sums[(gift.campaign_id, gift.version)] += gift.list_minor
    return [
        Use(
            campaign_id=key[0],
            version=key[1],
            discount_minor=whole,
            coupon=coupon_of(campaigns[key], basket),
        )
        for key, whole in sums.items()
    ]
