"""The proof of stock: every balance recomputed from the movement log and from the holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from tradepost.kernel.ids import GENES
from tradepost.kernel.tx import Tx
from tradepost.trade.inventory.model import RESERVED
from tradepost.trade.inventory.rules import LimitKey, UnitKey

_IN = "WHERE gene >= ? AND gene <= ?"
STOCK = f"SELECT gene, sku_id, location_id, pool, on_hand, held, reserved FROM stock {_IN}"
MOVED = (
    "SELECT gene, sku_id, location_id, pool, SUM(on_hand), SUM(held), SUM(reserved), COUNT(*)"
    f" FROM movements {_IN} GROUP BY gene, sku_id, location_id, pool"
)
PROMISED = (
    "SELECT gene, sku_id, location_id, pool, state, SUM(open_quantity)"
    f" FROM holds {_IN} AND open_quantity > 0 GROUP BY gene, sku_id, location_id, pool, state"
)
BROKEN = (
    f"SELECT gene, owner_id, sku_id FROM holds {_IN} AND (open_quantity < 0 OR shipped < returned"
    " OR returned < 0 OR open_quantity + shipped > quantity OR limited < 0 OR limited > quantity"
    " OR (open_quantity > 0 AND state NOT IN ('HELD', 'RESERVED'))"
    " OR (open_quantity = 0 AND state IN ('HELD', 'RESERVED')))"
)
LIMITED = (
    f"SELECT gene, sku_id, buyer_id, SUM(limited) FROM holds {_IN} AND limited > 0"
    " GROUP BY gene, sku_id, buyer_id"
)
LIMITS = f"SELECT gene, sku_id, buyer_id, taken FROM buyer_limits {_IN} AND taken <> 0"
OVERDUE = f"SELECT gene, checkout_id, expires_at_ms FROM hold_deadlines {_IN} AND expires_at_ms < ?"

Balance = tuple[int, int, int]


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
    stock: dict[UnitKey, Balance] = {_unit(r): (r[4], r[5], r[6]) for r in tx.query(STOCK, span)}
    moved: dict[UnitKey, Balance] = {}
    count = 0
    for row in tx.query(MOVED, span):
        moved[_unit(row)] = (int(row[4]), int(row[5]), int(row[6]))
        count += int(row[7])
    promised: dict[UnitKey, list[int]] = {}
    for row in tx.query(PROMISED, span):
        promised.setdefault(_unit(row), [0, 0])[row[4] == RESERVED] += int(row[5])
    found = list(compare(stock, moved, promised))
    found += [StockFinding("hold", f"{r[1]} {r[2]}", "impossible quantities") for r in tx.query(BROKEN, span)]
    held: dict[LimitKey, int] = {(r[0], r[1], r[2]): int(r[3]) for r in tx.query(LIMITED, span)}
    taken: dict[LimitKey, int] = {(r[0], r[1], r[2]): int(r[3]) for r in tx.query(LIMITS, span)}
    found += _compare_limits(held, taken)
    found += [
        StockFinding("overdue", row[1], f"expired at {row[2]}, {now_ms - row[2]} ms ago")
        for row in tx.query(OVERDUE, (*span, now_ms - grace_ms))
    ]
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
    stock: Mapping[UnitKey, Balance], moved: Mapping[UnitKey, Balance], promised: Mapping[UnitKey, list[int]]
) -> list[StockFinding]:
    """What disagrees between balances, the sums of movements, and open holds as [held, reserved]. Pure."""
    found: list[StockFinding] = []
    for unit in sorted(stock.keys() | moved.keys() | promised.keys()):
        name = "/".join(unit[1:])
        has, log = stock.get(unit, (0, 0, 0)), moved.get(unit, (0, 0, 0))
        if has != log:
            found.append(StockFinding("balance", name, f"balance {has}, movements {log}"))
        if has[0] < has[1] + has[2] or min(has) < 0:
            found.append(StockFinding("negative", name, f"on_hand, held, reserved = {has}"))
        holds = tuple(promised.get(unit, (0, 0)))
        if has[1:] != holds:
            found.append(StockFinding("holds", name, f"held, reserved {has[1:]}, open holds {holds}"))
    return found


def _compare_limits(held: Mapping[LimitKey, int], taken: Mapping[LimitKey, int]) -> list[StockFinding]:
    return [
        StockFinding("limit", f"{key[1]} {key[2]}", f"taken {taken.get(key, 0)}, holds {held.get(key, 0)}")
        for key in sorted(held.keys() | taken.keys())
        if held.get(key, 0) != taken.get(key, 0)
    ]


def _unit(row: tuple[object, ...]) -> UnitKey:
    gene, sku_id, location_id, pool = row[:4]
    assert isinstance(gene, int)
    return (gene, str(sku_id), str(location_id), str(pool))
