"""Which campaigns a quote may use: codes looked up, limits asked for, and what is known of the buyer."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec

from tradepost.kernel.errors import Kind, Refusal, declare_problems
from tradepost.kernel.ids import gene_of
from tradepost.kernel.market import Market
from tradepost.kernel.tx import Tx
from tradepost.trade import inventory, orders, promotion
from tradepost.trade.checkout import limits, store
from tradepost.trade.checkout.context import Context
from tradepost.trade.checkout.limits import BUYER, LimitUse
from tradepost.trade.checkout.model import Want
from tradepost.trade.pricing import BuyerFacts, Outcome, Priced, Promotions
from tradepost.trade.promotion import Campaign, InForce, policy_of

SEGMENTS_MAX = 20
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_AGAIN = "Ask for the quote again without this code, or with another one."

declare_problems(
    {
        "promotion.codes_invalid": (
            Kind.INVALID,
            "Too many codes",
            "Send at most as many as `expected` says.",
        ),
        "promotion.code_unknown": (Kind.UNPROCESSABLE, "No such code", _AGAIN),
        "promotion.code_early": (Kind.UNPROCESSABLE, "The code does not hold yet", _AGAIN),
        "promotion.code_expired": (Kind.UNPROCESSABLE, "The code holds no more", _AGAIN),
        "promotion.code_not_applicable": (
            Kind.UNPROCESSABLE,
            "The code gives nothing for this basket",
            "See `why`; change the basket, or ask again without this code.",
        ),
    }
)


class Offered(msgspec.Struct, frozen=True, kw_only=True):
    """What a quote is priced with: the strategy, what it may know of the buyer, and what is kept of both."""

    strategy: Promotions
    in_force: InForce
    facts: BuyerFacts
    priced: orders.PricedUnder


class Asker(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks for a quote: codes they gave, groups they are in, and whether their id was minted just now.

    Without `buyer_id` nobody in particular asks, and nothing is given that depends on who buys.
    """

    buyer_id: str
    codes: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()
    new_buyer: bool = False
    counted: bool = True


async def find_offered(
    context: Context,
    in_force: InForce,
    where: Market,
    scene: str,
    asker: Asker,
    wants: Sequence[Want],
    sellers: Collection[str],
) -> Offered:
    """What this buyer may be offered now of the platform's campaigns and those of the `sellers` of the goods wanted.

    One read of the buyer's shard, where a campaign asks about buyers.

    Raises `promotion.codes_invalid`, `.code_unknown`, `.code_early`, `.code_expired`, `.code_not_applicable`, and
    `.limit_reached` for a code.
    """
    at_ms = context.world.now_ms()
    codes = clean_codes(asker.codes)
    for code in codes:
        await _check_code(context, in_force, code, where, scene, at_ms)
    candidates = [
        one
        for one in _limited(in_force, codes, sellers)
        if one.is_running(at_ms, where.code, where.currency, scene)
    ]
    first_order, taken = bool(asker.buyer_id), dict[str, int]()
    uses = _buyer_uses(candidates) if asker.buyer_id else []
    counters = {limits.limit_id(use, 0, asker.buyer_id): use for use in uses}
    if first_order and not asker.new_buyer and (in_force.asks_first_order or counters):
        shard = context.db.shard_of(gene_of(asker.buyer_id))
        first_order, taken = await context.db.read(
            shard, _look_at_buyer, asker.buyer_id, in_force.asks_first_order, list(counters)
        )
    reached = {use.campaign_id: use for name, use in counters.items() if taken.get(name, 0) >= use.bound}
    for one in [one for one in candidates if one.campaign_id not in reached]:
        dry = await _dry_limit(context, one, asker, where, at_ms, wants)
        if dry is not None:
            reached[one.campaign_id] = dry
    for code in codes:
        use = reached.get(in_force.by_code[code].campaign_id)
        if use is not None:
            raise refuse_reached(use)
    without = frozenset({*reached, *_for_some(in_force, asker)})
    segments = tuple(sorted(set(asker.segments)))
    return Offered(
        strategy=in_force.strategy(policy_of(where), without),
        in_force=in_force,
        facts=BuyerFacts(segments=segments, first_order=first_order and in_force.asks_first_order),
        priced=orders.PricedUnder(
            at_ms=at_ms,
            edition=in_force.edition,
            codes=codes,
            segments=segments,
            first_order=first_order and in_force.asks_first_order,
            without=tuple(sorted(without)),
        ),
    )


def offer_uncounted(in_force: InForce, where: Market, at_ms: int) -> Offered:
    """What anybody is offered without end: no campaign with a limit, and none for a first order."""
    without = frozenset(one.campaign_id for one in in_force.limited)
    return Offered(
        strategy=in_force.strategy(policy_of(where), without),
        in_force=in_force,
        facts=BuyerFacts(),
        priced=orders.PricedUnder(at_ms=at_ms, edition=in_force.edition, without=tuple(sorted(without))),
    )


def _for_some(in_force: InForce, asker: Asker) -> list[str]:
    """Campaigns that tell first orders from others, where nobody in particular asks."""
    if asker.buyer_id or not in_force.asks_first_order:
        return []
    return [name for name, one in in_force.by_id.items() if promotion.looks_at_first_order(one)]


def _limited(in_force: InForce, codes: Sequence[str], sellers: Collection[str]) -> Iterable[Campaign]:
    """The limited campaigns that may give something for goods of these sellers and to those who have these codes."""
    for one in in_force.limited:
        if (not one.seller_id or one.seller_id in sellers) and (
            not one.needs_code or not set(codes).isdisjoint(one.codes)
        ):
            yield one


def clean_campaign_codes(codes: Iterable[str]) -> tuple[str, ...]:
    """Codes as they are kept: in capitals, without blanks, each once, empty ones left out."""
    return tuple(dict.fromkeys(text for code in codes if (text := code.strip().upper())))


def clean_codes(codes: Iterable[str]) -> tuple[str, ...]:
    """Codes as they are compared: in capitals, without blanks, each once. Raises `promotion.codes_invalid`."""
    found = clean_campaign_codes(codes)
    if len(found) > promotion.CODES_ASKED_MAX:
        raise Refusal(
            "promotion.codes_invalid",
            f"{len(found)} codes are too many.",
            field="codes",
            expected=f"at most {promotion.CODES_ASKED_MAX}",
        )
    return found


async def _check_code(
    context: Context, in_force: InForce, code: str, where: Market, scene: str, at_ms: int
) -> None:
    campaign = in_force.by_code.get(code)
    if campaign is None:
        shard = context.db.shard_of(promotion.GENE)
        stored = (await context.db.read(shard, promotion.campaigns_of_codes, [code])).get(code)
        ended = stored is not None and stored.state == promotion.CampaignState.ENDED
        if ended:
            raise _refuse_code("promotion.code_expired", code, "Its campaign has ended.")
        raise refuse_unknown(code)
    if at_ms < campaign.from_ms:
        raise _refuse_code("promotion.code_early", code, "Its campaign begins later.")
    if campaign.until_ms and at_ms >= campaign.until_ms:
        raise _refuse_code("promotion.code_expired", code, "Its campaign is over.")
    if not campaign.is_running(at_ms, where.code, where.currency, scene):
        raise _refuse_code(
            "promotion.code_not_applicable", code, "Not in this market or scene.", "not_running"
        )


def refuse_unknown(code: str) -> Refusal:
    """The refusal of a code that nothing in force answers to."""
    return _refuse_code("promotion.code_unknown", code, "No campaign in force has it.")


def _refuse_code(problem: str, code: str, detail: str, why: str = "") -> Refusal:
    extra: dict[str, str | int | list[str] | list[int] | None] = {"refused_code": code[:40]}
    if why:
        extra["why"] = why
    return Refusal(problem, f"{code[:40]!r}: {detail}", field="codes", extra=extra)


def _look_at_buyer(
    tx: Tx, buyer_id: str, asks_first_order: bool, limit_ids: Sequence[str]
) -> tuple[bool, dict[str, int]]:
    first = not asks_first_order or not store.list_checkouts(tx, buyer_id, "", 1)
    return first, inventory.taken_by(tx, buyer_id, limit_ids) if limit_ids else {}


def limits_of(campaign: Campaign) -> promotion.Limits:
    """The limits of a campaign; one for first orders is used once by each buyer."""
    found = campaign.limits
    if not found.per_buyer and promotion.asks_first_order(campaign):
        found = msgspec.structs.replace(found, per_buyer=1)
    return found


def _buyer_uses(campaigns: Iterable[Campaign]) -> list[LimitUse]:
    found = []
    for one in campaigns:
        uses = limits.uses_of(
            one.campaign_id, limits_of(one), order_id="", day="", contents=(), discount_minor=0
        )
        found += [use for use in uses if use.kind == BUYER]
    return found


async def _dry_limit(
    context: Context, campaign: Campaign, asker: Asker, where: Market, at_ms: int, wants: Sequence[Want]
) -> LimitUse | None:
    """The limit of which this process knows that nothing is left; what it does not know placing finds out."""
    if not context.hints:
        return None
    uses = limits.uses_of(
        campaign.campaign_id,
        limits_of(campaign),
        order_id="",
        day=day_of(where, at_ms),
        contents=[want.content_id for want in wants if want.content_id],
        discount_minor=1,
    )
    for use in uses:
        if await _is_spent(context, use):
            return use
    return None


async def _is_spent(context: Context, use: LimitUse) -> bool:
    """Whether this process knows that no bucket has so many units left; a buyer's own counter is read, not guessed."""
    if use.kind == BUYER:
        return False
    buckets = limits.buckets_of(use)
    if buckets and not context.hints:
        return False
    for bucket in buckets:
        demand = [limits.demand_of(use, bucket, "")]
        if context.hints.refuses(demand) is None or await context.hints.confirm(demand) is None:
            return False
    return True


async def leave_out_spent(
    context: Context, offered: Offered, where: Market, uses: Iterable[LimitUse]
) -> Offered | None:
    """What is offered without the campaigns that have less left than these uses take; None when all have enough.

    What is left of a budget may be too little for this basket and enough for another one. Raises
    `promotion.limit_reached` for a campaign whose code was given.
    """
    spent = {use.campaign_id: use for use in uses if await _is_spent(context, use)}
    if not spent:
        return None
    for code in offered.priced.codes:
        use = spent.get(offered.in_force.by_code[code].campaign_id)
        if use is not None:
            raise refuse_reached(use)
    without = frozenset({*offered.priced.without, *spent})
    return msgspec.structs.replace(
        offered,
        strategy=offered.in_force.strategy(policy_of(where), without),
        priced=msgspec.structs.replace(offered.priced, without=tuple(sorted(without))),
    )


def refuse_reached(use: LimitUse) -> Refusal:
    """The refusal of a campaign whose limit is used up, for everybody or for this buyer."""
    whose = "by this buyer" if use.kind == BUYER else "by everybody"
    return Refusal(
        "promotion.limit_reached",
        f"The {use.kind} limit {use.bound} of campaign {use.campaign_id} was used up {whose}.",
        field="codes",
        extra={"campaign_id": use.campaign_id, "limit": use.kind, "bound": use.bound},
    )


def day_of(where: Market, at_ms: int) -> str:
    """The day of a moment in the market's time zone, such as 2026-11-27."""
    moment = _EPOCH + timedelta(milliseconds=at_ms)
    return moment.astimezone(ZoneInfo(where.time_zone)).date().isoformat()


def uses_in(
    offered: Offered, priced: Priced, order_of: Mapping[str, str], where: Market
) -> tuple[LimitUse, ...]:
    """What placing takes of the limits of the campaigns that gave something. `order_of` is order id by seller.

    A use belongs to the order of the first line that has something of it, or of the first charge. Where orders of
    several sellers have something of it, it is never given back.
    """
    outcome = priced.outcome
    if outcome is None or not offered.in_force.limited:
        return ()
    day = day_of(where, offered.priced.at_ms)
    found: list[LimitUse] = []
    for use in outcome.uses:
        campaign = offered.in_force.by_id[use.campaign_id]
        if not promotion.is_limited(campaign):
            continue
        lines = [line for line in (*priced.lines, *priced.gifts) if _has(line.adjustments, use.campaign_id)]
        sellers = [line.seller_id for line in lines]
        sellers += [one.seller_id for one in priced.shipping if _has(one.adjustments, use.campaign_id)]
        bounds = limits_of(campaign)
        if (
            len(set(sellers)) > 1
        ):  # cancelling the one order leaves the others with their part of the discount
            bounds = msgspec.structs.replace(bounds, reissue=promotion.Reissue.NEVER)
        found += limits.uses_of(
            use.campaign_id,
            bounds,
            order_id=order_of[sellers[0]],
            day=day,
            contents=[line.content_id for line in lines if line.content_id],
            discount_minor=use.discount_minor,
        )
    return tuple(found)


def _has(adjustments: Iterable[promotion.Adjustment], campaign_id: str) -> bool:
    return any(one.campaign_id == campaign_id for one in adjustments)


def check_codes_used(
    offered: Offered, outcome: Outcome | None, explain: Callable[[], Outcome | None]
) -> None:
    """Raise `promotion.code_not_applicable` for a code that gave nothing; `explain` gives the verdicts, when asked."""
    used = {use.campaign_id for use in outcome.uses} if outcome is not None else set()
    if outcome is not None:  # a gift that is sold out was earned all the same
        used |= {gift.campaign_id for gift in outcome.gifts if gift.missing}
    for code in offered.priced.codes:
        campaign = offered.in_force.by_code[code]
        if campaign.campaign_id in used:
            continue
        explained = explain()
        verdicts = explained.verdicts if explained is not None else ()
        whys = [one.why for one in verdicts if one.campaign_id == campaign.campaign_id and not one.applied]
        raise _refuse_code(
            "promotion.code_not_applicable",
            code,
            "Its campaign gives nothing for this basket.",
            ", ".join(dict.fromkeys(whys)) or "nothing_to_give",
        )
