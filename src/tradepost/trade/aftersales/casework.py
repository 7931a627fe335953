"""The steps of a case: each a function of a transaction, allowed by the table of who may do what."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.kernel.events import Event, record
from tradepost.kernel.tx import Tx
from tradepost.trade import fulfilment, orders
from tradepost.trade.aftersales import permissions, rules, settling, store
from tradepost.trade.aftersales.model import (
    GOODS_BACK,
    NEW_GOODS,
    RESTOCK_POOL,
    SETTLED,
    Evidence,
    Return,
)
from tradepost.trade.aftersales.permissions import BUYER, SELLER, SYSTEM
from tradepost.trade.aftersales.valuing import CREDIT, Asked, left_minor
from tradepost.trade.orders import LineQuantity, Order


def request_case(tx: Tx, asked: Return, party: str, *, goodwill: bool = False) -> Return:
    """Open a case under a new id on the order's gene; a known id is answered as it stands.

    `asked` carries id, order, kind, lines or amount, reason, wanted offers and the moment; all else is filled in.
    The window for returns binds the buyer alone, and nobody with `goodwill`. Raises `orders.not_found`,
    `orders.line_unknown`, `orders.quantity_invalid`, `orders.reason_missing`, `returns.not_delivered`,
    `returns.quantity_exceeds`, `returns.amount_exceeds`, `returns.kind_invalid`, `returns.window_closed`,
    `returns.exchanged_already`, `returns.id_taken`, `aftersales.not_allowed`.
    """
    order = orders.get_order(tx, asked.order_id)
    known = store.returns_of_order(tx, asked.order_id)
    for item in known:
        if item.return_id == asked.return_id:
            same = (item.kind, item.lines, item.amount_minor) == (asked.kind, asked.lines, asked.amount_minor)
            if not same:
                raise Refusal("returns.id_taken", f"{asked.return_id} names a case about something else.")
            return item
    rules.check_kind(asked)
    _accept(order, known, asked)
    permissions.require(order.market, asked.kind, "request", party, order.state)
    if party == BUYER and not goodwill:
        _check_window(tx, order, asked)
    filled = msgspec.structs.replace(
        asked, buyer_id=order.buyer_id, seller_id=order.seller_id, state="REQUESTED", version=1
    )
    wanted, fact = rules.request(order, filled)
    store.insert_return(tx, wanted)
    _emit(tx, wanted, [fact], asked.requested_at_ms)
    return wanted


def _accept(order: Order, known: Sequence[Return], asked: Return) -> None:
    if asked.kind in NEW_GOODS and any(a.code == CREDIT for li in order.body.lines for a in li.adjustments):
        raise Refusal("returns.exchanged_already", f"{order.order_id} was paid with goods given back.")
    if not asked.amount_minor:
        rules.accept_return(order, known, asked.lines)
        return
    if asked.lines:
        orders.check_lines(order, asked.lines)
    left = left_minor(order, known)
    named = [item.line_no for item in asked.lines] or list(left)
    most = sum(max(0, left[line_no]) for line_no in named)
    if asked.amount_minor > most:
        raise Refusal(
            "returns.amount_exceeds",
            f"{asked.amount_minor} was asked for, {most} is left of it.",
            field="amount_minor",
            expected=f"at most {most}",
            extra={"left_minor": most},
        )


def _check_window(tx: Tx, order: Order, asked: Return) -> None:
    named = {line.line_no for line in asked.lines}
    delivered = [
        parcel.delivered_at_ms
        for parcel in fulfilment.list_packages(tx, order.order_id)
        if parcel.delivered_at_ms and (not named or named & {line.line_no for line in parcel.lines})
    ]
    if delivered:
        rules.check_window(order, max(delivered), asked.requested_at_ms)


def approve(tx: Tx, return_id: str, at_ms: int, party: str = SELLER) -> Return:
    """Agree: goods are awaited, or the case is settled where none come back.

    Raises `returns.not_found`, `state.conflict`, `aftersales.not_allowed`.
    """
    item = get_return(tx, return_id)
    if item.kind not in GOODS_BACK:
        _require(tx, item, "grant", party)
        return _settle(tx, item, "grant", at_ms)
    _require(tx, item, "approve", party)
    after, fact = rules.approve(item, at_ms)
    return save(tx, item, after, [fact], at_ms)


def refuse(tx: Tx, return_id: str, reason: str, at_ms: int, party: str = SELLER) -> Return:
    """Decline what was asked, or goods that are not what was sent. The buyer may call the operator.

    Raises `returns.not_found`, `orders.reason_missing`, `state.conflict`, `aftersales.not_allowed`.
    """
    item = get_return(tx, return_id)
    _require(tx, item, "refuse", party)
    after, fact = rules.refuse(item, reason, at_ms)
    return save(tx, item, after, [fact], at_ms)


def close(tx: Tx, return_id: str, at_ms: int, party: str = BUYER) -> Return:
    """The buyer keeps the goods. Raises `returns.not_found`, `state.conflict`, `aftersales.not_allowed`."""
    item = get_return(tx, return_id)
    _require(tx, item, "close", party)
    after, fact = rules.close(item)
    return save(tx, item, after, [fact], at_ms)


def ship_back(tx: Tx, return_id: str, tracking: str, at_ms: int, party: str = BUYER) -> Return:
    """The goods are on their way. Raises `returns.not_found`, `state.conflict`, `aftersales.not_allowed`.

    And `returns.quantity_exceeds` for a gift whose value was kept meanwhile: it is the buyer's own.
    """
    item = get_return(tx, return_id)
    _require(tx, item, "ship_back", party)
    rules.check_unpaid(item, store.returns_of_order(tx, item.order_id))
    after, fact = rules.ship_back(item, tracking, at_ms)
    return save(tx, item, after, [fact], at_ms)


def arrive(tx: Tx, return_id: str, at_ms: int, party: str = SELLER) -> Return:
    """The parcel is there, to be looked at. Raises `returns.not_found`, `state.conflict`, `aftersales.not_allowed`."""
    item = get_return(tx, return_id)
    _require(tx, item, "arrive", party)
    after, fact = rules.arrive(item, at_ms)
    return save(tx, item, after, [fact], at_ms)


def receive(
    tx: Tx,
    return_id: str,
    at_ms: int,
    restock_pool: str = RESTOCK_POOL,
    deduction_minor: int = 0,
    party: str = SELLER,
) -> Return:
    """The goods are back: count them, restock or write them off, ask for their refund or the new goods.

    A deduction is what they are worth less. Raises `returns.not_found`, `state.conflict`, `aftersales.not_allowed`.
    """
    item = get_return(tx, return_id)
    _require(tx, item, "receive", party)
    return _settle(tx, item, "receive", at_ms, restock_pool, deduction_minor)


def escalate(tx: Tx, return_id: str, at_ms: int, party: str = BUYER) -> Return:
    """Call the operator.

    Raises `returns.not_found`, `returns.escalation_late`, `state.conflict`, `aftersales.not_allowed`, and
    `returns.quantity_exceeds` when the units are in another case by now.
    """
    item = get_return(tx, return_id)
    _require(tx, item, "escalate", party)
    after, fact = rules.escalate(item, party, at_ms)
    if item.state == "REFUSED":
        order = orders.get_order(tx, item.order_id)
        _accept(order, store.returns_of_order(tx, item.order_id), item)
    return save(tx, item, after, [fact], at_ms)


def add_evidence(tx: Tx, return_id: str, evidence: Evidence) -> Return:
    """Bring something forward while the operator decides.

    Raises `returns.not_found`, `returns.evidence_full`, `state.conflict`, `aftersales.not_allowed`.
    """
    item = get_return(tx, return_id)
    _require(tx, item, "add_evidence", evidence.party)
    after, fact = rules.add_evidence(item, evidence)
    return save(tx, item, after, [fact], evidence.at_ms)


def judge(
    tx: Tx, return_id: str, winner: str, reason: str, at_ms: int, party: str, *, goods_back: bool = False
) -> Return:
    """The verdict: for the SELLER the case ends; for the BUYER it is settled, `goods_back` once they are there.

    Raises `returns.not_found`, `orders.reason_missing`, `state.conflict`, `aftersales.not_allowed`.
    """
    item = get_return(tx, return_id)
    _require(tx, item, "judge", party)
    if winner == SELLER:
        after, fact = rules.dismiss(item, reason, at_ms)
        return save(tx, item, after, [fact], at_ms)
    decided = msgspec.structs.replace(item, decision=reason, decided_at_ms=at_ms)
    if item.received_at_ms:
        return _settle(tx, decided, "receive", at_ms)
    if goods_back or item.tracking:
        after, fact = rules.approve(decided, at_ms)
        facts = [fact]
        if item.tracking:  # the parcel is on its way already: nobody sends it a second time
            after, sent = rules.ship_back(after, item.tracking, at_ms)
            facts.append(sent)
        return save(tx, item, after, facts, at_ms)
    return _settle(tx, decided, "grant", at_ms)


def decide_by_default(tx: Tx, return_id: str, now_ms: int) -> Return:
    """What the passed deadline of a case's state asks for; a case that moved on is left alone."""
    item = get_return(tx, return_id)
    if not 0 < item.deadline_at_ms <= now_ms or item.state in SETTLED:
        return item
    if item.state == "REQUESTED":
        return approve(tx, return_id, now_ms, SYSTEM)
    if item.state == "APPROVED":
        return close(tx, return_id, now_ms, SYSTEM)
    if item.state in ("SHIPPED_BACK", "INSPECTING"):
        return receive(tx, return_id, now_ms, party=SYSTEM)
    winner = rules.judge_by_default(item)
    if item.state == "DISPUTED" and winner:
        return judge(tx, return_id, winner, "evidence_deadline", now_ms, SYSTEM)
    waiting = msgspec.structs.replace(item, deadline_at_ms=0)
    store.update_returns(tx, [(item.version, waiting)])
    return waiting


def postpone(tx: Tx, return_id: str, now_ms: int, until_ms: int) -> Return:
    """Look at a case whose deadline has passed again later; one that moved on is left alone.

    Raises `returns.not_found`, `version.conflict`.
    """
    item = get_return(tx, return_id)
    if not 0 < item.deadline_at_ms <= now_ms:
        return item
    waiting = msgspec.structs.replace(item, deadline_at_ms=until_ms)
    store.update_returns(tx, [(item.version, waiting)])
    return waiting


def get_return(tx: Tx, return_id: str) -> Return:
    """One case. Raises Refusal `returns.not_found`."""
    found = store.find_returns(tx, [return_id])
    if not found:
        raise Refusal("returns.not_found", f"There is no return {return_id[:60]!r}.", field="return_id")
    return found[0]


def list_returns(tx: Tx, order_id: str) -> list[Return]:
    """The cases of an order, oldest first."""
    return store.returns_of_order(tx, order_id)


def returnable_lines(tx: Tx, order_id: str) -> tuple[LineQuantity, ...]:
    """What can be given back of an order now, by line. Raises `orders.not_found`."""
    order = orders.get_order(tx, order_id)
    left = rules.returnable(order, store.returns_of_order(tx, order_id))
    return tuple(LineQuantity(line_no, quantity) for line_no, quantity in left.items() if quantity)


def _require(tx: Tx, item: Return, step: str, party: str) -> None:
    market = item.market or orders.get_order(tx, item.order_id).market
    permissions.require(market, item.kind, step, party, item.state)


def _settle(
    tx: Tx, item: Return, step: str, at_ms: int, restock_pool: str = RESTOCK_POOL, deduction_minor: int = 0
) -> Return:
    """Value the case and ask for its money, or leave it to the story of the new goods, all in this commit."""
    order = orders.get_order(tx, item.order_id)
    asked = Asked(
        kind=item.kind,
        reason=item.reason,
        lines=item.lines,
        amount_minor=item.amount_minor,
        deduction_minor=deduction_minor,
    )
    value = settling.value_of(tx, order, asked)
    sources = settling.sources_of(tx, order, value)
    before = store.find_returns(tx, [item.return_id])[0]
    worth = settling.valued(item, value, at_ms)
    rules.check_step(worth, step)
    if not item.amount_minor:
        orders.record_returned(tx, order.order_id, item.return_id, item.lines, at_ms)
    if item.kind not in NEW_GOODS:
        worth = settling.ask_money(tx, worth, sources, at_ms)
    after, fact = rules.grant(worth) if step == "grant" else rules.receive(worth, order, restock_pool, at_ms)
    facts = [fact]
    if not after.refund_minor and not after.held_minor and item.kind not in NEW_GOODS:
        after, ended = rules.end_without_refund(after)
        facts.append(ended)
    return save(tx, before, after, facts, at_ms)


def save(tx: Tx, before: Return, after: Return, facts: Sequence[Event], at_ms: int) -> Return:
    """Write a changed case and what happened to it. Raises Refusal `version.conflict` when it moved meanwhile."""
    store.update_returns(tx, [(before.version, after)])
    _emit(tx, after, facts, at_ms)
    return after


def _emit(tx: Tx, item: Return, facts: Sequence[Event], at_ms: int) -> None:
    first = item.version - len(facts) + 1
    tx.emit(
        record(fact, item.return_id, version, at_ms, item.buyer_id, item.seller_id)
        for version, fact in enumerate(facts, first)
    )
