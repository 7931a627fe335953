"""`tradepost work`: relays, consumers and timers without HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import uvloop

from tradepost.app import open_app, running
from tradepost.settings import Settings
from tradepost.surfaces.cli.crews import work_by_many
from tradepost.surfaces.cli.logs import configure_logs
from tradepost.surfaces.cli.profile import SERVERS, read_settings


def work(
    *,
    profile: str | None = None,
    config: Path | None = None,
    data_dir: str | None = None,
    processes: int | None = None,
) -> None:
    """Run relay, deliveries and timers without HTTP, until interrupted.

    A SQLite file has one owner: use it while `serve` is stopped. With a shared database any number may run, and one
    that dies is started again.

    Parameters
    ----------
    profile
        embedded or production.
    config
        A TOML file of settings.
    data_dir
        Folder of the database.
    processes
        How many processes work side by side.
    """
    given = {"server.data_dir": data_dir, "server.work": processes}

    def read() -> Settings:
        return read_settings(config, profile=profile, overrides=given, needs=tuple(SERVERS))

    settings = read()
    configure_logs()
    count = settings.server.work or 1
    if settings.storage.url or count > 1:
        raise SystemExit(work_by_many(settings, count, read))
    uvloop.run(_work(settings))


async def _work(settings: Settings) -> None:
    async with open_app(settings) as app, running(app), _until_told() as told:
        logging.getLogger("tradepost").info("working; end with Ctrl-C")
        await told.wait()


@contextlib.asynccontextmanager
async def _until_told() -> AsyncIterator[asyncio.Event]:
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told.set)
    yield told
