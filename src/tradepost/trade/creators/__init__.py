"""Creators: which content earned a sale, what the plan pays for it, and how that follows refunds."""

from tradepost.trade.creators.attribution import DEFAULT, MODELS, attribute
from tradepost.trade.creators.model import (
    COMMISSION_STATES,
    Agency,
    Attribution,
    Bonus,
    Commission,
    Parts,
    Plan,
    Tier,
    Touch,
)
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
    "DEFAULT",
    "MODELS",
    "Agency",
    "Attribution",
    "Bonus",
    "Commission",
    "Parts",
    "Plan",
    "Tier",
    "Touch",
    "attribute",
    "check_plan",
    "choose_plan",
    "estimate",
    "parts_of",
    "release",
    "settle",
    "shrink",
]
