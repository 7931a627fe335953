"""No answer before its fsync: a shim records the log file's writes and syncs, the program records its answers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SHIM = Path(__file__).parent.parent / "shims" / "fsync_recorder.c"
PROGRAM = """
import asyncio, os, sys
from tests.contract import storage_works as works
from tradepost.infra.storage.sqlite import SqliteStorage

log = os.open(os.environ["FSYNC_LOG"], os.O_WRONLY | os.O_APPEND)

async def answered(name, submit, *args):
    os.write(log, f"R {name}\\n".encode())
    await submit(0, *args)
    os.write(log, f"A {name}\\n".encode())

async def main():
    db = SqliteStorage(sys.argv[1], writer=sys.argv[2])
    for n in range(30):
        await answered(f"one-{n}", db.transact, works.put, f"one-{n}")
    for n in range(10):
        await answered(f"item-{n}", db.batch, works.PUT, works.Item(f"item-{n}"))
    for n in range(10):
        names = [f"group-{n}-{m}" for m in range(20)]
        await asyncio.gather(*(answered(name, db.transact, works.put, name) for name in names))
    await db.close()

asyncio.run(main())
"""


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled recorder."""
    built = tmp_path_factory.mktemp("shim") / "fsync_recorder.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", built, SHIM, "-ldl"], check=True)
    return built


def premature(lines: list[str]) -> list[str]:
    """The answers between whose request and themselves there is no write that a sync followed."""
    wrong = []
    asked: dict[str, int] = {}
    for at, line in enumerate(lines):
        kind, _, name = line.partition(" ")
        if kind == "R":
            asked[name] = at
        elif kind == "A":
            story = lines[asked[name] : at]
            if "W" not in story or "S" not in story[story.index("W") :]:
                wrong.append(name)
    return wrong


@pytest.mark.parametrize("writer", ["thread", "process"])
def test_every_answer_comes_after_the_sync_of_its_commit(
    shim: Path, database_path: Path, tmp_path: Path, writer: str
) -> None:
    log = tmp_path / "fsync.log"
    log.touch()
    environment = {
        **os.environ,
        "LD_PRELOAD": str(shim),
        "FSYNC_LOG": str(log),
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    subprocess.run(
        [sys.executable, "-c", PROGRAM, str(database_path), writer], env=environment, check=True, timeout=60
    )
    lines = log.read_text().splitlines()
    ends = [at for at, line in enumerate(lines) if line.startswith("A ")]
    assert len(ends) == 240
    assert premature(lines) == []
    previous = 0
    for end in ends[:40]:  # one caller at a time: each answer has a write and then a sync of its own
        between = lines[previous:end]
        assert "W" in between
        assert between[-1] == "S"
        previous = end + 1


def test_the_judge_sees_a_missing_sync() -> None:
    assert premature(["R a", "W", "S", "A a", "R b", "W", "A b", "S", "R c", "S", "A c"]) == ["b", "c"]
