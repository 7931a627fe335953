"""The simulated ports keep the promises of the real ones, and break them only as they say."""

from __future__ import annotations

import asyncio

import pytest

from tradepost.kernel.tx import Signal, Tx
from tradepost.testing.simulation import loop as loops
from tradepost.testing.simulation import simulate
from tradepost.testing.simulation.loop import Deadlock, Livelock, VirtualLoop
from tradepost.testing.simulation.storage import AFTER, BEFORE, Databases, FragileEngine, MemoryStorage
from tradepost.testing.simulation.weather import Weather


def note(tx: Tx, shard: int) -> int:
    tx.signal("noted", str(shard))
    return tx.execute("INSERT INTO relay_cursors (shard, relay, sequence) VALUES (?, 'test', 0)", (shard,))


def noted(tx: Tx) -> list[int]:
    return [row[0] for row in tx.query("SELECT shard FROM relay_cursors ORDER BY shard")]


def test_waiting_costs_no_time() -> None:
    loop = VirtualLoop()
    loop.run_until_complete(asyncio.sleep(86_400))
    assert loop.now_ms() == 86_400_000
    loop.close()


def test_timers_fire_in_order_after_a_jump() -> None:
    loop, fired = VirtualLoop(), []
    for delay in (3, 1, 2):
        loop.call_later(delay, fired.append, delay)
    loop.jump(10_000)
    loop.run_until_complete(asyncio.sleep(0.001))
    assert fired == [1, 2, 3]
    loop.close()


def test_waiting_for_nobody_is_a_deadlock() -> None:
    loop = VirtualLoop()
    with pytest.raises(Deadlock):
        loop.run_until_complete(loop.create_future())
    loop.close()


def test_spinning_is_a_livelock() -> None:
    async def spin() -> None:
        while True:  # noqa: ASYNC110 - spinning is the point
            await asyncio.sleep(0)

    loop = VirtualLoop()
    with pytest.raises(Livelock):
        loop.run_until_complete(spin())
    loop.close()


def storage(loop: VirtualLoop, databases: Databases, cut: list[str]) -> MemoryStorage:
    return MemoryStorage(databases, loop, Weather(()), lambda: cut.append("cut"))


def test_signals_arrive_before_the_answer_and_reads_see_what_is_committed() -> None:
    loop, databases = VirtualLoop(), Databases(2)
    db = storage(loop, databases, [])
    heard: list[Signal] = []
    db.listen(heard.append)

    async def story() -> None:
        assert await db.transact(1, note, 1) == 1
        assert heard == [Signal("noted", "1")]
        assert await db.read(1, noted) == [1]
        assert await db.read(0, noted) == []

    loop.run_until_complete(story())
    loop.close()
    databases.close()


@pytest.mark.parametrize(("moment", "left"), [(BEFORE, []), (AFTER, [1])])
def test_a_cut_cord_answers_nobody_and_keeps_what_was_committed(moment: str, left: list[int]) -> None:
    loop, databases, cut = VirtualLoop(), Databases(1), []
    db = storage(loop, databases, cut)
    databases.engines[0].armed = moment

    async def story() -> None:
        answer = asyncio.ensure_future(db.transact(0, note, 1))
        await asyncio.sleep(1)
        assert not answer.done()
        answer.cancel()

    loop.run_until_complete(story())
    databases.recover()
    assert cut == ["cut"]
    assert noted(databases.readers[0]) == left
    loop.close()
    databases.close()


def test_a_lost_transaction_is_run_again() -> None:
    loop, databases = VirtualLoop(), Databases(1)
    db = storage(loop, databases, [])
    databases.engines[0].losses = 2

    async def story() -> int:
        return await db.transact(0, note, 1)

    assert loop.run_until_complete(story()) == 1
    assert noted(databases.readers[0]) == [1]
    loop.close()
    databases.close()


def test_a_query_cannot_write() -> None:
    loop, databases = VirtualLoop(), Databases(1)
    db = storage(loop, databases, [])

    async def story() -> None:
        await db.read(0, note, 1)

    with pytest.raises(AssertionError, match="writes"):
        loop.run_until_complete(story())
    loop.close()
    databases.close()


class Broken(FragileEngine):
    """A group commit that breaks from its hundredth transaction on, as a defect in it would."""

    begun = 0

    def begin(self, guarded: bool = False) -> None:
        self.begun += 1
        if self.begun > 100:
            raise ZeroDivisionError("a defect of the engine")
        super().begin(guarded)


class BrokenAtOnce(Broken):
    """The same before the town is open."""

    begun = 100


@pytest.mark.parametrize("engine", [Broken, BrokenAtOnce])
def test_a_group_commit_that_breaks_ends_the_run_with_a_finding(engine: type[FragileEngine]) -> None:
    report = simulate(1, 200, engine=engine, shrink_steps=0)
    assert report.failure is not None
    assert any("ZeroDivisionError: a defect of the engine" in one for one in report.failure.findings)


def test_a_loop_that_never_ends_is_a_livelock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "ROUNDS_MAX", 1_000)

    async def tick() -> None:
        while True:  # noqa: ASYNC110 - ticking for ever is the point
            await asyncio.sleep(1)

    loop = VirtualLoop()
    with pytest.raises(Livelock, match="no end"):
        loop.run_until_complete(tick())
    loop.close()
