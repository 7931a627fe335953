"""Creators: which content earned a sale, what the plan pays for it, and how that follows refunds."""

from tradepost.trade.creators.api import find_commissions, list_earnings, list_expected, sum_expected
from tradepost.trade.creators.attribution import DEFAULT, MODELS, attribute
from tradepost.trade.creators.jobs import sweeps
from tradepost.trade.creators.model import (
    COMMISSION_STATES,
    Agency,
    Attribution,
    Basis,
    Bonus,
    Commission,
    Earning,
    Expected,
    OrderCommissions,
    Parts,
    Plan,
    Tier,
    Touch,
)
from tradepost.trade.creators.plans import change_plan, end_plan, enter_plan, list_plans
from tradepost.trade.creators.react import CONSUMERS
from tradepost.trade.creators.rules import (
    check_plan,
    choose_plan,
    estimate,
    parts_of,
    release,
    settle,
    shrink,
)

__all__ = [
    "COMMISSION_STATES",
    "CONSUMERS",
    "DEFAULT",
    "MODELS",
    "Agency",
    "Attribution",
    "Basis",
    "Bonus",
    "Commission",
    "Earning",
    "Expected",
    "OrderCommissions",
    "Parts",
    "Plan",
    "Tier",
    "Touch",
    "attribute",
    "change_plan",
    "check_plan",
    "choose_plan",
    "end_plan",
    "enter_plan",
    "estimate",
    "find_commissions",
    "list_earnings",
    "list_expected",
    "list_plans",
    "parts_of",
    "release",
    "settle",
    "shrink",
    "sum_expected",
    "sweeps",
]
