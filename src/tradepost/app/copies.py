"""Look at a shop beside its server, copy it, and move it to another database."""

from __future__ import annotations

from pathlib import Path

from tradepost.app.places import DATABASE_FILE, SANDBOX_FILE, Reader, database_of, database_path
from tradepost.infra.storage import backup, opening
from tradepost.infra.storage.migrate import upgrade
from tradepost.infra.storage.moving import Progress, TableReport, count_rows, move
from tradepost.infra.storage.opening import open_storage
from tradepost.infra.storage.sqlite import FileOwner
from tradepost.infra.storage.sqlite_reader import SqliteReader
from tradepost.kernel.errors import Refusal
from tradepost.settings import SECRET_FILE, Settings, write_private


def open_reader(settings: Settings) -> Reader:
    """The shop for looking only, while servers use it. Raises Refusal `storage.not_found`, `storage.unreachable`."""
    return opening.open_reader(database_of(settings))


def back_up(settings: Settings, to: Path, progress: Progress) -> None:
    """Copy a running shop, of a file or of a server, and its secret into a new folder.

    Raises Refusal `backup.*`, and `storage.*` when the server cannot be read.
    """
    if settings.storage.url:
        from tradepost.infra.storage import snapshot

        snapshot.copy_server(settings.storage.url, to / DATABASE_FILE, progress)
    else:
        backup.copy_database(database_path(settings), to / DATABASE_FILE, _told(progress))
    _copy_secrets(Path(settings.server.data_dir), to)


async def restore_from(settings: Settings, source: Path, progress: Progress) -> None:
    """Make a shop from a copy where there is none: a file, or the rows of an empty database with an address.

    Raises Refusal `backup.*`, and for a database `move.*` and `storage.*`.
    """
    copy, folder = source / DATABASE_FILE, Path(settings.server.data_dir)
    if settings.storage.url:
        if not copy.exists():
            raise Refusal("backup.not_a_shop", f"{copy} is no shop.", field=str(copy))
        await _fill(copy, settings.storage.url, progress, resume=False)
    else:
        backup.copy_database(copy, database_path(settings), _told(progress))
    _copy_secrets(source, folder)


def _told(progress: Progress) -> backup.Progress:
    """Steps of pages as steps of rows: how far, whatever is counted."""
    last = [0]

    def tell(left: int, every: int) -> None:
        progress(f"of {every} pages", every - left - last[0])
        last[0] = every - left

    return tell


def _copy_secrets(source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for name in (SECRET_FILE, SANDBOX_FILE):
        kept = source / name
        if kept.exists() and not (target / name).exists():
            write_private(target / name, kept.read_bytes())


async def move_shop(
    settings: Settings, to: str, progress: Progress, *, resume: bool = False
) -> list[TableReport]:
    """Copy the shop of a file into the database at an address and prove that both are equal.

    With `resume` a move that was interrupted goes on. Raises Refusal `move.*`, `storage.in_use` while somebody else
    has the file, and what the address refuses.
    """
    return await _fill(database_path(settings), to, progress, resume=resume)


async def _fill(path: Path, to: str, progress: Progress, *, resume: bool) -> list[TableReport]:
    source = SqliteReader(path)
    owner = FileOwner(str(path))
    try:
        upgrade(to)
        target = open_storage(to, writer="thread", group_max=0, writers=2)
        try:
            return await move(source, target, progress, resume=resume)
        finally:
            await target.close()
    finally:
        source.close()
        owner.release()


def rows_of(path: Path) -> int:
    """How many rows a file's shop has: the length of a progress bar. Raises Refusal `storage.not_found`."""
    source = SqliteReader(path)
    try:
        rows: int = source.read(0, count_rows)
        return rows
    finally:
        source.close()
