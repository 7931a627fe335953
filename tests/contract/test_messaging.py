"""The messaging contract: every bus keeps an aggregate's order and has each effect once, whatever breaks on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.contract.messaging_floor import NOTED, OTHER, Effects, Floor, by_aggregate, row_of, until

from tradepost.events import Retry, dead_letters, replay_dead_letter
from tradepost.events.relay import Relay
from tradepost.infra.messaging.rocketmq_link import BrokerTrouble
from tradepost.infra.messaging.rocketmq_member import Member
from tradepost.infra.storage.sqlite import SqliteStorage
from tradepost.kernel.errors import Refusal
from tradepost.kernel.events import EventRow, Task


@pytest.fixture(params=["in-process", pytest.param("rocketmq", marks=pytest.mark.server("rocketmq"))])
async def floor(request: pytest.FixtureRequest, db: SqliteStorage) -> AsyncIterator[Floor]:
    """A floor on each adapter."""
    server = request.getfixturevalue("broker") if request.param == "rocketmq" else None
    stage = Floor(db, server)
    yield stage
    await stage.close()


async def test_every_event_arrives_once_and_in_order_of_its_aggregate(floor: Floor) -> None:
    await floor.start([Effects().consumer])
    for version in range(1, 11):
        for chunk in range(0, 30, 10):
            await floor.emit(*(row_of(f"a{n}", version) for n in range(chunk, chunk + 10)))
    found = await floor.arrived(300)
    assert len(found) == len(set(found)) == 300
    assert {a: v for a, v in by_aggregate(found).items() if v != list(range(1, 11))} == {}


async def test_a_backlog_goes_out_in_order(floor: Floor) -> None:
    rows = [row_of(f"a{n % 7}", n // 7 + 1) for n in range(1_400)]
    for start in range(0, 1_400, 200):
        await floor.emit(*rows[start : start + 200])
    await floor.start([Effects().consumer])
    found = await floor.arrived(1_400)
    assert len(found) == len(set(found))
    assert {a: v for a, v in by_aggregate(found).items() if v != sorted(v)} == {}


async def test_a_subscription_gets_its_types_and_all_of_them_get_theirs(floor: Floor) -> None:
    both, one = Effects("both", (NOTED, OTHER)), Effects("one", (OTHER,))
    await floor.start([both.consumer, one.consumer])
    await floor.emit(row_of("a", 1), row_of("a", 2, OTHER), row_of("b", 1), row_of("a", 3))
    assert set(await floor.arrived(4, "both")) == {"a.1", "a.2", "a.3", "b.1"}
    assert await floor.arrived(1, "one") == ["a.2"]


async def test_an_event_travels_whole(floor: Floor) -> None:
    taken: list[EventRow] = []
    done = asyncio.Event()

    async def act(row: EventRow) -> None:
        taken.append(row)
        done.set()

    await floor.start(tasks=[Task("whole", (NOTED,), act)])
    sent = EventRow(1, "ord_x", 1, NOTED, 1_700_000_000_123, '{"n":1,"s":"漢字"}'.encode(), "byr_1", "sel_1")
    await floor.emit(sent)
    async with asyncio.timeout(30):
        await done.wait()
    assert [(row, row.sequence > 0) for row in taken] == [(_with_sequence(sent, taken[0].sequence), True)]


def _with_sequence(row: EventRow, sequence: int) -> EventRow:
    return EventRow(
        row.gene,
        row.aggregate_id,
        row.version,
        row.type,
        row.at_ms,
        row.payload,
        row.buyer_id,
        row.seller_id,
        sequence,
    )


async def test_what_was_consumed_but_not_acknowledged_has_its_effect_once(
    floor: Floor, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = 0
    acknowledge, advance = Member.acknowledge, Relay._advance

    async def lose(*args: Any) -> None:
        nonlocal lost
        lost += 1
        if lost <= 4:
            raise BrokerTrouble("the answer was lost")
        await (acknowledge if isinstance(args[0], Member) else advance)(*args)

    monkeypatch.setattr(Member, "acknowledge", lose)
    monkeypatch.setattr(Relay, "_advance", lose)
    # a task beside it: where everybody is local the cursor moves with the effect, and there is nothing to lose
    await floor.start([Effects().consumer], [Task("calls", (NOTED,), _nothing)])
    await floor.emit(*(row_of(f"a{n % 5}", n // 5 + 1) for n in range(50)))
    found = await floor.arrived(50)
    await until(lambda: lost > 4)
    await floor.emit(row_of("last", 1))
    found = await floor.arrived(51)
    assert len(found) == len(set(found)) == 51
    assert {a: v for a, v in by_aggregate(found).items() if v != sorted(v)} == {}


async def _nothing(_row: EventRow) -> None:
    pass


async def test_a_killed_process_hands_over(floor: Floor) -> None:
    effects = Effects()
    first = await floor.start([effects.consumer], owner="one")
    await floor.emit(*(row_of(f"a{n % 9}", n // 9 + 1) for n in range(180)))
    await floor.arrived(1)
    await floor.kill(first)
    await floor.emit(*(row_of(f"a{n % 9}", n // 9 + 21) for n in range(18)))
    await floor.start([effects.consumer], owner="two")
    found = await floor.arrived(198)
    assert len(found) == len(set(found)) == 198
    assert by_aggregate(found) == {f"a{n}": list(range(1, 23)) for n in range(9)}


async def test_processes_share_the_work_and_each_event_has_one_effect(floor: Floor) -> None:
    effects = Effects()
    runtimes = [await floor.start([effects.consumer]) for _ in range(2)]
    for version in range(1, 6):
        await floor.emit(*(row_of(f"a{n}", version) for n in range(40)))
    await floor.arrived(100)
    await floor.stop(runtimes[0])
    for version in range(6, 11):
        await floor.emit(*(row_of(f"a{n}", version) for n in range(40)))
    found = await floor.arrived(400)
    assert len(found) == len(set(found)) == 400
    assert {a: v for a, v in by_aggregate(found).items() if v != list(range(1, 11))} == {}


async def test_poison_holds_back_its_own_aggregate_alone_until_it_is_a_dead_letter(floor: Floor) -> None:
    bad, good, fine = (floor.world.mint("order", 1) for _ in range(3))
    effects = Effects()
    effects.poison = {f"{bad}.2"}
    await floor.start([effects.consumer])
    await floor.emit(*(row_of(name, version) for version in (1, 2, 3) for name in (bad, good, fine)))
    found = await floor.arrived(8)
    assert by_aggregate(found) == {bad: [1, 3], good: [1, 2, 3], fine: [1, 2, 3]}
    (letter,) = await floor.db.read(0, dead_letters)
    assert (letter.consumer, letter.aggregate_id, letter.version) == ("effects", bad, 2)
    assert f"cannot take {bad}.2" in letter.error
    effects.poison.clear()
    await floor.db.transact(0, replay_dead_letter, "effects", bad, 2, floor.world.now_ms())
    assert (await floor.arrived(9))[-1] == f"{bad}.2"
    assert await floor.db.read(0, dead_letters) == []


async def test_what_fails_for_a_while_is_tried_again_in_order(floor: Floor) -> None:
    effects = Effects()
    effects.poison = {"slow.1"}
    await floor.start([effects.consumer], retry=Retry(attempts_max=1_000, first_ms=50, factor=1))
    await floor.emit(row_of("slow", 1), row_of("quick", 1))
    await floor.arrived(1)
    await floor.emit(row_of("slow", 2), row_of("quick", 2))
    await floor.arrived(2)
    effects.poison.clear()
    found = await floor.arrived(4)
    assert by_aggregate(found) == {"quick": [1, 2], "slow": [1, 2]}
    assert await floor.db.read(0, dead_letters) == []


async def test_a_task_is_tried_until_it_succeeds_and_keeps_the_order(floor: Floor) -> None:
    acted: list[str] = []
    failures = {"a.1": 2}

    async def act(row: EventRow) -> None:
        if failures.get(row.event_id, 0):
            failures[row.event_id] -= 1
            raise ConnectionError("the provider is away")
        acted.append(row.event_id)

    await floor.start(tasks=[Task("calls", (NOTED,), act)])
    await floor.emit(row_of("a", 1), row_of("b", 1), row_of("a", 2))
    await until(lambda: len(acted) == 3)
    assert by_aggregate(acted) == {"b": [1], "a": [1, 2]}


async def test_a_database_that_cannot_commit_is_nobodys_failure(
    floor: Floor, monkeypatch: pytest.MonkeyPatch
) -> None:
    effects = Effects()
    runtime = await floor.start([effects.consumer])
    transact, away = floor.db.transact, True

    def refuse(shard: int, work: Any, *args: Any, **kwargs: Any) -> Any:
        if away and work.__name__.startswith("consume"):
            raise Refusal("storage.unavailable", "The disk is full.")
        return transact(shard, work, *args, **kwargs)

    monkeypatch.setattr(floor.db, "transact", refuse)
    await floor.emit(row_of("a", 1), row_of("a", 2), row_of("b", 1))
    await asyncio.sleep(1)  # longer than a few attempts: they must not be counted
    away = False
    assert by_aggregate(await floor.arrived(3)) == {"a": [1, 2], "b": [1]}
    assert await floor.db.read(0, dead_letters) == []
    await floor.stop(runtime)
