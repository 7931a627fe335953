"""Column types as the revisions name them. Frozen: a change here would change history, so add, never alter."""

from __future__ import annotations

from sqlalchemy import LargeBinary, String
from sqlalchemy.dialects import mysql


def text(length: int) -> String:
    """Text compared byte by byte on both engines."""
    kind = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    return String(length).with_variant(kind, "mysql", "mariadb")


IDENT = String(64).with_variant(mysql.VARCHAR(64, charset="ascii", collation="ascii_bin"), "mysql", "mariadb")
BLOB = LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")
