"""What others may call: the set-based edit, reads, and the merge of a guest's cart."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import BatchHandler, Storage, Tx
from tradepost.kernel.world import World
from tradepost.trade import inventory
from tradepost.trade.cart import rules, store
from tradepost.trade.cart.model import LINES_MAX, MERGED, Cart, CartCommand, Edited


def edit(tx: Tx, commands: Sequence[CartCommand]) -> list[Edited | Refusal]:
    """Apply each command to its cart, in order; four statements however many there are.

    Answers are the cart after the command, or Refusal `cart.*` or `version.conflict`, and then it is unchanged.
    """
    before = store.read(tx, {command.cart_id for command in commands})
    after = dict(before)
    pieces = _pieces(tx, {sku_id for command in commands for sku_id in command.sku_ids})
    answers: list[Edited | Refusal] = []
    for command in commands:
        try:
            cart = rules.apply(_cart_for(after.get(command.cart_id), command), command)
        except Refusal as refusal:
            answers.append(refusal)
            continue
        after[command.cart_id] = cart
        asked = [pair for sku_id in command.sku_ids for pair in pieces.get(sku_id, ())]
        answers.append(Edited(cart, tuple(asked)))
    _write(tx, before, after)
    return answers


def _pieces(tx: Tx, sku_ids: Collection[str]) -> dict[str, list[tuple[str, str, int]]]:
    """(SKU, pool, available pieces) by SKU."""
    found: dict[str, list[tuple[str, str, int]]] = {}
    if sku_ids:
        for (sku_id, pool), count in inventory.available(tx, sku_ids).items():
            found.setdefault(sku_id, []).append((sku_id, pool, count))
    return found


EDIT: BatchHandler[CartCommand, Edited] = BatchHandler(
    name="tradepost.trade.cart.api:EDIT",
    handle=edit,
    item_type=CartCommand,
    result_type=Edited,
    rows_of=lambda command: 1 + len(command.sku_ids),
)


def find(tx: Tx, buyer_id: str, cart_id: str) -> Cart:
    """A buyer's cart. Raises Refusal `cart.not_found`, also for somebody else's."""
    cart = store.read(tx, [cart_id]).get(cart_id)
    if cart is None or cart.buyer_id != buyer_id:
        raise _not_found(cart_id)
    return cart


def carts_of(tx: Tx, buyer_id: str, limit: int = 50) -> list[Cart]:
    """A buyer's carts, newest first."""
    return store.read_of_buyer(tx, buyer_id, limit)


async def merge(
    db: Storage,
    world: World,
    *,
    guest_id: str,
    guest_cart_id: str,
    buyer_id: str,
    cart_id: str,
    lines_max: int = LINES_MAX,
) -> Cart:
    """Give a guest's lines to a buyer's cart and close the guest's; the buyer's cart, opened if need be.

    The two may lie on different shards: the guest's cart is closed first and keeps its lines, the buyer's
    remembers whom it took in, so repeating the call after any crash ends the same and adds nothing twice.
    Raises Refusal `cart.not_found`, `cart.closed`.
    """
    shard = db.shard_of(gene_of(cart_id))
    await db.read(shard, _check_target, guest_cart_id, buyer_id, cart_id)
    guest = await db.transact(
        db.shard_of(gene_of(guest_cart_id)), _close, guest_id, guest_cart_id, cart_id, world.now_ms()
    )
    return await db.transact(shard, _take_in, buyer_id, cart_id, guest, world.now_ms(), lines_max)


def _check_target(tx: Tx, guest_cart_id: str, buyer_id: str, cart_id: str) -> None:
    """Refuse before the guest's cart is closed, or its lines would be out of reach."""
    if guest_cart_id == cart_id:
        raise Refusal("cart.closed", "A cart cannot be merged into itself.", field="cart_id")
    known = store.read(tx, [cart_id]).get(cart_id)
    if known is None:
        _check_gene(cart_id, buyer_id)
    elif known.buyer_id != buyer_id:
        raise _not_found(cart_id)
    elif known.state == MERGED:
        raise Refusal(
            "cart.closed",
            f"Cart {cart_id} was merged itself.",
            field="cart_id",
            extra={"merged_into": known.merged_into},
        )


def _close(tx: Tx, guest_id: str, guest_cart_id: str, cart_id: str, at_ms: int) -> Cart:
    guest = find(tx, guest_id, guest_cart_id)
    closed = rules.close_into(guest, cart_id, at_ms)
    _write(tx, {guest_cart_id: guest}, {guest_cart_id: closed})
    return closed


def _take_in(tx: Tx, buyer_id: str, cart_id: str, guest: Cart, at_ms: int, lines_max: int) -> Cart:
    before = store.read(tx, [cart_id])
    opening = CartCommand(cart_id=cart_id, buyer_id=buyer_id, market=guest.market, at_ms=at_ms, create=True)
    cart = rules.apply(_cart_for(before.get(cart_id), opening), opening)
    merged = rules.take_in(cart, guest, at_ms, lines_max)
    _write(tx, before, {cart_id: merged})
    return merged


def _cart_for(cart: Cart | None, command: CartCommand) -> Cart:
    if cart is None and command.create:
        _check_gene(command.cart_id, command.buyer_id)
        return Cart(
            cart_id=command.cart_id,
            buyer_id=command.buyer_id,
            market=command.market,
            updated_at_ms=command.at_ms,
        )
    if cart is None or cart.buyer_id != command.buyer_id:
        raise _not_found(command.cart_id)
    return cart


def _check_gene(cart_id: str, buyer_id: str) -> None:
    if gene_of(cart_id) != gene_of(buyer_id):
        raise Refusal(
            "id.invalid",
            "A new cart's id lies on its buyer's gene.",
            field="cart_id",
            expected="an id minted on the buyer's gene",
        )


def _write(tx: Tx, before: dict[str, Cart], after: dict[str, Cart]) -> None:
    fresh = [cart for cart_id, cart in after.items() if cart_id not in before]
    changed = [(cart, before[cart_id].version) for cart_id, cart in after.items() if cart_id in before]
    changed = [(cart, version) for cart, version in changed if cart.version != version]
    if fresh:
        store.insert(tx, fresh)
    if changed and not store.update(tx, changed):
        raise Refusal("version.conflict", "The cart was changed at the same moment.", field="version")


def _not_found(cart_id: str) -> Refusal:
    return Refusal("cart.not_found", f"There is no cart {cart_id[:60]!r} of this buyer.", field="cart_id")
