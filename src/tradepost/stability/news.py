"""Changes out of the database's own stream of events, for caches that may have missed the word of their making."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence

from tradepost.events import read_backlog, stream_page
from tradepost.kernel.tx import Signal, Storage

SELLER = "seller"
PAGE = 1_000
PAGES_MAX = 20
AGAIN_MS = 5_000
AGAIN_MAX = 10_000


class StreamNews:
    """`await news.read()` gives a signal for each event of `topics` that is new since the last call.

    `topics` names the signal's topic by event type; its key is the event's aggregate, or for the topic `seller` the
    seller whom the event is about. Reading starts at the end of
    the stream, so make it before the caches are filled. A signal is given again with each call for 5 s, because a
    cached fact may follow its event through a subscription.
    """

    def __init__(self, db: Storage, topics: Mapping[str, str], *, now_ms: Callable[[], int]) -> None:
        self._db = db
        self._topics = dict(topics)
        self._now_ms = now_ms
        self._cursors: dict[int, int] = {}
        self._again: deque[tuple[int, Signal]] = deque(maxlen=AGAIN_MAX)

    async def read(self) -> Sequence[Signal]:
        """What changed; at most 20 pages a shard and call, the rest with the next. Raises what the read raises."""
        now_ms = self._now_ms()
        while self._again and now_ms - self._again[0][0] > AGAIN_MS:
            self._again.popleft()
        for shard in range(self._db.shards):
            await self._read(shard, now_ms)
        return list(dict.fromkeys(signal for _, signal in self._again))

    async def _read(self, shard: int, now_ms: int) -> None:
        after = self._cursors.get(shard)
        if after is None:
            self._cursors[shard] = await self._find_end(shard)
            return
        types = tuple(self._topics)
        for _ in range(PAGES_MAX):
            page = await self._db.read(shard, stream_page, after, PAGE, types)
            for row in page.rows:
                topic = self._topics[row.type]
                key = (topic == SELLER and row.seller_id) or row.aggregate_id
                self._again.append((now_ms, Signal(topic, key)))
            after = page.next_sequence
            if not page.more:
                break
        self._cursors[shard] = after

    async def _find_end(self, shard: int) -> int:
        backlog = await self._db.read(shard, read_backlog)
        return backlog.head
