"""A memory of what is sold out, so that the crowd after a flash sale is refused without asking the database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from tradepost.kernel.errors import Refusal
from tradepost.kernel.tx import Signal, Storage
from tradepost.trade.inventory.api import SOLD_OUT, STOCK_UP
from tradepost.trade.inventory.model import Demand
from tradepost.trade.inventory.rules import refuse_sold_out

HINTS_MAX = 100_000


class Shared(Protocol):
    """Hints that processes share, by `sku_id/pool`."""

    def __len__(self) -> int:
        """Hints known here now."""
        ...

    def get(self, key: str) -> int | None:
        """At most so many pieces are available, or None."""
        ...

    async def ask(self, keys: Iterable[str]) -> dict[str, int]:
        """Those of the hints that stand for every process."""
        ...


class SoldOutHints:
    """Refuses only what the database refused since the last increase of that stock.

    Between increases availability can only fall, so what was refused at `available` stays refused. Of this process
    alone, signals arrive in commit order, before the answers of that commit, and the oldest hint is forgotten
    beyond `size_max`. With `shared`, where several processes change stock, those hints are used and no others.
    """

    def __init__(self, db: Storage, size_max: int = HINTS_MAX, *, shared: Shared | None = None) -> None:
        self._available: dict[str, int] = {}
        self._shared = shared
        self._size_max = size_max
        if shared is None:
            db.listen(self._note)

    def __len__(self) -> int:
        """Hints kept now."""
        return len(self._available) if self._shared is None else len(self._shared)

    def _note(self, signal: Signal) -> None:
        if signal.topic == SOLD_OUT:
            self._available.pop(signal.key, None)
            self._available[signal.key] = signal.value
            if len(self._available) > self._size_max:
                del self._available[next(iter(self._available))]
        elif signal.topic == STOCK_UP:
            self._available.pop(signal.key, None)

    def refuses(self, demands: Iterable[Demand]) -> Refusal | None:
        """The refusal `inventory.sold_out` the database would give, or None: ask it."""
        hints = self._available if self._shared is None else self._shared
        return _refuse(hints, demands) if hints else None

    async def last_word(self, demands: Iterable[Demand]) -> Refusal | None:
        """`refuses`, and where processes share hints only what `confirm` then says too."""
        demands = list(demands)
        refusal = self.refuses(demands)
        if refusal is None or self._shared is None:
            return refusal
        return await self.confirm(demands)

    async def confirm(self, demands: Iterable[Demand]) -> Refusal | None:
        """The same by what stands for every process at this moment: the last word before a refusal is given."""
        demands = list(demands)
        if self._shared is None:
            return self.refuses(demands)
        return _refuse(await self._shared.ask({f"{d.sku_id}/{d.pool}" for d in demands}), demands)


def _refuse(hints: Shared | Mapping[str, int], demands: Iterable[Demand]) -> Refusal | None:
    needs: dict[tuple[str, str], int] = {}
    for demand in demands:
        kept = (demand.sku_id, demand.pool)
        needs[kept] = needs.get(kept, 0) + demand.quantity
    for kept, quantity in needs.items():
        available = hints.get(f"{kept[0]}/{kept[1]}")
        if available is not None and quantity > available:
            return refuse_sold_out(kept, quantity, available)
    return None
