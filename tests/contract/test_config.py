"""What every config centre has to do: read as of a revision, compare and set, tell of changes, say when it is away."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tradepost.infra.config.etcd import EtcdCentre
from tradepost.infra.config.watched_file import WatchedFile
from tradepost.kernel.world import SystemWorld
from tradepost.services import testing as services
from tradepost.stability.centre import (
    CentreForgot,
    CentreUnavailable,
    ConfigCentre,
    Entry,
    Snapshot,
    WriteRaced,
)
from tradepost.stability.keys import Document, declare_key, encode_document
from tradepost.stability.live import UNREACHABLE, LiveConfig
from tradepost.testing.config_push import measure_push

SOON_S = 10
SPEED = declare_key("test.contract_speed", int, 3, "", None, "A number for the contract tests.")
Make = Callable[[], ConfigCentre]


class OneEtcd:
    """A private etcd and where it lies."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url
        self.prefixes = 0

    @property
    def pid(self) -> int:
        return next(iter(services.pids("etcd", self.folder).values()))

    def fresh_prefix(self) -> str:
        self.prefixes += 1
        return f"/test/{self.prefixes}/"


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OneEtcd]:
    folder = tmp_path_factory.mktemp("etcd")
    with services.running("etcd", folder=folder) as servers:
        yield OneEtcd(folder, servers["etcd"].url)


@pytest.fixture(params=["file", pytest.param("etcd", marks=pytest.mark.server("etcd"))])
async def make(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Make]:
    """Makes clients of one centre, as several processes would."""
    made: list[ConfigCentre] = []
    if request.param == "file":

        def build() -> ConfigCentre:
            return WatchedFile(tmp_path / "config" / "config.json")
    else:
        server: OneEtcd = request.getfixturevalue("etcd")
        prefix = server.fresh_prefix()

        def build() -> ConfigCentre:
            return EtcdCentre([server.url], prefix=prefix, silent_s=0.5)

    def one() -> ConfigCentre:
        made.append(build())
        return made[-1]

    yield one
    for centre in made:
        await centre.close()


async def soon(awaited: Awaitable[Any]) -> Any:
    return await asyncio.wait_for(awaited, SOON_S)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(SOON_S):
        while not holds():  # noqa: ASYNC110  what is waited for happens in another task
            await asyncio.sleep(0.01)


async def first(stream: AsyncIterator[Snapshot]) -> Snapshot:
    return await soon(anext(stream))  # type: ignore[no-any-return]


async def test_an_empty_centre_has_no_entries(make: Make) -> None:
    assert (await make().read()).entries == {}


async def test_what_is_written_is_read_as_of_a_later_revision(make: Make) -> None:
    one, other = make(), make()
    empty = await other.read()
    revision = await one.write("a.b", b'{"version":1}', 0)
    found = await other.read()
    assert found.entries == {"a.b": Entry("a.b", b'{"version":1}', revision)}
    assert found.revision >= revision > empty.revision


async def test_each_write_takes_a_later_revision(make: Make) -> None:
    centre = make()
    revisions = [await centre.write("a.b", b"{}", 0)]
    revisions.append(await centre.write("c.d", b"{}", 0))
    revisions.append(await centre.write("a.b", b'{"n":2}', revisions[0]))
    assert revisions == sorted(set(revisions))
    found = (await centre.read()).entries
    assert (found["a.b"].revision, found["c.d"].revision) == (revisions[2], revisions[1])


@pytest.mark.parametrize("seen", [-1, 0, 1_000_000])
async def test_a_write_on_another_revision_changes_nothing(make: Make, seen: int) -> None:
    centre = make()
    revision = await centre.write("a.b", b'{"n":1}', 0)
    with pytest.raises(WriteRaced):
        await centre.write("a.b", b'{"n":2}', revision - 1 if seen < 0 else seen)
    assert (await centre.read()).entries["a.b"] == Entry("a.b", b'{"n":1}', revision)


async def test_an_entry_that_is_not_there_is_not_replaced(make: Make) -> None:
    with pytest.raises(WriteRaced):
        await make().write("a.b", b"{}", 7)


async def test_of_writers_that_saw_the_same_revision_one_wins(make: Make) -> None:
    centres = [make() for _ in range(4)]
    seen = await centres[0].write("a.b", b"{}", 0)
    answers = await asyncio.gather(
        *(centres[n % 4].write("a.b", b'{"n":%d}' % n, seen) for n in range(20)), return_exceptions=True
    )
    won = [(n, answer) for n, answer in enumerate(answers) if not isinstance(answer, BaseException)]
    assert len(won) == 1
    assert all(isinstance(answer, WriteRaced | int) for answer in answers)
    entry = (await centres[0].read()).entries["a.b"]
    assert (entry.text, entry.revision) == (b'{"n":%d}' % won[0][0], won[0][1])


async def test_writers_who_look_again_lose_no_write(make: Make) -> None:
    async def add(centre: ConfigCentre, times: int) -> None:
        while times:
            entry = (await centre.read()).entries.get("a.b")
            count, seen = (0, 0) if entry is None else (int(entry.text or 0), entry.revision)
            try:
                await centre.write("a.b", str(count + 1).encode(), seen)
            except WriteRaced:
                continue
            times -= 1

    await soon(asyncio.gather(*(add(make(), 5) for _ in range(4))))
    assert (await make().read()).entries["a.b"].text == b"20"


async def test_a_watch_tells_what_happened_since_its_revision_and_goes_on(make: Make) -> None:
    one, other = make(), make()
    began = (await other.read()).revision
    await one.write("a.b", b'{"n":1}', 0)
    stream = other.watch(began)
    change = await first(stream)
    assert change.entries["a.b"].text == b'{"n":1}'
    revision = await one.write("a.b", b'{"n":2}', change.entries["a.b"].revision)
    change = await first(stream)
    assert change.entries == {"a.b": Entry("a.b", b'{"n":2}', revision)}
    await one.write("c.d", b"{}", 0)
    assert set((await first(stream)).entries) == {"c.d"}


async def test_a_watch_from_the_newest_revision_tells_nothing_old(make: Make) -> None:
    one, other = make(), make()
    await one.write("a.b", b"{}", 0)
    stream = other.watch((await other.read()).revision)
    waiting = asyncio.ensure_future(first(stream))
    await one.write("c.d", b"{}", 0)
    assert set((await waiting).entries) == {"c.d"}


async def test_the_last_state_always_arrives(make: Make) -> None:
    one, other = make(), make()
    stream = other.watch((await other.read()).revision)
    waiting = asyncio.ensure_future(first(stream))
    seen = 0
    for number in range(30):
        seen = await one.write("a.b", b'{"n":%d}' % number, seen)
    change = await waiting
    while change.entries["a.b"].revision < seen:
        change = await first(stream)
    assert change.entries["a.b"].text == b'{"n":29}'


async def test_processes_follow_a_centre_through_the_client(make: Make) -> None:
    followers = [LiveConfig(make(), SystemWorld(), instance=f"i{n}") for n in range(3)]
    for follower in followers:
        await follower.start()
        assert follower.get(SPEED) == 3
    seen = 0
    for number in (5, 7):
        text = encode_document(Document(version=number, value=number))
        seen = await make().write(SPEED.name, text, seen)
        for follower in followers:
            await follower.wait(seen - 1, SOON_S)
            assert (follower.get(SPEED), follower.version(SPEED.name)) == (number, number)
    for follower in followers:
        await follower.close()


@pytest.mark.parametrize("kind", ["file", pytest.param("etcd", marks=pytest.mark.server("etcd"))])
async def test_a_change_is_in_force_in_four_processes_within_a_second(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    if kind == "file":
        figures = await measure_push(file=str(tmp_path / "config.json"), changes=10)
    else:
        server: OneEtcd = request.getfixturevalue("etcd")
        figures = await measure_push(url=server.url, prefix=server.fresh_prefix(), changes=10)
    assert figures.processes == 4
    assert figures.max_ms < 1_000


async def test_a_file_that_people_edit_is_told_and_a_broken_one_is_away(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    centre = WatchedFile(path)
    await centre.write("a.b", b'{"version":1,"value":1}', 0)
    stream = centre.watch((await centre.read()).revision)
    waiting = asyncio.ensure_future(first(stream))
    await asyncio.sleep(0)
    path.write_text(path.read_text().replace('"value": 1', '"value": 2'))
    assert (await waiting).entries["a.b"].text == b'{"version":1,"value":2}'
    path.write_text("{broken")
    with pytest.raises(CentreUnavailable, match="not readable"):
        await first(stream)
    with pytest.raises(CentreUnavailable):
        await centre.write("a.b", b"{}", 1)
    assert path.read_text() == "{broken"


async def test_a_file_that_may_not_be_written_is_away(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CentreUnavailable):
        await WatchedFile(tmp_path / "file" / "config.json").write("a.b", b"{}", 0)


@pytest.mark.server("etcd")
async def test_a_compacted_watch_says_so_and_the_client_reads_again(etcd: OneEtcd) -> None:
    centre = EtcdCentre([etcd.url], prefix=etcd.fresh_prefix(), silent_s=0.5)
    seen = 0
    for number in range(3):
        seen = await centre.write("a.b", b'{"n":%d}' % number, seen)
    await centre._call("/v3/kv/compaction", {"revision": str(seen), "physical": True})
    with pytest.raises(CentreForgot):
        await first(centre.watch(seen - 2))
    follower = LiveConfig(centre, SystemWorld())
    follower._revision, follower._in_step = seen - 2, True
    follower._tasks = [asyncio.ensure_future(follower._follow(centre))]
    text = encode_document(Document(version=1, value=9))
    revision = await centre.write(SPEED.name, text, 0)
    await follower.wait(revision - 1, SOON_S)
    assert (follower.get(SPEED), follower.alarms()) == (9, ())
    await follower.close()
    await centre.close()


@pytest.mark.server("etcd")
async def test_a_frozen_etcd_is_noticed_within_seconds_and_forgiven(etcd: OneEtcd) -> None:
    centre = EtcdCentre([etcd.url], prefix=etcd.fresh_prefix(), call_s=0.5, silent_s=0.5)
    await centre.write("a.b", b"{}", 0)
    stream = centre.watch((await centre.read()).revision)
    waiting = asyncio.ensure_future(first(stream))
    os.kill(etcd.pid, signal.SIGSTOP)
    try:
        with pytest.raises(CentreUnavailable):
            await waiting
        with pytest.raises(CentreUnavailable):
            await centre.read()
        with pytest.raises(CentreUnavailable):
            await centre.write("c.d", b"{}", 0)
    finally:
        os.kill(etcd.pid, signal.SIGCONT)
    assert set((await centre.read()).entries) >= {"a.b"}
    await centre.close()


@pytest.mark.server("etcd")
async def test_the_next_address_is_asked_when_one_is_dead(etcd: OneEtcd) -> None:
    centre = EtcdCentre(["http://127.0.0.1:9", etcd.url], prefix=etcd.fresh_prefix(), call_s=0.5)
    began = await centre.read()
    await centre.write("a.b", b"{}", 0)
    assert set((await first(centre.watch(began.revision))).entries) == {"a.b"}
    await centre.close()


@pytest.mark.server("etcd")
async def test_a_killed_etcd_leaves_the_last_values_and_needs_no_restart(
    etcd: OneEtcd, tmp_path: Path
) -> None:
    prefix = etcd.fresh_prefix()
    centre = EtcdCentre([etcd.url], prefix=prefix, call_s=0.5, silent_s=0.5)
    seen = await centre.write(SPEED.name, encode_document(Document(version=1, value=11)), 0)
    kept = tmp_path / "last-good.json"
    follower = LiveConfig(centre, SystemWorld(), instance="a", last_good=kept)
    await follower.start()
    await until(kept.exists)
    back = asyncio.Event()
    follower.on_return(back.set)
    os.kill(etcd.pid, signal.SIGKILL)
    await until(lambda: not follower.reachable and bool(follower.alarms()))
    assert follower.get(SPEED) == 11
    assert [alarm.kind for alarm in follower.alarms()] == [UNREACHABLE]
    late = LiveConfig(centre, SystemWorld(), instance="b", last_good=kept, start_wait_s=0.6)
    await late.start()
    assert late.get(SPEED) == 11
    services.stop("etcd", etcd.folder)
    services.start("etcd", etcd.folder)
    await soon(back.wait())
    seen = await centre.write(SPEED.name, encode_document(Document(version=2, value=12)), seen)
    for one in (follower, late):
        await one.wait(seen - 1, SOON_S)
        assert (one.get(SPEED), one.alarms()) == (12, ())
        await one.close()
    await centre.close()
