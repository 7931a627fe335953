"""Alembic's entry: runs the revisions on the connection it was given, in one transaction."""

from __future__ import annotations

from typing import Any, Literal

from alembic import context
from sqlalchemy import LargeBinary, String
from sqlalchemy.dialects import mysql

from tradepost.infra.storage.tables.columns import METADATA


def render_type(kind: str, thing: Any, _: Any) -> str | Literal[False]:
    """Name the types of `migrations.types` in a new revision instead of spelling them out."""
    if kind != "type":
        return False
    if isinstance(thing, LargeBinary):
        return "BLOB"
    variant = getattr(thing, "_variant_mapping", {}).get("mysql")
    if not isinstance(thing, String) or not isinstance(variant, mysql.VARCHAR):
        return False
    return "IDENT" if variant.charset == "ascii" else f"text({thing.length})"


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    transactional_ddl=True,
    render_item=render_type,
)
with context.begin_transaction():
    context.run_migrations()
