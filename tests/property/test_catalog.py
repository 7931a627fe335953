"""Any catalogue exports and comes back the same; price windows overlap exactly when two hold at one moment."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradepost.infra.storage.sqlite import SqliteStorage
from tradepost.kernel.errors import Refusal
from tradepost.testing.world import TestWorld
from tradepost.trade import catalog
from tradepost.trade.catalog import OfferTerms, PriceWindow, Product, SellerFacts, Sku
from tradepost.trade.catalog.layers import price_at
from tradepost.trade.catalog.rules import accept_prices

AT = 1_790_000_000_000
CURRENCY_OF = {"GB": "GBP", "US": "USD", "JP": "JPY"}

moments = st.integers(0, 30)
windows = st.builds(
    PriceWindow,
    currency=st.sampled_from(["GBP", "JPY"]),
    price_e4=st.integers(0, 10**6),
    from_ms=moments,
    until_ms=moments,
)


def holds(window: PriceWindow, at_ms: int) -> bool:
    return window.from_ms <= at_ms and (not window.until_ms or at_ms < window.until_ms)


@given(st.lists(windows, max_size=6))
def test_windows_are_accepted_exactly_when_one_price_holds_at_a_time(prices: list[PriceWindow]) -> None:
    empty = any(window.until_ms and window.until_ms <= window.from_ms for window in prices)
    doubled = any(
        sum(holds(window, at) and window.currency == currency for window in prices) > 1
        for at in range(32)
        for currency in ("GBP", "JPY")
    )
    if empty or doubled:
        with pytest.raises(Refusal) as caught:
            accept_prices(prices)
        expected = "catalog.price_window_empty" if empty else "catalog.price_windows_overlap"
        assert caught.value.code == expected
        return
    accepted = accept_prices(prices)
    terms = OfferTerms(markets=(), prices=accepted)
    for at in range(32):
        for currency in ("GBP", "JPY"):
            wanted = [
                window.price_e4 for window in prices if holds(window, at) and window.currency == currency
            ]
            assert price_at(terms, currency, at) == (wanted[0] if wanted else None)


letters = st.characters(exclude_categories=["Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"])
codes = st.text(letters.filter(lambda letter: letter != ";"), min_size=1, max_size=12)
titles = st.text(letters | st.just(" "), min_size=1, max_size=30).map(str.strip).filter(bool)
texts = st.text(letters | st.sampled_from(" \n\t\",'"), max_size=60).map(str.strip)


@st.composite
def terms_of(draw: Any) -> OfferTerms:
    markets = tuple(sorted(draw(st.sets(st.sampled_from(sorted(CURRENCY_OF)), min_size=1))))
    prices = []
    for market in markets:
        cuts = sorted(draw(st.sets(st.integers(1, 10**13), max_size=3)))
        for start, end in zip([0, *cuts], [*cuts, 0], strict=True):
            price = draw(st.integers(0, 10**9))
            prices.append(
                PriceWindow(currency=CURRENCY_OF[market], price_e4=price, from_ms=start, until_ms=end)
            )
    return OfferTerms(
        markets=markets,
        prices=tuple(prices),
        pool=draw(st.sampled_from(["shop", "campaign", "room-1"])),
        limit_per_buyer=draw(st.integers(0, 5)),
        quantity_max=draw(st.integers(0, 5)),
    )


offers_of_sku = st.dictionaries(
    st.just("") | codes, st.tuples(terms_of(), st.sampled_from(["ACTIVE", "PAUSED", "ENDED"])), max_size=2
)
catalogues = st.dictionaries(codes, st.tuples(titles, texts, offers_of_sku), min_size=1, max_size=5)


async def build(db: Any, world: TestWorld, seller_id: str, wanted: dict[str, Any], kit: list[int]) -> None:
    for number, (code, (title, text, offers)) in enumerate(wanted.items()):
        product = Product(
            product_id=world.mint("product", 5),
            seller_id=seller_id,
            code=f"P{number}",
            title=title,
            description=text,
        )
        await db.transact(0, catalog.create_product, product, AT)
        sku = Sku(
            sku_id=world.mint("sku", world.gene()),
            seller_id=seller_id,
            product_id=product.product_id,
            code=code,
            title=title,
        )
        parts = list(wanted)[:number]
        chosen = (
            [(part, count) for part, count in zip(parts, kit, strict=False) if count] if number % 2 else []
        )
        await catalog.add_sku(db, sku, AT, components=chosen)
        for offer_code, (terms, state) in offers.items():
            offer_id = world.mint("offer", 5)
            await db.transact(
                0,
                catalog.create_offer,
                seller_id,
                sku.sku_id,
                offer_id,
                terms,
                AT,
                code=offer_code,
                state=state,
            )


async def known(db: Any, seller_id: str) -> None:
    facts = SellerFacts(seller_id=seller_id, state="ACTIVE", fee_bps=1, version=1)
    await db.transact(0, catalog.note_sellers, [facts])


async def save(db: Any, seller_id: str, form: str) -> str:
    return "".join([piece async for piece in catalog.export_rows(db, seller_id, form=form)])


async def round_trip(db: Any, wanted: dict[str, Any], kit: list[int], form: str, seed: int) -> None:
    world = TestWorld(seed=seed)
    first, second = world.mint("seller", 5), world.mint("seller", 5)
    for seller_id in (first, second):
        await known(db, seller_id)
    await build(db, world, first, wanted, kit)
    text = (await save(db, first, form)).replace(first, second)
    lines = text.splitlines(keepends=True) if form == "csv" else text.split("\n")
    report = await catalog.import_rows(db, world, lines, form=form, seller_id=second)
    assert report.refused == []
    assert report.skus_created == len(wanted)
    assert await save(db, second, form) == text
    again = await catalog.import_rows(db, world, lines, form=form, seller_id=second)
    assert (again.skus_created, again.offers_created, again.offers_changed) == (0, 0, 0)


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_export_comes_back_the_same(database_path: Path, form: str) -> None:
    seeds = itertools.count(1)
    with asyncio.Runner() as runner:
        db = runner.run(opened(database_path))

        @settings(max_examples=40, deadline=None)
        @given(catalogues, st.lists(st.integers(0, 3), min_size=5, max_size=5))
        def check(wanted: dict[str, Any], kit: list[int]) -> None:
            runner.run(round_trip(db, wanted, kit, form, next(seeds)))

        try:
            check()
        finally:
            runner.run(db.close())


async def opened(path: Path) -> SqliteStorage:
    return SqliteStorage(path)
