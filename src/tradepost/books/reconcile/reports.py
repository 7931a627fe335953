"""Reports of providers and banks as files: CSV with a header, or JSON lines with the same names."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from typing import Any

import msgspec

from tradepost.books.reconcile.model import ReportRow
from tradepost.kernel.errors import Refusal
from tradepost.kernel.money import PRICE_SCALE, divide, price_from_major

ROWS_MAX = 1_000_000
KINDS = ("capture", "refund", "chargeback", "fee", "payout")
_NAMES = ("id", "payment_id", "payout_id", "reference")


def read_report(text: str) -> list[ReportRow]:
    """The rows of a report, a million at most. Raises Refusal `reconcile.report_invalid` naming the row."""
    is_json = text.lstrip()[:1] == "{"
    raws: list[dict[str, Any]] = (
        [msgspec.json.decode(line) for line in text.splitlines() if line.strip()]
        if is_json
        else list(csv.DictReader(io.StringIO(text)))
    )
    if len(raws) > ROWS_MAX:
        raise Refusal("reconcile.report_invalid", f"{len(raws)} rows; {ROWS_MAX} can be read at once.")
    return [_row(number, raw) for number, raw in enumerate(raws, 1)]


def _row(number: int, raw: dict[str, Any]) -> ReportRow:
    try:
        name = next(str(raw[key]) for key in _NAMES if raw.get(key))
        kind, currency = str(raw.get("kind", "capture")), str(raw["currency"]).upper()
        if kind not in KINDS:
            raise ValueError(f"kind {kind!r}")
        return ReportRow(
            id=name,
            kind=kind,
            amount_minor=_amount(raw, "amount", currency),
            currency=currency,
            at_ms=_moment(raw.get("at", "")),
            fee_minor=_amount(raw, "fee", currency),
        )
    except (KeyError, ValueError, TypeError, StopIteration, Refusal) as error:
        raise Refusal(
            "reconcile.report_invalid", f"Row {number}: {type(error).__name__} {error}"[:200]
        ) from error


def _amount(raw: dict[str, Any], name: str, currency: str) -> int:
    minor = raw.get(f"{name}_minor")
    if minor not in (None, ""):
        return int(str(minor))
    major = str(raw.get(name) or "")
    if not major:
        if name == "fee":
            return 0
        raise ValueError("no amount")
    price = price_from_major(major, currency)
    if price % PRICE_SCALE:
        raise ValueError(f"{major} is finer than {currency}")
    return divide(price, PRICE_SCALE)


def _moment(value: Any) -> int:
    text = str(value or "")
    if not text or text.isdecimal():
        return int(text or 0)
    found = datetime.fromisoformat(text)
    aware = found if found.tzinfo else found.replace(tzinfo=UTC)
    return int(aware.timestamp()) * 1000
