"""Campaigns as they are written and shown."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from tradepost.surfaces.api.words import Code, Cursor, Limit, MomentMs, Name, Version
from tradepost.trade.promotion import Limits, Rule, StoredCampaign

CAMPAIGN = {
    "title": "Ten percent in November",
    "currency": "GBP",
    "markets": ["GB"],
    "rules": [
        {
            "code": "ten",
            "effect": {"kind": "percentage", "percent_ppm": 100_000},
            "class": "line",
        }
    ],
    "needs_code": True,
    "codes": ["NOVEMBER10"],
    "limits": {"total": 1000, "per_buyer": 1},
}
CAMPAIGN_ANSWER = {
    "campaign_id": "cmp_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "seller_id": "",
    "owner": "platform",
    "state": "DRAFT",
    "version": 1,
    "rules_version": 1,
    "live_version": 0,
    "updated_at_ms": 1790000000000,
    "from_ms": 0,
    "until_ms": 0,
    "scenes": [],
    **CAMPAIGN,
}


class CampaignTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What a campaign gives, to whom, where and when, and how often. `version` is the row as read, 0 takes it as it is.

    Amounts are minor units of `currency`, percentages parts per million, moments ms UTC; `until_ms` 0 is without end.
    """

    rules: Annotated[tuple[Rule, ...], Meta(min_length=1, max_length=100)]
    currency: Annotated[str, Meta(min_length=3, max_length=3)]
    title: Name = ""
    markets: Annotated[tuple[Code, ...], Meta(max_length=300)] = ()
    scenes: Annotated[tuple[Code, ...], Meta(max_length=50)] = ()
    from_ms: MomentMs = 0
    until_ms: MomentMs = 0
    needs_code: bool = False
    codes: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=40)], ...], Meta(max_length=1_000)
    ] = ()
    limits: Limits = Limits()
    seller_id: Code = ""
    version: Version = 0


class CampaignInput(msgspec.Struct, frozen=True, kw_only=True):
    """What to do with a campaign; `version` 0 takes it as it is."""

    input: Literal["publish", "pause", "resume", "end"]
    version: Version = 0


class CampaignList(msgspec.Struct, frozen=True, kw_only=True):
    """Which campaigns: sellers see their own; operators everybody's, or those of the seller they name."""

    state: Code = ""
    seller_id: Code = ""
    cursor: Cursor = ""
    limit: Limit = 50


class CampaignAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A campaign with the newest version of its rules; `live_version` is the one in force while it is ACTIVE."""

    campaign_id: str
    owner: str
    seller_id: str
    state: str
    version: int
    rules_version: int
    live_version: int
    updated_at_ms: int
    title: str
    currency: str
    markets: tuple[str, ...]
    scenes: tuple[str, ...]
    from_ms: int
    until_ms: int
    needs_code: bool
    codes: tuple[str, ...]
    limits: Limits
    rules: tuple[Rule, ...]


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """What would stop a campaign: the problem's code, which field, and what would be right."""

    code: str
    detail: str
    field: str = ""
    expected: str = ""


class CampaignCheck(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a campaign would be published as it is written, and what stops it."""

    passes: bool
    faults: tuple[Fault, ...] = ()


class RulesVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a campaign's rules, who wrote it and when."""

    rules_version: int
    author: str
    at_ms: int
    rules: tuple[Rule, ...]
    limits: Limits
    codes: tuple[str, ...]
    from_ms: int
    until_ms: int


class RulesHistory(msgspec.Struct, frozen=True, kw_only=True):
    """The newest 100 versions, newest first."""

    items: tuple[RulesVersion, ...]


SAME = (
    "title",
    "currency",
    "markets",
    "scenes",
    "from_ms",
    "until_ms",
    "needs_code",
    "codes",
    "limits",
    "rules",
)


def view_campaign(stored: StoredCampaign) -> CampaignAnswer:
    """A campaign as shown."""
    return CampaignAnswer(
        campaign_id=stored.campaign_id,
        owner=stored.campaign.owner.value,
        seller_id=stored.seller_id,
        state=stored.state,
        version=stored.version,
        rules_version=stored.rules_version,
        live_version=stored.live_version,
        updated_at_ms=stored.updated_at_ms,
        **{name: getattr(stored.campaign, name) for name in SAME},
    )
