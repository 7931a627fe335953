"""Creators of a town: plans to earn under, and what they may have at the end, told from the orders alone."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import Storage, Tx
from tradepost.testing.simulation.world import START_MS, SimWorld
from tradepost.trade import aftersales, creators, ledger, orders, parties
from tradepost.trade.checkout import Want
from tradepost.trade.creators import Bonus, Commission, OrderCommissions, Plan, Tier

CREATORS = 3
LED = 0.8
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
BONUS = Bonus(code="launch", rate_bps=250, seller_share_bps=4_000, cap_minor=500)


async def open_creators(db: Storage, world: SimWorld, sellers: Sequence[str]) -> tuple[str, ...]:
    """A plan of each kind, and those who earn under them."""
    for number, seller_id in enumerate(sellers):
        plan = Plan(
            plan_id=world.mint("plan", gene_of(seller_id)),
            version=1,
            seller_id=seller_id,
            rate_bps=(777, 1_000, 1_234)[number % 3],
            tiers=(Tier(reached=3, rate_bps=2_000),) if number == 1 else (),
            bonuses=(BONUS,) if number == 2 else (),
            ends_at_ms=START_MS + 12 * DAY_MS if number == 1 else 0,
            settle_after_ms=HOUR_MS,
        )
        await db.transact(db.shard_of(gene_of(seller_id)), creators.enter_plan, plan, START_MS)
    return tuple(parties.mint_party(world, "creator") for _ in range(CREATORS))


def led_by(wants: tuple[Want, ...], known: Sequence[str], seed: int) -> tuple[Want, ...]:
    """Some of the lines named to a creator, drawn apart so that the rest of a step stays what it is."""
    chance = random.Random(f"creators {seed}")
    return tuple(
        msgspec.structs.replace(want, content_id="video_1", creator_id=chance.choice(known))
        if known and chance.random() < LED
        else want
        for want in wants
    )


def check_earned(readers: Sequence[Tx], known: Mapping[str, orders.Order], now_ms: int) -> list[str]:
    """Nobody is booked more than goods that stay sold earn, and what is due is settled."""
    found: list[str] = []
    for order_id, order in known.items():
        if not any(line.creator_id for line in order.body.lines):
            continue
        tx = readers[gene_of(order_id) % len(readers)]
        try:
            stands = creators.find_commissions(tx, order_id)
        except Refusal:
            found.append(f"commission forgotten: {order_id}")
            continue
        swaps = aftersales.find_swaps(tx, order)
        found += [fault for line in stands.lines for fault in _check_line(line, stands, order, swaps, now_ms)]
        found += _check_booked(tx, stands)
    return found


def _check_line(
    line: Commission,
    stands: OrderCommissions,
    order: orders.Order,
    swaps: Sequence[aftersales.Swap],
    now_ms: int,
) -> list[str]:
    agreed, done = order.body.lines[line.line_no - 1], orders.full_progress(order)[line.line_no - 1]
    kept = agreed.quantity - done.cancelled - done.returned
    taxless = agreed.total_minor - agreed.tax_minor
    paid = sum(
        swap.kept_minor for swap in swaps if swap.line_no == line.line_no
    )  # by what other goods came for
    net = orders.share(taxless, agreed.quantity, kept) + 1
    net += paid * taxless // agreed.total_minor if paid else 0
    parts = stands.booked.get(line.line_no)
    name = f"{line.order_id} line {line.line_no}"
    if stands.settle_at_ms and stands.settle_at_ms < now_ms - 2 * DAY_MS and line.state == "ESTIMATED":
        return [f"commission not settled: {name}"]
    if parts is None:
        return []
    earned = parts.creator_minor + parts.agency_minor
    top = max(line.plan.rate_bps, *(tier.rate_bps for tier in line.plan.tiers), 0)
    most = net * (top + sum(bonus.rate_bps for bonus in line.plan.bonuses)) // 10_000
    if earned > most or (not kept and not paid and earned):
        return [f"commission kept: {name} has {earned} for {kept} of {agreed.quantity} units, at most {most}"]
    if earned + parts.deposit_minor != parts.seller_minor + parts.platform_minor:
        return [f"commission not conserved: {name}"]
    return []


def _check_booked(tx: Tx, stands: OrderCommissions) -> list[str]:
    """The journal has what the row says, and nothing of an earner stays with the order."""
    if not stands.payment_id:
        return []
    tail = f".commission.{stands.order_id[-11:]}."
    rows = ledger.transactions_of(tx, gene_of(stands.payment_id), stands.payment_id)
    mine = [row for row in rows if tail in row.transaction_id]
    sums: dict[str, int] = {}
    for row in mine:
        for entry in row.entries:
            kind = entry.account.partition(":")[0]
            sums[kind] = sums.get(kind, 0) + entry.amount_minor
    wanted = sum(parts.seller_minor for parts in stands.booked.values())
    found = []
    if sums.get("creator", 0):
        found.append(f"commission stays: {stands.order_id} {sums['creator']}")
    if sums.get("seller", 0) != wanted:
        found.append(f"commission differs: {stands.order_id} booked {sums.get('seller', 0)}, says {wanted}")
    return found
