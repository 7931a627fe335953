"""A process that places a quote and is killed on the way: `vitess_killed URL TOKEN held|opened`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Any

from tests.checkout_shop import Shop

from tradepost.infra.storage.vitess import VitessStorage
from tradepost.testing.world import TestWorld
from tradepost.trade.checkout import placing


class Doomed(VitessStorage):
    """Dies when all holds are committed: before the order is asked for, or as soon as it stands."""

    async def _open(self, shard: int, item: Any, at: str) -> Any:
        if at == "opened":
            await super().batch(shard, placing.OPEN, item)
        os.kill(os.getpid(), signal.SIGKILL)

    def batch(self, shard: int, handler: Any, item: Any) -> Any:
        """See `MysqlStorage.batch`."""
        return (
            self._open(shard, item, sys.argv[3])
            if handler is placing.OPEN
            else super().batch(shard, handler, item)
        )


async def main() -> None:
    """Place and die."""
    shop = Shop(Doomed(sys.argv[1]), TestWorld(2, start_ms=int(os.environ["NOW_MS"])))
    shop.buyer_id = os.environ["BUYER"]
    await shop.place(sys.argv[2])


asyncio.run(main())
