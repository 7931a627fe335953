"""The SQL of stock. The gene comes first in every key; nothing here decides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.kernel.tx import Row, Tx
from tradepost.trade.inventory.claims import Delta, MovementValues
from tradepost.trade.inventory.model import HELD, RESERVED, Deadline, HoldLine, Level, MovementRow
from tradepost.trade.inventory.rules import LimitKey, UnitKey

LINE_COLUMNS = (
    "gene, owner_id, sku_id, location_id, pool, checkout_id, buyer_id, state,"
    " quantity, open_quantity, shipped, returned, limited, at_ms"
)
LINES_BY_OWNER = f"SELECT {LINE_COLUMNS} FROM holds WHERE {{keys}}"
UNITS_BY_SKU = (
    "SELECT gene, sku_id, location_id, pool, on_hand, held, reserved, version FROM stock WHERE {keys}"
)
MOVEMENTS_BY_REFERENCE = (
    "SELECT sku_id, reference, kind, location_id, pool, on_hand, held, reserved, at_ms"
    " FROM movements WHERE {keys}"
)
LIMITS_BY_BUYER = "SELECT gene, sku_id, buyer_id, taken FROM buyer_limits WHERE {keys}"
_TAKE = (
    "UPDATE stock SET held = held + ? WHERE gene = ? AND sku_id = ? AND location_id = ? AND pool = ?"
    " AND on_hand - held - reserved >= ?"
)
_SHIFT = (
    "UPDATE stock SET on_hand = on_hand + ?, held = held + ?, reserved = reserved + ?, version = version + ?"
    " WHERE gene = ? AND sku_id = ? AND location_id = ? AND pool = ?"
    " AND held + ? >= 0 AND reserved + ? >= 0 AND on_hand - held - reserved + ? >= 0"
)
_INSERT_UNIT = (
    "INSERT INTO stock (gene, sku_id, location_id, pool, on_hand, held, reserved, version)"
    " VALUES (?,?,?,?,?,0,0,1)"
)
_INSERT_LINE = f"INSERT INTO holds ({LINE_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
_INSERT_MOVEMENT = (
    "INSERT INTO movements (gene, sku_id, reference, kind, location_id, pool, on_hand, held, reserved, at_ms)"
    " VALUES (?,?,?,?,?,?,?,?,?,?)"
)
_UPDATE_LINE = (
    "UPDATE holds SET state = ?, open_quantity = ?, shipped = ?, returned = ?, limited = ?"
    " WHERE gene = ? AND owner_id = ? AND sku_id = ? AND location_id = ? AND pool = ?"
    " AND state = ? AND open_quantity = ? AND returned = ?"
)
_RESERVE_LINE = (
    f"UPDATE holds SET state = '{RESERVED}' WHERE gene = ? AND owner_id = ? AND sku_id = ? AND location_id = ?"
    f" AND pool = ? AND state = '{HELD}' AND open_quantity = ? AND returned = ?"
)
_UPDATE_LIMIT = (
    "UPDATE buyer_limits SET taken = ? WHERE gene = ? AND sku_id = ? AND buyer_id = ? AND taken = ?"
)
_INSERT_LIMIT = "INSERT INTO buyer_limits (gene, sku_id, buyer_id, taken) VALUES (?,?,?,?)"
_INSERT_DEADLINE = (
    "INSERT INTO hold_deadlines (gene, checkout_id, buyer_id, owners, expires_at_ms) VALUES (?,?,?,?,?)"
)
_DEADLINES_DUE = (
    "SELECT gene, checkout_id, buyer_id, owners, expires_at_ms FROM hold_deadlines"
    " WHERE expires_at_ms <= ? ORDER BY expires_at_ms, gene, checkout_id LIMIT ?"
)
_DELETE_DEADLINE = "DELETE FROM hold_deadlines WHERE gene = ? AND checkout_id = ?"
_MOVEMENTS_PAGE = (
    "SELECT sku_id, reference, kind, location_id, pool, on_hand, held, reserved, at_ms FROM movements"
    " WHERE gene = ? AND reference >= ? AND reference <= ? AND sku_id = ?"
    " AND (reference > ? OR (reference = ? AND kind > ?))"
    " ORDER BY reference, kind, location_id, pool LIMIT ?"
)
_SPANS = "SELECT span FROM movement_spans WHERE gene = ? AND sku_id = ? AND span >= ? ORDER BY span LIMIT ?"
_KNOWN_SPANS = "SELECT gene, sku_id, span FROM movement_spans WHERE {keys}"
_INSERT_SPAN = "INSERT INTO movement_spans (gene, sku_id, span) VALUES (?,?,?)"
SPAN_LETTERS = 11
"""How much of a reference names its span: of an id, its kind and some eight seconds."""
_LAST_LETTER = "\U0010ffff"

_SPAN = "WHERE gene >= ? AND gene <= ?"
_STOCK = f"SELECT gene, sku_id, location_id, pool, on_hand, held, reserved FROM stock {_SPAN}"
_MOVED = (
    "SELECT gene, sku_id, location_id, pool, SUM(on_hand), SUM(held), SUM(reserved), COUNT(*)"
    f" FROM movements {_SPAN} GROUP BY gene, sku_id, location_id, pool"
)
_PROMISED = (
    "SELECT gene, sku_id, location_id, pool, state, SUM(open_quantity)"
    f" FROM holds {_SPAN} AND open_quantity > 0 GROUP BY gene, sku_id, location_id, pool, state"
)
_BROKEN = (
    f"SELECT gene, owner_id, sku_id FROM holds {_SPAN} AND (open_quantity < 0 OR shipped < returned"
    " OR returned < 0 OR open_quantity + shipped > quantity OR limited < 0 OR limited > quantity"
    " OR (open_quantity > 0 AND state NOT IN ('HELD', 'RESERVED'))"
    " OR (open_quantity = 0 AND state IN ('HELD', 'RESERVED')))"
)
_LIMITED = (
    f"SELECT gene, sku_id, buyer_id, SUM(limited) FROM holds {_SPAN} AND limited > 0"
    " GROUP BY gene, sku_id, buyer_id"
)
_LIMITS = f"SELECT gene, sku_id, buyer_id, taken FROM buyer_limits {_SPAN} AND taken <> 0"
_OVERDUE = f"SELECT gene, checkout_id, expires_at_ms FROM hold_deadlines {_SPAN} AND expires_at_ms < ?"

_owners = msgspec.json.Decoder(tuple[str, ...]).decode
_encode = msgspec.json.Encoder().encode


def lines_of(tx: Tx, keys: Sequence[tuple[int, str]]) -> list[HoldLine]:
    """The holds, tombstones too, of (gene, owner_id) pairs."""
    return [HoldLine(*row) for row in tx.query_keys(LINES_BY_OWNER, ("gene", "owner_id"), keys)]


def units_of(tx: Tx, keys: Sequence[tuple[int, str]]) -> dict[UnitKey, Level]:
    """The stock units of (gene, sku_id) pairs; nobody else changes them in this transaction."""
    rows = tx.query_keys(UNITS_BY_SKU, ("gene", "sku_id"), keys, lock=True)
    return {(row[0], row[1], row[2], row[3]): Level(*row[1:]) for row in rows}


def free_units(tx: Tx, keys: Sequence[tuple[int, str]]) -> list[tuple[int, str, str, str, int]]:
    """(gene, sku_id, location_id, pool, available) of (gene, sku_id) pairs: all a hold needs to know, and its alone."""
    rows = tx.query_keys(UNITS_BY_SKU, ("gene", "sku_id"), keys, lock=True)
    return [(r[0], r[1], r[2], r[3], r[4] - r[5] - r[6]) for r in rows]


def movements_of(tx: Tx, keys: Sequence[tuple[int, str, str]]) -> list[MovementRow]:
    """What was recorded under (gene, sku_id, reference) keys."""
    rows = tx.query_keys(MOVEMENTS_BY_REFERENCE, ("gene", "sku_id", "reference"), keys)
    return [MovementRow(*row) for row in rows]


def movement_page(tx: Tx, gene: int, sku_id: str, after: tuple[str, str], limit: int) -> list[MovementRow]:
    """Movements of a SKU after a (reference, kind), in that order.

    The log lies in order of reference, whatever the SKU; the spans tell where in it this SKU moved.
    """
    reference, kind = after
    spans = tx.query(_SPANS, (gene, sku_id, reference[:SPAN_LETTERS], limit + 1))
    found: list[MovementRow] = []
    for (span,) in spans:
        until = span + _LAST_LETTER if len(span) == SPAN_LETTERS else span
        rows = tx.query(
            _MOVEMENTS_PAGE, (gene, span, until, sku_id, reference, reference, kind, limit - len(found))
        )
        found += [MovementRow(*row) for row in rows]
        if len(found) == limit:
            break
    return found


def taken_of(tx: Tx, keys: Sequence[LimitKey]) -> dict[LimitKey, int]:
    """What buyers took of limited SKUs; absent means never."""
    rows = tx.query_keys(LIMITS_BY_BUYER, ("gene", "sku_id", "buyer_id"), keys)
    return {(row[0], row[1], row[2]): row[3] for row in rows}


def take(tx: Tx, spent: Mapping[UnitKey, int]) -> None:
    """Count pieces as held, in order of key, so that writers lock rows in one order.

    Raises Refusal `inventory.contended` when another writer was faster: the caller's work rolls back.
    """
    rows = [(quantity, *unit, quantity) for unit, quantity in sorted(spent.items())]
    _expect(tx.execute_many(_TAKE, rows), len(rows))


def shift(tx: Tx, deltas: Mapping[UnitKey, Delta]) -> None:
    """Add to the balances of stock units that exist, in order of key. Raises Refusal `inventory.contended`."""
    rows = [
        (d[0], d[1], d[2], 1 if d[0] else 0, *unit, d[1], d[2], d[0] - d[1] - d[2])
        for unit, d in sorted(deltas.items())
        if d != (0, 0, 0)
    ]
    _expect(tx.execute_many(_SHIFT, rows), len(rows))


def insert_units(tx: Tx, units: Mapping[UnitKey, int]) -> None:
    """New stock units with this many pieces on hand."""
    tx.execute_many(_INSERT_UNIT, [(*unit, on_hand) for unit, on_hand in sorted(units.items())])


def insert_lines(tx: Tx, lines: Iterable[HoldLine]) -> None:
    """New holds or tombstones."""
    tx.execute_many(_INSERT_LINE, [msgspec.structs.astuple(line) for line in lines])


def insert_movements(tx: Tx, rows: Sequence[MovementValues]) -> None:
    """Append to the movement log, and note the spans in which a SKU had not moved yet.

    A key that is there already raises `Taken`.
    """
    tx.execute_many(_INSERT_MOVEMENT, rows)
    spans = {(row[0], row[1], row[2][:SPAN_LETTERS]): None for row in rows}
    if spans:
        known = set(tx.query_keys(_KNOWN_SPANS, ("gene", "sku_id", "span"), list(spans)))
        tx.execute_many(_INSERT_SPAN, [span for span in spans if span not in known])


def update_lines(tx: Tx, changed: Sequence[tuple[HoldLine, HoldLine]]) -> None:
    """Hold rows from what they were to what they are. Raises Refusal `inventory.contended`."""
    rows = [
        (
            *(new.state, new.open_quantity, new.shipped, new.returned, new.limited),
            *(old.gene, old.owner_id, old.sku_id, old.location_id, old.pool),
            *(old.state, old.open_quantity, old.returned),
        )
        for old, new in changed
    ]
    _expect(tx.execute_many(_UPDATE_LINE, rows), len(rows))


def reserve_lines(tx: Tx, lines: Sequence[HoldLine]) -> None:
    """Hold rows, as they were read, from held to reserved. Raises Refusal `inventory.contended`."""
    rows = [(x.gene, x.owner_id, x.sku_id, x.location_id, x.pool, x.open_quantity, x.returned) for x in lines]
    _expect(tx.execute_many(_RESERVE_LINE, rows), len(rows))


def change_limits(tx: Tx, changes: Mapping[LimitKey, int], taken: Mapping[LimitKey, int]) -> None:
    """Add to what buyers took. Raises Refusal `inventory.contended` when it changed since `taken` was read."""
    old = [(taken[key] + change, *key, taken[key]) for key, change in sorted(changes.items()) if key in taken]
    _expect(tx.execute_many(_UPDATE_LIMIT, old), len(old))
    tx.execute_many(
        _INSERT_LIMIT, [(*key, change) for key, change in sorted(changes.items()) if key not in taken]
    )


def insert_deadlines(tx: Tx, deadlines: Iterable[Deadline]) -> None:
    """Moments at which the reaper asks for a checkout."""
    rows = [(d.gene, d.checkout_id, d.buyer_id, _encode(d.owners), d.expires_at_ms) for d in deadlines]
    tx.execute_many(_INSERT_DEADLINE, rows)


def deadlines_due(tx: Tx, now_ms: int, limit: int) -> list[Deadline]:
    """What has fallen due on this shard, oldest first."""
    rows = tx.query(_DEADLINES_DUE, (now_ms, limit))
    return [Deadline(row[0], row[1], row[2], _owners(row[3]), row[4]) for row in rows]


def delete_deadlines(tx: Tx, keys: Iterable[tuple[int, str]]) -> None:
    """Forget deadlines; those that are gone already stay gone."""
    tx.execute_many(_DELETE_DEADLINE, list(keys))


Span = tuple[int, int]
"""(first gene, last gene), both looked at."""
Balance = tuple[int, int, int]
"""(on_hand, held, reserved)."""


def balances_in(tx: Tx, span: Span) -> dict[UnitKey, Balance]:
    """The balances of every stock unit."""
    return {_unit(row): (int(row[4]), int(row[5]), int(row[6])) for row in tx.query(_STOCK, span)}


def moved_in(tx: Tx, span: Span) -> dict[UnitKey, tuple[Balance, int]]:
    """The sums of movements by stock unit, and how many they are."""
    rows = tx.query(_MOVED, span)
    return {_unit(row): ((int(row[4]), int(row[5]), int(row[6])), int(row[7])) for row in rows}


def promised_in(tx: Tx, span: Span) -> dict[UnitKey, tuple[int, int]]:
    """(held, reserved) by stock unit, from the open holds."""
    found: dict[UnitKey, tuple[int, int]] = {}
    for row in tx.query(_PROMISED, span):
        held, reserved = found.get(_unit(row), (0, 0))
        pieces = int(row[5])
        found[_unit(row)] = (held, reserved + pieces) if row[4] == RESERVED else (held + pieces, reserved)
    return found


def broken_in(tx: Tx, span: Span) -> list[tuple[str, str]]:
    """(owner_id, sku_id) of holds whose quantities cannot be."""
    return [(row[1], row[2]) for row in tx.query(_BROKEN, span)]


def limits_in(tx: Tx, span: Span) -> tuple[dict[LimitKey, int], dict[LimitKey, int]]:
    """What buyers took of limited SKUs: (counted from the holds, as kept)."""
    counted = {(row[0], row[1], row[2]): int(row[3]) for row in tx.query(_LIMITED, span)}
    return counted, {(row[0], row[1], row[2]): int(row[3]) for row in tx.query(_LIMITS, span)}


def overdue_in(tx: Tx, span: Span, before_ms: int) -> list[tuple[str, int]]:
    """(checkout_id, expires_at_ms) of deadlines that passed before a moment."""
    return [(row[1], row[2]) for row in tx.query(_OVERDUE, (*span, before_ms))]


def _unit(row: Row) -> UnitKey:
    return (row[0], row[1], row[2], row[3])


def _expect(matched: int, rows: int) -> None:
    if matched != rows:
        raise Refusal(
            "inventory.contended",
            f"{rows - matched} of {rows} rows were changed by another writer.",
            extra={"retry_after_s": 1},
        )
