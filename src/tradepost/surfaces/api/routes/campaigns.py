"""Campaigns: written as drafts, published, paused, ended; a seller's own or the platform's."""

from __future__ import annotations

from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import check_id
from tradepost.surfaces.api.operation import Call, Routes
from tradepost.surfaces.api.routes.campaign_views import (
    CAMPAIGN,
    CAMPAIGN_ANSWER,
    SAME,
    CampaignAnswer,
    CampaignCheck,
    CampaignInput,
    CampaignList,
    CampaignTerms,
    Fault,
    RulesHistory,
    RulesVersion,
    view_campaign,
)
from tradepost.surfaces.api.routes.catalog import SELLING
from tradepost.surfaces.api.words import Page
from tradepost.trade import checkout, parties, promotion
from tradepost.trade.parties import Role
from tradepost.trade.promotion import Campaign, Owner, StoredCampaign

ROUTES = Routes("campaigns")
FIND_CODES = ("promotion.campaign_unknown",)
WRITE_CODES = (*FIND_CODES, "promotion.campaign_invalid", "version.conflict", "state.conflict")
STOPPED_BY = ("promotion.campaign_invalid", "promotion.gift_unfit", "promotion.price_error")
MOVE_CODES = (
    *WRITE_CODES,
    "promotion.gift_unfit",
    "promotion.price_error",
    "promotion.limit_lowered",
    "promotion.code_taken",
    "promotion.too_many_active",
)


def _own(call: Call) -> str:
    """The seller whose campaigns these are; empty for an operator, who may reach everybody's."""
    return call.principal.party_id if call.principal.role == Role.SELLER else ""


def _campaign(call: Call, campaign_id: str, seller_id: str) -> Campaign:
    body: CampaignTerms = call.body
    campaign = Campaign(
        campaign_id=campaign_id,
        owner=Owner.SELLER if seller_id else Owner.PLATFORM,
        seller_id=seller_id,
        **{name: getattr(body, name) for name in SAME if name != "codes"},
        codes=checkout.clean_campaign_codes(body.codes),
    )
    promotion.check_campaign(campaign)
    return campaign


def _seller(call: Call) -> str:
    """The seller a new campaign is of, empty for the platform's. Raises Refusal `auth.forbidden`, `id.invalid`."""
    body: CampaignTerms = call.body
    seller_id = parties.acting_seller(call.principal, body.seller_id) if _own(call) else body.seller_id
    return check_id(seller_id, "seller") if seller_id else ""


def _home(call: Call) -> int:
    return call.shard(promotion.GENE)


@ROUTES.add(
    "POST",
    "/v1/campaigns",
    body=CampaignTerms,
    returns=CampaignAnswer,
    status=201,
    scope="catalog:write",
    roles=SELLING,
    example=CAMPAIGN,
    answer=CAMPAIGN_ANSWER,
    codes=("promotion.campaign_invalid",),
)
async def create_campaign(call: Call) -> CampaignAnswer:
    """Write a campaign as a draft

    A seller's touches that seller's lines only, and is paid by the seller. Nothing changes until it is published.
    """
    campaign = _campaign(call, call.platform.world.mint("campaign", promotion.GENE), _seller(call))
    stored = await call.platform.db.transact(
        _home(call), promotion.create_campaign, campaign, call.principal.party_id, call.now_ms()
    )
    return view_campaign(stored)


@ROUTES.add(
    "POST",
    "/v1/campaigns/check",
    body=CampaignTerms,
    returns=CampaignCheck,
    scope="catalog:write",
    roles=SELLING,
    example=CAMPAIGN,
    answer={
        "passes": False,
        "faults": [
            {
                "code": "promotion.price_error",
                "detail": "1 of off_01m4xk9v0c7s8p2q3r4t5v6w7x would cost 9 instead of 895.",
                "field": "rules",
                "expected": "89 or more",
            }
        ],
    },
)
async def check_campaign(call: Call) -> CampaignCheck:
    """Check a campaign without writing it

    What publishing looks at: whether it can run as written, and the guard against wrong prices.
    """
    seller_id = _seller(call)
    try:
        campaign = _campaign(call, call.platform.world.mint("campaign", promotion.GENE), seller_id)
        await checkout.check_prices(call.platform.checkout, campaign)
    except Refusal as refusal:
        if refusal.code not in STOPPED_BY:
            raise
        fault = Fault(
            code=refusal.code, detail=refusal.detail, field=refusal.field, expected=refusal.expected
        )
        return CampaignCheck(passes=False, faults=(fault,))
    return CampaignCheck(passes=True)


@ROUTES.add(
    "GET",
    "/v1/campaigns",
    query=CampaignList,
    returns=Page[CampaignAnswer],
    scope="catalog:write",
    roles=SELLING,
    answer={"items": [CAMPAIGN_ANSWER], "next_cursor": ""},
)
async def list_campaigns(call: Call) -> Page[CampaignAnswer]:
    """List campaigns in order of their ids"""
    query: CampaignList = call.query
    limit = min(query.limit, call.platform.limits.page_max)
    found = await call.platform.db.read(
        _home(call),
        promotion.list_campaigns,
        _own(call) or query.seller_id,
        query.state,
        query.cursor,
        limit + 1,
    )
    return Page(
        items=tuple([view_campaign(one) for one in found[:limit]]),
        next_cursor=found[limit - 1].campaign_id if len(found) > limit else "",
    )


@ROUTES.add(
    "GET",
    "/v1/campaigns/{campaign_id}",
    returns=CampaignAnswer,
    scope="catalog:write",
    roles=SELLING,
    answer=CAMPAIGN_ANSWER,
    codes=FIND_CODES,
)
async def get_campaign(call: Call) -> CampaignAnswer:
    """Read a campaign with its newest rules"""
    return view_campaign(await _find(call))


async def _find(call: Call) -> StoredCampaign:
    campaign_id = check_id(call.path["campaign_id"], "campaign")
    return await call.platform.db.read(_home(call), promotion.find_campaign, campaign_id, _own(call))


@ROUTES.add(
    "PUT",
    "/v1/campaigns/{campaign_id}",
    body=CampaignTerms,
    returns=CampaignAnswer,
    scope="catalog:write",
    roles=SELLING,
    example={**CAMPAIGN, "version": 1},
    answer={**CAMPAIGN_ANSWER, "version": 2, "rules_version": 2},
    codes=WRITE_CODES,
)
async def change_campaign(call: Call) -> CampaignAnswer:
    """Write new rules for a campaign

    A version of its own: what is in force stays so until the new one is published.
    """
    body: CampaignTerms = call.body
    now = await _find(call)
    stored = await call.platform.db.transact(
        _home(call),
        promotion.change_campaign,
        _campaign(call, now.campaign_id, now.seller_id),
        call.principal.party_id,
        call.now_ms(),
        seller_id=_own(call),
        version=body.version,
    )
    return view_campaign(stored)


@ROUTES.add(
    "POST",
    "/v1/campaigns/{campaign_id}/state",
    body=CampaignInput,
    returns=CampaignAnswer,
    scope="catalog:write",
    roles=SELLING,
    example={"input": "publish"},
    answer={**CAMPAIGN_ANSWER, "state": "ACTIVE", "version": 2, "live_version": 1},
    codes=MOVE_CODES,
)
async def move_campaign(call: Call) -> CampaignAnswer:
    """Publish, pause, resume or end a campaign

    Publishing puts its newest rules in force, unless some price looks like a mistake.
    """
    body: CampaignInput = call.body
    campaign_id = check_id(call.path["campaign_id"], "campaign")
    if body.input == "publish":
        stored = await checkout.publish_campaign(
            call.platform.checkout, campaign_id, seller_id=_own(call), version=body.version
        )
    else:
        stored = await call.platform.db.transact(
            _home(call),
            promotion.move_campaign,
            campaign_id,
            body.input,
            call.now_ms(),
            seller_id=_own(call),
            version=body.version,
        )
    return view_campaign(stored)


@ROUTES.add(
    "GET",
    "/v1/campaigns/{campaign_id}/versions",
    returns=RulesHistory,
    scope="catalog:write",
    roles=SELLING,
    answer={
        "items": [
            {
                "rules_version": 1,
                "author": "opr_01m4xk9v0c7s8p2q3r4t5v6w7x",
                "at_ms": 1790000000000,
                "from_ms": 0,
                "until_ms": 0,
                **{name: CAMPAIGN[name] for name in ("rules", "limits", "codes")},
            }
        ]
    },
    codes=FIND_CODES,
)
async def campaign_versions(call: Call) -> RulesHistory:
    """List the versions of a campaign's rules"""
    found = await _find(call)
    kept = await call.platform.db.read(_home(call), promotion.campaign_history, found.campaign_id)
    return RulesHistory(
        items=tuple(
            [
                RulesVersion(
                    rules_version=one.rules_version,
                    author=one.author,
                    at_ms=one.at_ms,
                    rules=one.campaign.rules,
                    limits=one.campaign.limits,
                    codes=one.campaign.codes,
                    from_ms=one.campaign.from_ms,
                    until_ms=one.campaign.until_ms,
                )
                for one in kept
            ]
        )
    )
