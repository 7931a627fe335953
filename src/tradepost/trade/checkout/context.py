"""What the checkout stories need from the composition root."""

from __future__ import annotations

import msgspec

from tradepost.kernel.tx import Storage
from tradepost.kernel.world import World
from tradepost.stability.live import LiveConfig
from tradepost.stability.switches import Switches
from tradepost.trade.catalog import OfferBook
from tradepost.trade.checkout.earlier import Earlier
from tradepost.trade.checkout.keys import QUOTE_TTL
from tradepost.trade.checkout.model import Terms
from tradepost.trade.inventory import SoldOutHints


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """Ports, caches, the signing secret and the bounds that settings decide; `live` may decide otherwise."""

    db: Storage
    world: World
    book: OfferBook
    hints: SoldOutHints
    earlier: Earlier
    secret: bytes
    terms: Terms
    lines_max: int = 2_000
    quantity_max: int = 100_000
    quote_ttl_ms: int = 900_000
    hold_ttl_ms: int = 45_000
    switches: Switches = msgspec.field(default_factory=Switches)
    live: LiveConfig | None = None

    def quote_ms(self, market: str, buyer_id: str) -> int:
        """How long a quote made now is good for, in ms."""
        seconds = 0 if self.live is None else self.live.get(QUOTE_TTL, market=market, subject=buyer_id)
        return seconds * 1_000 or self.quote_ttl_ms
