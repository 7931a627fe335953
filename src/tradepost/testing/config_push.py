"""How long a change in the config centre takes to be in force in every process.

`python -m tradepost.testing.config_push --file FILE` or `--url URL` starts followers as processes of their own,
writes changes one after the other, and tells for each how long the last follower needed, from before the write.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from tradepost.infra.config.etcd import EtcdCentre
from tradepost.infra.config.watched_file import WatchedFile
from tradepost.kernel.world import SystemWorld
from tradepost.stability.centre import ConfigCentre
from tradepost.stability.keys import Document, encode_document
from tradepost.stability.live import LiveConfig
from tradepost.stability.switches import TIMELINE_OFF, Switches

PROCESSES = 4
CHANGES = 40
START_S = 30.0
FELT_S = 10.0


class PushFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds from before the write until the switch was on, or off, in every process."""

    processes: int
    changes: int
    p50_ms: float
    p99_ms: float
    max_ms: float


def centre_of(file: str, url: str, prefix: str) -> ConfigCentre:
    """The centre that the arguments name."""
    return EtcdCentre(url.split(","), prefix=prefix) if url else WatchedFile(Path(file))


async def follow(centre: ConfigCentre) -> None:
    """Print `VERSION NANOSECONDS` of the system's monotonic clock at each change, until the input ends."""
    live = LiveConfig(centre, SystemWorld(), instance="follower")
    switches = Switches(live)

    def tell(_: frozenset[str]) -> None:
        assert switches.is_on(TIMELINE_OFF) is bool(live.version(TIMELINE_OFF.key.name) % 2)
        print(live.version(TIMELINE_OFF.key.name), time.monotonic_ns(), flush=True)

    live.on_change(tell)
    await live.start()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await live.close()


async def measure_push(
    *,
    file: str = "",
    url: str = "",
    prefix: str = "/push/",
    processes: int = PROCESSES,
    changes: int = CHANGES,
) -> PushFigures:
    """Start followers and time changes to all of them. Raises TimeoutError when one is not felt within 10 s."""
    command = [sys.executable, "-m", __name__ if __name__ != "__main__" else "tradepost.testing.config_push"]
    command += ["--follow", "--file", file, "--url", url, "--prefix", prefix]
    followers = [
        await asyncio.create_subprocess_exec(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(processes)
    ]
    centre = centre_of(file, url, prefix)
    try:
        async with asyncio.timeout(START_S):
            for one in followers:
                await _line(one, "ready")
        seen = {name: entry.revision for name, entry in (await centre.read()).entries.items()}
        revision = seen.get(TIMELINE_OFF.key.name, 0)
        took_ms = []
        for number in range(1, changes + 1):
            text = encode_document(Document(version=number, value=bool(number % 2)))
            began = time.monotonic_ns()
            revision = await centre.write(TIMELINE_OFF.key.name, text, revision)
            async with asyncio.timeout(FELT_S):
                felt = [int((await _line(one, str(number))).split()[1]) for one in followers]
            took_ms.append((max(felt) - began) / 1e6)
    finally:
        for one in followers:
            if one.stdin is not None:
                one.stdin.close()
        await asyncio.gather(*(one.wait() for one in followers))
        await centre.close()
    took_ms.sort()
    return PushFigures(
        processes=processes,
        changes=changes,
        p50_ms=round(took_ms[len(took_ms) // 2], 1),
        p99_ms=round(took_ms[min(len(took_ms) - 1, len(took_ms) * 99 // 100)], 1),
        max_ms=round(took_ms[-1], 1),
    )


async def _line(follower: asyncio.subprocess.Process, start: str) -> str:
    """The follower's next line that begins with this word."""
    assert follower.stdout is not None
    while line := (await follower.stdout.readline()).decode():
        if line.split()[0] == start:
            return line
    raise RuntimeError(f"a follower ended with {follower.returncode}")


def main() -> None:
    """Measure, or follow."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--file", default="")
    parser.add_argument("--url", default="")
    parser.add_argument("--prefix", default="/push/")
    parser.add_argument("--processes", type=int, default=PROCESSES)
    parser.add_argument("--changes", type=int, default=CHANGES)
    parser.add_argument("--follow", action="store_true")
    given = parser.parse_args()
    if given.follow:
        asyncio.run(follow(centre_of(given.file, given.url, given.prefix)))
        return
    figures = asyncio.run(
        measure_push(
            file=given.file,
            url=given.url,
            prefix=given.prefix,
            processes=given.processes,
            changes=given.changes,
        )
    )
    print(json.dumps(msgspec.to_builtins(figures)))


if __name__ == "__main__":
    main()
