"""Moving a shop from its file to servers: every row, equal by digest, refused where it could not be."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tradepost.app import database_path, move_shop, open_app
from tradepost.demo.load import load_demo
from tradepost.infra.storage import moving
from tradepost.infra.storage.migrate import upgrade
from tradepost.infra.storage.moving import Digest, prove, read_page, shelves
from tradepost.infra.storage.sqlite import SqliteStorage
from tradepost.infra.storage.sqlite_reader import SqliteReader
from tradepost.kernel.errors import Refusal
from tradepost.settings import Settings, load_settings
from tradepost.trade import catalog


def shop_at(folder: Path, **more: str) -> Settings:
    given = {"server.data_dir": str(folder), "storage.writer": "thread", **more}
    return load_settings({}, None, given)


def quiet(_table: str, _rows: int) -> None:
    """Nobody watches."""


@pytest.fixture
async def shop(tmp_path: Path) -> Settings:
    """The demo shop in a file, closed."""
    settings = shop_at(tmp_path / "shop")
    async with open_app(settings) as app:
        await load_demo(app.platform.db)
    return settings


@pytest.fixture
async def target(tmp_path: Path) -> AsyncIterator[SqliteStorage]:
    """An empty database to move into."""
    upgrade(tmp_path / "target.db")
    storage = SqliteStorage(tmp_path / "target.db")
    yield storage
    await storage.close()


@pytest.mark.server("mariadb")
async def test_a_shop_moves_to_a_server_and_sells_there(
    shop: Settings, mysql_url: str, tmp_path: Path
) -> None:
    reports = {one.table: one for one in await move_shop(shop, mysql_url, quiet)}
    assert all(one.equal for one in reports.values())
    assert reports["offers"].rows > 500
    async with open_app(shop) as app:
        before = await catalog.offers_in_market(app.platform.db, "GB", limit=200)
    moved = shop_at(tmp_path / "moved", **{"storage.url": mysql_url})
    async with open_app(moved) as app:
        assert await catalog.offers_in_market(app.platform.db, "GB", limit=200) == before
    with pytest.raises(Refusal, match=r"move\.target_not_empty"):
        await move_shop(shop, mysql_url, quiet)


async def test_pages_cover_every_row_once(shop: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    source = SqliteReader(database_path(shop))
    for shelf in shelves(time_first=True):
        whole = source.read(0, read_page, shelf, None, 1_000_000)
        found, after = [], None
        while rows := source.read(0, read_page, shelf, after, 7):
            found += rows
            after = shelf.key_of(rows[-1])
        assert found == whole, shelf.name
    source.close()


async def test_a_difference_is_found(shop: Settings, target: SqliteStorage) -> None:
    source = SqliteReader(database_path(shop))
    reports = await moving.move(source, target, quiet)
    digests = {one.table: Digest(one.rows, int(one.digest, 16)) for one in reports}
    await target.transact(0, _spoil)
    with pytest.raises(Refusal, match=r"move\.differs.*offers"):
        await prove(target, digests, quiet)
    source.close()


def _spoil(tx: sqlite3.Connection) -> None:
    tx.execute("UPDATE offers SET version = version + 1 WHERE offer_id = (SELECT MIN(offer_id) FROM offers)")


async def test_what_is_on_the_way_does_not_move_over_several_shards(
    shop: Settings, target: SqliteStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sqlite3.connect(database_path(shop)) as file:
        file.execute(
            "INSERT INTO inbox (gene, consumer, event_id, state, at_ms) VALUES (1, 'c', 'e', 'OWED', 1)"
        )
    file.close()
    source = SqliteReader(database_path(shop))
    monkeypatch.setattr(target, "shards", 1)
    assert source.read(0, moving._unsettled) == 1
    with pytest.raises(Refusal, match=r"move\.not_settled"):
        moving._refuse_unsettled(source, 2)
    source.close()
