"""Old orders leave the database for files."""

from __future__ import annotations

from pathlib import Path

from tradepost import archive
from tradepost.app.places import database_of
from tradepost.infra.storage.migrate import upgrade
from tradepost.infra.storage.opening import open_storage
from tradepost.settings import Settings


async def archive_shop(
    settings: Settings, to: Path, before_ms: int, now_ms: int, progress: archive.Progress
) -> archive.ArchiveReport:
    """Archive what is finished and old. A shop on servers may run meanwhile; one of a file has to stand.

    Raises Refusal `archive.*`, `storage.in_use` while a server has the file, and `storage.*` of the database.
    """
    where = database_of(settings)
    upgrade(where)
    db = open_storage(where, writer="thread", group_max=1, writers=1)
    try:
        with archive.open_folder(to) as folder:
            return await archive.archive(db, folder, before_ms, now_ms, progress)
    finally:
        await db.close()
