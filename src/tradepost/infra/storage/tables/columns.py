"""The column types every table shares, valid on SQLite and MySQL alike."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, MetaData, String
from sqlalchemy.dialects import mysql

METADATA = MetaData()


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
