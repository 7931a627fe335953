"""What the checkout stories need from the composition root."""

from __future__ import annotations

from typing import Any

import msgspec

from tradepost.kernel.tx import Storage
from tradepost.kernel.world import World
from tradepost.stability.live import LiveConfig
from tradepost.stability.switches import Switches
from tradepost.trade.catalog import OfferBook
from tradepost.trade.checkout.earlier import Earlier
from tradepost.trade.checkout.keys import DEVIATION_MAX, DISCOUNT_MAX, QUOTE_TTL
from tradepost.trade.checkout.model import Terms
from tradepost.trade.checkout.remembering import Remembered
from tradepost.trade.inventory import SoldOutHints
from tradepost.trade.promotion import CampaignBook, GuardTerms
from tradepost.trade.shipping import TermsBook


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """Ports, caches, the signing secret and the bounds that settings decide; `live` may decide otherwise.

    Without `campaigns` nothing is ever discounted, without `shipping` no seller has terms. `first_bucket` is where
    this process begins to look for the last uses of a campaign, so that processes do not all take from the same row.
    `shown` remembers the prices of lists.
    """

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
    campaigns: CampaignBook | None = None
    first_bucket: int = 0
    shipping: TermsBook | None = None
    shown: Remembered[Any] = msgspec.field(default_factory=Remembered)

    def guard(self, market: str) -> GuardTerms:
        """How far a price may be discounted in a market now."""
        if self.live is None:
            return GuardTerms()
        return GuardTerms(
            discount_max_ppm=self.live.get(DISCOUNT_MAX, market=market),
            deviation_max_ppm=self.live.get(DEVIATION_MAX, market=market),
        )

    def quote_ms(self, market: str, buyer_id: str) -> int:
        """How long a quote made now is good for, in ms."""
        seconds = 0 if self.live is None else self.live.get(QUOTE_TTL, market=market, subject=buyer_id)
        return seconds * 1_000 or self.quote_ttl_ms
