"""The machine: what it is, how busy it was, how often it can flush a page to its disk."""

from __future__ import annotations

import contextlib
import os
import platform
import sqlite3
import time
from collections.abc import Iterable
from pathlib import Path

from tradepost.settings import Settings
from tradepost.testing.bench.model import Machine

GENERATOR = "tradepost.testing.load: one Python process, epoll, prebuilt requests, closed loop"
_PAGE = bytes(4096)


def look_at_machine(folder: Path, probe_s: float) -> Machine:
    """The facts, measured now; the flush rate on the disk of `folder`."""
    return Machine(
        cpu=_field("/proc/cpuinfo", "model name") or platform.machine(),
        cores=len(os.sched_getaffinity(0)),
        memory_mb=int((_field("/proc/meminfo", "MemTotal") or "0").split()[0]) // 1024,
        kernel=f"{platform.system()} {platform.release()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        sqlite=sqlite3.sqlite_version,
        load_before=tuple(round(load, 2) for load in os.getloadavg()),
        fsync_per_s=round(count_fsyncs(folder, probe_s), 1),
        load_generator=GENERATOR,
        writer=Settings().storage.writer.value,
    )


def count_fsyncs(folder: Path, seconds: float) -> float:
    """How often a second 4 KB can be appended and flushed with fdatasync, one after the other."""
    path = folder / "fsync-probe"
    file = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
    try:
        began, count = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            os.write(file, _PAGE)
            os.fdatasync(file)
            count += 1
        return count / (time.perf_counter() - began)
    finally:
        os.close(file)
        path.unlink()


def cpu_seconds(process_ids: Iterable[int]) -> float:
    """User and system time that these processes have used so far."""
    ticks = 0
    for process_id in process_ids:
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def busy_seconds() -> float:
    """CPU time that everything on this machine has used so far, stolen time included."""
    fields = Path("/proc/stat").read_text().split(None, 9)[1:9]
    user, nice, system, _idle, _wait, irq, soft, stolen = (int(field) for field in fields)
    return (user + nice + system + irq + soft + stolen) / os.sysconf("SC_CLK_TCK")


def resident_mb(process_ids: Iterable[int]) -> float:
    """Resident memory of these processes together."""
    sizes = [_field(f"/proc/{process_id}/status", "VmRSS") or "0" for process_id in process_ids]
    return sum(int(size.split()[0]) for size in sizes) / 1024


def _field(path: str, name: str) -> str:
    with contextlib.suppress(OSError):
        for line in Path(path).read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == name:
                return value.strip()
    return ""
