"""Read an Online Retail file: every line becomes a sale, a return, a write-off, an adjustment or a rejection."""

from __future__ import annotations

import csv
import io
import lzma
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.kernel.money import price_from_major

CURRENCY = "GBP"
COLUMNS = (
    "InvoiceNo",
    "StockCode",
    "Description",
    "Quantity",
    "InvoiceDate",
    "UnitPrice",
    "CustomerID",
    "Country",
)
_TIME_FORMATS = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%m/%d/%Y %H:%M")
QUANTITY_MAX = 10_000_000


class LineKind(StrEnum):
    """What a line of the file is."""

    SALE = "sale"
    RETURN = "return"
    WRITE_OFF = "write_off"
    ADJUSTMENT = "adjustment"


class HistoryLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line that could be read. `quantity` is positive for every kind; `customer` is "" for a guest."""

    number: int
    kind: LineKind
    invoice: str
    code: str
    description: str
    quantity: int
    at_ms: int
    price_e4: int
    customer: str
    country: str


class RejectedLine(msgspec.Struct, frozen=True):
    """A line that means nothing, and why."""

    number: int
    reason: str


class Invoice(msgspec.Struct, frozen=True, kw_only=True):
    """The lines of one invoice in file order, at the moment of the first."""

    number: str
    at_ms: int
    customer: str
    country: str
    lines: tuple[HistoryLine, ...]


def open_text(path: Path) -> io.TextIOBase:
    """The file's text, unpacked when its name ends in .xz."""
    if path.suffix == ".xz":
        return io.TextIOWrapper(lzma.open(path), encoding="utf-8", errors="replace", newline="")
    return path.open(encoding="utf-8-sig", errors="replace", newline="")


def read_lines(text: Iterable[str]) -> Iterator[HistoryLine | RejectedLine]:
    """Every line after the header, classified. Raises Refusal `replay.file_invalid` for another kind of file."""
    reader = csv.reader(text)
    header = next(reader, [])
    names = [name.strip().lstrip("\ufeff") for name in header]
    if any(column not in names for column in COLUMNS):
        raise Refusal(
            "replay.file_invalid",
            f"The first line names the columns {names[:10]}.",
            field="FILE",
            expected=",".join(COLUMNS),
        )
    places = [names.index(column) for column in COLUMNS]
    for number, row in enumerate(reader, 1):
        if len(row) <= max(places):
            yield RejectedLine(number, "columns_missing")
            continue
        yield classify(number, *[row[place].strip() for place in places])


def classify(
    number: int,
    invoice: str,
    code: str,
    description: str,
    quantity: str,
    date: str,
    price: str,
    customer: str,
    country: str,
) -> HistoryLine | RejectedLine:
    """One line's kind by its invoice prefix and the sign of its quantity; a rejection names its reason."""
    pieces, at_ms = _integer(quantity), _moment(date)
    try:
        price_e4 = price_from_major(price, CURRENCY)
    except Refusal:
        return RejectedLine(number, "price_invalid")
    if pieces is None or pieces == 0 or abs(pieces) > QUANTITY_MAX:
        return RejectedLine(number, "quantity_invalid")
    if at_ms is None:
        return RejectedLine(number, "date_invalid")
    if not invoice or not code:
        return RejectedLine(number, "invoice_or_code_missing")
    kind = _kind(invoice, pieces)
    if kind is None:
        return RejectedLine(number, "return_with_positive_quantity")
    if price_e4 < 0 and kind is not LineKind.ADJUSTMENT:
        return RejectedLine(number, "price_negative")
    return HistoryLine(
        number=number,
        kind=kind,
        invoice=invoice,
        code=code,
        description=description,
        quantity=pieces if kind is LineKind.ADJUSTMENT else abs(pieces),
        at_ms=at_ms,
        price_e4=price_e4,
        customer=customer.removesuffix(".0"),
        country=country,
    )


def _kind(invoice: str, pieces: int) -> LineKind | None:
    if invoice[0] in "Aa":
        return LineKind.ADJUSTMENT
    if invoice[0] in "Cc":
        return LineKind.RETURN if pieces < 0 else None
    return LineKind.SALE if pieces > 0 else LineKind.WRITE_OFF


def _integer(text: str) -> int | None:
    whole = text.removesuffix(".0")
    return int(whole) if whole.lstrip("-").isdecimal() and whole.count("-") <= 1 else None


def _moment(text: str) -> int | None:
    for form in _TIME_FORMATS:
        try:
            moment = datetime.strptime(text, form)
        except ValueError:
            continue
        return int(moment.replace(tzinfo=UTC).timestamp()) * 1000
    return None


def by_invoice(lines: Iterable[HistoryLine]) -> list[Invoice]:
    """Invoices in order of time (file order breaks ties), each with its lines of one kind in file order.

    An invoice that mixes sales and write-offs becomes two, so that each is handled as what it is.
    """
    found: dict[tuple[str, LineKind], list[HistoryLine]] = {}
    for line in lines:
        found.setdefault((line.invoice, line.kind), []).append(line)
    invoices = [
        Invoice(
            number=owned[0].invoice,
            at_ms=owned[0].at_ms,
            customer=next((line.customer for line in owned if line.customer), ""),
            country=owned[0].country,
            lines=tuple(owned),
        )
        for owned in found.values()
    ]
    return sorted(invoices, key=lambda invoice: (invoice.at_ms, invoice.lines[0].number))
