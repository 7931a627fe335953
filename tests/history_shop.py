"""A shop with orders, payments, refunds and returns: a history that was replayed into a file, made once and copied."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import msgspec
from tests.arch.tree import ROOT

from tradepost.app import database_path, open_app
from tradepost.books import BooksReport, check_books, merge_books
from tradepost.kernel.tx import Storage
from tradepost.replay.history import open_text, read_lines
from tradepost.replay.report import Report
from tradepost.replay.run import Replay
from tradepost.settings import Settings, load_settings
from tradepost.surfaces.cli.replay import HISTORY_SETTINGS
from tradepost.testing.world import TestWorld
from tradepost.trade import inventory, ledger

DATA = ROOT / "tests/data"
SMALL = DATA / "history_small.csv"
PART = DATA / "online_retail_part.csv.xz"
MEASURED = ("elapsed_s", "orders_per_s", "lines_per_s")
FINISHED_MS = 400 * 86_400_000
"""Long after the end of any history here."""


def settings_of(folder: Path, url: str = "") -> Settings:
    """A shop of a folder, or of an address."""
    return load_settings({}, None, {**HISTORY_SETTINGS, "server.data_dir": str(folder), "storage.url": url})


async def replay(settings: Settings, file: Path) -> dict[str, Any]:
    """The report of a history, without what depends on the machine."""
    with open_text(file) as text:
        lines = list(read_lines(text))
    world = TestWorld(seed=1)
    async with open_app(settings, world=world) as app:
        report: Report = await Replay(app, world).run(lines)
    return {name: value for name, value in msgspec.to_builtins(report).items() if name not in MEASURED}


def make_shop(folder: Path, file: Path = SMALL) -> Settings:
    """A shop of a file in a folder, with this history behind it."""
    settings = settings_of(folder)
    asyncio.run(replay(settings, file))
    with contextlib.closing(sqlite3.connect(database_path(settings), isolation_level=None)) as connection:
        # a lane writes its cursor with the next event it carries, which a shop that trades on has: this one has ended
        connection.execute("UPDATE relay_cursors SET sequence = (SELECT MAX(sequence) FROM events)")
    return settings


def copied(made: Settings, folder: Path) -> Settings:
    """A shop of one's own: a copy of the one that was made."""
    shutil.copytree(made.server.data_dir, folder)
    return settings_of(folder)


async def books_of(db: Storage) -> BooksReport:
    """The books over all shards."""
    return merge_books([await db.read(shard, check_books) for shard in range(db.shards)])


async def balances_of(db: Storage) -> dict[tuple[str, str], tuple[int, int]]:
    """(posted, pending) by account and currency, over all shards, zeros left out."""
    report = ledger.merge_reports([await db.read(shard, ledger.check_ledger) for shard in range(db.shards)])
    assert report.balanced, report.findings
    found = {key: (one.posted_minor, one.pending_minor) for key, one in report.balances.items()}
    return {key: sums for key, sums in found.items() if sums != (0, 0)}


async def stock_of(db: Storage, now_ms: int) -> inventory.StockReport:
    """The stock over all shards."""
    return inventory.merge_reports(
        [await db.read(shard, inventory.check_stock, now_ms) for shard in range(db.shards)]
    )
