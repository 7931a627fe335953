"""A day's statement is cut: withholding and reserve are taken, what is due for release is freed, the sum is frozen.

What can be paid is then paid out. All of an account's days up to one are cut in one transaction, oldest first.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from tradepost.kernel.events import record
from tradepost.kernel.ids import PREFIXES, gene_of, mint_id
from tradepost.kernel.market import Market
from tradepost.kernel.tx import Tx
from tradepost.markets import market
from tradepost.trade import ledger
from tradepost.trade.ledger import Transaction, TransactionKind
from tradepost.trade.settlement import rules, store
from tradepost.trade.settlement.arriving import own_line, own_posting, place
from tradepost.trade.settlement.model import (
    BANK_CLEARING,
    Account,
    Component,
    Components,
    Line,
    LineKind,
    Payout,
    PayoutRequested,
    Statement,
)
from tradepost.trade.settlement.payouts import store as payout_store
from tradepost.trade.settlement.store import AccountKey


class _Cut:
    """An account while its days are cut: lines, postings and statements to be written at the end."""

    def __init__(self, tx: Tx, key: AccountKey, account: Account, now_ms: int) -> None:
        self.tx, self.key, self.account, self.now_ms = tx, key, account, now_ms
        self.where: Market = market(key[1])
        self.lines: list[Line] = []
        self.postings: list[Transaction] = []
        self.statements: list[Statement] = []

    def add(self, line: Line, kind: TransactionKind, other: str) -> Line:
        """Enter a line of our own, of an open day."""
        accounts = {self.key: self.account}
        placed = place(accounts, [line])[0]
        self.account = accounts[self.key]
        self.lines.append(placed)
        self.postings.append(own_posting(placed, kind, other))
        return placed

    def name(self, day: int, word: str) -> str:
        """The natural id of a line of ours: it can be entered once."""
        return f"{self.key[0]}.{self.key[1]}.{self.key[2]}.{day}.{word}"


def cut(tx: Tx, key: AccountKey, through: int, payout_chance: int, now_ms: int) -> list[Statement]:
    """Cut every day of an account up to `through` that has movements, and pay out what can be paid.

    `payout_chance` brings the random bits of the payout's id. Nothing happens when the days are cut already.
    """
    account = store.lock_accounts(tx, [key])[key]
    work = _Cut(tx, key, account, now_ms)
    through = max(through, account.cut_through)
    days = _days(tx, key, account.cut_through + 1, through)
    later = spent = 0
    for line in store.lines_between(tx, key, through + 1, _FOR_EVER):
        later += line.amount_minor
        spent += min(0, line.amount_minor)  # payouts and refunds since: they are of what is stated
    stated = (
        account.balance_minor - later - sum(line.amount_minor for lines in days.values() for line in lines)
    )
    for day, lines in sorted(days.items()):
        stated = _cut_day(work, day, lines, stated)
    work.account = replace(work.account, cut_through=through)
    stated += spent + _free_reserves(work)
    _pay_out(work, min(stated, work.account.balance_minor), payout_chance)
    _finish(work)
    return work.statements


_FOR_EVER = 10**6


def _days(tx: Tx, key: AccountKey, first: int, last: int) -> dict[int, list[Line]]:
    days: dict[int, list[Line]] = {}
    for line in store.lines_between(tx, key, first, last):
        days.setdefault(line.day, []).append(line)
    return days


def _cut_day(work: _Cut, day: int, lines: Sequence[Line], opening: int) -> int:
    """The statement of one day; its closing balance."""
    own = [*lines, *_withhold(work, day, rules.added(line.components for line in lines))]
    own += _hold_back(work, day, rules.added(line.components for line in own))
    amount = sum(line.amount_minor for line in own)
    components: Components = rules.added(line.components for line in own)
    work.statements.append(
        Statement(
            party_id=work.key[0],
            market=work.key[1],
            currency=work.key[2],
            day=day,
            date=rules.date_of(day),
            opening_minor=opening,
            amount_minor=amount,
            closing_minor=opening + amount,
            lines=len(own),
            cut_at_ms=work.now_ms,
            components=components,
        )
    )
    return opening + amount


def _withhold(work: _Cut, day: int, components: Components) -> list[Line]:
    found = []
    for kind, amount in sorted(rules.withheld_of(work.where, components, day).items()):
        line = own_line(
            work.key,
            work.name(day, f"withholding.{kind}")[:64],
            day,
            work.now_ms,
            LineKind.WITHHOLDING,
            Component.WITHHOLDING,
            -amount,
        )
        found.append(work.add(line, TransactionKind.WITHHOLDING, f"tax:{work.key[1]}.withheld.{kind}"))
    return found


def _hold_back(work: _Cut, day: int, components: Components) -> list[Line]:
    amount = rules.reserve_of(work.where, components)
    if not amount:
        return []
    line = own_line(
        work.key,
        work.name(day, "reserve"),
        day,
        work.now_ms,
        LineKind.RESERVE_HELD,
        Component.RESERVE,
        -amount,
    )
    store.insert_reserve(
        work.tx, work.key, day, amount, rules.end_of(work.where, day) + work.where.settlement.reserve_ms
    )
    work.account = replace(work.account, reserve_minor=work.account.reserve_minor + amount)
    return [work.add(line, TransactionKind.RESERVE, f"reserve:{work.key[0]}")]


def _free_reserves(work: _Cut) -> int:
    """Give free what was held back long enough, as lines of the first open day; how much."""
    freed = [row for row in store.reserves_of(work.tx, work.key) if row[2] <= work.now_ms]
    for day, amount, _ in freed:
        line = own_line(
            work.key,
            work.name(day, "reserve_freed"),
            work.account.cut_through + 1,
            work.now_ms,
            LineKind.RESERVE_FREED,
            Component.RESERVE,
            amount,
        )
        work.add(line, TransactionKind.RESERVE, f"reserve:{work.key[0]}")
        work.account = replace(work.account, reserve_minor=work.account.reserve_minor - amount)
    if freed:
        store.drop_reserves(work.tx, work.key, [row[0] for row in freed])
    return sum(row[1] for row in freed)


def _pay_out(work: _Cut, stated_minor: int, chance: int) -> None:
    """Send what is stated and still there on its way, when it is enough and there is somewhere to send it."""
    amount = rules.payable_now(work.where, stated_minor)
    to = payout_store.find_payout_account(work.tx, work.key[0]) if amount else None
    if to is None or to.blocked:
        return
    payout_id = mint_id(PREFIXES["payout"], gene_of(work.key[0]), work.now_ms, 0, chance)
    line = own_line(
        work.key,
        payout_id,
        work.account.cut_through + 1,
        work.now_ms,
        LineKind.PAYOUT,
        Component.PAYOUT,
        -amount,
    )
    line = replace(line, day=max(line.day, rules.day_of(work.where, work.now_ms)))
    placed = work.add(line, TransactionKind.PAYOUT, BANK_CLEARING)
    payout = Payout(
        payout_id=payout_id,
        party_id=work.key[0],
        market=work.key[1],
        currency=work.key[2],
        amount_minor=amount,
        next_at_ms=work.now_ms,
        version=1,
        requested_at_ms=work.now_ms,
        day=placed.day,
        destination=to.destination,
    )
    payout_store.insert_payouts(work.tx, [payout])
    fact = PayoutRequested(
        payout_id=payout_id, party_id=work.key[0], amount_minor=amount, currency=work.key[2]
    )
    work.tx.emit([record(fact, payout_id, 1, work.now_ms, seller_id=_seller(work.key[0]))])


def _seller(party_id: str) -> str:
    return party_id if party_id.startswith(PREFIXES["seller"] + "_") else ""


def _finish(work: _Cut) -> None:
    """Write what was gathered and when to look again: at the end of the next day that has lines, or at a release."""
    if work.lines:
        store.insert_lines(work.tx, work.lines)
        ledger.append(work.tx, work.postings)
    if work.statements:
        store.insert_statements(work.tx, work.statements)
    moments = [row[2] for row in store.reserves_of(work.tx, work.key)]
    following = store.lines_page(
        work.tx, work.key, work.account.cut_through + 1, _FOR_EVER, (work.account.cut_through, ""), 1
    )
    moments += [rules.end_of(work.where, line.day) + rules.CUT_GRACE_MS for line in following]
    store.save_accounts(work.tx, [replace(work.account, next_at_ms=min(moments, default=0))])
