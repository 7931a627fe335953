"""New goods in the place of others: an order that goods given back pay for, placed like any other.

Its ids follow from those of the case, so whoever tries again names the same checkout; stock, orders and the payment
of a difference are placed by the one way there is.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from tradepost.kernel.errors import Kind, Refusal, declare_problems
from tradepost.kernel.money import PRICE_SCALE, divide, split
from tradepost.markets import market
from tradepost.trade.checkout import buy
from tradepost.trade.checkout.context import Context
from tradepost.trade.checkout.model import Address, CheckoutView, Particulars, Quote, QuotedOrder, Want
from tradepost.trade.checkout.place_order import place_order
from tradepost.trade.checkout.placement import make_placement
from tradepost.trade.orders import NO_SENDING, Conversion, LineQuantity, Order, OrderLine, Sending
from tradepost.trade.pricing import Adjustment, Funder

SCENE = "exchange"
CREDIT = "exchange_credit"
"""The code of the adjustment that stands for the goods given back."""

declare_problems(
    {
        "checkout.exchange_foreign": (
            Kind.UNPROCESSABLE,
            "Not goods of the same seller",
            "Choose offers of the order's own seller.",
        ),
    }
)


class Replacement(msgspec.Struct, frozen=True, kw_only=True):
    """New goods for an order: the same units once more (`lines`), or other offers (`wants`).

    `credit_minor` is what was given back is worth; `letters` are the ids' last 26, on the order's gene.
    """

    order: Order
    letters: str
    lines: tuple[LineQuantity, ...]
    credit_minor: int
    wants: tuple[Want, ...] = ()


async def place_replacement(context: Context, asked: Replacement) -> CheckoutView:
    """Place it, or answer what stands. What the goods cost beyond the credit waits for the buyer to pay.

    Raises `checkout.exchange_foreign` and the refusals of quotes, stock and placing; then nothing was changed.
    """
    order, now_ms = asked.order, context.world.now_ms()
    quote = await _other(context, asked) if asked.wants else _same(order, asked, now_ms)
    given = Particulars(
        address=order.body.address,
        email=order.body.email,
        method="",
        confirm=False,
        scope="aftersales",
        key=asked.letters,
        request_hash=asked.letters,
        quote_hash=asked.letters,
        quoted=True,
        new_buyer=False,
        at_ms=now_ms,
    )
    terms = replace(
        context.terms, velocity_orders_max=0, amount_review_minor=0, amount_max_minor=0, remorse_ms=0
    )
    placement = make_placement(quote, market(order.market), terms, given)
    placement = replace(placement, expires_at_ms=0)
    return (await place_order(context, placement))[0]


def _same(order: Order, asked: Replacement, at_ms: int) -> Quote:
    """The lines once more, each worth its part of the credit and paid with it whole."""
    units = {item.line_no: item.quantity for item in asked.lines}
    old = [line for line in order.body.lines if line.line_no in units]
    worth = [divide(line.total_minor * units[line.line_no], line.quantity) for line in old]
    parts = split(asked.credit_minor, worth)
    found = []
    for number, (line, part) in enumerate(zip(old, parts, strict=True), 1):
        quantity = units[line.line_no]
        found.append(
            replace(
                line,
                line_no=number,
                quantity=quantity,
                unit_price_e4=part * PRICE_SCALE // quantity,
                list_minor=part,
                adjustments=_credit(part),
                total_minor=0,
                tax_minor=0,
                fee_bps=0,
                fee_minor=0,
                limit_per_buyer=0,
                gift=None,
            )
        )
    bare = Quote(
        checkout_id="",
        payment_id="",
        buyer_id=order.buyer_id,
        market=order.market,
        currency=order.currency,
        scene=SCENE,
        made_at_ms=at_ms,
        expires_at_ms=0,
        orders=(),
        total_minor=0,
        shipping_minor=0,
        tax_minor=0,
    )
    return _named(bare, asked, found)


def _named(
    quote: Quote,
    asked: Replacement,
    lines: Sequence[OrderLine],
    sending: Sending = NO_SENDING,
    conversions: tuple[Conversion, ...] = (),
) -> Quote:
    """The quote of these lines under the ids that follow from the case. The seller sends them at its own cost."""
    total, tax, fee = (
        sum(getattr(line, name) for line in lines) for name in ("total_minor", "tax_minor", "fee_minor")
    )
    quoted = QuotedOrder(
        order_id=f"ord_{asked.letters}",
        seller_id=asked.order.seller_id,
        lines=tuple(lines),
        total_minor=total,
        tax_minor=tax,
        shipping_minor=0,
        fee_minor=fee,
        sending=sending,
        conversions=conversions,
    )
    return replace(
        quote,
        checkout_id=f"chk_{asked.letters}",
        payment_id=f"pay_{asked.letters}",
        expires_at_ms=0,
        orders=(quoted,),
        total_minor=total,
        shipping_minor=0,
        tax_minor=tax,
    )


async def _other(context: Context, asked: Replacement) -> Quote:
    """Other goods at their price of now, where the old ones went, less the credit; tax and fee shrink with the rest."""
    order = asked.order
    parts = {name: order.body.address.get(name, "") for name in Address.__struct_fields__}
    quote = await buy.price_exchange(
        context,
        order.market,
        asked.wants,
        buyer_id=order.buyer_id,
        scene=SCENE,
        address=Address(**parts),
    )
    if {one.seller_id for one in quote.orders} != {order.seller_id} or quote.currency != order.currency:
        raise Refusal("checkout.exchange_foreign", "The offers are not this seller's.", field="wanted")
    (quoted,) = quote.orders
    lines = _pay_with(quoted.lines, asked.credit_minor)
    return _named(quote, asked, lines, quoted.sending, quoted.conversions)


def _pay_with(lines: Sequence[OrderLine], credit_minor: int) -> list[OrderLine]:
    totals = [line.total_minor for line in lines]
    spent = min(credit_minor, sum(totals))
    parts = split(spent, totals) if spent else [0] * len(lines)
    found = []
    for line, part in zip(lines, parts, strict=True):
        left = line.total_minor - part
        found.append(
            replace(
                line,
                adjustments=(*line.adjustments, *_credit(part)),
                total_minor=left,
                tax_minor=divide(line.tax_minor * left, line.total_minor) if line.total_minor else 0,
                fee_minor=divide(line.fee_minor * left, line.total_minor) if line.total_minor else 0,
                limit_per_buyer=0,
            )
        )
    return found


def _credit(part: int) -> tuple[Adjustment, ...]:
    if not part:
        return ()
    return (Adjustment(code=CREDIT, reason="goods given back", funder=Funder.SELLER, amount_minor=-part),)
