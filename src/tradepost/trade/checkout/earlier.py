"""What an earlier request placed: asked for many requests in one read, so a crowd of refusals costs little."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from tradepost.events.idempotency import key_reused
from tradepost.kernel.errors import Refusal
from tradepost.kernel.tx import BATCH_ITEMS_MAX, Storage, Tx
from tradepost.trade.checkout import store
from tradepost.trade.checkout.model import TOMBSTONE, Placed, Placement


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A request that is looked up before it is priced: only its key can have placed something."""

    gene: int
    scope: str
    key: str
    request_hash: str
    buyer_id: str
    checkout_id: str = ""
    quote_hash: str = ""
    quoted: bool = False


Lookup = Placement | Asked


def find_earlier(tx: Tx, items: Sequence[Lookup]) -> list[Placed | Refusal | None]:
    """For each request: what stands under its key or quote, the refusal of a reused key or tombstone, or None."""
    keys = store.find_keys(tx, [(item.gene, item.scope, item.key) for item in items])
    quoted = [(item.buyer_id, item.checkout_id) for item in items if item.quoted]
    stands = store.find_checkouts(tx, quoted) if quoted else {}
    return [
        decide_earlier(item, keys.get((item.scope, item.key)), stands.get(item.checkout_id)) for item in items
    ]


def decide_earlier(
    item: Lookup, key: list[str] | None, stands: tuple[str, ...] | None
) -> Placed | Refusal | None:
    """One request against the row of its key and the row of its checkout. Pure."""
    if key is not None:
        return Placed(key[1], key[2], True) if key[0] == item.request_hash else key_reused()
    if stands is None:
        return None
    if stands[2] == TOMBSTONE:
        return Refusal(
            "checkout.abandoned", "The hold of this checkout ran out before its order was written."
        )
    if stands[3] != item.quote_hash:
        return Refusal(
            "checkout.quote_forged", "The placed checkout was made from another quote.", field="quote"
        )
    return Placed(item.buyer_id, item.checkout_id, True)


class Earlier:
    """Gathers lookups while a read is under way and asks for all of them in the next one."""

    def __init__(self, db: Storage) -> None:
        self._db = db
        self._waiting: dict[int, list[tuple[Lookup, asyncio.Future[Placed | Refusal | None]]]] = {}
        self._reading: dict[int, asyncio.Task[None]] = {}

    async def find(self, placement: Lookup) -> Placed | None:
        """What stands already, or None. Raises the refusals of `decide_earlier` and of a failing read."""
        shard = self._db.shard_of(placement.gene)
        answer: asyncio.Future[Placed | Refusal | None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(shard, []).append((placement, answer))
        if shard not in self._reading:
            self._reading[shard] = asyncio.ensure_future(self._read(shard))
        found = await answer
        if isinstance(found, Refusal):
            raise found
        return found

    async def _read(self, shard: int) -> None:
        try:
            while waiting := self._waiting.get(shard):
                batch = waiting[:BATCH_ITEMS_MAX]
                del waiting[:BATCH_ITEMS_MAX]
                await self._answer(shard, batch)
        finally:
            del self._reading[shard]

    async def _answer(
        self, shard: int, batch: Sequence[tuple[Lookup, asyncio.Future[Placed | Refusal | None]]]
    ) -> None:
        try:
            found = await self._db.read(shard, find_earlier, [item for item, _ in batch])
        except Exception as error:
            for _, answer in batch:
                if not answer.done():
                    answer.set_exception(error)
            return
        for (_, answer), placed in zip(batch, found, strict=True):
            if not answer.done():
                answer.set_result(placed)
