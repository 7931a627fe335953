"""Schema revisions, oldest first. A downgrade is not offered: restore the backup instead.

A revision only adds (expand), so processes of the release before work on beside it. One that takes something away
(contract) carries a floor behind a dot, `0009.0006`: whoever does not know revision 0006 must not work on it. Later
revisions carry it on. See docs/how-to/upgrade-without-stopping.md; a test reads every revision.
"""

REVISIONS: tuple[str, ...] = (
    "0001",
    "0002",
    "0003",
    "0004",
    "0005",
    "0006",
    "0007",
    "0008",
    "0009",
    "0010",
    "0011",
    "0012",
    "0013",
)
"""Kept by `tools/new_migration.py`, so that a start need not load Alembic to know that a file is current."""


def floor_of(revision: str) -> str:
    """The oldest revision one has to know to work on a schema of this one."""
    return revision.partition(".")[2] or REVISIONS[0]


def bears(revision: str) -> bool:
    """Whether processes of this version may work on a schema: their own, or a newer one whose floor they know."""
    if revision in REVISIONS:
        return revision == REVISIONS[-1]
    return bool(revision) and floor_of(revision) in REVISIONS
