"""Aftersales: cancelling before shipment, returning after delivery."""

from tradepost.trade.aftersales import jobs, react
from tradepost.trade.aftersales.cancelling import cancel_lines, cancel_order
from tradepost.trade.aftersales.model import Return
from tradepost.trade.aftersales.returning import (
    accept_return,
    approve_return,
    close_return,
    get_return,
    list_returns,
    receive_return,
    refuse_return,
    request_return,
    returnable_lines,
)

__all__ = [
    "Return",
    "accept_return",
    "approve_return",
    "cancel_lines",
    "cancel_order",
    "close_return",
    "get_return",
    "jobs",
    "list_returns",
    "react",
    "receive_return",
    "refuse_return",
    "request_return",
    "returnable_lines",
]
