"""Metrics: declared once, bounded, robust against a source that fails, merged over processes, in step with the
dashboard and the alerts."""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.unit.test_telemetry_trace import Told

import tradepost
from tradepost.kernel.events import EventRow, Sweep, Task, record
from tradepost.surfaces.api.metrics import Meter
from tradepost.surfaces.api.platform import Groups
from tradepost.telemetry.delivery import WatchedBus, watch_claims, watch_sweeps, watch_tasks
from tradepost.telemetry.metrics import SERIES_MAX, Board, Family, Sample, declare_metrics, metric_table
from tradepost.telemetry.texts import merge
from tradepost.testing.world import TestWorld

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy" / "grafana"
LEFT_OUT = {
    "metric_samples_left_out": "a bound that a shop of this size does not reach; the reference explains it",
    "admission_workers": "a setting, not a course",
}
"""Exported metrics that the dashboard does not show, and why."""


def values(text: bytes) -> dict[str, float]:
    """Samples by name, their labels in order."""
    lines = [line for line in text.decode().splitlines() if line and not line.startswith("#")]
    return {in_order(name): float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def in_order(name: str) -> str:
    name, brace, labels = name.partition("{")
    return name + brace + ",".join(sorted(re.findall(r'\w+="[^"]*"', labels))) + ("}" if brace else "")


def test_requests_are_counted_by_route_status_and_duration() -> None:
    meter = Meter()
    for status, seconds in ((200, 0.0004), (200, 0.003), (503, 99.0)):
        meter.count("/v1/orders/{order_id}", status, seconds)
    found = values(meter.text({"write_queue_depth": 3}, Groups(bounds=(1, 2), counts=(4, 5), calls=14)))
    route = 'route="/v1/orders/{order_id}"'
    assert found[f'tradepost_requests_total{{{route},status="200"}}'] == 2
    assert found[f'tradepost_requests_total{{{route},status="503"}}'] == 1
    assert found[f'tradepost_request_seconds_bucket{{le="0.001",{route}}}'] == 1
    assert found[f'tradepost_request_seconds_bucket{{le="0.005",{route}}}'] == 2
    assert found[f'tradepost_request_seconds_bucket{{le="+Inf",{route}}}'] == 3
    assert found[f"tradepost_request_seconds_count{{{route}}}"] == 3
    assert found[f"tradepost_request_seconds_sum{{{route}}}"] == pytest.approx(99.0034)
    assert found["tradepost_write_queue_depth"] == 3
    assert found['tradepost_commit_calls_bucket{le="2"}'] == found["tradepost_commit_calls_count"] == 9


def test_plain_names_of_other_rooms_become_labels() -> None:
    board = Board()
    board.add(lambda: {"switch_read_only": 1, "switch_coupons_off": 0, "admitted_orders": 7})
    board.add(lambda: {"dependency_redis_open": 1, "dependency_redis_turned_away": 3, "config_revision": 9})
    found = values(board.text())
    assert found['tradepost_switch_on{switch="read_only"}'] == 1
    assert found['tradepost_switch_on{switch="coupons_off"}'] == 0
    assert found['tradepost_admitted_total{priority="orders"}'] == 7
    assert found['tradepost_dependency_open{dependency="redis"}'] == 1
    assert found['tradepost_dependency_turned_away_total{dependency="redis"}'] == 3
    assert found["tradepost_config_revision"] == 9


def test_a_source_that_fails_is_left_out_and_counted() -> None:
    def broken() -> dict[str, int]:
        raise RuntimeError("no numbers")

    board = Board()
    board.add(broken)
    board.add(lambda: [Sample("write_queue_depth", 2)])
    found = values(board.text())
    assert found["tradepost_metric_sources_failed"] == 1
    assert found["tradepost_write_queue_depth"] == 2


def test_a_source_without_bounds_is_cut() -> None:
    board = Board()
    board.add(lambda: [Sample("switch_on", 1, {"switch": str(number)}) for number in range(SERIES_MAX + 5)])
    found = values(board.text())
    assert found["tradepost_metric_samples_left_out"] == 5
    assert len(found) == SERIES_MAX + 2


def test_a_metric_has_one_meaning() -> None:
    declare_metrics([metric_table()["dead_letters"]])
    with pytest.raises(ValueError, match="declared twice"):
        declare_metrics([Family("dead_letters", "counter", "Something else.")])


def test_texts_of_workers_are_merged() -> None:
    one, two = Meter(), Meter()
    one.count("/a", 200, 0.001)
    two.count("/a", 200, 0.001)
    texts = [
        (name, meter.text({"outbox_lag_events": lag}))
        for name, meter, lag in (("api-1", one, 5), ("api-2", two, 6))
    ]
    text = merge(texts, {"api-1": 1, "api-2": 4}, ["work-1"])
    found = values(text)
    assert found['tradepost_requests_total{route="/a",status="200",worker="api-1"}'] == 1
    assert found['tradepost_requests_total{route="/a",status="200",worker="api-2"}'] == 1
    assert found["tradepost_outbox_lag_events"] == 5, "a fact of the installation is told once"
    assert found['tradepost_worker_starts{worker="api-2"}'] == 4
    assert found['tradepost_worker_up{worker="work-1"}'] == 0
    kinds = re.findall(r"^# TYPE (\S+)", text.decode(), re.MULTILINE)
    assert len(kinds) == len(set(kinds)), "each family has one head"


def row(number: int, at_ms: int) -> EventRow:
    return record(Told(number=number), TestWorld().mint("order", number), 1, at_ms)


class Direct:
    """A bus of one subscription."""

    def __init__(self) -> None:
        self.taken: Any = None
        self.own = "mine"

    def subscribe(self, name: str, types: Any, deliver: Any) -> None:
        self.taken = deliver

    async def publish(self, shard: int, rows: Any, upto: int) -> None:
        await self.taken(shard, rows, upto)


async def test_a_bus_is_watched(world: TestWorld) -> None:
    board, inner, got = Board(), Direct(), []

    async def deliver(shard: int, rows: Any, upto: int) -> None:
        if upto == 9:
            raise RuntimeError("not now")
        got.append((shard, len(rows), upto))

    bus = WatchedBus(inner, world, board)
    bus.subscribe("orders.hear", ("test.telemetry.v1",), deliver)
    await bus.publish(0, [row(1, world.now_ms() - 4_000), row(2, world.now_ms())], 2)
    with pytest.raises(RuntimeError):
        await bus.publish(0, [row(3, 0)], 9)
    found = values(board.text())
    assert got == [(0, 2, 2)]
    assert found['tradepost_delivered_events_total{consumer="orders.hear"}'] == 2
    assert found['tradepost_delivery_failures_total{consumer="orders.hear"}'] == 1
    assert found['tradepost_delivery_delay_seconds_sum{consumer="orders.hear"}'] == pytest.approx(4, abs=0.01)
    assert bus.own == "mine", "what else a bus can do is its own"


async def test_tasks_timers_and_claims_are_watched() -> None:
    board = Board()

    async def act(what: Any) -> None:
        if isinstance(what, EventRow) and what.at_ms == 0:
            raise RuntimeError("the provider is away")

    async def claim(buyer_id: str, checkout_id: str) -> bool:
        return checkout_id == "there"

    (task,) = watch_tasks([Task("payments.pay", ("test.telemetry.v1",), act)], board)
    (sweep,) = watch_sweeps([Sweep("inventory.reap_holds", lambda *_: [], act)], board)
    asked = watch_claims(claim, board)
    await task.act(row(1, 1))
    with pytest.raises(RuntimeError):
        await task.act(row(1, 0))
    await sweep.act(["a", "b", "c"])
    assert [await asked("b", "there"), await asked("b", "gone")] == [True, False]
    found = values(board.text())
    assert found['tradepost_task_calls_total{outcome="done",task="payments.pay"}'] == 1
    assert found['tradepost_task_calls_total{outcome="failed",task="payments.pay"}'] == 1
    assert found['tradepost_task_seconds_count{task="payments.pay"}'] == 2
    assert found['tradepost_sweep_rows_total{sweep="inventory.reap_holds"}'] == 3
    assert found['tradepost_holds_past_deadline_total{outcome="kept"}'] == 1
    assert found['tradepost_holds_past_deadline_total{outcome="expired"}'] == 1


def exported() -> dict[str, Family]:
    for module in pkgutil.walk_packages(tradepost.__path__, "tradepost."):
        if not module.name.endswith("__main__") and ".migrations" not in module.name:
            importlib.import_module(module.name)
    return metric_table()


def used_in(text: str) -> set[str]:
    return set(re.findall(r"\btradepost_[a-z0-9_]+", text))


def names_of(family: Family) -> set[str]:
    if family.kind == "histogram":
        return {f"{family.exposed}_{ending}" for ending in ("bucket", "sum", "count")}
    return {family.exposed}


def test_the_dashboard_is_in_step_with_the_metrics() -> None:
    dashboard = msgspec.json.decode((DEPLOY / "tradepost.json").read_bytes())
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    queries = [target["expr"] for panel in panels for target in panel["targets"]]
    used = {name for query in queries for name in used_in(query)}
    table = exported()
    known = {name for family in table.values() for name in names_of(family)}
    assert not used - known, "the dashboard asks for metrics that nobody exports"
    shown = {name for name, family in table.items() if names_of(family) & used}
    assert table.keys() - shown == LEFT_OUT.keys(), "show it in the dashboard or list it as left out"
    for panel in panels:
        assert panel["title"], panel
        assert panel["description"], panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))


def test_the_alerts_ask_for_metrics_that_exist() -> None:
    text = (DEPLOY / "alerts.yaml").read_text("utf-8")
    known = {name for family in exported().values() for name in names_of(family)}
    assert used_in(text)
    assert not used_in(text) - known
    for name in re.findall(r"- alert: (\w+)", text):
        assert name in (ROOT / "docs" / "how-to" / "watch-a-running-shop.md").read_text("utf-8"), name


def test_every_metric_says_what_it_is() -> None:
    for name, family in exported().items():
        assert re.fullmatch(r"[a-z][a-z0-9_]*", name)
        assert family.sentence.endswith("."), name
        assert not name.endswith("_total"), name
