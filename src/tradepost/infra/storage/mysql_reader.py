"""A read-only view of a shop on MySQL or Vitess for commands that look while it runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tradepost.infra.storage.mysql import ReaderPool
from tradepost.infra.storage.mysql_checks import check_server
from tradepost.infra.storage.mysql_target import Routing, Target, parse_url
from tradepost.infra.storage.vitess import look, routing, target_of


class MysqlReader:
    """`read` of the storage port without writers. Raises Refusal `storage.url_invalid`, `storage.unreachable`."""

    def __init__(self, url: str) -> None:
        targets, routes = _targets(url)
        self.shards = len(targets)
        self.shard_of = routes.shard_of()
        self._pools = [ReaderPool(target, shard, self._keeps(shard)) for shard, target in enumerate(targets)]

    def _keeps(self, shard: int) -> Callable[[int], bool]:
        return lambda gene: self.shard_of(gene) == shard

    def read(self, shard: int, query: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run a query on what was committed before it started; answered at once, not awaited."""
        return self._pools[shard].run(query, *args, **kwargs)

    def close(self) -> None:
        """Close the connections."""
        for pool in self._pools:
            pool.close()


def _targets(url: str) -> tuple[list[Target], Routing]:
    if url.startswith("vitess://"):
        shards, dialect = look(url)
        return [target_of(url, shard, dialect) for shard in shards], routing(len(shards))
    target = parse_url(url)
    check_server(target)
    return [target], Routing()
