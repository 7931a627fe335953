"""One trace from the request through commit, outbox and bus to consumer and task; nothing of it while it is off."""

from __future__ import annotations

import builtins
import importlib
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tests.unit.test_telemetry_trace import PARENT, SPAN, TRACE, Told

from tradepost.events import Runtime, read_stream
from tradepost.events.bus import Bus, DirectBus
from tradepost.infra.storage.sqlite import SqliteStorage
from tradepost.kernel.errors import Refusal
from tradepost.kernel.events import Consumer, EventRow, Task, record
from tradepost.kernel.tx import BatchHandler, Tx
from tradepost.telemetry.asgi import ROUTE, Traced
from tradepost.telemetry.delivery import WatchedBus, watch_tasks
from tradepost.telemetry.metrics import Board
from tradepost.telemetry.spans import ALL, Spans, open_spans
from tradepost.telemetry.storage import TracedStorage
from tradepost.telemetry.trace import bound, carried, trace_id
from tradepost.testing.world import TestWorld

SAYS = ("test.telemetry.v1",)


class Item(msgspec.Struct, frozen=True):
    """An item of the handler below."""

    order_id: str
    number: int


def tell_all(tx: Tx, items: Sequence[Item]) -> list[str | Refusal]:
    """Emit a fact for each; number 13 is refused."""
    answers: list[str | Refusal] = []
    for item in items:
        if item.number == 13:
            answers.append(Refusal("state.conflict", "unlucky"))
        else:
            tx.emit([record(Told(number=item.number), item.order_id, 1, 5)])
            answers.append(item.order_id)
    return answers


TELL = BatchHandler("tests.unit.test_telemetry_spans:TELL", tell_all, Item, str)


def tell_one(tx: Tx, order_id: str, version: int) -> None:
    """A plain work that emits."""
    tx.emit([record(Told(number=version), order_id, version, 5)])


def consume(tx: Tx, rows: Sequence[EventRow]) -> None:
    """A consumer without effect."""


class Recorder:
    """Spans kept in memory."""

    def __init__(self, share: int = ALL) -> None:
        self.exporter = InMemorySpanExporter()
        self.spans: Spans = open_spans(share=share, process="test", exporter=self.exporter)

    def found(self) -> dict[str, ReadableSpan]:
        self.spans._provider.force_flush()
        return {span.name: span for span in self.exporter.get_finished_spans()}


@pytest.fixture
def recorder() -> Any:
    made = Recorder()
    yield made
    made.spans.close()


@pytest.fixture(params=["thread", "process"])
async def db(database_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[SqliteStorage]:
    """A storage with its writer here and there."""
    storage = SqliteStorage(database_path, writer=request.param)
    yield storage
    await storage.close()


async def ask(app: Any, traceparent: str = "", status: int = 200) -> dict[str, str]:
    """Ask the application; the headers of its answer."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"traceparent", traceparent.encode())] if traceparent else []
    await app({"type": "http", "method": "POST", "path": "/v1/things", "headers": headers}, None, send)
    return {name.decode(): value.decode() for name, value in sent[0]["headers"]}


def placing(db: Any, item: Item, status: int = 201) -> Any:
    """An application that gives one item to the handler."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope[ROUTE] = "/v1/things"
        try:
            await db.batch(0, TELL, item)
            code = status
        except Refusal:
            code = 409
        await send({"type": "http.response.start", "status": code, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    return app


async def test_one_trace_from_the_request_to_the_task(
    db: SqliteStorage, world: TestWorld, recorder: Recorder
) -> None:
    seen: list[str] = []

    async def act(row: EventRow) -> None:
        seen.append(trace_id())

    traced: Any = TracedStorage(cast(Any, db), recorder.spans)
    board = Board()
    runtime = Runtime(
        traced,
        world,
        consumers=[Consumer("test.hear", SAYS, consume)],
        tasks=watch_tasks([Task("test.call", SAYS, act)], board, recorder.spans),
        bus=cast(Bus, WatchedBus(DirectBus(), world, board, recorder.spans)),
    )
    item = Item(world.mint("order", 1), 1)
    headers = await ask(Traced(placing(traced, item), world, recorder.spans), PARENT)
    assert headers["tradepost-trace-id"] == TRACE
    await runtime.drain()
    found = recorder.found()
    assert set(found) >= {
        "POST /v1/things",
        "commit TELL",
        "publish",
        "consume test.hear",
        "consume test.call",
        "task test.call",
    }
    assert {f"{span.context.trace_id:032x}" for span in found.values()} == {TRACE}
    request, commit = found["POST /v1/things"], found["commit TELL"]
    assert f"{request.parent.span_id:016x}" == SPAN, "a child of the caller's span"  # type: ignore[union-attr]
    assert commit.parent.span_id == request.context.span_id  # type: ignore[union-attr]
    for name in ("publish", "consume test.hear", "task test.call"):
        assert found[name].parent.span_id == commit.context.span_id, name  # type: ignore[union-attr]
    assert request.attributes["http.response.status_code"] == 201  # type: ignore[index]
    assert seen == [TRACE], "what the task does belongs to the trace"


async def test_without_a_caller_the_request_is_the_root_of_the_trace_that_is_told(
    db: SqliteStorage, world: TestWorld, recorder: Recorder
) -> None:
    traced: Any = TracedStorage(cast(Any, db), recorder.spans)
    headers = await ask(Traced(placing(traced, Item(world.mint("order", 1), 1)), world, recorder.spans))
    request = recorder.found()["POST /v1/things"]
    assert request.parent is None
    assert f"{request.context.trace_id:032x}" == headers["tradepost-trace-id"]


async def test_a_refusal_is_no_error_and_changes_nothing(
    db: SqliteStorage, world: TestWorld, recorder: Recorder
) -> None:
    traced: Any = TracedStorage(cast(Any, db), recorder.spans)
    await ask(Traced(placing(traced, Item(world.mint("order", 1), 13)), world, recorder.spans), PARENT)
    found = recorder.found()
    assert found["commit TELL"].attributes["tradepost.code"] == "state.conflict"  # type: ignore[index]
    assert found["commit TELL"].status.is_unset
    assert found["POST /v1/things"].status.is_unset
    assert await db.read(0, read_stream, 0, 10) == []


async def test_what_is_not_recorded_goes_its_usual_way(db: SqliteStorage, world: TestWorld) -> None:
    never = Recorder(share=0)
    traced: Any = TracedStorage(cast(Any, db), never.spans)
    assert traced.shards == 1
    assert traced.shard_of(7) == 0
    await ask(Traced(placing(traced, Item(world.mint("order", 1), 1)), world, never.spans), PARENT)
    await traced.transact(0, tell_one, world.mint("order", 2), 1)
    rows = await db.read(0, read_stream, 0, 10)
    assert [carried(row.payload) for row in rows] == ["", ""]
    assert not never.found()
    never.spans.close()


async def test_a_page_of_several_traces_belongs_to_none(world: TestWorld, recorder: Recorder) -> None:
    inside: list[str] = []

    async def deliver(shard: int, rows: Any, upto: int) -> None:
        inside.append(trace_id())

    bus = WatchedBus(DirectBus(), world, Board(), recorder.spans)
    bus.subscribe("test.hear", SAYS, deliver)
    parents = [PARENT, f"00-{'ab' * 16}-{SPAN}-01"]
    rows = []
    for number, parent in enumerate(parents):
        row = record(Told(number=number), world.mint("order", number), 1, 5)
        payload = row.payload[:-1] + b',"traceparent":"' + parent.encode() + b'"}'
        rows.append(msgspec.structs.replace(row, payload=payload, sequence=number + 1))
    await bus.publish(0, rows, 2)
    recorder.spans._provider.force_flush()
    spans = [span for span in recorder.exporter.get_finished_spans() if span.name == "consume test.hear"]
    assert {f"{span.context.trace_id:032x}" for span in spans} == {TRACE, "ab" * 16}
    assert inside == [""]


async def test_a_defect_is_marked_without_its_message(world: TestWorld, recorder: Recorder) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("12 St James Square")

    with pytest.raises(RuntimeError):
        await Traced(app, world, recorder.spans)(
            {"type": "http", "method": "GET", "path": "/", "headers": []}, cast(Any, None), cast(Any, None)
        )
    (span,) = recorder.found().values()
    assert not span.status.is_ok
    assert span.attributes["error.type"] == "RuntimeError"  # type: ignore[index]
    assert "St James" not in span.to_json()


def test_a_stranger_cannot_make_us_record() -> None:
    spans = Recorder(share=ALL // 4).spans
    assert [spans.chooses(chance) for chance in (0, ALL // 4 - 1, ALL // 4, ALL - 1)] == [
        True,
        True,
        False,
        False,
    ]
    spans.close()


def test_without_the_extra_the_refusal_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *more: Any, **named: Any) -> Any:
        if name.startswith("opentelemetry"):
            raise ImportError("gone", name=name)
        return real(name, *more, **named)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(Refusal) as refused:
        open_spans()
    assert refused.value.code == "telemetry.extra_missing"


def test_nothing_of_it_is_loaded_while_it_is_off() -> None:
    code = "import sys, tradepost.telemetry.asgi, tradepost.telemetry.storage, tradepost.telemetry.delivery"
    code += "; sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert importlib.import_module("tradepost.telemetry.spans").ALL == ALL


def test_a_collector_that_is_away_costs_spans_and_nothing_else() -> None:
    spans = open_spans("http://127.0.0.1:9/v1/traces", process="test")
    with bound(TRACE), spans.step("alone", "internal", PARENT):
        pass
    spans.close()
