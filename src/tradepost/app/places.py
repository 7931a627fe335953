"""Where a shop's data lies, by its settings."""

from __future__ import annotations

from pathlib import Path

from tradepost.infra.storage import opening
from tradepost.settings import Settings

Reader = opening.Reader
"""The storage's `read` for commands that look while a server runs."""
DATABASE_FILE = "tradepost.db"
SANDBOX_FILE = "sandbox-provider.jsonl"
SANDBOX_SHARED_FILE = "sandbox-provider.db"


def database_path(settings: Settings) -> Path:
    """Where the shop's one file lies."""
    return Path(settings.server.data_dir) / DATABASE_FILE


def database_of(settings: Settings) -> Path | str:
    """The address of the shop's database, or the path of its file."""
    return settings.storage.url or database_path(settings)
