"""`tradepost migrate-data`: from one file to a database of servers."""

from __future__ import annotations

from pathlib import Path

import uvloop

from tradepost.app import database_path, move_shop, rows_of
from tradepost.surfaces.cli.output import console, print_json, print_table
from tradepost.surfaces.cli.progress import bar
from tradepost.surfaces.cli.serve import read_settings


def migrate_data(
    to: str,
    *,
    resume: bool = False,
    data_dir: str | None = None,
    config: Path | None = None,
    json: bool = False,
) -> None:
    """Copy the shop of a SQLite file into an empty MySQL database or Vitess keyspace, and prove that both are equal.

    Stop `serve` and `work` first. The file is not changed: until you switch over you can go back to it.

    Parameters
    ----------
    to
        mysql://user:password@host:port/database or vitess://user:password@host:port/keyspace.
    resume
        Go on with a move that was interrupted: what the target holds is compared first, then gets the rest.
    data_dir
        Folder of the SQLite file.
    config
        A TOML file of settings.
    json
        Print JSON instead of a table.
    """
    settings = read_settings(config, overrides={"server.data_dir": data_dir})
    rows = 2 * rows_of(database_path(settings))  # each is copied once and read back once
    with bar("copying and comparing", rows, remaining=True) as show:

        def advance(table: str, rows: int) -> None:
            show(advance=rows, description=table)

        reports = uvloop.run(move_shop(settings, to, advance, resume=resume))
    if json:
        print_json({"equal": True, "tables": reports})
        return
    print_table(
        "Moved and equal",
        ("table", "rows", "digest"),
        [(one.table, one.rows, one.digest) for one in reports if one.rows],
    )
    console.print(
        "Now start with TRADEPOST_STORAGE__URL set to the target; keep the file until you are sure."
    )
