"""`tradepost reconcile`: every side's word about the money, compared; `tradepost income`: what tax offices ask for."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from tradepost.app import open_reader
from tradepost.books.income import IncomeRow, collect_income, render_csv
from tradepost.books.reconcile import (
    BREAKS,
    Reconciliation,
    ReportRow,
    Window,
    gather,
    read_report,
    reconcile,
    render_page,
)
from tradepost.kernel.money import to_major
from tradepost.kernel.world import SystemWorld
from tradepost.surfaces.cli.output import FAILED, console, print_facts, print_json, print_table
from tradepost.surfaces.cli.serve import read_settings
from tradepost.trade import settlement

DAY_MS = 86_400_000
SHOWN = 50


def run(
    *,
    day: str = "",
    provider: tuple[Path, ...] = (),
    bank: tuple[Path, ...] = (),
    html: Path | None = None,
    data_dir: str | None = None,
    config: Path | None = None,
    json: bool = False,
) -> None:
    """Compare orders, payments, ledger, statements and payouts, and reports of providers and banks when given.

    Ends with 1 when something serious differs. Works while the server runs.

    Parameters
    ----------
    day
        A day as 2026-01-31, UTC; everything when left out.
    provider
        Reports of payment providers: CSV with a header or JSON lines with payment_id, kind, amount_minor or
        amount, currency, at, fee_minor.
    bank
        Reports of banks about payouts, in the same form with payout_id.
    html
        Write the report as a page into this file.
    data_dir
        Folder of the database.
    config
        A TOML file of settings.
    json
        Print JSON instead of tables.
    """
    window = Window()
    if day:
        from_ms = settlement.day_from(day) * DAY_MS
        window = Window(from_ms=from_ms, until_ms=from_ms + DAY_MS)
    reader = open_reader(read_settings(config, overrides={"server.data_dir": data_dir}))
    now_ms = SystemWorld().now_ms()
    try:
        shards = [reader.read(shard, gather, now_ms) for shard in range(reader.shards)]
    finally:
        reader.close()
    found = reconcile(
        shards, provider=_rows(provider), bank=_rows(bank), window=window, day=day, now_ms=now_ms
    )
    if html is not None:
        html.write_text(render_page(found), "utf-8")
    if json:
        print_json({"agrees": found.agrees, "report": found})
    else:
        _say(found)
    if not found.agrees:
        raise SystemExit(FAILED)


def _rows(paths: tuple[Path, ...]) -> list[ReportRow] | None:
    return [row for path in paths for row in read_report(path.read_text("utf-8"))] if paths else None


def _say(found: Reconciliation) -> None:
    print_facts("Compared", {name.replace("_", " "): count for name, count in found.counts.items()})
    for currency, sides in found.sides.items():
        print_facts(
            currency, {name.replace("_", " "): to_major(amount, currency) for name, amount in sides.items()}
        )
    if not found.breaks:
        console.print("[bold green]All sides agree.[/]")
        return
    print_table(
        "Differences",
        ("kind", "about", "age", "what", "proposal"),
        [
            (
                one.kind + ("" if BREAKS[one.kind].serious else "*"),
                one.subject,
                one.age,
                one.detail,
                one.proposal,
            )
            for one in found.breaks[:SHOWN]
        ],
    )
    if any(not BREAKS[one.kind].serious for one in found.breaks):
        console.print("* resolves by itself or needs no repair of the books")


def income(
    *,
    year: int,
    market: str = "",
    out: Path | None = None,
    data_dir: str | None = None,
    config: Path | None = None,
    json: bool = False,
) -> None:
    """Write what each seller and creator earned in a year, by market and quarter, for tax and income reports.

    Amounts are by the day of the statement line in the market's time zone.

    Parameters
    ----------
    year
        Such as 2026.
    market
        One market; all when left out.
    out
        Write CSV into this file instead of printing a table.
    data_dir
        Folder of the database.
    config
        A TOML file of settings.
    json
        Print JSON instead of a table.
    """
    first = (datetime(year, 1, 1, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)).days
    last = (datetime(year + 1, 1, 1, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)).days - 1
    reader = open_reader(read_settings(config, overrides={"server.data_dir": data_dir}))
    try:
        found = [
            row
            for shard in range(reader.shards)
            for row in reader.read(shard, collect_income, year, first, last, market)
        ]
    finally:
        reader.close()
    if out is not None:
        out.write_text(render_csv(found), "utf-8")
        console.print(f"wrote {len(found)} rows to {out}")
    elif json:
        print_json({"year": year, "rows": found})
    else:
        _print_income(year, found)


def _print_income(year: int, found: list[IncomeRow]) -> None:
    print_table(
        f"Income {year}",
        (
            "party",
            "market",
            "quarter",
            "orders",
            "consideration",
            "fees",
            "taxes",
            "withheld",
            "paid out",
        ),
        [
            (
                row.party_id,
                row.market,
                row.quarter,
                row.orders,
                *[
                    to_major(amount, row.currency)
                    for amount in (
                        row.consideration_minor,
                        row.fees_minor,
                        row.tax_minor,
                        row.withheld_minor,
                        row.paid_out_minor,
                    )
                ],
            )
            for row in found
        ],
    )
