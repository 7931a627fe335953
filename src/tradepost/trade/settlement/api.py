"""What others may ask of settlement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.kernel.tx import Tx
from tradepost.trade.settlement import rules, store
from tradepost.trade.settlement.due import store as due_store
from tradepost.trade.settlement.model import (
    Account,
    Components,
    Expected,
    Line,
    Payout,
    PayoutAccount,
    Statement,
)
from tradepost.trade.settlement.payouts import store as payout_store
from tradepost.trade.settlement.store import AccountKey

FOR_EVER = 10**6


class Unsettled(msgspec.Struct, frozen=True, kw_only=True):
    """What is delivered and not due yet, in one market and currency."""

    market: str
    currency: str
    orders: int
    amount_minor: int


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """A party's money: what it is to be paid, what is held back, what is on its way to being due."""

    party_id: str
    accounts: tuple[Account, ...]
    unsettled: tuple[Unsettled, ...]
    payout_account: PayoutAccount | None


def overview(tx: Tx, party_id: str) -> Overview:
    """A party's money on one page."""
    return Overview(
        party_id=party_id,
        accounts=tuple(store.accounts_of(tx, party_id)),
        unsettled=tuple(
            Unsettled(market=row[0], currency=row[1], orders=int(row[2]), amount_minor=int(row[3]))
            for row in store.sum_expected(tx, party_id)
        ),
        payout_account=payout_store.find_payout_account(tx, party_id),
    )


def list_expected(tx: Tx, party_id: str, after: str = "", limit: int = 50) -> list[Expected]:
    """Orders whose money is not due yet, in order of id."""
    return store.list_expected(tx, party_id, after, limit)


def list_statements(tx: Tx, party_id: str, before_day: int = FOR_EVER, limit: int = 50) -> list[Statement]:
    """A party's statements, newest first."""
    return store.statements_of(tx, party_id, before_day, limit)


def get_statement(tx: Tx, key: AccountKey, day: int) -> Statement:
    """One statement. Raises Refusal `settlement.statement_not_found`."""
    found = store.statements_between(tx, key, day, day)
    if not found:
        raise Refusal(
            "settlement.statement_not_found",
            f"There is no statement of {rules.date_of(day)} in {key[1]} {key[2]}.",
            field="day",
        )
    return found[0]


def list_lines(tx: Tx, key: AccountKey, day: int, after: str = "", limit: int = 200) -> list[Line]:
    """Lines of a day, cut or not, in order of line id."""
    return store.lines_page(tx, key, day, day, (day, after), limit)


def open_lines(tx: Tx, key: AccountKey, limit: int = 200) -> list[Line]:
    """Movements since the last statement, oldest first."""
    accounts = [each for each in store.accounts_of(tx, key[0]) if (each.market, each.currency) == key[1:]]
    first = accounts[0].cut_through + 1 if accounts else 0
    return store.lines_page(tx, key, first, FOR_EVER, (first - 1, ""), limit)


def lines_between(tx: Tx, key: AccountKey, first: int, last: int) -> Iterator[Line]:
    """All lines of an account from one day to another."""
    return store.lines_between(tx, key, first, last)


def statements_between(tx: Tx, key: AccountKey, first: int, last: int) -> list[Statement]:
    """All statements of an account from one day to another."""
    return store.statements_between(tx, key, first, last)


def list_payouts(tx: Tx, party_id: str, before: str = "", limit: int = 50) -> list[Payout]:
    """A party's payouts, newest first."""
    return payout_store.payouts_of(tx, party_id, before, limit)


def find_payout(tx: Tx, payout_id: str) -> Payout:
    """One payout. Raises Refusal `settlement.payout_not_found`."""
    return payout_store.find_payout(tx, payout_id)


def all_payouts(tx: Tx) -> Iterator[Payout]:
    """Every payout of this shard."""
    return payout_store.all_payouts(tx)


def overdue(tx: Tx, before_ms: int) -> list[tuple[str, int]]:
    """(order, due at) of what was due before a moment and has not moved, longest first, 10,000 at most."""
    return due_store.overdue(tx, before_ms)


def all_accounts(tx: Tx) -> Iterator[Account]:
    """Every account of this shard."""
    return store.all_accounts(tx)


def sum_components(lines: Sequence[Line]) -> Components:
    """Several lines' components together."""
    return rules.added(line.components for line in lines)
