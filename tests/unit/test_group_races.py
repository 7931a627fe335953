"""Group commit where another writer was quicker: the work looks again, once, and only its own caller hears of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pymysql
import pytest

from tradepost.infra.storage import mysql_engine
from tradepost.infra.storage.group import Call, TransactionLost, run_group
from tradepost.infra.storage.mysql_engine import MysqlEngine
from tradepost.infra.storage.mysql_target import parse_url
from tradepost.kernel.errors import Refusal
from tradepost.kernel.tx import Signal, Taken


class StubEngine:
    """An engine that counts what is asked of it."""

    def __init__(self, runs_max: int = 3) -> None:
        self.tx: Any = object()
        self.asked: list[str] = []
        self._runs_max = runs_max

    def pause(self, runs: int, lost: TransactionLost) -> bool:
        self.asked.append("pause")
        return runs < self._runs_max

    def begin(self, guarded: bool = False) -> None:
        self.asked.append("begin guarded" if guarded else "begin")

    def commit(self) -> list[Signal]:
        self.asked.append("commit")
        return []

    def __getattr__(self, name: str) -> Any:
        if name not in ("rollback", "flush", "savepoint", "keep", "undo"):
            raise AttributeError(name)
        return lambda *_: self.asked.append(name)


class Opening:
    """Opens something that another writer opens at the same moment, so many times in a row."""

    def __init__(self, taken: int, error: type[Exception] = Taken) -> None:
        self.runs = 0
        self._taken = taken
        self._error = error

    def __call__(self, tx: Any) -> str:
        self.runs += 1
        if self.runs <= self._taken:
            raise self._error("it is there already")
        return "found"


def run(*works: Opening, runs_max: int = 3) -> tuple[list[Call], StubEngine]:
    engine, calls = StubEngine(runs_max), [Call(None, work=work) for work in works]
    run_group(engine, calls)
    return calls, engine


def test_a_work_whose_key_was_taken_meanwhile_looks_again() -> None:
    (call,), engine = run(Opening(1))
    assert (call.value, call.error) == ("found", None)
    assert engine.asked == ["begin", "savepoint", "undo", "savepoint", "keep", "commit"]


def test_a_key_that_stays_taken_is_told_to_its_caller_alone() -> None:
    (other, call), _ = run(Opening(0), Opening(9))
    assert isinstance(call.error, Taken)
    assert call.value is None
    assert (other.value, other.error) == ("found", None)


def test_other_errors_are_not_tried_again() -> None:
    work = Opening(1, ValueError)
    (call,), _ = run(work)
    assert isinstance(call.error, ValueError)
    assert work.runs == 1


def test_a_lost_transaction_runs_as_a_whole() -> None:
    lost, other = Opening(1, TransactionLost), Opening(0)
    (first, second), _ = run(lost, other)
    assert (first.value, second.value) == ("found", "found")
    assert lost.runs == 2


def test_the_engine_says_how_often_a_lost_transaction_is_worth_another_run() -> None:
    lost = Opening(7, TransactionLost)
    (call,), engine = run(lost, runs_max=8)
    assert (call.value, lost.runs, engine.asked.count("pause")) == ("found", 8, 7)
    lost = Opening(8, TransactionLost)
    (call,), _ = run(lost, runs_max=8)
    assert isinstance(call.error, Refusal)
    assert (call.error.code, lost.runs) == ("storage.unavailable", 8)


def test_mariadb_runs_eight_times_but_begins_none_after_some_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = MysqlEngine(parse_url("mysql://a:b@127.0.0.1/c"), 0, lambda gene: True)
    now_s, rests = [0.0], list[float]()
    monkeypatch.setattr("tradepost.infra.storage.mysql_engine.time.monotonic", lambda: now_s[0])
    monkeypatch.setattr("tradepost.infra.storage.mysql_engine.time.sleep", rests.append)
    deadlock, full = TransactionLost("in the way"), TransactionLost("no room")
    deadlock.__cause__, full.__cause__ = (pymysql.err.OperationalError(code, "") for code in (1213, 1114))
    assert [engine.pause(runs, deadlock) for runs in range(1, 9)] == [True] * 7 + [False]
    assert sum(rests) < 1, "deadlocks are told at once, and their rests are short"
    assert [engine.pause(runs, full) for runs in range(1, 4)] == [True, True, False]
    assert engine.pause(1, deadlock)
    now_s[0] = mysql_engine.RUNS_S + 1  # each run may have waited for a lock until the server said no
    assert not engine.pause(2, deadlock)


class Items:
    """A handler that finds a key taken whenever `opening` says so, and counts what it was given."""

    name = "test:ITEMS"
    rows_of = None

    def __init__(self, opening: Opening) -> None:
        self.opening = opening
        self.given: list[int] = []

    def handle(self, tx: Any, items: Sequence[Any]) -> list[str]:
        self.given.append(len(items))
        return [self.opening(tx)] * len(items)


def run_items(handler: Items, count: int) -> list[Call]:
    engine, calls = StubEngine(), [Call(None, handler=handler, item=number) for number in range(count)]  # type: ignore[arg-type]
    run_group(engine, calls)
    return calls


def test_an_item_alone_looks_again_as_those_of_a_bigger_batch_do() -> None:
    alone = Items(Opening(2))
    (call,) = run_items(alone, 1)
    assert (call.value, call.error, alone.given) == ("found", None, [1, 1, 1])
    pair = Items(Opening(2))
    assert [one.value for one in run_items(pair, 2)] == ["found", "found"]


def test_an_item_whose_key_stays_taken_is_told_so() -> None:
    alone = Items(Opening(9))
    (call,) = run_items(alone, 1)
    assert isinstance(call.error, Taken)
    assert alone.given == [1, 1, 1]
    broken = Items(Opening(9, ValueError))
    (call,) = run_items(broken, 1)
    assert isinstance(call.error, ValueError)
    assert broken.given == [1, 1], "only a race is worth another look"
