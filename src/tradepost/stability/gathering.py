"""Gathering: while one call is under way, what is asked meanwhile waits and goes out together in the next one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

I = TypeVar("I")  # noqa: E741
R = TypeVar("R")

ITEMS_MAX = 256
WAITING_MAX = 4_096


class Crowded(Exception):
    """So many wait already that one more would only make all of them late."""


class Gathering(Generic[I, R]):
    """`await gathering.ask(item)`, answered by `ask_all(items)` in batches of at most `items_max`, one batch at a time.

    More than 4,096 waiting items raise Crowded at once. What `ask_all` raises is raised to each of its batch.
    """

    def __init__(
        self, ask_all: Callable[[Sequence[I]], Awaitable[Sequence[R]]], items_max: int = ITEMS_MAX
    ) -> None:
        self._ask_all = ask_all
        self._items_max = items_max
        self._waiting: list[tuple[I, asyncio.Future[R]]] = []
        self._asking: asyncio.Task[None] | None = None

    def ask(self, item: I) -> Awaitable[R]:
        """The answer to this item, from a call that began after it was asked."""
        if len(self._waiting) >= WAITING_MAX:
            raise Crowded
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, answer))
        if self._asking is None:
            self._asking = asyncio.ensure_future(self._drain())
        return answer

    async def _drain(self) -> None:
        try:
            while self._waiting:
                batch = self._waiting[: self._items_max]
                del self._waiting[: self._items_max]
                await self._answer(batch)
        finally:
            self._asking = None

    async def _answer(self, batch: Sequence[tuple[I, asyncio.Future[R]]]) -> None:
        try:
            answers = await self._ask_all([item for item, _ in batch])
        except asyncio.CancelledError:
            for _, waiting in batch:
                waiting.cancel()
            raise
        except Exception as error:
            for _, waiting in batch:
                if not waiting.done():
                    waiting.set_exception(error)
            return
        for (_, waiting), answer in zip(batch, answers, strict=True):
            if not waiting.done():
                waiting.set_result(answer)
