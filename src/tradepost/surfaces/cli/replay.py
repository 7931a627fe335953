"""`tradepost replay online-retail FILE`: a real shop's history through the real path."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any, Literal

import msgspec
import uvloop
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tradepost.app import open_app
from tradepost.events import read_stream
from tradepost.kernel.errors import Kind, Refusal, declare_problems
from tradepost.kernel.tx import Storage
from tradepost.replay.history import open_text, read_lines
from tradepost.replay.report import Report
from tradepost.replay.run import Replay
from tradepost.settings import Settings, load_settings
from tradepost.surfaces.cli.output import FAILED, errors, print_facts, print_json
from tradepost.testing.world import TestWorld

declare_problems(
    {
        "replay.file_invalid": (
            Kind.INVALID,
            "Not a history that can be replayed",
            "Give a CSV file, packed with xz or not, with the columns of the Online Retail set.",
        ),
        "replay.database_invalid": (
            Kind.INVALID,
            "Not a database that can be used",
            "Give sqlite:///path/to/folder of a shop that does not exist yet, the mysql:// or vitess:// address of an"
            " empty database, or leave it out.",
        ),
    }
)

SERVERS = ("mysql://", "mariadb://", "vitess://")
HISTORY_SETTINGS: dict[str, Any] = {
    "storage.writer": "thread",
    "limits.lines_max": 20_000,
    "limits.quantity_max": 10_000_000,
    "checkout.velocity_orders_max": 0,
    "checkout.remorse_ms": 0,
    "checkout.complete_after_ms": 1,
    "checkout.quote_ttl_ms": 3_600_000,
}
"""Real invoices are long, were not held for remorse, and are complete the instant after delivery."""


def replay(
    history: Literal["online-retail"],
    file: Path,
    *,
    database: str = "",
    report: Path | None = None,
    json: bool = False,
) -> None:
    """Run a shop's history through quote, order, payment, shipment and returns on virtual time, and reconcile it.

    Ends with 1 when gross, captured and ledger do not agree to the penny or stock is not conserved.

    Parameters
    ----------
    history
        The kind of history.
    file
        The history, as CSV or CSV packed with xz.
    database
        sqlite:///FOLDER to keep the shop it makes, or the mysql:// or vitess:// address of an empty database; a
        folder that is deleted afterwards when left out.
    report
        Write the report as JSON to this file.
    json
        Print the report as JSON instead of a table.
    """
    if not file.is_file():
        raise Refusal("replay.file_invalid", f"{file} is no file.", field="FILE")
    with tempfile.TemporaryDirectory(prefix="tradepost-replay-") as scratch:
        on_server = database.startswith(SERVERS)
        folder = Path(scratch) if on_server or not database else _folder(database)
        where = {"server.data_dir": str(folder), "storage.url": database if on_server else ""}
        settings = load_settings({}, None, HISTORY_SETTINGS | where)
        done = uvloop.run(_replay(settings, file))
    if report is not None:
        report.write_bytes(msgspec.json.format(msgspec.json.encode(done), indent=2) + b"\n")
    if json:
        print_json(done)
    else:
        print_facts(f"Replay of {file.name}", msgspec.structs.asdict(done))
    if not done.reconciled:
        errors.print("[bold red]The history does not reconcile.[/] See `findings` and the amounts above.")
        raise SystemExit(FAILED)


def _folder(database: str) -> Path:
    scheme, _, path = database.partition("://")
    if scheme != "sqlite" or not path.strip("/"):
        raise Refusal(
            "replay.database_invalid",
            f"A database of the scheme {scheme[:20]!r} cannot be used.",
            field="--database",
            expected="sqlite:///FOLDER, mysql://... or vitess://...",
        )
    folder = Path(path[1:])
    if (folder / "tradepost.db").exists():
        raise Refusal(
            "replay.database_invalid",
            f"{folder} already holds a shop.",
            field="--database",
            expected="a folder without one: a history is replayed into an empty shop",
        )
    return folder


async def _replay(settings: Settings, file: Path) -> Report:
    with open_text(file) as text:
        lines = await asyncio.to_thread(lambda: list(read_lines(text)))
    world = TestWorld(seed=1)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=errors) as progress:
        bars: dict[str, int] = {}

        def advance(what: str, done: int, total: int) -> None:
            if what not in bars:
                bars[what] = progress.add_task(what, total=total)
            progress.update(bars[what], completed=done, total=total)  # type: ignore[arg-type]

        async with open_app(settings, world=world) as app:
            await _refuse_filled(app.platform.db)
            run = Replay(app, world, advance)
            run.report.file = file.name
            return await run.run(lines)


async def _refuse_filled(db: Storage) -> None:
    for shard in range(db.shards):
        if await db.read(shard, read_stream, 0, 1):
            raise Refusal(
                "replay.database_invalid",
                "The database already holds a shop.",
                field="--database",
                expected="an empty one: a history is replayed into an empty shop",
            )
