"""A Tx on an in-memory database, each work behind a savepoint as in the real writer: for fast property tests."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any

from sqlalchemy import create_engine
from sqlalchemy.schema import CreateIndex, CreateTable

from tradepost.infra.storage import tables
from tradepost.infra.storage.sqlite_engine import SqliteEngine, connect_writer
from tradepost.infra.storage.tables.columns import METADATA
from tradepost.kernel.events import EventRow


class MemoryDatabase:
    """One private database. `run` commits a work's writes and events, or undoes them when it raises."""

    def __init__(self) -> None:
        for module in pkgutil.iter_modules(tables.__path__):
            importlib.import_module(f"{tables.__name__}.{module.name}")
        self.engine = SqliteEngine(connect_writer(":memory:"), 0)
        dialect = create_engine("sqlite://").dialect
        for table in METADATA.sorted_tables:
            self.engine.connection.execute(str(CreateTable(table).compile(dialect=dialect)))
            for index in table.indexes:
                self.engine.connection.execute(str(CreateIndex(index).compile(dialect=dialect)))

    def run(self, work: Callable[..., Any], *args: Any) -> Any:
        """The work's result, committed; what it raises leaves nothing behind."""
        self.engine.begin()
        self.engine.savepoint()
        try:
            value = work(self.engine.tx, *args)
            self.engine.keep()
        except Exception:
            self.engine.undo()
            self.engine.rollback()
            raise
        self.engine.commit()
        return value

    def events(self, after: int = 0) -> list[EventRow]:
        """The stream after a sequence number."""
        rows = self.engine.tx.query(
            "SELECT gene, aggregate_id, version, type, at_ms, payload, buyer_id, seller_id, sequence"
            " FROM events WHERE sequence > ? ORDER BY sequence",
            (after,),
        )
        return [EventRow(*row) for row in rows]

    def close(self) -> None:
        """Forget everything."""
        self.engine.connection.close()
