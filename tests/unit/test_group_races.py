"""Group commit where another writer was quicker: the work looks again, once, and only its own caller hears of it."""

from __future__ import annotations

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
