"""`tradepost settle` and `tradepost payouts`: what parties are owed and how it reaches them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from tradepost.app import Reader, open_reader
from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import gene_of
from tradepost.kernel.money import to_major
from tradepost.surfaces.cli.asking import HERE, Where, ask
from tradepost.surfaces.cli.output import console, moment, print_facts, print_json, print_table
from tradepost.surfaces.cli.serve import read_settings
from tradepost.surfaces.cli.statement_page import render_statement
from tradepost.trade import settlement

SHOWN = 200


def run(*, where: Where = HERE) -> None:
    """Let a running server settle what is due, cut the days that are over and call the bank now."""
    with ask(where) as asking:
        found = asking.send("POST", "/v1/settlement/runs", None)
    if where.json:
        print_json(found)
    else:
        console.print(f"ran {', '.join(found['ran'])}")


def revalue(*, where: Where = HERE) -> None:
    """Let a running server post what balances open in two currencies are worth more or less now: for a day's end."""
    with ask(where) as asking:
        found = asking.send("POST", "/v1/settlement/revaluations", None)
    if where.json:
        print_json(found)
        return
    print_table(
        "Revalued (a difference above zero is a loss)",
        ("shard", "owed", "held", "difference", "outcome"),
        [
            (
                one["shard"],
                *[
                    _money(one[name]["amount_minor"], one[name]["currency"])
                    for name in ("owed", "held", "difference")
                ],
                one["outcome"],
            )
            for one in found["items"]
        ],
    )


def show(
    party: str = "", *, data_dir: str | None = None, config: Path | None = None, json: bool = False
) -> None:
    """Show what every party is to be paid, or all about one: balances, what is not due yet, statements, payouts.

    Parameters
    ----------
    party
        A seller's or creator's id; all when left out.
    data_dir
        Folder of the database.
    config
        A TOML file of settings.
    json
        Print JSON instead of tables.
    """
    reader = open_reader(read_settings(config, overrides={"server.data_dir": data_dir}))
    try:
        if party:
            _show_party(reader, party, as_json=json)
        else:
            _show_all(reader, as_json=json)
    finally:
        reader.close()


def _show_all(reader: Reader, *, as_json: bool) -> None:
    accounts = [
        one
        for shard in range(reader.shards)
        for one in reader.read(shard, lambda tx: list(settlement.all_accounts(tx)))
    ]
    if as_json:
        print_json({"accounts": accounts})
        return
    print_table(
        "To be paid",
        ("party", "market", "balance", "reserve", "cut through"),
        [
            (
                one.party_id,
                one.market,
                _money(one.balance_minor, one.currency),
                _money(one.reserve_minor, one.currency),
                settlement.date_of(one.cut_through) if one.cut_through else "",
            )
            for one in accounts
        ],
    )


def _show_party(reader: Reader, party: str, *, as_json: bool) -> None:
    shard = reader.shard_of(gene_of(party))
    found = reader.read(shard, settlement.overview, party)
    statements = reader.read(shard, settlement.list_statements, party)
    paid = reader.read(shard, settlement.list_payouts, party)
    if as_json:
        print_json({"overview": found, "statements": statements, "payouts": paid})
        return
    to = found.payout_account
    print_facts(
        party,
        {
            "paid to": "nowhere yet"
            if to is None
            else f"...{to.destination.account[-4:]}" + (" (blocked)" if to.blocked else ""),
            **{f"balance in {one.market}": _money(one.balance_minor, one.currency) for one in found.accounts},
            **{
                f"not due in {one.market}": f"{_money(one.amount_minor, one.currency)} of {one.orders} orders"
                for one in found.unsettled
            },
        },
    )
    print_table(
        "Statements",
        ("day", "market", "opening", "movements", "closing", "lines"),
        [
            (
                one.date,
                one.market,
                _money(one.opening_minor, one.currency),
                _money(one.amount_minor, one.currency),
                _money(one.closing_minor, one.currency),
                one.lines,
            )
            for one in statements
        ],
    )
    _print_payouts(paid)


def statement(
    party: str,
    day: str,
    *,
    market: str = "GB",
    currency: str = "",
    html: Path | None = None,
    data_dir: str | None = None,
    config: Path | None = None,
    json: bool = False,
) -> None:
    """Show a day's statement line by line, as a table, JSON or a page.

    Parameters
    ----------
    party
        A seller's or creator's id.
    day
        A day as 2026-01-31, in the market's time zone.
    market
        Which market's statement.
    currency
        Its currency; the market's own when left out.
    html
        Write a page into this file.
    data_dir
        Folder of the database.
    config
        A TOML file of settings.
    json
        Print JSON instead of a table.
    """
    from tradepost.markets import market as market_of

    key = (party, market, currency or market_of(market).currency)
    reader = open_reader(read_settings(config, overrides={"server.data_dir": data_dir}))
    try:
        shard, number = reader.shard_of(gene_of(party)), settlement.day_from(day)
        found = reader.read(shard, settlement.get_statement, key, number)
        lines = reader.read(shard, lambda tx: list(settlement.lines_between(tx, key, number, number)))
    finally:
        reader.close()
    if html is not None:
        html.write_text(render_statement(found, lines), "utf-8")
    if json:
        print_json({"statement": found, "lines": lines})
    elif html is None:
        print_table(
            f"{party} {market} {found.date}",
            ("order", "kind", "amount", "made of"),
            [
                (
                    one.order_id or one.line_id,
                    one.kind,
                    _money(one.amount_minor, one.currency),
                    ", ".join(f"{name} {amount}" for name, amount in one.components.items())
                    + (f" ({one.note})" if one.note else ""),
                )
                for one in lines
            ],
        )
    else:
        console.print(f"wrote {html}")


def list_payouts(
    *,
    party: str = "",
    state: str = "",
    data_dir: str | None = None,
    config: Path | None = None,
    json: bool = False,
) -> None:
    """List payouts, those of one party or in one state.

    Parameters
    ----------
    party
        A seller's or creator's id.
    state
        REQUESTED, SENT, REFUSED, PAID, FAILED or RETURNED.
    data_dir
        Folder of the database.
    config
        A TOML file of settings.
    json
        Print JSON instead of a table.
    """
    reader = open_reader(read_settings(config, overrides={"server.data_dir": data_dir}))
    try:
        found = [
            one
            for shard in range(reader.shards)
            for one in reader.read(shard, lambda tx: list(settlement.all_payouts(tx)))
            if party in ("", one.party_id) and state.upper() in ("", one.state)
        ]
    finally:
        reader.close()
    if json:
        print_json({"payouts": found})
    else:
        _print_payouts(found[-SHOWN:])


def _print_payouts(found: list[settlement.Payout]) -> None:
    print_table(
        "Payouts",
        ("payout", "party", "amount", "state", "attempts", "since", "error"),
        [
            (
                one.payout_id,
                one.party_id,
                _money(one.amount_minor, one.currency),
                one.state,
                one.attempts,
                moment(one.requested_at_ms),
                one.error,
            )
            for one in found
        ],
    )


def tell(
    payout: str,
    status: Literal["paid", "refused", "failed", "returned"],
    *,
    reason: str = "",
    where: Where = HERE,
) -> None:
    """Say what the bank said about a payout, such as after reading its letter.

    Parameters
    ----------
    payout
        The payout's id.
    status
        `refused` is tried again, `failed` and `returned` give the amount back to the balance.
    reason
        What the bank wrote.
    """
    with ask(where) as asking:
        found = asking.send("POST", f"/v1/payouts/{payout}/word", {"status": status, "reason": reason})
    if where.json:
        print_json(found)
    else:
        console.print(f"{found['payout_id']} is {found['state']}")


def _money(amount: int, currency: str) -> str:
    try:
        return f"{to_major(amount, currency)} {currency}"
    except Refusal:
        return f"{amount} {currency}"
