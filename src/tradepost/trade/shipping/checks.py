"""What terms must hold beyond their types before they are kept: words, bounds, and whose money it is. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import date
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from tradepost.kernel.errors import Refusal
from tradepost.kernel.money import exponent_of
from tradepost.trade.shipping.model import PLATFORM, SELLER, SUBSIDIES_MAX, Method, Subsidy, Terms, Zone
from tradepost.trade.shipping.options import check_terms

AMOUNT_MAX_MINOR = 10**10
COUNT_MAX = 10**9
DAYS_MAX = 365
HOLIDAYS_MAX = 400
PLACES_MAX = 1_000
"""Countries, regions or postcode prefixes of one zone or area."""
MOMENT_MAX_MS = 10**14
_CODE = re.compile(r"[a-z0-9_.-]{1,40}\Z")
_COUNTRY = re.compile(r"[A-Z]{2}\Z")
_REGION = re.compile(r"[A-Z0-9_. -]{1,40}\Z")
_POSTCODE = re.compile(r"[A-Z0-9-]{1,12}\Z")
_TIME_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+/-]{0,39}\Z")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")


def accept_terms(terms: Terms, before: Terms | None, *, by_seller: bool) -> Terms:
    """The terms as kept: places in capitals, and with what the platform paid before where a seller writes them.

    Raises Refusal `shipping.terms_invalid` naming the field, `shipping.funder_forbidden`, `money.currency_unknown`.
    """
    exponent_of(terms.currency)
    terms = replace(
        terms,
        zones=tuple(_zone(zone) for zone in terms.zones),
        areas=tuple(
            replace(area, country=area.country.upper(), postcodes=_capitals(area.postcodes, ""))
            for area in terms.areas
        ),
    )
    check_terms(terms)
    _check_calendar(terms)
    for index, zone in enumerate(terms.zones):
        _check_zone(zone, f"zones[{index}]")
    _check_areas(terms)
    _check_once([method.code for method in terms.methods], "methods")
    for index, method in enumerate(terms.methods):
        _check_method(method, f"methods[{index}]")
    _check_once([subsidy.code for subsidy in terms.subsidies], "subsidies")
    _check(len(terms.subsidies) <= SUBSIDIES_MAX, "subsidies", f"at most {SUBSIDIES_MAX}")
    for index, subsidy in enumerate(terms.subsidies):
        _check_subsidy(subsidy, terms, f"subsidies[{index}]")
    return _keep_platforms(terms, before) if by_seller else terms


def _zone(zone: Zone) -> Zone:
    return replace(
        zone,
        countries=_capitals(zone.countries, ""),
        regions=_capitals(zone.regions, " "),
        postcodes=_capitals(zone.postcodes, ""),
    )


def _capitals(values: Iterable[str], blank: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(blank.join(value.split()).upper() for value in values))


def _check(holds: bool, field: str, expected: str) -> None:
    if not holds:
        raise Refusal("shipping.terms_invalid", f"{field} cannot be used.", field=field, expected=expected)


def _check_once(codes: Sequence[str], field: str) -> None:
    _check(len(set(codes)) == len(codes), field, "codes that differ")


def _check_number(value: int, field: str, most: int, least: int = 0) -> None:
    _check(least <= value <= most, field, f"{least} to {most}")


def _check_words(values: Sequence[str], shape: re.Pattern[str], field: str, least: int = 0) -> None:
    _check(least <= len(values) <= PLACES_MAX, field, f"{least} to {PLACES_MAX}")
    for index, value in enumerate(values):
        _check(bool(shape.match(value)), f"{field}[{index}]", shape.pattern.removesuffix(r"\Z"))


def _check_code(code: str, field: str) -> None:
    _check(bool(_CODE.match(code)), f"{field}.code", "1 to 40 small letters, digits, _ . -")


def _check_text(text: str, field: str) -> None:
    _check(1 <= len(text) <= 200 and text.isprintable(), field, "1 to 200 printable letters")


def _check_calendar(terms: Terms) -> None:
    _check_number(terms.handling_days, "handling_days", DAYS_MAX)
    _check_number(terms.cut_off_minute, "cut_off_minute", 24 * 60)
    days = sorted(set(terms.workdays))
    _check(days == sorted(terms.workdays) and set(days) <= set(range(1, 8)), "workdays", "1 to 7, each once")
    _check(len(terms.holidays) <= HOLIDAYS_MAX, "holidays", f"at most {HOLIDAYS_MAX}")
    for index, day in enumerate(terms.holidays):
        _check(_is_date(day), f"holidays[{index}]", "YYYY-MM-DD")
    _check(_is_time_zone(terms.time_zone), "time_zone", "a zone such as Europe/London")


def _is_date(text: str) -> bool:
    try:
        return bool(_DATE.match(text)) and bool(date.fromisoformat(text))
    except ValueError:
        return False


def _is_time_zone(text: str) -> bool:
    try:
        return bool(_TIME_ZONE.match(text)) and bool(ZoneInfo(text).key)
    except (KeyError, ValueError, OSError):
        return False


def _check_zone(zone: Zone, field: str) -> None:
    _check_code(zone.code, field)
    _check_words(zone.countries, _COUNTRY, f"{field}.countries", 1)
    _check_words(zone.regions, _REGION, f"{field}.regions")
    _check_words(zone.postcodes, _POSTCODE, f"{field}.postcodes")


def _check_areas(terms: Terms) -> None:
    _check_once([area.code for area in terms.areas], "areas")
    for index, area in enumerate(terms.areas):
        field = f"areas[{index}]"
        _check_code(area.code, field)
        _check_words([area.country], _COUNTRY, f"{field}.country")
        _check_words(area.postcodes, _POSTCODE, f"{field}.postcodes", 1)
        _check_number(area.amount_minor, f"{field}.amount_minor", AMOUNT_MAX_MINOR)
        _check_number(area.days, f"{field}.days", DAYS_MAX)


def _check_method(method: Method, field: str) -> None:
    _check_code(method.code, field)
    _check_text(method.title, f"{field}.title")
    _check_number(method.weight_max_g, f"{field}.weight_max_g", COUNT_MAX)
    _check_number(method.units_max, f"{field}.units_max", COUNT_MAX)
    _check_once([rate.zone for rate in method.rates], f"{field}.rates")
    _check(bool(method.rates), f"{field}.rates", "a rate for one zone or more")
    for index, rate in enumerate(method.rates):
        _check_number(rate.free_from_minor, f"{field}.rates[{index}].free_from_minor", AMOUNT_MAX_MINOR)
        for number, band in enumerate(rate.bands):
            here = f"{field}.rates[{index}].bands[{number}]"
            _check_number(band.upto, f"{here}.upto", 10**15)
            _check_number(band.amount_minor, f"{here}.amount_minor", AMOUNT_MAX_MINOR)
            _check_number(band.step, f"{here}.step", 10**15)
            _check_number(band.per_step_minor, f"{here}.per_step_minor", 10**6)
            _check(not band.per_step_minor or band.step >= 1, f"{here}.step", "1 or more with per_step_minor")


def _check_subsidy(subsidy: Subsidy, terms: Terms, field: str) -> None:
    _check_code(subsidy.code, field)
    _check_text(subsidy.reason, f"{field}.reason")
    _check(subsidy.funder in (SELLER, PLATFORM), f"{field}.funder", f"{SELLER} or {PLATFORM}")
    _check_number(subsidy.cap_minor, f"{field}.cap_minor", AMOUNT_MAX_MINOR)
    # The seller names the rate: without a bound the platform would pay whatever is written there.
    _check(subsidy.funder == SELLER or subsidy.cap_minor > 0, f"{field}.cap_minor", "above 0: a bound")
    _check_number(subsidy.goods_from_minor, f"{field}.goods_from_minor", 10**15)
    _check_number(subsidy.starts_at_ms, f"{field}.starts_at_ms", MOMENT_MAX_MS)
    _check_number(subsidy.ends_at_ms, f"{field}.ends_at_ms", MOMENT_MAX_MS)
    known = [method.code for method in terms.methods]
    for index, code in enumerate(subsidy.methods):
        _check(code in known, f"{field}.methods[{index}]", " or ".join(known))


def _keep_platforms(terms: Terms, before: Terms | None) -> Terms:
    """What others than the seller pay stays as it was, whether the seller repeats it or leaves it out."""
    kept = [one for one in before.subsidies if one.funder != SELLER] if before is not None else []
    for index, one in enumerate(terms.subsidies):
        if one.funder != SELLER and one not in kept:
            raise Refusal(
                "shipping.funder_forbidden",
                f"A seller cannot let the {one.funder} pay.",
                field=f"subsidies[{index}].funder",
                expected=SELLER,
            )
    missing = [one for one in kept if one not in terms.subsidies]
    merged = replace(terms, subsidies=(*missing, *terms.subsidies))
    _check_once([one.code for one in merged.subsidies], "subsidies")
    return merged
