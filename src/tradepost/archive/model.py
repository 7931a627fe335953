"""What goes into the archive: records, the parts that hold them, and the codes of refusal."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import msgspec

from tradepost.kernel.errors import Kind, declare_problems

Rows = dict[str, list[dict[str, Any]]]
"""Rows by table, each as column to value; the value of a blob is bytes."""
Progress = Callable[[int, int], None]
"""Told (checkouts dealt with, of how many at most)."""

declare_problems(
    {
        "archive.date_invalid": (
            Kind.INVALID,
            "Not a day before which orders can be archived",
            "Give a past day as 2026-01-31, or set retention.orders_days.",
        ),
        "archive.in_use": (
            Kind.CONFLICT,
            "Another archiving writes this folder",
            "Wait until it ends, or name another folder.",
        ),
        "archive.order_unknown": (
            Kind.NOT_FOUND,
            "The archive does not hold this order",
            "Look in the database (tradepost order show without --archive), or name another folder.",
        ),
        "archive.damaged": (
            Kind.INTERNAL,
            "The archive does not hold what its manifest says",
            "Nothing was deleted because of it. Restore the named file from a copy, or archive into a new folder.",
        ),
    }
)

_pack = msgspec.msgpack.Encoder(order="sorted").encode


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One checkout with everything that hangs on it, as its rows lay in the database."""

    checkout_id: str
    buyer_id: str
    gene: int
    rows: Rows

    def digest(self) -> str:
        """The same for the same rows, whatever their order."""
        tables = {name: sorted(map(_pack, rows)) for name, rows in self.rows.items() if rows}
        return hashlib.blake2b(_pack(tables), digest_size=16).hexdigest()


class Part(msgspec.Struct, frozen=True, kw_only=True, tag="part", tag_field="kind"):
    """A line of the manifest: a file that was written, synced and read back. All its records are of one shard."""

    number: int
    file: str
    shard: int
    before_ms: int
    written_at_ms: int
    checkouts: int
    rows: dict[str, int]
    totals: dict[str, int]
    sha256: str
    records_digest: str


class Done(msgspec.Struct, frozen=True, kw_only=True, tag="done", tag_field="kind"):
    """A line of the manifest: what a part holds is gone from the database, but for `stayed`, which changed meanwhile.

    `closings` are the journal rows that carry the balances of what left.
    """

    number: int
    stayed: tuple[str, ...] = ()
    closings: tuple[str, ...] = ()


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What judging a record needs beside its rows: the limit, how far events were passed on, who still waits."""

    before_ms: int
    now_ms: int
    relayed: int
    head: int
    waiting: frozenset[str]


class ArchiveReport(msgspec.Struct, kw_only=True):
    """What one run did. Counts are rows or checkouts, `totals` minor units of orders by currency.

    `kept` counts checkouts from before the limit that stay, by reason; `resumed` parts of an earlier run.
    """

    folder: str
    before_ms: int
    parts: int = 0
    resumed: int = 0
    checkouts: int = 0
    rows: dict[str, int] = msgspec.field(default_factory=dict)
    totals: dict[str, int] = msgspec.field(default_factory=dict)
    kept: dict[str, int] = msgspec.field(default_factory=dict)
    bytes_written: int = 0

    def keep(self, reason: str) -> None:
        """Count a checkout that stays."""
        self.kept[reason] = self.kept.get(reason, 0) + 1

    def add(self, part: Part, stayed: int) -> None:
        """Count a part whose records left the database."""
        self.parts += 1
        self.checkouts += part.checkouts - stayed
        for mine, its in ((self.rows, part.rows), (self.totals, part.totals)):
            for name, number in its.items():
                mine[name] = mine.get(name, 0) + number
