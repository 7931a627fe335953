"""Aftersales: cancelling before shipment, returning after delivery."""

from tradepost.trade.aftersales.cancelling import cancel_lines, cancel_order
from tradepost.trade.aftersales.jobs import sweeps
from tradepost.trade.aftersales.model import Return
from tradepost.trade.aftersales.react import CONSUMERS
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
    "CONSUMERS",
    "Return",
    "accept_return",
    "approve_return",
    "cancel_lines",
    "cancel_order",
    "close_return",
    "get_return",
    "list_returns",
    "receive_return",
    "refuse_return",
    "request_return",
    "returnable_lines",
    "sweeps",
]
