"""`tradepost backup` and `tradepost restore`: a copy of a running shop, and a shop from a copy."""

from __future__ import annotations

from pathlib import Path

from rich.progress import Progress

from tradepost.app import Reader, back_up, open_reader, restore_from
from tradepost.books import check_books
from tradepost.kernel.world import SystemWorld
from tradepost.settings import Settings, load_settings
from tradepost.surfaces.cli.output import FAILED, console, errors, print_facts, print_json
from tradepost.surfaces.cli.serve import read_settings
from tradepost.trade import inventory


def backup(to: Path, *, data_dir: str | None = None, config: Path | None = None, json: bool = False) -> None:
    """Copy the shop of a SQLite file while it runs, and prove the copy's books and stock.

    The copy is a folder of its own that `serve --data-dir` opens, with the signing secret beside the database:
    keep it as you keep the shop. A shop on servers is backed up by its database's own tools (see the how-to).

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
    with Progress(console=errors, transient=True) as shown:
        bar = shown.add_task("copying", total=None)
        back_up(settings, to, lambda left, every: shown.update(bar, total=every, completed=every - left))
    _tell(to, as_json=json, title="The copy")


def restore(source: Path, *, data_dir: str | None = None, json: bool = False) -> None:
    """Make a shop from a copy, in a folder where there is none yet, and prove its books and stock.

    Parameters
    ----------
    source
        A folder that `tradepost backup` has written.
    data_dir
        Folder of the shop to make.
    json
        Print JSON instead of a table.
    """
    settings = read_settings(None, overrides={"server.data_dir": data_dir})
    with Progress(console=errors, transient=True) as shown:
        bar = shown.add_task("copying", total=None)
        restore_from(
            settings, source, lambda left, every: shown.update(bar, total=every, completed=every - left)
        )
    _tell(Path(settings.server.data_dir), as_json=json, title="The shop")


def _tell(folder: Path, *, as_json: bool, title: str) -> None:
    settings: Settings = load_settings({}, None, {"server.data_dir": str(folder)})
    reader: Reader = open_reader(settings)
    try:
        books = reader.read(0, check_books)
        stock = reader.read(0, inventory.check_stock, SystemWorld().now_ms())
    finally:
        reader.close()
    facts = {
        "folder": str(folder),
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
