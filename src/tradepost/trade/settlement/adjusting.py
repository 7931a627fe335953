"""Typed adjustments: money between a party and the platform that no order moved."""

from __future__ import annotations

from msgspec.structs import replace

from tradepost.kernel.tx import Tx
from tradepost.markets import market
from tradepost.trade.ledger import TransactionKind
from tradepost.trade.settlement import arriving, rules
from tradepost.trade.settlement.model import Component, Line, LineKind
from tradepost.trade.settlement.store import AccountKey, known_lines, lines_between

NOTE_LETTERS_MAX = 200
_FIRST, _LAST = -(10**6), 10**6


def adjust(
    tx: Tx, key: AccountKey, adjustment_id: str, kind: str, amount_minor: int, note: str, at_ms: int
) -> Line:
    """Enter an adjustment; above zero the party is owed more. The same id again answers what stands.

    Raises Refusal `settlement.adjustment_invalid`, `market.unknown`.
    """
    account = rules.check_adjustment(kind, amount_minor)
    if known_lines(tx, [(key[0], adjustment_id)]):
        return next(line for line in lines_between(tx, key, _FIRST, _LAST) if line.line_id == adjustment_id)
    line = arriving.own_line(
        key,
        adjustment_id,
        rules.day_of(market(key[1]), at_ms),
        at_ms,
        LineKind.ADJUSTMENT,
        Component.ADJUSTMENT,
        amount_minor,
    )
    line = replace(line, note=f"{kind}: {note}"[:NOTE_LETTERS_MAX])
    return arriving.enter(tx, [line], [arriving.own_posting(line, TransactionKind.ADJUSTMENT, account)])[0]
