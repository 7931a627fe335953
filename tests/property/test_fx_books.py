"""Exchanging money at any rate, in any steps: each currency balances, and what goes back leaves nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tradepost.trade.ledger import Entry, Transaction
from tradepost.trade.ledger.rules import find_fault
from tradepost.trade.pricing import FrozenRate, convert_currency
from tradepost.trade.settlement import exchanging, revaluing, rules

CURRENCIES = ("USD", "JPY", "KWD", "EUR")
NUMBERS = st.integers(1, 10**12)
AMOUNTS = st.integers(-(10**9), 10**9)
PARTS = st.dictionaries(st.sampled_from(["goods", "tax", "platform_fee", "shipping", "adjustment"]), AMOUNTS)


def rate(sold: str, paid: str, numerator: int, denominator: int) -> FrozenRate:
    return FrozenRate(
        sold=sold,
        paid=paid,
        numerator=numerator,
        denominator=denominator,
        source="test",
        published_ms=0,
        until_ms=1,
    )


@st.composite
def pairs(draw: st.DrawFn) -> tuple[FrozenRate, FrozenRate]:
    sold, paid = draw(st.permutations(CURRENCIES))[:2]
    numerators = draw(st.tuples(NUMBERS, NUMBERS))
    booked, now = [rate(sold, paid, each, draw(NUMBERS)) for each in numerators]
    return booked, now


def total(entries: tuple[Entry, ...], account: str = "") -> int:
    return sum(entry.amount_minor for entry in entries if account in ("", entry.account))


@given(pairs(), st.lists(PARTS, min_size=1, max_size=6))
def test_every_step_balances_and_going_back_leaves_nothing(
    both: tuple[FrozenRate, FrozenRate], states: list[dict[str, int]]
) -> None:
    booked, now = both
    before: dict[str, int] = {}
    position = lines = 0
    for after in [*states, {}]:
        owed = sum(after.values()) - sum(before.values())
        parts = rules.difference(
            exchanging.exchanged_parts(after, booked), exchanging.exchanged_parts(before, booked)
        )
        amount = sum(parts.values())
        lines += amount
        entries = exchanging.exchange("seller:x", owed, amount, booked, now)
        assert total(entries) == 0
        assert total(entries, "seller:x") == owed
        assert total(entries, exchanging.position(booked)) == -convert_currency(
            amount, booked.sold, booked.paid, now.exact()
        )
        assert lines == exchanging.exchanged(sum(after.values()), booked)
        position += amount
        before = after
    assert position == lines == 0


@given(pairs(), AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS)
def test_a_revaluation_balances_and_is_right_afterwards(
    both: tuple[FrozenRate, FrozenRate], owed: int, held: int, accrued: int, cost: int
) -> None:
    _, now = both
    standing = revaluing.Standing(
        sold=now.sold, paid=now.paid, owed_minor=owed, held_minor=held, accrued_minor=accrued, cost_minor=cost
    )
    posting: Transaction | None = revaluing.value(standing, now, 1, 1)
    worth = convert_currency(owed, now.sold, now.paid, now.exact())
    if posting is None:
        assert (held, accrued) == (worth, cost)
        return
    assert find_fault(posting) is None
    assert held - total(posting.entries, exchanging.position(now)) == worth
    assert accrued - total(posting.entries, f"{exchanging.UNSETTLED}{now.pair}") == cost
