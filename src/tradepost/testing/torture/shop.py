"""A `tradepost serve --demo` of our own: a process with its folder, started, killed and started again."""

from __future__ import annotations

import contextlib
import os
import random
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

KEYS = {
    "storefront": "tp_storefront_demo",
    "operator": "tp_operator_demo",
    "buyer": "tp_buyer_demo",
    "seller": "tp_seller_demo",
}
"""Keys of the demo shop that everybody knows."""
UNHURRIED = {
    "TRADEPOST_CHECKOUT__VELOCITY_ORDERS_MAX": "0",  # a crowd of few buyers is no fraud here
    "TRADEPOST_CHECKOUT__REMORSE_MS": "0",  # goods can leave within the test
}
START_S = 30.0
_LISTENS = re.compile(rb"listens on http://127\.0\.0\.1:(\d+)")
_STEP_S = 0.05


class ShopLost(RuntimeError):
    """The server did not start, or ended when it should not have."""


def free_port(chance: random.Random) -> int:
    """A port below 32768, where the system hands out none to clients, so that a restart finds it free."""
    for _ in range(200):
        port = chance.randrange(20_000, 32_768)
        with socket.socket() as trial, contextlib.suppress(OSError):
            trial.bind(("127.0.0.1", port))
            return port
    raise ShopLost("no free port")


class ShopProcess:
    """One data folder and the server on it. `restarts` counts starts; the log of all of them is `server.log`."""

    def __init__(
        self,
        folder: Path,
        port: int,
        *,
        writer: str = "thread",
        environment: Mapping[str, str] | None = None,
        start_s: float = START_S,
    ) -> None:
        self.folder = folder
        self.port = port
        self.writer = writer
        self.starts = 0
        self._start_s = start_s
        self.log = folder / "server.log"
        self.environment = {**os.environ, **UNHURRIED, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def database(self) -> Path:
        """The shop's file."""
        return self.folder / "tradepost.db"

    @property
    def provider_book(self) -> Path:
        """What the sandbox provider remembers."""
        return self.folder / "sandbox-provider.jsonl"

    @property
    def process_id(self) -> int:
        """The server's process. Raises ShopLost when none runs."""
        if self._process is None:
            raise ShopLost("the server does not run")
        return self._process.pid

    def launch(self) -> None:
        """Start the server and do not wait for it."""
        command = [sys.executable, "-m", "tradepost.surfaces.cli", "serve", "--demo"]
        options = ["--port", str(self.port), "--data-dir", str(self.folder), "--writer", self.writer]
        self.starts += 1
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [*command, *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.environment,
                start_new_session=True,
            )

    def start(self) -> float:
        """Start the server and wait until it listens; how long that took in seconds. Raises ShopLost."""
        from_byte = self.log.stat().st_size if self.log.exists() else 0
        began = time.monotonic()
        self.launch()
        while time.monotonic() < began + self._start_s:
            if self.ended():
                raise ShopLost(f"the server ended at its start: {self.last_words(from_byte)}")
            if _LISTENS.search(self.log.read_bytes()[from_byte:]):
                return time.monotonic() - began
            pause(_STEP_S)
        raise ShopLost(f"the server does not listen after {self._start_s} s: {self.last_words(from_byte)}")

    def ended(self) -> bool:
        """Whether the process is gone."""
        return self._process is None or self._process.poll() is not None

    def kill(self, *, whole_group: bool = False) -> None:
        """SIGKILL for the server, or at the same moment for its writer process too; then wait for its end."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            if whole_group:
                os.killpg(self._process.pid, signal.SIGKILL)
            else:
                self._process.kill()
        self._process.wait()
        self._process = None

    def kill_writer(self) -> bool:
        """SIGKILL for the writer process alone; False when there is none."""
        children = child_processes(self.process_id)
        for child in children:
            os.kill(child, signal.SIGKILL)
        return bool(children)

    def limit_files(self, size: int) -> None:
        """From now on no file of the server or its writer may grow beyond `size` bytes; -1 takes that back."""
        limit = resource.RLIM_INFINITY if size < 0 else size
        for process_id in (self.process_id, *child_processes(self.process_id)):
            resource.prlimit(process_id, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    def stop(self) -> int:
        """Ask the server to end as an operator would; its exit code."""
        if self._process is None:
            return 0
        self._process.terminate()
        try:
            return self._process.wait(START_S)
        finally:
            self.kill(whole_group=True)

    def last_words(self, from_byte: int = 0) -> str:
        """The end of the log."""
        return self.log.read_bytes()[from_byte:][-1500:].decode(errors="replace")


def child_processes(process_id: int) -> list[int]:
    """The processes that this one started and that still run."""
    listed = Path(f"/proc/{process_id}/task/{process_id}/children")
    with contextlib.suppress(OSError):
        return [int(child) for child in listed.read_text().split()]
    return []


def pause(seconds: float) -> None:
    """One step of waiting for a condition."""
    threading.Event().wait(seconds)


def wait_until(condition: Callable[[], bool], within_s: float) -> bool:
    """Whether a condition comes true in time."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        if condition():
            return True
        pause(_STEP_S)
    return False
