"""The archive: what leaves and what stays, the books before and after, and a crash at every line."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.history_shop import FINISHED_MS, balances_of, books_of, copied, make_shop, stock_of

from tradepost.app import database_path
from tradepost.archive import ArchiveReport, archive, files, open_folder, rules, run, store
from tradepost.archive.files import from_line, to_line
from tradepost.archive.model import Record
from tradepost.infra.storage.migrate import load_tables
from tradepost.infra.storage.sqlite import SqliteStorage
from tradepost.infra.storage.tables.columns import METADATA
from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import GENES
from tradepost.kernel.tx import Tx
from tradepost.settings import CheckoutSettings, Settings, load_settings
from tradepost.surfaces.cli import __main__ as cli

LATE_MS = 1_291_900_000_000 + FINISHED_MS
EMPTY = ("orders", "checkouts", "payments", "refunds", "returns", "packages", "fulfilments", "seller_orders")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return make_shop(tmp_path_factory.mktemp("archive") / "shop")


@pytest.fixture
def shop(made: Settings, tmp_path: Path) -> Settings:
    return copied(made, tmp_path / "shop")


def quiet(_done: int, _total: int) -> None:
    """Nobody watches."""


async def archived(
    settings: Settings, to: Path, before_ms: int = LATE_MS, now_ms: int = 2 * LATE_MS
) -> ArchiveReport:
    db = SqliteStorage(database_path(settings))
    try:
        with open_folder(to) as folder:
            return await archive(db, folder, before_ms, now_ms, quiet)
    finally:
        await db.close()


def count(tx: Tx, table: str) -> int:
    return int(tx.query(f"SELECT COUNT(*) FROM {table}")[0][0])


def dump(tx: Tx) -> dict[str, list[Any]]:
    return {table: sorted(tx.query(f"SELECT * FROM {table}")) for table in (*EMPTY, "events", "journal")}


async def looked_at(settings: Settings, query: Callable[..., Any], *args: Any) -> Any:
    db = SqliteStorage(database_path(settings))
    try:
        return await db.read(0, query, *args)
    finally:
        await db.close()


def records_in(folder: Path) -> list[Record]:
    """Every record of an archive, in order of its files."""
    found = []
    for file in sorted(folder.glob("part-*.jsonl.gz")):
        found += [from_line(line) for line in gzip.decompress(file.read_bytes()).splitlines()]
    return found


def test_every_column_of_what_leaves_is_known() -> None:
    load_tables()
    for table, columns in store.COLUMNS.items():
        defined = METADATA.tables[table]
        assert columns == tuple(column.name for column in defined.columns), table
        assert store.KEYS[table] == tuple(column.name for column in defined.primary_key.columns), table
        blobs = {c.name for c in defined.columns if "BLOB" in str(c.type) or "BINARY" in str(c.type).upper()}
        assert blobs <= store.BLOBS, table


async def test_what_is_finished_leaves_and_every_balance_stays(shop: Settings, tmp_path: Path) -> None:
    db = SqliteStorage(database_path(shop))
    before, stock = await balances_of(db), await stock_of(db, LATE_MS)
    newest = (await db.read(0, store.relayed))[1]
    await db.close()
    report = await archived(shop, tmp_path / "archive")
    assert (report.checkouts, report.kept) == (5, {"not_relayed": 1}), "the newest event numbers the stream"
    db = SqliteStorage(database_path(shop))
    try:
        books = await books_of(db)
        assert books.agree, books.findings
        assert books.orders == 1
        assert await balances_of(db) == before
        assert (await stock_of(db, LATE_MS)).conserved
        assert (await stock_of(db, LATE_MS)).on_hand == stock.on_hand
        assert (await db.read(0, store.relayed))[1] == newest
        for table in EMPTY[:2]:
            assert await db.read(0, count, table) == 1, table
    finally:
        await db.close()


async def test_a_line_tells_everything_in_words_and_comes_back_byte_by_byte(
    shop: Settings, tmp_path: Path
) -> None:
    names, _ = await looked_at(shop, store.page, store.START, GENES - 1, LATE_MS)
    before = {record.checkout_id: record for record in names}
    await archived(shop, tmp_path / "archive")
    found = records_in(tmp_path / "archive")
    assert len(found) == 5
    for record in found:
        assert record.digest() == before[record.checkout_id].digest()
        assert json.loads(to_line(record))["rows"]["orders"][0]["body"]["lines"]
    rows: dict[str, list[dict[str, Any]]] = {"orders": [{"body": b"", "progress": b"{\n}", "state": "a"}]}
    odd = Record(checkout_id="c", buyer_id="b", gene=1, rows=rows)
    assert from_line(to_line(odd).rstrip(b"\n")) == odd


async def test_what_is_young_or_open_stays(shop: Settings, tmp_path: Path) -> None:
    young = await archived(shop, tmp_path / "young", before_ms=1_000)
    assert (young.checkouts, young.kept) == (0, {})
    db = SqliteStorage(database_path(shop))
    found, _ = await db.read(0, store.page, store.START, GENES - 1, LATE_MS)
    await db.close()
    third = next(record for record in found if record.rows["refunds"])
    second = next(record for record in found if record.rows["payments"] and record is not third)
    first, fourth, *_ = [record for record in found if record not in (second, third)]
    await changed(shop, "UPDATE orders SET state = 'DELIVERED' WHERE checkout_id = ?", first.checkout_id)
    await changed(shop, "UPDATE payments SET ask_at_ms = 5 WHERE checkout_id = ?", second.checkout_id)
    await changed(
        shop, "UPDATE refunds SET state = 'REFUSED' WHERE order_id = ?", third.rows["orders"][0]["order_id"]
    )
    event = fourth.rows["events"][0]
    await changed(
        shop,
        "INSERT INTO deliveries (gene, consumer, aggregate_id, version, state, attempts, next_at_ms, at_ms)"
        " VALUES (1, 'c', ?, 1, 'DEAD', 1, 1, 1)",
        event["aggregate_id"],
        gene=event["gene"],
    )
    report = await archived(shop, tmp_path / "archive")
    expected = {"orders_open": 1, "payment_open": 1, "refund_open": 1, "delivery_waits": 1}
    assert {reason: report.kept.get(reason) for reason in expected} == expected
    nothing = await archived(shop, tmp_path / "window", now_ms=1_291_900_000_000 + run.QUOTE_LIFE_MAX_MS)
    assert nothing.kept.get("returnable", 0) + nothing.kept.get("orders_open", 0) >= 1


async def changed(settings: Settings, sql: str, name: str, gene: int | None = None) -> None:
    db = SqliteStorage(database_path(settings))
    await db.transact(0, _change, sql.replace("VALUES (1,", f"VALUES ({gene},"), name)
    await db.close()


def _change(tx: Tx, sql: str, name: str) -> None:
    assert tx.execute(sql, (name,))


async def test_what_changed_after_it_was_written_stays(
    shop: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A return comes in between the file and the deletion."""
    db = SqliteStorage(database_path(shop))
    real = files.Folder.write

    def write(self: files.Folder, records: Any, facts: Any) -> Any:
        touched.append(records[0].checkout_id)
        return real(self, records, facts)

    touched: list[str] = []
    monkeypatch.setattr(files.Folder, "write", write)
    transact = db.transact

    async def meddling(shard: int, work: Any, *args: Any) -> Any:
        if work is run.remove and touched:
            sql = "UPDATE orders SET version = version + 1 WHERE checkout_id = ?"
            await transact(0, _change, sql, touched.pop())
        return await transact(shard, work, *args)

    monkeypatch.setattr(db, "transact", meddling)
    with open_folder(tmp_path / "archive") as folder:
        report = await archive(db, folder, LATE_MS, 2 * LATE_MS, quiet)
        [done] = folder.done.values()
    assert report.kept["changed_meanwhile"] == 1
    assert report.checkouts == 4
    assert len(done.stayed) == 1
    assert (await books_of(db)).agree
    await db.close()


class Killed(BaseException):
    """As kill -9: nothing after it runs, and nobody catches it."""


class Fuse:
    """Breaks at the n-th thing done to disk or database: before it, or after it when `late`."""

    def __init__(self, at: int, *, late: bool) -> None:
        self.left = at
        self.late = late

    def around(self, act: Callable[..., Any]) -> Callable[..., Any]:
        def acting(*args: Any, **kwargs: Any) -> Any:
            self.left -= 1
            if self.left < 0:
                raise Killed
            if self.left == 0 and not self.late:
                raise Killed
            done = act(*args, **kwargs)
            if self.left == 0:
                raise Killed
            return done

        return acting

    def around_async(self, act: Callable[..., Any]) -> Callable[..., Any]:
        async def acting(*args: Any, **kwargs: Any) -> Any:
            self.left -= 1
            if self.left < 0 or (self.left == 0 and not self.late):
                raise Killed
            done = await act(*args, **kwargs)
            if self.left == 0:
                raise Killed
            return done

        return acting


async def run_with(fuse: Fuse, settings: Settings, to: Path, monkeypatch: pytest.MonkeyPatch) -> bool:
    """One archiving with a fuse; whether it got to its end."""
    db = SqliteStorage(database_path(settings))
    try:
        with monkeypatch.context() as patched:
            patched.setattr(db, "transact", fuse.around_async(db.transact))
            patched.setattr(os, "fsync", fuse.around(os.fsync))
            patched.setattr(Path, "rename", fuse.around(Path.rename))
            patched.setattr(Path, "unlink", fuse.around(Path.unlink))
            with open_folder(to) as folder:
                await archive(db, folder, LATE_MS, 2 * LATE_MS, quiet)
    except Killed:
        return False
    finally:
        await db.close()
    return True


@pytest.mark.parametrize("late", [False, True])
async def test_killed_anywhere_it_goes_on_and_ends_the_same(
    late: bool, made: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "PART_CHECKOUTS", 1)
    monkeypatch.setattr(run.store, "PAGE", 2)
    monkeypatch.setattr(run, "SLICE_ROWS", 20)
    whole = copied(made, tmp_path / "whole")
    await archived(whole, tmp_path / "archive")
    wanted = {record.checkout_id: record.digest() for record in records_in(tmp_path / "archive")}
    left = without_closings(await looked_at(whole, dump))
    crashes = 0
    for at in range(1, 1_000):
        settings, to = copied(made, tmp_path / f"shop-{at}"), tmp_path / f"archive-{at}"
        if await run_with(Fuse(at, late=late), settings, to, monkeypatch):
            break
        crashes += 1
        db = SqliteStorage(database_path(settings))
        assert (await books_of(db)).agree, at
        balances = await balances_of(db)
        await db.close()
        await archived(settings, to)
        assert {record.checkout_id: record.digest() for record in records_in(to)} == wanted, at
        assert without_closings(await looked_at(settings, dump)) == left, at
        db = SqliteStorage(database_path(settings))
        assert (await books_of(db)).agree, at
        assert await balances_of(db) == balances, at
        await db.close()
        with open_folder(to) as folder:
            assert folder.unfinished() == []
    assert crashes > 20, "a crash at every step"


def without_closings(tables: dict[str, list[Any]]) -> dict[str, list[Any]]:
    return tables | {"journal": [row for row in tables["journal"] if "closing" not in row]}


async def test_a_torn_manifest_and_orphans_are_put_right(shop: Settings, tmp_path: Path) -> None:
    to = tmp_path / "archive"
    to.mkdir()
    (to / "manifest.jsonl").write_bytes(b'{"kind":"part","num')
    (to / "part-000007.jsonl.gz").write_bytes(b"orphan")
    (to / ".part-000008.jsonl.gz.unfinished").write_bytes(b"half")
    await archived(shop, to)
    found = sorted(path.name for path in to.iterdir())
    assert found[:3] == [".lock", "manifest.jsonl", "part-000001.jsonl.gz"]
    assert [name.startswith("part-000007.jsonl.gz.") and name.endswith(".orphan") for name in found[3:]] == [
        True
    ]
    kinds = [msgspec.json.decode(line)["kind"] for line in (to / "manifest.jsonl").read_bytes().splitlines()]
    assert kinds == ["part", "done"]


async def test_a_damaged_part_deletes_nothing(
    shop: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    to = tmp_path / "archive"

    def stop(*_: Any) -> Any:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(run, "slices", stop)
        with pytest.raises(Killed):
            await archived(shop, to)
    [part] = to.glob("part-*.gz")
    part.write_bytes(part.read_bytes()[:-20])
    before = await looked_at(shop, dump)
    with pytest.raises(Refusal, match=r"archive\.damaged"):
        await archived(shop, to)
    assert await looked_at(shop, dump) == before
    (to / "manifest.jsonl").write_bytes(b"rubbish\n")
    with pytest.raises(Refusal, match=r"archive\.damaged"):
        await archived(shop, to)


def test_a_folder_has_one_writer(tmp_path: Path) -> None:
    with (
        open_folder(tmp_path / "archive"),
        pytest.raises(Refusal, match=r"archive\.in_use"),
        open_folder(tmp_path / "archive"),
    ):
        raise AssertionError("never entered")


KILLED = """
import os, signal, sys
from pathlib import Path
left = int(sys.argv.pop())
real = os.fsync
def fsync(descriptor):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    real(descriptor)
os.fsync = fsync
from tradepost.surfaces.cli.__main__ import main
main()
"""


@pytest.mark.parametrize("at", [2, 4])
def test_the_command_killed_for_good_goes_on(at: int, shop: Settings, tmp_path: Path, capfd: Any) -> None:
    words = ["archive", "--before", "2015-01-31", "--to", str(tmp_path / "archive"), "--json"]
    words += ["--data-dir", shop.server.data_dir]
    script = [sys.executable, "-c", KILLED, *words]
    killed = subprocess.run([*script, str(at)], capture_output=True, timeout=120, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    done = subprocess.run([*script, "0"], capture_output=True, timeout=120, check=True)
    report = json.loads(done.stdout)
    assert (report["checkouts"], report["kept"]) == (5, {"not_relayed": 1})
    assert report["resumed"] == (1 if at == 4 else 0), "the part was in the manifest"


@pytest.mark.filterwarnings("ignore:Cyclopts application invoked without tokens")
@pytest.mark.parametrize("words", ["--before never", "--before 3015-01-31", ""])
def test_a_limit_that_is_none_is_refused(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["tradepost", "archive", "--to", str(tmp_path / "to"), *words.split()])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 3
    assert "archive.date_invalid" in capfd.readouterr().err


@pytest.mark.filterwarnings("ignore:Cyclopts application invoked without tokens")
def test_the_setting_is_the_limit_where_none_is_given(
    shop: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRADEPOST_RETENTION__ORDERS_DAYS", "365")
    words = ["--to", str(tmp_path / "to"), "--data-dir", shop.server.data_dir, "--json"]
    monkeypatch.setattr(sys, "argv", ["tradepost", "archive", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    assert json.loads(capfd.readouterr().out)["checkouts"] == 5


async def test_a_checkout_stays_as_long_as_its_quote_may_live(shop: Settings, tmp_path: Path) -> None:
    """Else its quote, placed once more, would find nothing in its way."""
    found, _ = await looked_at(shop, store.page, store.START, GENES - 1, LATE_MS)
    newest_ms = max(rules.last_touched_ms(record.rows) for record in found)
    early = newest_ms + run.QUOTE_LIFE_MAX_MS
    report = await archived(shop, tmp_path / "early", before_ms=early, now_ms=early)
    assert report.before_ms == newest_ms
    assert report.kept.get("young", 0) + report.kept.get("not_relayed", 0) >= 1
    late = await archived(shop, tmp_path / "late", before_ms=2 * LATE_MS, now_ms=2 * LATE_MS)
    assert late.before_ms == 2 * LATE_MS - run.QUOTE_LIFE_MAX_MS


def test_no_quote_outlives_what_the_archive_leaves_alone() -> None:
    CheckoutSettings(quote_ttl_ms=run.QUOTE_LIFE_MAX_MS // 2)
    with pytest.raises(Refusal, match="quote_ttl_ms"):
        load_settings({}, None, {"checkout.quote_ttl_ms": str(run.QUOTE_LIFE_MAX_MS // 2 + 1)})


def show(capsysbinary: pytest.CaptureFixture[bytes], *words: str) -> Any:
    """What `tradepost order show` says."""
    cli.app(["order", "show", *words, "--json"], result_action="return_value")
    return json.loads(capsysbinary.readouterr().out)


def test_an_archived_order_is_shown_as_it_was(
    shop: Settings, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    folder, to = shop.server.data_dir, tmp_path / "archive"
    found, _ = asyncio.run(looked_at(shop, store.page, store.START, GENES - 1, LATE_MS))
    ids = [row["order_id"] for record in found for row in record.rows["orders"]]
    before = {order_id: show(capsysbinary, order_id, "--data-dir", folder) for order_id in ids}
    asyncio.run(archived(shop, to))
    after = {}
    for order_id in ids:
        with contextlib.suppress(Refusal):  # the newest event keeps one in the database
            after[order_id] = show(capsysbinary, order_id, "--archive", str(to))
    assert len(after) == len(ids) - 1
    assert after == {order_id: before[order_id] for order_id in after}
    assert any(facts["returns"] for facts in after.values())
    assert any(facts["payment"] for facts in after.values())
    assert all(facts["timeline"] for facts in after.values())
    with pytest.raises(Refusal, match=r"archive\.order_unknown"):
        show(capsysbinary, ids[0], "--archive", str(tmp_path))
    [part] = to.glob("part-*.gz")
    part.write_bytes(part.read_bytes()[:-20])
    with pytest.raises(Refusal, match=r"archive\.damaged"):
        show(capsysbinary, ids[0], "--archive", str(to))
