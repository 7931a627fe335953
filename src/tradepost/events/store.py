"""SQL of the events room: the stream, the relay's cursor and lease, deferred deliveries, kept answers."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tradepost.kernel.events import EventRow
from tradepost.kernel.tx import Row, Tx, marks

EVENT_COLUMNS = "gene, aggregate_id, version, type, at_ms, payload, buyer_id, seller_id, sequence"
WAITING = "WAITING"
QUEUED = "QUEUED"
DEAD = "DEAD"

Key = tuple[int, str, str, int]
"""A delivery: (gene of the aggregate, consumer, aggregate id, version)."""


class Stretch(msgspec.Struct, frozen=True):
    """A piece of a shard's stream up to `upto`: which of the wanted types occur in it."""

    types: frozenset[str]
    upto: int


class Delivery(msgspec.Struct, frozen=True):
    """One event that one consumer still owes: waiting for its moment, queued behind another, or dead."""

    gene: int
    consumer: str
    aggregate_id: str
    version: int
    state: str
    attempts: int
    next_at_ms: int
    error: str
    at_ms: int

    @property
    def key(self) -> Key:
        """Its primary key."""
        return (self.gene, self.consumer, self.aggregate_id, self.version)


def head(tx: Tx) -> int:
    """The sequence of the newest event on this shard, 0 when there is none."""
    newest: int = tx.query("SELECT COALESCE(MAX(sequence), 0) FROM events")[0][0]
    return newest


def look_ahead(tx: Tx, after: int, types: Sequence[str], span: int, limit: int) -> Stretch:
    """The stretch behind a sequence with at most `limit` events of these types in at most `span` numbers."""
    upto = min(head(tx), after + span)
    if upto <= after or not types:
        return Stretch(frozenset(), max(after, upto))
    sql = (
        f"SELECT type, sequence FROM events WHERE sequence > ? AND sequence <= ? AND type IN ({marks(len(types))})"
        " ORDER BY sequence LIMIT ?"
    )
    rows = tx.query(sql, [after, upto, *types, limit])
    return Stretch(frozenset(row[0] for row in rows), rows[-1][1] if len(rows) == limit else upto)


def scan_ahead(tx: Tx, after: int, types: Sequence[str], span: int, limit: int) -> tuple[list[EventRow], int]:
    """The events of the stretch that `look_ahead` would tell of, and its end: one read where all of them go on."""
    upto = min(head(tx), after + span)
    if upto <= after or not types:
        return [], max(after, upto)
    rows = scan(tx, after, upto, limit, types)
    return rows, rows[-1].sequence if len(rows) == limit else upto


def scan(
    tx: Tx,
    after: int,
    upto: int,
    limit: int,
    types: Sequence[str] = (),
    buyer_id: str = "",
    seller_id: str = "",
) -> list[EventRow]:
    """Events with after < sequence <= upto that fit every filter given, in order, at most `limit`."""
    sql = f"SELECT {EVENT_COLUMNS} FROM events WHERE sequence > ? AND sequence <= ?"
    params: list[str | int] = [after, upto]
    if types:
        sql += f" AND type IN ({marks(len(types))})"
        params += types
    if buyer_id:
        sql += " AND buyer_id = ?"
        params.append(buyer_id)
    if seller_id:
        sql += " AND seller_id = ?"
        params.append(seller_id)
    return [EventRow(*row) for row in tx.query(sql + " ORDER BY sequence LIMIT ?", [*params, limit])]


def aggregate_rows(tx: Tx, gene: int, aggregate_id: str) -> list[EventRow]:
    """Every event of one aggregate in order of version."""
    sql = f"SELECT {EVENT_COLUMNS} FROM events WHERE gene = ? AND aggregate_id = ? ORDER BY version"
    return [EventRow(*row) for row in tx.query(sql, (gene, aggregate_id))]


def events_by_key(tx: Tx, keys: Sequence[tuple[int, str, int]]) -> dict[tuple[int, str, int], EventRow]:
    """Events by (gene, aggregate id, version); a missing one is left out."""
    sql = f"SELECT {EVENT_COLUMNS} FROM events WHERE {{keys}}"
    rows = [EventRow(*row) for row in tx.query_keys(sql, ("gene", "aggregate_id", "version"), keys)]
    return {(row.gene, row.aggregate_id, row.version): row for row in rows}


def take_lease(tx: Tx, relay: str, owner: str, now_ms: int, until_ms: int, dead_ms: int = 0) -> int | None:
    """The relay's cursor when this owner now holds the shard's lease; None while somebody else does.

    A foreign lease that ends at `dead_ms` is nobody's any more, though that moment is still to come.
    """
    rows = tx.query(
        "SELECT sequence, owner, lease_until_ms FROM relay_cursors WHERE shard = ? AND relay = ?",
        (tx.shard, relay),
    )
    if not rows:
        tx.execute(
            "INSERT INTO relay_cursors (shard, relay, sequence, owner, lease_until_ms) VALUES (?,?,0,?,?)",
            (tx.shard, relay, owner, until_ms),
        )
        return 0
    sequence: int = rows[0][0]
    holder, held_until_ms = rows[0][1], rows[0][2]
    if holder == owner and held_until_ms == until_ms:
        return sequence
    if holder != owner and held_until_ms > now_ms and held_until_ms != dead_ms:
        return None
    taken = tx.execute(
        "UPDATE relay_cursors SET owner = ?, lease_until_ms = ?"
        " WHERE shard = ? AND relay = ? AND owner = ? AND lease_until_ms = ?",
        (owner, until_ms, tx.shard, relay, holder, held_until_ms),
    )
    return sequence if taken else None


def advance(tx: Tx, relay: str, owner: str, sequence: int, until_ms: int) -> bool:
    """Move the cursor and prolong the lease; False when the lease went to somebody else."""
    return bool(
        tx.execute(
            "UPDATE relay_cursors SET sequence = ?, lease_until_ms = ? WHERE shard = ? AND relay = ? AND owner = ?",
            (sequence, until_ms, tx.shard, relay, owner),
        )
    )


def free_lease(tx: Tx, relay: str, owner: str, sequence: int) -> None:
    """Give the lease back with the cursor where it stands, so that another process need not wait."""
    tx.execute(
        "UPDATE relay_cursors SET sequence = ?, lease_until_ms = 0, owner = ''"
        " WHERE shard = ? AND relay = ? AND owner = ?",
        (sequence, tx.shard, relay, owner),
    )


_DELIVERY = "gene, consumer, aggregate_id, version, state, attempts, next_at_ms, error, at_ms"


def open_aggregates(tx: Tx) -> list[tuple[str, str]]:
    """(consumer, aggregate id) of everything that waits on this shard."""
    sql = "SELECT DISTINCT consumer, aggregate_id FROM deliveries WHERE state IN (?,?)"
    return [(row[0], row[1]) for row in tx.query(sql, (WAITING, QUEUED))]


def owed_aggregates(tx: Tx) -> set[str]:
    """Aggregates of which a delivery waits or is a dead letter that somebody may replay."""
    return {row[0] for row in tx.query("SELECT DISTINCT aggregate_id FROM deliveries")}


def open_among(tx: Tx, keys: Sequence[tuple[int, str, str]]) -> list[str]:
    """The aggregates of which something waits, among keys of (gene, consumer, aggregate id)."""
    sql = "SELECT aggregate_id FROM deliveries WHERE state <> ? AND {keys}"
    return [row[0] for row in tx.query_keys(sql, ("gene", "consumer", "aggregate_id"), keys, (DEAD,))]


def put_deliveries(tx: Tx, wanted: Sequence[Delivery]) -> int:
    """Insert deliveries; the first of each aggregate may wait, the rest queue behind. Known ones stay as they are."""
    keys = list({(d.gene, d.consumer, d.aggregate_id) for d in wanted})
    sql = "SELECT consumer, aggregate_id, version, state FROM deliveries WHERE {keys}"
    known: set[Row] = set()
    busy: set[Row] = set()
    for consumer, aggregate_id, version, state in tx.query_keys(
        sql, ("gene", "consumer", "aggregate_id"), keys, lock=True
    ):
        known.add((consumer, aggregate_id, version))
        if state != DEAD:
            busy.add((consumer, aggregate_id))
    rows = []
    for d in wanted:
        if (d.consumer, d.aggregate_id, d.version) not in known:
            state = QUEUED if (d.consumer, d.aggregate_id) in busy else WAITING
            busy.add((d.consumer, d.aggregate_id))
            rows.append((*d.key, state, d.attempts, d.next_at_ms, d.error, d.at_ms))
    return tx.execute_many(f"INSERT INTO deliveries ({_DELIVERY}) VALUES ({marks(9)})", rows)


def due_aggregates(tx: Tx, now_ms: int, limit: int) -> list[tuple[int, str, str]]:
    """(gene, consumer, aggregate id) whose first delivery has fallen due, longest waiting first."""
    sql = (
        "SELECT gene, consumer, aggregate_id FROM deliveries"
        " WHERE state = ? AND next_at_ms <= ? ORDER BY next_at_ms LIMIT ?"
    )
    return list(dict.fromkeys((row[0], row[1], row[2]) for row in tx.query(sql, (WAITING, now_ms, limit))))


def deliveries_of(tx: Tx, gene: int, consumer: str, aggregate_id: str, limit: int) -> list[Delivery]:
    """What one consumer owes of one aggregate, in order of version, dead letters left out."""
    sql = (
        f"SELECT {_DELIVERY} FROM deliveries WHERE gene = ? AND consumer = ? AND aggregate_id = ?"
        " AND state <> ? ORDER BY version LIMIT ?"
    )
    return [Delivery(*row) for row in tx.query(sql, (gene, consumer, aggregate_id, DEAD, limit))]


def owed(
    tx: Tx, gene: int, consumer: str, aggregate_id: str, limit: int
) -> list[tuple[Delivery, EventRow | None]]:
    """`deliveries_of` with their events."""
    found = deliveries_of(tx, gene, consumer, aggregate_id, limit)
    events = events_by_key(tx, [(d.gene, d.aggregate_id, d.version) for d in found])
    return [(d, events.get((d.gene, d.aggregate_id, d.version))) for d in found]


def settle(tx: Tx, done: Sequence[Key], failed: Delivery | None, now_ms: int) -> bool:
    """Remove what was delivered, note what failed, let the next in line go; True while something still waits."""
    where = " WHERE gene = ? AND consumer = ? AND aggregate_id = ? AND version = ?"
    tx.execute_many("DELETE FROM deliveries" + where, done)
    if failed is not None:
        tx.execute(
            "UPDATE deliveries SET state = ?, attempts = ?, next_at_ms = ?, error = ?" + where,
            (failed.state, failed.attempts, failed.next_at_ms, failed.error, *failed.key),
        )
    line = failed.key[:3] if failed is not None else done[0][:3]
    left = deliveries_of(tx, *line, limit=1)
    if left and left[0].state == QUEUED:
        tx.execute("UPDATE deliveries SET state = ?, next_at_ms = ?" + where, (WAITING, now_ms, *left[0].key))
    return bool(left)


def dead_rows(tx: Tx, limit: int) -> list[Delivery]:
    """Dead letters of this shard, those that failed last first."""
    sql = f"SELECT {_DELIVERY} FROM deliveries WHERE state = ? ORDER BY next_at_ms DESC LIMIT ?"
    return [Delivery(*row) for row in tx.query(sql, (DEAD, limit))]


def revive(tx: Tx, key: Key, now_ms: int) -> bool:
    """Let a dead letter be tried again from the first attempt; False when there is none of this key."""
    sql = (
        "UPDATE deliveries SET state = ?, attempts = 0, next_at_ms = ?"
        " WHERE gene = ? AND consumer = ? AND aggregate_id = ? AND version = ? AND state = ?"
    )
    return bool(tx.execute(sql, (WAITING, now_ms, *key, DEAD)))


def old_idempotency(tx: Tx, gene: int, before_ms: int, limit: int) -> list[Row]:
    """Keys of one gene's kept answers from before a moment."""
    sql = "SELECT gene, scope, idem_key FROM idempotency WHERE gene = ? AND at_ms < ? LIMIT ?"
    return tx.query(sql, (gene, before_ms, limit))


def drop_idempotency(tx: Tx, keys: Sequence[Row]) -> int:
    """Delete kept answers by key."""
    return tx.execute_many("DELETE FROM idempotency WHERE gene = ? AND scope = ? AND idem_key = ?", keys)


def kept_rows(tx: Tx, keys: Sequence[tuple[int, str, str]]) -> list[Row]:
    """(scope, key, request hash, status, response, at_ms) of the kept answers among these keys."""
    sql = "SELECT scope, idem_key, request_hash, status, response, at_ms FROM idempotency WHERE {keys}"
    return tx.query_keys(sql, ("gene", "scope", "idem_key"), keys)


def keep_rows(tx: Tx, rows: Sequence[Row]) -> int:
    """Insert kept answers. Raises Taken when one of them is already there."""
    sql = (
        "INSERT INTO idempotency (gene, scope, idem_key, request_hash, status, response, at_ms)"
        " VALUES (?,?,?,?,?,?,?)"
    )
    return tx.execute_many(sql, rows)


def relay_position(tx: Tx, relay: str) -> tuple[int, int]:
    """The relay's written cursor and the end of its lease, zeros before the first lease."""
    rows = tx.query(
        "SELECT sequence, lease_until_ms FROM relay_cursors WHERE shard = ? AND relay = ?", (tx.shard, relay)
    )
    return (rows[0][0], rows[0][1]) if rows else (0, 0)


def cursors(tx: Tx, relays: Sequence[str]) -> list[tuple[str, int]]:
    """(relay, written cursor) of those of this shard's relays that ever ran."""
    sql = "SELECT relay, sequence FROM relay_cursors WHERE shard = ? AND relay IN ({in})"
    return [(row[0], row[1]) for row in tx.query_in(sql, relays, (tx.shard,))]


def ages(tx: Tx, after: int, upto: int, limit: int) -> list[Row]:
    """(gene, aggregate id, version, sequence, at_ms) of events with after < sequence <= upto, in order."""
    sql = (
        "SELECT gene, aggregate_id, version, sequence, at_ms FROM events WHERE sequence > ? AND sequence <= ?"
        " ORDER BY sequence LIMIT ?"
    )
    return tx.query(sql, (after, upto, limit))


def drop_events(tx: Tx, rows: Sequence[Row]) -> int:
    """Delete events given as (gene, aggregate id, version, ...)."""
    sql = "DELETE FROM events WHERE gene = ? AND aggregate_id = ? AND version = ?"
    return tx.execute_many(sql, [row[:3] for row in rows])


def count_deliveries(tx: Tx, states: Sequence[str], limit: int) -> int:
    """How many deliveries of this shard are in one of these states; counting ends at `limit`."""
    sql = f"SELECT 1 FROM deliveries WHERE state IN ({marks(len(states))}) LIMIT ?"
    return len(tx.query(sql, (*states, limit)))


def beat(tx: Tx, relay: str) -> None:
    """Write one row: what a database that cannot commit refuses."""
    if not tx.execute(
        "UPDATE relay_cursors SET lease_until_ms = lease_until_ms + 1 WHERE shard = ? AND relay = ?",
        (tx.shard, relay),
    ):
        tx.execute(
            "INSERT INTO relay_cursors (shard, relay, sequence, owner, lease_until_ms) VALUES (?,?,0,'',0)",
            (tx.shard, relay),
        )
