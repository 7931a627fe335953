"""A config centre in memory that can be away, forget revisions, lose entries and be raced."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from tradepost.stability.centre import CentreForgot, CentreUnavailable, Entry, Snapshot, WriteRaced


class MemoryCentre:
    """The port. `away` makes every call and open watch fail; `before_write` runs once before the next write."""

    def __init__(self) -> None:
        self.revision = 0
        self.oldest = 0
        self.entries: dict[str, Entry] = {}
        self.away = False
        self.before_write: Callable[[], None] | None = None
        self._changed = asyncio.Event()

    def put(self, name: str, text: bytes | None) -> int:
        """Write or remove without asking."""
        self.revision += 1
        self.entries[name] = Entry(name, text, self.revision)
        self._stir()
        return self.revision

    def leave(self) -> None:
        """Be away from now on."""
        self.away = True
        self._stir()

    def come_back(self) -> None:
        """Answer again."""
        self.away = False

    def compact(self) -> None:
        """Forget every step up to now, and break the watches."""
        self.oldest = self.revision
        self._stir()

    def _stir(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _answer(self) -> None:
        if self.away:
            raise CentreUnavailable("away")

    async def read(self) -> Snapshot:
        """See the port."""
        self._answer()
        there = {name: entry for name, entry in self.entries.items() if entry.text is not None}
        return Snapshot(self.revision, there)

    async def write(self, name: str, text: bytes, seen: int) -> int:
        """See the port."""
        happens, self.before_write = self.before_write, None
        if happens is not None:
            happens()
        self._answer()
        entry = self.entries.get(name)
        if (entry.revision if entry is not None and entry.text is not None else 0) != seen:
            raise WriteRaced(name)
        return self.put(name, text)

    async def watch(self, after: int) -> AsyncIterator[Snapshot]:
        """See the port."""
        while True:
            self._answer()
            if after < self.oldest:
                raise CentreForgot(str(self.oldest))
            changed = self._changed
            fresh = {name: entry for name, entry in self.entries.items() if entry.revision > after}
            if fresh:
                after = self.revision
                yield Snapshot(self.revision, fresh)
                continue
            await changed.wait()

    async def close(self) -> None:
        """Nothing to let go."""
