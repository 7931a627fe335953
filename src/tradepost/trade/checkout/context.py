"""What the checkout stories need from the composition root."""

from __future__ import annotations

import msgspec

from tradepost.kernel.tx import Storage
from tradepost.kernel.world import World
from tradepost.trade.catalog import OfferBook
from tradepost.trade.checkout.earlier import Earlier
from tradepost.trade.checkout.model import Terms
from tradepost.trade.inventory import SoldOutHints


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """Ports, caches, the signing secret and the bounds that settings decide."""

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
