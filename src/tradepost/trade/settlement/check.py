"""The proof of settlement: lines, balances, statements, reserves and payouts say what the ledger says."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from tradepost.kernel.tx import Tx
from tradepost.trade import ledger
from tradepost.trade.settlement import store
from tradepost.trade.settlement.model import BANK_CLEARING, TRANSIT, Account, Statement
from tradepost.trade.settlement.payouts import store as payout_store

_FIRST, _LAST = -(10**6), 10**6


class SettlementFinding(msgspec.Struct, frozen=True):
    """One disagreement: its kind, what it is about, and the figures."""

    kind: str
    subject: str
    detail: str


class SettlementReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was compared on a shard or several. `in_transit` is minor units by currency that left an order's shard
    and have not arrived: zero for all shards together once events were delivered."""

    accounts: int
    lines: int
    statements: int
    payouts: int
    in_transit: dict[str, int]
    findings: tuple[SettlementFinding, ...]


def check_settlement(
    tx: Tx, balances: dict[tuple[str, str], ledger.Balance] | None = None
) -> SettlementReport:
    """Compare everything of this shard; `balances` are those of its ledger where they were added up already."""
    books = ledger.account_balances(tx) if balances is None else balances
    found: list[SettlementFinding] = []
    counts = {"accounts": 0, "lines": 0, "statements": 0, "payouts": 0}
    payable: dict[tuple[str, str], int] = {}
    reserved: dict[tuple[str, str], int] = {}
    for account in store.all_accounts(tx):
        counts["accounts"] += 1
        for sums, amount in ((payable, account.balance_minor), (reserved, account.reserve_minor)):
            pair = (account.party_id, account.currency)
            sums[pair] = sums.get(pair, 0) + amount
        found += _check_account(tx, account, counts)
    found += _compare(books, "payable", payable) + _compare(books, "reserve", reserved)
    under_way: dict[str, int] = {}
    for payout in payout_store.all_payouts(tx):
        counts["payouts"] += 1
        if payout.state in ("REQUESTED", "SENT", "REFUSED"):
            under_way[payout.currency] = under_way.get(payout.currency, 0) + payout.amount_minor
    for currency in {c for a, c in books if a == BANK_CLEARING} | set(under_way):
        stands = _posted(books, BANK_CLEARING, currency)
        if -stands != under_way.get(currency, 0):
            found.append(
                SettlementFinding(
                    "clearing", currency, f"ledger {-stands}, payouts {under_way.get(currency, 0)}"
                )
            )
    transit = {c: b.posted_minor for (a, c), b in books.items() if a == TRANSIT and b.posted_minor}
    return SettlementReport(**counts, in_transit=transit, findings=tuple(found))


def _posted(books: dict[tuple[str, str], ledger.Balance], account: str, currency: str) -> int:
    found = books.get((account, currency))
    return found.posted_minor if found is not None else 0


def _compare(
    books: dict[tuple[str, str], ledger.Balance], kind: str, sums: dict[tuple[str, str], int]
) -> list[SettlementFinding]:
    named = {
        (account.partition(":")[2], currency) for account, currency in books if account.startswith(f"{kind}:")
    }
    found = []
    for party_id, currency in sorted(named | sums.keys()):
        stands = -_posted(books, f"{kind}:{party_id}", currency)
        own = sums.get((party_id, currency), 0)
        if stands != own:
            found.append(SettlementFinding(kind, party_id, f"ledger {stands} {currency}, settlement {own}"))
    return found


def _check_account(tx: Tx, account: Account, counts: dict[str, int]) -> list[SettlementFinding]:
    """Its lines sum to its balance, each line's components to its amount, each statement's lines to its sum."""
    key = (account.party_id, account.market, account.currency)
    by_day: dict[int, list[int]] = {}
    found = []
    for line in store.lines_between(tx, key, _FIRST, _LAST):
        by_day.setdefault(line.day, []).append(line.amount_minor)
        if sum(line.components.values()) != line.amount_minor:
            found.append(
                SettlementFinding(
                    "line", line.line_id, f"components {sum(line.components.values())} of {line.amount_minor}"
                )
            )
    lines = sum(len(amounts) for amounts in by_day.values())
    counts["lines"] += lines
    total = sum(sum(amounts) for amounts in by_day.values())
    if (total, lines) != (account.balance_minor, account.lines):
        found.append(
            SettlementFinding(
                "balance",
                account.party_id,
                f"{lines} lines of {total}, account {account.lines} of {account.balance_minor}",
            )
        )
    reserve = sum(row[1] for row in store.reserves_of(tx, key))
    if reserve != account.reserve_minor:
        found.append(
            SettlementFinding("reserve", account.party_id, f"rows {reserve}, account {account.reserve_minor}")
        )
    statements = store.statements_between(tx, key, _FIRST, _LAST)
    counts["statements"] += len(statements)
    return found + _check_statements(account, statements, by_day)


def _check_statements(
    account: Account, statements: list[Statement], by_day: dict[int, list[int]]
) -> list[SettlementFinding]:
    found = []
    closing = 0
    for one in statements:
        amounts = by_day.get(one.day, [])
        subject = f"{account.party_id} {one.market} {one.currency} {one.date}"
        if (sum(amounts), len(amounts)) != (one.amount_minor, one.lines):
            found.append(
                SettlementFinding("statement", subject, f"lines {sum(amounts)}, statement {one.amount_minor}")
            )
        if one.opening_minor != closing or one.closing_minor != closing + one.amount_minor:
            found.append(
                SettlementFinding("statement", subject, f"opens at {one.opening_minor}, before it {closing}")
            )
        if sum(one.components.values()) != one.amount_minor:
            found.append(SettlementFinding("statement", subject, "its components are not its sum"))
        closing = one.closing_minor
    cut = {one.day for one in statements}
    for day in sorted(by_day):
        if day <= account.cut_through and day not in cut:
            found.append(
                SettlementFinding("statement", account.party_id, f"day {day} is past and has no statement")
            )
    return found


def merge_settlement(reports: Iterable[SettlementReport]) -> SettlementReport:
    """One report of several shards; money is in transit only between them."""
    parts = list(reports)
    transit: dict[str, int] = {}
    for part in parts:
        for currency, amount in part.in_transit.items():
            transit[currency] = transit.get(currency, 0) + amount
    return SettlementReport(
        accounts=sum(part.accounts for part in parts),
        lines=sum(part.lines for part in parts),
        statements=sum(part.statements for part in parts),
        payouts=sum(part.payouts for part in parts),
        in_transit={currency: amount for currency, amount in transit.items() if amount},
        findings=tuple(finding for part in parts for finding in part.findings),
    )
