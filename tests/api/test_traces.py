"""Every answer names its trace, problem documents the same one, and what a request writes is found in /metrics."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from tests.api.conftest import Shop

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/health/live", 200),
        ("/v1/orders", 200),
        ("/v1/orders/nothing", 400),
        ("/no/such/route", 404),
        ("/problems", 200),
    ],
)
async def test_every_answer_names_the_callers_trace(shop: Shop, path: str, status: int) -> None:
    reply = await shop.buyer.get(path, headers=PARENT)
    assert (reply.status, reply.headers["tradepost-trace-id"]) == (status, TRACE)
    if status >= 400:
        assert reply.json["trace_id"] == TRACE


async def test_a_request_without_one_gets_its_own(shop: Shop) -> None:
    reply = await shop.buyer.get("/v1/orders/nothing")
    assert reply.json["trace_id"] == reply.headers["tradepost-trace-id"]
    assert len(reply.json["trace_id"]) == 32


async def test_metrics_tell_age_consumers_holds_and_timers(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    await shop.buy()
    shop.world.advance(7_000)
    text = (await shop.buyer.get("/metrics")).body.decode()
    lag = next(line for line in text.splitlines() if line.startswith("tradepost_outbox_lag_seconds "))
    assert float(lag.split()[1]) >= 7
    await shop.platform.runtime.drain()
    vitals: Any = shop.platform.gauges
    vitals.__self__._counted_until = 0.0  # as if a second had passed since the last look
    text = (await shop.buyer.get("/metrics")).body.decode()
    assert "tradepost_outbox_lag_seconds 0.0" in text
    assert 'tradepost_sweep_failures_total{sweep="inventory.reap_holds"} 0.0' in text
    assert 'tradepost_switch_on{switch="read_only"} 0.0' in text
    assert "tradepost_metric_sources_failed 0.0" in text
    assert "_created" not in text
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
