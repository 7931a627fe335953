"""Open balances in two currencies at the rate of the day: what they are worth more or less is posted, exactly.

Open is what was set aside for sellers until somebody exchanges it (the positions), and what sellers of delivered goods
will be owed at the rate of their quote. The second is counted anew each time, so it drains as orders are settled.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Literal

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import GENES, gene_of
from tradepost.kernel.tx import Storage, Tx
from tradepost.trade import ledger, orders
from tradepost.trade.ledger import Transaction, TransactionKind
from tradepost.trade.orders import Order
from tradepost.trade.pricing import FrozenRate, Rates, booked_difference, convert_currency
from tradepost.trade.settlement import exchanging, rules
from tradepost.trade.settlement.due import store
from tradepost.trade.settlement.model import SETTLED

ORDERS_AT_ONCE = 200
Outcome = Literal["posted", "unchanged", "done", "no_rate"]


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What is open of one pair on a shard: `owed_minor` of `sold` are to be paid, `held_minor` of `paid` set aside.

    `accrued_minor` is what the books say that unsettled orders cost more than at their own rates, `cost_minor` what
    they cost more now; both in `paid`.
    """

    sold: str
    paid: str
    owed_minor: int = 0
    held_minor: int = 0
    accrued_minor: int = 0
    cost_minor: int = 0


class Revalued(msgspec.Struct, frozen=True, kw_only=True):
    """One pair on one shard. `difference_minor` of `paid` is what it costs more than the books said: above zero a loss.

    `outcome` is posted, unchanged, done (on this day already) or no_rate (none in force: left as it is).
    """

    shard: int
    sold: str
    paid: str
    owed_minor: int
    held_minor: int
    difference_minor: int
    outcome: Outcome


def find_standings(tx: Tx, rates: Sequence[FrozenRate]) -> list[Standing]:
    """What is open on this shard, by pair; it reads the whole journal and every settlement."""
    now = exchanging.by_pair(rates)
    found: dict[tuple[str, str], dict[str, int]] = {}
    for (account, currency), balance in ledger.account_balances(tx).items():
        pair = exchanging.pair_of(account)
        if pair is not None:
            name = _meaning(account, currency == pair[1])
            sign = 1 if name == "owed_minor" else -1
            sums = found.setdefault(pair, {})
            sums[name] = sums.get(name, 0) + sign * balance.posted_minor
    for order in _unsettled(tx):
        booked = order.body.conversions[0].rate
        pair = (booked.sold, booked.paid)
        if pair in now:
            owed, _ = rules.owed_to(
                ledger.transactions_of(tx, gene_of(order.payment_id), order.payment_id), order.seller_id
            )
            sold_minor = exchanging.exchanged(owed, booked)
            sums = found.setdefault(pair, {})
            more = booked_difference(sold_minor, booked, now[pair])
            sums["cost_minor"] = sums.get("cost_minor", 0) + more
    return [Standing(sold=pair[0], paid=pair[1], **sums) for pair, sums in sorted(found.items())]


def _meaning(account: str, in_paid: bool) -> str:
    if account.startswith(exchanging.UNSETTLED):
        return "accrued_minor"
    return "held_minor" if in_paid else "owed_minor"


def _unsettled(tx: Tx) -> Iterator[Order]:
    every = store.all_settlements(tx)
    waiting = (each.order_id for each in every if each.body.converted and each.state != SETTLED)
    while order_ids := list(islice(waiting, ORDERS_AT_ONCE)):
        yield from orders.orders_by_ids(tx, order_ids)


def value(standing: Standing, now: FrozenRate, gene: int, at_ms: int) -> Transaction | None:
    """The posting that makes the books say what a pair costs now; None where they do. Once a day and gene. Pure."""
    cost = convert_currency(standing.owed_minor, standing.sold, standing.paid, now.exact())
    position, unsettled = cost - standing.held_minor, standing.cost_minor - standing.accrued_minor
    more = position + unsettled
    found = exchanging.entries(
        (exchanging.position(now), -position),
        (f"{exchanging.UNSETTLED}{now.pair}", -unsettled),
        (exchanging.result_account(more), more),
    )
    if not found:
        return None
    day = datetime.fromtimestamp(at_ms // 1000, UTC).date()
    return Transaction(
        transaction_id=f"fx.{now.pair}.{day}.{gene}",
        gene=gene,
        kind=TransactionKind.REVALUATION,
        currency=now.paid,
        entries=found,
        reference=f"fx.{now.pair}",
        at_ms=at_ms,
    )


async def revalue(db: Storage, rates: Rates, now_ms: int) -> list[Revalued]:
    """Post on every shard what open balances cost more or less at the rates in force; the second time of a day nothing.

    A crash in between leaves shards for the next call.
    """
    known = {pair: rate for pair, rate in rates.items() if rate.published_ms <= now_ms < rate.until_ms}
    found = []
    for shard in range(db.shards):
        gene = next(gene for gene in range(GENES) if db.shard_of(gene) == shard)
        for standing in await db.read(shard, find_standings, tuple(known.values())):
            rate = known.get((standing.sold, standing.paid))
            if rate is None:
                found.append(_told(shard, standing, 0, "no_rate"))
                continue
            posting = value(standing, rate, gene, now_ms)
            outcome: Outcome = "unchanged"
            more = 0
            if posting is not None:
                more = _result(posting)
                outcome = await _post(db, shard, posting)
            found.append(_told(shard, standing, more, outcome))
    return found


def _result(posting: Transaction) -> int:
    results = (exchanging.GAIN, exchanging.LOSS)
    return sum(entry.amount_minor for entry in posting.entries if entry.account in results)


async def _post(db: Storage, shard: int, posting: Transaction) -> Outcome:
    try:
        await db.transact(shard, ledger.append, [posting])
    except Refusal as refusal:
        if refusal.code != "ledger.transaction_conflict":
            raise
        return "done"
    return "posted"


def _told(shard: int, standing: Standing, more: int, outcome: Outcome) -> Revalued:
    return Revalued(
        shard=shard,
        sold=standing.sold,
        paid=standing.paid,
        owed_minor=standing.owed_minor,
        held_minor=standing.held_minor,
        difference_minor=more if outcome == "posted" else 0,
        outcome=outcome,
    )
