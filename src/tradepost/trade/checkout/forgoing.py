"""Placing without a gift that sold out since the quote: which gift a refusal speaks of, and the placement without it.

What is bought was promised at a price that no gift is a part of, so it is sold as it was quoted. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from tradepost.kernel.errors import Refusal
from tradepost.trade import orders
from tradepost.trade.checkout.limits import BUDGET, LimitUse
from tradepost.trade.checkout.model import CheckoutView, Placement, PromisedGift
from tradepost.trade.checkout.placement import funded_of, portion_lines
from tradepost.trade.inventory import Demand
from tradepost.trade.orders import NewOrder, OrderBody
from tradepost.trade.payments import NewIntent, Portion

_encode = msgspec.json.Encoder().encode
_decode_view = msgspec.json.Decoder(CheckoutView).decode
_OF_STOCK = ("inventory.sold_out", "inventory.sku_unknown")


def without_refused(placement: Placement, refusal: Refusal) -> Placement | None:
    """The placement without the gift that this refusal is about; None when it is about something else.

    Each has one gift less, so that trying again ends.
    """
    if not placement.gifts:
        return None
    gone = _refused(placement, refusal)
    return _without(placement, gone) if gone else None


def _refused(placement: Placement, refusal: Refusal) -> Sequence[PromisedGift]:
    if refusal.code in _OF_STOCK:
        sku_id = str(refusal.extra.get("sku_id", ""))
        found = [gift for gift in placement.gifts if gift.sku_id == sku_id]
        free = refusal.extra.get("available")
        bought = sum([d.quantity for d in placement.hold.demands if d.sku_id == sku_id])
        bought -= sum([gift.quantity for gift in found])
        if bought and (not isinstance(free, int) or bought > free):
            return ()
        return found[-1:]
    if refusal.code == "promotion.limit_reached":
        campaign_id = str(refusal.extra.get("campaign_id", ""))
        found = [gift for gift in placement.gifts if gift.campaign_id == campaign_id]
        return found if found and not _gives_more(placement, campaign_id) else ()
    return ()


def _gives_more(placement: Placement, campaign_id: str) -> bool:
    """Whether a campaign lowers what is bought or sent, beside its gifts."""
    for order in placement.orders:
        body = orders.body_of(order)
        changes = [*body.shipping_adjustments]
        changes += [one for line in body.lines if line.gift is None for one in line.adjustments]
        if any(one.campaign_id == campaign_id for one in changes):
            return True
    return False


def _without(placement: Placement, gone: Sequence[PromisedGift]) -> Placement:
    numbers: dict[str, set[int]] = {}
    for gift in gone:
        numbers.setdefault(gift.order_id, set()).add(gift.line_no)
    bodies = {
        order.order_id: _less(orders.body_of(order), numbers[order.order_id])
        for order in placement.orders
        if order.order_id in numbers
    }
    view = _decode_view(placement.body)
    missed = [one for body in bodies.values() for one in orders.missed_gifts(body)]
    known = [one for one in view.missed_gifts if one not in missed]
    return replace(
        placement,
        hold=replace(placement.hold, demands=_demands(placement.hold.demands, gone)),
        orders=tuple([_again(order, bodies.get(order.order_id)) for order in placement.orders]),
        intent=None if placement.intent is None else _intent(placement.intent, bodies),
        body=_encode(replace(view, missed_gifts=(*known, *missed))),
        limits=_limits(placement, gone),
        gifts=_renumbered(placement.gifts, gone),
    )


def _less(body: OrderBody, numbers: set[int]) -> OrderBody:
    """The body without these lines, which are gifts and come after all that is bought."""
    kept = [line for line in body.lines if line.line_no not in numbers]
    places = [
        place for place, line in zip(body.places, body.lines, strict=True) if line.line_no not in numbers
    ]
    conversions = [
        replace(
            one,
            sold_e4=tuple([e4 for e4, line in zip(one.sold_e4, body.lines, strict=True) if line in kept]),
        )
        for one in body.conversions
    ]
    return replace(
        body,
        lines=tuple([replace(line, line_no=number) for number, line in enumerate(kept, 1)]),
        places=tuple(places),
        conversions=tuple(conversions),
        missed_gifts=(
            *body.missed_gifts,
            *[line for line in body.lines if line.line_no in numbers],
        ),
    )


def _again(order: NewOrder, body: OrderBody | None) -> NewOrder:
    if body is None:
        return order
    return orders.new_order(
        body,
        order_id=order.order_id,
        checkout_id=order.checkout_id,
        buyer_id=order.buyer_id,
        seller_id=order.seller_id,
        market=order.market,
        currency=order.currency,
        scene=order.scene,
        payment_id=order.payment_id,
        at_ms=order.placed_at_ms,
        payment_deadline_ms=order.deadline_at_ms - order.placed_at_ms,
    )


def _demands(demands: Sequence[Demand], gone: Sequence[PromisedGift]) -> tuple[Demand, ...]:
    """The demands without those of the gifts: their own, or the last ones of an equal purchase."""
    less = Counter((gift.order_id, gift.sku_id, gift.pool, gift.quantity) for gift in gone)
    found: list[Demand] = []
    for demand in reversed(demands):
        key = (demand.owner_id, demand.sku_id, demand.pool, demand.quantity)
        if less[key] and not demand.limit_per_buyer:
            less[key] -= 1
        else:
            found.append(demand)
    return tuple(reversed(found))


def _intent(intent: NewIntent, bodies: Mapping[str, OrderBody]) -> NewIntent:
    """The intent whose funders pay for no gift that is not there; what the buyer pays is the same."""
    portions = []
    for portion in intent.portions:
        body = bodies.get(portion.order_id)
        changes = {} if body is None else _changes(portion, body)
        portions.append(replace(portion, **changes))
    return replace(intent, portions=tuple(portions))


def _changes(portion: Portion, body: OrderBody) -> dict[str, Any]:
    return {
        "lines": portion_lines(body.lines) if portion.lines else (),
        "funded": funded_of(body.lines, body.shipping_adjustments),
    }


def _limits(placement: Placement, gone: Sequence[PromisedGift]) -> tuple[LimitUse, ...]:
    """The uses that are left: none of a campaign that gave nothing else, less of a budget."""
    worth: Counter[str] = Counter()
    for gift in gone:
        worth[gift.campaign_id] += gift.list_minor
    others = {gift.campaign_id for gift in placement.gifts if gift not in gone}
    found = []
    for use in placement.limits:
        less = worth[use.campaign_id]
        if not less or use.campaign_id in others or _gives_more(placement, use.campaign_id):
            left = use.quantity - less if use.kind == BUDGET else use.quantity
            if left > 0:
                found.append(replace(use, quantity=left))
    return tuple(found)


def _renumbered(gifts: Sequence[PromisedGift], gone: Sequence[PromisedGift]) -> tuple[PromisedGift, ...]:
    return tuple(
        [
            replace(
                gift,
                line_no=gift.line_no
                - sum([one.order_id == gift.order_id and one.line_no < gift.line_no for one in gone]),
            )
            for gift in gifts
            if gift not in gone
        ]
    )
