"""Ports: is one free, who has it, and which are free for a test."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from tradepost.kernel.errors import Refusal

EPHEMERAL_FROM = 32_768
"""From here on the system hands out ports by itself, so a listener there may find its port taken at random."""
_TEST_PORTS = range(20_000, 32_000)
_LISTENING = "0A"
_reserved: dict[int, int] = {}


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of the loopback address now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def refuse_taken(name: str, wanted: Mapping[str, int]) -> None:
    """Raise Refusal `services.port_taken` naming the first taken port, its purpose and who has it."""
    for purpose, port in wanted.items():
        if not is_free(port):
            raise Refusal(
                "services.port_taken",
                f"Port {port}, wanted for {purpose} of {name}, is taken by {owner_of(port)}.",
                field=f"services.{name}.{purpose}",
                extra={"port": port},
            )


def owner_of(port: int) -> str:
    """Who listens on a port, in words, as far as this user may see."""
    inodes = {inode for table in ("tcp", "tcp6") for inode in _listeners(table, port)}
    held = {f"socket:[{inode}]" for inode in inodes}
    for process in Path("/proc").glob("[0-9]*") if held else ():
        if held & set(_open_files(process)):
            with contextlib.suppress(OSError):
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                return f"process {process.name} of user {process.stat().st_uid} ({command.strip()[:120]})"
    return "a process of another user: ask the operator of this machine"


def _open_files(process: Path) -> Iterator[str]:
    try:
        links = list((process / "fd").iterdir())
    except OSError:
        return
    for link in links:
        with contextlib.suppress(OSError):  # closed since
            yield os.readlink(link)


def _listeners(table: str, port: int) -> Iterator[str]:
    try:
        rows = Path("/proc/net", table).read_text("ascii").splitlines()[1:]
    except OSError:
        return
    for row in rows:
        cells = row.split()
        if cells[3] == _LISTENING and int(cells[1].rpartition(":")[2], 16) == port:
            yield cells[9]


def reserve_ports(count: int, *, apart: int = 1) -> list[int]:
    """Free ports for a test server, `apart` from each other, below the ephemeral range.

    Each is kept from other processes of this user until this process ends, so that two test workers never choose
    the same. Raises Refusal `services.port_taken` when the whole range is in use.
    """
    folder = Path(tempfile.gettempdir()) / f"tradepost-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found: list[int] = []
    start = os.getpid() * 64 % len(_TEST_PORTS)
    for offset in range(0, len(_TEST_PORTS), apart):
        port = _TEST_PORTS[(start + offset) % len(_TEST_PORTS)]
        if (
            port not in _reserved
            and all(is_free(port + near) for near in range(apart))
            and _lock(folder, port)
        ):
            found.append(port)
            if len(found) == count:
                return found
    raise Refusal(
        "services.port_taken", "No free port is left between 20000 and 32000.", field="services.ports"
    )


def _lock(folder: Path, port: int) -> bool:
    held = os.open(folder / str(port), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(held)
        return False
    _reserved[port] = held
    return True
