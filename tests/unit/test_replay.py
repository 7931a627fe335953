"""The replay of a history: every kind of line, its count and its pennies, reckoned by hand and by another way."""

from __future__ import annotations

import csv
import json
import lzma
from collections import Counter
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pytest

from tradepost.kernel.errors import Refusal
from tradepost.replay.history import HistoryLine, Invoice, LineKind, RejectedLine, classify
from tradepost.replay.waves import waves
from tradepost.surfaces.cli.replay import replay

DATA = Path(__file__).resolve().parents[1] / "data"
MEASURED = ("elapsed_s", "orders_per_s", "lines_per_s")

SMALL = {
    "file": "history_small.csv",
    "currency": "GBP",
    "lines_read": 30,
    "invoices": 17,
    "orders": 6,
    "order_lines": 10,
    "units_sold": 6 + 4 + 3 + 7 + 2 + 1 + 5 + 1 + 1 + 2,
    # 500001: 1530 + 1020 + 0 + 8.925 rounded up to 893; 500002: 1190 + 425; 500011: 0;
    # 500014: a tenth of a penny is 0; 500016: half a penny is 1; 500018: 600
    "gross_minor": 1530 + 1020 + 893 + 1190 + 425 + 1 + 600,
    "free_lines": 2,
    "return_lines": 8,
    "returns_accepted": 4,
    "returns_partial": 1,
    "returns_refused": 3,
    "returns_refused_reasons": {"all_returned": 1, "never_bought": 1, "no_customer": 1},
    "units_returned": 5 + 5 + 3 + 4 + 1,
    # Five lamps: the newer line's four (1020), then one of six for 1530. Nine more wanted: the five that are left.
    # Three of seven ribbons for 893 are 382.71, so 383, and the other four the rest. A free tag gives nothing back.
    "refund_minor": (1020 + 255) + (1530 - 255) + 383 + 510 + 0,
    "write_off_lines": 2,
    "units_written_off": 11,
    "adjustment_lines": 2,
    "adjustment_minor": 1106206 - 50000,
    "rejected_lines": 8,
    "rejected_reasons": {
        "quantity_invalid": 2,
        "date_invalid": 1,
        "price_invalid": 1,
        "invoice_or_code_missing": 1,
        "return_with_positive_quantity": 1,
        "price_negative": 1,
        "columns_missing": 1,
    },
    "expected_gross_minor": 5659,
    "captured_minor": 5659,
    "ledger_captured_minor": 5659,
    "ledger_refunded_minor": 3443,
    "orders_completed": 6,
    "ledger_balanced": True,
    "stock_conserved": True,
    "findings": [],
}


def replayed(file: Path, tmp_path: Path) -> dict[str, Any]:
    """The report of a replay without what depends on the machine."""
    target = tmp_path / "report.json"
    replay("online-retail", file, report=target)
    report: dict[str, Any] = json.loads(target.read_text("utf-8"))
    assert all(report.pop(name) > 0 for name in MEASURED)
    return report


def test_every_kind_of_line_is_counted_and_reckoned(tmp_path: Path) -> None:
    assert replayed(DATA / "history_small.csv", tmp_path) == SMALL


class Reckoned:
    """The outcome of a history, reckoned line by line with Decimal and nothing of the platform."""

    def __init__(self, rows: list[dict[str, str]]) -> None:
        self.counts: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.gross = self.refunded = Decimal(0)
        self.bought: dict[tuple[str, str], list[list[Any]]] = {}
        invoices: dict[tuple[str, bool], list[dict[str, str]]] = {}
        for row in rows:
            lost = not row["InvoiceNo"].startswith("C") and row["Quantity"].startswith("-")
            invoices.setdefault((row["InvoiceNo"], lost), []).append(row)
        self.orders = 0
        for (number, lost), lines in sorted(invoices.items(), key=lambda item: item[1][0]["InvoiceDate"]):
            self.orders += not lost and not number.startswith("C")
            for line in lines:
                if lost:
                    self.counts["write_off_lines"] += 1
                    self.counts["units_written_off"] -= int(line["Quantity"])
                elif number.startswith("C"):
                    self.take_back(line)
                else:
                    self.sell(line)

    def sell(self, line: dict[str, str]) -> None:
        quantity = int(line["Quantity"])
        total = (Decimal(line["UnitPrice"]) * 100 * quantity).quantize(Decimal(1), ROUND_HALF_UP)
        self.gross += total
        self.counts["order_lines"] += 1
        self.counts["units_sold"] += quantity
        self.counts["free_lines"] += Decimal(line["UnitPrice"]) == 0
        if line["CustomerID"]:
            self.bought.setdefault((line["CustomerID"], line["StockCode"]), []).append([quantity, 0, total])

    def take_back(self, line: dict[str, str]) -> None:
        self.counts["return_lines"] += 1
        wanted = left = -int(line["Quantity"])
        purchases = self.bought.get((line["CustomerID"], line["StockCode"]), [])
        for purchase in reversed(purchases):
            quantity, returned, total = purchase
            units = min(left, quantity - returned)
            worth = [
                (total * so_far / quantity).quantize(Decimal(1), ROUND_HALF_UP)
                for so_far in (returned, returned + units)
            ]
            self.refunded += worth[1] - worth[0]
            purchase[1] += units
            left -= units
        self.counts["units_returned"] += wanted - left
        if left == wanted:
            reason = "all_returned" if purchases else "never_bought"
            self.reasons[reason if line["CustomerID"] else "no_customer"] += 1
        else:
            self.counts["returns_partial" if left else "returns_accepted"] += 1


def test_part_of_december_is_reckoned_alike_in_another_way(tmp_path: Path) -> None:
    file = DATA / "online_retail_part.csv.xz"
    with lzma.open(file, "rt", encoding="utf-8", newline="") as text:
        rows = list(csv.DictReader(text))
    reckoned = Reckoned(rows)
    report = replayed(file, tmp_path)
    assert {name: report[name] for name in reckoned.counts} == reckoned.counts
    assert report["returns_refused_reasons"] == reckoned.reasons
    assert report["orders"] == report["orders_completed"] == reckoned.orders
    assert (
        report["gross_minor"] == report["captured_minor"] == report["ledger_captured_minor"] == reckoned.gross
    )
    assert report["refund_minor"] == report["ledger_refunded_minor"] == reckoned.refunded
    assert (report["lines_read"], report["rejected_lines"]) == (len(rows), 0)
    assert (report["ledger_balanced"], report["stock_conserved"], report["findings"]) == (True, True, [])
    several = ("returns_accepted", "returns_partial", "free_lines", "write_off_lines")
    assert all(reckoned.counts[name] for name in several), "this part shows too little"


@pytest.mark.parametrize(
    ("invoice", "quantity", "price", "kind"),
    [
        ("536365", "6", "2.55", LineKind.SALE),
        ("536365", "6.0", "0", LineKind.SALE),
        ("C536379", "-1", "27.5", LineKind.RETURN),
        ("c536379", "-1", "27.5", LineKind.RETURN),
        ("536589", "-10", "0.0", LineKind.WRITE_OFF),
        ("A563185", "1", "11062.06", LineKind.ADJUSTMENT),
        ("A563186", "1", "-11062.06", LineKind.ADJUSTMENT),
        ("C1", "1", "1", "return_with_positive_quantity"),
        ("1", "1.5", "1", "quantity_invalid"),
        ("1", "--1", "1", "quantity_invalid"),
        ("1", "10000001", "1", "quantity_invalid"),
        ("1", "1", "", "price_invalid"),
        ("1", "1", "1e3", "price_invalid"),
        ("1", "1", "-0.01", "price_negative"),
        ("", "1", "1", "invoice_or_code_missing"),
    ],
)
def test_a_line_is_what_its_invoice_and_quantity_say(
    invoice: str, quantity: str, price: str, kind: LineKind | str
) -> None:
    line = classify(1, invoice, "85123A", "LAMP", quantity, "2010-12-01 08:26:00", price, "17850.0", "France")
    if isinstance(kind, LineKind):
        assert isinstance(line, HistoryLine)
        assert (line.kind, line.customer) == (kind, "17850")
    else:
        assert line == RejectedLine(1, kind)


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.csv"
    file.write_text("a,b\n1,2\n", "utf-8")
    with pytest.raises(Refusal) as refused:
        replay("online-retail", file)
    assert (refused.value.code, refused.value.field) == ("replay.file_invalid", "FILE")
    assert "InvoiceNo" in refused.value.expected


@pytest.mark.parametrize("database", ["oracle://x/y", "sqlite://", "sqlite:///", "nonsense"])
def test_a_database_that_cannot_be_used_is_refused(database: str) -> None:
    with pytest.raises(Refusal) as refused:
        replay("online-retail", DATA / "history_small.csv", database=database)
    assert (refused.value.code, refused.value.field) == ("replay.database_invalid", "--database")


def test_a_history_is_replayed_into_an_empty_shop_only(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path}/shop"
    replay("online-retail", DATA / "history_small.csv", database=database, report=tmp_path / "report.json")
    assert (tmp_path / "shop" / "tradepost.db").exists()
    with pytest.raises(Refusal) as refused:
        replay("online-retail", DATA / "history_small.csv", database=database)
    assert refused.value.code == "replay.database_invalid"


def invoice(number: str, customer: str, minute: int) -> Invoice:
    found = classify(
        1, number, "A", "", "-1" if number[0] == "C" else "1", "2010-12-01 08:00", "1", customer, ""
    )
    assert isinstance(found, HistoryLine)
    return Invoice(number=number, at_ms=minute * 60_000, customer=customer, country="", lines=(found,))


@pytest.mark.parametrize(
    ("history", "sizes"),
    [
        ([("1", "a", 0), ("2", "a", 1), ("3", "b", 2)], [3]),
        ([("1", "a", 0), ("C2", "a", 1), ("3", "b", 2)], [1, 2]),
        ([("C1", "a", 0), ("2", "a", 1)], [1, 1]),
        ([("C1", "a", 0), ("C2", "a", 1)], [1, 1]),
        ([("1", "a", 0), ("C2", "b", 1), ("3", "c", 2)], [3]),
        ([("1", "", 0), ("C2", "", 1)], [2]),
        ([("1", "a", 0), ("2", "b", 241)], [1, 1]),
        ([(f"{number + 1}", "", 0) for number in range(130)], [128, 2]),
    ],
)
def test_a_wave_holds_what_does_not_wait_for_each_other(
    history: list[tuple[str, str, int]], sizes: list[int]
) -> None:
    assert [len(wave) for wave in waves([invoice(*one) for one in history])] == sizes
