"""A campaign as it is kept: where it stands, which version of its rules is in force, and what others are told."""

from __future__ import annotations

import msgspec

from tradepost.kernel.errors import Kind, declare_problems
from tradepost.kernel.events import Event, event
from tradepost.kernel.states import StateTable
from tradepost.trade.promotion.model import Campaign, CampaignState

ACTIVE_MAX = 500
"""Campaigns in force at a time; publishing one more is refused, so that the book stays small."""
ACTIVE_OF_SELLER_MAX = 20
"""Campaigns of one seller in force at a time: every quote looks at the limits of all that may concern it."""
CODE_LETTERS_MAX = 40
CODES_ASKED_MAX = 10
"""Codes of one quote."""
DOCUMENT_BYTES_MAX = 256 * 1024
"""A version of a campaign's rules as JSON; a larger one is refused."""

DRAFT, ACTIVE = CampaignState.DRAFT.value, CampaignState.ACTIVE.value
PAUSED, ENDED = CampaignState.PAUSED.value, CampaignState.ENDED.value

CAMPAIGN_STATES = StateTable(
    "campaign",
    DRAFT,
    (ENDED,),
    [
        (DRAFT, "change", DRAFT),
        (DRAFT, "publish", ACTIVE),
        (DRAFT, "end", ENDED),
        (ACTIVE, "change", ACTIVE),
        (ACTIVE, "publish", ACTIVE),
        (ACTIVE, "pause", PAUSED),
        (ACTIVE, "end", ENDED),
        (PAUSED, "change", PAUSED),
        (PAUSED, "publish", ACTIVE),
        (PAUSED, "resume", ACTIVE),
        (PAUSED, "end", ENDED),
    ],
)
"""A change makes a new version of the rules, which counts from the next publishing on."""


class StoredCampaign(msgspec.Struct, frozen=True, kw_only=True):
    """A campaign and where it stands. `version` is the row's, for changes that do not overwrite each other.

    `campaign` is the newest version of its rules, `live_version` the one in force (0: none was published).
    """

    campaign_id: str
    seller_id: str
    state: str
    version: int
    rules_version: int
    live_version: int
    updated_at_ms: int
    campaign: Campaign


class KeptRules(msgspec.Struct, frozen=True, kw_only=True):
    """One immutable version of a campaign's rules, who wrote it and when (ms UTC)."""

    rules_version: int
    campaign: Campaign
    author: str
    at_ms: int


class Edition(msgspec.Struct, frozen=True, kw_only=True):
    """The campaigns in force together from one publishing, pausing or ending to the next. 0 is before the first."""

    edition: int
    campaigns: tuple[Campaign, ...]


CHANGED = "campaign.changed.v1"


@event(CHANGED)
class CampaignChanged(Event, frozen=True, kw_only=True):
    """A campaign was written: what is in force may be something else now."""

    campaign_id: str
    seller_id: str
    state: str
    rules_version: int
    live_version: int


declare_problems(
    {
        "promotion.campaign_unknown": (
            Kind.NOT_FOUND,
            "No such campaign",
            "Copy the id as the API returned it.",
        ),
        "promotion.too_many_active": (
            Kind.CONFLICT,
            "Too many campaigns are in force",
            "End some of them first.",
        ),
        "promotion.code_taken": (
            Kind.CONFLICT,
            "Another campaign has this code",
            "Choose another code, or end the campaign that has it.",
        ),
    }
)
