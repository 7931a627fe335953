"""Chaos without servers: when all is as usual again, what may happen at once, the page, a disk that fills, clocks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tradepost.kernel.errors import Refusal
from tradepost.surfaces.cli.chaos import chaos
from tradepost.testing.chaos import run as chaos_run
from tradepost.testing.chaos.clocks import HOOKS, VARIABLE, move_clock
from tradepost.testing.chaos.crowd import Crowd
from tradepost.testing.chaos.disk import BALLAST, BOUND, small_disk
from tradepost.testing.chaos.faults import FAULTS, PAIRS, chosen
from tradepost.testing.chaos.model import Run, Trial
from tradepost.testing.chaos.page import BARS_MAX, answers_of, render_page
from tradepost.testing.chaos.proof import is_open
from tradepost.testing.chaos.run import Options, watch_usual
from tradepost.testing.chaos.timeline import (
    BIN_MS,
    Sample,
    answers,
    bins_of,
    rate_per_s,
    touched,
    trouble_ms,
    usual_from,
    worst_ms,
)
from tradepost.testing.torture.client import Ask
from tradepost.testing.torture.crowd import Market
from tradepost.testing.torture.goods import Good
from tradepost.testing.torture.report import Check
from tradepost.testing.torture.shop import ShopLost


def steady(from_ms: int, to_ms: int, every_ms: int = 100) -> list[Sample]:
    return [Sample(at, 10, 201) for at in range(from_ms, to_ms, every_ms)]


def test_it_is_as_usual_once_nobody_is_sent_away_for_a_while() -> None:
    samples = [*steady(0, 5_000), Sample(2_000, 500, 503, "storage.unavailable"), *steady(5_000, 9_000)]
    assert usual_from(samples, 1_000, 9_000, 10.0) == 2_500
    assert usual_from(samples, 1_000, 3_900, 10.0) is None, "not for long enough yet"


def test_silence_is_not_as_usual() -> None:
    samples = [*steady(0, 2_000), *steady(6_000, 9_000)]
    found = usual_from(samples, 2_000, 9_000, 10.0)
    assert found is not None
    assert found >= 5_000
    assert usual_from(steady(0, 2_000), 2_000, 9_000, 10.0) is None


def test_answers_are_counted_where_they_came() -> None:
    samples = [
        Sample(0, 100, 201),
        Sample(0, 300, 409, "inventory.sold_out"),
        Sample(100, 400, 503, "storage.unavailable"),
        Sample(0, 900, 0),
        Sample(0, 950, 500, "internal"),
    ]
    bins = bins_of(samples)
    assert (bins.done, bins.refused, bins.away) == ([1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0])
    assert bins.broken == [0, 0, 0, 2]
    assert bins.worst_ms[3] == 950
    assert rate_per_s(samples, 0, 2 * BIN_MS) == 4.0
    assert trouble_ms(samples, 200) == 750
    assert trouble_ms(samples[:2], 0) == 0
    assert answers(samples)["no answer"] == 1
    assert [one.status for one in touched(samples, 350, 450)] == [503, 0, 500]
    assert worst_ms(samples) == 950


def test_a_request_is_open_until_somebody_says_yes_or_no() -> None:
    def ask(status: int, code: str) -> Ask:
        body = b'{"code":"%s"}' % code.encode()
        return Ask(kind="k", method="POST", path="/", body=b"", key="k", token="", status=status, answer=body)

    assert is_open(ask(0, ""))
    assert is_open(ask(503, "storage.unavailable"))
    assert is_open(ask(429, "limit.exceeded"))
    assert is_open(ask(409, "idempotency.in_progress"))
    assert not is_open(ask(409, "inventory.sold_out"))
    assert not is_open(ask(201, ""))


def test_every_fault_is_chosen_unless_some_are_named() -> None:
    assert len(chosen([], pairs=False)) == len(FAULTS)
    assert [tuple(one.name for one in pair) for pair in chosen([], pairs=True)] == list(PAIRS)
    assert [one.name for one in chosen(["kill-api+kill-redis"], pairs=False)[0]] == ["kill-api", "kill-redis"]


@pytest.mark.parametrize("name", ["kill-nobody", "kill-redis+freeze-redis", "kill-redis+kill-vtcombo"])
def test_what_cannot_happen_is_refused(name: str) -> None:
    with pytest.raises(Refusal) as refused:
        chosen([name], pairs=False)
    assert refused.value.code == "chaos.unknown"


def trial(**more: object) -> Trial:
    checks = {"no oversell": Check(name="no oversell", looked_at=1)}
    made = Trial(faults=("kill-redis",), storage="mariadb", sentence="kill -9 of <Redis>", checks=checks)
    for name, value in more.items():
        setattr(made, name, value)
    return made


def test_the_page_names_the_fault_and_what_users_saw() -> None:
    samples = [*steady(0, 3_000), Sample(1_000, 300, 503, "storage.unavailable")]
    seen = {"201": 30, "503 storage.unavailable": 1, "a": 1, "b": 1, "c": 1}
    made = trial(bins=bins_of(samples), from_ms=900, to_ms=1_500, back_ms=250, seen=seen)
    run = Run(started_at="now", seed=1, seconds=4, rate=30, trials=[made], disk="tmpfs")
    page = render_page(run)
    assert "503 storage.unavailable x1" in page
    assert answers_of(made).endswith("1 more")
    assert '<rect class="fault"' in page
    assert '<line class="back"' in page
    assert "&lt;Redis&gt;" in page
    assert run.held


def test_a_long_trial_is_drawn_in_few_bars() -> None:
    bins = bins_of(steady(0, 120_000))
    page = render_page(Run(started_at="now", seed=1, seconds=4, rate=30, trials=[trial(bins=bins)]))
    assert 40 < page.count('<rect class="done"') <= BARS_MAX


def test_a_trial_that_looked_at_nothing_or_broke_does_not_hold() -> None:
    assert trial().held
    assert not trial(checks={}).held
    assert not trial(failure="ShopLost: gone").held
    assert not trial(checks={"x": Check(name="x")}).held
    broken = trial(checks={"x": Check(name="x", looked_at=1, broken=["two of one"])})
    assert not broken.held
    assert broken.complaints() == ["x: two of one"]
    assert not Run(started_at="now", seed=1, seconds=4, rate=30).held


def test_a_small_disk_fills_and_has_room_again(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    with small_disk(folder, size_mb=24) as disk:
        (folder / "data").mkdir()
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder / "data" / "file")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert writer.stdin is not None
        assert writer.stdout is not None

        def write() -> str:
            assert writer.stdin is not None
            assert writer.stdout is not None
            writer.stdin.write("write\n")
            writer.stdin.flush()
            return writer.stdout.readline().strip()

        assert write() == "done"
        disk.fill(writer.pid)
        assert write() == ("File too large" if disk.kind == BOUND else "No space left on device")
        disk.make_room(writer.pid)
        assert not (folder / BALLAST).exists()
        assert write() == "done"
        writer.stdin.close()
        assert writer.wait(10) == 0
        writer.stdout.close()


WRITER = """
import signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
file = open(sys.argv[1], "ab", buffering=0)
for _ in sys.stdin:
    try:
        left = 2 << 20
        while left > 0:
            left -= file.write(bytes(left))
        print("done", flush=True)
    except OSError as error:
        print(error.strerror, flush=True)
"""
CLOCK = "import sys, time\nfor _ in sys.stdin: print(time.time_ns(), flush=True)"


def test_the_clock_of_one_process_jumps(tmp_path: Path) -> None:
    clocks = tmp_path / "clocks"
    clocks.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", CLOCK],
        env={**os.environ, "PYTHONPATH": str(HOOKS), VARIABLE: str(clocks)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None

    def off_s() -> int:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("\n")
        process.stdin.flush()
        return round((int(process.stdout.readline()) - time.time_ns()) / 1e9)

    assert off_s() == 0
    move_clock(clocks, process.pid, 3_600_000)
    assert off_s() == 3_600
    move_clock(clocks, process.pid, -60_000)
    assert off_s() == -60
    move_clock(clocks, process.pid, 0)
    assert off_s() == 0
    process.stdin.close()
    process.stdout.close()
    assert process.wait(10) == 0


def test_a_crowd_at_a_closed_door_writes_down_that_nobody_answered() -> None:
    market = Market(offers=("ofr_1",) * 10, buyers=("par_1",))
    crowd = Crowd([9], market, Good("ofr_1", "sku_1", "X"), "n", 1, 2, 50.0)
    until = time.monotonic() + 10
    with crowd.at_work():
        while len(crowd.watch.samples) < 4 and time.monotonic() < until:
            crowd.watch.now_ms()
    assert {one.status for one in crowd.watch.samples} == {0}
    assert not crowd.defects


def test_no_fault_begins_before_the_shop_has_got_going(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chaos_run, "WARM_S_MIN", 0.05)
    monkeypatch.setattr(chaos_run, "BACK_S", 0.2)
    options = Options(seconds=0.05, rate=20)
    market, good = Market(offers=("ofr_1",), buyers=("par_1",)), Good("ofr_1", "sku_1", "X")
    crowd = Crowd([9], market, good, "going", 1, 2, options.rate)
    found = trial()
    with pytest.raises(ShopLost, match="proper answers a second"):
        watch_usual(crowd, options, found)
    crowd.watch.samples.extend(Sample(at, 1, 201) for at in range(0, 60_000, 10))
    monkeypatch.setattr(crowd.watch, "now_ms", lambda: 50_000)
    watch_usual(crowd, options, found)
    assert found.from_ms == 50_000
    assert found.usual_per_s > 50
    assert found.usual_worst_ms == 1


def test_the_command_lists_faults_without_servers(capsys: pytest.CaptureFixture[str]) -> None:
    chaos(list_faults=True, json=True)
    said = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in said["faults"]] == list(FAULTS)
    assert "kill-work+kill-broker" in said["pairs"]


def test_the_command_refuses_a_fault_it_does_not_know() -> None:
    with pytest.raises(Refusal) as refused:
        chaos(only=("kill-redis,kill-nobody",))
    assert refused.value.code == "chaos.unknown"
