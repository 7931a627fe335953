"""The parent and its workers as real processes: killed, drained, replaced under load."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest

ROOT = Path(__file__).resolve().parents[2]
WAIT_S = 30.0


class Parent:
    """A running parent of stand-in workers."""

    def __init__(self, folder: Path, workers: int, work: int = 0, *flags: str) -> None:
        self.folder = folder
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.stand_in", str(folder), str(workers), str(work), *flags],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline().decode()
        self.port = int(line.split()[1]) if line else 0

    def tell(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self) -> int:
        self.tell(signal.SIGTERM)
        return self.process.wait(WAIT_S)

    def closed(self) -> list[str]:
        path = self.folder / "closed"
        return path.read_text().split("\n")[:-1] if path.exists() else []

    def words(self) -> str:
        return self.log.read_text()


@contextlib.asynccontextmanager
async def parent(folder: Path, workers: int, work: int = 0, *flags: str) -> AsyncIterator[Parent]:
    running = await asyncio.to_thread(Parent, folder, workers, work, *flags)
    try:
        yield running
    finally:
        running.process.kill()
        running.process.wait()
        running.process.stdout.close()  # type: ignore[union-attr]


class Connection:
    """One keep-alive connection."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.reader: asyncio.StreamReader | None = None
        self.writer: asyncio.StreamWriter | None = None

    async def get(self, path: str = "/") -> bytes:
        """The body of an answer; opens the connection when there is none. Raises OSError and EOFError."""
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        assert self.reader is not None
        try:
            self.writer.write(f"GET {path} HTTP/1.1\r\nhost: t\r\n\r\n".encode())
            head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
            found = re.search(rb"content-length: (\d+)", head)
            assert found
            assert b" 200 " in head.split(b"\r\n")[0], head
            body = await self.reader.readexactly(int(found[1]))
        except BaseException:
            self.close()
            raise
        if b"connection: close" in head:
            self.close()
        return body

    async def pid(self, path: str = "/") -> int:
        return int(msgspec.json.decode(await self.get(path))["pid"])

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
            self.writer = None


async def pids(port: int, asks: int = 40) -> Counter[int]:
    """Which workers answer so many new connections that are open at once."""
    connections = [Connection(port) for _ in range(asks)]
    found = await asyncio.gather(*(connection.pid() for connection in connections))
    for connection in connections:
        connection.close()
    return Counter(found)


async def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline, "it did not become true"
        await asyncio.sleep(0.02)


class Load:
    """Clients over keep-alive connections that think a little between two requests, and what went wrong."""

    def __init__(self, port: int, clients: int = 16, path: str = "/") -> None:
        self.answers: Counter[int] = Counter()
        self.errors: Counter[str] = Counter()
        self._stop = False
        self._path = path
        self._tasks = [asyncio.ensure_future(self._ask(Connection(port))) for _ in range(clients)]

    async def _ask(self, connection: Connection) -> None:
        while not self._stop:
            try:
                self.answers[await connection.pid(self._path)] += 1
            except (OSError, EOFError) as error:
                self.errors[type(error).__name__] += 1
            await asyncio.sleep(0.01)
        connection.close()

    async def stop(self) -> None:
        self._stop = True
        await asyncio.gather(*self._tasks)


async def test_workers_share_one_port_and_the_load(tmp_path: Path) -> None:
    async with parent(tmp_path, 2) as shop:
        found = await pids(shop.port, 64)
        assert len(found) == 2
        assert min(found.values()) >= 12, found
        one_by_one = []
        for _ in range(20):  # an idle machine: whoever wakes first would take them all
            one_by_one.append(Connection(shop.port))
            await one_by_one[-1].get()
        assert min(Counter([await connection.pid() for connection in one_by_one]).values()) >= 3
        for connection in one_by_one:
            connection.close()
        assert shop.end() == 0
        assert sorted(shop.closed()) == sorted(f"api {pid}" for pid in found)


async def test_a_killed_worker_loses_only_its_own_requests_and_is_replaced(tmp_path: Path) -> None:
    async with parent(tmp_path, 2) as shop:
        before = await pids(shop.port)
        load = Load(shop.port)
        await until(lambda: load.answers.total() > 200)
        victim = min(before)
        os.kill(victim, signal.SIGKILL)
        await until(lambda: shop.words().count(" is ready, pid") == 3)
        await load.stop()
        after = await pids(shop.port)
        assert victim not in after
        assert len(after) == 2
        assert set(load.errors) <= {"IncompleteReadError", "ConnectionResetError"}, load.errors
        assert load.errors.total() <= 16, "a connection of the victim failed once, no other did"
        assert shop.end() == 0


def shop_opened(shop: Parent) -> list[str]:
    return (shop.folder / "opened").read_text().split("\n")[:-1]


async def test_a_worker_that_keeps_dying_is_started_ever_more_slowly(tmp_path: Path) -> None:
    async with parent(tmp_path, 1, 1) as shop:
        for times in range(1, 5):
            await until(lambda times=times: shop.words().count("work-1 is ready") == times)  # type: ignore[misc]
            os.kill(int((tmp_path / "work-1").read_text()), signal.SIGKILL)
        await until(lambda: shop.words().count("filled again in") == 4)
        pauses = [float(found) for found in re.findall(r"filled again in ([\d.]+) s", shop.words())]
        assert pauses == [0.1, 0.2, 0.4, 0.8]
        assert shop.end() == 0


async def test_sigterm_under_load_finishes_what_is_under_way(tmp_path: Path) -> None:
    async with parent(tmp_path, 2, 1) as shop:
        slow = [asyncio.ensure_future(Connection(shop.port).pid("/slow?1.0")) for _ in range(8)]
        load = Load(shop.port, 8)
        await until(lambda: load.answers.total() > 100)
        shop.tell(signal.SIGTERM)
        assert len(await asyncio.gather(*slow)) == 8
        await until(lambda: shop.process.poll() is not None)
        await load.stop()
        assert shop.process.returncode == 0
        assert "IncompleteReadError" not in load.errors, "an answer was cut off"
        kinds = [line.split()[0] for line in shop.closed()]
        assert kinds == ["api", "api", "work"], "those who serve end before those who finish the work"


async def test_sighup_replaces_every_worker_and_nobody_notices(tmp_path: Path) -> None:
    async with parent(tmp_path, 2) as shop:
        before = await pids(shop.port)
        load = Load(shop.port)
        await until(lambda: load.answers.total() > 100)
        shop.tell(signal.SIGHUP)
        await until(lambda: "every process was replaced" in shop.words())
        await load.stop()
        assert not load.errors
        after = await pids(shop.port)
        assert not after.keys() & before.keys()
        assert shop.end() == 0


async def test_without_overlap_connections_wait_while_the_only_process_is_replaced(tmp_path: Path) -> None:
    async with parent(tmp_path, 1, 0, "alone") as shop:
        before = await pids(shop.port, 4)
        load = Load(shop.port, 8)
        await until(lambda: load.answers.total() > 50)
        shop.tell(signal.SIGHUP)
        await until(lambda: "every process was replaced" in shop.words())
        await until(lambda: len(load.answers) == 2)
        await load.stop()
        assert not load.errors
        opened, closed = shop_opened(shop), shop.closed()
        assert closed == [f"api {pid}" for pid in before], "the first had closed when the second opened"
        assert len(opened) == 2
        assert shop.end() == 0


async def test_a_fresh_worker_that_cannot_start_leaves_the_old_one_serving(tmp_path: Path) -> None:
    async with parent(tmp_path, 1) as shop:
        before = await pids(shop.port, 4)
        (tmp_path / "refuse").touch()
        shop.tell(signal.SIGHUP)
        await until(lambda: "keeps its old process" in shop.words())
        assert await pids(shop.port, 4) == before
        assert shop.end() == 0


async def test_a_shop_that_cannot_start_ends_with_the_workers_status(tmp_path: Path) -> None:
    (tmp_path / "refuse").touch()
    async with parent(tmp_path, 2) as shop:
        assert shop.process.wait(WAIT_S) == 3
        assert "server.one_process: told to refuse" in shop.words()


async def test_children_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    async with parent(tmp_path, 1, 1) as shop:
        (api,) = await pids(shop.port, 2)
        shop.process.kill()
        await until(lambda: len(shop.closed()) == 2)
        await until(lambda: not os.path.exists(f"/proc/{api}"))


async def test_a_stuck_worker_is_killed_and_replaced(tmp_path: Path) -> None:
    async with parent(tmp_path, 2, 0, "watch") as shop:
        before = await pids(shop.port)
        asking = asyncio.ensure_future(Connection(shop.port).get("/stuck"))
        with pytest.raises((EOFError, OSError)):
            await asking
        await until(lambda: "was not heard of for" in shop.words())
        await until(lambda: shop.words().count(" is ready, pid") == 3)
        assert len((await pids(shop.port)).keys() & before.keys()) == 1
        assert shop.end() == 0


async def test_any_worker_tells_the_numbers_of_all(tmp_path: Path) -> None:
    async with parent(tmp_path, 2, 1) as shop:
        await pids(shop.port, 30)
        for _ in range(2):
            text = (await Connection(shop.port).get("/metrics")).decode()
            counts = dict(
                re.findall(r'tradepost_requests_total\{worker="(\S+?)",route="/",status="200"\} (\d+)', text)
            )
            assert counts.keys() == {"api-1", "api-2"}
            assert sum(map(int, counts.values())) == 30
            assert text.count("tradepost_outbox_lag_events 7") == 1, "a fact of the installation, told once"
            assert text.count("# TYPE tradepost_requests_total") == 1
            assert 'tradepost_worker_up{worker="work-1"} 1' in text
            assert 'tradepost_worker_starts{worker="api-2"} 1' in text
        (tmp_path / "work-1").read_text()
        os.kill(int((tmp_path / "work-1").read_text()), signal.SIGSTOP)
        text = (await Connection(shop.port).get("/metrics")).decode()
        assert 'tradepost_worker_up{worker="work-1"} 0' in text
        os.kill(int((tmp_path / "work-1").read_text()), signal.SIGCONT)
        assert shop.end() == 0
