"""The composition root: the only rooms that know every other room. They wire them; they decide nothing."""

from __future__ import annotations

from tradepost.app.archiving import archive_shop, read_archived
from tradepost.app.at_work import following, running
from tradepost.app.copies import back_up, move_shop, open_reader, restore_from, rows_of
from tradepost.app.opening import open_app, refuse_demo_keys, sandbox_secret, webhooks_to
from tradepost.app.parts import App, Parts
from tradepost.app.places import (
    DATABASE_FILE,
    SANDBOX_FILE,
    SANDBOX_SHARED_FILE,
    Reader,
    database_of,
    database_path,
)
from tradepost.app.schema import Migrated, migrate_schema
from tradepost.app.wiring import consumers, sweeps, tasks, wire

__all__ = [
    "DATABASE_FILE",
    "SANDBOX_FILE",
    "SANDBOX_SHARED_FILE",
    "App",
    "Migrated",
    "Parts",
    "Reader",
    "archive_shop",
    "back_up",
    "consumers",
    "database_of",
    "database_path",
    "following",
    "migrate_schema",
    "move_shop",
    "open_app",
    "open_reader",
    "read_archived",
    "refuse_demo_keys",
    "restore_from",
    "rows_of",
    "running",
    "sandbox_secret",
    "sweeps",
    "tasks",
    "webhooks_to",
    "wire",
]
