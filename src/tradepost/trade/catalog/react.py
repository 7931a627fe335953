"""What the catalogue hears of sellers: an offer follows its seller's state and fee."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tradepost.kernel.events import Consumer, EventRow
from tradepost.kernel.tx import Tx
from tradepost.trade.catalog.api import note_sellers
from tradepost.trade.catalog.model import SellerFacts


class _Heard(msgspec.Struct, frozen=True, kw_only=True):
    seller_id: str
    state: str
    fee_bps: int


_decode = msgspec.json.Decoder(_Heard).decode


def follow_sellers(tx: Tx, rows: Sequence[EventRow]) -> None:
    """Keep the newest facts of the sellers these events are about; an event that comes late changes nothing."""
    heard = [(_decode(row.payload), row.version) for row in rows]
    note_sellers(
        tx,
        [
            SellerFacts(seller_id=facts.seller_id, state=facts.state, fee_bps=facts.fee_bps, version=version)
            for facts, version in heard
        ],
    )


CONSUMERS: list[Consumer] = [
    Consumer(
        name="catalog.sellers",
        types=("seller.opened.v1", "seller.state_changed.v1", "seller.fee_changed.v1"),
        consume=follow_sellers,
    )
]
