"""`tradepost ledger check`: prove money and stock from the rows alone."""

from __future__ import annotations

from pathlib import Path

from tradepost.app import Reader, open_reader
from tradepost.books import BooksReport, check_books
from tradepost.kernel.money import to_major
from tradepost.kernel.world import SystemWorld
from tradepost.surfaces.cli.output import FAILED, console, print_facts, print_json, print_table
from tradepost.surfaces.cli.serve import read_settings
from tradepost.trade import inventory


def check(
    *, stock: bool = False, data_dir: str | None = None, config: Path | None = None, json: bool = False
) -> None:
    """Prove that the ledger balances and agrees with orders and payments; with --stock, every stock balance too.

    Recomputes everything from rows and logs. Ends with 1 when something disagrees. Works while the server runs.

    Parameters
    ----------
    stock
        Recompute every stock balance from the movement log and the holds instead of the books.
    data_dir
        Folder of the database.
    config
        A TOML file of settings.
    json
        Print JSON instead of tables.
    """
    settings = read_settings(config, overrides={"server.data_dir": data_dir})
    reader = open_reader(settings)
    try:
        found = _check_stock(reader, as_json=json) if stock else _check_books(reader, as_json=json)
    finally:
        reader.close()
    if found:
        raise SystemExit(FAILED)


def _check_books(reader: Reader, *, as_json: bool) -> bool:
    report: BooksReport = reader.read(0, check_books)
    if as_json:
        print_json({"agree": report.agree, "report": report})
        return not report.agree
    facts: dict[str, object] = {
        "orders": report.orders,
        "payments": report.payments,
        "ledger transactions": report.transactions,
    }
    for name in ("gross", "captured", "ledger_captured", "refunded", "ledger_refunded"):
        amounts: dict[str, int] = getattr(report, name)
        facts[name.replace("_", " ")] = (
            ", ".join(f"{to_major(amount, currency)} {currency}" for currency, amount in amounts.items())
            or "nothing"
        )
    print_facts("The books", facts)
    _say([(one.kind, one.subject, one.detail) for one in report.findings])
    return not report.agree


def _check_stock(reader: Reader, *, as_json: bool) -> bool:
    report: inventory.StockReport = reader.read(0, inventory.check_stock, SystemWorld().now_ms())
    if as_json:
        print_json({"conserved": report.conserved, "report": report})
        return not report.conserved
    print_facts(
        "The stock",
        {
            "stock units": report.units,
            "movements": report.movements,
            "on hand": report.on_hand,
            "held": report.held,
            "reserved": report.reserved,
        },
    )
    _say([(one.kind, one.subject, one.detail) for one in report.findings])
    return not report.conserved


def _say(findings: list[tuple[str, str, str]]) -> None:
    if findings:
        print_table("Disagreements", ("kind", "about", "what"), findings)
    else:
        console.print("[bold green]Everything agrees.[/]")
