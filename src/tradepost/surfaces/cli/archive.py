"""`tradepost archive`: old orders leave the database for files."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from pathlib import Path

import msgspec
import uvloop

from tradepost.app import archive_shop, database_path
from tradepost.kernel.errors import Refusal
from tradepost.kernel.world import SystemWorld
from tradepost.settings import Settings
from tradepost.surfaces.cli.output import errors, moment, print_facts, print_json
from tradepost.surfaces.cli.progress import bar
from tradepost.surfaces.cli.serve import read_settings

DAY_MS = 86_400_000


def archive(
    *,
    to: Path,
    before: str = "",
    data_dir: str | None = None,
    config: Path | None = None,
    json: bool = False,
) -> None:
    """Move finished orders to which nothing happened since a day into compressed JSON lines, and delete them here.

    With an order go its checkout, payment, refunds, packages, returns, journal and timeline. What leaves is written,
    synced and read back first; a closing row in the journal keeps every balance. Killed anywhere, the same command
    goes on. Stop the server of a shop on one file first; a shop on servers may run. What is younger than two days
    stays in any case: its quote might be placed once more.

    Parameters
    ----------
    to
        The folder of the archive: a new one, or one that holds earlier archivings of this shop.
    before
        The day (UTC) as 2026-01-31; left out, it is retention.orders_days before now.
    data_dir
        Folder of the database.
    config
        A TOML file of settings.
    json
        Print JSON instead of a table.
    """
    settings = read_settings(config, overrides={"server.data_dir": data_dir})
    now_ms = SystemWorld().now_ms()
    before_ms = _limit(before, settings, now_ms)
    if not settings.storage.url and not database_path(settings).exists():
        raise Refusal("storage.not_found", f"{database_path(settings)} does not exist.", field="data_dir")
    with bar("archiving", remaining=True) as show:
        report = uvloop.run(
            archive_shop(
                settings,
                to,
                before_ms,
                now_ms,
                lambda done, total: show(completed=done, total=total),
            )
        )
    if json:
        print_json(report)
        return
    facts = msgspec.structs.asdict(report)
    print_facts("Archived", {name.replace("_", " "): value for name, value in facts.items()})
    errors.print(f"Nothing happened since {moment(report.before_ms)} to what left.")


def _limit(before: str, settings: Settings, now_ms: int) -> int:
    days = settings.retention.orders_days
    if not before and days:
        return now_ms - days * DAY_MS
    try:
        day = date.fromisoformat(before)
    except ValueError:
        raise _invalid(f"{before[:40]!r} is no day.") from None
    limit_ms = int(datetime.combine(day, time(), UTC).timestamp()) * 1000
    if not 0 < limit_ms < now_ms:
        raise _invalid(f"{before} is not past.")
    return limit_ms


def _invalid(detail: str) -> Refusal:
    return Refusal("archive.date_invalid", detail, field="--before", expected="a past day as 2026-01-31")
