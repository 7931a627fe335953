"""The only SQL of settlement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import Row, Tx
from tradepost.trade.settlement.model import (
    Account,
    Components,
    Expected,
    Line,
    Statement,
)
from tradepost.trade.settlement.rules import date_of

PAGE_ROWS = 2_000
AccountKey = tuple[str, str, str]
"""(party, market, currency)."""

_ACCOUNT = "party_id, market, currency, balance_minor, reserve_minor, cut_through, next_at_ms, line_count"
_LINE = "party_id, line_id, market, currency, day, at_ms, kind, order_id, amount_minor, body"
_STATEMENT = (
    "party_id, market, currency, day, opening_minor, amount_minor, closing_minor, line_count, cut_at_ms, body"
)
LINES_OF_DAYS = (
    f"SELECT {_LINE} FROM settlement_lines WHERE gene = ? AND party_id = ? AND market = ? AND currency = ?"
    " AND day >= ? AND day <= ? AND (day > ? OR line_id > ?) ORDER BY day, line_id LIMIT ?"
)


class _LineBody(msgspec.Struct, frozen=True, omit_defaults=True):
    components: Components
    note: str = ""


_encode = msgspec.json.Encoder().encode
_line_body = msgspec.json.Decoder(_LineBody).decode
_components = msgspec.json.Decoder(Components).decode


def put_expected(tx: Tx, rows: Sequence[tuple[str, str, str, str, int, int, int]]) -> None:
    """(party, order, market, currency, amount, due at, version): what is known newer stays."""
    keys = [(gene_of(row[0]), row[0], row[1]) for row in rows]
    known = {
        (row[0], row[1])
        for row in tx.query_keys(
            "SELECT party_id, order_id FROM settlement_expected WHERE {keys}",
            ("gene", "party_id", "order_id"),
            keys,
        )
    }
    fresh = [row for row in rows if (row[0], row[1]) not in known]
    tx.execute_many(
        "INSERT INTO settlement_expected"
        " (gene, party_id, order_id, market, currency, amount_minor, due_at_ms, version) VALUES (?,?,?,?,?,?,?,?)",
        [(gene_of(row[0]), *row) for row in fresh],
    )
    tx.execute_many(
        "UPDATE settlement_expected SET amount_minor = ?, due_at_ms = ?, version = ?"
        " WHERE gene = ? AND party_id = ? AND order_id = ? AND version < ?",
        [
            (row[4], row[5], row[6], gene_of(row[0]), row[0], row[1], row[6])
            for row in rows
            if (row[0], row[1]) in known
        ],
    )


def drop_expected(tx: Tx, pairs: Sequence[tuple[str, str]]) -> None:
    """Forget (party, order) pairs that are due now."""
    tx.execute_many(
        "DELETE FROM settlement_expected WHERE gene = ? AND party_id = ? AND order_id = ?",
        [(gene_of(party_id), party_id, order_id) for party_id, order_id in pairs],
    )


def list_expected(tx: Tx, party_id: str, after: str, limit: int) -> list[Expected]:
    """What a party may expect, in order of order id."""
    rows = tx.query(
        "SELECT order_id, market, currency, amount_minor, due_at_ms FROM settlement_expected"
        " WHERE gene = ? AND party_id = ? AND order_id > ? ORDER BY order_id LIMIT ?",
        (gene_of(party_id), party_id, after, limit),
    )
    return [
        Expected(order_id=row[0], market=row[1], currency=row[2], amount_minor=row[3], due_at_ms=row[4])
        for row in rows
    ]


def sum_expected(tx: Tx, party_id: str) -> list[Row]:
    """(market, currency, orders, minor units) a party may expect."""
    return tx.query(
        "SELECT market, currency, COUNT(*), SUM(amount_minor) FROM settlement_expected"
        " WHERE gene = ? AND party_id = ? GROUP BY market, currency",
        (gene_of(party_id), party_id),
    )


def lock_accounts(tx: Tx, keys: Sequence[AccountKey]) -> dict[AccountKey, Account]:
    """The accounts of these keys, locked; those that were not there are opened."""
    wanted = list(dict.fromkeys(keys))
    found = _accounts(tx, wanted)
    missing = [key for key in wanted if key not in found]
    if missing:
        tx.execute_many(
            f"INSERT INTO settlement_accounts (gene, {_ACCOUNT}) VALUES (?,?,?,?,0,0,0,0,0)",
            [(gene_of(key[0]), *key) for key in missing],
        )
        found |= {key: Account(party_id=key[0], market=key[1], currency=key[2]) for key in missing}
    return found


def _accounts(tx: Tx, keys: Sequence[AccountKey]) -> dict[AccountKey, Account]:
    rows = tx.query_keys(
        f"SELECT {_ACCOUNT} FROM settlement_accounts WHERE {{keys}}",
        ("gene", "party_id", "market", "currency"),
        [(gene_of(key[0]), *key) for key in keys],
        lock=True,
    )
    return {(row[0], row[1], row[2]): _account(row) for row in rows}


def _account(row: Row) -> Account:
    return Account(
        party_id=row[0],
        market=row[1],
        currency=row[2],
        balance_minor=row[3],
        reserve_minor=row[4],
        cut_through=row[5],
        next_at_ms=row[6],
        lines=row[7],
    )


def save_accounts(tx: Tx, accounts: Sequence[Account]) -> None:
    """Write locked accounts back."""
    tx.execute_many(
        "UPDATE settlement_accounts SET balance_minor = ?, reserve_minor = ?, cut_through = ?, next_at_ms = ?,"
        " line_count = ? WHERE gene = ? AND party_id = ? AND market = ? AND currency = ?",
        [
            (
                *(a.balance_minor, a.reserve_minor, a.cut_through, a.next_at_ms, a.lines),
                *(gene_of(a.party_id), a.party_id, a.market, a.currency),
            )
            for a in accounts
        ],
    )


def due_accounts(tx: Tx, now_ms: int, limit: int) -> list[Account]:
    """Accounts that have to be looked at, longest first."""
    rows = tx.query(
        f"SELECT {_ACCOUNT} FROM settlement_accounts WHERE next_at_ms > 0 AND next_at_ms <= ?"
        " ORDER BY next_at_ms LIMIT ?",
        (now_ms, limit),
    )
    return [_account(row) for row in rows]


def postpone_account(tx: Tx, key: AccountKey, now_ms: int, until_ms: int) -> None:
    """Look at an account that is due again later; one that is not due any more is left alone."""
    tx.execute(
        "UPDATE settlement_accounts SET next_at_ms = ? WHERE gene = ? AND party_id = ? AND market = ?"
        " AND currency = ? AND next_at_ms > 0 AND next_at_ms <= ?",
        (until_ms, gene_of(key[0]), *key, now_ms),
    )


def wake_accounts(tx: Tx, party_id: str, at_ms: int) -> None:
    """Let a party's accounts be looked at now."""
    tx.execute(
        "UPDATE settlement_accounts SET next_at_ms = ? WHERE gene = ? AND party_id = ?",
        (at_ms, gene_of(party_id), party_id),
    )


def accounts_of(tx: Tx, party_id: str) -> list[Account]:
    """A party's accounts."""
    rows = tx.query(
        f"SELECT {_ACCOUNT} FROM settlement_accounts WHERE gene = ? AND party_id = ? ORDER BY market, currency",
        (gene_of(party_id), party_id),
    )
    return [_account(row) for row in rows]


def all_accounts(tx: Tx) -> Iterator[Account]:
    """Every account of this shard in order of its key."""
    gene, after = -1, ("", "", "")
    while True:
        rows = tx.query(
            f"SELECT gene, {_ACCOUNT} FROM settlement_accounts WHERE gene >= ? AND (gene > ? OR party_id > ?"
            " OR (party_id = ? AND (market > ? OR (market = ? AND currency > ?))))"
            " ORDER BY gene, party_id, market, currency LIMIT ?",
            (gene, gene, after[0], after[0], after[1], after[1], after[2], PAGE_ROWS),
        )
        yield from (_account(row[1:]) for row in rows)
        if len(rows) < PAGE_ROWS:
            return
        gene, after = rows[-1][0], (rows[-1][1], rows[-1][2], rows[-1][3])


def insert_lines(tx: Tx, lines: Sequence[Line]) -> None:
    """Append lines. Raises Taken when one is there."""
    tx.execute_many(
        f"INSERT INTO settlement_lines (gene, {_LINE}) VALUES (?,?,?,?,?,?,?,?,?,?,?)",
        [
            (
                *(gene_of(line.party_id), line.party_id, line.line_id, line.market, line.currency, line.day),
                *(line.at_ms, line.kind, line.order_id, line.amount_minor),
                _encode(_LineBody(line.components, line.note)),
            )
            for line in lines
        ],
    )


def known_lines(tx: Tx, keys: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those of the (party, line id) pairs that are there."""
    rows = tx.query_keys(
        "SELECT party_id, line_id FROM settlement_lines WHERE {keys}",
        ("gene", "party_id", "line_id"),
        [(gene_of(party_id), party_id, line_id) for party_id, line_id in keys],
    )
    return {(row[0], row[1]) for row in rows}


def _line(row: Row) -> Line:
    body = _line_body(row[9])
    return Line(
        party_id=row[0],
        line_id=row[1],
        market=row[2],
        currency=row[3],
        day=row[4],
        at_ms=row[5],
        kind=row[6],
        order_id=row[7],
        amount_minor=row[8],
        components=body.components,
        note=body.note,
    )


def lines_page(
    tx: Tx, key: AccountKey, first: int, last: int, after: tuple[int, str], limit: int
) -> list[Line]:
    """Lines of an account from one day to another, behind a (day, line id), in that order."""
    day = max(first, after[0])
    rows = tx.query(LINES_OF_DAYS, (gene_of(key[0]), *key, day, last, after[0], after[1], limit))
    return [_line(row) for row in rows]


def lines_between(tx: Tx, key: AccountKey, first: int, last: int) -> Iterator[Line]:
    """All lines of an account from one day to another, some thousands in memory at a time."""
    after = (first - 1, "")
    while True:
        page = lines_page(tx, key, first, last, after, PAGE_ROWS)
        yield from page
        if len(page) < PAGE_ROWS:
            return
        after = (page[-1].day, page[-1].line_id)


def insert_statements(tx: Tx, statements: Sequence[Statement]) -> None:
    """Append statements. Raises Taken when a day is cut already."""
    tx.execute_many(
        f"INSERT INTO statements (gene, {_STATEMENT}) VALUES (?,?,?,?,?,?,?,?,?,?,?)",
        [
            (
                *(gene_of(s.party_id), s.party_id, s.market, s.currency, s.day, s.opening_minor),
                *(s.amount_minor, s.closing_minor, s.lines, s.cut_at_ms, _encode(s.components)),
            )
            for s in statements
        ],
    )


def _statement(row: Row) -> Statement:
    return Statement(
        party_id=row[0],
        market=row[1],
        currency=row[2],
        day=row[3],
        date=date_of(row[3]),
        opening_minor=row[4],
        amount_minor=row[5],
        closing_minor=row[6],
        lines=row[7],
        cut_at_ms=row[8],
        components=_components(row[9]),
    )


def statements_of(tx: Tx, party_id: str, before_day: int, limit: int) -> list[Statement]:
    """A party's statements before a day, newest first."""
    rows = tx.query(
        f"SELECT {_STATEMENT} FROM statements WHERE gene = ? AND party_id = ? AND day < ?"
        " ORDER BY day DESC, market, currency LIMIT ?",
        (gene_of(party_id), party_id, before_day, limit),
    )
    return [_statement(row) for row in rows]


def statements_between(tx: Tx, key: AccountKey, first: int, last: int) -> list[Statement]:
    """Statements of an account from one day to another, oldest first."""
    rows = tx.query(
        f"SELECT {_STATEMENT} FROM statements WHERE gene = ? AND party_id = ? AND market = ? AND currency = ?"
        " AND day >= ? AND day <= ? ORDER BY day",
        (gene_of(key[0]), *key, first, last),
    )
    return [_statement(row) for row in rows]


def insert_reserve(tx: Tx, key: AccountKey, day: int, amount_minor: int, release_at_ms: int) -> None:
    """Remember what is held back of a day."""
    tx.execute(
        "INSERT INTO settlement_reserves (gene, party_id, market, currency, day, amount_minor, release_at_ms)"
        " VALUES (?,?,?,?,?,?,?)",
        (gene_of(key[0]), *key, day, amount_minor, release_at_ms),
    )


def reserves_of(tx: Tx, key: AccountKey) -> list[Row]:
    """(day, amount, release at) of what is held back on an account, oldest first."""
    return tx.query(
        "SELECT day, amount_minor, release_at_ms FROM settlement_reserves"
        " WHERE gene = ? AND party_id = ? AND market = ? AND currency = ? ORDER BY day",
        (gene_of(key[0]), *key),
    )


def drop_reserves(tx: Tx, key: AccountKey, days: Sequence[int]) -> None:
    """Forget what was given free."""
    tx.execute_many(
        "DELETE FROM settlement_reserves WHERE gene = ? AND party_id = ? AND market = ? AND currency = ? AND day = ?",
        [(gene_of(key[0]), *key, day) for day in days],
    )
