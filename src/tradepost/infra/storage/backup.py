"""A copy of a SQLite shop while it runs, and a shop from such a copy."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from tradepost.infra.storage.migrate import schema_version
from tradepost.kernel.errors import Kind, Refusal, declare_problems

PAGES_A_STEP = 2_048
Progress = Callable[[int, int], None]
"""Told (pages still to copy, pages in all) after each step."""

declare_problems(
    {
        "backup.target_exists": (
            Kind.CONFLICT,
            "Something is there already",
            "Name a file or folder that does not exist yet; nothing is ever overwritten.",
        ),
        "backup.not_a_shop": (
            Kind.INVALID,
            "Not the copy of a shop",
            "Give a file that `tradepost backup` has written.",
        ),
    }
)


def copy_database(source: Path, target: Path, progress: Progress) -> None:
    """Write what was committed at one moment to a new file, synced before it gets its name.

    Writers go on meanwhile. Raises Refusal `backup.target_exists` and `backup.not_a_shop`.
    """
    if target.exists():
        raise Refusal("backup.target_exists", f"{target} exists.", field=str(target))
    if not source.exists() or not _is_shop(source):
        raise Refusal("backup.not_a_shop", f"{source} is no shop.", field=str(source))
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{target.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    try:
        with (
            contextlib.closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as reading,
            contextlib.closing(sqlite3.connect(unfinished)) as writing,
        ):
            reading.execute("BEGIN")  # one moment: without it each step would start anew after a commit
            reading.execute("SELECT 1 FROM alembic_version").fetchall()
            reading.backup(writing, pages=PAGES_A_STEP, progress=lambda _, left, every: progress(left, every))
            reading.execute("ROLLBACK")
        _sync(unfinished)
        unfinished.rename(target)
        _sync(target.parent)
    finally:
        unfinished.unlink(missing_ok=True)


def _is_shop(path: Path) -> bool:
    try:
        return bool(schema_version(path))
    except sqlite3.DatabaseError:
        return False


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
