"""Past orders priced again: by the rules of their day to the cent, under a draft with the difference, and explained."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.campaign_samples import HALF, campaign, coupon, fixed, forget, percent, promoted, publish
from tests.checkout_shop import Shop, TwoShards

from tradepost.kernel.errors import Refusal
from tradepost.surfaces.cli import pricing as command
from tradepost.surfaces.cli.pricing_page import page_of
from tradepost.testing.world import TestWorld
from tradepost.trade import checkout, orders, promotion
from tradepost.trade.checkout import Comparison, Rules
from tradepost.trade.promotion import (
    BuyGet,
    Campaign,
    Condition,
    Filter,
    Limits,
    Percentage,
    Policy,
    Rule,
    RuleClass,
)

EVER = (0, 1 << 60)


class Looking:
    """A reader of a shop on two shards."""

    shards = 2

    def __init__(self, shop: Shop) -> None:
        self.shop = shop

    def shard_of(self, gene: int) -> int:
        return gene % 2

    def read(self, shard: int, query: Callable[..., Any], *args: Any) -> Any:
        return self.shop.db.databases[shard].run(query, *args)

    def close(self) -> None:
        """Nothing to close."""


@pytest.fixture
def shop(world: TestWorld) -> Iterator[Shop]:
    shards = TwoShards()
    yield promoted(shards, world)
    shards.close()


def some_campaign(chance: random.Random, number: int) -> Campaign:
    """One of many kinds."""
    order = {"rule_class": RuleClass.ORDER}
    rules = chance.choice(
        [
            (percent(chance.randrange(10_000, 300_000), funding=HALF),),
            (fixed(chance.randrange(1, 90), funding=HALF, **order),),
            (percent(70_000, conditions=(Condition(items_total_at_least=1_500),), **order),),
            (Rule(code="three", effect=BuyGet(buy_quantity=2)),),
            (fixed(50, rule_class=RuleClass.SHIPPING), percent(33_333, code="also", priority=5)),
            (percent(111_111, filter=Filter(segments=("vip",)), exclusive=chance.random() < 0.3),),
            (fixed(77, conditions=(Condition(first_order=True),)),),
        ]
    )
    limits = Limits(total=chance.choice((0, 400)), per_buyer=chance.choice((0, 2)))
    return campaign(number, rules=rules, limits=limits, markets=chance.choice(((), ("GB",))))


async def live(shop: Shop, chance: random.Random, count: int) -> int:
    """So many purchases while campaigns come, change, pause and go; how many orders were placed."""
    offers = [
        await shop.offer(
            pieces=10_000,
            price_minor=chance.randrange(99, 2_500),
            seller_id=chance.choice((shop.seller_id, "sel_b")),
            sku_gene=chance.choice((6, 7)),
            floors=chance.choice(({}, {"GBP": 90})),
            tax_category=chance.choice(("standard", "zero")),
        )
        for _ in range(8)
    ]
    buyers = [shop.world.mint("buyer", chance.randrange(1_024)) for _ in range(12)]
    known: list[Campaign] = []
    placed = 0
    for number in range(count):
        shop.world.advance(chance.randrange(1, 40_000_000))
        if number % 9 == 0:
            one = some_campaign(chance, number + 1)
            known.append(one)
            await publish(shop, one)
        if number % 13 == 12 and known:
            victim = known.pop(chance.randrange(len(known)))
            moment = shop.world.now_ms()
            await shop.db.transact(0, promotion.move_campaign, victim.campaign_id, "pause", moment)
            forget(shop)
        lines = [
            (offer, chance.choice((1, 1, 2, 3, 7))) for offer in chance.sample(offers, chance.randrange(1, 5))
        ]
        facts = {"buyer_id": chance.choice(buyers), "segments": chance.choice(((), ("vip",)))}
        try:
            view, _ = await shop.buy(*lines, key=f"k{number}", **facts)
        except Refusal as refusal:
            if not refusal.code.startswith("promotion.limit_"):
                raise
            continue
        placed += len(view.orders)
    return placed


async def test_the_rules_of_their_day_give_their_totals_to_the_cent(shop: Shop) -> None:
    placed = await live(shop, random.Random(7), 300)
    found = command.replay_orders(Looking(shop), EVER, ())
    assert found.differences == []
    assert (found.orders, found.equal, found.unknown) == (placed, found.baskets, {})
    sums = found.by_currency["GBP"]
    assert sums.discount_was_minor == sums.discount_now_minor > 10_000
    assert {was == now for was, now in found.by_funder["GBP"].values()} == {True}
    assert sum(sums.baskets for sums in found.by_day["GBP"].values()) == found.baskets > 250


async def test_baskets_come_while_orders_are_read(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    placed = await live(shop, random.Random(5), 120)
    whole = {one.name: one for one in command.read_baskets(Looking(shop), *EVER)}
    monkeypatch.setattr(command, "PAGE", 4)
    looking, reads, alive, most = Looking(shop), 0, 0, 0
    read = looking.read

    def counted(*args: Any) -> Any:
        nonlocal reads, alive
        page = read(*args)
        reads, alive = reads + 1, alive + len(page)
        return page

    monkeypatch.setattr(looking, "read", counted)
    found = []
    for one in command.read_baskets(looking, *EVER):
        alive -= len(one.portions)
        most = max(most, alive)
        found.append(one)
    assert sum(len(one.portions) for one in found) == placed > 100
    assert {one.name: one for one in found} == whole
    assert len(found) == len(whole)
    assert reads > placed // 4
    assert most < 12


async def test_editions_are_read_when_they_are_asked_for(shop: Shop) -> None:
    await publish(shop, campaign(1))
    editions = command.Editions(Looking(shop))
    assert [one.campaign_id for one in editions[1].campaigns] == [campaign(1).campaign_id]
    with pytest.raises(KeyError):
        editions[2]


async def test_a_rule_of_another_day_is_noticed(shop: Shop) -> None:
    await live(shop, random.Random(3), 40)
    shop.db.databases[0].run(_swap_a_percentage)
    found = command.replay_orders(Looking(shop), EVER, ())
    assert found.equal < found.baskets
    assert found.differences[0].was_minor != found.differences[0].now_minor


def _swap_a_percentage(tx: Any) -> None:
    for campaign_id, version, document in tx.query(
        "SELECT campaign_id, rules_version, document FROM campaign_versions"
    ):
        one = msgspec.json.decode(document, type=Campaign)
        rules = tuple(
            msgspec.structs.replace(rule, effect=Percentage(percent_ppm=rule.effect.percent_ppm + 50_000))
            if isinstance(rule.effect, Percentage)
            else rule
            for rule in one.rules
        )
        tx.execute(
            "UPDATE campaign_versions SET document = ? WHERE gene = 0 AND campaign_id = ? AND rules_version = ?",
            (msgspec.json.encode(msgspec.structs.replace(one, rules=rules)), campaign_id, version),
        )


async def test_a_draft_shows_what_it_would_have_cost(shop: Shop, tmp_path: Path) -> None:
    mug = await shop.offer(price_minor=1_000)
    await shop.buy((mug, 2))
    await publish(shop, campaign(1))
    await shop.buy((mug, 1), key="k2")
    draft = tmp_path / "draft.toml"
    draft.write_text(
        'title = "A fifth"\ncurrency = "GBP"\n[[rules]]\ncode = "fifth"\n'
        '[rules.effect]\nkind = "percentage"\npercent_ppm = 200_000\n'
    )
    drafts = command.read_drafts(draft)
    found = command.replay_orders(Looking(shop), EVER, drafts)
    sums = found.by_currency["GBP"]
    assert (sums.was_minor, sums.now_minor) == (2_900, 1_600 + 720)
    assert (sums.discount_was_minor, sums.discount_now_minor) == (100, 680)
    page = page_of(found, drafts)
    assert "<svg" in page
    assert "With A fifth" in page
    assert "-5.80" in page


async def test_a_draft_replaces_the_campaign_of_its_id(shop: Shop) -> None:
    mug = await shop.offer(price_minor=1_000)
    await publish(shop, campaign(1))
    await shop.buy((mug, 1))
    active = promotion.CampaignState.ACTIVE
    found = command.replay_orders(Looking(shop), EVER, [campaign(1, rules=(percent(300_000),), state=active)])
    assert found.by_currency["GBP"].now_minor == 700


async def test_an_order_tells_what_was_tried_and_why(shop: Shop) -> None:
    mug = await shop.offer(price_minor=1_000)
    big = Condition(items_total_at_least=50_000)
    await publish(shop, campaign(1, rules=(percent(code="ten"), fixed(100, code="big", conditions=(big,)))))
    await publish(shop, coupon("CODE", 2))
    view, _ = await shop.buy((mug, 2))
    looking = Looking(shop)
    basket = checkout.bought(looking.read(0, command._orders_of, view.orders[0].order_id))
    found = checkout.explain(basket, command.market("GB"), Rules(command.Editions(looking)))
    assert (found.agrees, found.total_minor) == (True, 1_800)
    assert [(one.code, off) for one, off in found.lines[0].applied] == [("ten", 200)]
    assert {one.code: one.why for one in found.refused} == {
        "big": "condition_not_met",
        "ten": "coupon_missing",
    }


def test_a_lost_edition_is_told_and_not_guessed() -> None:
    empty = checkout.compare([], {}, Rules({}))
    assert empty == Comparison()
    with pytest.raises(KeyError):
        Rules({}).strategy(5, Policy(), ())


@pytest.mark.parametrize("text", ["no toml at all [", 'currency = "GBP"', "campaigns = 3"])
def test_a_file_that_is_no_campaign_is_refused(tmp_path: Path, text: str) -> None:
    draft = tmp_path / "draft.toml"
    draft.write_text(text)
    with pytest.raises(Refusal, match=r"pricing\.draft_invalid"):
        command.read_drafts(draft)


def test_moments_are_days_or_times() -> None:
    assert command._moment("2026-11-01") == 1_793_491_200_000
    assert command._moment("2026-11-01T00:00+01:00") == 1_793_491_200_000 - 3_600_000
    with pytest.raises(Refusal, match=r"pricing\.moment_invalid"):
        command._moment("yesterday")


def test_orders_of_a_shard_come_page_by_page(shop: Shop) -> None:
    assert shop.db.databases[0].run(orders.orders_since, 0, (-1, ""), 10) == []
