"""The cheap checks: what one step touched, right after it. Each finding is one sentence; none is good."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tradepost.kernel.errors import Refusal
from tradepost.kernel.events import EventRow
from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import Tx
from tradepost.testing.simulation import store
from tradepost.trade import inventory, orders, payments
from tradepost.trade.inventory import Level


def check_touched(readers: Sequence[Tx], ids: Iterable[str]) -> list[str]:
    """What is wrong with these orders, payments and SKUs as they are committed now."""
    found: list[str] = []
    for each in ids:
        tx = readers[gene_of(each) % len(readers)]
        if each.startswith("ord_"):
            found += _check_order(tx, each)
        elif each.startswith("pay_"):
            found += _check_payment(tx, each)
        elif each.startswith("sku_"):
            found += [fault for level in inventory.levels(tx, [each]) for fault in check_level(level)]
    return found


def check_level(level: Level) -> list[str]:
    """on_hand >= held + reserved >= 0."""
    if level.held < 0 or level.reserved < 0 or level.available < 0:
        return [f"oversold: {level.sku_id} {level.pool} {level.on_hand} {level.held} {level.reserved}"]
    return []


def _check_order(tx: Tx, order_id: str) -> list[str]:
    try:
        order = orders.get_order(tx, order_id)
    except Refusal:
        return [f"acknowledged order missing: {order_id}"]
    found = check_log(order, orders.order_log(tx, order_id))
    return found + _check_payment(tx, order.payment_id) if order.total_minor else found


def check_log(order: orders.Order, log: Sequence[EventRow]) -> list[str]:
    """The order is what its gapless log says, and no unit of it went two ways."""
    try:
        rebuilt = orders.rebuild(log)
    except ValueError as error:
        return [f"event lost: {order.order_id}: {error}"]
    if (rebuilt.state, rebuilt.version) != (order.state, order.version):
        return [
            f"event lost: {order.order_id} is {order.state} {order.version},"
            f" its log says {rebuilt.state} {rebuilt.version}"
        ]
    progress = orders.full_progress(order)
    if rebuilt.progress != progress:
        return [f"log differs: {order.order_id} {rebuilt.progress} {progress}"]
    for line, done in zip(order.body.lines, progress, strict=True):
        sound = (
            0
            <= done.returned
            <= done.delivered
            <= done.shipped
            <= done.packed
            <= line.quantity - done.cancelled
        )
        if not sound:
            return [f"units twice: {order.order_id} line {line.line_no} of {line.quantity}: {done}"]
    return []


def _check_payment(tx: Tx, payment_id: str) -> list[str]:
    view = payments.find_payment(tx, payment_id)
    asked_back = store.asked_back_of(tx, gene_of(payment_id), payment_id) + with_banks(view)
    amounts = (view.amount_minor, view.authorized_minor, view.captured_minor, view.refunded_minor)
    return check_amounts(payment_id, amounts, asked_back)


def with_banks(view: payments.PaymentView) -> int:
    """Minor units of a payment that buyers' banks took or hold."""
    return sum(portion.disputed_minor + portion.charged_back_minor for portion in view.portions)


def check_amounts(payment_id: str, amounts: tuple[int, int, int, int], asked_back: int) -> list[str]:
    """0 <= refunded <= captured <= amount, and nobody asked back more than was taken, banks included."""
    amount, authorized, captured, refunded = amounts
    if not 0 <= refunded <= captured <= amount or authorized > amount:
        return [f"money: {payment_id} amount, authorized, captured, refunded = {amounts}"]
    if asked_back > captured:
        return [f"refunds exceed: {payment_id} {asked_back} asked back of {captured}"]
    return []
