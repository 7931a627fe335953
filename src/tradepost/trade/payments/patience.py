"""How long a provider is waited for: not at all when it answers without a pause, else with a time limit."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any, Generic, TypeVar

from tradepost.trade.payments.port import Providers

T = TypeVar("T")


async def call_provider(providers: Providers, call: Coroutine[Any, Any, T]) -> tuple[bool, T | None]:
    """(True, answer), or (False, None) when the outcome of the call is unknown."""
    try:
        try:
            pause = call.send(None)  # a timer costs more than a provider in this process takes to answer
        except StopIteration as answered:
            return True, answered.value
        with providers.waited_for():
            async with asyncio.timeout(providers.call_timeout_ms / 1000):
                return True, await _Rest(call, pause)
    except Exception:
        return False, None


class _Rest(Generic[T]):
    """What is left of a coroutine that was begun, from its first pause on."""

    def __init__(self, call: Coroutine[Any, Any, T], pause: Any) -> None:
        self._call = call
        self._pause = pause

    def __await__(self) -> Generator[Any, Any, T]:
        pause = self._pause
        try:
            while True:
                try:
                    given = yield pause
                except GeneratorExit:
                    self._call.close()
                    raise
                except BaseException as thrown:
                    pause = self._call.throw(thrown)
                else:
                    pause = self._call.send(given)
        except StopIteration as answered:
            value: T = answered.value
            return value
