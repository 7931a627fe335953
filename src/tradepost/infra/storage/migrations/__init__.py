"""Schema revisions, oldest first. A downgrade is not offered: restore the backup instead."""

REVISIONS: tuple[str, ...] = ("0001",)
"""Kept by `tools/new_migration.py`, so that a start need not load Alembic to know that a file is current."""
