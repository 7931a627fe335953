"""Shipping rules: the second half of an evaluation, once the goods are discounted and the charges are known."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tradepost.kernel.money import PRICE_SCALE
from tradepost.trade.promotion.basket import Adjustment, Basket, BasketLine, Charge, Outcome, Use
from tradepost.trade.promotion.engine import Run, adjustments_of, uses_of
from tradepost.trade.promotion.matching import Ground
from tradepost.trade.promotion.policy import Ties
from tradepost.trade.promotion.rulebook import Active, Rulebook


def discount_shipping(
    book: Rulebook, basket: Basket, outcome: Outcome, charges: Sequence[Charge], *, explain: bool = False
) -> Outcome:
    """The outcome with what the shipping rules take off these charges.

    Conditions look at the goods, by their list price or as discounted, as the policy says. A rule's filter picks
    lines, and the charges of their sellers are lowered. A goods rule that ran alone keeps the shipping rules of
    other campaigns away; one that stopped the others stops those of lower rank here too.
    """
    if not book.shipping or not charges:
        return msgspec.structs.replace(outcome, shipping=tuple(() for _ in charges))
    goods = _goods(book, basket, outcome)
    parcels = _parcels(basket, charges, book)
    run = Run(book.policy, parcels, goods, basket, explain)
    run.play([active for active in _admitted(book, outcome, run) if run.runs(active)])
    found: list[tuple[Adjustment, ...]] = [()] * len(charges)
    for active, gives in run.gains:
        for place, change in adjustments_of(active, gives):
            found[place] += (change,)
    return msgspec.structs.replace(
        outcome,
        shipping=tuple(found),
        uses=_joined(outcome.uses, uses_of(run.gains, basket)),
        verdicts=outcome.verdicts + tuple(run.verdicts),
    )


def _goods(book: Rulebook, basket: Basket, outcome: Outcome) -> Ground:
    goods = Ground(basket, book.policy)
    for place, origin in enumerate(goods.places):
        goods.lower((place, -change.amount_minor) for change in outcome.lines[origin])
    return goods


def _parcels(basket: Basket, charges: Sequence[Charge], book: Rulebook) -> Ground:
    """The charges as a ground of their own: one line of one unit each."""
    lines = tuple(
        BasketLine(
            line_no=number,
            offer_id="",
            seller_id=charge.seller_id,
            sku_id="",
            product_id="",
            quantity=1,
            unit_price_e4=charge.amount_minor * PRICE_SCALE,
            list_minor=charge.amount_minor,
        )
        for number, charge in enumerate(charges, 1)
    )
    policy = msgspec.structs.replace(book.policy, ties=Ties.LISTED)
    return Ground(msgspec.structs.replace(basket, lines=lines), policy)


def _admitted(book: Rulebook, outcome: Outcome, run: Run) -> list[Active]:
    """The shipping rules that the goods rules before them left room for."""
    alone: Active | None = None
    stop: Active | None = None
    told = {(change.campaign_id, change.code): None for line in outcome.lines for change in line}
    told.update({(one.campaign_id, one.code): None for one in outcome.gifts if one.is_line})
    for key in told:
        active = book.find(*key)
        if active is not None and active.rule.exclusive:
            alone = active
        if active is not None and active.rule.stop_after:
            stop = active
    admitted = []
    for active in book.shipping:
        if alone is not None and active.campaign is not alone.campaign:
            run.refuse(active, "exclusive_other", alone.rule.code)
        elif stop is not None and active.rank > stop.rank:
            run.refuse(active, "stopped", stop.rule.code)
        else:
            admitted.append(active)
    return admitted


def _joined(goods: Sequence[Use], shipping: Sequence[Use]) -> tuple[Use, ...]:
    """Uses of both halves, one per campaign."""
    found = {(use.campaign_id, use.version): use for use in goods}
    for use in shipping:
        key = (use.campaign_id, use.version)
        known = found.get(key)
        whole = use.discount_minor + (known.discount_minor if known else 0)
        found[key] = msgspec.structs.replace(use, discount_minor=whole)
    return tuple(found.values())
