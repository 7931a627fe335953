"""The column types every table shares, valid on SQLite and MySQL alike."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, MetaData, PrimaryKeyConstraint, String
from sqlalchemy.dialects import mysql
from sqlalchemy.ext.compiler import compiles

METADATA = MetaData()
TIME_FIRST = frozenset({"orders", "payments", "events", "holds", "journal", "movements"})
"""Tables whose ids sort by time: one SQLite file keeps their keys in that order (docs/adr/0018)."""


@compiles(PrimaryKeyConstraint, "sqlite")
def _order_key(constraint: PrimaryKeyConstraint, compiler: Any, **options: Any) -> str:
    """Gene first everywhere, but last in a file that never shards: new rows then lie together, not on 256 pages."""
    text: str = compiler.visit_primary_key_constraint(constraint, **options)
    if constraint.table is not None and constraint.table.name in TIME_FIRST:
        text = re.sub(r"\(gene, ([^)]*)\)", r"(\1, gene)", text)
    return text


def text(
    name: str, length: int, *, primary_key: bool = False, nullable: bool = False, default: str | None = None
) -> Column[str]:
    """Text compared byte by byte, so `a` and `A` differ on both engines."""
    kind = String(length).with_variant(
        mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb"
    )
    return Column(name, kind, primary_key=primary_key, nullable=nullable, server_default=default)


def ident(
    name: str, *, primary_key: bool = False, nullable: bool = False, default: str | None = None
) -> Column[str]:
    """An id of ours or of somebody else, ASCII, at most 64 letters."""
    kind = String(64).with_variant(
        mysql.VARCHAR(64, charset="ascii", collation="ascii_bin"), "mysql", "mariadb"
    )
    return Column(name, kind, primary_key=primary_key, nullable=nullable, server_default=default)


def gene() -> Column[int]:
    """The shard gene: first in every key of a table that grows."""
    return Column("gene", Integer, primary_key=True, autoincrement=False)


def number(
    name: str, *, primary_key: bool = False, nullable: bool = False, default: int | None = None
) -> Column[int]:
    """A 64-bit integer: money in minor units, moments in milliseconds, counts."""
    return Column(
        name,
        BigInteger,
        primary_key=primary_key,
        nullable=nullable,
        autoincrement=False,
        server_default=None if default is None else str(default),
    )


def small(name: str, *, primary_key: bool = False, default: int | None = None) -> Column[int]:
    """A 32-bit integer."""
    return Column(
        name,
        Integer,
        primary_key=primary_key,
        nullable=False,
        autoincrement=False,
        server_default=None if default is None else str(default),
    )


def blob(name: str, *, nullable: bool = False) -> Column[bytes]:
    """Bytes, up to 16 MB: JSON that is never queried by its inside."""
    kind = LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")
    return Column(name, kind, nullable=nullable)
