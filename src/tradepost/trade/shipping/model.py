"""A seller's shipping terms as data, a consignment to send, and the options a buyer may choose from."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from tradepost.kernel.errors import Kind, declare_problems
from tradepost.kernel.events import Event, event

PARCELS_MAX = 200
"""Parcels of one consignment; more must be sent as freight, outside of these terms."""
ZONES_MAX = 100
METHODS_MAX = 20
BANDS_MAX = 50
AREAS_MAX = 200
SUBSIDIES_MAX = 50
CURRENCIES_MAX = 20
"""Currencies in which one seller may have terms."""
SELLER, PLATFORM = "seller", "platform"
"""Who may pay of shipping; the words are those of `promotion.Funder`."""


class Basis(StrEnum):
    """What a band's upper end counts, for one parcel."""

    WEIGHT = "weight_g"
    UNITS = "units"
    GOODS = "goods_minor"


class Band(msgspec.Struct, frozen=True, kw_only=True):
    """The price of a parcel up to `upto` of the basis, inclusive; 0 is without end.

    `per_step_minor` is added for each begun `step` above the band before.
    """

    upto: int = 0
    amount_minor: int
    step: int = 0
    per_step_minor: int = 0


class Zone(msgspec.Struct, frozen=True, kw_only=True):
    """Destinations that cost the same. A zone with postcode prefixes or regions is nearer than one of countries."""

    code: str
    countries: tuple[str, ...]
    regions: tuple[str, ...] = ()
    postcodes: tuple[str, ...] = ()


class Area(msgspec.Struct, frozen=True, kw_only=True):
    """A surcharge per parcel for places that are hard to reach, by postcode prefix; it takes `days` longer."""

    code: str
    country: str
    postcodes: tuple[str, ...]
    amount_minor: int
    days: int = 0


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """What a method costs into a zone, and how many working days a parcel is under way."""

    zone: str
    basis: Basis
    bands: tuple[Band, ...]
    free_from_minor: int = 0
    days_min: int = 1
    days_max: int = 3


class Method(msgspec.Struct, frozen=True, kw_only=True):
    """A way to send: `letter`, `parcel`, `express`. A parcel is at most `weight_max_g` heavy (0: no bound)."""

    code: str
    title: str
    rates: tuple[Rate, ...]
    weight_max_g: int = 0
    units_max: int = 0


class Subsidy(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody else pays of the buyer's shipping: a share, at most `cap_minor`, from an amount of goods on.

    `funder` is a word of `pricing.Funder`; `methods` empty means every method.
    """

    code: str
    reason: str
    funder: str
    share_bps: int = 10_000
    cap_minor: int = 0
    goods_from_minor: int = 0
    methods: tuple[str, ...] = ()
    starts_at_ms: int = 0
    ends_at_ms: int = 0


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """How one seller sends from where they are. `cut_off_minute` is the market-local minute of the day.

    `workdays` are ISO weekdays; `holidays` are local dates (YYYY-MM-DD) on which nothing is handed over.
    `by_location` says that goods lie at several locations: a quote then asks the stock which parcel leaves from where.
    """

    seller_id: str
    currency: str
    zones: tuple[Zone, ...]
    methods: tuple[Method, ...]
    areas: tuple[Area, ...] = ()
    subsidies: tuple[Subsidy, ...] = ()
    handling_days: int = 1
    cut_off_minute: int = 14 * 60
    workdays: tuple[int, ...] = (1, 2, 3, 4, 5)
    holidays: tuple[str, ...] = ()
    time_zone: str = "UTC"
    by_location: bool = False


class StoredTerms(msgspec.Struct, frozen=True, kw_only=True):
    """Terms as kept, who wrote them and when (ms UTC). `version` is the row's, for writings that do not collide."""

    terms: Terms
    version: int
    author: str
    updated_at_ms: int


@event("shipping.terms_changed.v1")
class TermsChanged(Event, frozen=True, kw_only=True):
    """A seller sends under other terms in a currency from now on; `ended` when under none any more."""

    seller_id: str
    currency: str
    ended: bool = False


class Destination(msgspec.Struct, frozen=True, kw_only=True):
    """Where it goes: country code, region code and postcode as the address has them."""

    country: str
    region: str = ""
    postcode: str = ""


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """Units of one line that leave from one location. `unit_minor` is what one of them costs the buyer."""

    line_no: int
    location_id: str
    units: int
    weight_g: int = 0
    unit_minor: int = 0


class Parcel(msgspec.Struct, frozen=True, kw_only=True):
    """One parcel: which units of which lines, its weight, its price and what of it is a surcharge."""

    location_id: str
    units: tuple[tuple[int, int], ...]
    weight_g: int
    amount_minor: int
    surcharge_minor: int = 0


class Contribution(msgspec.Struct, frozen=True, kw_only=True):
    """A funded adjustment of shipping: below zero, with its reason and funder."""

    code: str
    reason: str
    funder: str
    amount_minor: int


class Option(msgspec.Struct, frozen=True, kw_only=True):
    """One method priced: what the buyer pays is `amount_minor`, after the contributions of others.

    `from_date` and `by_date` are the promise in local dates of the seller's time zone.
    """

    method: str
    title: str
    parcels: tuple[Parcel, ...]
    listed_minor: int
    contributions: tuple[Contribution, ...]
    amount_minor: int
    from_date: str
    by_date: str
    trace: tuple[str, ...] = ()


declare_problems(
    {
        "shipping.not_here": (
            Kind.UNPROCESSABLE,
            "Not sent to this place",
            "Choose a destination in one of the seller's zones.",
        ),
        "shipping.too_large": (
            Kind.UNPROCESSABLE,
            "Too heavy or too many parcels",
            "Order less at once: the seller's terms have no band for it.",
        ),
        "shipping.terms_invalid": (
            Kind.INVALID,
            "Shipping terms that cannot be used",
            "Correct the field that is named.",
        ),
        "shipping.terms_unknown": (
            Kind.NOT_FOUND,
            "No shipping terms in this currency",
            "List the seller's terms; write some with PUT.",
        ),
        "shipping.too_many_currencies": (
            Kind.UNPROCESSABLE,
            "Terms in too many currencies",
            "Take away those of a currency in which nothing is sold any more.",
        ),
        "shipping.funder_forbidden": (
            Kind.FORBIDDEN,
            "Somebody else's money",
            "Sellers may write subsidies they pay themselves; the platform's are an operator's to write.",
        ),
        "shipping.method_unavailable": (
            Kind.UNPROCESSABLE,
            "No such way of sending",
            "Choose one of the methods that the quote without `shipping` lists for the seller.",
        ),
        "shipping.destination_incomplete": (
            Kind.UNPROCESSABLE,
            "The destination lacks what decides its price",
            "Fill the named field: the seller's rates differ by it.",
        ),
        "shipping.destination_changed": (
            Kind.CONFLICT,
            "The goods go to another place than the one that was priced",
            "Ask for a quote with the address's destination, and show its total.",
        ),
    }
)
