"""Reading what happened: a shard's stream by cursor, and one aggregate's log."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tradepost.events import store
from tradepost.kernel.events import EventRow
from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import Tx

PAGE_MAX = 1_000
SCAN_MAX = 20_000


class StreamPage(msgspec.Struct, frozen=True):
    """Events, the cursor to go on from, and whether the stream goes on behind it."""

    rows: list[EventRow]
    next_sequence: int
    more: bool


def stream_page(
    tx: Tx,
    after_sequence: int,
    limit: int,
    types: Sequence[str] = (),
    buyer_id: str = "",
    seller_id: str = "",
) -> StreamPage:
    """Up to `limit` (at most 1,000) events behind a cursor that fit the filters.

    At most 20,000 events are looked at, so a page may be empty with `more` set: go on from `next_sequence`.
    """
    limit = max(1, min(limit, PAGE_MAX))
    head = store.head(tx)
    upto = min(head, after_sequence + SCAN_MAX)
    rows = store.scan(tx, after_sequence, upto, limit, types, buyer_id, seller_id)
    if len(rows) == limit:
        upto = rows[-1].sequence
    return StreamPage(rows, max(upto, after_sequence), upto < head)


def read_stream(
    tx: Tx,
    after_sequence: int,
    limit: int,
    types: Sequence[str] = (),
    buyer_id: str = "",
    seller_id: str = "",
) -> list[EventRow]:
    """The rows of `stream_page`."""
    return stream_page(tx, after_sequence, limit, types, buyer_id, seller_id).rows


def aggregate_log(tx: Tx, aggregate_id: str) -> list[EventRow]:
    """Every event of one aggregate, from version 1 on without a gap. Raises Refusal `id.invalid`."""
    return store.aggregate_rows(tx, gene_of(aggregate_id), aggregate_id)
