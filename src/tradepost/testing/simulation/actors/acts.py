"""Which function plays which kind of step."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tradepost.testing.simulation.actors import (
    buying,
    caring,
    carting,
    complaining,
    nature,
    selling,
    stocking,
)
from tradepost.testing.simulation.stage import Stage

ACTS: dict[str, Callable[[Stage], Awaitable[str]]] = {
    "buy_now": buying.buy_now,
    "quote": buying.quote,
    "place_quote": buying.place_quote,
    "double_click": buying.double_click,
    "repeat": buying.repeat,
    "pay": buying.pay,
    "redirect": buying.redirect,
    "cancel": caring.cancel,
    "cancel_lines": caring.cancel_lines,
    "ask_return": caring.ask_return,
    "return_work": caring.return_work,
    "refund": caring.refund,
    "ask_case": complaining.ask_case,
    "case_work": complaining.case_work,
    "chargeback": complaining.chargeback,
    "operate": caring.operate,
    "seller_work": selling.seller_work,
    "price": selling.price,
    "pause": selling.pause,
    "seller_state": selling.seller_state,
    "receive": stocking.receive,
    "adjust": stocking.adjust,
    "count": stocking.count,
    "move": stocking.move,
    "write_off": stocking.write_off,
    "fill_cart": carting.fill_cart,
    "merge_carts": carting.merge_carts,
    "buy_cart": carting.buy_cart,
    "jump": nature.jump,
    "crash": nature.crash,
    "cut": nature.cut,
    "lose": nature.lose,
    "rewind": nature.rewind,
}
"""Each answers with the outcome as the log tells it; refusals and lost connections are raised."""
