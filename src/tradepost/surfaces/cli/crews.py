"""The shop as many processes: what each of them opens, and the commands' plans of them."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import socket
import stat
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

from tradepost.app import following, open_app, running
from tradepost.settings import Mode, Settings
from tradepost.surfaces.api import create_asgi
from tradepost.surfaces.cli.greeting import address_of, greeting, prepare_demo
from tradepost.surfaces.cli.processes import API, WORK, Crew, Plan, check_counts, run_plan
from tradepost.surfaces.cli.scrape import SUFFIX

FOLDER = "processes"
"""Where the processes of one data folder ask each other for their numbers, whichever command started them."""
PATH_CHARS_MAX = 80
"""The system bounds the path of a socket at 107; a longer folder is replaced by a short one of the same user."""
PLACES_MAX = 256


def serve_by_many(settings: Settings, listening: socket.socket, read_again: Callable[[], Settings]) -> int:
    """Keep API and work processes running until told to stop; the exit status.

    Raises Refusal `server.one_process` where the database is one file.
    """
    chosen = settings.server
    check_counts(
        shared=bool(settings.storage.url),
        workers=chosen.workers,
        work=chosen.work,
        elsewhere=chosen.works_elsewhere,
    )
    warnings, notes = asyncio.run(_prepare(settings))
    folder = meeting_folder(settings)
    crews = [
        _crew(API, "open_worker", chosen.workers, folder, listening),
        _crew(WORK, "open_work", chosen.work, folder),
    ]
    plan = Plan(settings=settings, crews=crews, read_settings=read_again, folder=folder)
    return run_plan(plan, greeting(settings, address_of(listening), warnings, notes))


def work_by_many(settings: Settings, count: int, read_again: Callable[[], Settings]) -> int:
    """Keep so many work processes running until told to stop; the exit status.

    Raises Refusal `server.one_process` where the database is one file.
    """
    check_counts(shared=bool(settings.storage.url), workers=1, work=count)
    folder = meeting_folder(settings)
    crews = [_crew(WORK, "open_work", count, folder)]
    plan = Plan(settings=settings, crews=crews, read_settings=read_again, folder=folder)
    return run_plan(plan, f"{count} processes work for relays, consumers and timers; end with Ctrl-C")


def _crew(kind: str, opens: str, count: int, folder: str, listening: socket.socket | None = None) -> Crew:
    return Crew(
        kind=kind,
        factory=f"{__name__}:{opens}",
        count=count,
        listening=listening,
        first=first_free(folder, kind),
    )


async def _prepare(settings: Settings) -> tuple[Mapping[str, str], str]:
    """Migrate, and enter the demo shop, once and before the first worker: what is to be warned of, and notes."""
    async with open_app(settings, works=False) as app:
        notes = await prepare_demo(app) if settings.mode is Mode.DEMO else ""
        return app.platform.warnings(), notes


@contextlib.asynccontextmanager
async def open_worker(settings: Settings, number: int) -> AsyncIterator[Any]:
    """One API process. It relays and keeps timers only where no work process does."""
    only_answers = bool(settings.server.work) or settings.server.works_elsewhere
    beside = following if only_answers else running
    async with open_app(settings, process=f"{API}-{number}", works=not only_answers) as app, beside(app):
        yield create_asgi(app.platform)


@contextlib.asynccontextmanager
async def open_work(settings: Settings, number: int) -> AsyncIterator[Any]:
    """One process for relays, consumers and timers; its application answers scrapes alone."""
    async with open_app(settings, process=f"{WORK}-{number}") as app, running(app):
        yield create_asgi(app.platform)


def meeting_folder(settings: Settings) -> str:
    """The folder where processes of this data folder meet, made if need be.

    Where its path is too long for sockets, it is one of the user's temporary folders, named after the data folder.
    Empty where that one is not this user's own: then each command answers for its own processes.
    """
    folder = Path(settings.server.data_dir).absolute() / FOLDER
    if len(str(folder)) > PATH_CHARS_MAX:
        name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
        folder = Path(tempfile.gettempdir()) / f"tradepost-{os.getuid()}-{name}"
        if len(str(folder)) > PATH_CHARS_MAX:
            return ""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    is_own = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022
    return str(folder) if is_own else ""


def first_free(folder: str, kind: str) -> int:
    """The number from which on no process of this kind answers there; what dead ones left is removed."""
    taken = [0]
    for path in sorted(Path(folder).glob(f"{kind}-*{SUFFIX}"))[:PLACES_MAX] if folder else ():
        if _answers(path):
            taken.append(int(path.name.removeprefix(f"{kind}-").removesuffix(SUFFIX)))
        else:
            path.unlink(missing_ok=True)
    return max(taken) + 1


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.settimeout(1.0)
        try:
            asking.connect(str(path))
        except OSError:
            return False
    return True
