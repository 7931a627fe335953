"""Pure rules of carts: what a change makes of one, how two become one, what has drifted since it was seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.kernel.market import Market
from tradepost.trade.cart.model import (
    CART_STATES,
    LINES_MAX,
    MERGED_FROM_MAX,
    QUANTITY_MAX,
    Cart,
    CartCommand,
    CartLine,
    Change,
    LowStock,
    OfferEnded,
    OfferPaused,
    PriceChanged,
    PutLine,
    RemoveLines,
    SeePrices,
    SelectLines,
    SoldOut,
    Warnings,
)
from tradepost.trade.catalog import OfferView
from tradepost.trade.pricing import list_price

Lines = dict[str, CartLine]


def put_line(
    offer: OfferView,
    quantity: int,
    market: Market,
    at_ms: int,
    *,
    add: bool = True,
    content_id: str = "",
    creator_id: str = "",
) -> PutLine:
    """The change that puts an offer into a cart at the price the buyer sees now (0 when it has none)."""
    return PutLine(
        offer_id=offer.offer_id,
        seller_id=offer.seller_id,
        quantity=quantity,
        add=add,
        content_id=content_id,
        creator_id=creator_id,
        seen_price_e4=list_price(offer, market, at_ms, content_id=content_id) or 0,
        quantity_max=offer.quantity_max,
    )


def apply(cart: Cart, command: CartCommand) -> Cart:
    """The cart after a command; the same object when nothing changed. Raises Refusal `cart.*`, `version.conflict`."""
    if not CART_STATES.accepts(cart.state, "edit"):
        raise Refusal(
            "cart.closed",
            f"Cart {cart.cart_id} was merged into {cart.merged_into}.",
            field="cart_id",
            extra={"merged_into": cart.merged_into},
        )
    if command.version and command.version != cart.version:
        raise Refusal(
            "version.conflict",
            f"The cart is at version {cart.version}.",
            field="version",
            expected=str(cart.version),
            extra={"version": cart.version},
        )
    lines = {line.offer_id: line for line in cart.lines}
    for change in command.changes:
        _CHANGES[type(change)](lines, change, command.at_ms)
    if len(lines) > command.lines_max:
        raise Refusal(
            "cart.too_many_lines",
            f"A cart has at most {command.lines_max} lines.",
            field="changes",
            expected=f"at most {command.lines_max} lines",
        )
    after = tuple(lines.values())
    if after == cart.lines:
        return cart
    return msgspec.structs.replace(
        cart, lines=after, version=cart.version + 1, updated_at_ms=max(command.at_ms, cart.updated_at_ms)
    )


def _put(lines: Lines, change: PutLine, at_ms: int) -> None:
    line = lines.get(change.offer_id)
    quantity = change.quantity + (line.quantity if line and change.add else 0)
    bound = _bound(change.quantity_max)
    if change.quantity < 1 or quantity > bound:
        raise Refusal(
            "cart.quantity_invalid",
            f"The line would hold {quantity} of {change.offer_id}.",
            field="quantity",
            expected=f"1 to {bound}",
            extra={"offer_id": change.offer_id, "quantity_max": bound},
        )
    named = bool(change.content_id or change.creator_id)
    lines[change.offer_id] = CartLine(
        offer_id=change.offer_id,
        seller_id=change.seller_id,
        quantity=quantity,
        selected=line.selected if line else True,
        content_id=change.content_id if named or not line else line.content_id,
        creator_id=change.creator_id if named or not line else line.creator_id,
        seen_price_e4=change.seen_price_e4,
        quantity_max=change.quantity_max,
        added_at_ms=line.added_at_ms if line else at_ms,
        touched_at_ms=at_ms,
    )


def _remove(lines: Lines, change: RemoveLines, at_ms: int) -> None:
    for offer_id in change.offer_ids:
        lines.pop(offer_id, None)


def _select(lines: Lines, change: SelectLines, at_ms: int) -> None:
    for offer_id in change.offer_ids or tuple(lines):
        line = lines.get(offer_id)
        if line is None:
            raise Refusal(
                "cart.line_unknown",
                f"The cart has no line of offer {offer_id[:60]!r}.",
                field="offer_ids",
                expected="offers that are in the cart",
            )
        lines[offer_id] = msgspec.structs.replace(line, selected=change.selected)


def _see(lines: Lines, change: SeePrices, at_ms: int) -> None:
    for offer_id, price_e4 in change.prices_e4.items():
        if offer_id in lines:
            lines[offer_id] = msgspec.structs.replace(lines[offer_id], seen_price_e4=price_e4)


_CHANGES: dict[type[Change], Callable[[Lines, Change, int], None]] = {
    PutLine: _put,  # type: ignore[dict-item]
    RemoveLines: _remove,  # type: ignore[dict-item]
    SelectLines: _select,  # type: ignore[dict-item]
    SeePrices: _see,  # type: ignore[dict-item]
}


def _bound(quantity_max: int) -> int:
    return min(quantity_max or QUANTITY_MAX, QUANTITY_MAX)


def close_into(guest: Cart, cart_id: str, at_ms: int) -> Cart:
    """A guest's cart closed in favour of a buyer's; unchanged when that happened before.

    Raises Refusal `cart.closed` when another cart took its lines.
    """
    if not CART_STATES.accepts(guest.state, "merge"):
        if guest.merged_into != cart_id:
            raise Refusal(
                "cart.closed",
                f"Cart {guest.cart_id} was merged into another cart.",
                field="cart_id",
            )
        return guest
    return msgspec.structs.replace(
        guest,
        state=CART_STATES.next(guest.state, "merge"),
        merged_into=cart_id,
        version=guest.version + 1,
        updated_at_ms=at_ms,
    )


def take_in(cart: Cart, guest: Cart, at_ms: int, lines_max: int = LINES_MAX) -> Cart:
    """The buyer's cart with a guest's lines; unchanged when it took them before."""
    if guest.cart_id in cart.merged_from:
        return cart
    return msgspec.structs.replace(
        cart,
        lines=merge_lines(cart.lines, guest.lines, lines_max),
        merged_from=(*cart.merged_from, guest.cart_id)[-MERGED_FROM_MAX:],
        version=cart.version + 1,
        updated_at_ms=max(cart.updated_at_ms, at_ms),
    )


def merge_lines(
    ours: Sequence[CartLine], theirs: Sequence[CartLine], lines_max: int = LINES_MAX
) -> tuple[CartLine, ...]:
    """Two carts' lines as one, whichever way round: quantities summed up to the bounds, newest content wins.

    Beyond `lines_max` the lines touched longest ago are left out; the rest stand in order of when they were added.
    """
    merged: Lines = {}
    for line in (*ours, *theirs):
        known = merged.get(line.offer_id)
        merged[line.offer_id] = line if known is None else _join(known, line)
    kept = sorted(merged.values(), key=lambda line: (-line.touched_at_ms, line.offer_id))[:lines_max]
    return tuple(sorted(kept, key=lambda line: (line.added_at_ms, line.offer_id)))


def _join(one: CartLine, other: CartLine) -> CartLine:
    newest = max(one, other, key=_age)
    bounds = [line.quantity_max for line in (one, other) if line.quantity_max]
    quantity_max = min(bounds, default=0)
    return msgspec.structs.replace(
        newest,
        quantity=min(one.quantity + other.quantity, _bound(quantity_max)),
        quantity_max=quantity_max,
        selected=one.selected or other.selected,
        added_at_ms=min(one.added_at_ms, other.added_at_ms),
    )


def _age(line: CartLine) -> tuple[int, str, str, int]:
    return line.touched_at_ms, line.content_id, line.creator_id, line.seen_price_e4


def lines_for_checkout(cart: Cart) -> dict[str, tuple[CartLine, ...]]:
    """The selected lines by seller, sellers and lines in cart order. Raises Refusal `cart.nothing_selected`."""
    grouped: dict[str, tuple[CartLine, ...]] = {}
    for line in cart.lines:
        if line.selected:
            grouped[line.seller_id] = (*grouped.get(line.seller_id, ()), line)
    if not grouped:
        raise Refusal("cart.nothing_selected", f"Cart {cart.cart_id} has no selected line.", field="cart_id")
    return grouped


def warn(
    cart: Cart, offers: Mapping[str, OfferView], available: Mapping[str, int], market: Market, at_ms: int
) -> tuple[Warnings, ...]:
    """What has drifted since the buyer looked, line by line; nothing here refuses anything.

    `offers` are the offers as they are now, one that is missing has ended; `available` counts pieces by SKU id
    in the offer's pool, and a SKU it does not name is taken to be there.
    """
    found: list[Warnings] = []
    for line in cart.lines:
        offer = offers.get(line.offer_id)
        if offer is None or offer.state == "ENDED":
            found.append(OfferEnded(offer_id=line.offer_id))
            continue
        price_e4 = None
        if market.code in offer.markets:
            price_e4 = list_price(offer, market, at_ms, content_id=line.content_id)
        if offer.state != "ACTIVE" or offer.seller_state != "ACTIVE" or price_e4 is None:
            found.append(OfferPaused(offer_id=line.offer_id))
            continue
        if price_e4 != line.seen_price_e4:
            found.append(
                PriceChanged(offer_id=line.offer_id, old_price_e4=line.seen_price_e4, new_price_e4=price_e4)
            )
        left = [
            available[part.sku_id] // part.quantity for part in offer.components if part.sku_id in available
        ]
        if left and min(left) <= 0:
            found.append(SoldOut(offer_id=line.offer_id))
        elif left and min(left) < line.quantity:
            found.append(LowStock(offer_id=line.offer_id, available=min(left)))
    return tuple(found)
