"""Commissions on the order's shard: look at what happened, write what follows. And what creators may ask."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from tradepost.kernel.errors import Refusal
from tradepost.kernel.events import Event, EventRow, record
from tradepost.kernel.ids import PREFIXES, gene_of
from tradepost.kernel.tx import Tx
from tradepost.trade import aftersales, ledger, orders, payments, settlement
from tradepost.trade.aftersales import Swap
from tradepost.trade.creators import accounting, store
from tradepost.trade.creators.model import (
    ESTIMATED,
    FROZEN,
    Commission,
    CommissionChanged,
    Earning,
    Expected,
    OrderCommissions,
)
from tradepost.trade.orders import Order
from tradepost.trade.settlement import LineKind, SettlementMoved


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """All that a decision about one order's commissions needs. `order` is None when it was archived."""

    stands: OrderCommissions
    order: Order | None
    given_beside_minor: int = 0
    disputed: bool = False
    swaps: tuple[Swap, ...] = ()


def commission_id(order_id: str) -> str:
    """The name of an order's commissions in logs; it lies on the order's shard."""
    return f"{PREFIXES['commission']}_{order_id[-26:]}"


def look(tx: Tx, order_id: str) -> Look | None:
    """What stands of an order's commissions, and what happened to the order; None without commissions."""
    stands = store.find_orders(tx, [order_id]).get(order_id)
    if stands is None:
        return None
    found = orders.orders_by_ids(tx, [order_id])
    if not found:
        return Look(stands=stands, order=None)
    order = found[0]
    if not order.payment_id:
        return Look(stands=stands, order=order)
    books = payments.find_books(tx, order.payment_id, order_id)
    swaps = tuple(aftersales.find_swaps(tx, order))
    kept = sum(swap.kept_minor for swap in swaps)  # units that came back, and whose money did not go
    cash = orders.given_back(order) - kept
    beside = max(0, books.refunded_minor - cash - order.body.shipping_minor)
    goods = order.total_minor - order.body.shipping_minor
    net = (
        beside * sum(line.total_minor - line.tax_minor for line in order.body.lines) // goods if goods else 0
    )
    return Look(
        stands=stands,
        order=order,
        given_beside_minor=net,
        disputed=bool(books.disputed_minor),
        swaps=swaps,
    )


def write(tx: Tx, before: OrderCommissions, after: OrderCommissions, now_ms: int) -> None:
    """Write what follows: the row, the ledger's entries, and word to each earner.

    Raises Refusal `version.conflict` when it moved meanwhile: look again.
    """
    changed = [line for line, old in _pairs(before, after) if line != old]
    # each event has a number of its own: one a changed line, one an earner that money goes to
    counted = replace(after, version=before.version + 1)
    counted, postings, sent = accounting.book(before, counted, now_ms)
    facts: list[Event] = [_told(line, after) for line in changed]
    facts += [_moved(counted, party_id, amount) for party_id, amount in sent.items()]
    # the version counts events, so a look that changes nothing leaves it
    after_all = replace(counted, version=before.version + len(facts))
    store.update_orders(tx, [(before, replace(after_all, touches=before.touches + 1))])
    if postings:
        ledger.append(tx, postings)
        settlement.touch(tx, [after.order_id], now_ms)
    tx.emit(
        [
            record(fact, commission_id(after.order_id), before.version + number, now_ms)
            for number, fact in enumerate(facts, 1)
        ]
    )


def _pairs(before: OrderCommissions, after: OrderCommissions) -> list[tuple[Commission, Commission | None]]:
    known = {line.line_no: line for line in before.lines}
    return [(line, known.get(line.line_no)) for line in after.lines]


def _told(line: Commission, order: OrderCommissions) -> CommissionChanged:
    return CommissionChanged(
        creator_id=line.attribution.creator_id,
        order_id=line.order_id,
        line_no=line.line_no,
        plan_id=line.plan.plan_id,
        state=line.state,
        currency=line.currency,
        base_minor=line.base_minor,
        amount_minor=line.parts.creator_minor,
        placed_at_ms=line.at_ms,
        settle_at_ms=order.settle_at_ms,
        content_id=line.attribution.content_id,
        seller_id=line.seller_id,
        agency_id=line.agency.agency_id if line.agency is not None else "",
        agency_minor=line.parts.agency_minor if line.agency is not None else 0,
    )


def _moved(order: OrderCommissions, party_id: str, amount: int) -> SettlementMoved:
    return SettlementMoved(
        order_id=order.order_id,
        party_id=party_id,
        market=order.market,
        currency=order.lines[0].currency,
        amount_minor=amount,
        kind=LineKind.COMMISSION,
        components={"commission": amount},
    )


def begin(tx: Tx, placed: Sequence[tuple[str, str, str, str]], at_ms: int) -> None:
    """Begin the commissions of orders just placed, given as (order, seller, payment, market)."""
    known = store.find_orders(tx, [one[0] for one in placed])
    store.insert_orders(
        tx,
        [
            OrderCommissions(
                order_id=order_id,
                seller_id=seller_id,
                payment_id=payment_id,
                market=market,
                version=0,
                next_at_ms=at_ms,
                settle_at_ms=0,
            )
            for order_id, seller_id, payment_id, market in dict.fromkeys(placed)
            if order_id not in known
        ],
    )


def touch(tx: Tx, moved: Sequence[tuple[str, int, bool]]) -> None:
    """Something happened to these orders, given as (order, moment, whether it was delivered): look at them again."""
    found = store.find_orders(tx, [order_id for order_id, _, _ in moved])
    if not found:
        return
    wanted: dict[str, OrderCommissions] = {}
    for order_id, at_ms, delivered in moved:
        stands = wanted.get(order_id) or found.get(order_id)
        if stands is None:
            continue
        settle_at_ms = stands.settle_at_ms
        if delivered and not settle_at_ms:
            settle_at_ms = at_ms + max(
                (line.plan.settle_after_ms for line in stands.lines), default=SETTLE_AFTER_MS
            )
        wanted[order_id] = replace(
            stands, next_at_ms=at_ms, settle_at_ms=settle_at_ms, touches=stands.touches + 1
        )
    store.update_orders(tx, [(found[one.order_id], one) for one in wanted.values()])


SETTLE_AFTER_MS = 7 * 86_400_000
"""For an order that is delivered before its plans were looked up."""


def forget(tx: Tx, stands: OrderCommissions) -> None:
    """Nothing of an archived order waits any more."""
    store.update_orders(tx, [(stands, replace(stands, next_at_ms=0, touches=stands.touches + 1))])


def put_off(tx: Tx, order_id: str, until_ms: int) -> None:
    """Look at an order again later: something refuses it now."""
    stands = store.find_orders(tx, [order_id]).get(order_id)
    if stands is not None:
        later = replace(stands, next_at_ms=until_ms, touches=stands.touches + 1)
        store.update_orders(tx, [(stands, later)])


def find_commissions(tx: Tx, order_id: str) -> OrderCommissions:
    """What an order's lines earn, and why. Raises Refusal `creators.commission_unknown`."""
    found = store.find_orders(tx, [order_id]).get(order_id)
    if found is None:
        raise Refusal(
            "creators.commission_unknown", f"Order {order_id[:60]!r} earns nobody anything.", field="order_id"
        )
    return found


def list_earnings(tx: Tx, creator_id: str, before: tuple[str, int], limit: int) -> list[Earning]:
    """A creator's lines, newest order first, behind (order id, line number)."""
    return store.earnings_of(tx, creator_id, before, limit)


def list_expected(tx: Tx, creator_id: str, before: tuple[str, int], limit: int) -> list[Earning]:
    """A creator's lines that are not settled yet, newest order first, behind (order id, line number)."""
    return store.earnings_of(tx, creator_id, before, limit, UNSETTLED)


def sum_expected(tx: Tx, creator_id: str) -> list[Expected]:
    """What a creator is to expect, by currency."""
    return store.sum_earnings(tx, creator_id, UNSETTLED)


UNSETTLED = (ESTIMATED, FROZEN)


def genes_of_earners(row: EventRow) -> list[int]:
    """Where a changed commission is shown: to the creator, and to the agency."""
    fact = _changed(row.payload)
    return [gene_of(party_id) for party_id in (fact.creator_id, fact.agency_id) if party_id]


_changed = msgspec.json.Decoder(CommissionChanged).decode


def show(tx: Tx, rows: Sequence[EventRow]) -> None:
    """Keep the creators' and agencies' lists."""
    earnings = []
    for row in rows:
        fact = _changed(row.payload)
        creator = _earning(fact, row.version)
        if fact.agency_id == fact.creator_id:
            creator = replace(creator, amount_minor=fact.amount_minor + fact.agency_minor)
        elif fact.agency_id and tx.keeps(gene_of(fact.agency_id)):
            # without a base: the tiers of an agency that also sells count what itself led to
            earnings.append(
                replace(creator, creator_id=fact.agency_id, base_minor=0, amount_minor=fact.agency_minor)
            )
        if tx.keeps(gene_of(fact.creator_id)):
            earnings.append(creator)
    store.put_earnings(tx, earnings)


def _earning(fact: CommissionChanged, version: int) -> Earning:
    return Earning(
        creator_id=fact.creator_id,
        order_id=fact.order_id,
        line_no=fact.line_no,
        version=version,
        plan_id=fact.plan_id,
        state=fact.state,
        currency=fact.currency,
        base_minor=fact.base_minor,
        amount_minor=fact.amount_minor,
        at_ms=fact.placed_at_ms,
        settle_at_ms=fact.settle_at_ms,
        content_id=fact.content_id,
        seller_id=fact.seller_id,
    )
