"""`tradepost backup` and `tradepost restore`: a copy of a running shop, and a shop from a copy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import uvloop
from rich.progress import Progress as Bars

from tradepost.app import back_up, open_reader, restore_from
from tradepost.books import check_books, merge_books
from tradepost.kernel.world import SystemWorld
from tradepost.settings import Settings, load_settings
from tradepost.surfaces.cli.ledger import check_all_stock
from tradepost.surfaces.cli.output import FAILED, console, errors, print_facts, print_json
from tradepost.surfaces.cli.serve import read_settings
from tradepost.trade import inventory

_Advance = Callable[[str, int], None]


def backup(to: Path, *, data_dir: str | None = None, config: Path | None = None, json: bool = False) -> None:
    """Copy a shop while it runs, and prove the copy's books and stock.

    The copy is a folder of its own that `serve --data-dir` opens, with the signing secret beside the database:
    keep it as you keep the shop. A shop on a MySQL server is copied as it was at one moment, row by row; one on
    several shards is refused (see the how-to).

    Parameters
    ----------
    to
        A folder that does not exist yet.
    data_dir
        Folder of the shop.
    config
        A TOML file of settings.
    json
        Print JSON instead of a table.
    """
    settings = read_settings(config, overrides={"server.data_dir": data_dir})
    with _bar() as advance:
        back_up(settings, to, advance)
    copy = load_settings({}, None, {"server.data_dir": str(to)})
    _tell(copy, where=str(to), as_json=json, title="The copy")


def restore(
    source: Path, *, data_dir: str | None = None, config: Path | None = None, json: bool = False
) -> None:
    """Make a shop from a copy where there is none yet, and prove its books and stock.

    With an address in the settings (`storage.url`) the rows go into that empty database, equal by a digest for each
    table; without one the copy becomes the file of the folder.

    Parameters
    ----------
    source
        A folder that `tradepost backup` has written.
    data_dir
        Folder of the shop to make.
    config
        A TOML file of settings.
    json
        Print JSON instead of a table.
    """
    settings = read_settings(config, overrides={"server.data_dir": data_dir})
    with _bar() as advance:
        uvloop.run(restore_from(settings, source, advance))
    where = "the database" if settings.storage.url else str(settings.server.data_dir)
    _tell(settings, where=where, as_json=json, title="The shop")


@contextmanager
def _bar() -> Iterator[_Advance]:
    with Bars(console=errors, transient=True) as shown:
        bar = shown.add_task("copying", total=None)
        yield lambda what, done: shown.update(bar, advance=done, description=what)


def _tell(settings: Settings, *, where: str, as_json: bool, title: str) -> None:
    reader, now_ms = open_reader(settings), SystemWorld().now_ms()
    try:
        shards = range(reader.shards)
        books = merge_books([reader.read(shard, check_books) for shard in shards])
        stock = inventory.merge_reports(check_all_stock(reader, now_ms))
    finally:
        reader.close()
    facts = {
        "folder": where,
        "orders": books.orders,
        "payments": books.payments,
        "ledger transactions": books.transactions,
        "books agree": books.agree,
        "stock units": stock.units,
        "stock conserved": stock.conserved,
    }
    if as_json:
        print_json(facts)
    else:
        print_facts(title, facts)
    if not (books.agree and stock.conserved):
        console.print("The books or the stock disagree: see `tradepost ledger check` on that folder.")
        raise SystemExit(FAILED)
