"""Which storage an address means: a path is one SQLite file, an address is a MySQL server or a Vitess keyspace."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from tradepost.infra.storage.sqlite import SqliteStorage
from tradepost.infra.storage.sqlite_reader import SqliteReader
from tradepost.kernel.tx import Storage

FILE_GROUP_MAX = 64
SERVER_GROUP_MAX = 128
"""Most calls of one transaction unless a setting says so: a server's commit costs a network and a sync more."""
STATEMENT_TIMEOUT_S = 10


class OpenStorage(Storage, Protocol):
    """A storage with what health and metrics ask of it."""

    warnings: list[str]

    @property
    def groups(self) -> list[int]:
        """Groups answered, by their size."""
        ...

    @property
    def calls(self) -> int:
        """Calls answered."""
        ...

    def depth(self) -> int:
        """Writes waiting for their group."""
        ...


class Reader(Protocol):
    """`read` of the storage port for commands that only look, answered at once."""

    shards: int

    def shard_of(self, gene: int) -> int:
        """The shard that keeps this gene's rows."""
        ...

    def read(self, shard: int, query: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run a query on what was committed before it started."""
        ...

    def close(self) -> None:
        """Release files and connections."""
        ...


def is_file(where: Path | str) -> bool:
    """Whether one SQLite file is meant."""
    return "://" not in str(where)


def open_storage(
    where: Path | str, *, writer: str, group_max: int, writers: int, timeout_s: int = STATEMENT_TIMEOUT_S
) -> OpenStorage:
    """The storage at a path or address, on the running event loop. A `group_max` of 0 is what suits the engine.

    `timeout_s` bounds one statement of a server. Raises Refusal `storage.in_use`, `storage.url_invalid`,
    `storage.unreachable`, `storage.unsuitable`.
    """
    group_max = group_max or (FILE_GROUP_MAX if is_file(where) else SERVER_GROUP_MAX)
    if is_file(where):
        return SqliteStorage(where, writer=writer, group_max=group_max)
    url = str(where)
    if url.startswith("vitess://"):
        from tradepost.infra.storage.vitess import VitessStorage  # noqa: PLC0415 - only where chosen

        # one writer a shard (docs/adr/0023)
        return VitessStorage(url, writer=writer, group_max=group_max, timeout_s=timeout_s)
    from tradepost.infra.storage.mysql import MysqlStorage  # noqa: PLC0415 - only where chosen

    return MysqlStorage(url, writers=writers, writer=writer, group_max=group_max, timeout_s=timeout_s)


def open_reader(where: Path | str) -> Reader:
    """What is at a path or address, for looking only.

    Raises Refusal `storage.not_found`, `storage.url_invalid`, `storage.unreachable`.
    """
    if is_file(where):
        return SqliteReader(Path(where))
    from tradepost.infra.storage.mysql_reader import MysqlReader  # noqa: PLC0415 - only where chosen

    return MysqlReader(str(where))
