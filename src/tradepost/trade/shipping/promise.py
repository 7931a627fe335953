"""When a parcel arrives: handling and transit in working days of the seller, from the market-local moment."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from tradepost.trade.shipping.model import Terms

LOOK_AHEAD_DAYS = 400
"""Beyond so many days a calendar without a working day is taken as it is, rather than searched for ever."""


def promise(terms: Terms, at_ms: int, days_min: int, days_max: int) -> tuple[str, str]:
    """(first, last) local date of arrival for an order at this moment (ms UTC), as YYYY-MM-DD.

    An order after the cut-off, or on a day off, is handled as if it came on the next working day.
    """
    seconds, _ = divmod(at_ms, 1_000)
    moment = datetime.fromtimestamp(seconds, UTC).astimezone(ZoneInfo(terms.time_zone))
    start = moment.date()
    off = frozenset(terms.holidays)
    if moment.hour * 60 + moment.minute >= terms.cut_off_minute or not _works(start, terms, off):
        start = _later(start, 1, terms, off)
    sent = _later(start, terms.handling_days, terms, off)
    return (
        _later(sent, days_min, terms, off).isoformat(),
        _later(sent, max(days_min, days_max), terms, off).isoformat(),
    )


def _works(day: date, terms: Terms, off: Collection[str]) -> bool:
    return day.isoweekday() in terms.workdays and day.isoformat() not in off


def _later(day: date, workdays: int, terms: Terms, off: Collection[str]) -> date:
    for _ in range(LOOK_AHEAD_DAYS):
        if workdays <= 0:
            break
        day += timedelta(days=1)
        workdays -= _works(day, terms, off)
    return day
