"""The relay under chance: failing events, crashes, restarts and moving time never lose, repeat or reorder an effect."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tradepost.events import Retry, Runtime
from tradepost.events.relay import Relay
from tradepost.infra.storage.sqlite import SqliteStorage
from tradepost.kernel.events import Consumer, EventRow, Task
from tradepost.testing.world import TestWorld

NAMES = "abc"
STEP = st.one_of(
    st.tuples(st.just("emit"), st.sampled_from(NAMES), st.integers(1, 3)),
    st.tuples(st.just("break"), st.sampled_from(NAMES), st.just(0)),
    st.tuples(st.just("mend"), st.sampled_from(NAMES), st.just(0)),
    st.tuples(st.just("step"), st.just(""), st.integers(1, 3)),
    st.tuples(st.just("advance"), st.just(""), st.sampled_from([100, 1_000, 20_000])),
    st.tuples(st.just("crash"), st.just(""), st.just(0)),
    st.tuples(st.just("restart"), st.just(""), st.just(0)),
)


class Crash(BaseException):
    """The process ends here."""


class Shop:
    """A runtime over one file, with a consumer and a task that can be broken per aggregate."""

    def __init__(self, path: Path) -> None:
        self.world = TestWorld()
        self.db = SqliteStorage(path)
        self.versions = dict.fromkeys(NAMES, 0)
        self.broken: set[str] = set()
        self.acted: list[tuple[str, int]] = []
        self.start()

    def start(self) -> None:
        self.runtime = Runtime(
            self.db,
            self.world,
            consumers=[Consumer("effects", ("noted.v1",), self.consume)],
            tasks=[Task("calls", ("noted.v1",), self.act)],
            owner="shop",
            retry=Retry(attempts_max=1_000),
        )

    def consume(self, tx: Any, rows: Sequence[EventRow]) -> None:
        for row in rows:
            tx.execute(
                "INSERT INTO idempotency (gene, scope, idem_key, request_hash, status, response, at_ms)"
                " SELECT 1, 'effect', COUNT(*) || '', ?, ?, x'', 0 FROM idempotency",
                (row.aggregate_id, row.version),
            )
            if row.aggregate_id in self.broken:
                raise ValueError("broken")

    async def act(self, row: EventRow) -> None:
        if row.aggregate_id in self.broken:
            raise ValueError("broken")
        self.acted.append((row.aggregate_id, row.version))

    async def emit(self, name: str, count: int) -> None:
        rows = []
        for _ in range(count):
            self.versions[name] += 1
            rows.append(EventRow(1, name, self.versions[name], "noted.v1", 0, b"{}"))
        await self.db.transact(0, lambda tx: tx.emit(rows))

    async def crash(self) -> None:
        """Take a page and die before the cursor moves."""

        async def die(*_: Any) -> None:
            raise Crash

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Relay, "_advance", die)
            try:
                await self.runtime.step()
            except Crash:
                self.start()

    async def apply(self, kind: str, name: str, number: int) -> None:
        if kind == "emit":
            await self.emit(name, number)
        elif kind == "break":
            self.broken.add(name)
        elif kind == "mend":
            self.broken.discard(name)
        elif kind == "step":
            for _ in range(number):
                await self.runtime.step()
        elif kind == "advance":
            self.world.advance(number)
        elif kind == "crash":
            await self.crash()
        else:
            self.start()

    async def effects(self) -> list[tuple[str, int]]:
        sql = "SELECT request_hash, status FROM idempotency WHERE scope = 'effect' ORDER BY CAST(idem_key AS INTEGER)"
        return await self.db.read(0, lambda tx: tx.query(sql))

    async def check_order(self) -> None:
        """Each aggregate's effects are 1, 2, 3 ... without gap or repetition; a task may repeat, never skip."""
        effects = await self.effects()
        for name in NAMES:
            versions = [version for who, version in effects if who == name]
            assert versions == list(range(1, len(versions) + 1))
            highest = 0
            for who, version in self.acted:
                if who == name:
                    assert version <= highest + 1
                    highest = max(highest, version)


async def play(path: Path, steps: list[tuple[str, str, int]]) -> None:
    shop = Shop(path)
    try:
        for step in steps:
            await shop.apply(*step)
            await shop.check_order()
        shop.broken.clear()
        for _ in range(3):
            await shop.runtime.drain()
            shop.world.advance(1_000_000)
        await shop.check_order()
        everything = {(name, n) for name in NAMES for n in range(1, shop.versions[name] + 1)}
        assert set(await shop.effects()) == everything
        assert set(shop.acted) == everything
        assert await shop.db.read(0, lambda tx: tx.query("SELECT COUNT(*) FROM deliveries")) == [(0,)]
    finally:
        await shop.db.close()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEP, max_size=25))
def test_no_effect_is_lost_repeated_or_out_of_order(
    empty_database: Path, steps: list[tuple[str, str, int]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "shop.db"
        shutil.copy(empty_database, path)
        asyncio.run(play(path, steps))
