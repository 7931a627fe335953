"""A copy of a running shop: one moment, whole or not at all, never over something that is there."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tradepost.app import back_up, open_app, restore_from
from tradepost.books import check_books
from tradepost.demo.load import load_demo
from tradepost.infra.storage.backup import copy_database
from tradepost.infra.storage.migrate import upgrade
from tradepost.kernel.errors import Refusal
from tradepost.settings import SECRET_FILE, Settings, load_settings
from tradepost.trade import catalog


def shop_at(folder: Path) -> Settings:
    return load_settings({}, None, {"server.data_dir": str(folder), "storage.writer": "thread"})


def quiet(_left: int, _every: int) -> None:
    """Nobody watches."""


def unseen(_what: str, _done: int) -> None:
    """Nobody watches."""


async def test_a_shop_is_copied_while_it_runs_and_opens_again(tmp_path: Path) -> None:
    running = shop_at(tmp_path / "shop")
    async with open_app(running) as app:
        await load_demo(app.platform.db)
        back_up(running, tmp_path / "copy", unseen)
        before = await catalog.offers_in_market(app.platform.db, "GB", limit=200)
    restored = shop_at(tmp_path / "again")
    await restore_from(restored, tmp_path / "copy", unseen)
    async with open_app(restored) as app:
        after = await catalog.offers_in_market(app.platform.db, "GB", limit=200)
        assert after == before
        assert after.offers
        assert (await app.platform.db.read(0, check_books)).agree
    secret = (tmp_path / "shop" / SECRET_FILE).read_bytes()
    kept = tmp_path / "again" / SECRET_FILE
    assert kept.read_bytes() == secret
    assert kept.stat().st_mode & 0o077 == 0


def test_a_commit_in_the_middle_does_not_tear_the_copy(tmp_path: Path) -> None:
    source, target = tmp_path / "shop.db", tmp_path / "copy.db"
    upgrade(source)
    writing = sqlite3.connect(source, isolation_level=None)
    writing.execute("PRAGMA journal_mode=WAL")  # as a shop that runs
    writing.execute("CREATE TABLE pairs (a BLOB, b INTEGER)")
    writing.executemany("INSERT INTO pairs VALUES (?, 1)", [(b"x" * 4_000,)] * 6_000)

    def meddle(left: int, _every: int) -> None:
        if left:
            writing.execute("UPDATE pairs SET b = b + 1")

    copy_database(source, target, meddle)
    assert sqlite3.connect(target).execute("SELECT COUNT(*), MIN(b), MAX(b) FROM pairs").fetchone() == (
        6_000,
        1,
        1,
    )
    assert writing.execute("SELECT MIN(b) FROM pairs").fetchone()[0] > 1


def test_nothing_is_overwritten_and_nothing_half_done_is_left(tmp_path: Path) -> None:
    source, target = tmp_path / "shop.db", tmp_path / "copy.db"
    upgrade(source)
    target.write_bytes(b"mine")
    with pytest.raises(Refusal, match=r"backup\.target_exists"):
        copy_database(source, target, quiet)
    assert target.read_bytes() == b"mine"

    class Full(Exception):
        pass

    def fill(_left: int, _every: int) -> None:
        raise Full

    with pytest.raises(Full):
        copy_database(source, tmp_path / "other.db", fill)
    assert sorted(path.name for path in tmp_path.iterdir() if "other" in path.name) == []


@pytest.mark.parametrize("content", [None, b"", b"not a database"])
def test_only_a_shop_is_copied(tmp_path: Path, content: bytes | None) -> None:
    source = tmp_path / "shop.db"
    if content is not None:
        source.write_bytes(content)
    with pytest.raises(Refusal, match=r"backup\.not_a_shop"):
        copy_database(source, tmp_path / "copy.db", quiet)
