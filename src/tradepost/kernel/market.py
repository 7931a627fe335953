"""What a market decides: a country's rules as data. Files lie in `tradepost/markets`; adding one needs no code."""

from __future__ import annotations

import msgspec

from tradepost.kernel.money import Rounding


class Market(msgspec.Struct, frozen=True, kw_only=True):
    """One market. Rates are basis points (2000 is 20 %), moments and spans milliseconds."""

    code: str
    name: str
    currency: str
    locale: str
    time_zone: str
    prices_include_tax: bool
    tax_rates_bps: dict[str, int]
    rounding: Rounding = Rounding.HALF_UP
    address_required: tuple[str, ...] = ("name", "line1", "city", "postcode", "country")
    payment_deadline_ms: int = 30 * 60_000
    remorse_ms: int = 60 * 60_000
    ship_by_ms: int = 3 * 86_400_000
    complete_after_ms: int = 14 * 86_400_000
    return_window_ms: int = 30 * 86_400_000
