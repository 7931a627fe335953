"""The sandbox provider's memory where several processes meet it: an outsider has one book, whoever calls.

A small SQLite file of its own, never synced, because a provider's books are not ours to lose. Whoever writes an
account that another process changed since it was read is told to come again, as by a provider that did not answer.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec

from tradepost.infra.payments.sandbox_book import Account, Delivery

BUSY_MS = 2_000
REMEMBERED_MAX = 256
_SCHEMA = """
CREATE TABLE IF NOT EXISTS accounts (payment_id TEXT PRIMARY KEY, version INTEGER NOT NULL, body BLOB NOT NULL)
WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS due (at_ms INTEGER, payment_id TEXT, PRIMARY KEY (at_ms, payment_id)) WITHOUT ROWID;
"""


class Contended(TimeoutError):
    """Another process changed the account meanwhile; what became of the call is to be asked."""


class SharedBook:
    """See `sandbox_book.Book`: the same promises over a file that several processes have open."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute(f"PRAGMA busy_timeout={BUSY_MS}")
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=OFF")
        self._connection.executescript(_SCHEMA)
        self._encode = msgspec.json.Encoder().encode
        self._decode = msgspec.json.Decoder(Account).decode
        self._read: dict[int, tuple[Account, int]] = {}
        """(account, version) by identity, between finding an account and keeping it; the oldest are forgotten."""

    def find(self, payment_id: str) -> Account | None:
        """An account as it is now."""
        rows = self._connection.execute(
            "SELECT version, body FROM accounts WHERE payment_id = ?", (payment_id,)
        ).fetchall()
        if not rows:
            return None
        account = self._decode(rows[0][1])
        self._remember(account, rows[0][0])
        return account

    def _remember(self, account: Account, version: int) -> None:
        self._read.pop(id(account), None)
        self._read[id(account)] = (account, version)
        if len(self._read) > REMEMBERED_MAX:
            del self._read[next(iter(self._read))]

    def keep(self, account: Account) -> None:
        """Remember an account as it is now. Raises Contended when it is no longer the one that was found."""
        version = self._read.get(id(account), (account, 0))[1]
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            self._write(account, version)
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
        self._remember(account, version + 1)

    def _write(self, account: Account, version: int) -> None:
        connection, body = self._connection, self._encode(account)
        if version:
            found = connection.execute(
                "UPDATE accounts SET version = version + 1, body = ? WHERE payment_id = ? AND version = ?",
                (body, account.payment_id, version),
            ).rowcount
        else:
            found = connection.execute(
                "INSERT OR IGNORE INTO accounts (payment_id, version, body) VALUES (?, 1, ?)",
                (account.payment_id, body),
            ).rowcount
        if not found:
            raise Contended(f"{account.payment_id} was changed by another process")
        connection.execute("DELETE FROM due WHERE payment_id = ?", (account.payment_id,))
        connection.executemany(
            "INSERT OR IGNORE INTO due (at_ms, payment_id) VALUES (?, ?)",
            [(delivery.at_ms, account.payment_id) for delivery in account.due],
        )

    def next_due(self, until_ms: int | None) -> tuple[Account, Delivery] | None:
        """The earliest delivery not later than a moment (None: whenever it is), or None."""
        rows = self._connection.execute(
            "SELECT at_ms, payment_id FROM due WHERE ? IS NULL OR at_ms <= ? ORDER BY at_ms LIMIT 1",
            (until_ms, until_ms),
        ).fetchall()
        for at_ms, payment_id in rows:
            account = self.find(payment_id)
            if account is not None:
                for delivery in account.due:
                    if delivery.at_ms == at_ms:
                        return account, delivery
        return None

    def next_moment(self) -> int | None:
        """When something falls due next."""
        moment: int | None = self._connection.execute("SELECT MIN(at_ms) FROM due").fetchone()[0]
        return moment

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
