"""CampaignBook: what is in force, out of memory; read again only when a campaign was written."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from tradepost.kernel.tx import Signal, Storage
from tradepost.stability.signals import FORGET
from tradepost.trade.promotion.api import CAMPAIGN, present_edition
from tradepost.trade.promotion.campaigns import Edition
from tradepost.trade.promotion.model import BundlePrice, BuyGet, Campaign, Filter, Gift, Rule
from tradepost.trade.promotion.policy import Policy
from tradepost.trade.promotion.store import GENE
from tradepost.trade.promotion.strategy import Promotions

NOTHING = Edition(edition=0, campaigns=())
STRATEGIES_MAX = 64
"""Compiled strategies of one edition that are kept: one for each set of campaigns whose limits are reached."""


class InForce:
    """An edition made ready: found by code, compiled once, with what has to be asked about the buyer."""

    __slots__ = ("_strategies", "asks_first_order", "by_code", "by_id", "edition", "gifts", "limited")

    def __init__(self, edition: Edition) -> None:
        self.edition = edition.edition
        self.by_id = {campaign.campaign_id: campaign for campaign in edition.campaigns}
        self.by_code = {code: campaign for campaign in edition.campaigns for code in campaign.codes}
        self.limited = tuple(one for one in edition.campaigns if is_limited(one))
        self.gifts = tuple((one, gift) for one in edition.campaigns for gift in gifts_of(one))
        self.asks_first_order = any(looks_at_first_order(one) for one in edition.campaigns)
        self._strategies: dict[tuple[Policy, frozenset[str]], Promotions] = {}

    def __bool__(self) -> bool:
        """Whether anything is in force."""
        return bool(self.by_id)

    def strategy(self, policy: Policy, without: frozenset[str] = frozenset()) -> Promotions:
        """The engine over these campaigns but those left out; compiled once and kept, at most 64 of them."""
        found = self._strategies.get((policy, without))
        if found is None:
            if len(self._strategies) >= STRATEGIES_MAX:
                del self._strategies[next(iter(self._strategies))]
            kept = [one for one in self.by_id.values() if one.campaign_id not in without]
            found = self._strategies[(policy, without)] = Promotions(kept, policy)
        return found


NOTHING_IN_FORCE = InForce(NOTHING)
"""What a book has where no campaign is in force: one object, told by identity, so that knowing it costs nothing."""


def is_limited(campaign: Campaign) -> bool:
    """Whether uses of a campaign are counted."""
    limits = campaign.limits
    return bool(
        limits.total or limits.per_buyer or limits.per_day or limits.per_content or limits.budget_minor
    ) or asks_first_order(campaign)


def gifts_of(campaign: Campaign) -> list[Gift]:
    """The gifts of a campaign that are lines of their own."""
    effects = [rule.effect for rule in campaign.rules]
    return [effect for effect in effects if isinstance(effect, Gift) and effect.offer_id]


def asks_first_order(campaign: Campaign) -> bool:
    """Whether some rule is for buyers who never bought: such a campaign is used once by each."""
    return any(
        rule.filter.first_order
        or any(condition.first_order or condition.among.first_order for condition in rule.conditions)
        for rule in campaign.rules
    )


def looks_at_first_order(campaign: Campaign) -> bool:
    """Whether some rule tells buyers who never bought from those who did, whichever of the two it is for."""
    found = [condition.first_order for rule in campaign.rules for condition in rule.conditions]
    found += [one.first_order for rule in campaign.rules for one in _filters(rule)]
    return any(one is not None for one in found)


def _filters(rule: Rule) -> Iterator[Filter]:
    yield rule.filter
    yield from (condition.among for condition in rule.conditions)
    if isinstance(rule.effect, BuyGet):
        yield rule.effect.buy
        yield rule.effect.get
    elif isinstance(rule.effect, BundlePrice):
        yield from (part.of for part in rule.effect.parts)


class CampaignBook:
    """The edition in force. `present` is None until it was read, and from each signal until it was read again.

    Whoever prices asks `present` first, which costs an attribute; `load` is one read however many wait for it.
    """

    def __init__(self, db: Storage) -> None:
        self._db = db
        self._reading: asyncio.Future[InForce] | None = None
        self._stale = False
        self._known = NOTHING_IN_FORCE
        self.present: InForce | None = None
        db.listen(self._hear)

    async def load(self) -> InForce:
        """What is in force, read now unless somebody is reading it. Raises what the read raises."""
        reading = self._reading
        if reading is None:
            reading = self._reading = asyncio.ensure_future(self._read())
        return await asyncio.shield(reading)

    async def _read(self) -> InForce:
        try:
            while True:
                self._stale = False
                found = await self._db.read(self._db.shard_of(GENE), present_edition)
                if not self._stale:  # what changed while it was read is read again
                    if found.edition != self._known.edition:
                        self._known = InForce(found)
                    if not self._known:
                        self.present = NOTHING_IN_FORCE
                        return NOTHING_IN_FORCE
                    self.present = self._known
                    return self._known
        finally:
            self._reading = None

    def _hear(self, signal: Signal) -> None:
        if signal.topic in (CAMPAIGN, FORGET):
            self.present = None
            self._stale = True
