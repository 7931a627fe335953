"""On the order's shard: when an order's money is due, and its way to the party it belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from tradepost.kernel.errors import Refusal
from tradepost.kernel.events import Event, EventRow, record
from tradepost.kernel.ids import PREFIXES, gene_of
from tradepost.kernel.tx import Tx
from tradepost.markets import market
from tradepost.trade import ledger, orders, payments
from tradepost.trade.ledger import Entry, Transaction, TransactionKind
from tradepost.trade.orders import Order
from tradepost.trade.pricing import FrozenRate
from tradepost.trade.settlement import exchanging, rules
from tradepost.trade.settlement.due import store
from tradepost.trade.settlement.model import (
    SETTLED,
    SETTLEMENT_STATES,
    TRANSIT,
    WAITING,
    Body,
    Components,
    LineKind,
    Settlement,
    SettlementExpected,
    SettlementMoved,
)

AGAIN_MS = 3_600_000
"""How long a settlement waits for refunds under way before it is looked at again."""


class _Fact(msgspec.Struct):
    order_id: str = ""
    order_ids: tuple[str, ...] = ()
    state: str = ""


_fact = msgspec.json.Decoder(_Fact).decode


def settlement_id(order_id: str) -> str:
    """The name of an order's settlement in logs and in the ledger; it lies on the order's shard."""
    return f"{PREFIXES['settlement']}_{order_id[-26:]}"


def follow_orders(tx: Tx, rows: Sequence[EventRow]) -> None:
    """Delivered and completed orders will be due; what changes a settled one is due at once."""
    named: dict[str, tuple[EventRow, bool]] = {}
    for row in rows:
        fact = _fact(row.payload)
        opens = row.type == "order.completed.v1" or fact.state in ("DELIVERED", "COMPLETED")
        for order_id in fact.order_ids or (fact.order_id,):
            earlier = named.get(order_id)
            named[order_id] = (row, opens or (earlier is not None and earlier[1]))
    known = store.find_settlements(tx, list(named))
    wanted = [each for each, (_, opens) in named.items() if opens or each in known]
    fresh: list[Settlement] = []
    changed: list[tuple[int, Settlement]] = []
    told: list[EventRow] = []
    for order in orders.orders_by_ids(tx, wanted):
        row, _ = named[order.order_id]
        stands = known.get(order.order_id)
        if stands is None:
            opened = _open(order, row.at_ms)
            if opened is None:
                continue
            after, before = opened, -1
        else:
            after, before = _touched(stands, row.at_ms), stands.version
        if after.state == WAITING:
            after = replace(after, version=after.version + 1)
            told.append(_tell(order, after, _expected(tx, order, after), row.at_ms))
        if before < 0:
            fresh.append(after)
        elif after != stands:
            changed.append((before, after))
    if fresh:
        store.insert_settlements(tx, fresh)
    if changed:
        store.update_settlements(tx, changed)
    tx.emit(told)


def _open(order: Order, at_ms: int) -> Settlement | None:
    if not order.payment_id or not order.total_minor:
        return None
    return Settlement(
        order_id=order.order_id,
        party_id=order.seller_id,
        market=order.market,
        currency=order.currency,
        state=WAITING,
        due_at_ms=at_ms + market(order.market).settlement.after_ms,
        version=0,
        body=Body(delivered_at_ms=at_ms, converted=exchanging.rate_of(order) is not None),
    )


def _touched(stands: Settlement, at_ms: int) -> Settlement:
    return replace(stands, due_at_ms=at_ms) if stands.state == SETTLED else stands


def _expected(tx: Tx, order: Order, stands: Settlement) -> SettlementExpected:
    owed, _ = rules.owed_to(_transactions(tx, order), order.seller_id)
    rate = exchanging.rate_of(order)
    return SettlementExpected(
        order_id=order.order_id,
        party_id=stands.party_id,
        market=stands.market,
        currency=stands.currency if rate is None else rate.sold,
        amount_minor=owed if rate is None else exchanging.exchanged(owed, rate),
        due_at_ms=stands.due_at_ms,
    )


def _tell(order: Order, stands: Settlement, fact: Event, at_ms: int) -> EventRow:
    return record(fact, settlement_id(order.order_id), stands.version, at_ms, order.buyer_id, order.seller_id)


def _transactions(tx: Tx, order: Order) -> list[Transaction]:
    return ledger.transactions_of(tx, gene_of(order.payment_id), order.payment_id)


def settle_due(tx: Tx, order_ids: Sequence[str], now_ms: int, rates: Sequence[FrozenRate] = ()) -> int:
    """Send what is due of these orders to the parties; how many moved. What is no more due is left alone.

    An order of which money is on its way back to the buyer, or held by the buyer's bank, waits for that. What was
    sold converted is exchanged, and valued at these `rates`. Raises Refusal `settlement.unbalanced`.
    """
    found = store.find_settlements(tx, order_ids)
    due = [each for each in found.values() if 0 < each.due_at_ms <= now_ms]
    changed: list[tuple[int, Settlement]] = []
    postings: list[Transaction] = []
    told: list[EventRow] = []
    by_id = {order.order_id: order for order in orders.orders_by_ids(tx, [each.order_id for each in due])}
    for stands in due:
        order = by_id.get(stands.order_id)
        if order is None:  # archived meanwhile: its books are closed
            changed.append((stands.version, replace(stands, due_at_ms=0)))
            continue
        books = payments.find_books(tx, order.payment_id, order.order_id)
        if books.returning_minor or books.disputed_minor:
            changed.append((stands.version, replace(stands, due_at_ms=now_ms + AGAIN_MS)))
            continue
        rows = _transactions(tx, order)
        owed, others = rules.owed_to(rows, stands.party_id)
        now = rules.components_of(order, books, others)
        delta = rules.difference(now, stands.body.moved)
        _check(order, owed, delta)
        state = SETTLEMENT_STATES.next(stands.state, "settle")
        after = replace(stands, state=state, due_at_ms=0, version=stands.version + 1)
        if delta:
            after = replace(after, body=replace(stands.body, moved=now))
            fact, moves = _move(order, stands, after, _Due(owed, delta), now_ms, rates)
            told.append(_tell(order, after, fact, now_ms))
            postings += moves
        else:
            after = replace(after, version=stands.version)
        changed.append((stands.version, after))
    if postings:
        ledger.append(tx, postings)
    store.update_settlements(tx, changed)
    tx.emit(told)
    return len(told)


def _check(order: Order, owed: int, delta: Components) -> None:
    if sum(delta.values()) != owed:
        raise Refusal(
            "settlement.unbalanced",
            f"Order {order.order_id}: the parts come to {sum(delta.values())}, the ledger owes {owed}.",
            extra={"order_id": order.order_id},
        )


class _Due(NamedTuple):
    owed: int
    parts: Components


def _move(
    order: Order,
    stands: Settlement,
    after: Settlement,
    due: _Due,
    now_ms: int,
    rates: Sequence[FrozenRate],
) -> tuple[SettlementMoved, list[Transaction]]:
    """What is told and posted of a movement."""
    rate = exchanging.rate_of(order)
    if rate is not None:
        now = exchanging.rate_now(rate, exchanging.by_pair(rates))
        return _exchange(order, stands, after, due.owed, (rate, now), now_ms)
    leaving = [_leave(order, after, due.owed, now_ms)] if due.owed else []
    return _moved(stands, due.owed, due.parts), leaving


def _exchange(
    order: Order,
    stands: Settlement,
    after: Settlement,
    owed: int,
    booked_and_now: tuple[FrozenRate, FrozenRate],
    now_ms: int,
) -> tuple[SettlementMoved, list[Transaction]]:
    """A movement in the seller's own currency: each currency balances by itself, the position joins them.

    What went so far is exchanged as a whole, before and after: so nothing is left when everything goes back.
    """
    booked, now = booked_and_now
    parts = rules.difference(
        exchanging.exchanged_parts(after.body.moved, booked),
        exchanging.exchanged_parts(stands.body.moved, booked),
    )
    amount = sum(parts.values())
    fact = replace(
        _moved(stands, amount, parts),
        currency=booked.sold,
        note=exchanging.describe(owed, amount, booked, now),
    )
    name, account = (
        f"{order.payment_id}.{{}}.{order.order_id[-11:]}.{after.version}",
        f"seller:{after.party_id}",
    )
    given = exchanging.exchange(account, owed, amount, booked, now)
    taken = exchanging.entries((exchanging.position(booked), amount), (TRANSIT, -amount))
    both = ((name.format("settle"), booked.paid, given), (name.format("exchange"), booked.sold, taken))
    return fact, [
        Transaction(
            transaction_id=transaction_id,
            gene=gene_of(order.payment_id),
            kind=TransactionKind.EXCHANGE,
            currency=currency,
            entries=entries,
            reference=order.order_id,
            at_ms=now_ms,
        )
        for transaction_id, currency, entries in both
        if entries
    ]


def _moved(stands: Settlement, owed: int, delta: Components) -> SettlementMoved:
    return SettlementMoved(
        order_id=stands.order_id,
        party_id=stands.party_id,
        market=stands.market,
        currency=stands.currency,
        amount_minor=owed,
        kind=LineKind.CHANGE if stands.body.moved else LineKind.SALE,
        components=delta,
    )


def _leave(order: Order, after: Settlement, owed: int, at_ms: int) -> Transaction:
    """The first half of the way: off the order's books, into the account in transit."""
    return Transaction(
        transaction_id=f"{order.payment_id}.settle.{order.order_id[-11:]}.{after.version}",
        gene=gene_of(order.payment_id),
        kind=TransactionKind.TRANSFER,
        currency=order.currency,
        entries=(Entry(f"seller:{after.party_id}", owed), Entry(TRANSIT, -owed)),
        reference=order.order_id,
        at_ms=at_ms,
    )


def touch(tx: Tx, order_ids: Sequence[str], at_ms: int) -> None:
    """Something in these orders' books changed: what is settled already is looked at again at once."""
    found = store.find_settlements(tx, order_ids)
    changed = [(each.version, _touched(each, at_ms)) for each in found.values() if each.state == SETTLED]
    if changed:
        store.update_settlements(tx, changed)


def hold(tx: Tx, order_id: str, reason: str) -> Settlement:
    """Keep an order's money back until `release`, such as while a dispute is open.

    Raises Refusal `settlement.not_found`, and `state.conflict` when it was settled already.
    """
    stands = _get(tx, order_id)
    held = replace(
        stands,
        state=SETTLEMENT_STATES.next(stands.state, "hold"),
        due_at_ms=0,
        body=replace(stands.body, reason=reason[:200]),
    )
    store.update_settlements(tx, [(stands.version, held)])
    return held


def release(tx: Tx, order_id: str, at_ms: int) -> Settlement:
    """Let a held order's money be due when it would have been. Raises `settlement.not_found`, `state.conflict`."""
    stands = _get(tx, order_id)
    state = SETTLEMENT_STATES.next(stands.state, "release")
    due_at_ms = max(at_ms, stands.body.delivered_at_ms + market(stands.market).settlement.after_ms)
    freed = replace(stands, state=state, due_at_ms=due_at_ms, body=replace(stands.body, reason=""))
    store.update_settlements(tx, [(stands.version, freed)])
    return freed


def set_aside(tx: Tx, order_id: str, reason: str) -> None:
    """Take an order off the timers until somebody looks at it: its parts do not sum to what the ledger owes."""
    stands = _get(tx, order_id)
    aside = replace(stands, due_at_ms=0, body=replace(stands.body, reason=reason))
    store.update_settlements(tx, [(stands.version, aside)])


def _get(tx: Tx, order_id: str) -> Settlement:
    found = store.find_settlements(tx, [order_id]).get(order_id)
    if found is None:
        raise Refusal("settlement.not_found", f"Nothing of order {order_id[:60]!r} is due.", field="order_id")
    return found


def find_settlement(tx: Tx, order_id: str) -> Settlement:
    """How far an order's money is. Raises Refusal `settlement.not_found`."""
    return _get(tx, order_id)
