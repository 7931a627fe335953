"""The client that every process holds: what it answers while the centre speaks, lies, forgets or is away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Meta
from tests.memory_centre import MemoryCentre

from tradepost.stability import live as module
from tradepost.stability.keys import Document, Rule, declare_key, encode_document
from tradepost.stability.last_good import LastGood, keep, recall
from tradepost.stability.live import IGNORED, LAST_GOOD, MISSING, UNREACHABLE, UNWRITTEN, LiveConfig
from tradepost.testing.world import TestWorld

SPEED = declare_key("test.live_speed", int, 3, "", Meta(ge=0, le=1_000), "A number for tests.")
OTHER = declare_key("test.live_other", str, "a", "", None, "A text for tests.")
SOON_S = 5


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REST_FIRST_S", 0.005)
    monkeypatch.setattr(module, "REST_LONGEST_S", 0.01)
    monkeypatch.setattr(module, "KEEP_REST_S", 0.0)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(SOON_S):
        while not holds():  # noqa: ASYNC110  what is waited for happens in another task
            await asyncio.sleep(0.001)


def text(version: int, value: Any, **more: Any) -> bytes:
    return encode_document(Document(version=version, value=value, **more))


def kinds(live: LiveConfig) -> list[tuple[str, str]]:
    return [(alarm.kind, alarm.about) for alarm in live.alarms()]


@pytest.fixture
async def centre() -> MemoryCentre:
    return MemoryCentre()


async def started(centre: MemoryCentre, world: TestWorld, **more: Any) -> LiveConfig:
    live = LiveConfig(centre, world, instance="a", **more)
    await live.start()
    return live


async def test_without_a_centre_every_key_has_its_default(world: TestWorld) -> None:
    live = LiveConfig(None, world)
    await live.start()
    assert (live.get(SPEED), live.reachable, live.alarms()) == (3, True, ())


async def test_a_change_is_felt_and_told(centre: MemoryCentre, world: TestWorld) -> None:
    centre.put(SPEED.name, text(1, 5))
    live = await started(centre, world)
    assert (live.get(SPEED), live.version(SPEED.name)) == (5, 1)
    heard: list[frozenset[str]] = []
    live.on_change(heard.append)
    revision = centre.put(SPEED.name, text(2, 6))
    assert await live.wait(revision - 1, SOON_S) == revision
    assert (live.get(SPEED), heard) == (6, [frozenset({SPEED.name})])
    assert live.get(OTHER) == "a"
    await live.close()
    assert live.get(SPEED) == 6


async def test_rules_choose_by_instance_market_and_subject(centre: MemoryCentre, world: TestWorld) -> None:
    rules = (
        Rule(value=1, instances=("a",), markets=("GB",)),
        Rule(value=2, markets=("JP",)),
        Rule(value=4, share_bps=5_000),
    )
    centre.put(SPEED.name, text(1, 9, rules=rules))
    live = await started(centre, world)
    assert [live.get(SPEED, market="GB"), live.get(SPEED, market="GB", instance="b")] == [1, 9]
    assert live.get(SPEED, market="JP") == 2
    assert {live.get(SPEED, subject=f"byr_{n}") for n in range(50)} == {4, 9}
    await live.close()


@pytest.mark.parametrize("bad", [b"{", b"[]", b'{"version":2,"value":"x"}', b'{"version":2,"value":1001}'])
async def test_a_value_that_does_not_fit_is_ignored_with_an_alarm(
    centre: MemoryCentre, world: TestWorld, bad: bytes
) -> None:
    centre.put(SPEED.name, text(1, 5))
    live = await started(centre, world)
    revision = centre.put(SPEED.name, bad)
    await live.wait(revision - 1, SOON_S)
    assert (live.get(SPEED), kinds(live)) == (5, [(IGNORED, SPEED.name)])
    assert live.gauges()["config_values_ignored"] == 1
    revision = centre.put(SPEED.name, text(3, 7))
    await live.wait(revision - 1, SOON_S)
    assert (live.get(SPEED), kinds(live)) == (7, [])
    await live.close()


async def test_a_bad_value_at_the_start_leaves_the_default(centre: MemoryCentre, world: TestWorld) -> None:
    centre.put(SPEED.name, b"{")
    live = await started(centre, world)
    assert (live.get(SPEED), kinds(live)) == (3, [(IGNORED, SPEED.name)])
    await live.close()


async def test_what_the_centre_forgets_stays_in_force(centre: MemoryCentre, world: TestWorld) -> None:
    centre.put(SPEED.name, text(1, 5))
    live = await started(centre, world)
    await live.wait(centre.put(SPEED.name, None) - 1, SOON_S)
    assert (live.get(SPEED), kinds(live)) == (5, [(MISSING, SPEED.name)])
    await live.wait(centre.put(SPEED.name, text(2, 6)) - 1, SOON_S)
    assert (live.get(SPEED), kinds(live)) == (6, [])
    await live.close()


async def test_a_key_of_a_newer_version_is_passed_over(centre: MemoryCentre, world: TestWorld) -> None:
    centre.put("test.of_tomorrow", b'{"version":1,"value":{}}')
    live = await started(centre, world)
    assert kinds(live) == []
    await live.close()


async def test_a_key_that_is_declared_late_has_its_value(centre: MemoryCentre, world: TestWorld) -> None:
    centre.put("test.live_late", text(1, 8))
    live = await started(centre, world)
    late = declare_key("test.live_late", int, 1, "", None, "A late number for tests.")
    assert live.get(late) == 8
    await live.close()


async def test_a_centre_that_goes_away_changes_nothing_and_needs_no_restart(
    centre: MemoryCentre, world: TestWorld
) -> None:
    centre.put(SPEED.name, text(1, 5))
    live = await started(centre, world)
    returned: list[bool] = []
    live.on_return(lambda: returned.append(True))
    centre.leave()
    await until(lambda: bool(live.alarms()))
    assert (live.get(SPEED), live.reachable, kinds(live)) == (5, False, [(UNREACHABLE, "")])
    assert live.gauges()["config_centre_up"] == 0
    centre.put(SPEED.name, text(2, 6))
    centre.come_back()
    await until(lambda: live.reachable)
    assert (live.get(SPEED), kinds(live), returned) == (6, [], [True])
    await live.close()


async def test_a_watch_that_fell_too_far_behind_reads_everything(
    centre: MemoryCentre, world: TestWorld
) -> None:
    live = await started(centre, world)
    centre.put(SPEED.name, text(1, 5))
    centre.put(OTHER.name, text(1, "b"))
    centre.compact()
    await until(lambda: live.get(OTHER) == "b")
    assert (live.get(SPEED), kinds(live)) == (5, [])
    await live.close()


async def test_the_last_good_file_is_used_while_the_centre_is_down_at_the_start(
    centre: MemoryCentre, world: TestWorld, tmp_path: Path
) -> None:
    path = tmp_path / "kept" / "last-good.json"
    centre.put(SPEED.name, text(1, 5))
    first = await started(centre, world, last_good=path)
    await until(path.exists)
    await first.close()
    centre.leave()
    live = await started(centre, world, last_good=path)
    assert live.get(SPEED) == 5
    assert set(kinds(live)) == {(UNREACHABLE, ""), (LAST_GOOD, "")}
    assert live.gauges()["config_last_good_used"] == 1
    centre.put(SPEED.name, text(2, 6))
    centre.come_back()
    await until(lambda: live.get(SPEED) == 6)
    assert kinds(live) == []
    kept = recall(path)
    await until(lambda: (found := recall(path)) is not None and found.revision == live.revision)
    assert kept is not None
    await live.close()


async def test_a_centre_that_hangs_at_the_start_is_not_waited_for(
    world: TestWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    centre = MemoryCentre()

    async def hang() -> Any:
        await asyncio.Event().wait()

    monkeypatch.setattr(centre, "read", hang)
    live = LiveConfig(centre, world, start_wait_s=0.02)
    await asyncio.wait_for(live.start(), SOON_S)
    assert (live.get(SPEED), kinds(live)) == (3, [(UNREACHABLE, "")])
    await live.close()


@pytest.mark.parametrize("broken", ["", "{", '{"revision": "x"}'])
async def test_a_broken_last_good_file_is_no_file(
    centre: MemoryCentre, world: TestWorld, tmp_path: Path, broken: str
) -> None:
    path = tmp_path / "last-good.json"
    path.write_text(broken)
    centre.leave()
    live = await started(centre, world, last_good=path)
    assert (live.get(SPEED), kinds(live)) == (3, [(UNREACHABLE, "")])
    await live.close()


async def test_a_last_good_value_that_does_not_fit_any_more_is_ignored(
    centre: MemoryCentre, world: TestWorld, tmp_path: Path
) -> None:
    path = tmp_path / "last-good.json"
    documents = {SPEED.name: msgspec.Raw(text(1, 5_000)), OTHER.name: msgspec.Raw(text(1, "b"))}
    keep(path, LastGood(instance="a", revision=1, at_ms=1, documents=documents))
    centre.leave()
    live = await started(centre, world, last_good=path)
    assert (live.get(SPEED), live.get(OTHER)) == (3, "b")
    assert (IGNORED, SPEED.name) in kinds(live)
    await live.close()


async def test_a_last_good_file_that_cannot_be_written_is_an_alarm(
    centre: MemoryCentre, world: TestWorld, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    live = await started(centre, world, last_good=tmp_path / "file" / "last-good.json")
    await until(lambda: kinds(live) == [(UNWRITTEN, "")])
    await live.close()


def test_the_last_good_file_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "last-good.json"
    old = LastGood(instance="a", revision=1, at_ms=1, documents={})
    keep(path, old)

    def full(_: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space"):
        keep(path, LastGood(instance="a", revision=2, at_ms=2, documents={}))
    assert recall(path) == old
    assert list(tmp_path.iterdir()) == [path]


async def test_reading_a_value_costs_next_to_nothing(centre: MemoryCentre, world: TestWorld) -> None:
    centre.put(SPEED.name, text(1, 5))
    live = await started(centre, world)
    get = live.get
    best_ns = []
    for _ in range(20):
        began = time.perf_counter_ns()
        for _ in range(1_000):
            get(SPEED)
        best_ns.append((time.perf_counter_ns() - began) / 1_000)
    assert min(best_ns) < 2_000
    await live.close()
