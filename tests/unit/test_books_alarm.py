"""The proof of the books as an alarm: in turn, bounded, off the hot path, and its result and age as metrics."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.test_telemetry_trace import Told

from tradepost.books.alarm import BooksAlarm, Proof
from tradepost.events.lag import oldest_behind, owed_by
from tradepost.events.store import DEAD, QUEUED, WAITING, Delivery, put_deliveries
from tradepost.infra.storage.sqlite import SqliteStorage
from tradepost.kernel.events import record
from tradepost.kernel.tx import Tx
from tradepost.telemetry.metrics import metric_table
from tradepost.testing.world import TestWorld

FIRST = SimpleNamespace(shard=0)


def printing(text: str, status: int = 0) -> tuple[str, ...]:
    return (sys.executable, "-c", f"import sys; print({text!r}); sys.exit({status})")


GOOD = printing('{"agree": true, "report": {"orders": 3, "findings": []}}')
BAD = printing('{"agree": false, "report": {"findings": [{"kind": "order"}, {"kind": "ledger"}]}}', 1)


def told(alarm: BooksAlarm) -> dict[tuple[str, str], float]:
    found = alarm.samples()
    assert {sample.name for sample in found} <= metric_table().keys()
    return {(sample.name, sample.labels["proof"]): sample.value for sample in found}


async def test_what_a_proof_finds_is_a_metric_and_an_alarm(
    world: TestWorld, caplog: pytest.LogCaptureFixture
) -> None:
    alarm = BooksAlarm(world, [Proof("books", GOOD), Proof("stock", BAD)])
    assert alarm.samples() == [], "nothing is claimed before the first proof"
    await alarm.prove(["books", "stock"])
    world.advance(90_000)
    found = told(alarm)
    assert found["proof_findings", "books"] == 0
    assert found["proof_findings", "stock"] == 2
    assert found["proof_age_seconds", "books"] >= 90
    assert "ALARM: the proof of stock found 2 disagreements" in caplog.text
    assert "proof of books" not in caplog.text


@pytest.mark.parametrize(
    "command",
    [
        printing("no JSON"),
        printing("", 5),
        ("/no/such/program",),
        (sys.executable, "-c", "import time; time.sleep(60)"),
    ],
)
async def test_a_proof_that_does_not_finish_says_so(world: TestWorld, command: tuple[str, ...]) -> None:
    alarm = BooksAlarm(world, [Proof("books", command)], proof_max_s=1.0)
    await alarm.prove(["books"])
    assert told(alarm) == {("proof_unfinished", "books"): 1}


def test_its_turn_comes_after_an_interval_on_the_first_shard_alone(world: TestWorld) -> None:
    alarm = BooksAlarm(world, [Proof("books", GOOD)], every_ms=60_000)
    off = BooksAlarm(world, [Proof("books", GOOD)], every_ms=0)
    assert alarm.due(FIRST, world.now_ms(), 10) == [], "the start is not disturbed"
    world.advance(60_000)
    assert alarm.due(SimpleNamespace(shard=1), world.now_ms(), 10) == []
    assert alarm.sweep().due(FIRST, world.now_ms(), 10) == ["books"]
    assert off.due(FIRST, world.now_ms() + 10**9, 10) == []


async def test_after_a_turn_it_rests(world: TestWorld) -> None:
    alarm = BooksAlarm(world, [Proof("books", GOOD)], every_ms=60_000)
    world.advance(60_000)
    await alarm.sweep().act(["books"])
    assert alarm.due(FIRST, world.now_ms(), 10) == []


def emit(tx: Tx, order_id: str) -> None:
    tx.emit([record(Told(number=version), order_id, version, 1_000 * version) for version in (1, 2, 3)])


def delivery(consumer: str, state: str, version: int, at_ms: int) -> Delivery:
    return Delivery(0, consumer, f"ord_{consumer}_{version}", version, state, 0, 0, "", at_ms)


async def test_lag_is_told_in_time_and_by_who_owes(database_path: Path, world: TestWorld) -> None:
    db = SqliteStorage(database_path)
    order_id = world.mint("order", 1)
    await db.transact(0, emit, order_id)
    first: Any = await db.read(0, oldest_behind, 0)
    assert first == 1_000
    assert await db.read(0, oldest_behind, 2) == 3_000
    assert await db.read(0, oldest_behind, 3) == 0
    waiting = [
        delivery("payments.pay", WAITING, 1, 700),
        delivery("payments.pay", QUEUED, 2, 500),
        delivery("catalog.hear", WAITING, 1, 900),
        delivery("catalog.hear", DEAD, 2, 100),
    ]
    await db.transact(0, put_deliveries, waiting)
    owed = await db.read(0, owed_by)
    assert (owed["payments.pay"].deliveries, owed["payments.pay"].since_ms) == (2, 500)
    assert owed["catalog.hear"].deliveries >= 1
    await db.close()
