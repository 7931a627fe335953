"""How goods are sent, as it is asked for and shown: destinations, options, parcels, shipping terms."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from tradepost.kernel.money import Money
from tradepost.surfaces.api.words import Code, MomentMs, Name, Version, money
from tradepost.trade.checkout import QuotedOrder
from tradepost.trade.orders import Sending
from tradepost.trade.shipping import Area, Destination, Method, Option, StoredTerms, Subsidy, Zone

TERMS = {
    "currency": "GBP",
    "zones": [{"code": "home", "countries": ["GB"]}],
    "methods": [
        {
            "code": "parcel",
            "title": "Parcel, two to three days",
            "weight_max_g": 20_000,
            "rates": [
                {
                    "zone": "home",
                    "basis": "weight_g",
                    "bands": [
                        {"upto": 1_000, "amount_minor": 299},
                        {"upto": 20_000, "amount_minor": 499},
                    ],
                    "free_from_minor": 5_000,
                    "days_min": 2,
                    "days_max": 3,
                }
            ],
        }
    ],
    "areas": [
        {"code": "highlands", "country": "GB", "postcodes": ["IV", "KW"], "amount_minor": 250, "days": 2}
    ],
    "time_zone": "Europe/London",
}
TERMS_ANSWER = {
    "seller_id": "sel_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "subsidies": [],
    "handling_days": 1,
    "cut_off_minute": 840,
    "workdays": [1, 2, 3, 4, 5],
    "holidays": [],
    "by_location": False,
    "version": 1,
    "updated_at_ms": 1790000000000,
    **TERMS,
}
Methods = Annotated[
    dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=40)]],
    Meta(
        max_length=200,
        description="The shipping method by seller id, as a quote lists them; the cheapest where none is named.",
    ),
]


class DestinationInput(msgspec.Struct, frozen=True, kw_only=True):
    """Where the goods go, as far as it is known; the market's own country where none is named.

    Region and postcode are needed where a seller's rates differ by them.
    """

    country: Code = ""
    region: Name = ""
    postcode: Code = ""


class FundedPart(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody pays of the shipping by the seller's terms: below zero, with its reason and funder."""

    code: str
    reason: str
    funder: str
    amount: Money


class ParcelUnits(msgspec.Struct, frozen=True, kw_only=True):
    """So many units of a line of this order."""

    line_no: int
    quantity: int


class ParcelView(msgspec.Struct, frozen=True, kw_only=True):
    """One parcel: what is in it, where it leaves from (empty: one location, or not known yet), and what it costs."""

    location_id: str
    weight_g: int
    amount: Money
    surcharge: Money
    units: tuple[ParcelUnits, ...]


class OptionView(msgspec.Struct, frozen=True, kw_only=True):
    """One way to send a seller's lines. `listed` is the rate of all parcels, `amount` what is left of it for the buyer.

    Both are in the market's sense, with tax where its prices include it, and before campaigns. The goods arrive
    between the two local dates, inclusive.
    """

    method: str
    title: str
    listed: Money
    amount: Money
    funded: tuple[FundedPart, ...]
    from_date: str
    by_date: str
    parcels: tuple[ParcelView, ...]


class OptionsView(msgspec.Struct, frozen=True, kw_only=True):
    """How a seller's lines may be sent, cheapest first, and the method this quote is for."""

    method: str
    options: tuple[OptionView, ...]


class SendingView(msgspec.Struct, frozen=True, kw_only=True):
    """How an order is sent: the method chosen, the parcels forecast, and the local dates it was promised between."""

    method: str
    title: str
    from_date: str
    by_date: str
    parcels: int


class TermsInput(msgspec.Struct, frozen=True, kw_only=True):
    """How a seller sends, priced in one currency. `version` is the row as read, 0 takes it as it is.

    Amounts are minor units, weights grams, `cut_off_minute` counts from local midnight, days are working days.
    """

    currency: Annotated[str, Meta(min_length=3, max_length=3)]
    zones: Annotated[tuple[Zone, ...], Meta(max_length=100)]
    methods: Annotated[tuple[Method, ...], Meta(max_length=20)]
    areas: Annotated[tuple[Area, ...], Meta(max_length=200)] = ()
    subsidies: Annotated[tuple[Subsidy, ...], Meta(max_length=50)] = ()
    handling_days: Annotated[int, Meta(ge=0, le=365)] = 1
    cut_off_minute: Annotated[int, Meta(ge=0, le=1_440)] = 14 * 60
    workdays: Annotated[tuple[int, ...], Meta(max_length=7)] = (1, 2, 3, 4, 5)
    holidays: Annotated[tuple[str, ...], Meta(max_length=400)] = ()
    time_zone: Code = "UTC"
    by_location: bool = False
    version: Version = 0


class TermsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A seller's shipping terms in one currency, as kept."""

    seller_id: str
    currency: str
    zones: tuple[Zone, ...]
    methods: tuple[Method, ...]
    areas: tuple[Area, ...]
    subsidies: tuple[Subsidy, ...]
    handling_days: int
    cut_off_minute: int
    workdays: tuple[int, ...]
    holidays: tuple[str, ...]
    time_zone: str
    by_location: bool
    version: Version
    updated_at_ms: MomentMs


class TermsList(msgspec.Struct, frozen=True, kw_only=True):
    """A seller's terms in order of currency, at most 20."""

    items: tuple[TermsAnswer, ...]


def view_terms(stored: StoredTerms) -> TermsAnswer:
    """Terms as shown."""
    names = [name for name in TermsAnswer.__struct_fields__ if name not in ("version", "updated_at_ms")]
    return TermsAnswer(
        **{name: getattr(stored.terms, name) for name in names},
        version=stored.version,
        updated_at_ms=stored.updated_at_ms,
    )


def destination_of(given: DestinationInput | None) -> Destination | None:
    """A destination as the trade rooms take it."""
    if given is None:
        return None
    return Destination(country=given.country, region=given.region, postcode=given.postcode)


def view_options(ordered: QuotedOrder, currency: str) -> OptionsView | None:
    """A seller's options as shown; None of a seller without terms."""
    if not ordered.options:
        return None
    return OptionsView(
        method=ordered.sending.method,
        options=tuple([_option(option, currency) for option in ordered.options]),
    )


def _option(option: Option, currency: str) -> OptionView:
    return OptionView(
        method=option.method,
        title=option.title,
        listed=money(option.listed_minor, currency),
        amount=money(option.amount_minor, currency),
        funded=tuple(
            [
                FundedPart(
                    code=paid.code,
                    reason=paid.reason,
                    funder=paid.funder,
                    amount=money(paid.amount_minor, currency),
                )
                for paid in option.contributions
            ]
        ),
        from_date=option.from_date,
        by_date=option.by_date,
        parcels=tuple(
            [
                ParcelView(
                    location_id=parcel.location_id,
                    weight_g=parcel.weight_g,
                    amount=money(parcel.amount_minor, currency),
                    surcharge=money(parcel.surcharge_minor, currency),
                    units=tuple([ParcelUnits(line_no=one, quantity=count) for one, count in parcel.units]),
                )
                for parcel in option.parcels
            ]
        ),
    )


def view_sending(sending: Sending) -> SendingView | None:
    """How an order is sent, as shown; None of a seller without terms."""
    if not sending.method:
        return None
    return SendingView(**{name: getattr(sending, name) for name in SendingView.__struct_fields__})
