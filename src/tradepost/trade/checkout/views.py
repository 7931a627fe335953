"""What can be read of checkouts."""

from __future__ import annotations

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.kernel.tx import Tx
from tradepost.trade.checkout import store
from tradepost.trade.checkout.model import PLACED, CheckoutView

decode_view = msgspec.json.Decoder(CheckoutView).decode


def find_checkout(tx: Tx, buyer_id: str, checkout_id: str) -> CheckoutView:
    """A buyer's placed checkout. Raises Refusal `checkout.not_found`."""
    row = store.find_checkouts(tx, [(buyer_id, checkout_id)]).get(checkout_id)
    if row is None or row[2] != PLACED:
        raise Refusal(
            "checkout.not_found", f"There is no checkout {checkout_id[:60]!r}.", field="checkout_id"
        )
    return decode_view(row[5])


def list_checkouts(tx: Tx, buyer_id: str, before: str, limit: int) -> list[CheckoutView]:
    """A buyer's checkouts, newest first, older than the id `before` ("" starts at the newest)."""
    return [decode_view(row[5]) for row in store.list_checkouts(tx, buyer_id, before, limit)]
