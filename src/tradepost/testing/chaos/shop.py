"""The shop under chaos: API workers and a work process over the servers of production, started again as by init."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tradepost.testing.chaos.clocks import HOOKS, PLANTED, VARIABLE
from tradepost.testing.torture.client import Client, Unanswered
from tradepost.testing.torture.shop import UNHURRIED, ShopLost, child_processes, pause, wait_until

API, WORK = "api", "work"
WORKERS = 2
READY_S = 120.0
END_S = 25.0
_STEP_S = 0.05
_CLI = (sys.executable, "-m", "tradepost.surfaces.cli")
_WORKER = b"tradepost.surfaces.cli.worker"
SHOP = {
    **UNHURRIED,
    "TRADEPOST_MODE": "demo",
    "TRADEPOST_SERVER__WORKERS": str(WORKERS),
    "TRADEPOST_SERVER__WORKS_ELSEWHERE": "true",
    "TRADEPOST_CHECKOUT__HOLD_TTL_MS": "5000",  # what a crash leaves behind is cleared within the trial
}


class Member:
    """One command of the shop: a parent that keeps so many workers."""

    def __init__(
        self, kind: str, count: int, command: Sequence[str], log: Path, environment: Mapping[str, str]
    ) -> None:
        self.kind = kind
        self.count = count
        self.log = log
        self._command = [*_bound_to_us(), *_CLI, *command]
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it where it does not run."""
        if not self.ended():
            return
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,
            )

    def ended(self) -> bool:
        """Whether the command's own process is gone."""
        return self._process is None or self._process.poll() is not None

    def pids(self) -> list[int]:
        """The processes that do the work."""
        if self._process is None or self.ended():
            return []
        return [pid for pid in child_processes(self._process.pid) if _WORKER in _command_line(pid)]

    def is_whole(self) -> bool:
        """Whether every worker is there."""
        return len(self.pids()) == self.count

    def stop(self) -> None:
        """Ask it to end, and see that it does."""
        process = self._process
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            for pid in self.pids():
                os.kill(pid, signal.SIGCONT)
            process.terminate()
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._process = None

    def last_words(self) -> str:
        """The end of its log."""
        with contextlib.suppress(OSError):
            return self.log.read_bytes()[-1500:].decode(errors="replace")
        return ""


def _bound_to_us() -> list[str]:
    """In front of a command: the kernel tells it to end when this process ends, however that ends."""
    setpriv = shutil.which("setpriv")
    return [] if setpriv is None else [setpriv, "--pdeathsig", "TERM", "--"]


def _command_line(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


class Shop:
    """Every process of the shop over one set of addresses. `planted` are modules that plant bugs in all of them."""

    def __init__(
        self,
        folder: Path,
        port: int,
        addresses: Mapping[str, str],
        *,
        planted: Sequence[Path] = (),
    ) -> None:
        self.folder = folder
        self.port = port
        self.clocks = folder / "clocks"
        self.clocks.mkdir(parents=True, exist_ok=True)
        path = [str(HOOKS), *(str(module.parent) for module in planted), os.environ.get("PYTHONPATH", "")]
        environment = {
            **os.environ,
            **SHOP,
            **addresses,
            "DATA_DIR": str(folder / "data"),
            VARIABLE: str(self.clocks),
            PLANTED: " ".join(module.stem for module in planted),
            "PYTHONPATH": os.pathsep.join(part for part in path if part),
        }
        self.members = [
            Member(
                API,
                WORKERS,
                ("serve", "--demo", "--port", str(port)),
                folder / "api.log",
                environment,
            ),
            Member(WORK, 1, ("work",), folder / "work.log", environment),
        ]

    @property
    def provider_book(self) -> Path:
        """What the sandbox provider remembers, whoever of us asks."""
        return self.folder / "data" / "sandbox-provider.db"

    def member(self, kind: str) -> Member:
        """The API or the work processes."""
        return next(one for one in self.members if one.kind == kind)

    def open(self) -> None:
        """Start what does not run and wait until the API is ready. Raises ShopLost."""
        for member in self.members:
            member.start()
            self._await_ready()
        if not self.whole():
            raise ShopLost(f"no work process came: {self.member(WORK).last_words()}")

    def mend(self) -> None:
        """Start again what ended, as the system's own supervisor would."""
        for member in self.members:
            member.start()

    def _await_ready(self) -> None:
        began = time.monotonic()
        while not self.is_ready():
            if self.member(API).ended() or time.monotonic() > began + READY_S:
                words = self.member(API).last_words()
                raise ShopLost(f"the shop is not ready after {time.monotonic() - began:.0f} s: {words}")
            pause(_STEP_S)

    def is_ready(self) -> bool:
        """Whether it says that it is ready."""
        client = Client(self.port, patience_s=5)
        try:
            return client.send("GET", "/health/ready", token="").status == 200
        except Unanswered:
            return False
        finally:
            client.close()

    def whole(self, within_s: float = READY_S) -> bool:
        """Whether every process is there again in time."""
        return wait_until(self._is_whole, within_s)

    def _is_whole(self) -> bool:
        self.mend()
        return all(member.is_whole() for member in self.members) and self.is_ready()

    def close(self) -> None:
        """End every process."""
        for member in self.members:
            member.stop()
