"""The vschema: how Vitess routes every table, generated from the table metadata.

`python -m tradepost.infra.storage.vitess_schema` prints it; services/vitess/vschema.json is its committed copy.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from tradepost.infra.storage.migrate import load_tables
from tradepost.infra.storage.tables.columns import METADATA

ROUTED_BY = ("gene", "shard")
"""First columns of primary keys that route a row; a shard's number is the smallest gene it keeps."""
SHARD_OWN = ("commit_marks",)
"""Tables without one: each shard keeps its own rows, and a reshard leaves them behind."""


def vschema() -> dict[str, Any]:
    """Routing of every table. Raises ValueError for a table whose primary key does not begin with a routing column."""
    load_tables()
    tables: dict[str, Any] = {}
    for name, table in sorted(METADATA.tables.items()):
        first = next(iter(table.primary_key.columns)).name
        if name in SHARD_OWN:
            tables[name] = {"type": "reference"}
        elif first in ROUTED_BY:
            tables[name] = {"column_vindexes": [{"column": first, "name": "gene"}]}
        else:
            raise ValueError(f"{name}: its primary key begins with {first}, not with one of {ROUTED_BY}")
    tables["alembic_version"] = {"column_vindexes": [{"column": "version_num", "name": "first_shard"}]}
    return {
        "sharded": True,
        "vindexes": {"first_shard": {"type": "null"}, "gene": {"type": "reverse_bits"}},
        "tables": tables,
    }


def written() -> str:
    """The vschema as its file holds it."""
    return json.dumps(vschema(), indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    sys.stdout.write(written())
