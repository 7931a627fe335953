"""What a market decides: a country's rules as data. Files lie in `tradepost/markets`; adding one needs no code.

A market file lists tax rates with the day they began. `Market.at` gives the market as it stood at a moment and in
a region: the same rules, with the rates that held. Days before a category's first row take that row; moments before
the first change that the file knows take the rates of its `as_of` day.
"""

from __future__ import annotations

import bisect
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

import msgspec

from tradepost.kernel.money import Rounding, divide
from tradepost.kernel.splitting import Remainder

PPM = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class TaxLevel(StrEnum):
    """What one rounding of a tax covers."""

    UNIT = "unit"
    """One unit; a line is its units' sum."""
    LINE = "line"
    """One line."""
    ORDER = "order"
    """All lines of an order that carry the same rates; the lines share the rounded tax."""


class TaxRow(msgspec.Struct, frozen=True, kw_only=True):
    """A rate as a market file states it: `percent` is an exact decimal string, `since` the first day it held.

    A row with a `region` replaces the country's row of the same kind and category there; another kind is added.
    `compound` taxes lie on top of the taxes listed before them. `of_price` states the rate as a share of the price
    with the tax, as Brazil does: 18 % of 100 is 18, and the base is 82.
    """

    kind: str
    category: str
    percent: str
    since: date | None = None
    until: date | None = None
    region: str = ""
    compound: bool = False
    of_price: bool = False
    source: str = ""


class TaxPart(msgspec.Struct, frozen=True, kw_only=True):
    """One tax of a category, resolved: its rate in millionths."""

    kind: str
    ppm: int
    compound: bool = False
    of_price: bool = False
    region: str = ""


class Scheme(msgspec.Struct, frozen=True, kw_only=True):
    """Who hands the tax of a sale to the state: `remitter` is seller, platform, carrier or buyer.

    It covers sales of `origin` (domestic, import or any) by sellers `seller` (domestic, foreign or any) up to
    `value_max_minor` of `currency` goods value without tax (0: any value), from `since` on, in these regions (none:
    everywhere). The first that covers a sale holds.
    """

    code: str
    remitter: str
    origin: str = "any"
    seller: str = "any"
    value_max_minor: int = 0
    currency: str = ""
    since: date | None = None
    until: date | None = None
    regions: tuple[str, ...] = ()
    source: str = ""


class Withholding(msgspec.Struct, frozen=True, kw_only=True):
    """What a platform must keep back from a seller's proceeds: `percent` of the goods without tax, or of the tax."""

    kind: str
    percent: str
    of: str = "net"
    since: date | None = None
    until: date | None = None
    source: str = ""


class SettlementTerms(msgspec.Struct, frozen=True, kw_only=True):
    """When sellers of a market get their money: `after_ms` past delivery, payouts of `payout_min_minor` or more.

    `reserve_bps` of a day's sales stay back for `reserve_ms`.
    """

    after_ms: int = 7 * 86_400_000
    reserve_bps: int = 0
    reserve_ms: int = 30 * 86_400_000
    payout_min_minor: int = 1


class Market(msgspec.Struct, frozen=True, kw_only=True):
    """One market. Rates are basis points (2000 is 20 %) where whole, moments and spans milliseconds.

    `cash_step` is the smallest coin in minor units: what is paid in cash is rounded to it (`kernel.splitting.to_step`)
    and the difference booked. `tax_rates_bps` holds the rates of this view; `tax_parts` the exact taxes of categories
    that one rate in whole basis points cannot tell. A file may state `tax_rates_bps` itself, or `taxes` with dates,
    kinds and regions.
    """

    code: str
    name: str
    currency: str
    locale: str
    time_zone: str
    prices_include_tax: bool
    tax_rates_bps: dict[str, int] = msgspec.field(default_factory=dict)
    rounding: Rounding = Rounding.HALF_UP
    address_required: tuple[str, ...] = ("name", "line1", "city", "postcode", "country")
    payment_deadline_ms: int = 30 * 60_000
    remorse_ms: int = 60 * 60_000
    ship_by_ms: int = 3 * 86_400_000
    complete_after_ms: int = 14 * 86_400_000
    return_window_ms: int = 30 * 86_400_000
    as_of: date | None = None
    source: str = ""
    taxes: tuple[TaxRow, ...] = ()
    goods: dict[str, str] = msgspec.field(default_factory=dict)
    tax_level: TaxLevel = TaxLevel.LINE
    tax_each_rate: bool = True
    discount_level: TaxLevel = TaxLevel.LINE
    discount_remainder: Remainder = Remainder.LARGEST_FRACTION
    cash_step: int = 1
    address_format: str = ""
    postcode_pattern: str = ""
    postcode_examples: tuple[str, ...] = ()
    regions: dict[str, str] = msgspec.field(default_factory=dict)
    phone_prefix: str = ""
    limits: dict[str, int] = msgspec.field(default_factory=dict)
    schemes: tuple[Scheme, ...] = ()
    withholdings: tuple[Withholding, ...] = ()
    settlement: SettlementTerms = SettlementTerms()
    region: str = ""
    tax_parts: dict[str, tuple[TaxPart, ...]] = msgspec.field(default_factory=dict)
    eras: tuple[int, ...] = ()
    as_of_ms: int = 0
    views: dict[tuple[int, str], Market] = msgspec.field(default_factory=dict)

    def at(self, at_ms: int, region: str | None = None) -> Market:
        """This market with the rates that hold at a moment, in a region of its list (None: this view's region).

        An unknown region counts as the country's own rates. Views are kept: as many as rate changes times regions.
        """
        if not self.taxes:
            return self
        where = self.region if region is None else region if region in self.regions else ""
        era = bisect.bisect_right(self.eras, at_ms)
        found = self.views.get((era, where))
        if found is None:
            day = _changes(self.taxes)[era - 1] if era else self.as_of
            found = self.views[(era, where)] = resolved(self, day, where)
        return found

    def destined(self, country: str, region: str) -> Market:
        """This market for goods that go to an address: with the rates of its region, where the market lists it.

        The region is a code or a name of the list, whatever its case; an address abroad or in no listed region
        leaves the market as it is. A market without regions is answered at once.
        """
        if not self.regions or country.upper() != self.code:
            return self
        code = region.strip().upper()
        if code not in self.regions:
            name = region.strip().casefold()
            code = next((each for each, called in self.regions.items() if called.casefold() == name), "")
        return self.at(self.as_of_ms, code) if code else self

    def at_midnight(self, day: date) -> int:
        """The first moment of a day in the market's time zone."""
        return (datetime.combine(day, time(), ZoneInfo(self.time_zone)) - _EPOCH) // timedelta(milliseconds=1)


def _changes(rows: tuple[TaxRow, ...]) -> list[date]:
    """The days on which some rate begins or ends."""
    return sorted({day for row in rows for day in (row.since, row.until) if day is not None})


def prepared(market: Market) -> Market:
    """A market as read from its file, with the moments of its rate changes and the rates of its `as_of` day."""
    if not market.taxes:
        return market
    eras = tuple(market.at_midnight(day) for day in _changes(market.taxes))
    as_of_ms = market.at_midnight(market.as_of) if market.as_of else 0
    return resolved(msgspec.structs.replace(market, eras=eras, as_of_ms=as_of_ms), market.as_of, "")


def resolved(market: Market, day: date | None, region: str) -> Market:
    """The view of one day and region; without a day the earliest known rates."""
    tables = dict(market.goods) | {row.category: row.category for row in market.taxes}
    exact = {category: _parts(market.taxes, table, day, region) for category, table in tables.items()}
    exact = {category: parts for category, parts in exact.items() if parts}
    return msgspec.structs.replace(
        market,
        region=region,
        tax_rates_bps={category: divide(_burden(parts), 100) for category, parts in exact.items()},
        tax_parts={category: parts for category, parts in exact.items() if not _simple(parts)},
    )


def _simple(parts: tuple[TaxPart, ...]) -> bool:
    """Whether one rate in whole basis points of the base tells it all."""
    return len(parts) == 1 and not parts[0].ppm % 100 and not (parts[0].of_price and parts[0].ppm)


def _parts(rows: tuple[TaxRow, ...], category: str, day: date | None, region: str) -> tuple[TaxPart, ...]:
    kinds = dict.fromkeys(row.kind for row in rows if row.category == category and row.region in ("", region))
    parts = []
    for kind in kinds:
        own = [row for row in rows if (row.kind, row.category, row.region) == (kind, category, region)]
        shared = [row for row in rows if (row.kind, row.category, row.region) == (kind, category, "")]
        row = _valid(own or shared, day)
        if row is not None:
            parts.append(
                TaxPart(
                    kind=kind,
                    ppm=ppm_of(row.percent),
                    compound=row.compound,
                    of_price=row.of_price,
                    region=row.region,
                )
            )
    return tuple(parts)


def _valid(rows: list[TaxRow], day: date | None) -> TaxRow | None:
    """The row in force on a day; on days before all of them the earliest."""
    rows = sorted(rows, key=lambda row: row.since or date.min)
    if not rows or day is None or (rows[0].since and day < rows[0].since):
        return rows[0] if rows else None
    held = [row for row in rows if (row.since or date.min) <= day and (row.until is None or day < row.until)]
    return held[-1] if held else None


def _burden(parts: tuple[TaxPart, ...]) -> int:
    """All taxes of one amount together, in millionths of it."""
    burden = 0
    for part in parts:
        burden += part.ppm + (divide(part.ppm * burden, PPM) if part.compound else 0)
    return burden


def ppm_of(percent: str) -> int:
    """Millionths of a decimal percentage such as "25.5". Raises ValueError beyond four decimals."""
    whole, _, fraction = percent.partition(".")
    if not whole.isdecimal() or len(fraction) > 4 or not (fraction.isdecimal() or not fraction):
        raise ValueError(f"{percent!r} is no percentage with at most four decimals")
    return int(whole) * 10_000 + int(fraction.ljust(4, "0"))
