"""The exchange rates a shop sells at: published by an operator through the config centre, held by every process.

The centre keeps who published what when, every version, and the way back; a process reads its own memory.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from tradepost.kernel.errors import Refusal
from tradepost.kernel.money import exponent_of
from tradepost.stability.keys import Key, declare_key
from tradepost.stability.live import LiveConfig
from tradepost.trade.pricing.fx import FrozenRate, exact_rate

PAIRS_MAX = 200
MARGIN_MAX_PPM = 500_000
_MOMENT = Meta(ge=0, le=10**14)
Code = Annotated[str, Meta(pattern=r"^[A-Z]{3}$")]
Rates = Mapping[tuple[str, str], FrozenRate]
"""Rates by (currency sold, currency paid)."""


class PublishedRate(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """One unit of `sold` is worth `rate` units of `paid` (major units, a decimal of at most 6 and 12 digits).

    It holds from `published_ms` until `until_ms`, or until a later one of its pair begins. `margin_ppm` millionths come
    on top for the buyer.
    """

    sold: Code
    paid: Code
    rate: Annotated[str, Meta(pattern=r"^(?=[0-9.]*[1-9])[0-9]{1,6}(\.[0-9]{1,12})?$")]
    source: Annotated[str, Meta(min_length=1, max_length=60)]
    published_ms: Annotated[int, _MOMENT]
    until_ms: Annotated[int, _MOMENT]
    margin_ppm: Annotated[int, Meta(ge=0, le=MARGIN_MAX_PPM)] = 0

    def __post_init__(self) -> None:
        """Refuse unknown currencies, a pair of one currency and a rate that never holds."""
        try:
            for currency in (self.sold, self.paid):
                exponent_of(currency)
        except Refusal as refusal:
            raise ValueError(refusal.detail) from None
        if self.sold == self.paid:
            raise ValueError("a pair is of two currencies")
        if self.until_ms <= self.published_ms:
            raise ValueError("until_ms must be later than published_ms")


RATES: Key[tuple[PublishedRate, ...]] = declare_key(
    "fx.rates",
    tuple[PublishedRate, ...],
    (),
    "",
    Meta(max_length=PAIRS_MAX),
    "The exchange rates that offers which sell converted are priced at; none means that nothing is converted."
    " `tradepost fx publish` writes them.",
    audiences=frozenset(),
)


def rates_in_force(live: LiveConfig | None, at_ms: int) -> Rates:
    """The newest rate of each pair that had begun at a moment, run out or not; none without a config centre."""
    if live is None:
        return {}
    found: dict[tuple[str, str], FrozenRate] = {}
    for one in _by_time(live.get(RATES)):
        pair = (one.sold, one.paid)
        if one.published_ms <= at_ms:
            found[pair] = one
        elif pair in found and one.published_ms < found[pair].until_ms:
            found[pair] = replace(found[pair], until_ms=one.published_ms)
    return found


@functools.lru_cache(maxsize=8)
def _by_time(published: tuple[PublishedRate, ...]) -> tuple[FrozenRate, ...]:
    return tuple(sorted([_frozen(one) for one in published], key=lambda one: one.published_ms))


def _frozen(one: PublishedRate) -> FrozenRate:
    numerator, denominator = exact_rate(one.rate)
    return FrozenRate(
        sold=one.sold,
        paid=one.paid,
        numerator=numerator,
        denominator=denominator,
        source=one.source,
        published_ms=one.published_ms,
        until_ms=one.until_ms,
        margin_ppm=one.margin_ppm,
    )
