"""Sold-out hints where processes cannot hear each other: a suspicion of this process, proven before it counts.

Without a shared cache nobody tells this process that another one restocked. So what the database refused here is only
a reason to look: before anybody is refused the database is read once more, one read for all who wait, and its answer
of this moment is the refusal. See docs/adr/0027.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from tradepost.kernel.errors import Refusal
from tradepost.kernel.tx import Signal
from tradepost.stability.gathering import Crowded, Gathering
from tradepost.stability.hints import HINTS_MAX, SOLD_OUT, STOCK_UP


class AskedHints:
    """What the database refused in this process: pieces available at most, by `sku_id/pool`.

    `read(keys)` asks the database how many pieces each key has now; a key it does not name has none. Beyond 100,000
    keys the oldest is forgotten. Nobody is refused by anything older than the request itself.
    """

    def __init__(self, read: Callable[[Sequence[str]], Awaitable[Mapping[str, int]]]) -> None:
        self._read = read
        self._suspected: dict[str, int] = {}
        self._asking: Gathering[str, int] = Gathering(self._ask)

    def __len__(self) -> int:
        """Keys suspected to be sold out."""
        return len(self._suspected)

    def note(self, signal: Signal) -> None:
        """A commit of this process refused or increased something."""
        if signal.topic == SOLD_OUT:
            self._suspect(signal.key, signal.value)
        elif signal.topic == STOCK_UP:
            self._suspected.pop(signal.key, None)

    def _suspect(self, key: str, available: int) -> None:
        self._suspected.pop(key, None)
        self._suspected[key] = available
        if len(self._suspected) > HINTS_MAX:
            del self._suspected[next(iter(self._suspected))]

    def get(self, key: str) -> int | None:
        """So many pieces were available when this process was told last; `ask` before refusing by it."""
        return self._suspected.get(key)

    async def ask(self, keys: Iterable[str]) -> dict[str, int]:
        """Pieces available now, by a read that began after this call; nothing while the database cannot tell."""
        wanted = list(keys)
        try:
            found = await asyncio.gather(*[self._asking.ask(key) for key in wanted])
        except (Crowded, Refusal):
            return {}
        return dict(zip(wanted, found, strict=True))

    async def _ask(self, keys: Sequence[str]) -> Sequence[int]:
        found = await self._read(list(dict.fromkeys(keys)))
        for key in keys:
            if key in self._suspected:  # else an increase of our own was noted meanwhile
                self._suspect(key, found.get(key, 0))
        return [found.get(key, 0) for key in keys]

    async def run(self, stop: asyncio.Event) -> None:
        """Nothing is to be told to anybody."""
        await stop.wait()
