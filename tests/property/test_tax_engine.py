"""The tax engine under hypothesis: whatever the rates and the policy, net and taxes are gross."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from tradepost.kernel.market import TaxLevel
from tradepost.kernel.money import Rounding
from tradepost.trade.tax import Rate, Taxable, TaxPolicy, restate, tax_line, tax_order

AMOUNTS = st.integers(-(10**9), 10**9)
SHARES = st.integers(0, 500_000).map(lambda ppm: Fraction(ppm, 1_000_000))
RATES = st.lists(
    st.builds(Rate, share=SHARES, included=st.booleans(), compound=st.booleans()), min_size=0, max_size=4
).map(tuple)
POLICIES = st.builds(
    TaxPolicy,
    rounding=st.sampled_from(list(Rounding)),
    level=st.sampled_from(list(TaxLevel)),
    each_rate=st.booleans(),
    round_net=st.booleans(),
)
LINES = st.lists(
    st.builds(Taxable, amount=AMOUNTS, rates=RATES, quantity=st.integers(1, 10**6)), min_size=1, max_size=6
)


@given(AMOUNTS, RATES, POLICIES, st.integers(1, 10**6))
def test_net_and_taxes_are_gross(
    amount: int, rates: tuple[Rate, ...], policy: TaxPolicy, quantity: int
) -> None:
    found = tax_line(Taxable(amount=amount, rates=rates, quantity=quantity), policy)
    assert found.net + sum(found.taxes) == found.gross
    assert found.tax == sum(found.taxes)
    inside = sum(tax for tax, rate in zip(found.taxes, rates, strict=True) if rate.included)
    assert found.net + inside == amount
    assert len(found.taxes) == len(rates)


@given(AMOUNTS, RATES, POLICIES)
def test_without_rates_nothing_is_taxed(amount: int, rates: tuple[Rate, ...], policy: TaxPolicy) -> None:
    free = tuple(Rate(share=Fraction(), included=rate.included) for rate in rates)
    found = tax_line(Taxable(amount=amount, rates=free), policy)
    assert (found.net, found.gross) == (amount, amount)


@given(st.integers(0, 10**9), SHARES, SHARES)
def test_one_rounding_is_within_half_a_unit(amount: int, one: Fraction, two: Fraction) -> None:
    rates = (Rate(share=one), Rate(share=two))
    found = tax_line(Taxable(amount=amount, rates=rates), TaxPolicy(each_rate=False))
    assert abs(found.tax - amount * (one + two)) * 2 <= 1


@given(LINES, POLICIES)
def test_an_order_is_its_lines(lines: list[Taxable], policy: TaxPolicy) -> None:
    found = tax_order(lines, policy)
    assert len(found) == len(lines)
    for line, taxed in zip(lines, found, strict=True):
        assert taxed.net + sum(taxed.taxes) == taxed.gross
        inside = sum(tax for tax, rate in zip(taxed.taxes, line.rates, strict=True) if rate.included)
        assert taxed.net + inside == line.amount


@given(st.lists(AMOUNTS, min_size=1, max_size=6), RATES, POLICIES, st.randoms())
def test_the_order_of_lines_changes_no_sum(
    amounts: list[int], rates: tuple[Rate, ...], policy: TaxPolicy, chance: object
) -> None:
    lines = [Taxable(amount=amount, rates=rates, quantity=1 + abs(amount) % 7) for amount in amounts]
    turned = list(lines)
    chance.shuffle(turned)  # type: ignore[attr-defined]
    sums = [
        tuple(
            sum(part)
            for part in zip(*((one.net, one.gross) for one in tax_order(found, policy)), strict=True)
        )
        for found in (lines, turned)
    ]
    assert sums[0] == sums[1]


@given(st.lists(st.integers(0, 10**8), min_size=2, max_size=6), SHARES)
def test_splitting_a_line_changes_an_orders_tax_not_at_all(amounts: list[int], share: Fraction) -> None:
    """Under ORDER one rounding covers all lines of a rate, however the goods are cut into lines."""
    rates = (Rate(share=share, included=True),)
    policy = TaxPolicy(level=TaxLevel.ORDER)
    lines = [Taxable(amount=amount, rates=rates) for amount in amounts]
    whole = tax_order([Taxable(amount=sum(amounts), rates=rates)], policy)[0]
    assert sum(one.tax for one in tax_order(lines, policy)) == whole.tax


@given(st.integers(0, 10**6), st.integers(1, 1000), SHARES)
def test_per_unit_is_the_units_tax_times_the_quantity(unit: int, quantity: int, share: Fraction) -> None:
    rates = (Rate(share=share),)
    policy = TaxPolicy(level=TaxLevel.UNIT)
    one = tax_line(Taxable(amount=unit, rates=rates), policy)
    many = tax_line(Taxable(amount=unit * quantity, rates=rates, quantity=quantity), policy)
    assert many.tax == one.tax * quantity


@given(st.integers(0, 10**9), SHARES, SHARES)
def test_a_price_restated_at_home_is_itself(gross: int, home: Fraction, there: Fraction) -> None:
    assert restate(gross, home, home).gross == gross
    found = restate(gross, home, there)
    assert found.net + found.tax == found.gross
    assert (there > home) <= (found.gross >= gross)
