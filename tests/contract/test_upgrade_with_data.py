"""A shop of the release before, upgraded: every row stays, old requests and quotes mean what they meant."""

from __future__ import annotations

import contextlib
import json
import lzma
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.api.conftest import Client

from tradepost.app import open_app, running
from tradepost.books import check_books
from tradepost.infra.storage.migrate import schema_version, upgrade
from tradepost.infra.storage.migrations import REVISIONS
from tradepost.infra.storage.sqlite_engine import SqliteTx, connect_reader
from tradepost.kernel.world import SystemWorld
from tradepost.settings import DEMO_KEYS, SECRET_FILE, load_settings
from tradepost.surfaces.api import create_asgi
from tradepost.trade import inventory
from tradepost.trade.checkout.tokens import read_quote

DATA = Path(__file__).parent.parent / "data"
KEPT: dict[str, Any] = json.loads((DATA / "shop_0_1_0.json").read_text("utf-8"))
MOVES = {"alembic_version", "relay_cursors", "consumer_positions"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The data folder of a shop of release 0.1.0."""
    with contextlib.closing(sqlite3.connect(tmp_path / "tradepost.db")) as connection:
        connection.executescript(lzma.decompress((DATA / "shop_0_1_0.sql.xz").read_bytes()).decode())
        connection.commit()
    (tmp_path / SECRET_FILE).write_text(KEPT["signed_with"], "utf-8")
    return tmp_path


def rows(folder: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, in a fixed order."""
    with contextlib.closing(sqlite3.connect(folder / "tradepost.db")) as connection:
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            name: sorted(connection.execute(f"SELECT * FROM {name}").fetchall(), key=repr)
            for name in tables
            if name not in MOVES
        }


@pytest.fixture
async def buyer(folder: Path) -> AsyncIterator[Client]:
    """Somebody who asks this release over the old data, with relay and timers at work."""
    settings = load_settings({"DATA_DIR": str(folder), "TRADEPOST_MODE": "demo"}, None, {})
    async with open_app(settings) as app, running(app):
        yield Client(create_asgi(app.platform), DEMO_KEYS["storefront"])


def test_every_row_stays(folder: Path) -> None:
    before = rows(folder)
    assert schema_version(folder / "tradepost.db") == REVISIONS[0]
    assert upgrade(folder / "tradepost.db")
    after = rows(folder)
    assert sum(map(len, before.values())) > 10_000
    for name, held in before.items():
        width = len(held[0]) if held else 0
        assert [row[:width] for row in after[name]] == held, name


async def test_what_was_asked_then_is_answered_as_then(buyer: Client) -> None:
    for ask in KEPT["asks"]:
        reply = await buyer.using(ask["token"]).post("/v1/checkouts", ask["body"].encode(), key=ask["key"])
        assert (reply.status, reply.headers.get("idempotency-replayed")) == (201, "true"), reply.body
        assert reply.json["checkout_id"] == ask["checkout_id"]
        assert [order["order_id"] for order in reply.json["orders"]] == ask["orders"]
        for order_id in ask["orders"]:
            assert (await buyer.get(f"/v1/orders/{order_id}")).status == 200


async def test_new_orders_stand_beside_the_old_ones_and_the_books_agree(buyer: Client, folder: Path) -> None:
    body = json.loads(KEPT["asks"][0]["body"])
    lines = body.get("lines") or [
        {"offer_id": line.offer_id, "quantity": 1} for order in quoted().orders for line in order.lines
    ]
    quote = await buyer.post("/v1/quotes", {"market": "GB", "lines": lines[:1]})
    assert quote.status == 200, quote.body
    wanted = {
        "quote": quote.json["quote"],
        "buyer_id": quote.json["buyer_id"],
        "address": body["address"],
        "email": "new@example.org",
        "payment": {"method": "sandbox_succeeds"},
    }
    placed = await buyer.post("/v1/checkouts", wanted, key="after-the-upgrade")
    assert placed.status == 201, placed.body
    connection = connect_reader(str(folder / "tradepost.db"))
    with contextlib.closing(connection):
        tx = SqliteTx(connection, 0)
        assert not check_books(tx).findings
        assert not inventory.check_stock(tx, SystemWorld().now_ms()).findings


def quoted() -> Any:
    """The quote that the old release signed."""
    return read_quote(KEPT["quote"], KEPT["signed_with"].encode())


def test_a_quote_of_the_release_before_is_read() -> None:
    quote = quoted()
    assert quote.buyer_id == KEPT["buyer_id"]
    assert quote.total_minor > 0
