"""How much of a total the buyer's stored value pays: asked for with the placement, taken in the commit that places."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import gene_of
from tradepost.trade import payments
from tradepost.trade.checkout.context import Context
from tradepost.trade.checkout.model import CheckoutView, Placement, Quote
from tradepost.trade.checkout.place_order import place_order

TRIES_MAX = 3


class StoredWish(msgspec.Struct, frozen=True, kw_only=True):
    """What a buyer wants to pay with stored value: so much of it, or (None) as much as there is.

    A `gift_card`, by its code, becomes store credit first, and pays as well.
    """

    amount_minor: int | None = None
    currency: str = ""
    gift_card: str = ""


async def find_part(context: Context, quote: Quote, wish: StoredWish, method: str = "") -> int:
    """Minor units of the quote's total that stored value pays: never more than the total.

    An amount that was named is not compared with what is there: the commit does that, and finds a repeat first.
    Raises `checkout.currency_mixed`, `input.invalid` where nothing is named to pay the rest with, and `stored.card_*`.
    """
    if wish.currency and wish.currency != quote.currency:
        raise Refusal(
            "checkout.currency_mixed",
            f"The stored value is in {wish.currency}, the market sells in {quote.currency}.",
            field="payment.store_credit_amount.currency",
            expected=quote.currency,
        )
    redeemed = await _redeem(context, quote, wish.gift_card) if wish.gift_card else 0
    wanted = None if wish.amount_minor is None else wish.amount_minor + redeemed
    if wanted is None:
        shard = context.db.shard_of(gene_of(quote.buyer_id))
        wanted = await context.db.read(shard, payments.balance_of, quote.buyer_id, quote.currency)
    part = min(wanted, quote.total_minor)
    if part < quote.total_minor and method == payments.STORE_CREDIT:
        raise Refusal(
            "input.invalid",
            f"Stored value pays {part} of {quote.total_minor}.",
            field="payment.method",
            expected="how the rest is paid",
        )
    return part


async def _redeem(context: Context, quote: Quote, code: str) -> int:
    """A gift card becomes the buyer's store credit, whole: minor units. Repeated it is the same card.

    Its commits come before the order's. Should that be refused, or the process die, the value is the buyer's all the
    same: what a crash leaves in between the event of the redemption brings.
    """
    db, now_ms, buyer_id = context.db, context.world.now_ms(), quote.buyer_id
    shard = db.shard_of(gene_of(payments.card_of(code)))
    card = await db.read(shard, payments.check_card, code, buyer_id)
    if card.currency != quote.currency:
        raise Refusal(
            "checkout.currency_mixed",
            f"The gift card is in {card.currency}, the market sells in {quote.currency}.",
            field="payment.gift_card",
            expected=quote.currency,
        )
    await db.transact(shard, payments.redeem_card, code, buyer_id, now_ms)
    home = db.shard_of(gene_of(buyer_id))
    await db.transact(
        home, payments.receive_card, card.card_id, buyer_id, card.amount_minor, card.currency, now_ms
    )
    return card.amount_minor


async def place_funded(
    context: Context, accept: Callable[[], Awaitable[Placement]], wish: StoredWish
) -> tuple[Placement, CheckoutView, bool]:
    """Accept and place. When all there is was wanted, and another checkout spent of it meanwhile, what is left is."""
    for _ in range(TRIES_MAX - 1):
        placement = await accept()
        try:
            return placement, *await place_order(context, placement)
        except Refusal as refusal:
            if refusal.code != "stored.too_little" or wish.amount_minor is not None:
                raise
    placement = await accept()
    return placement, *await place_order(context, placement)
