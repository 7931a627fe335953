"""The proof of stock: every balance recomputed from the movement log and from the holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from tradepost.kernel.ids import GENES
from tradepost.kernel.tx import Tx
from tradepost.trade.inventory import store
from tradepost.trade.inventory.rules import LimitKey, UnitKey
from tradepost.trade.inventory.store import Balance


class StockFinding(msgspec.Struct, frozen=True):
    """One thing that is not as it must be: its kind, what it is about, and the figures."""

    kind: str
    subject: str
    detail: str


class StockReport(msgspec.Struct, frozen=True):
    """What was looked at and what was found wrong; `units` and `movements` are counts, the rest pieces."""

    units: int
    movements: int
    on_hand: int
    held: int
    reserved: int
    findings: tuple[StockFinding, ...]

    @property
    def conserved(self) -> bool:
        """Whether every balance agrees with the log and the holds."""
        return not self.findings


def check_stock(
    tx: Tx, now_ms: int, grace_ms: int = 60_000, first_gene: int = 0, last_gene: int = GENES - 1
) -> StockReport:
    """Recompute the balances of a range of genes; a whole shard by default, fewer genes for less memory.

    Finds `balance` (differs from the movements), `negative` (available below 0), `holds` (held or reserved
    differs from the open holds), `limit` (a buyer's count differs from his holds), `hold` (an impossible row)
    and `overdue` (a hold nobody answered for, `grace_ms` past its deadline).
    """
    span = (first_gene, last_gene)
    stock = store.balances_in(tx, span)
    moved = store.moved_in(tx, span)
    log = {unit: balance for unit, (balance, _) in moved.items()}
    found = compare(stock, log, store.promised_in(tx, span))
    found += [
        StockFinding("hold", f"{owner_id} {sku_id}", "impossible quantities")
        for owner_id, sku_id in store.broken_in(tx, span)
    ]
    found += _compare_limits(*store.limits_in(tx, span))
    found += [
        StockFinding("overdue", checkout_id, f"expired at {at_ms}, {now_ms - at_ms} ms ago")
        for checkout_id, at_ms in store.overdue_in(tx, span, now_ms - grace_ms)
    ]
    count = sum(rows for _, rows in moved.values())
    sums = [sum(balance[place] for balance in stock.values()) for place in range(3)]
    return StockReport(len(stock), count, sums[0], sums[1], sums[2], tuple(found))


def merge_reports(reports: Iterable[StockReport]) -> StockReport:
    """One report of several ranges or shards."""
    parts = list(reports)
    return StockReport(
        sum(part.units for part in parts),
        sum(part.movements for part in parts),
        sum(part.on_hand for part in parts),
        sum(part.held for part in parts),
        sum(part.reserved for part in parts),
        tuple(finding for part in parts for finding in part.findings),
    )


def compare(
    stock: Mapping[UnitKey, Balance],
    moved: Mapping[UnitKey, Balance],
    promised: Mapping[UnitKey, tuple[int, int]],
) -> list[StockFinding]:
    """What disagrees between balances, the sums of movements, and open holds as (held, reserved). Pure."""
    found: list[StockFinding] = []
    for unit in sorted(stock.keys() | moved.keys() | promised.keys()):
        name = "/".join(unit[1:])
        has, log = stock.get(unit, (0, 0, 0)), moved.get(unit, (0, 0, 0))
        if has != log:
            found.append(StockFinding("balance", name, f"balance {has}, movements {log}"))
        if has[0] < has[1] + has[2] or min(has) < 0:
            found.append(StockFinding("negative", name, f"on_hand, held, reserved = {has}"))
        holds = promised.get(unit, (0, 0))
        if has[1:] != holds:
            found.append(StockFinding("holds", name, f"held, reserved {has[1:]}, open holds {holds}"))
    return found


def _compare_limits(held: Mapping[LimitKey, int], taken: Mapping[LimitKey, int]) -> list[StockFinding]:
    return [
        StockFinding("limit", f"{key[1]} {key[2]}", f"taken {taken.get(key, 0)}, holds {held.get(key, 0)}")
        for key in sorted(held.keys() | taken.keys())
        if held.get(key, 0) != taken.get(key, 0)
    ]
