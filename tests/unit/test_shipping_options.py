"""Shipping terms: zones, bands, parcels, surcharges, subsidies, promises; each refusal a row."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradepost.kernel.errors import Refusal
from tradepost.trade.shipping import (
    Area,
    Band,
    Basis,
    Destination,
    Load,
    Method,
    Rate,
    Subsidy,
    Terms,
    Zone,
    check_terms,
    options,
    zone_of,
)

HOME = Zone(code="home", countries=("GB",))
ISLES = Zone(code="isles", countries=("GB",), postcodes=("BT", "IM"))
ABROAD = Zone(code="abroad", countries=("FR", "DE"))
BY_WEIGHT = (
    Band(upto=1_000, amount_minor=299),
    Band(upto=5_000, amount_minor=499),
    Band(amount_minor=499, step=1_000, per_step_minor=80),
)
PARCEL = Method(
    code="parcel",
    title="Parcel",
    weight_max_g=10_000,
    rates=(
        Rate(zone="home", basis=Basis.WEIGHT, bands=BY_WEIGHT, free_from_minor=5_000, days_min=1, days_max=2),
        Rate(zone="isles", basis=Basis.WEIGHT, bands=(Band(amount_minor=899),), days_min=3, days_max=5),
        Rate(zone="abroad", basis=Basis.UNITS, bands=(Band(upto=10, amount_minor=1_500),)),
    ),
)
EXPRESS = Method(
    code="express",
    title="Express",
    rates=(Rate(zone="home", basis=Basis.GOODS, bands=(Band(amount_minor=999),), days_min=0, days_max=1),),
)
TERMS = Terms(
    seller_id="sel_1",
    currency="GBP",
    zones=(HOME, ISLES, ABROAD),
    methods=(PARCEL, EXPRESS),
    areas=(Area(code="highlands", country="GB", postcodes=("IV", "KW"), amount_minor=250, days=2),),
    holidays=("2026-12-25", "2026-12-28"),
    time_zone="Europe/London",
)
LONDON = Destination(country="GB", postcode="N1 9GU")


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("Europe/London")).timestamp()) * 1_000


MONDAY = at("2026-11-23T10:00:00")


def load(units: int = 1, weight_g: int = 400, line_no: int = 1, location: str = "loc_a") -> Load:
    return Load(line_no=line_no, location_id=location, units=units, weight_g=weight_g, unit_minor=1_000)


@pytest.mark.parametrize(
    ("postcode", "country", "zones"),
    [
        ("N1 9GU", "GB", ["home"]),
        ("bt1 5gs", "GB", ["isles", "home"]),
        ("75001", "FR", ["abroad"]),
        ("10001", "US", []),
    ],
)
def test_the_nearest_zone_comes_first(postcode: str, country: str, zones: list[str]) -> None:
    to = Destination(country=country, postcode=postcode)
    assert [zone.code for zone in zone_of(TERMS, to)] == zones


@pytest.mark.parametrize(
    ("grams", "amount"), [(1, 299), (1_000, 299), (1_001, 499), (5_000, 499), (5_001, 579), (7_000, 659)]
)
def test_bands_by_weight(grams: int, amount: int) -> None:
    parcel = options(TERMS, [load(weight_g=grams)], LONDON, MONDAY, goods_minor=1_000)[0]
    assert (parcel.method, parcel.amount_minor) == ("parcel", amount)


def test_options_come_cheapest_first_with_their_promise() -> None:
    found = options(TERMS, [load()], LONDON, MONDAY, goods_minor=1_000)
    assert [(each.method, each.amount_minor, each.from_date, each.by_date) for each in found] == [
        ("parcel", 299, "2026-11-25", "2026-11-26"),
        ("express", 999, "2026-11-24", "2026-11-25"),
    ]


@pytest.mark.parametrize(("goods", "amount"), [(4_999, 299), (5_000, 0), (9_000, 0)])
def test_free_from_a_threshold(goods: int, amount: int) -> None:
    assert options(TERMS, [load()], LONDON, MONDAY, goods_minor=goods)[0].amount_minor == amount


def test_several_parcels_by_weight_and_location() -> None:
    loads = [load(units=30, weight_g=900), load(line_no=2, location="loc_b")]
    parcel = next(
        each for each in options(TERMS, loads, LONDON, MONDAY, goods_minor=100) if each.method == "parcel"
    )
    assert [(each.location_id, each.units, each.weight_g) for each in parcel.parcels] == [
        ("loc_a", ((1, 11),), 9_900),
        ("loc_a", ((1, 11),), 9_900),
        ("loc_a", ((1, 8),), 7_200),
        ("loc_b", ((2, 1),), 400),
    ]
    assert [each.amount_minor for each in parcel.parcels] == [899, 899, 739, 299]


def test_an_area_costs_more_and_takes_longer() -> None:
    parcel = options(
        TERMS, [load()], Destination(country="GB", postcode="IV1 1AA"), MONDAY, goods_minor=1_000
    )[0]
    assert (parcel.amount_minor, parcel.parcels[0].surcharge_minor) == (549, 250)
    assert (parcel.from_date, parcel.by_date) == ("2026-11-27", "2026-11-30")


@pytest.mark.parametrize(
    ("moment", "first", "last"),
    [
        ("2026-11-23T13:59:00", "2026-11-25", "2026-11-26"),
        ("2026-11-23T14:00:00", "2026-11-26", "2026-11-27"),
        ("2026-11-27T15:00:00", "2026-12-02", "2026-12-03"),
        ("2026-11-28T09:00:00", "2026-12-02", "2026-12-03"),
        ("2026-12-24T09:00:00", "2026-12-30", "2026-12-31"),
        ("2026-12-24T15:00:00", "2026-12-31", "2027-01-01"),
    ],
)
def test_the_promise_counts_working_days_after_the_cut_off(moment: str, first: str, last: str) -> None:
    parcel = options(TERMS, [load()], LONDON, at(moment), goods_minor=1_000)[0]
    assert (parcel.from_date, parcel.by_date) == (first, last)


def subsidy(code: str, funder: str, **numbers: int) -> Subsidy:
    return msgspec.structs.replace(Subsidy(code=code, reason=code, funder=funder), **numbers)


def test_subsidies_are_funded_one_after_the_other_and_never_below_zero() -> None:
    subsidies = (
        subsidy("half", "seller", share_bps=5_000),
        subsidy("rest", "platform", cap_minor=100),
        subsidy("later", "platform", starts_at_ms=MONDAY + 1),
        subsidy("over", "platform", ends_at_ms=MONDAY),
        subsidy("dear", "platform", goods_from_minor=1_001),
    )
    helped = msgspec.structs.replace(TERMS, subsidies=subsidies)
    parcel = options(helped, [load()], LONDON, MONDAY, goods_minor=1_000)[0]
    assert [(each.code, each.funder, each.amount_minor) for each in parcel.contributions] == [
        ("half", "seller", -150),
        ("rest", "platform", -100),
    ]
    assert (parcel.listed_minor, parcel.amount_minor) == (299, 49)


@pytest.mark.parametrize(
    ("code", "to", "loads"),
    [
        ("shipping.not_here", Destination(country="US"), [load()]),
        ("shipping.too_large", Destination(country="FR"), [load(units=11)]),
        ("shipping.too_large", Destination(country="GB", postcode="BT1"), [load(weight_g=10_001)]),
        ("shipping.too_large", Destination(country="GB", postcode="BT1"), [load(units=201, weight_g=10_000)]),
        ("shipping.too_large", LONDON, []),
    ],
)
def test_refusals(code: str, to: Destination, loads: list[Load]) -> None:
    with pytest.raises(Refusal) as refused:
        options(TERMS, loads, to, MONDAY, goods_minor=1_000)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"zones": ()}, "zones"),
        ({"zones": (HOME, HOME)}, "zones"),
        ({"methods": ()}, "methods"),
        ({"zones": (ABROAD,)}, "methods[0].rates[0].zone"),
        (
            {"subsidies": (Subsidy(code="x", reason="x", funder="seller", share_bps=0),)},
            "subsidies[0].share_bps",
        ),
    ],
)
def test_terms_are_checked(change: dict[str, object], field: str) -> None:
    with pytest.raises(Refusal, match=r"shipping\.terms_invalid") as refused:
        check_terms(msgspec.structs.replace(TERMS, **change))
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("bands", "days", "field"),
    [
        ((), (1, 2), "bands"),
        ((Band(amount_minor=1), Band(upto=5, amount_minor=1)), (1, 2), "bands"),
        ((Band(upto=5, amount_minor=1), Band(upto=5, amount_minor=1)), (1, 2), "bands"),
        ((Band(amount_minor=-1),), (1, 2), "bands"),
        ((Band(amount_minor=1),), (3, 2), "days_min"),
    ],
)
def test_rates_are_checked(bands: tuple[Band, ...], days: tuple[int, int], field: str) -> None:
    rate = Rate(zone="home", basis=Basis.UNITS, bands=bands, days_min=days[0], days_max=days[1])
    method = Method(code="m", title="M", rates=(rate,))
    with pytest.raises(Refusal) as refused:
        check_terms(Terms(seller_id="s", currency="GBP", zones=(HOME,), methods=(method,)))
    assert refused.value.field == f"methods[0].rates[0].{field}"


def test_sound_terms_pass() -> None:
    check_terms(TERMS)


@given(
    st.lists(
        st.tuples(st.integers(1, 60), st.integers(0, 3_000), st.sampled_from("ab")), min_size=1, max_size=5
    ),
    st.integers(0, 20_000),
)
def test_every_unit_travels_once_and_the_parts_sum(
    wanted: list[tuple[int, int, str]], goods_minor: int
) -> None:
    loads = [
        load(units, grams, number, location) for number, (units, grams, location) in enumerate(wanted, 1)
    ]
    for option in options(TERMS, loads, LONDON, MONDAY, goods_minor=goods_minor):
        sent: dict[int, int] = {}
        for parcel in option.parcels:
            for line_no, units in parcel.units:
                sent[line_no] = sent.get(line_no, 0) + units
        assert sent == {each.line_no: each.units for each in loads}
        assert option.listed_minor == sum(parcel.amount_minor for parcel in option.parcels)
        assert option.amount_minor == option.listed_minor + sum(
            each.amount_minor for each in option.contributions
        )
        assert option.amount_minor >= 0
        assert option.from_date <= option.by_date
