"""The load driver against tiny servers: what it counts, how it frames, and whom it refuses to call."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from tradepost.testing.histogram import Histogram
from tradepost.testing.load import Conversation, LoadDriver, LoadReport, run_load
from tradepost.testing.wire import build_request, check_loopback, read_requests, write_requests

Answer = Callable[[bytes], bytes]


def response(status: int, body: bytes, name: str = "content-length", extra: str = "") -> bytes:
    return f"HTTP/1.1 {status} Said\r\n{name}: {len(body)}\r\n{extra}\r\n".encode() + body


@asynccontextmanager
async def server(answer: Answer, pause_s: float = 0) -> AsyncIterator[int]:
    """A server that answers each request with `answer(body)`; b"" closes the connection."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
                body = await reader.readexactly(length)
                await asyncio.sleep(pause_s)
                said = answer(body)
                for start in range(0, len(said), 100_000):
                    writer.write(said[start : start + 100_000])
                    await writer.drain()
                if not said or b"connection: close" in said[:200]:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    started = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with started:
        yield started.sockets[0].getsockname()[1]


async def drive(port: int, requests: Iterator[bytes], **options: object) -> LoadReport:
    return await asyncio.to_thread(run_load, port, requests, **options)


ONE = build_request("POST", "/x", b"{}")


async def test_counts_every_answer_by_status_and_problem_code() -> None:
    kinds = itertools.cycle(
        [
            response(201, b'{"order":1}'),
            response(409, b'{"code":"inventory.sold_out"}', "Content-Length"),
            response(503, b'{"code":"storage.overloaded","x":1}', "CONTENT-LENGTH"),
        ]
    )
    async with server(lambda _: next(kinds)) as port:
        report = await drive(port, itertools.repeat(ONE), connections=4, count=90, codes=True)
    assert report.answered == 90
    assert report.statuses == {"201": 30, "409": 30, "503": 30}
    assert report.codes == {"inventory.sold_out": 30, "storage.overloaded": 30}
    assert report.failures == {}
    assert report.latency.count == 90
    assert report.cpu_share > 0


async def test_reads_bodies_that_come_in_many_pieces_and_sends_large_ones() -> None:
    async with server(lambda body: response(200, body)) as port:
        large = build_request("POST", "/x", b"y" * 3_000_000)
        report = await drive(port, iter([large, large]), connections=2)
    assert report.statuses == {"200": 2}


async def test_connection_close_opens_a_new_one_and_loses_nothing() -> None:
    async with server(lambda _: response(200, b"ok", extra="connection: close\r\n")) as port:
        report = await drive(port, itertools.repeat(ONE), connections=2, count=20)
    assert (report.answered, report.failures) == (20, {})


async def test_a_server_that_hangs_up_is_a_failure_not_an_answer() -> None:
    async with server(lambda _: b"") as port:
        report = await drive(port, itertools.repeat(ONE), connections=2, count=10)
    assert (report.answered, report.failures) == (0, {"closed": 10})


async def test_silence_ends_the_run_after_the_grace() -> None:
    async with server(lambda _: response(200, b""), pause_s=3) as port:
        report = await drive(port, itertools.repeat(ONE), connections=3, count=9, grace_s=0.2)
    assert (report.answered, report.failures) == (0, {"no_answer": 3})


async def test_open_loop_counts_the_wait_that_a_slow_server_causes() -> None:
    async with server(lambda _: response(200, b""), pause_s=0.02) as port:
        report = await drive(port, itertools.repeat(ONE), connections=1, count=30, rate=500)
    assert report.answered == 30
    assert report.service.max_us < report.latency.max_us
    assert report.latency.max_us > 400_000  # 30 answers at 20 ms each against a schedule of 2 ms


async def test_open_loop_keeps_its_rate_on_a_fast_server() -> None:
    async with server(lambda _: response(200, b"")) as port:
        report = await drive(port, itertools.repeat(ONE), connections=8, seconds=0.5, rate=200)
    assert 50 <= report.answered <= 105


async def test_conversations_build_on_the_answers() -> None:
    def talk() -> Conversation:
        _, body = yield build_request("POST", "/a", b"1")
        status, body = yield build_request("POST", "/b", body + b"2")
        assert (status, body) == (200, b"12")

    async with server(lambda body: response(200, body)) as port:
        report = await asyncio.to_thread(
            run_load, port, (), conversations=iter(talk, None), connections=3, count=7
        )
    assert (report.answered, report.conversations.count) == (14, 7)


@pytest.mark.parametrize("host", ["example.com", "10.0.0.1", "0.0.0.0", "8.8.8.8", "::", "localhost.evil"])  # noqa: S104
def test_refuses_every_host_but_this_machine(host: str) -> None:
    with pytest.raises(ValueError, match="loopback"):
        LoadDriver(80, host=host)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_loopback_addresses_are_accepted(host: str) -> None:
    assert check_loopback(host) in {host, "127.0.0.1"}


async def test_runs_as_its_own_process_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "requests"
    assert write_requests(path, [ONE, build_request("GET", "/y", headers={"Accept": "*/*"})]) == 2
    assert read_requests(path)[0] == ONE
    async with server(lambda _: response(204, b"")) as port:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tradepost.testing.load", "--port", str(port)),
            *("--requests", str(path), "--repeat", "--count", "50", "--connections", "4"),
            stdout=subprocess.PIPE,
        )
        output, _ = await process.communicate()
    assert process.returncode == 0
    assert msgspec.json.decode(output, type=LoadReport).statuses == {"204": 50}


@pytest.mark.parametrize("value", [0, 1, 2047, 2048, 2049, 99_999, 10**6, 123_456_789, 2**36])
def test_histogram_keeps_a_value_within_a_thousandth(value: int) -> None:
    histogram = Histogram()
    for other in (value, value, value * 3):
        histogram.note(other)
    assert value <= histogram.at(50) <= value + value // 1000 + 1
    assert histogram.latency().max_us == value * 3


def test_histogram_percentiles_of_a_known_row() -> None:
    histogram = Histogram()
    for value in range(1, 1001):
        histogram.note(value)
    summary = histogram.latency()
    assert (summary.p50_us, summary.p90_us, summary.p99_us, summary.p999_us) == (500, 900, 990, 999)
    assert (summary.count, summary.mean_us) == (1000, 500)
    assert Histogram().latency().p99_us == 0
