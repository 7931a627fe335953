"""What goes on beside the requests: in a process that works, and in one that only answers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Coroutine
from typing import Any

from tradepost.app.parts import App

SANDBOX_EVERY_S = 0.2

log = logging.getLogger("tradepost")


@contextlib.asynccontextmanager
async def running(app: App) -> AsyncIterator[None]:
    """The shop with its relay, deferred deliveries and timers at work, and the sandbox sending webhooks."""
    stop = asyncio.Event()
    async with _beside(stop, [app.platform.runtime.run(stop), _run_sandbox(app, stop), *_follow(app, stop)]):
        yield


@contextlib.asynccontextmanager
async def following(app: App) -> AsyncIterator[None]:
    """The shop of a process that only answers: it hears what others say and change, and leaves the work to them."""
    stop = asyncio.Event()
    async with _beside(stop, _follow(app, stop)):
        yield


def _follow(app: App, stop: asyncio.Event) -> list[Coroutine[Any, Any, None]]:
    desk = app.platform.config
    works = [app.kit.run(stop)]
    if desk is not None:
        works.append(desk.run(stop))
    if app.outbox is not None:
        works.append(app.outbox.run(stop))
    return works


@contextlib.asynccontextmanager
async def _beside(stop: asyncio.Event, works: list[Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    started = [asyncio.ensure_future(work) for work in works]
    for work in started:
        work.add_done_callback(_tell_break)
    try:
        yield
    finally:
        stop.set()
        for found in await asyncio.gather(*started, return_exceptions=True):
            if isinstance(found, BaseException):
                raise found


def _tell_break(work: asyncio.Future[None]) -> None:
    """What breaks while the shop runs is told at once, not when it ends."""
    if not work.cancelled() and (error := work.exception()) is not None:
        log.critical("work beside the requests broke", exc_info=error)


async def _run_sandbox(app: App, stop: asyncio.Event) -> None:
    while not stop.is_set():
        try:
            await app.sandbox.run_due(app.platform.world.now_ms())
        except Exception as error:  # its own book cannot be written while the disk is full or others hold it
            log.warning("the sandbox provider rests: %s", error)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), SANDBOX_EVERY_S)
