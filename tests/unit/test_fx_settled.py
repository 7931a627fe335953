"""Money of goods sold converted: the seller is paid in its own currency, the difference is posted to the minor unit."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from msgspec.structs import replace
from tests.money_floor import DAY, MoneyFloor, discounted

from tradepost.books.reconcile import Window, gather, reconcile
from tradepost.testing.world import TestWorld
from tradepost.trade import ledger, settlement
from tradepost.trade.orders import Conversion
from tradepost.trade.pricing import FrozenRate, Rates
from tradepost.trade.settlement import exchanging, revaluing

LINE = discounted(1, 3, 9_180)
OWED = 9_180 - 9_180 // 6 - 9_180 // 20
"""Pounds: less tax and fee, in which the margin is."""
FX, TRANSIT = "fx:USD.GBP", "transit:settlement"


def rate(numerator: int, denominator: int = 100) -> FrozenRate:
    return FrozenRate(
        sold="USD",
        paid="GBP",
        numerator=numerator,
        denominator=denominator,
        source="ECB",
        published_ms=0,
        until_ms=10**15,
        margin_ppm=20_000,
    )


BOOKED = rate(80)


@pytest.fixture
def floor() -> Iterator[MoneyFloor]:
    made = MoneyFloor(TestWorld())
    made.key = (made.seller, "GB", "USD")
    yield made
    made.database.close()


def sell(floor: MoneyFloor) -> str:
    return floor.sell((LINE,), 0, (Conversion(rate=BOOKED, sold_e4=(38_250_000,)),))


def results(floor: MoneyFloor) -> int:
    return floor.balance("fx:gain") + floor.balance("fx:loss")


USD = exchanging.exchanged(OWED, BOOKED)
AT_BOOKED = (USD * 80 + 50) // 100


@pytest.mark.parametrize("now", [None, 80, 90, 70])
def test_a_seller_is_paid_in_its_own_currency(floor: MoneyFloor, now: int | None) -> None:
    sell(floor)
    [expected] = floor.run(settlement.list_expected, floor.seller)
    assert (expected.currency, expected.amount_minor) == ("USD", USD)
    floor.world.advance(7 * DAY)
    assert floor.settle([rate(now)] if now else []) == 1
    cost = (USD * (now or 80) + 50) // 100
    assert floor.balance(f"seller:{floor.seller}") == 0
    assert (floor.balance(FX, "USD"), floor.balance(FX)) == (USD, -cost)
    assert results(floor) == cost - AT_BOOKED
    assert floor.balance("fx:rounding") == AT_BOOKED - OWED
    assert floor.balance(f"payable:{floor.seller}", "USD") == -USD
    assert floor.balance(TRANSIT, "USD") == floor.balance(TRANSIT) == 0
    [line] = floor.lines()
    assert (line.currency, line.amount_minor) == ("USD", USD) == ("USD", sum(line.components.values()))
    assert line.components["goods"] == 11_475, "91.80 pounds at 0.80"
    assert "at 0.8 GBP for 1 USD (ECB, 1970-01-01)" in line.note
    assert ("loss" in line.note, "gain" in line.note) == ((now or 80) > 80, (now or 80) < 80)
    floor.world.advance(DAY)
    [statement] = floor.cut()
    assert (statement.currency, statement.closing_minor) == ("USD", USD)
    floor.check()
    now_ms = floor.world.now_ms()
    compared = reconcile(
        [floor.run(gather, now_ms)], provider=None, bank=None, window=Window(), day="", now_ms=now_ms
    )
    assert compared.breaks == ()


def test_what_goes_back_after_settling_leaves_nothing_behind(floor: MoneyFloor) -> None:
    order_id = sell(floor)
    floor.world.advance(7 * DAY)
    floor.settle([rate(90)])
    for amount in (1_000, 3_333, 9_180 - 4_333):
        floor.refund(order_id, amount)
        assert floor.settle([rate(90)]) == 1
        floor.check()
    assert floor.balance(f"payable:{floor.seller}", "USD") == 0
    assert floor.balance(FX, "USD") == floor.balance(f"seller:{floor.seller}") == 0
    assert sum(line.amount_minor for line in floor.lines()) == 0
    provider = floor.balance("provider:sandbox")
    assert provider == 0, "the buyer has back what was paid, in pounds"
    assert floor.balance(FX) + results(floor) + floor.balance("fx:rounding") == 0


def test_the_part_that_goes_back_before_settling_is_not_exchanged(floor: MoneyFloor) -> None:
    order_id = sell(floor)
    floor.refund(order_id, 9_180 - 3_060)
    floor.world.advance(7 * DAY)
    floor.settle([BOOKED])
    owed = -floor.balance(FX) + floor.balance("fx:rounding")
    assert floor.balance(f"payable:{floor.seller}", "USD") == -exchanging.exchanged(owed, BOOKED)
    assert results(floor) == 0
    floor.check()


class Floor:
    """The storage port over the floor's database."""

    shards = 1

    def __init__(self, floor: MoneyFloor) -> None:
        self.floor = floor

    def shard_of(self, gene: int) -> int:
        return 0

    async def read(self, shard: int, query: object, *args: object) -> object:
        return self.floor.run(query, *args)  # type: ignore[arg-type]

    transact = read


async def revalued(floor: MoneyFloor, *rates: FrozenRate) -> list[settlement.Revalued]:
    known: Rates = {(one.sold, one.paid): one for one in rates}
    return await settlement.revalue(Floor(floor), known, floor.world.now_ms())  # type: ignore[arg-type]


async def test_open_balances_follow_the_rate_and_drain(floor: MoneyFloor) -> None:
    sell(floor)
    [first] = await revalued(floor, rate(90))
    at_90 = (USD * 90 + 50) // 100
    assert (first.outcome, first.difference_minor) == ("posted", at_90 - AT_BOOKED)
    assert floor.balance("fx:unsettled.USD.GBP") == AT_BOOKED - at_90
    [again] = await revalued(floor, rate(90))
    assert (again.outcome, again.difference_minor) == ("unchanged", 0)
    [other] = await revalued(floor, rate(95))
    assert other.outcome == "done", "once a day"
    floor.world.advance(7 * DAY)
    floor.settle([rate(95)])
    [settled] = await revalued(floor, rate(95))
    assert floor.balance("fx:unsettled.USD.GBP") == 0, "it became a result when the order was settled"
    assert settled.difference_minor == AT_BOOKED - at_90
    assert results(floor) == (USD * 95 + 50) // 100 - AT_BOOKED
    floor.world.advance(DAY)
    [position] = await revalued(floor, rate(75))
    at_75 = (USD * 75 + 50) // 100
    assert (position.owed_minor, floor.balance(FX)) == (USD, -at_75)
    assert results(floor) == at_75 - AT_BOOKED
    floor.check()


async def test_without_a_rate_in_force_balances_stay_as_they_are(floor: MoneyFloor) -> None:
    sell(floor)
    floor.world.advance(7 * DAY)
    floor.settle()
    old = replace(rate(90), until_ms=1)
    for known in ((), (old,)):
        [found] = await revalued(floor, *known)
        assert (found.outcome, found.owed_minor, found.difference_minor) == ("no_rate", USD, 0)
    assert results(floor) == 0
    assert floor.run(ledger.check_ledger).balanced


def test_a_posting_says_day_and_pair() -> None:
    standing = revaluing.Standing(sold="USD", paid="GBP", owed_minor=100, held_minor=80)
    posting = revaluing.value(standing, rate(90), 5, 86_400_000)
    assert posting is not None
    assert (posting.transaction_id, posting.currency) == ("fx.USD.GBP.1970-01-02.5", "GBP")
    assert revaluing.value(standing, rate(80), 5, 86_400_000) is None


@pytest.mark.parametrize(
    ("account", "pair"),
    [
        ("fx:USD.GBP", ("USD", "GBP")),
        ("fx:unsettled.USD.GBP", ("USD", "GBP")),
        ("fx:gain", None),
        ("fx:rounding", None),
        ("seller:a.b", None),
    ],
)
def test_accounts_of_a_pair(account: str, pair: tuple[str, str] | None) -> None:
    assert exchanging.pair_of(account) == pair
