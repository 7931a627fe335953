"""A memory of what is sold out, so that the crowd after a flash sale is refused without asking the database."""

from __future__ import annotations

from collections.abc import Iterable

from tradepost.kernel.errors import Refusal
from tradepost.kernel.tx import Signal, Storage
from tradepost.trade.inventory.api import SOLD_OUT, STOCK_UP
from tradepost.trade.inventory.model import Demand
from tradepost.trade.inventory.rules import refuse_sold_out

HINTS_MAX = 100_000


class SoldOutHints:
    """Refuses only what the database refused since the last increase of that stock. Of this process only.

    Between increases availability can only fall, so what was refused at `available` stays refused. Signals
    arrive in commit order, before the answers of that commit. The oldest hint is forgotten beyond `size_max`.
    """

    def __init__(self, db: Storage, size_max: int = HINTS_MAX) -> None:
        self._available: dict[str, int] = {}
        self._size_max = size_max
        db.listen(self._note)

    def __len__(self) -> int:
        """Hints kept now."""
        return len(self._available)

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
        if not self._available:
            return None
        needs: dict[tuple[str, str], int] = {}
        for demand in demands:
            kept = (demand.sku_id, demand.pool)
            needs[kept] = needs.get(kept, 0) + demand.quantity
        for kept, quantity in needs.items():
            available = self._available.get(f"{kept[0]}/{kept[1]}")
            if available is not None and quantity > available:
                return refuse_sold_out(kept, quantity, available)
        return None
