"""Price layers: which of an offer's windows decides at a moment, in a place, for a buyer. Pure.

The price of a unit is a function of time and of who asks from where: no job flips it, and the same question has the
same answer in a list, a cart and a checkout.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol

from tradepost.kernel.errors import Refusal
from tradepost.trade.catalog.model import Layer, PriceWindow

_RANK = {layer: rank for rank, layer in enumerate(Layer)}
_BOUND_BY: dict[Layer, tuple[str, ...]] = {
    Layer.MARKET: ("market", "scene"),
    Layer.ROOM: ("content_id",),
    Layer.MEMBER: ("segment",),
}
"""What a price of a layer must be bound to, by one of these at least."""
_LIST = Layer.LIST
_BOUNDS = ("market", "scene", "content_id", "segment")


class Priced(Protocol):
    """Anything with price windows: an offer view, terms."""

    @property
    def prices(self) -> tuple[PriceWindow, ...]:
        """The windows, in the order that `sort_windows` gives."""
        ...


def price_at(
    offer: Priced,
    currency: str,
    at_ms: int,
    market: str = "",
    scene: str = "",
    content_id: str = "",
    segments: Sequence[str] = (),
) -> int | None:
    """The unit price (ten-thousandths of a minor unit) that holds at a moment; None when none does.

    The windows are sorted by precedence, so the first that holds decides.
    """
    for window in offer.prices:
        open_ended = not window.until_ms or at_ms < window.until_ms
        if (
            window.currency == currency
            and window.from_ms <= at_ms
            and open_ended
            and (window.layer is _LIST or _is_for(window, market, scene, content_id, segments))
        ):
            return window.price_e4
    return None


def _is_for(window: PriceWindow, market: str, scene: str, content_id: str, segments: Sequence[str]) -> bool:
    return (
        (not window.market or window.market == market)
        and (not window.scene or scene == window.scene or scene.startswith(window.scene + "."))
        and (not window.content_id or window.content_id == content_id)
        and (not window.segment or window.segment in segments)
    )


def sort_windows(prices: Sequence[PriceWindow]) -> list[PriceWindow]:
    """The windows by precedence: the later layer first, within a layer the one bound more closely, then by time."""
    return sorted(
        prices,
        key=lambda window: (
            -_RANK[window.layer],
            -sum(1 for bound in _BOUNDS if getattr(window, bound)),
            -len(window.scene),
            *_shelf(window),
            window.from_ms,
            window.until_ms,
        ),
    )


def _shelf(window: PriceWindow) -> tuple[str, ...]:
    """Windows of one shelf may not overlap: only one of them could ever decide."""
    return (window.currency, window.layer, window.market, window.scene, window.content_id, window.segment)


def check_layer(window: PriceWindow, field: str) -> None:
    """Refuse a price bound to what its layer does not allow. Raises Refusal `catalog.price_layer_invalid`."""
    bounds = [bound for bound in _BOUNDS if getattr(window, bound)]
    wanted = _BOUND_BY.get(window.layer, ())
    if (window.layer is Layer.LIST and bounds) or (wanted and not set(wanted) & set(bounds)):
        raise Refusal(
            "catalog.price_layer_invalid",
            f"A {window.layer} price is bound to {' and '.join(bounds) or 'nothing'}.",
            field=field,
            expected=" or ".join(wanted) or "no market, scene, content or group",
        )


def find_overlap(prices: Sequence[PriceWindow]) -> PriceWindow | None:
    """The later of two windows of one shelf that hold at one moment, None when there are none; sorted input."""
    for earlier, later in pairwise(prices):
        if _shelf(earlier) == _shelf(later) and (not earlier.until_ms or earlier.until_ms > later.from_ms):
            return later
    return None
