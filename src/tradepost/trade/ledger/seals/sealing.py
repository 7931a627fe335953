"""The work of sealing: read a shard's journal page by page, then write the seals of the days that are long over."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tradepost.kernel.events import Sweep
from tradepost.kernel.tx import Storage, Tx
from tradepost.kernel.world import World
from tradepost.trade.ledger import store as journal
from tradepost.trade.ledger.model import Transaction
from tradepost.trade.ledger.seals import rules, store
from tradepost.trade.ledger.seals.rules import DAY_MS, Key, Tally

AFTER_DAYS = 7
"""A day is sealed when it is over for so long: what is posted for an earlier day later than that is a finding."""
EVERY_MS = 3_600_000


def page_tallies(tx: Tx, after: tuple[str, int]) -> tuple[dict[Key, Tally], tuple[str, int] | None]:
    """The tallies of a page of the journal behind a (transaction id, gene), and where the next begins."""
    rows = journal.page(tx, after)
    following = (rows[-1].transaction_id, rows[-1].gene) if len(rows) == journal.PAGE_ROWS else None
    return rules.tally(rows), following


async def seal_shard(db: Storage, shard: int, through: int, now_ms: int) -> int:
    """Seal every day of a shard up to one; how many seals were written. Safe to repeat and to break off."""
    found: dict[Key, Tally] = {}
    after: tuple[str, int] | None = ("", -1)
    while after is not None:
        tallies, after = await db.read(shard, page_tallies, after)
        for key, tally in tallies.items():
            if key[1] <= through:
                found[key] = found.get(key, Tally()).plus(tally)
    written: int = await db.transact(shard, write_seals, found, through, now_ms)
    return written


def write_seals(tx: Tx, found: dict[Key, Tally], through: int, at_ms: int) -> int:
    """Write the seals of these tallies; what left for the archive counts as there."""
    gone = store.departed(tx)
    whole = {key: tally.plus(gone.get(key, Tally())) for key, tally in found.items()}
    whole |= {key: tally for key, tally in gone.items() if key not in found and key[1] <= through}
    fresh = rules.next_seals(store.all_seals(tx), whole, through, at_ms)
    if fresh:
        store.insert_seals(tx, fresh)
    return len(fresh)


def depart(tx: Tx, rows: Iterable[Transaction]) -> None:
    """Note that these rows leave the journal, in the commit that deletes them."""
    left = rules.tally(rows)
    if left:
        store.add_departed(tx, left)


def sweeps(db: Storage, world: World) -> list[Sweep]:
    """The timer: once a day for each shard, and once after a start."""
    done: dict[int, int] = {}

    def due(tx: Tx, now_ms: int, limit: int) -> list[int]:
        return [tx.shard] if done.get(tx.shard, -1) < now_ms // DAY_MS - AFTER_DAYS else []

    async def act(shards: Sequence[int]) -> None:
        for shard in shards:
            through = world.now_ms() // DAY_MS - AFTER_DAYS
            await seal_shard(db, shard, through, world.now_ms())
            done[shard] = through

    return [Sweep("ledger.seal", due, act, EVERY_MS)]
