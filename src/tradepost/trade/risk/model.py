"""What a risk strategy may know, what it answers, and the point where another one takes its place."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

import msgspec

from tradepost.kernel.errors import Kind, declare_problems
from tradepost.kernel.points import Point


class Decision(StrEnum):
    """What becomes of the checkout. REVIEW places it and leaves a mark for an operator."""

    ALLOW = "allow"
    REVIEW = "review"
    REFUSE = "refuse"


class RiskFacts(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A checkout about to be placed. A bound of 0 switches its rule off.

    `placed_in_window` counts what the buyer placed in the last `window_ms`, this checkout not among it.
    """

    buyer_id: str
    market: str
    currency: str
    total_minor: int
    at_ms: int
    placed_in_window: int
    scene: str = "default"
    orders_max: int = 0
    window_ms: int = 60_000
    amount_review_minor: int = 0
    amount_max_minor: int = 0


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The decision, the code of the rule that made it (empty for allow) and a reason for people."""

    decision: Decision
    code: str = ""
    reason: str = ""
    retry_after_s: int = 0


CHECK: Point[Callable[[RiskFacts], Verdict]] = Point(
    "risk.check", "May this checkout be placed, be placed under review, or be refused?"
)

declare_problems(
    {
        "risk.velocity": (
            Kind.LIMITED,
            "Too many orders in a short time",
            "Repeat the same request after Retry-After seconds.",
        ),
        "risk.amount": (
            Kind.UNPROCESSABLE,
            "More than may be ordered at once",
            "Order less at once, or ask the shop.",
        ),
        "risk.refused": (Kind.FORBIDDEN, "Refused by the shop's risk rules", "Ask the shop."),
    }
)
