"""The only SQL of the stability room: versions of keys and results of drills.

All of it lies on one gene: a few rows a day, which one shard keeps together.
"""

from __future__ import annotations

import msgspec

from tradepost.kernel.tx import Row, Tx

GENE = 0
_VERSION = (
    "SELECT config_key, version, kind, document, author, reason, from_version, at_ms, pushed_at_ms"
    " FROM config_versions"
)
_DRILL = "SELECT switch_name, at_ms, passed, took_ms, author, report FROM drills"


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One write of a key: the whole document, who wrote it and why. `kind` is set or rollback.

    `from_version` is the version a rollback took its document from. `pushed_at_ms` is 0 until the centre has it.
    """

    key: str
    version: int
    kind: str
    document: bytes
    author: str
    reason: str
    from_version: int
    at_ms: int
    pushed_at_ms: int = 0


class DrillRecord(msgspec.Struct, frozen=True, kw_only=True):
    """How a drill of a switch went. `report` is the JSON of what was checked."""

    switch: str
    at_ms: int
    passed: bool
    took_ms: int
    author: str
    report: bytes


def _version(row: Row) -> Version:
    return Version(
        key=row[0],
        version=row[1],
        kind=row[2],
        document=bytes(row[3]),
        author=row[4],
        reason=row[5],
        from_version=row[6],
        at_ms=row[7],
        pushed_at_ms=row[8],
    )


def insert_version(tx: Tx, one: Version) -> None:
    """Add a version. Raises Taken when the key has it already: somebody was faster."""
    tx.execute(
        "INSERT INTO config_versions (gene, config_key, version, kind, document, author, reason, from_version,"
        " at_ms, pushed_at_ms) VALUES (?,?,?,?,?,?,?,?,?,?)",
        (
            GENE,
            one.key,
            one.version,
            one.kind,
            one.document,
            one.author,
            one.reason,
            one.from_version,
            one.at_ms,
            one.pushed_at_ms,
        ),
    )


def note_pushed(tx: Tx, key: str, version: int, at_ms: int) -> None:
    """Write down that the centre has a version."""
    tx.execute(
        "UPDATE config_versions SET pushed_at_ms = ? WHERE gene = ? AND config_key = ? AND version = ?",
        (at_ms, GENE, key, version),
    )


def select_version(tx: Tx, key: str, version: int) -> Version | None:
    """One version of a key."""
    rows = tx.query(_VERSION + " WHERE gene = ? AND config_key = ? AND version = ?", (GENE, key, version))
    return _version(rows[0]) if rows else None


def select_newest(tx: Tx, key: str) -> Version | None:
    """The newest version of a key."""
    rows = tx.query(
        _VERSION + " WHERE gene = ? AND config_key = ? ORDER BY version DESC LIMIT 1", (GENE, key)
    )
    return _version(rows[0]) if rows else None


def select_versions(tx: Tx, key: str, before: int, limit: int) -> list[Version]:
    """Versions of a key below one (0: from the newest), newest first."""
    rows = tx.query(
        _VERSION + " WHERE gene = ? AND config_key = ? AND version < ? ORDER BY version DESC LIMIT ?",
        (GENE, key, before or 1 << 31, limit),
    )
    return [_version(row) for row in rows]


def select_latest(tx: Tx, limit: int) -> list[Version]:
    """The last writes of any key, newest first."""
    rows = tx.query(_VERSION + " WHERE gene = ? ORDER BY at_ms DESC LIMIT ?", (GENE, limit))
    return [_version(row) for row in rows]


def select_heads(tx: Tx) -> list[Version]:
    """The newest version of every key."""
    heads = tx.query(
        "SELECT config_key, MAX(version) FROM config_versions WHERE gene = ? GROUP BY config_key", (GENE,)
    )
    rows = tx.query_keys(
        _VERSION + " WHERE gene = ? AND {keys}",
        ("config_key", "version"),
        [(row[0], row[1]) for row in heads],
        (GENE,),
    )
    return [_version(row) for row in rows]


def insert_drill(tx: Tx, one: DrillRecord) -> None:
    """Add the result of a drill. Raises Taken for a second one of a switch in one millisecond."""
    tx.execute(
        "INSERT INTO drills (gene, switch_name, at_ms, passed, took_ms, author, report) VALUES (?,?,?,?,?,?,?)",
        (GENE, one.switch, one.at_ms, int(one.passed), one.took_ms, one.author, one.report),
    )


def select_drills(tx: Tx, switch: str, limit: int) -> list[DrillRecord]:
    """The last drills of a switch, newest first."""
    rows = tx.query(
        _DRILL + " WHERE gene = ? AND switch_name = ? ORDER BY at_ms DESC LIMIT ?", (GENE, switch, limit)
    )
    return [
        DrillRecord(
            switch=row[0],
            at_ms=row[1],
            passed=bool(row[2]),
            took_ms=row[3],
            author=row[4],
            report=bytes(row[5]),
        )
        for row in rows
    ]
