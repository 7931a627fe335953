"""Which config centre the settings mean, and the live values that follow it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from tradepost.infra.config.watched_file import WatchedFile
from tradepost.kernel.world import World
from tradepost.settings import Settings
from tradepost.stability.centre import ConfigCentre
from tradepost.stability.live import LiveConfig

CONFIG_FILE = "config.json"


@contextlib.asynccontextmanager
async def followed(
    settings: Settings, world: World, process: str = ""
) -> AsyncIterator[tuple[ConfigCentre, LiveConfig]]:
    """The centre, etcd or a watched file beside the database, and this process's values; closed in the end.

    Every process of an instance keeps a last good file of its own, called by the name of the `process`.
    """
    folder, instance = Path(settings.server.data_dir), settings.config.instance
    kept = f"{instance}-{process}" if process else instance
    centre: ConfigCentre
    if settings.config.url:
        from tradepost.infra.config.etcd import EtcdCentre  # noqa: PLC0415 - only where chosen

        opened = EtcdCentre(settings.config.url.split(","), prefix=settings.config.prefix)
        centre, close = opened, opened.close
    else:
        file = WatchedFile(folder / CONFIG_FILE)
        centre, close = file, file.close
    live = LiveConfig(centre, world, instance=instance, last_good=folder / f"config-last-good-{kept}.json")
    await live.start()
    try:
        yield centre, live
    finally:
        await live.close()
        await close()
