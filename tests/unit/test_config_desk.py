"""The desk: versions, races, rollback, and what happens when the centre goes away in the middle."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

import pytest
from msgspec import UNSET, Meta
from tests.memory_centre import MemoryCentre

from tradepost.infra.storage.sqlite import SqliteStorage
from tradepost.kernel.errors import Refusal
from tradepost.stability.desk import ConfigDesk, Wish, compare
from tradepost.stability.keys import Document, Rule, declare_key, encode_document
from tradepost.stability.live import LiveConfig
from tradepost.stability.store import DrillRecord
from tradepost.testing.world import TestWorld

SPEED = declare_key("test.desk_speed", int, 3, "", Meta(ge=0, le=1_000), "A number for tests.")
NAME = SPEED.name


class Office(NamedTuple):
    """A desk, its centre, and a process that follows."""

    desk: ConfigDesk
    centre: MemoryCentre
    live: LiveConfig
    world: TestWorld

    async def set(self, value: Any, seen: int, **more: Any) -> int:
        written = await self.desk.set(NAME, Wish(value=value, seen=seen, **more), "opr_1", "because")
        return written.version.version


@pytest.fixture
async def office(db: SqliteStorage, world: TestWorld) -> AsyncIterator[Office]:
    centre = MemoryCentre()
    live = LiveConfig(centre, world, instance="a")
    await live.start()
    yield Office(ConfigDesk(db, world, centre, live), centre, live, world)
    await live.close()


async def refused(awaited: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        await awaited
    return caught.value


async def test_a_write_is_in_force_when_it_is_answered(office: Office) -> None:
    assert await office.set(5, 0) == 1
    assert (office.live.get(SPEED), office.live.version(NAME)) == (5, 1)
    assert await office.set(6, 1) == 2
    assert office.live.get(SPEED) == 6


async def test_history_tells_who_what_and_why(office: Office) -> None:
    await office.set(5, 0)
    office.world.advance(1_000)
    await office.set(6, 1, rules=(Rule(value=7, markets=("GB",)),))
    newest, oldest = await office.desk.history(NAME)
    assert (newest.version, oldest.version) == (2, 1)
    assert (oldest.kind, oldest.author, oldest.reason) == ("set", "opr_1", "because")
    assert newest.at_ms - oldest.at_ms == 1_000
    assert newest.pushed_at_ms
    assert await office.desk.history(NAME, before=2) == [oldest]
    assert await office.desk.history("", limit=1) == [newest]
    assert [(one.path, one.before, one.after) for one in await office.desk.diff(NAME, 1, 2)] == [
        ("rules[0].markets", None, ("GB",)),
        ("rules[0].value", None, 7),
        ("value", 5, 6),
    ]


async def test_a_rollback_is_a_new_version(office: Office) -> None:
    await office.set(5, 0, rules=(Rule(value=7, instances=("a",)),))
    await office.set(6, 1)
    written = await office.desk.rollback(NAME, 1, 2, "opr_2", "too fast")
    assert (written.version.version, written.version.kind, written.version.from_version) == (3, "rollback", 1)
    assert (office.live.get(SPEED), office.live.get(SPEED, instance="b")) == (7, 5)
    await office.desk.rollback(NAME, 0, 3, "opr_2", "back to the default")
    assert (office.live.get(SPEED), office.live.version(NAME)) == (3, 4)


async def test_a_rollback_to_nowhere_is_refused(office: Office) -> None:
    await office.set(5, 0)
    assert (await refused(office.desk.rollback(NAME, 7, 1, "o", "why"))).code == "config.version_unknown"
    assert (await refused(office.desk.diff(NAME, 1, 7))).code == "config.version_unknown"


async def test_a_rollback_to_what_no_longer_fits_is_refused(office: Office) -> None:
    await office.set(5, 0)
    await office.desk._db.transact(0, _spoil, encode_document(Document(version=1, value=5_000)))
    assert (await refused(office.desk.rollback(NAME, 1, 1, "o", "why"))).code == "config.value_invalid"


def _spoil(tx: Any, document: bytes) -> None:
    tx.execute("UPDATE config_versions SET document = ? WHERE gene = ?", (document, 0))


@pytest.mark.parametrize(
    ("wish", "reason", "code"),
    [
        (Wish(value=1_001), "why", "config.value_invalid"),
        (Wish(value="x"), "why", "config.value_invalid"),
        (Wish(value=1, rules=(Rule(value=-1),)), "why", "config.value_invalid"),
        (Wish(value=1), "  ", "config.reason_missing"),
        (Wish(value=1), "x" * 501, "config.reason_missing"),
        (Wish(value=1, seen=1), "why", "config.version_conflict"),
    ],
)
async def test_what_does_not_fit_is_never_written(office: Office, wish: Wish, reason: str, code: str) -> None:
    assert (await refused(office.desk.set(NAME, wish, "o", reason))).code == code
    assert office.centre.entries == {}
    assert await office.desk.history("") == []


async def test_an_unknown_key_is_never_written(office: Office) -> None:
    assert (await refused(office.desk.set("no.key", Wish(value=1), "o", "why"))).code == "config.key_unknown"


async def test_of_many_writers_who_saw_one_version_one_wins(office: Office) -> None:
    answers = await asyncio.gather(*(office.set(n, 0) for n in range(10)), return_exceptions=True)
    won = [n for n, answer in enumerate(answers) if answer == 1]
    lost = [answer for answer in answers if isinstance(answer, Refusal)]
    assert (len(won), len(lost)) == (1, 9)
    assert {one.code for one in lost} == {"config.version_conflict"}
    assert office.live.get(SPEED) == won[0]
    assert len(await office.desk.history(NAME)) == 1


async def test_an_edit_behind_the_desks_back_is_seen(office: Office) -> None:
    await office.set(5, 0)
    office.centre.put(NAME, encode_document(Document(version=4, value=8)))
    assert (await refused(office.set(6, 1))).extra["version"] == 4
    stands = await office.desk.stand(NAME)
    assert (stands.document.version, stands.recorded) == (4, False)
    assert await office.set(6, 4) == 5
    assert office.live.get(SPEED) == 6


async def test_a_push_that_is_raced_by_a_newer_version_gives_way(office: Office) -> None:
    await office.set(5, 0)
    newer = encode_document(Document(version=9, value=9))
    office.centre.before_write = lambda: office.centre.put(NAME, newer) and None
    assert await office.set(6, 1) == 2
    assert office.centre.entries[NAME].text == newer


async def test_a_push_that_is_raced_by_an_older_version_wins(office: Office) -> None:
    await office.set(5, 0)
    same = encode_document(Document(version=1, value=5))
    office.centre.before_write = lambda: office.centre.put(NAME, same) and None
    await office.set(6, 1)
    assert office.live.get(SPEED) == 6


async def test_while_the_centre_is_away_nothing_is_written(office: Office) -> None:
    office.centre.leave()
    assert (await refused(office.set(5, 0))).code == "config.centre_unavailable"
    assert await office.desk.history(NAME) == []


async def test_what_was_written_down_and_not_pushed_follows(office: Office) -> None:
    office.centre.before_write = office.centre.leave
    written = await office.desk.set(NAME, Wish(value=5, seen=0), "o", "why")
    assert (written.version.version, written.pushed) == (1, False)
    assert (await office.desk.history(NAME))[0].pushed_at_ms == 0
    stop = asyncio.Event()
    running = asyncio.create_task(office.desk.run(stop))
    office.centre.come_back()
    await until(lambda: office.live.get(SPEED) == 5)
    stop.set()
    await asyncio.wait_for(running, 5)
    assert (await office.desk.history(NAME))[0].pushed_at_ms


async def test_a_centre_that_lost_everything_is_filled_again(office: Office) -> None:
    await office.set(5, 0)
    await office.set(6, 1)
    office.centre.entries.clear()
    assert await office.desk.push_waiting() == 1
    assert office.centre.entries[NAME].text == encode_document(Document(version=2, value=6))
    assert await office.desk.push_waiting() == 0


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110  what is waited for happens in another task
            await asyncio.sleep(0.001)


def test_documents_are_compared_by_member() -> None:
    assert compare(Document(version=1, value=None), Document(version=2)) != ()
    assert compare(Document(version=1, value=UNSET), Document(version=2)) == ()


async def test_drills_are_kept_newest_first(office: Office) -> None:
    def record(at_ms: int, *, passed: bool) -> DrillRecord:
        return DrillRecord(
            switch="read_only", at_ms=at_ms, passed=passed, took_ms=5, author="o", report=b"{}"
        )

    for one in (record(1, passed=True), record(2, passed=False), record(2, passed=False)):
        await office.desk.record_drill(one)
    assert await office.desk.drills("read_only", 5) == [record(2, passed=False), record(1, passed=True)]
    assert await office.desk.drills("switch.timeline_off") == []
    assert (await refused(office.desk.drills("nothing"))).code == "switch.unknown"
