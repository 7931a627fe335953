"""Which processes are ours: found by token or start time, stopped without a trace, and never anybody else's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from tests.sleepers import DEAF, SLEEPER, stage, until

from tradepost.services import processes
from tradepost.services.model import Place


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(name="sleeper", folder=tmp_path / "sleeper", cache=tmp_path / "cache", ports={"tcp": 0})
    yield made
    for name in processes.stages_of(made):
        processes.stop(made, name)


def test_a_started_process_is_found_and_stopped_without_a_trace(place: Place) -> None:
    pid = processes.start(place, stage())
    until("its pid is written", lambda: processes.find(place, "sleeper") == pid)
    assert processes.stop(place, "sleeper")
    assert processes.find(place, "sleeper") is None
    assert not (place.folder / "processes").exists()
    assert not Path(f"/proc/{pid}").exists()
    assert not processes.stop(place, "sleeper"), "a second stop has nothing to do"


def test_a_process_that_ignores_sigterm_is_killed(place: Place) -> None:
    pid = processes.start(place, stage(program=DEAF, farewell_s=0))
    until("it ignores SIGTERM", lambda: "deaf" in processes.tail(place, "sleeper"))
    assert processes.stop(place, "sleeper")
    assert not Path(f"/proc/{pid}").exists()


def test_a_frozen_process_is_stopped(place: Place) -> None:
    pid = processes.start(place, stage())
    until("its pid is written", lambda: processes.find(place, "sleeper") == pid)
    os.kill(pid, signal.SIGSTOP)
    assert processes.stop(place, "sleeper")


def test_a_crash_before_the_pid_was_written_leaves_nothing_unfound(place: Place) -> None:
    pid = processes.start(place, stage())
    until("its pid is written", (place.folder / "processes" / "sleeper.pid").exists)
    for ending in ("pid", "born"):
        (place.folder / "processes" / f"sleeper.{ending}").unlink()
    assert processes.find(place, "sleeper") == pid, "the token in its environment leads to it"
    assert processes.stop(place, "sleeper")


def test_a_pid_of_somebody_else_is_never_signalled(place: Place) -> None:
    processes.start(place, stage())
    until("its pid is written", lambda: processes.find(place, "sleeper") is not None)
    own = processes.find(place, "sleeper")
    other = subprocess.Popen([sys.executable, "-c", SLEEPER])
    (place.folder / "processes" / "sleeper.pid").write_text(str(other.pid))
    try:
        assert processes.find(place, "sleeper") == own, "the token tells them apart"
        processes.stop(place, "sleeper")
        assert other.poll() is None
        record = processes.Record("sleeper", "a token nobody has", (), 1)
        (place.folder / "processes").mkdir(exist_ok=True)
        (place.folder / "processes" / "sleeper.json").write_bytes(msgspec.json.encode(record))
        (place.folder / "processes" / "sleeper.pid").write_text(str(other.pid))
        assert not processes.stop(place, "sleeper")
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_pid_and_start_time_prove_a_process_whose_environment_cannot_be_read(place: Place) -> None:
    pid = processes.start(place, stage())
    until("its pid is written", lambda: processes.find(place, "sleeper") == pid)
    path = place.folder / "processes" / "sleeper.json"
    record = msgspec.json.decode(path.read_bytes(), type=processes.Record)
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(record, token="overwritten by a new title")))
    assert processes.find(place, "sleeper") == pid
    assert processes.stop(place, "sleeper")
