"""Pricing under hypothesis: whatever the basket, the parts are the whole."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tradepost.kernel.market import Market
from tradepost.trade import pricing, shipping, tax
from tradepost.trade.catalog import Component, OfferView, PriceWindow
from tradepost.trade.pricing import Adjustment, Funder, PriceLine, Proposal

MARKETS = st.builds(
    lambda inside, standard, reduced: Market(
        code="XX",
        name="Somewhere",
        currency="EUR",
        locale="en",
        time_zone="UTC",
        prices_include_tax=inside,
        tax_rates_bps={"standard": standard, "reduced": reduced},
    ),
    st.booleans(),
    st.integers(0, 3_000),
    st.integers(0, 3_000),
)


def _line(price_e4: int, quantity: int, seller: int, category: str, fee_bps: int) -> PriceLine:
    offer = OfferView(
        offer_id="off_1",
        seller_id=f"sel_{seller}",
        sku_id="sku_1",
        sku_code="A",
        product_id="prd_1",
        title="",
        description="",
        image="",
        components=(Component(sku_id="sku_1", quantity=1),),
        markets=("XX",),
        prices=(PriceWindow(currency="EUR", price_e4=price_e4),),
        state="ACTIVE",
        seller_state="ACTIVE",
        fee_bps=fee_bps,
        version=1,
        tax_category=category,
    )
    return PriceLine(offer=offer, quantity=quantity)


LINES = st.lists(
    st.builds(
        _line,
        st.integers(0, 10**9),
        st.integers(1, 10**5),
        st.integers(1, 3),
        st.sampled_from(["standard", "reduced"]),
        st.integers(0, 3_000),
    ),
    min_size=1,
    max_size=12,
)


@st.composite
def proposals(draw: st.DrawFn, lines: int) -> tuple[Proposal, ...]:
    """Any changes of any lines, huge discounts among them."""
    return tuple(
        Proposal(
            code=f"P{number}",
            reason="because",
            funder=draw(st.sampled_from(list(Funder))),
            amount_minor=draw(st.integers(-(10**12), 10**6)),
            line_nos=tuple(draw(st.sets(st.integers(1, lines)))),
        )
        for number in range(draw(st.integers(0, 5)))
    )


@given(LINES, MARKETS, st.integers(0, 5_000), st.data())
def test_the_parts_are_the_whole(
    lines: list[PriceLine], market: Market, postage: int, data: st.DataObject
) -> None:
    proposed = data.draw(proposals(len(lines)))
    rules = {"tax": tax.by_category, "ship": shipping.flat_rate(postage), "adjust": lambda basket: proposed}
    priced = pricing.price(lines, market, 5, **rules)
    assert priced == pricing.price(lines, market, 5, **rules)
    assert priced.total_minor == sum(line.total_minor for line in priced.lines) + priced.shipping_minor
    assert priced.shipping_minor == sum(charge.amount_minor for charge in priced.shipping)
    assert priced.tax_minor == sum(part.tax_minor for part in (*priced.lines, *priced.shipping))
    assert [charge.seller_id for charge in priced.shipping] == list(
        dict.fromkeys(line.seller_id for line in priced.lines)
    )
    for line in priced.lines:
        amount = line.list_minor + sum(change.amount_minor for change in line.adjustments)
        assert amount == line.total_minor - (0 if market.prices_include_tax else line.tax_minor)
        assert 0 <= line.tax_minor <= line.total_minor
        assert 0 <= line.fee_minor <= line.total_minor


@given(LINES, MARKETS, st.integers(-(10**12), 10**6))
def test_an_order_level_change_is_split_exactly(lines: list[PriceLine], market: Market, amount: int) -> None:
    change = Proposal(code="ALL", reason="r", funder=Funder.PLATFORM, amount_minor=amount)
    priced = pricing.price(
        lines, market, 5, tax=tax.by_category, ship=shipping.free, adjust=lambda basket: [change]
    )
    listed = sum(line.list_minor for line in priced.lines)
    changes: list[Adjustment] = [change for line in priced.lines for change in line.adjustments]
    assert sum(change.amount_minor for change in changes) == max(amount, -listed)


@given(st.integers(0, 10**7), st.integers(1, 300), MARKETS)
def test_a_price_in_whole_minor_units_is_the_same_bought_at_once_or_piece_by_piece(
    price_minor: int, quantity: int, market: Market
) -> None:
    at_once = _line(price_minor * 10_000, quantity, 1, "standard", 0)
    piece = _line(price_minor * 10_000, 1, 1, "standard", 0)
    together = pricing.price([at_once], market, 5, tax=tax.by_category, ship=shipping.free)
    apart = pricing.price([piece] * quantity, market, 5, tax=tax.by_category, ship=shipping.free)
    assert sum(line.list_minor for line in apart.lines) == together.lines[0].list_minor
    assert abs(apart.tax_minor - together.tax_minor) <= quantity
