"""One archiving: part after part is written and proved, then its rows leave the database in bounded steps.

It may be killed anywhere. The manifest says what is safely in files; what it names and the database still has is
deleted first of all at the next run. A record that changed after it was written stays, and is archived another time.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tradepost.archive import rules, store
from tradepost.archive.files import Folder
from tradepost.archive.model import ArchiveReport, Done, Facts, Part, Progress, Record
from tradepost.archive.store import START, Name
from tradepost.kernel.ids import GENES, gene_of
from tradepost.kernel.tx import Storage, Tx
from tradepost.trade import ledger

QUOTE_LIFE_MAX_MS = 2 * 86_400_000
"""A quote lives a day at most (settings); as long again for clocks that differ. Until then it could be placed once
more, were the checkout that stands for it gone."""
PART_CHECKOUTS = 1_000
PART_BYTES = 32 << 20
SLICE_ROWS = 1_000
"""Rows deleted in one transaction; a single larger checkout goes alone."""


class Removed(msgspec.Struct, frozen=True):
    """What one transaction deleted: checkouts that stayed because they changed, and the closing rows it wrote."""

    stayed: tuple[str, ...]
    closings: tuple[str, ...]


async def archive(
    db: Storage, folder: Folder, before_ms: int, now_ms: int, progress: Progress
) -> ArchiveReport:
    """Move every finished checkout that nothing happened to since `before_ms` into the folder.

    What was touched within a quote's longest life stays whatever the limit; the report tells the limit that was kept.
    Raises Refusal `archive.damaged`, and `storage.*` when the database does not answer: run it again then.
    """
    before_ms = min(before_ms, now_ms - QUOTE_LIFE_MAX_MS)
    report = ArchiveReport(folder=str(folder.path), before_ms=before_ms)
    for part in folder.unfinished():
        report.resumed += 1
        await _remove(db, folder, part, folder.read(part), now_ms, report)
    total = sum([await db.read(shard, store.count_placed, before_ms) for shard in range(db.shards)])
    seen = 0
    for shard in range(db.shards):
        after: Name = START
        while after[0] < GENES:
            chosen: list[Record] = []
            while after[0] < GENES and len(chosen) < PART_CHECKOUTS and _bytes_of(chosen) < PART_BYTES:
                found, after = await db.read(shard, store.page, after, GENES - 1, before_ms, store.PAGE)
                chosen += await _judged(db, shard, found, before_ms, now_ms, report)
                seen += len(found)
                progress(seen, total)
            if chosen:
                facts = {
                    "shard": shard,
                    "before_ms": before_ms,
                    "written_at_ms": now_ms,
                    "totals": rules.totals_of(chosen),
                }
                part = folder.write(chosen, facts)
                report.bytes_written += (folder.path / part.file).stat().st_size
                await _remove(db, folder, part, chosen, now_ms, report)
    return report


def _bytes_of(records: Sequence[Record]) -> int:
    return sum(
        len(value)
        for record in records
        for rows in record.rows.values()
        for row in rows
        for value in row.values()
        if isinstance(value, bytes)
    )


async def _judged(
    db: Storage, shard: int, found: Sequence[Record], before_ms: int, now_ms: int, report: ArchiveReport
) -> list[Record]:
    """Those that may go; the others are counted with their reason."""
    facts = await db.read(shard, read_facts, found, before_ms, now_ms)
    chosen = []
    for record in found:
        reason = rules.reason_to_stay(record, facts)
        if reason:
            report.keep(reason)
        else:
            chosen.append(record)
    return chosen


def read_facts(tx: Tx, found: Sequence[Record], before_ms: int, now_ms: int) -> Facts:
    """What judging these records needs of their shard."""
    relayed, head = store.relayed(tx)
    logs = [log for record in found for log in store.aggregates(record.rows)]
    return Facts(
        before_ms=before_ms,
        now_ms=now_ms,
        relayed=relayed,
        head=head,
        waiting=frozenset(store.waiting(tx, logs)),
    )


async def _remove(
    db: Storage, folder: Folder, part: Part, records: Sequence[Record], now_ms: int, report: ArchiveReport
) -> None:
    """Delete what a part holds, slice by slice, and enter it as done."""
    stayed: list[str] = []
    closings: list[str] = []
    by_shard: dict[int, list[Record]] = {}
    for record in records:  # the shards may have been split since the part was written
        by_shard.setdefault(db.shard_of(record.gene), []).append(record)
    for shard, owned in sorted(by_shard.items()):
        for piece in slices(owned):
            wanted = [((r.gene, r.buyer_id, r.checkout_id), r.digest()) for r in piece]
            removed: Removed = await db.transact(shard, remove, wanted, now_ms)
            stayed += removed.stayed
            closings += removed.closings
            await _forget_sellers(db, [r for r in piece if r.checkout_id not in removed.stayed])
    folder.finish(Done(number=part.number, stayed=tuple(stayed), closings=tuple(closings)))
    report.add(part, len(stayed))
    for _ in stayed:
        report.keep("changed_meanwhile")


def slices(records: Sequence[Record]) -> list[list[Record]]:
    """Records in pieces of at most 1,000 rows, one at least."""
    pieces: list[list[Record]] = []
    size = SLICE_ROWS
    for record in records:
        rows = sum(len(owned) for owned in record.rows.values())
        if size + rows > SLICE_ROWS:
            pieces.append([])
            size = 0
        pieces[-1].append(record)
        size += rows
    return pieces


def remove(tx: Tx, wanted: Sequence[tuple[Name, str]], at_ms: int) -> Removed:
    """Delete checkouts that still are what was written, in one commit with the journal rows that close them.

    What is gone already was deleted by a run that was killed; what differs stays.
    """
    digests = {name[2]: digest for name, digest in wanted}
    there = store.records(tx, [name for name, _ in wanted], lock=True)
    same = [record for record in there if record.digest() == digests[record.checkout_id]]
    stayed = tuple(record.checkout_id for record in there if record.digest() != digests[record.checkout_id])
    if not same:
        return Removed(stayed, ())
    closing = rules.closings(same, same[0].gene, same[0].checkout_id, at_ms)
    store.delete(tx, [record.rows for record in same])
    ledger.depart(tx, [row for record in same for row in rules.transactions(record.rows)])
    ledger.append(tx, closing)
    return Removed(stayed, tuple(one.transaction_id for one in closing))


async def _forget_sellers(db: Storage, records: Sequence[Record]) -> None:
    """Take the orders off their sellers' lists, which lie on the sellers' shards."""
    by_shard: dict[int, list[tuple[str, str]]] = {}
    for record in records:
        for order in record.rows["orders"]:
            shard = db.shard_of(gene_of(order["seller_id"]))
            by_shard.setdefault(shard, []).append((order["seller_id"], order["order_id"]))
    for shard, orders in sorted(by_shard.items()):
        await db.transact(shard, store.delete_seller_rows, orders)
