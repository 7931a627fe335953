"""A private Redis for tests: own port, no disk, killed, frozen and started again by process id."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tradepost.services.programs import need

PORTS = range(21_000, 32_000)
UP_S = 10.0


class RedisServer:
    """One server. `url` stays the same over restarts."""

    def __init__(self, folder: Path, *, options: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until it answers."""
        binary = need("redis-server")
        log = self.folder / "log" / "redis-server.log"
        log.parent.mkdir(exist_ok=True)
        words = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        words += ["--dir", str(self.folder), *self._options]
        with log.open("ab") as output:
            self._process = subprocess.Popen([binary, *words], stdout=output)
        until(lambda: answers(self.port), "redis answers")

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Stop it in the middle of whatever it does: connections stand, nobody answers."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)


def free_port() -> int:
    """A port below the ephemeral range that nobody listens on; where to look depends on the process."""
    start = os.getpid() * 37 % len(PORTS)
    for at in range(len(PORTS)):
        port = PORTS[(start + at) % len(PORTS)]
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port")


def answers(port: int) -> bool:
    """Whether a PING is answered."""
    try:
        with socket.create_connection(("127.0.0.1", port), 0.2) as link:
            link.sendall(b"PING\r\n")
            return link.recv(16).startswith(b"+PONG")
    except OSError:
        return False


def until(holds: Callable[[], bool], what: str) -> None:
    """Wait for a condition."""
    end = time.monotonic() + UP_S
    while not holds():
        assert time.monotonic() < end, f"in vain: {what}"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def redis_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis for the tests of one file."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def redis_own(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis that this test may kill and freeze."""
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.kill()
