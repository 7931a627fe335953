"""What every fixture of a server stands on: one folder for all test processes of a run, and the servers' own words
in the report of a test that failed beside them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tradepost.kernel.errors import Refusal

SAID_BYTES = 4_096
"""How much of each log a failed test shows, from its end."""


def folder_of_all(factory: pytest.TempPathFactory) -> Path:
    """The folder of the servers that all processes of this run share, whether there are one or many."""
    base = factory.getbasetemp()
    return (base.parent if base.name.startswith("popen-") else base) / "servers"


SHARED: list[Path] = []
"""The folder of the shared servers, once a test has asked for one."""


@pytest.fixture(scope="session")
def servers_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the shared servers of this run live, each in a folder of its name."""
    SHARED.append(folder_of_all(tmp_path_factory))
    return SHARED[-1]


def last_words(since_s: float, *roots: Path) -> Iterator[tuple[str, str]]:
    """The end of every log of a server, shared or below these folders, that was written to since a moment."""
    for root in dict.fromkeys((*roots, *SHARED)):
        for log in sorted(root.glob("**/log/*.log")):
            if log.stat().st_mtime < since_s:
                continue
            text = log.read_bytes()[-SAID_BYTES:].decode(errors="replace")
            if text.strip():
                yield str(log.relative_to(root)), text


def skip_where_it_cannot_run(refusal: BaseException) -> None:
    """Skip a test whose server is not installed here; in CI that stays an error."""
    missing = isinstance(refusal, Refusal) and refusal.code == "services.program_missing"
    if missing and os.environ.get("CI") != "true":
        pytest.skip(f"{refusal}")
