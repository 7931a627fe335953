"""Group commit where another writer was quicker: the work looks again, once, and only its own caller hears of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tradepost.infra.storage.group import Call, TransactionLost, run_group
from tradepost.kernel.tx import Signal, Taken


class StubEngine:
    """An engine that counts what is asked of it."""

    def __init__(self) -> None:
        self.tx: Any = object()
        self.asked: list[str] = []

    def begin(self, guarded: bool = False) -> None:
        self.asked.append("begin guarded" if guarded else "begin")

    def commit(self) -> list[Signal]:
        self.asked.append("commit")
        return []

    def __getattr__(self, name: str) -> Any:
        if name not in ("pause", "rollback", "flush", "savepoint", "keep", "undo"):
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


def run(*works: Opening) -> tuple[list[Call], StubEngine]:
    engine, calls = StubEngine(), [Call(None, work=work) for work in works]
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
