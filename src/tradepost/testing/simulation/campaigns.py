"""The campaigns of a town: some for everybody, some for those with a code, most of them used up before the day ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from msgspec import structs

from tradepost.kernel.ids import mint_id
from tradepost.kernel.tx import Storage, Tx
from tradepost.testing.simulation.world import START_MS
from tradepost.trade import checkout, orders, promotion
from tradepost.trade.promotion import (
    Campaign,
    Filter,
    Fixed,
    Funder,
    Gift,
    Limits,
    Owner,
    Percentage,
    Reissue,
    Rule,
    RuleClass,
    Share,
)

SCARCE = 12
SHARED = (Share(funder=Funder.PLATFORM, bps=3_333), Share(funder=Funder.SELLER, bps=6_667))
PLATFORM = (Share(funder=Funder.PLATFORM, bps=10_000),)


def _off(amount_minor: int, funding: tuple[Share, ...] = PLATFORM) -> Rule:
    effect = Fixed(amount_minor=amount_minor)
    return Rule(code=f"off{amount_minor}", effect=effect, rule_class=RuleClass.ORDER, funding=funding)


def _present(seller_id: str, offer_id: str, quantity: int, funding: tuple[Share, ...]) -> Rule:
    """Scarce goods of a seller, given with any goods of the same."""
    effect = Gift(offer_id=offer_id, quantity=quantity)
    return Rule(
        code=f"present{quantity}",
        effect=effect,
        filter=Filter(sellers=(seller_id,)),
        funding=funding,
        priority=9,
    )


def _gifts(gifts: Sequence[tuple[str, str]]) -> list[Campaign]:
    """Presents of each seller's scarce goods: one without end, one with limits, one the best of what else there is."""
    found = []
    for number, (seller_id, offer_id) in enumerate(gifts):
        funding = (SHARED, PLATFORM)[number % 2]
        rule = _present(seller_id, offer_id, 1 + number % 2, funding)
        if number % 3 == 2:
            rule = structs.replace(rule, best_of="present")
        limits = Limits(total=20 * (number % 2), budget_minor=5_000 * (number % 2))
        currency = ("GBP", "USD", "JPY")[number % 3]
        found.append(Campaign(campaign_id=_id(50 + number), currency=currency, rules=(rule,), limits=limits))
    instead = Rule(code="instead", effect=Percentage(percent_ppm=10_000), best_of="present", funding=SHARED)
    return [*found, Campaign(campaign_id=_id(60), currency="JPY", rules=(instead,))]


def _campaigns(sellers: Sequence[str]) -> list[Campaign]:
    seventh = Rule(code="seventh", effect=Percentage(percent_ppm=142_857), funding=SHARED)
    own = Rule(code="own", effect=Percentage(percent_ppm=50_000))
    found = [
        Campaign(campaign_id=_id(1), currency="JPY", rules=(seventh,), limits=Limits(per_buyer=3)),
        Campaign(campaign_id=_id(2), currency="GBP", owner=Owner.SELLER, seller_id=sellers[0], rules=(own,)),
        Campaign(
            campaign_id=_id(3),
            currency="USD",
            rules=(_off(333, SHARED),),
            needs_code=True,
            codes=("BUDGET",),
            limits=Limits(budget_minor=2_000),
        ),
    ]
    for number in range(SCARCE):
        reissue = (Reissue.CANCELLED, Reissue.NEVER)[number % 2]
        found.append(
            Campaign(
                campaign_id=_id(10 + number),
                currency=("GBP", "USD")[number % 3 == 2],
                rules=(_off(101 + number),),
                needs_code=True,
                codes=(f"SCARCE{number}",),
                limits=Limits(total=1 + number % 3, per_day=2 * (number % 2), reissue=reissue),
            )
        )
    return found


def _id(number: int) -> str:
    return mint_id("cmp", promotion.GENE, START_MS, 0, number)


async def open_campaigns(
    db: Storage, sellers: Sequence[str], gifts: Sequence[tuple[str, str]]
) -> tuple[str, ...]:
    """Publish them; the codes that buyers may try. `gifts` are (seller, offer)."""
    found = _campaigns(sellers) + _gifts(gifts)
    for one in found:
        await db.transact(db.shard_of(promotion.GENE), _publish, one)
    return tuple(code for one in found for code in one.codes)


def _publish(tx: Tx, one: Campaign) -> None:
    promotion.create_campaign(tx, one, "opr_simulation", START_MS)
    promotion.move_campaign(tx, one.campaign_id, "publish", START_MS)


def overused(readers: Sequence[Tx], standing: Mapping[str, orders.Order]) -> list[str]:
    """The totals and budgets that more was taken of than there is, told by the orders that stand, not by the stock."""
    taken: Counter[str] = Counter()
    for order in standing.values():
        for one in order.body.redemptions:
            if order.state != "CANCELLED" or one.reissue == Reissue.NEVER:
                taken[one.limit_id] += one.quantity
    home = readers[promotion.GENE % len(readers)]
    findings = []
    for stored in promotion.list_campaigns(home, limit=200):
        bounds = stored.campaign.limits
        for kind, bound in (("total", bounds.total), ("budget", bounds.budget_minor)):
            used = sum(taken[name] for name in checkout.limit_ids(stored.campaign_id, kind, bound))
            if bound and used > bound:
                findings.append(f"limit exceeded: {stored.campaign_id} {kind} {used} of {bound}")
    return findings
