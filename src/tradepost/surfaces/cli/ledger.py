"""`tradepost ledger check`: prove money and stock from the rows alone."""

from __future__ import annotations

from pathlib import Path

import msgspec

from tradepost.app import Reader, open_reader
from tradepost.books import BooksReport, check_books, merge_books
from tradepost.kernel.ids import GENES
from tradepost.kernel.money import to_major
from tradepost.kernel.world import SystemWorld
from tradepost.surfaces.cli.output import FAILED, console, print_facts, print_json, print_table
from tradepost.surfaces.cli.serve import read_settings
from tradepost.trade import inventory, settlement

GENES_AT_ONCE = 64


def check(
    *, stock: bool = False, data_dir: str | None = None, config: Path | None = None, json: bool = False
) -> None:
    """Prove that the ledger balances and agrees with orders and payments; with --stock, every stock balance too.

    Recomputes everything from rows and logs, over every shard. Ends with 1 when something
    disagrees. Works while the server runs.

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
    report = merge_books([reader.read(shard, check_books) for shard in range(reader.shards)])
    settled = settlement.merge_settlement(
        reader.read(shard, settlement.check_settlement) for shard in range(reader.shards)
    )
    agree = report.agree and not settled.findings
    if as_json:
        print_json({"agree": agree, "report": _with(report, settled)})
        return not agree
    facts: dict[str, object] = {
        "orders": report.orders,
        "payments": report.payments,
        "ledger transactions": report.transactions,
        "statement lines": settled.lines,
        "statements": settled.statements,
        "payouts": settled.payouts,
    }
    for name in ("gross", "captured", "ledger_captured", "refunded", "ledger_refunded"):
        amounts: dict[str, int] = getattr(report, name)
        facts[name.replace("_", " ")] = (
            ", ".join(f"{to_major(amount, currency)} {currency}" for currency, amount in amounts.items())
            or "nothing"
        )
    facts["in transit"] = (
        ", ".join(
            f"{to_major(amount, currency)} {currency}" for currency, amount in settled.in_transit.items()
        )
        or "nothing"
    )
    print_facts("The books", facts)
    found = [(one.kind, one.subject, one.detail) for one in report.findings]
    _say(found + [(one.kind, one.subject, one.detail) for one in settled.findings])
    return not agree


def _with(report: BooksReport, settled: settlement.SettlementReport) -> dict[str, object]:
    """The books with settlement beside them; findings are those of both, for whoever counts them."""
    told = msgspec.to_builtins(report)
    return {
        **told,
        "findings": [*told["findings"], *msgspec.to_builtins(settled.findings)],
        "settlement": settled,
    }


def _check_stock(reader: Reader, *, as_json: bool) -> bool:
    now_ms = SystemWorld().now_ms()
    report = inventory.merge_reports(check_all_stock(reader, now_ms))
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


def check_all_stock(reader: Reader, now_ms: int) -> list[inventory.StockReport]:
    """The stock of every shard; of several by 64 genes at a time, for an engine over them bounds its answers."""
    step = GENES if reader.shards == 1 else GENES_AT_ONCE
    return [
        reader.read(shard, inventory.check_stock, now_ms, first_gene=first, last_gene=first + step - 1)
        for shard in range(reader.shards)
        for first in range(0, GENES, step)
    ]


def _say(findings: list[tuple[str, str, str]]) -> None:
    if findings:
        print_table("Disagreements", ("kind", "about", "what"), findings)
    else:
        console.print("[bold green]Everything agrees.[/]")
