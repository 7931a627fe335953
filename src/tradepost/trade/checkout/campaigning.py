"""Publishing a campaign: guarded against price errors, then in force, then its limits are there to be used."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

from tradepost.kernel.errors import Kind, Refusal, declare_problems
from tradepost.kernel.events import EventRow, Task
from tradepost.kernel.market import Market
from tradepost.kernel.money import PRICE_SCALE, divide
from tradepost.kernel.tx import Storage, Tx
from tradepost.kernel.world import World
from tradepost.markets import all_markets
from tradepost.trade import catalog, orders, promotion
from tradepost.trade.catalog import OfferView
from tradepost.trade.checkout import limits
from tradepost.trade.checkout.context import Context
from tradepost.trade.checkout.converting import shown_in
from tradepost.trade.checkout.filling import fill_up
from tradepost.trade.checkout.gift_checks import check_gifts
from tradepost.trade.checkout.rules import groups_of
from tradepost.trade.pricing import GiftLine, goods_of, list_price
from tradepost.trade.promotion import BasketLine, Campaign, Limits, Probe, StoredCampaign

PROBES_MAX = 1_000
PAGE = 200
SALES_MAX = 2_000
"""Orders of a shard from which the usual prices are taken: its newest."""

declare_problems(
    {
        "promotion.limit_lowered": (
            Kind.CONFLICT,
            "A limit of a campaign in use cannot be lowered",
            "Keep `total` and `budget_minor` at least as high, or end the campaign and make another.",
        ),
    }
)


async def publish_campaign(
    context: Context, campaign_id: str, *, seller_id: str = "", version: int = 0
) -> StoredCampaign:
    """Put the newest rules of a campaign in force. Doing it again completes what a crash left undone.

    Raises `promotion.campaign_unknown`, `.campaign_invalid`, `.gift_unfit`, `.price_error`, `.limit_lowered`,
    `.code_taken`, `.too_many_active`, `state.conflict`, `version.conflict`.
    """
    db, shard = context.db, context.db.shard_of(promotion.GENE)
    stored = await db.read(shard, promotion.find_campaign, campaign_id, seller_id)
    promotion.CAMPAIGN_STATES.next(stored.state, "publish")
    promotion.check_campaign(stored.campaign)
    live = await _live_limits(context, stored)
    if limits.is_lowered(live, stored.campaign.limits):
        raise Refusal(
            "promotion.limit_lowered", "The campaign is in use with a higher limit.", field="limits"
        )
    await check_prices(context, stored.campaign)
    published = await db.transact(
        shard,
        promotion.move_campaign,
        campaign_id,
        "publish",
        context.world.now_ms(),
        seller_id=seller_id,
        version=version or stored.version,
    )
    await fill_limits(db, context.world, published.campaign)
    return published


async def _live_limits(context: Context, stored: StoredCampaign) -> Limits:
    live = await _live(context.db, stored)
    return Limits() if live is None else live.limits


async def _live(db: Storage, stored: StoredCampaign) -> Campaign | None:
    """The rules that were published last; None when none were."""
    if not stored.live_version:
        return None
    shard, version = db.shard_of(promotion.GENE), stored.live_version
    return await db.read(shard, promotion.campaign_version, stored.campaign_id, version)


async def fill_limits(db: Storage, world: World, campaign: Campaign) -> None:
    """Bring the buckets of a total and a budget up to their share; those that have it are left alone."""
    wanted = limits.stock_of(campaign.campaign_id, campaign.limits)
    for shard, shares in limits.by_shard(wanted, db.shard_of).items():
        await db.transact(shard, fill_up, shares, campaign.campaign_id, world.now_ms())


def tasks(db: Storage, world: World) -> list[Task]:
    """The subscription that fills limits, should whoever published have died between the two.

    Publishing commits first: stock of a limit that is not in force would let an older, lower one be passed. Until it is
    filled, placing opens a bucket that is not there with its share, and a limit that was raised still is the lower one.
    """

    async def fill(row: EventRow) -> None:
        stored = await db.read(db.shard_of(promotion.GENE), promotion.find_campaign, row.aggregate_id)
        live = await _live(db, stored)
        if live is not None and stored.state == promotion.CampaignState.ACTIVE:
            await fill_limits(db, world, live)

    return [Task("checkout.limits", (promotion.CHANGED,), fill)]


async def check_prices(context: Context, campaign: Campaign) -> None:
    """Refuse a campaign under which some good would cost what looks like a mistake: `promotion.price_error`.

    And one whose gifts cannot be given: `promotion.gift_unfit`. Looks at the goods it names or that its markets show,
    at most 1,000; beyond that placing has its own guard.
    """
    await check_gifts(context, campaign)
    now_ms = context.world.now_ms()
    gifts = await _gifts(context, campaign)
    usual = promotion.usual_prices(await _sales(context, campaign.currency))
    for where in _markets(campaign):
        moment = max(now_ms, campaign.from_ms)
        probes = [
            Probe(line=_line(offer, unit, where.currency), paid_e4=usual.get(offer.offer_id, 0))
            async for good in _goods(context, campaign, where)
            for offer in shown_in(context, {good.offer_id: good}, where).values()
            if where.code in offer.markets and (unit := list_price(offer, where, moment)) is not None
        ]
        errors = promotion.find_price_errors(
            campaign,
            probes,
            context.guard(where.code),
            market=where.code,
            at_ms=now_ms,
            gifts=goods_of(gifts, where, moment, campaign.scenes[0] if campaign.scenes else "", ()),
        )
        if errors:
            raise promotion.refuse_price_errors(errors)


async def _gifts(context: Context, campaign: Campaign) -> tuple[GiftLine, ...]:
    wanted = [(gift.offer_id, gift.quantity) for gift in promotion.gifts_of(campaign)]
    offers = await context.book.get([offer_id for offer_id, _ in wanted]) if wanted else {}
    return tuple([GiftLine(offer=offers[name], quantity=units) for name, units in wanted if name in offers])


def _markets(campaign: Campaign) -> list[Market]:
    known = all_markets()
    named = campaign.markets or tuple(known)
    return [known[code] for code in named if code in known and known[code].currency == campaign.currency]


async def _goods(context: Context, campaign: Campaign, where: Market) -> AsyncIterator[OfferView]:
    named = tuple(dict.fromkeys(offer for rule in campaign.rules for offer in rule.filter.offers))
    if named and all(rule.filter.offers for rule in campaign.rules):
        for offer in (await context.book.get(named[:PROBES_MAX])).values():
            yield offer
        return
    after, looked = "", 0
    while looked < PROBES_MAX:
        page = await catalog.offers_in_market(context.db, where.code, after, PAGE)
        for offer in page.offers:
            if not campaign.seller_id or offer.seller_id == campaign.seller_id:
                looked += 1
                yield offer
        after = page.after
        if not after:
            return


def _line(offer: OfferView, unit_e4: int, currency: str) -> BasketLine:
    return BasketLine(
        line_no=1,
        offer_id=offer.offer_id,
        seller_id=offer.seller_id,
        sku_id=offer.sku_id,
        product_id=offer.product_id,
        quantity=1,
        unit_price_e4=unit_e4,
        list_minor=divide(unit_e4, PRICE_SCALE),
        groups=groups_of(offer.tax_category, offer.groups),
        floor_minor=offer.floors.get(currency, 0),
    )


async def _sales(context: Context, currency: str) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    for shard in range(context.db.shards):
        found += await context.db.read(shard, newest_sales, currency)
    return found


def newest_sales(tx: Tx, currency: str) -> list[tuple[str, int]]:
    """(offer, what a unit was sold for) of a shard's newest orders: a price in one currency says nothing in another."""
    found = orders.newest_orders(tx, SALES_MAX)
    return list(_unit_prices(one for one in found if one.currency == currency))


def _unit_prices(found: Iterable[orders.Order]) -> Iterable[tuple[str, int]]:
    for order in found:
        for line in order.body.lines:
            if line.gift is not None:  # nobody's price
                continue
            paid = line.list_minor + sum(change.amount_minor for change in line.adjustments)
            yield line.offer_id, paid * PRICE_SCALE // line.quantity
