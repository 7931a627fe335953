"""Pure decisions on cancellations and cases: what a step does to a case, and what it may be asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.kernel.events import Event
from tradepost.trade.aftersales import permissions
from tradepost.trade.aftersales.gifts import paid_gifts
from tradepost.trade.aftersales.model import (
    EVIDENCE_MAX,
    RETURN_STATES,
    WAITING,
    WRITTEN_OFF,
    CaseKind,
    Evidence,
    Return,
    ReturnApproved,
    ReturnArrived,
    ReturnChargedBack,
    ReturnClosed,
    ReturnDismissed,
    ReturnEscalated,
    ReturnEvidenceAdded,
    ReturnGranted,
    ReturnReceived,
    ReturnRefunded,
    ReturnRefused,
    ReturnReplaced,
    ReturnRequested,
    ReturnShippedBack,
)
from tradepost.trade.aftersales.policy import policy_of
from tradepost.trade.orders import LineQuantity, Order, check_lines, check_reason, full_progress, stock_of

INITIATORS = permissions.PARTIES
_replace = msgspec.structs.replace


def accept_cancel(order: Order, initiator: str, *, whole: bool) -> None:
    """Whether this party may cancel now. Raises `aftersales.cancel_too_late`, `.initiator_unknown`.

    In states that end an order or name none of it the order's own table has the last word.
    """
    if initiator not in INITIATORS:
        raise Refusal(
            "aftersales.initiator_unknown",
            f"{initiator[:20]!r} is no initiator.",
            field="initiator",
            expected=" or ".join(INITIATORS),
        )
    market, state = order.market, order.state
    rest = not whole and permissions.may(market, "cancel", "cancel_rest", initiator, state)
    free = permissions.states_for(market, "cancel", "cancel", initiator)
    if state not in ("COMPLETED", "CANCELLED") and state not in free and not rest:
        raise Refusal(
            "aftersales.cancel_too_late",
            f"Order {order.order_id} is {state}.",
            expected=" or ".join(free),
            extra={"state": state},
        )


def returnable(order: Order, returns: Sequence[Return]) -> dict[int, int]:
    """Units by line that were delivered, were not given back, are in no open case and no gift that was paid for."""
    waiting: dict[int, int] = paid_gifts(returns)
    for item in returns:
        if item.state in WAITING and not item.amount_minor:
            for line in item.lines:
                waiting[line.line_no] = waiting.get(line.line_no, 0) + line.quantity
    return {
        line.line_no: done.delivered - done.returned - waiting.get(line.line_no, 0)
        for line, done in zip(order.body.lines, full_progress(order), strict=True)
    }


def accept_return(order: Order, returns: Sequence[Return], lines: Sequence[LineQuantity]) -> None:
    """Whether these units can be given back. Raises `returns.not_delivered`, `returns.quantity_exceeds`.

    And `orders.line_unknown`, `orders.quantity_invalid`.
    """
    check_lines(order, lines)
    left = returnable(order, returns)
    progress = full_progress(order)
    for index, item in enumerate(lines):
        if progress[item.line_no - 1].delivered == 0:
            raise Refusal(
                "returns.not_delivered",
                f"Nothing of line {item.line_no} is delivered.",
                field=f"lines[{index}].line_no",
            )
        if item.quantity > left[item.line_no]:
            raise Refusal(
                "returns.quantity_exceeds",
                f"Line {item.line_no} has {left[item.line_no]} to return, not {item.quantity}.",
                field=f"lines[{index}].quantity",
                extra={"line_no": item.line_no, "returnable": left[item.line_no]},
            )


def check_unpaid(item: Return, cases: Iterable[Return]) -> None:
    """Raise Refusal `returns.quantity_exceeds` where a case is about a gift that the buyer has paid for since."""
    paid = paid_gifts(cases)
    for index, line in enumerate(item.lines):
        if paid.get(line.line_no, 0):
            raise Refusal(
                "returns.quantity_exceeds",
                f"The value of line {line.line_no} was kept: it is the buyer's own.",
                field=f"lines[{index}].line_no",
                extra={"line_no": line.line_no, "returnable": 0},
            )


def check_window(order: Order, delivered_at_ms: int, at_ms: int) -> None:
    """Raise Refusal `returns.window_closed` after the order's window, which 0 leaves open for ever."""
    window_ms = order.body.return_window_ms
    if window_ms and at_ms > delivered_at_ms + window_ms:
        raise Refusal(
            "returns.window_closed",
            f"Order {order.order_id} could be returned until {delivered_at_ms + window_ms}.",
            extra={"closed_at_ms": delivered_at_ms + window_ms},
        )


def check_kind(asked: Return) -> None:
    """Raise Refusal `returns.kind_invalid` unless the facts of a case fit its kind."""
    kind = asked.kind
    money_only = kind in (CaseKind.REFUND_ONLY, CaseKind.CLAIM)
    fits = (
        kind in list(CaseKind)
        and asked.amount_minor >= 0
        and not (asked.amount_minor and not money_only)
        and not (asked.wanted and kind != CaseKind.EXCHANGE)
    )
    if not fits:
        raise Refusal(
            "returns.kind_invalid",
            f"These facts do not fit a case of kind {kind[:20]!r}.",
            field="kind",
            expected=" or ".join(CaseKind),
        )


def request(order: Order, asked: Return) -> tuple[Return, Event]:
    """A new case, whose lines the caller has accepted. Raises `orders.reason_missing`, `returns.kind_invalid`."""
    check_reason(asked.reason)
    check_kind(asked)
    wanted = _waiting(_replace(asked, market=order.market), asked.requested_at_ms)
    fact = ReturnRequested(
        return_id=asked.return_id,
        order_id=order.order_id,
        reason=asked.reason,
        lines=asked.lines,
        kind=asked.kind,
        amount_minor=asked.amount_minor,
    )
    return wanted, fact


def _waiting(item: Return, at_ms: int) -> Return:
    """The case with the moment at which its state ends by itself."""
    span_ms = policy_of(item.market).span_of(item.state)
    return _replace(item, deadline_at_ms=at_ms + span_ms if span_ms else 0)


def _step(item: Return, given: str, at_ms: int) -> Return:
    return _waiting(_move(item, given), at_ms)


def approve(item: Return, at_ms: int) -> tuple[Return, Event]:
    """The goods may come back. Raises `state.conflict`."""
    fact = ReturnApproved(return_id=item.return_id, order_id=item.order_id)
    return _replace(_step(item, "approve", at_ms), decided_at_ms=at_ms), fact


def refuse(item: Return, reason: str, at_ms: int) -> tuple[Return, Event]:
    """The seller declines, with a reason. Raises `state.conflict`, `orders.reason_missing`."""
    moved = _step(item, "refuse", at_ms)
    check_reason(reason)
    fact = ReturnRefused(return_id=item.return_id, order_id=item.order_id, reason=reason)
    return _replace(moved, decision=reason, decided_at_ms=at_ms), fact


def close(item: Return) -> tuple[Return, Event]:
    """The buyer thinks again before the goods are back. Raises `state.conflict`."""
    moved = _replace(_move(item, "close"), deadline_at_ms=0)
    return moved, ReturnClosed(return_id=item.return_id, order_id=item.order_id)


def ship_back(item: Return, tracking: str, at_ms: int) -> tuple[Return, Event]:
    """The goods are on their way. Raises `state.conflict`."""
    fact = ReturnShippedBack(return_id=item.return_id, order_id=item.order_id)
    return _replace(_step(item, "ship back", at_ms), tracking=tracking), fact


def arrive(item: Return, at_ms: int) -> tuple[Return, Event]:
    """The parcel is there and is looked at. Raises `state.conflict`."""
    fact = ReturnArrived(return_id=item.return_id, order_id=item.order_id)
    return _replace(_step(item, "arrive", at_ms), received_at_ms=at_ms), fact


def escalate(item: Return, party: str, at_ms: int) -> tuple[Return, Event]:
    """The operator is called. Raises `state.conflict`, `returns.escalation_late`."""
    span_ms = policy_of(item.market).escalate_ms
    moved = _step(item, "escalate", at_ms)
    if item.state == "REFUSED" and span_ms and at_ms > item.decided_at_ms + span_ms:
        raise Refusal(
            "returns.escalation_late",
            f"{item.return_id} was refused at {item.decided_at_ms}.",
            extra={"ended_at_ms": item.decided_at_ms + span_ms},
        )
    return moved, ReturnEscalated(return_id=item.return_id, order_id=item.order_id, party=party)


def add_evidence(item: Return, evidence: Evidence) -> tuple[Return, Event]:
    """One piece more; the deadline stays. Raises `state.conflict`, `returns.evidence_full`."""
    moved = _move(item, "add evidence")
    if len(item.evidence) >= EVIDENCE_MAX:
        raise Refusal("returns.evidence_full", f"{item.return_id} has {EVIDENCE_MAX} pieces of evidence.")
    fact = ReturnEvidenceAdded(return_id=item.return_id, order_id=item.order_id, party=evidence.party)
    return _replace(moved, evidence=(*item.evidence, evidence)), fact


def dismiss(item: Return, reason: str, at_ms: int) -> tuple[Return, Event]:
    """The operator finds for the seller. Raises `state.conflict`, `orders.reason_missing`."""
    check_reason(reason)
    moved = _replace(_move(item, "dismiss"), decision=reason, decided_at_ms=at_ms, deadline_at_ms=0)
    return moved, ReturnDismissed(return_id=item.return_id, order_id=item.order_id, reason=reason)


def judge_by_default(item: Return) -> str:
    """Who wins when the time for evidence is over: the only side that brought any, the buyer if neither; "" if both."""
    sides = {evidence.party for evidence in item.evidence} & {permissions.BUYER, permissions.SELLER}
    return "" if len(sides) == 2 else next(iter(sides), permissions.BUYER)


def receive(item: Return, order: Order, restock_pool: str, at_ms: int) -> tuple[Return, Event]:
    """The goods are back; `item` knows what that is worth. Raises `state.conflict`."""
    moved = _replace(_move(item, "receive"), received_at_ms=item.received_at_ms or at_ms)
    stock = () if restock_pool == WRITTEN_OFF else stock_of(order.body, item.lines)
    fact = ReturnReceived(
        return_id=item.return_id,
        order_id=item.order_id,
        lines=item.lines,
        stock=stock,
        restock_pool=restock_pool,
        refund_id=item.refund_id,
        refund_minor=item.refund_minor,
    )
    return moved, fact


def check_step(item: Return, given: str) -> None:
    """Raise `state.conflict` unless the case's state accepts this input."""
    RETURN_STATES.next(item.state, given)


def grant(item: Return) -> tuple[Return, Event]:
    """Settled without the goods; `item` knows what that is worth. Raises `state.conflict`."""
    fact = ReturnGranted(
        return_id=item.return_id,
        order_id=item.order_id,
        kind=item.kind,
        lines=item.lines,
        refund_id=item.refund_id,
        refund_minor=item.refund_minor,
    )
    return _move(item, "grant"), fact


def finish(item: Return) -> tuple[Return, Event]:
    """The buyer has the money. Raises `state.conflict`."""
    fact = ReturnRefunded(
        return_id=item.return_id,
        order_id=item.order_id,
        refund_id=item.refund_id,
        refund_minor=item.refund_minor,
    )
    return _replace(_move(item, "refund"), deadline_at_ms=0), fact


def replace_goods(item: Return, replacement_id: str, spent_minor: int) -> tuple[Return, Event]:
    """The new goods are ordered, paid with `spent_minor` of the old ones. Raises `state.conflict`."""
    moved = _replace(
        _move(item, "replace"), replacement_id=replacement_id, spent_minor=spent_minor, deadline_at_ms=0
    )
    fact = ReturnReplaced(
        return_id=item.return_id,
        order_id=item.order_id,
        replacement_id=replacement_id,
        spent_minor=spent_minor,
        refund_minor=item.refund_minor,
    )
    return moved, fact


def charge_back(item: Return) -> tuple[Return, Event]:
    """The bank was faster than the refund. Raises `state.conflict`."""
    fact = ReturnChargedBack(return_id=item.return_id, order_id=item.order_id, refund_id=item.refund_id)
    return _replace(_move(item, "charge back"), deadline_at_ms=0), fact


def end_without_refund(item: Return) -> tuple[Return, Event]:
    """Nothing is to be asked back: the bank paid it, or nothing was owed. Raises `state.conflict`."""
    return charge_back(item) if item.taken_minor else finish(item)


def refund_id_of(return_id: str) -> str:
    """The refund of a case has its letters, so that a case is refunded once however often it is tried."""
    return f"ref_{return_id[-26:]}"


def return_id_of(identifier: str) -> str:
    """The case that a refund, or an order or checkout of new goods, belongs to, if it belongs to one."""
    return f"rtn_{identifier[-26:]}"


def _move(item: Return, given: str) -> Return:
    return _replace(item, state=RETURN_STATES.next(item.state, given), version=item.version + 1)
