"""What a market decides after the sale: spans, and what of the delivery is paid back. Data, one file for all."""

from __future__ import annotations

import functools
import tomllib
from importlib import resources

import msgspec

from tradepost.trade.aftersales.model import CaseKind

WHOLE, FAULT, NEVER = "whole", "fault", "never"
"""When the buyer's delivery fee goes back: with the whole order, only at the seller's fault, never."""
VALUE, KEEP = "value", "keep"
"""What becomes of a gift when what earned it comes back: it comes too or its value is kept, or the buyer keeps it."""


class Change(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A row of the table of who may do what that a market has otherwise; no states take it away."""

    kind: str
    step: str
    party: str
    states: tuple[str, ...] = ()


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One market's rules. Spans in milliseconds, 0 for never; see `policies.toml` for what each means."""

    answer_ms: int = 0
    ship_back_ms: int = 0
    arrive_ms: int = 0
    inspect_ms: int = 0
    evidence_ms: int = 0
    escalate_ms: int = 0
    shipping_back: str = WHOLE
    fault_shipping: bool = True
    gifts: str = VALUE
    change: tuple[Change, ...] = ()

    def span_of(self, state: str) -> int:
        """How long a case may stay in a state before the table decides by itself; 0 for ever."""
        return {
            "REQUESTED": self.answer_ms,
            "APPROVED": self.ship_back_ms,
            "SHIPPED_BACK": self.arrive_ms,
            "INSPECTING": self.inspect_ms,
            "DISPUTED": self.evidence_ms,
        }.get(state, 0)


@functools.cache
def all_policies() -> dict[str, Policy]:
    """The policies by market code, "" for every other one. Raises ValidationError for a bad file."""
    text = resources.files(__package__).joinpath("policies.toml").read_text("utf-8")
    file = tomllib.loads(text)
    found = {"": msgspec.convert(file["default"], Policy)}
    for code, rows in file.get("market", {}).items():
        found[code] = msgspec.convert({**file["default"], **rows}, Policy)
    return found


def policy_of(market: str) -> Policy:
    """The policy of a market; one that has none of its own has the default."""
    return all_policies().get(market) or all_policies()[""]


REASONS: dict[str, bool] = {
    "damaged": True,
    "defective": True,
    "missing": True,
    "not_as_described": True,
    "not_received": True,
    "wrong_item": True,
    "too_late": True,
    "changed_mind": False,
    "does_not_fit": False,
    "ordered_twice": False,
    "found_cheaper": False,
    "goodwill": False,
}
"""Reason codes, and whether they say that the seller is at fault. Other words are taken too, and blame nobody."""


def blames_seller(kind: str, reason: str) -> bool:
    """Whether a case with this reason is the seller's fault: a claim always is."""
    return kind == CaseKind.CLAIM or REASONS.get(reason, False)
