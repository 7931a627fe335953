"""What sending costs: every method of a seller's terms priced for one consignment. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from tradepost.kernel.errors import Refusal
from tradepost.kernel.money import Rounding, divide
from tradepost.trade.shipping.model import (
    AREAS_MAX,
    BANDS_MAX,
    METHODS_MAX,
    ZONES_MAX,
    Area,
    Band,
    Basis,
    Contribution,
    Destination,
    Load,
    Method,
    Option,
    Parcel,
    Rate,
    Terms,
    Zone,
)
from tradepost.trade.shipping.parcels import Packed, pack
from tradepost.trade.shipping.promise import promise

_WHOLE_BPS = 10_000
LISTED_MAX_MINOR = 10**12
"""What sending one seller's goods may cost; beyond it sums could leave 64 bits."""


def options(
    terms: Terms, loads: Sequence[Load], to: Destination, at_ms: int, *, goods_minor: int
) -> tuple[Option, ...]:
    """Every way to send these goods there, cheapest first, then soonest, then by code.

    `goods_minor` is what the buyer pays for the seller's goods: thresholds count it. A method without a band for
    the parcels is left out. Raises Refusal `shipping.not_here` or `shipping.too_large` when none is left.
    """
    found: list[Option] = []
    reached, refused = False, None
    for method in terms.methods:
        rate = _rate(terms, method, to)
        if rate is None:
            continue
        reached = True
        try:
            found.append(_price(terms, method, rate, loads, to, at_ms, goods_minor))
        except Refusal as error:
            refused = error
    if not reached:
        raise Refusal(
            "shipping.not_here",
            f"Nothing is sent to {to.country} {to.postcode[:20]} by this seller.",
            field="destination.country",
            expected=" or ".join(sorted({country for zone in terms.zones for country in zone.countries})),
        )
    if not found:
        raise refused or Refusal("shipping.too_large", "No method carries this.", field="lines")
    return tuple(sorted(found, key=lambda option: (option.amount_minor, option.by_date, option.method)))


def zone_of(terms: Terms, to: Destination) -> list[Zone]:
    """The zones a destination lies in, nearest first: by longest postcode prefix, then region, then country."""
    found: list[tuple[int, int, Zone]] = []
    postcode = to.postcode.replace(" ", "").upper()
    for index, zone in enumerate(terms.zones):
        if to.country not in zone.countries:
            continue
        fitting = [len(prefix) for prefix in zone.postcodes if postcode.startswith(prefix)]
        if (zone.postcodes and not fitting) or (zone.regions and to.region not in zone.regions):
            continue
        found.append((-(1_000 * bool(zone.regions) + 10_000 * max(fitting, default=0)), index, zone))
    return [zone for _, _, zone in sorted(found, key=lambda entry: entry[:2])]


def _rate(terms: Terms, method: Method, to: Destination) -> Rate | None:
    """The method's rate into the nearest zone: what a seller carved out is not served at the wider zone's price."""
    nearest = zone_of(terms, to)[:1]
    return next((rate for rate in method.rates for zone in nearest if rate.zone == zone.code), None)


def _price(
    terms: Terms,
    method: Method,
    rate: Rate,
    loads: Sequence[Load],
    to: Destination,
    at_ms: int,
    goods_minor: int,
) -> Option:
    areas = _areas(terms, to)
    is_free = bool(rate.free_from_minor) and goods_minor >= rate.free_from_minor
    surcharge = sum(area.amount_minor for area in areas)
    parcels = tuple(
        _parcel(packed, rate, 0 if is_free else surcharge, is_free) for packed in pack(loads, method)
    )
    listed = sum(parcel.amount_minor for parcel in parcels)
    if listed > LISTED_MAX_MINOR:
        raise Refusal("shipping.too_large", f"{method.code} costs more than can be booked.", field="lines")
    contributions = _contributions(terms, method.code, listed, goods_minor, at_ms)
    late = max((area.days for area in areas), default=0)
    from_date, by_date = promise(terms, at_ms, rate.days_min + late, rate.days_max + late)
    trace = [f"{method.code} zone {rate.zone} parcels {len(parcels)} listed {listed}"]
    trace += [f"area {area.code} {area.amount_minor} a parcel" for area in areas if not is_free]
    if is_free:
        trace.append(f"free from {rate.free_from_minor}")
    trace += [f"{paid.funder} {paid.code} {paid.amount_minor}" for paid in contributions]
    return Option(
        method=method.code,
        title=method.title,
        parcels=parcels,
        listed_minor=listed,
        contributions=contributions,
        amount_minor=listed + sum(paid.amount_minor for paid in contributions),
        from_date=from_date,
        by_date=by_date,
        trace=tuple(trace),
    )


def _areas(terms: Terms, to: Destination) -> list[Area]:
    postcode = to.postcode.replace(" ", "").upper()
    return [
        area
        for area in terms.areas
        if area.country == to.country and any(postcode.startswith(prefix) for prefix in area.postcodes)
    ]


def _parcel(packed: Packed, rate: Rate, surcharge_minor: int, is_free: bool) -> Parcel:
    location_id, units, grams, worth = packed
    counted = {Basis.WEIGHT: grams, Basis.UNITS: sum(count for _, count in units), Basis.GOODS: worth}[
        rate.basis
    ]
    amount = 0 if is_free else _band_price(rate.bands, counted) + surcharge_minor
    return Parcel(
        location_id=location_id,
        units=tuple(units),
        weight_g=grams,
        amount_minor=amount,
        surcharge_minor=surcharge_minor,
    )


def _band_price(bands: Sequence[Band], counted: int) -> int:
    below = 0
    for band in bands:
        if not band.upto or counted <= band.upto:
            steps = -(-(counted - below) // band.step) if band.step else 0
            return band.amount_minor + max(0, steps) * band.per_step_minor
        below = band.upto
    raise Refusal(
        "shipping.too_large", f"There is no band for {counted}.", field="lines", expected=f"up to {below}"
    )


def _contributions(
    terms: Terms, method: str, listed: int, goods_minor: int, at_ms: int
) -> tuple[Contribution, ...]:
    """Each subsidy on what the ones before it left; together never more than the shipping itself."""
    left, paid = listed, []
    for subsidy in terms.subsidies:
        ended = subsidy.ends_at_ms and at_ms >= subsidy.ends_at_ms
        if at_ms < subsidy.starts_at_ms or ended or goods_minor < subsidy.goods_from_minor:
            continue
        if subsidy.methods and method not in subsidy.methods:
            continue
        amount = divide(left * subsidy.share_bps, _WHOLE_BPS, Rounding.HALF_UP)
        amount = min(left, amount, subsidy.cap_minor or amount)
        if amount:
            left -= amount
            paid.append(
                Contribution(
                    code=subsidy.code, reason=subsidy.reason, funder=subsidy.funder, amount_minor=-amount
                )
            )
    return tuple(paid)


def check_terms(terms: Terms) -> None:
    """Raise Refusal `shipping.terms_invalid` naming the field, for terms that could not price anything soundly."""
    bounds = (
        ("zones", len(terms.zones), ZONES_MAX),
        ("methods", len(terms.methods), METHODS_MAX),
        ("areas", len(terms.areas), AREAS_MAX),
        ("workdays", len(terms.workdays), 7),
    )
    for field, count, most in bounds:
        if count > most or (count == 0 and field != "areas"):
            raise _invalid(field, f"{count} {field}", f"1 to {most}")
    zones = [zone.code for zone in terms.zones]
    if len(set(zones)) != len(zones):
        raise _invalid("zones", "Two zones have one code.", "codes that differ")
    for index, method in enumerate(terms.methods):
        for number, rate in enumerate(method.rates):
            _check_rate(rate, zones, f"methods[{index}].rates[{number}]")
    for index, subsidy in enumerate(terms.subsidies):
        if not 0 < subsidy.share_bps <= _WHOLE_BPS or subsidy.cap_minor < 0:
            raise _invalid(f"subsidies[{index}].share_bps", "A share out of range.", "1 to 10000")


def _check_rate(rate: Rate, zones: Sequence[str], field: str) -> None:
    if rate.zone not in zones:
        raise _invalid(f"{field}.zone", f"There is no zone {rate.zone!r}.", " or ".join(zones))
    if not 0 < len(rate.bands) <= BANDS_MAX:
        raise _invalid(f"{field}.bands", f"{len(rate.bands)} bands", f"1 to {BANDS_MAX}")
    ends = [band.upto for band in rate.bands]
    bounded = ends[:-1] if ends[-1] == 0 else ends
    if any(end <= 0 for end in bounded) or sorted(set(bounded)) != bounded:
        raise _invalid(
            f"{field}.bands", "Bands must rise; only the last may be without end.", "rising `upto`"
        )
    if any(band.amount_minor < 0 or band.per_step_minor < 0 or band.step < 0 for band in rate.bands):
        raise _invalid(f"{field}.bands", "A band below zero.", "amounts of zero or more")
    if not 0 <= rate.days_min <= rate.days_max <= 365:
        raise _invalid(f"{field}.days_min", "Days out of range.", "0 <= days_min <= days_max <= 365")


def _invalid(field: str, detail: str, expected: str) -> Refusal:
    return Refusal("shipping.terms_invalid", detail, field=field, expected=expected)
