"""What others may do with campaigns: write drafts, publish, pause, end, read; all on the campaigns' one shard."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from tradepost.kernel.errors import Refusal
from tradepost.kernel.events import record
from tradepost.kernel.tx import Taken, Tx
from tradepost.trade.promotion import store
from tradepost.trade.promotion.campaigns import (
    ACTIVE,
    ACTIVE_MAX,
    ACTIVE_OF_SELLER_MAX,
    CAMPAIGN_STATES,
    DRAFT,
    ENDED,
    CampaignChanged,
    Edition,
    KeptRules,
    StoredCampaign,
)
from tradepost.trade.promotion.model import Campaign, CampaignState, Owner

CAMPAIGN = "campaign"
"""Topic of the signal that the book listens to; its key is the campaign's id."""
HISTORY_MAX = 100


def create_campaign(tx: Tx, campaign: Campaign, author: str, at_ms: int) -> StoredCampaign:
    """A new draft. The caller has checked the rules. Raises Taken when the id is known."""
    campaign = replace(campaign, version=1, state=CampaignState.DRAFT)
    stored = StoredCampaign(
        campaign_id=campaign.campaign_id,
        seller_id=campaign.seller_id,
        state=DRAFT,
        version=1,
        rules_version=1,
        live_version=0,
        updated_at_ms=at_ms,
        campaign=campaign,
    )
    store.insert_rules(tx, campaign, author, at_ms)
    store.insert_campaign(tx, stored)
    _tell(tx, stored, at_ms)
    return stored


def change_campaign(
    tx: Tx, campaign: Campaign, author: str, at_ms: int, *, seller_id: str = "", version: int = 0
) -> StoredCampaign:
    """New rules, a version of their own: they count from the next publishing on.

    `seller_id` bounds it to that seller's campaigns; `version` is the row as read, 0 takes it as it is. Raises
    Refusal `promotion.campaign_unknown`, `.campaign_invalid` for another currency or owner, `version.conflict`,
    `state.conflict`.
    """
    now = _at(tx, campaign.campaign_id, seller_id, version)
    state = CAMPAIGN_STATES.next(now.state, "change")
    same = (campaign.currency, campaign.owner, campaign.seller_id)
    if same != (now.campaign.currency, now.campaign.owner, now.campaign.seller_id):
        raise Refusal(
            "promotion.campaign_invalid",
            "A campaign keeps its currency and owner; make another one.",
            field="currency",
            expected=now.campaign.currency,
        )
    campaign = replace(campaign, version=now.rules_version + 1, state=CampaignState.DRAFT)
    store.insert_rules(tx, campaign, author, at_ms)
    return _write(
        tx, replace(now, state=state, rules_version=campaign.version, campaign=campaign), now, at_ms
    )


def move_campaign(
    tx: Tx, campaign_id: str, given: str, at_ms: int, *, seller_id: str = "", version: int = 0
) -> StoredCampaign:
    """Publish the newest rules, pause, resume or end; the edition of what is in force grows with it.

    Raises Refusal `promotion.campaign_unknown`, `.too_many_active`, `.code_taken`, `version.conflict`,
    `state.conflict`. The price guard and the limits' stock are the caller's: see `checkout.publish_campaign`.
    """
    now = _at(tx, campaign_id, seller_id, version)
    state = CAMPAIGN_STATES.next(now.state, given)
    live = now.rules_version if given == "publish" else now.live_version
    if state == ACTIVE != now.state and now.seller_id:
        _check_room(tx, now.seller_id)
    if given == "publish":
        _claim_codes(tx, now.campaign)
    after = _write(tx, replace(now, state=state, live_version=live), now, at_ms)
    if ACTIVE in (now.state, state):
        _begin_edition(tx, at_ms)
    return after


def find_campaign(tx: Tx, campaign_id: str, seller_id: str = "") -> StoredCampaign:
    """A campaign; with a seller only if it is theirs. Raises Refusal `promotion.campaign_unknown`."""
    return _at(tx, campaign_id, seller_id, 0)


def list_campaigns(
    tx: Tx, seller_id: str = "", state: str = "", after: str = "", limit: int = 50
) -> list[StoredCampaign]:
    """Campaigns in order of id, after the id `after`."""
    return store.select_page(tx, seller_id, state, after, limit)


def campaign_history(tx: Tx, campaign_id: str) -> list[KeptRules]:
    """The newest 100 versions of a campaign's rules, newest first."""
    return store.select_history(tx, campaign_id, HISTORY_MAX)


def campaign_version(tx: Tx, campaign_id: str, version: int) -> Campaign | None:
    """One version of a campaign's rules, however many came after it; None for one that never was."""
    return store.select_versions(tx, [(campaign_id, version)]).get((campaign_id, version))


def present_edition(tx: Tx) -> Edition:
    """What is in force now."""
    edition, members = store.newest_edition(tx)
    return Edition(edition=edition, campaigns=_in_force(store.select_versions(tx, members), members))


def past_editions(tx: Tx, editions: Iterable[int]) -> dict[int, Edition]:
    """Editions by number; unknown ones are left out."""
    found = store.select_editions(tx, set(editions))
    rules = store.select_versions(tx, sorted({pair for members in found.values() for pair in members}))
    return {
        edition: Edition(edition=edition, campaigns=_in_force(rules, members))
        for edition, members in found.items()
    }


def campaigns_of_codes(tx: Tx, codes: Iterable[str]) -> dict[str, StoredCampaign]:
    """The campaign that each code last belonged to; unknown codes are left out."""
    found = {}
    for code, campaign_id in store.select_codes(tx, codes).items():
        stored = store.select_campaign(tx, campaign_id)
        if stored is not None:
            found[code] = stored
    return found


def _in_force(
    rules: Mapping[tuple[str, int], Campaign], members: Iterable[tuple[str, int]]
) -> tuple[Campaign, ...]:
    return tuple(replace(rules[pair], state=CampaignState.ACTIVE) for pair in members if pair in rules)


def _claim_codes(tx: Tx, campaign: Campaign) -> None:
    taken = store.select_codes(tx, campaign.codes) if campaign.codes else {}
    for code, campaign_id in taken.items():
        if campaign_id == campaign.campaign_id:
            continue
        other = store.select_campaign(tx, campaign_id)
        if other is not None and other.state != ENDED:
            raise Refusal(
                "promotion.code_taken",
                f"The code {code} belongs to a campaign that has not ended.",
                field="codes",
                extra={"taken": code},
            )
    new = [code for code in campaign.codes if taken.get(code) != campaign.campaign_id]
    store.replace_codes(tx, campaign.campaign_id, new, [code for code in new if code in taken])


def _check_room(tx: Tx, seller_id: str) -> None:
    if len(store.select_page(tx, seller_id, ACTIVE, "", ACTIVE_OF_SELLER_MAX)) >= ACTIVE_OF_SELLER_MAX:
        raise Refusal(
            "promotion.too_many_active",
            f"{ACTIVE_OF_SELLER_MAX} campaigns of this seller are in force.",
            expected=f"at most {ACTIVE_OF_SELLER_MAX} of one seller",
        )


def _begin_edition(tx: Tx, at_ms: int) -> None:
    members = store.select_active(tx, ACTIVE_MAX + 1)
    if len(members) > ACTIVE_MAX:
        raise Refusal(
            "promotion.too_many_active",
            f"{ACTIVE_MAX} campaigns are in force.",
            expected=f"at most {ACTIVE_MAX}",
        )
    try:
        store.insert_edition(tx, store.newest_edition(tx)[0] + 1, members, at_ms)
    except Taken:
        raise Refusal("version.conflict", "Another campaign was moved at this moment; repeat.") from None


def _at(tx: Tx, campaign_id: str, seller_id: str, version: int) -> StoredCampaign:
    found = store.select_campaign(tx, campaign_id)
    if found is None or (seller_id and (found.seller_id, found.campaign.owner) != (seller_id, Owner.SELLER)):
        raise Refusal(
            "promotion.campaign_unknown", f"There is no campaign {campaign_id[:60]!r}.", field="campaign_id"
        )
    if version and version != found.version:
        raise Refusal(
            "version.conflict",
            f"The campaign is at version {found.version}.",
            field="version",
            extra={"version": found.version},
        )
    return found


def _write(tx: Tx, after: StoredCampaign, before: StoredCampaign, at_ms: int) -> StoredCampaign:
    after = replace(after, version=before.version + 1, updated_at_ms=at_ms)
    store.update_campaign(tx, after)
    _tell(tx, after, at_ms)
    return after


def _tell(tx: Tx, stored: StoredCampaign, at_ms: int) -> None:
    tx.signal(CAMPAIGN, stored.campaign_id)
    fact = CampaignChanged(
        campaign_id=stored.campaign_id,
        seller_id=stored.seller_id,
        state=stored.state,
        rules_version=stored.rules_version,
        live_version=stored.live_version,
    )
    tx.emit([record(fact, stored.campaign_id, stored.version, at_ms, seller_id=stored.seller_id)])
