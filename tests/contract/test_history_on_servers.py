"""A real shop's history on every database: the same report, moved, backed up, archived, looked at over all shards."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.history_shop import (
    DATA,
    FINISHED_MS,
    PART,
    balances_of,
    books_of,
    copied,
    make_shop,
    replay,
    settings_of,
    stock_of,
)
from tests.mariadb_server import fresh_database, run

from tradepost.app import DATABASE_FILE, back_up, move_shop, open_reader, restore_from
from tradepost.archive import archive, open_folder
from tradepost.books import check_books
from tradepost.books import store as books_store
from tradepost.infra.storage import moving, snapshot
from tradepost.infra.storage.opening import OpenStorage, open_storage
from tradepost.infra.storage.sqlite_reader import SqliteReader
from tradepost.kernel.errors import Refusal
from tradepost.settings import Settings
from tradepost.surfaces.cli import __main__ as cli

LATE_MS = 1_291_900_000_000 + FINISHED_MS
WHOLE_MONTH = DATA / "online_retail_2010_12.csv.xz"
SERVERS = ("mariadb", "vitess")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The small history in a file."""
    return make_shop(tmp_path_factory.mktemp("history") / "shop")


@pytest.fixture(params=SERVERS)
def url(request: pytest.FixtureRequest) -> str:
    """An empty database on each kind of server."""
    name = {"mariadb": "mysql_url", "vitess": "vitess_url"}[request.param]
    return str(request.getfixturevalue(name))


def opened(url: str) -> OpenStorage:
    return open_storage(url, writer="thread", group_max=64, writers=2)


def quiet(_what: str, _rows: int) -> None:
    """Nobody watches."""


async def digests(url: str) -> dict[str, moving.Digest]:
    """What every table of a database comes to, over its shards."""
    found = {}
    db = opened(url)
    for shelf in moving.shelves(time_first=False):
        digest = found[shelf.name] = moving.Digest()
        for shard in range(db.shards):
            rows = await db.read(shard, moving.read_page, shelf, None, 100_000)
            digest.add(rows)
    await db.close()
    return found


async def prove(url: str, settings: Settings) -> None:
    """Money and stock in a database are those of the file."""
    source, db = SqliteReader(Path(settings.server.data_dir) / DATABASE_FILE), opened(url)
    books = await books_of(db)
    assert books == source.read(0, check_books)
    assert books.agree
    assert books.refunded
    assert (await stock_of(db, LATE_MS)).conserved
    source.close()
    await db.close()


async def test_a_history_gives_the_same_report_on_servers(url: str, tmp_path: Path) -> None:
    wanted = await replay(settings_of(tmp_path / "file"), PART)
    assert wanted["returns_accepted"] == 126
    assert (wanted["gross_minor"], wanted["refund_minor"]) == (6_318_830, 302_901)
    assert await replay(settings_of(tmp_path / "server", url), PART) == wanted


@pytest.mark.long
@pytest.mark.timeout(1_800)
async def test_a_month_gives_the_same_report_on_servers(url: str, tmp_path: Path) -> None:
    report = await replay(settings_of(tmp_path / "server", url), WHOLE_MONTH)
    assert report["gross_minor"] == report["captured_minor"] == report["ledger_captured_minor"] == 82_374_614
    assert report["refund_minor"] == report["ledger_refunded_minor"] == 814_942
    returns = ("returns_accepted", "returns_partial", "returns_refused")
    assert [report[name] for name in returns] == [299, 2, 427]
    assert report == await replay(settings_of(tmp_path / "file"), WHOLE_MONTH)


async def test_a_shop_with_a_past_moves_and_is_proved(made: Settings, url: str, tmp_path: Path) -> None:
    shop = copied(made, tmp_path / "shop")
    reports = {one.table: one for one in await move_shop(shop, url, quiet)}
    assert all(one.equal for one in reports.values())
    assert all(
        reports[name].rows for name in ("orders", "payments", "refunds", "returns", "journal", "events")
    )
    await prove(url, shop)
    for again in (False, True):
        expected = pytest.raises(Refusal, match=r"move\.target_not_empty") if not again else None
        if expected:
            with expected:
                await move_shop(shop, url, quiet)
        else:
            assert {one.table: one for one in await move_shop(shop, url, quiet, resume=True)} == reports


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from tradepost.app import move_shop
from tradepost.infra.storage import moving
from tradepost.infra.storage.mysql import MysqlStorage
from tests.history_shop import settings_of
moving.PAGE_ROWS = 40
left = int(sys.argv[3])
real = MysqlStorage.transact
def transact(self, *args):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(self, *args)
MysqlStorage.transact = transact
asyncio.run(move_shop(settings_of(Path(sys.argv[1])), sys.argv[2], lambda *_: None))
"""


@pytest.mark.parametrize("at", [1, 9, 25])
async def test_a_move_killed_in_the_middle_goes_on(at: int, made: Settings, url: str, tmp_path: Path) -> None:
    shop = copied(made, tmp_path / "shop")
    words = [sys.executable, "-c", KILLED, shop.server.data_dir, url, str(at)]
    done = await asyncio.to_thread(
        subprocess.run, words, capture_output=True, text=True, timeout=120, check=False, cwd=DATA.parents[1]
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    if at > 1:
        with pytest.raises(Refusal, match=r"move\.target_not_empty"):
            await move_shop(shop, url, quiet)
    assert all(one.equal for one in await move_shop(shop, url, quiet, resume=True))
    await prove(url, shop)


async def test_going_on_is_refused_where_somebody_else_lives(
    made: Settings, url: str, tmp_path: Path
) -> None:
    other = copied(made, tmp_path / "other")
    await move_shop(other, url, quiet)
    db = opened(url)
    await db.transact(0, _stranger)
    await db.close()
    before = await digests(url)
    with pytest.raises(Refusal, match=r"move\.target_not_empty"):
        await move_shop(other, url, quiet, resume=True)
    assert await digests(url) == before, "nothing was written"


def _stranger(tx: Any) -> None:
    tx.execute("UPDATE consumer_positions SET sequence = sequence + 1 WHERE shard = ?", (tx.shard,))


def command(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes], *words: str
) -> tuple[int, str]:
    """(exit code, output) of a command run in this process."""
    monkeypatch.setattr(sys, "argv", ["tradepost", *words])
    code = 0
    try:
        cli.main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    return code, capfdbinary.readouterr().out.decode()


@pytest.mark.filterwarnings("ignore:Cyclopts application invoked without tokens")
def test_commands_look_at_every_shard(
    made: Settings,
    url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    shop = copied(made, tmp_path / "shop")
    asyncio.run(move_shop(shop, url, quiet))
    monkeypatch.setenv("TRADEPOST_STORAGE__URL", url)
    reader = open_reader(settings_of(tmp_path / "none", url))
    spread = [reader.read(shard, check_books).orders for shard in range(reader.shards)]
    assert sum(spread) == 6
    code, text = command(monkeypatch, capfdbinary, "ledger", "check", "--json")
    report = json.loads(text)["report"]
    assert (code, report["orders"], report["captured"]) == (0, 6, {"GBP": 5659})
    code, text = command(monkeypatch, capfdbinary, "ledger", "check", "--stock", "--json")
    source = SqliteReader(Path(shop.server.data_dir) / DATABASE_FILE)
    assert (code, json.loads(text)["report"]["on_hand"]) == (0, 18)
    orders = source.read(0, lambda tx: [row[0] for row in tx.query("SELECT order_id FROM orders")])
    events = source.read(0, lambda tx: tx.query("SELECT COUNT(*) FROM events")[0][0])
    source.close()
    for order_id in orders:
        code, text = command(monkeypatch, capfdbinary, "order", "show", order_id, "--json")
        assert (code, json.loads(text)["order"]["order_id"]) == (0, order_id)
    target = tmp_path / "events.jsonl"
    assert command(monkeypatch, capfdbinary, "export", "events", "--out", str(target))[0] == 0
    lines = [json.loads(line) for line in target.read_text("utf-8").splitlines()]
    assert len({line["id"] for line in lines}) == len(lines) == events
    assert {line["shard"] for line in lines} <= set(range(reader.shards))
    _spoil_one_on_the_last_shard(url, reader.shards)
    code, text = command(monkeypatch, capfdbinary, "ledger", "check", "--json")
    assert (code, json.loads(text)["agree"]) == (1, False), "a fault on any shard is found"
    reader.close()


def _spoil_one_on_the_last_shard(url: str, shards: int) -> None:
    async def spoil() -> None:
        db = opened(url)
        found = [shard for shard in range(shards) if (await db.read(shard, check_books)).payments]
        await db.transact(found[-1], _add_a_penny)
        await db.close()

    asyncio.run(spoil())


def _add_a_penny(tx: Any) -> None:
    [(gene, payment_id)] = tx.query("SELECT gene, payment_id FROM payments ORDER BY payment_id LIMIT 1")
    sql = "UPDATE payments SET captured_minor = captured_minor + 1 WHERE gene = ? AND payment_id = ?"
    assert tx.execute(sql, (gene, payment_id))


async def test_a_shop_on_a_server_is_backed_up_lost_and_restored(
    made: Settings, mysql_url: str, mariadb: str, tmp_path: Path
) -> None:
    """The drill of docs/how-to/back-up-and-restore.md."""
    shop = copied(made, tmp_path / "shop")
    await move_shop(shop, mysql_url, quiet)
    serving = settings_of(Path(shop.server.data_dir), mysql_url)
    before = await digests(mysql_url)

    def meddle(_table: str, _rows: int) -> None:
        run(mysql_url, "UPDATE journal SET at_ms = at_ms + 1")

    await asyncio.to_thread(back_up, serving, tmp_path / "copy", meddle)
    assert await digests(mysql_url) != before, "writers went on"
    again = fresh_database(mariadb, "tradepost_restored")
    await restore_from(settings_of(tmp_path / "again", again), tmp_path / "copy", quiet)
    assert await digests(again) == before, "one moment"
    await prove(again, shop)
    assert (tmp_path / "again" / "signing-secret").read_bytes() == (
        Path(shop.server.data_dir) / "signing-secret"
    ).read_bytes()
    with pytest.raises(Refusal, match=r"move\.target_not_empty"):
        await restore_from(settings_of(tmp_path / "again", again), tmp_path / "copy", quiet)
    on_file = settings_of(tmp_path / "file")
    await restore_from(on_file, tmp_path / "copy", quiet)
    await prove(again, on_file)
    with pytest.raises(Refusal, match=r"backup\.target_exists"):
        back_up(serving, tmp_path / "copy", quiet)
    with pytest.raises(Refusal, match=r"backup\.not_a_shop"):
        await restore_from(serving, tmp_path / "nothing", quiet)
    run(mariadb, "DROP DATABASE tradepost_restored")


async def test_what_cannot_be_backed_up_is_refused(
    made: Settings,
    mariadb: str,
    mysql_url: str,
    vitess_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(Refusal, match=r"backup\.sharded"):
        back_up(settings_of(tmp_path, vitess_url), tmp_path / "copy", quiet)
    blank = fresh_database(mariadb, "tradepost_blank")
    with pytest.raises(Refusal, match=r"backup\.schema_old"):
        back_up(settings_of(tmp_path, blank), tmp_path / "copy", quiet)
    run(mariadb, "DROP DATABASE tradepost_blank")
    await move_shop(copied(made, tmp_path / "shop"), mysql_url, quiet)
    monkeypatch.setattr(snapshot, "write_rows", lambda *_: None)
    with pytest.raises(Refusal, match=r"backup\.differs"):
        await asyncio.to_thread(back_up, settings_of(tmp_path, mysql_url), tmp_path / "copy", quiet)
    assert list((tmp_path / "copy").iterdir()) == [], "nothing half done is left"


async def test_old_orders_leave_every_shard_and_the_books_agree(
    made: Settings, url: str, tmp_path: Path
) -> None:
    await move_shop(copied(made, tmp_path / "shop"), url, quiet)
    db = opened(url)
    before = await balances_of(db)
    with open_folder(tmp_path / "archive") as folder:
        report = await archive(db, folder, LATE_MS, 2 * LATE_MS, lambda *_: None)
        assert folder.unfinished() == []
    assert report.checkouts >= 2
    assert report.checkouts + sum(report.kept.values()) == 6
    assert set(report.kept) <= {"not_relayed"}
    books = await books_of(db)
    assert books.agree, books.findings
    assert books.orders == 6 - report.checkouts
    assert await balances_of(db) == before
    assert (await stock_of(db, LATE_MS)).conserved
    listed = sum([await db.read(shard, _listed) for shard in range(db.shards)])
    assert listed == books.orders, "sellers' lists forget them too"
    await db.close()


def _listed(tx: Any) -> int:
    number: int = tx.query("SELECT COUNT(*) FROM seller_orders")[0][0]
    return number


async def test_the_auditor_pages_by_the_key_without_sorting(
    made: Settings, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = copied(made, tmp_path / "shop")
    await move_shop(shop, url, quiet)
    monkeypatch.setattr(books_store, "PAGE", 2)
    monkeypatch.setattr("tradepost.trade.ledger.store.PAGE_ROWS", 3)
    await prove(url, shop)
    if url.startswith("mysql://"):
        for sql in (books_store.ORDERS_BY_GENE, books_store.PAYMENTS_BY_GENE):
            asked = sql.replace("LIMIT ?", "LIMIT 2").replace("id > ?", "id > ''").replace("?", "3")
            plan = run(url, f"EXPLAIN {asked}")
            assert all("filesort" not in str(step) for step in plan), plan
