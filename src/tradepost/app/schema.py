"""Bring the schema of a shop's database to this version."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from tradepost.app.places import database_of
from tradepost.infra.storage.migrate import schema_fits, schema_version, upgrade
from tradepost.settings import Settings

LOOK_EVERY_S = 10.0


class Migrated(msgspec.Struct, frozen=True, kw_only=True):
    """The revision before and after, empty for none, and whether this call changed it."""

    before: str
    after: str
    changed: bool


def migrate_schema(settings: Settings) -> Migrated:
    """Create or upgrade the schema; of several processes one does and the others wait for it.

    Raises Refusal `storage.schema_newer`, `storage.in_use`, `storage.unreachable`, `storage.unavailable`.
    """
    where = database_of(settings)
    Path(settings.server.data_dir).mkdir(parents=True, exist_ok=True)
    before = schema_version(where)
    changed = upgrade(where)
    return Migrated(before=before, after=schema_version(where), changed=changed)


class SchemaWatch:
    """Whether this version may go on with the schema: asked of the database at most every 10 s, for it costs a
    connection and changes with a release. It held when the process started, which migrates first.
    """

    def __init__(self, settings: Settings) -> None:
        self._where = database_of(settings)
        self._fits = True
        self._ask_at = time.monotonic() + LOOK_EVERY_S

    def holds(self) -> bool:
        """The last answer, asked again when it is old. Raises Refusal `storage.unreachable`."""
        if time.monotonic() >= self._ask_at:
            self._ask_at = time.monotonic() + LOOK_EVERY_S
            self._fits = schema_fits(self._where)
        return self._fits
