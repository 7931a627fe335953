"""Aftersales: cancelling before shipment; refunds, returns, exchanges, replacements and claims after it."""

from tradepost.trade.aftersales.cancelling import cancel_lines, cancel_order
from tradepost.trade.aftersales.casework import (
    add_evidence,
    approve,
    arrive,
    close,
    decide_by_default,
    escalate,
    get_return,
    judge,
    list_returns,
    receive,
    refuse,
    request_case,
    returnable_lines,
    ship_back,
)
from tradepost.trade.aftersales.casework import approve as approve_return
from tradepost.trade.aftersales.casework import close as close_return
from tradepost.trade.aftersales.casework import receive as receive_return
from tradepost.trade.aftersales.casework import refuse as refuse_return
from tradepost.trade.aftersales.jobs import sweeps
from tradepost.trade.aftersales.model import (
    RETURN_STATES,
    WRITTEN_OFF,
    CaseKind,
    Evidence,
    Return,
    WantedOffer,
)
from tradepost.trade.aftersales.permissions import PARTIES, Permission, rows_of
from tradepost.trade.aftersales.policy import REASONS, Policy, all_policies, policy_of
from tradepost.trade.aftersales.react import CONSUMERS
from tradepost.trade.aftersales.replacing import Swap, find_swaps, replace_goods
from tradepost.trade.aftersales.returning import accept_return, new_case, request_return
from tradepost.trade.aftersales.settling import RefundPreview, preview
from tradepost.trade.aftersales.valuing import Asked, Valuation, value_case

__all__ = [
    "CONSUMERS",
    "PARTIES",
    "REASONS",
    "RETURN_STATES",
    "WRITTEN_OFF",
    "Asked",
    "CaseKind",
    "Evidence",
    "Permission",
    "Policy",
    "RefundPreview",
    "Return",
    "Swap",
    "Valuation",
    "WantedOffer",
    "accept_return",
    "add_evidence",
    "all_policies",
    "approve",
    "approve_return",
    "arrive",
    "cancel_lines",
    "cancel_order",
    "close",
    "close_return",
    "decide_by_default",
    "escalate",
    "find_swaps",
    "get_return",
    "judge",
    "list_returns",
    "new_case",
    "policy_of",
    "preview",
    "receive",
    "receive_return",
    "refuse",
    "refuse_return",
    "replace_goods",
    "request_case",
    "request_return",
    "returnable_lines",
    "rows_of",
    "ship_back",
    "sweeps",
    "value_case",
]
