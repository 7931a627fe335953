"""Returns in few words: the case of kind `return_refund`, as buyers and sellers have always asked for it."""

from __future__ import annotations

from collections.abc import Sequence

from tradepost.kernel.tx import Tx
from tradepost.trade.aftersales import casework
from tradepost.trade.aftersales.model import RESTOCK_POOL, Return
from tradepost.trade.aftersales.permissions import BUYER, SELLER
from tradepost.trade.orders import LineQuantity


def request_return(
    tx: Tx, order_id: str, return_id: str, lines: Sequence[LineQuantity], reason: str, at_ms: int
) -> Return:
    """Ask to give units back, under a new id on the order's gene. A known id is answered as it stands.

    Raises what `casework.request_case` raises for units.
    """
    return casework.request_case(tx, _asked(order_id, return_id, lines, reason, at_ms), BUYER)


def accept_return(
    tx: Tx,
    order_id: str,
    return_id: str,
    lines: Sequence[LineQuantity],
    reason: str,
    at_ms: int,
    restock_pool: str = RESTOCK_POOL,
) -> Return:
    """Goods over the counter: requested, approved, received and their refund asked for, in one step.

    The seller does this, so the window for returns does not bind. Raises what `request_return` does else.
    """
    item = casework.request_case(tx, _asked(order_id, return_id, lines, reason, at_ms), SELLER, goodwill=True)
    if item.state == "REQUESTED":
        item = casework.approve(tx, return_id, at_ms)
    if item.state == "APPROVED":
        item = casework.receive(tx, return_id, at_ms, restock_pool)
    return item


def _asked(order_id: str, return_id: str, lines: Sequence[LineQuantity], reason: str, at_ms: int) -> Return:
    return new_case(order_id, return_id, reason, at_ms, lines=tuple(lines))


def new_case(
    order_id: str,
    return_id: str,
    reason: str,
    at_ms: int,
    *,
    lines: tuple[LineQuantity, ...] = (),
    **facts: object,
) -> Return:
    """The facts of a case to be requested: `kind`, `amount_minor`, `wanted` and `evidence` may be named."""
    return Return(
        return_id=return_id,
        order_id=order_id,
        buyer_id="",
        seller_id="",
        state="",
        version=0,
        lines=lines,
        reason=reason,
        requested_at_ms=at_ms,
        **facts,  # type: ignore[arg-type]
    )
