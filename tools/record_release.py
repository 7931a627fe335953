"""Write down what a release reads and writes, so that the next one is held to it (how-to: upgrade-without-stopping).

git archive v0.2.0 | tar -x -C /tmp/release
cd /tmp/release && PYTHONPATH=src python .../tools/record_release.py 0.2.0 .../tests/data/previous_release.json

Further arguments name tests to learn from instead of all.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

TESTS = ("tests/unit", "tests/api", "tests/property", "tests/simulation")
_ROWS = re.compile(r"(\([?, ]+\))(?:\s*,\s*\([?, ]+\))+")
_MARKS = re.compile(r"\(\?(?:, ?\?)+\)")
_seen: set[str] = set()


def note(sql: str) -> None:
    """Keep a statement of the shop's own, once for all sizes of its lists."""
    text = " ".join(_ROWS.sub(r"\1", sql).split())
    if text.startswith(("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")) and "sqlite_" not in text:
        _seen.add(_MARKS.sub(lambda found: found[0].replace(" ", ""), text))


def listen() -> None:
    """Hear every statement that goes to SQLite."""
    engine = importlib.import_module("tradepost.infra.storage.sqlite_engine")
    for name in ("query", "execute", "execute_many"):
        asked = getattr(engine.SqliteTx, name)

        def heard(tx: Any, sql: str, *args: Any, asked: Any = asked, **kwargs: Any) -> Any:
            note(sql)
            return asked(tx, sql, *args, **kwargs)

        setattr(engine.SqliteTx, name, heard)


def events() -> dict[str, list[str]]:
    """The fields of every event, by type."""
    importlib.import_module("tradepost.app")
    kernel = importlib.import_module("tradepost.kernel.events")
    return {
        name: [field.encode_name for field in msgspec.structs.fields(struct)]
        for name, struct in kernel.event_types().items()
    }


def main(release: str, to: Path, *tests: str) -> None:
    """Run the release's own tests, then write the file."""
    listen()
    pytest.main(
        ["-q", "-p", "no:cacheprovider", "-n0", *(tests or [one for one in TESTS if Path(one).exists()])]
    )
    revisions = importlib.import_module("tradepost.infra.storage.migrations").REVISIONS
    tokens = importlib.import_module("tradepost.trade.checkout.tokens")
    found = {
        "release": release,
        "revision": revisions[-1],
        "token_marks": [tokens._MARK, ""],
        "events": events(),
        "statements": sorted(_seen),
    }
    to.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    print(f"{len(_seen)} statements, {len(found['events'])} events")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
