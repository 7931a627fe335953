"""Campaigns as they are kept: versions, states, codes, editions, and the book that remembers them."""

from __future__ import annotations

from typing import Any

import pytest
from tests.campaign_samples import campaign, coupon, fixed, percent
from tests.memory_tx import MemoryDatabase

from tradepost.infra.storage.sqlite import SqliteStorage
from tradepost.kernel.errors import Refusal
from tradepost.testing.world import START_MS
from tradepost.trade import promotion
from tradepost.trade.promotion import (
    BundlePart,
    BundlePrice,
    BuyGet,
    Campaign,
    CampaignBook,
    Condition,
    Filter,
    InForce,
    Limits,
    Owner,
    Policy,
    Rule,
    campaigns,
)

NOW = START_MS


@pytest.fixture
def base() -> Any:
    database = MemoryDatabase()
    yield database
    database.close()


def create(base: MemoryDatabase, one: Campaign) -> promotion.StoredCampaign:
    found: promotion.StoredCampaign = base.run(promotion.create_campaign, one, "opr_1", NOW)
    return found


def move(base: MemoryDatabase, one: Campaign, given: str) -> promotion.StoredCampaign:
    found: promotion.StoredCampaign = base.run(promotion.move_campaign, one.campaign_id, given, NOW)
    return found


def in_force(base: MemoryDatabase) -> list[tuple[str, int]]:
    edition = base.run(promotion.present_edition)
    return [(one.campaign_id, one.version) for one in edition.campaigns]


def test_a_draft_is_not_in_force_until_it_is_published(base: MemoryDatabase) -> None:
    one = campaign()
    assert create(base, one).state == "DRAFT"
    assert in_force(base) == []
    assert (move(base, one, "publish").state, in_force(base)) == ("ACTIVE", [(one.campaign_id, 1)])
    assert (move(base, one, "pause").state, in_force(base)) == ("PAUSED", [])
    assert (move(base, one, "resume").state, in_force(base)) == ("ACTIVE", [(one.campaign_id, 1)])
    assert (move(base, one, "end").state, in_force(base)) == ("ENDED", [])
    with pytest.raises(Refusal, match=r"state\.conflict"):
        move(base, one, "publish")


def test_a_change_is_a_version_that_counts_from_the_next_publishing_on(base: MemoryDatabase) -> None:
    one = campaign()
    create(base, one)
    move(base, one, "publish")
    changed = campaign(rules=(percent(200_000),))
    stored = base.run(promotion.change_campaign, changed, "opr_2", NOW + 5)
    assert (stored.rules_version, stored.live_version, stored.state) == (2, 1, "ACTIVE")
    assert in_force(base) == [(one.campaign_id, 1)]
    move(base, one, "publish")
    assert in_force(base) == [(one.campaign_id, 2)]
    kept = base.run(promotion.campaign_history, one.campaign_id)
    assert [
        (rules.rules_version, rules.author, rules.campaign.rules[0].effect.percent_ppm) for rules in kept
    ] == [
        (2, "opr_2", 200_000),
        (1, "opr_1", 100_000),
    ]


def test_editions_tell_what_was_in_force_then(base: MemoryDatabase) -> None:
    one, two = campaign(1), campaign(2, rules=(fixed(100),))
    for each in (one, two):
        create(base, each)
        move(base, each, "publish")
    move(base, one, "end")
    found = base.run(promotion.past_editions, [1, 2, 3, 9])
    assert {
        number: [each.campaign_id for each in edition.campaigns] for number, edition in found.items()
    } == {
        1: [one.campaign_id],
        2: [one.campaign_id, two.campaign_id],
        3: [two.campaign_id],
    }


def test_a_code_belongs_to_one_campaign_until_that_has_ended(base: MemoryDatabase) -> None:
    first, second = coupon("SAVE", 1), coupon("SAVE", 2)
    create(base, first)
    create(base, second)
    move(base, first, "publish")
    with pytest.raises(Refusal, match=r"promotion\.code_taken"):
        move(base, second, "publish")
    move(base, first, "end")
    move(base, second, "publish")
    assert base.run(promotion.campaigns_of_codes, ["SAVE"])["SAVE"].campaign_id == second.campaign_id


def test_sellers_reach_their_own_campaigns_only(base: MemoryDatabase) -> None:
    own = campaign(1, owner=Owner.SELLER, seller_id="sel_a")
    platform = campaign(2)
    create(base, own)
    create(base, platform)
    assert base.run(lambda tx: promotion.find_campaign(tx, own.campaign_id, "sel_a")).seller_id == "sel_a"
    for campaign_id, seller_id in ((own.campaign_id, "sel_b"), (platform.campaign_id, "sel_a")):
        with pytest.raises(Refusal, match=r"promotion\.campaign_unknown"):
            base.run(promotion.find_campaign, campaign_id, seller_id)
    assert [one.campaign_id for one in base.run(promotion.list_campaigns, "sel_a")] == [own.campaign_id]
    assert len(base.run(promotion.list_campaigns)) == 2


def test_a_campaign_keeps_its_owner_and_currency(base: MemoryDatabase) -> None:
    create(base, campaign())
    with pytest.raises(Refusal, match=r"promotion\.campaign_invalid"):
        base.run(promotion.change_campaign, campaign(currency="EUR"), "opr_1", NOW)


def test_a_write_that_saw_an_older_row_is_refused(base: MemoryDatabase) -> None:
    one = campaign()
    create(base, one)
    move(base, one, "publish")
    with pytest.raises(Refusal, match=r"version\.conflict"):
        base.run(lambda tx: promotion.move_campaign(tx, one.campaign_id, "pause", NOW, version=1))


def test_more_than_so_many_are_not_published(base: MemoryDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promotion.api, "ACTIVE_MAX", 1)
    for number in (1, 2):
        create(base, campaign(number))
    move(base, campaign(1), "publish")
    with pytest.raises(Refusal, match=r"promotion\.too_many_active"):
        move(base, campaign(2), "publish")
    assert len(in_force(base)) == 1


def test_more_than_so_many_of_one_seller_are_not_in_force(
    base: MemoryDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(promotion.api, "ACTIVE_OF_SELLER_MAX", 1)
    mine = [campaign(number, owner=Owner.SELLER, seller_id="sel_a") for number in (1, 2)]
    other = campaign(3, owner=Owner.SELLER, seller_id="sel_b")
    for one in (*mine, other, campaign(4)):
        create(base, one)
    move(base, mine[0], "publish")
    move(base, mine[0], "publish")  # the same one again is not one more
    with pytest.raises(Refusal, match=r"promotion\.too_many_active"):
        move(base, mine[1], "publish")
    move(base, other, "publish")
    move(base, campaign(4), "publish")
    move(base, mine[0], "pause")
    move(base, mine[1], "publish")
    with pytest.raises(Refusal, match=r"promotion\.too_many_active"):
        move(base, mine[0], "resume")


def test_a_document_has_a_bound(base: MemoryDatabase) -> None:
    one = campaign(title="x" * campaigns.DOCUMENT_BYTES_MAX)
    with pytest.raises(Refusal, match=r"promotion\.campaign_invalid"):
        create(base, one)
    create(base, campaign())
    with pytest.raises(Refusal, match=r"promotion\.campaign_invalid"):
        base.run(promotion.change_campaign, one, "opr_1", NOW)


@pytest.mark.parametrize(
    "one",
    [
        percent(filter=Filter(first_order=False)),
        percent(filter=Filter(first_order=True)),
        percent(conditions=(Condition(first_order=False),)),
        percent(conditions=(Condition(among=Filter(first_order=False)),)),
        Rule(code="two", effect=BuyGet(buy_quantity=1, get=Filter(first_order=False))),
        Rule(
            code="set",
            effect=BundlePrice(price_minor=1, parts=(BundlePart(quantity=1, of=Filter(first_order=True)),)),
        ),
    ],
)
def test_rules_for_those_who_bought_before_are_asked_about_too(one: Rule) -> None:
    found = InForce(promotion.Edition(edition=1, campaigns=(campaign(rules=(one,)),)))
    assert found.asks_first_order
    assert not InForce(promotion.Edition(edition=1, campaigns=(campaign(),))).asks_first_order


def test_only_a_first_order_bounds_each_buyer() -> None:
    assert promotion.asks_first_order(campaign(rules=(percent(filter=Filter(first_order=True)),)))
    assert not promotion.asks_first_order(campaign(rules=(percent(filter=Filter(first_order=False)),)))


def test_every_change_is_told_and_keeps_no_gap(base: MemoryDatabase) -> None:
    one = campaign()
    create(base, one)
    move(base, one, "publish")
    move(base, one, "end")
    rows = [row for row in base.events() if row.type == "campaign.changed.v1"]
    assert [(row.version, row.data().state) for row in rows] == [(1, "DRAFT"), (2, "ACTIVE"), (3, "ENDED")]


async def test_the_book_is_read_once_and_again_when_a_campaign_was_written(db: SqliteStorage) -> None:
    book = CampaignBook(db)
    assert book.present is None
    assert not await book.load()
    empty = book.present
    assert empty is not None
    await db.transact(0, promotion.create_campaign, campaign(limits=Limits(total=3)), "opr_1", NOW)
    assert book.present is None  # told by the commit, before its answer
    assert not await book.load()
    assert book.present is empty  # a draft changes no edition, so nothing is compiled again
    await db.transact(0, promotion.move_campaign, campaign().campaign_id, "publish", NOW)
    found = await book.load()
    assert [one.campaign_id for one in found.limited] == [campaign().campaign_id]
    strategy = found.strategy(Policy())
    assert found.strategy(Policy()) is strategy
    assert found.strategy(Policy(), frozenset({campaign().campaign_id})).book.rules == []


def test_the_states_are_those_of_the_model() -> None:
    assert set(campaigns.CAMPAIGN_STATES.states) == {state.value for state in promotion.CampaignState}
