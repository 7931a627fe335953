"""Old orders leave the database for files."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tradepost import archive
from tradepost.app.places import DATABASE_FILE, database_of
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


async def read_archived(folder: Path, order_id: str, query: Callable[..., Any]) -> Any:
    """The result of `query(tx, order_id)` over an archived order alone, in a database that is gone afterwards.

    Raises Refusal `archive.order_unknown` and `archive.damaged`, and what the query raises.
    """
    record = archive.find_order(folder, order_id)
    with tempfile.TemporaryDirectory(prefix="tradepost-archived-") as place:
        path = Path(place) / DATABASE_FILE
        upgrade(path)
        db = open_storage(path, writer="thread", group_max=1, writers=1)
        try:
            await db.transact(0, archive.put_back, record.rows)
            return await db.read(0, query, order_id)
        finally:
            await db.close()
