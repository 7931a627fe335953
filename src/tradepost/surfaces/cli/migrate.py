"""`tradepost migrate`: the schema of this version, before any process of it starts."""

from __future__ import annotations

from pathlib import Path

from tradepost.app import migrate_schema
from tradepost.surfaces.cli.output import console, print_json
from tradepost.surfaces.cli.profile import read_settings


def migrate(
    *,
    profile: str | None = None,
    config: Path | None = None,
    data_dir: str | None = None,
    json: bool = False,
) -> None:
    """Create or upgrade the schema of the shop's database. Running it again, or several at once, is safe.

    It only adds, so processes of the version before go on beside it.

    Parameters
    ----------
    profile
        embedded or production.
    config
        A TOML file of settings.
    data_dir
        Folder of the database.
    json
        Print JSON instead of a sentence.
    """
    settings = read_settings(config, profile=profile, overrides={"server.data_dir": data_dir})
    done = migrate_schema(settings)
    if json:
        print_json(done)
    elif done.changed:
        console.print(
            f"The schema was brought from {done.before or 'nothing'} to {done.after}.", highlight=False
        )
    else:
        console.print(f"The schema is at {done.after}; there was nothing to do.", highlight=False)
