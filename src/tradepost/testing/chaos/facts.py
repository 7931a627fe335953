"""Everything that is committed, read past the shop's links: each shard at one moment, then put together."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import msgspec

from tradepost.books import check_books
from tradepost.infra.payments.sandbox_book import Account
from tradepost.infra.storage.opening import open_reader
from tradepost.kernel.tx import Tx
from tradepost.kernel.world import SystemWorld
from tradepost.testing.simulation import store
from tradepost.testing.simulation.audit import needed_stock
from tradepost.testing.torture import proof, rows
from tradepost.testing.torture.rows import OrderRow, PaymentRow
from tradepost.trade import inventory, ledger, orders

_decode_account = msgspec.json.Decoder(Account).decode


class Facts(msgspec.Struct, kw_only=True):
    """What lies on the shards. `waiting` is what still has to be done, by kind."""

    waiting: dict[str, int] = {}
    dead_letters: list[str] = []
    orders: list[OrderRow] = []
    versions: dict[str, int] = {}
    listed: dict[str, tuple[str, str, int]] = {}
    payments: dict[str, PaymentRow] = {}
    kept: dict[str, int] = {}
    holds: dict[tuple[str, str], tuple[int, int]] = {}
    wanted: dict[tuple[str, str], int] = {}
    sold: dict[str, int] = {}
    broken_logs: list[str] = []
    books: list[str] = []
    stock: list[str] = []
    audited: int = 0
    units: int = 0
    balanced: bool = True


def read_facts(url: str) -> Facts:
    """Everything. Raises Refusal `storage.unavailable` while the database does not answer."""
    whole = Facts()
    with contextlib.closing(open_reader(url)) as reader:
        reports = []
        for shard in range(reader.shards):
            part, report = reader.read(shard, _facts_of)
            reports.append(report)
            _add(whole, part)
    whole.balanced = ledger.merge_reports(reports).balanced
    return whole


def read_waiting(url: str, provider_book: Path) -> dict[str, int]:
    """What is still under way, by kind; empty when everything has come to rest."""
    left: dict[str, int] = {}
    with contextlib.closing(open_reader(url)) as reader:
        for shard in range(reader.shards):
            for kind, count in reader.read(shard, rows.waiting).items():
                left[kind] = left.get(kind, 0) + count
        states: dict[str, int] = {}
        shown: dict[str, int] = {}
        for shard in range(reader.shards):
            states |= reader.read(shard, _order_versions)
            shown |= {key: seen[2] for key, seen in reader.read(shard, store.listed_orders).items()}
    behind = sum(shown.get(order_id) != version for order_id, version in states.items())
    due = sum(len(account.due) for account in provider_accounts(provider_book).values())
    late = {"orders that sellers see otherwise": behind, "webhooks to come": due}
    return left | {kind: count for kind, count in late.items() if count}


def provider_accounts(book: Path) -> dict[str, Account]:
    """What the sandbox provider has on file where several processes share it, by payment."""
    if not book.exists():
        return {}
    with contextlib.closing(sqlite3.connect(book, timeout=10)) as connection:
        found = connection.execute("SELECT body FROM accounts").fetchall()
    return {account.payment_id: account for account in (_decode_account(row[0]) for row in found)}


def _order_versions(tx: Tx) -> dict[str, int]:
    return {key: version for key, version in rows.versions(tx).items() if key.startswith("ord_")}


def _facts_of(tx: Tx) -> tuple[Facts, ledger.LedgerReport]:
    found = rows.all_orders(tx)
    order_ids = [one.order_id for one in found]
    books = check_books(tx)
    stock = inventory.check_stock(tx, SystemWorld().now_ms())
    facts = Facts(
        waiting=rows.waiting(tx),
        dead_letters=rows.dead_letters(tx),
        orders=found,
        versions=rows.versions(tx),
        listed=store.listed_orders(tx),
        payments=rows.all_payments(tx),
        kept=rows.answers_by_key(tx),
        holds=rows.open_holds(tx),
        wanted=proof.wanted_holds(tx, order_ids),
        sold=_sold(tx, order_ids),
        broken_logs=rows.broken_logs(tx),
        books=[f"{one.kind} {one.subject}: {one.detail}" for one in books.findings],
        stock=[f"{one.kind} {one.subject}: {one.detail}" for one in stock.findings],
        audited=books.orders + books.payments,
        units=stock.units,
    )
    return facts, ledger.check_ledger(tx)


def _sold(tx: Tx, order_ids: list[str]) -> dict[str, int]:
    sold: dict[str, int] = {}
    for order in orders.orders_by_ids(tx, order_ids):
        for sku_id, pieces in needed_stock(order).items():
            sold[sku_id] = sold.get(sku_id, 0) + pieces
    return sold


def _add(whole: Facts, part: Facts) -> None:
    for name in ("dead_letters", "orders", "broken_logs", "books", "stock"):
        setattr(whole, name, [*getattr(whole, name), *getattr(part, name)])
    for name in ("versions", "listed", "payments", "holds", "wanted"):
        setattr(whole, name, {**getattr(whole, name), **getattr(part, name)})
    for name in ("waiting", "kept", "sold"):
        for key, count in getattr(part, name).items():
            getattr(whole, name)[key] = getattr(whole, name).get(key, 0) + count
    whole.audited += part.audited
    whole.units += part.units
