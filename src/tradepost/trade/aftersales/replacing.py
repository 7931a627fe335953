"""New goods for old: the story from a settled case to an order that stands, or to its refund. Never to both.

Placing is tried under ids that follow from the case, as often as need be. When it is refused for good, a tombstone
in the checkout's place keeps a late twin from placing it after all, in the very commit that asks for the refund.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import gene_of
from tradepost.kernel.money import split
from tradepost.kernel.tx import Tx
from tradepost.trade import checkout, orders, payments
from tradepost.trade.aftersales import casework, rules, settling, store
from tradepost.trade.aftersales.model import (
    GRANTED,
    NEW_GOODS,
    RECEIVED,
    REPLACED,
    SETTLED,
    Return,
    ReturnOwedAgain,
)
from tradepost.trade.aftersales.valuing import CREDIT
from tradepost.trade.checkout import Context, Replacement, Want
from tradepost.trade.orders import Order, full_progress, share
from tradepost.trade.payments import RefundRequest

AGAIN_MS = 60_000
PASSING = ("storage.", "inventory.contended", "version.conflict", "idempotency.", "switch.", "admission.")
"""Refusals after which the same step is tried again; every other one is for good."""


class Swap(msgspec.Struct, frozen=True, array_like=True):
    """Units of a line that were given back for other goods, and what the buyer still pays of them, in minor units."""

    line_no: int
    quantity: int
    kept_minor: int


async def replace_goods(context: Context, return_id: str) -> Return:
    """Order the new goods of a settled case, or refund it when they cannot be had. Safe to repeat.

    Raises `returns.not_found`, and what refuses for a moment only: then the case waits and is tried again.
    """
    shard = context.db.shard_of(gene_of(return_id))
    item, order = await context.db.read(shard, _read, return_id)
    if item.state not in (RECEIVED, GRANTED) or item.kind not in NEW_GOODS or not item.deadline_at_ms:
        return item
    asked = Replacement(
        order=order,
        letters=return_id[-26:],
        lines=item.lines,
        credit_minor=_worth(item),
        wants=tuple(Want(offer_id=one.offer_id, quantity=one.quantity) for one in item.wanted),
    )
    now_ms = context.world.now_ms()
    try:
        await checkout.place_replacement(context, asked)
    except Refusal as refusal:
        if refusal.code.startswith(PASSING):
            return await context.db.transact(shard, defer, return_id, now_ms + AGAIN_MS)
    return await context.db.transact(shard, settle_goods, return_id, now_ms)


def _read(tx: Tx, return_id: str) -> tuple[Return, Order]:
    item = casework.get_return(tx, return_id)
    return item, orders.get_order(tx, item.order_id)


def _worth(item: Return) -> int:
    return sum(value.total_minor + value.credit_minor for value in item.values) - item.deduction_minor


def defer(tx: Tx, return_id: str, until_ms: int) -> Return:
    """Try the new goods again later."""
    item = casework.get_return(tx, return_id)
    waiting = replace(item, deadline_at_ms=until_ms) if item.deadline_at_ms else item
    store.update_returns(tx, [(item.version, waiting)])
    return waiting


def settle_goods(tx: Tx, return_id: str, at_ms: int) -> Return:
    """What became of the new goods decides: the order stands and only a difference is refunded, or all of it is.

    Raises `returns.not_found`. A case that was settled so before is answered as it stands.
    """
    item = casework.get_return(tx, return_id)
    if item.state not in (RECEIVED, GRANTED) or not item.deadline_at_ms:
        return item
    checkout_id, order_id = (f"{prefix}_{return_id[-26:]}" for prefix in ("chk", "ord"))
    stands = checkout.claim_checkout(tx, item.buyer_id, checkout_id, at_ms)
    worth, spent = _worth(item), 0
    if stands:
        new = orders.get_order(tx, order_id)
        spent = sum(credit_of(new).values())
    order = orders.get_order(tx, item.order_id)
    asked = replace(item, deadline_at_ms=0)
    if worth > spent and order.payment_id:
        source = settling.Source(
            payment_id=order.payment_id, order_id=order.order_id, owed_minor=worth - spent
        )
        asked = settling.ask_money(tx, asked, (source,), at_ms)
    if stands:
        after, fact = rules.replace_goods(asked, order_id, spent)
        saved = casework.save(tx, item, after, [fact], at_ms)
        undo_credit(tx, order_id, at_ms)  # cancelled before we came to know that it stood
        return saved
    if not asked.refund_minor and not asked.held_minor:
        after, fact = rules.end_without_refund(asked)
        return casework.save(tx, item, after, [fact], at_ms)
    fact = ReturnOwedAgain(
        return_id=return_id,
        order_id=item.order_id,
        refund_id=asked.refund_id,
        refund_minor=asked.refund_minor,
    )
    return casework.save(tx, item, replace(asked, version=item.version + 1), [fact], at_ms)


def credit_of(order: Order) -> dict[int, int]:
    """What goods given back paid of each line, in minor units, by line number."""
    return {
        line.line_no: -sum(one.amount_minor for one in line.adjustments if one.code == CREDIT)
        for line in order.body.lines
    }


def find_swaps(tx: Tx, order: Order) -> list[Swap]:
    """Units of an order for which other goods came or are about to, with what the buyer still pays of them."""
    cases = [one for one in store.returns_of_order(tx, order.order_id) if one.kind in NEW_GOODS]
    found = []
    for case in cases:
        kept = _kept(tx, case)
        if kept is None:
            continue
        totals = [value.total_minor for value in case.values]
        parts = split(min(kept, sum(totals)), totals) if sum(totals) else [0] * len(totals)
        for value, part in zip(case.values, parts, strict=True):
            found.append(Swap(value.line_no, value.quantity, part))
    return found


def _kept(tx: Tx, case: Return) -> int | None:
    """What of a case's worth still pays for the new goods: all of it until they are ordered, None for a refund."""
    if case.state in (RECEIVED, GRANTED) and case.deadline_at_ms:
        return _worth(case)
    if case.state != REPLACED:
        return None
    new = orders.orders_by_ids(tx, [case.replacement_id])
    return case.spent_minor - (_gone(new[0]) if new else case.undone_minor)


def _gone(order: Order) -> int:
    """What goods given back had paid of units that were cancelled or came back."""
    credit = credit_of(order)
    return sum(
        share(credit[line.line_no], line.quantity, done.cancelled + done.returned)
        for line, done in zip(order.body.lines, full_progress(order), strict=True)
    )


def undo_credit(tx: Tx, order_id: str, at_ms: int) -> None:
    """Units of new goods were cancelled: what old goods paid of them is refunded from the old order's payment.

    Nothing for an order that is none of new goods. Repeats find it done.
    """
    root = settling.root_of(tx, order_id)
    if root is None or not root.replacement_id:
        return
    order = orders.get_order(tx, order_id)
    given = sum(
        value.credit_minor
        for case in store.returns_of_order(tx, order_id)
        if case.state in SETTLED
        for value in case.values
    )
    owed = _gone(order) - given - root.undone_minor
    earlier = orders.get_order(tx, root.order_id)
    if owed <= 0 or not earlier.payment_id:
        return
    request = RefundRequest(
        refund_id=payments.derive_refund_id(order_id, f"credit.{root.undone_minor}"),
        payment_id=earlier.payment_id,
        order_id=earlier.order_id,
        amount_minor=owed,
        reason="return",
        at_ms=at_ms,
    )
    asked = payments.request_owed(tx, request)
    fact = ReturnOwedAgain(
        return_id=root.return_id,
        order_id=root.order_id,
        refund_id=request.refund_id,
        refund_minor=asked.refund_minor,
    )
    after = replace(
        root,
        version=root.version + 1,
        undone_minor=root.undone_minor + owed,
        held_minor=root.held_minor + asked.held_minor,
    )
    casework.save(tx, root, after, [fact], at_ms)
