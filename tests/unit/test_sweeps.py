"""Timers at the end of a process: what runs may finish, but nobody waits for a proof of the books."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from tradepost.events import sweeps
from tradepost.events.sweeps import Sweeps
from tradepost.kernel.events import Sweep
from tradepost.testing.world import TestWorld


def due(tx: Any, now_ms: int, limit: int) -> list[str]:
    return ["books"]


class Due:
    """A storage in which something is always due."""

    shards = 1

    async def read(self, shard: int, query: Any, *args: Any) -> Any:
        return query(None, *args)


async def test_a_stop_waits_for_what_runs_but_not_for_ever(
    world: TestWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeps, "FINISH_S", 0.1)
    done: list[str] = []

    async def prove(_: Sequence[str]) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            done.append("called off")

    async def reap(_: Sequence[str]) -> None:
        await asyncio.sleep(0.01)
        done.append("reaped")

    db: Any = Due()
    timers = Sweeps(db, world, [Sweep("prove", due, prove, 1), Sweep("reap", due, reap, 1)])
    await timers.finish()
    timers.start(0)
    async with asyncio.timeout(5):
        await timers.finish()
    assert done == ["reaped", "called off"]
    assert not timers._running
