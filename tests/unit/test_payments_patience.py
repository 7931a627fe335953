"""Waiting for a provider: an answer, a silence, an exception, and somebody who stops waiting."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tradepost.trade.payments.patience import call_provider
from tradepost.trade.payments.port import Providers

PROVIDERS = Providers(call_timeout_ms=30)


async def _answer(*pauses: float) -> str:
    for pause in pauses:
        await asyncio.sleep(pause)
    return "told"


async def _fail(*pauses: float) -> str:
    await _answer(*pauses)
    raise ConnectionError


@pytest.mark.parametrize("pauses", [(), (0,), (0.001, 0, 0.001)])
async def test_an_answer_and_a_failure_with_any_pauses(pauses: tuple[float, ...]) -> None:
    assert await call_provider(PROVIDERS, _answer(*pauses)) == (True, "told")
    assert await call_provider(PROVIDERS, _fail(*pauses)) == (False, None)


async def test_an_answer_without_a_pause_arms_no_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(delay: float | None) -> Any:
        raise AssertionError(f"a timer of {delay} s")

    monkeypatch.setattr(asyncio, "timeout", refuse)
    assert await call_provider(PROVIDERS, _answer()) == (True, "told")


async def test_silence_ends_and_the_call_is_told() -> None:
    ended: list[str] = []

    async def silent() -> str:
        try:
            return await _answer(60)
        finally:
            ended.append("told")

    assert await call_provider(PROVIDERS, silent()) == (False, None)
    assert ended == ["told"]


async def test_who_stops_waiting_is_cancelled() -> None:
    waiting = asyncio.ensure_future(call_provider(Providers(call_timeout_ms=60_000), _answer(60)))
    await asyncio.sleep(0.001)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_task_that_waits_is_known_and_forgotten() -> None:
    task = asyncio.current_task()
    seen: list[bool] = []

    async def look() -> str:
        seen.append(PROVIDERS.is_waited_for_by(task))
        await asyncio.sleep(0)
        seen.append(PROVIDERS.is_waited_for_by(task))
        return "told"

    assert await call_provider(PROVIDERS, look()) == (True, "told")
    assert await call_provider(PROVIDERS, _answer(10)) == (False, None)
    assert (seen, PROVIDERS.is_waited_for_by(task)) == ([False, True], False)
