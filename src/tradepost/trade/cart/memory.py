"""CartMemory: whose a cart is and where it sells, out of memory where it can."""

from __future__ import annotations

from tradepost.trade.cart.model import Cart

CARTS_MAX = 20_000


class CartMemory:
    """Buyer and market of the carts met last, at most 20,000. Neither ever changes, so nothing here grows stale.

    A cart that is known may be deleted or closed since: whoever edits it finds out.
    """

    def __init__(self, size_max: int = CARTS_MAX) -> None:
        self._known: dict[str, tuple[str, str]] = {}
        self._size_max = size_max

    def note(self, cart: Cart) -> None:
        """Remember a cart that was read or written; the one met first is forgotten beyond the bound."""
        if cart.cart_id not in self._known:
            if len(self._known) >= self._size_max:
                del self._known[next(iter(self._known))]
            self._known[cart.cart_id] = (cart.buyer_id, cart.market)

    def market_of(self, cart_id: str, buyer_id: str) -> str:
        """The market code of this buyer's cart, empty when memory cannot tell: ask the database."""
        owner, code = self._known.get(cart_id, ("", ""))
        return code if owner == buyer_id else ""
