"""A read-only view of a SQLite shop for commands that look while the server runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tradepost.infra.storage.sqlite_engine import SqliteTx, connect_reader
from tradepost.kernel.errors import Kind, Refusal, declare_problems

declare_problems(
    {
        "storage.not_found": (
            Kind.NOT_FOUND,
            "There is no database there",
            "Name the folder with DATA_DIR or --data-dir, or start `tradepost serve` once to create it.",
        )
    }
)


class SqliteReader:
    """`read` of the storage port on one file, without owning it. Raises Refusal `storage.not_found`."""

    shards = 1

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise Refusal("storage.not_found", f"{path} does not exist.", field="data_dir")
        self._connection = connect_reader(str(path))

    def shard_of(self, gene: int) -> int:
        """Always shard 0: one file keeps every gene."""
        return 0

    def read(self, shard: int, query: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run a query on what was committed before it started; answered at once, not awaited."""
        self._connection.execute("BEGIN")
        try:
            return query(SqliteTx(self._connection, 0), *args, **kwargs)
        finally:
            self._connection.execute("ROLLBACK")

    def close(self) -> None:
        """Release the file."""
        self._connection.close()
