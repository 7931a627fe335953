"""Destinations as they are compared, and which of their parts decide a price. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from tradepost.kernel.errors import Refusal
from tradepost.trade.shipping.model import Destination, Terms

NOWHERE = Destination(country="")
"""The destination of a quote that no seller's terms priced."""


def clean(country: str, region: str = "", postcode: str = "") -> Destination:
    """A destination as terms are compared with it: in capitals, the postcode without blanks."""
    return Destination(
        country=country.strip().upper(),
        region=region.strip().upper(),
        postcode="".join(postcode.split()).upper(),
    )


def needs(terms: Terms, country: str) -> tuple[bool, bool]:
    """Whether the region, and whether the postcode, decides what sending into a country costs."""
    zones = [zone for zone in terms.zones if country in zone.countries]
    by_area = any(area.country == country for area in terms.areas)
    return any(zone.regions for zone in zones), by_area or any(zone.postcodes for zone in zones)


def deciding(terms: Iterable[Terms], to: Destination, place: str) -> Destination:
    """The parts of a cleaned destination that decide what these sellers charge: what an address must still fit.

    `place` is how the request calls it. Raises Refusal `shipping.destination_incomplete` for a part that is missing.
    """
    needed = [needs(one, to.country) for one in terms]
    by_region, by_postcode = any(one[0] for one in needed), any(one[1] for one in needed)
    for part, is_needed, value in (
        ("region", by_region, to.region),
        ("postcode", by_postcode, to.postcode),
    ):
        if is_needed and not value:
            raise Refusal(
                "shipping.destination_incomplete",
                f"What sending to {to.country} costs differs by {part}.",
                field=f"{place}.{part}",
                expected=f"the {part} of the address",
            )
    return Destination(
        country=to.country, region=to.region if by_region else "", postcode=to.postcode if by_postcode else ""
    )


def check_same(priced: Destination, now: Destination) -> None:
    """Whether goods priced for one place go there. Raises Refusal `shipping.destination_changed`."""
    for part in ("country", "region", "postcode"):
        was, found = getattr(priced, part), getattr(now, part)
        if was and was != found:
            raise Refusal(
                "shipping.destination_changed",
                f"Sending was priced to {part} {was[:20]}, the address has {found[:20] or 'none'}.",
                field=f"address.{part}",
                expected=was,
            )
