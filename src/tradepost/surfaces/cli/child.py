"""A worker as its parent sees it: started with a letter, heard over a socket, told to end, and ended if it does not."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence

import msgspec

from tradepost.surfaces.cli.worker import READY, Letter

KILL_WAIT_S = 10.0
"""How long the kernel may take to end a process after SIGKILL before we go on without it."""
FAREWELL_S = 5.0
"""What a worker may take beyond lingering and draining, to close its database and free its leases."""
COMMAND: Sequence[str] = (sys.executable, "-m", "tradepost.surfaces.cli.worker")

log = logging.getLogger("tradepost.processes")


class Child:
    """One running worker. Create it on a running event loop."""

    def __init__(self, letter: Letter, listening: int, tally: int) -> None:
        self.name = letter.name
        self.ready = asyncio.Event()
        self.gone = asyncio.Event()
        self.status = 0
        self._loop = asyncio.get_running_loop()
        self.started_at = self.heard_at = self._loop.time()
        self._patience_s = letter.linger_s + letter.drain_s + FAREWELL_S
        self._channel, theirs = socket.socketpair()
        self._channel.setblocking(False)
        told = msgspec.structs.replace(letter, channel=theirs.fileno(), listening=listening, tally=tally)
        descriptors = [theirs.fileno(), tally, *([listening] if listening >= 0 else [])]
        self._process = subprocess.Popen(  # noqa: S603  our own interpreter and module
            COMMAND,
            stdin=subprocess.PIPE,
            pass_fds=descriptors,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)},
        )
        theirs.close()
        self._loop.add_reader(self._channel, self._hear)
        with contextlib.suppress(BrokenPipeError):  # it died at once: the channel tells
            assert self._process.stdin is not None
            self._process.stdin.write(msgspec.json.encode(told))
            self._process.stdin.close()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def lived_s(self) -> float:
        """Seconds since its start."""
        return self._loop.time() - self.started_at

    def silent_s(self) -> float:
        """Seconds since its event loop was last heard of."""
        return self._loop.time() - self.heard_at

    async def retire(self) -> None:
        """Tell it to end and wait until it has; past its patience it is killed."""
        self._signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.gone.wait(), self._patience_s)
            return
        log.error("%s (%s) did not end in %.0f s and is killed", self.name, self.pid, self._patience_s)
        await self.kill()

    def abandon(self) -> None:
        """Kill it and do not wait."""
        self._signal(signal.SIGKILL)

    async def kill(self) -> None:
        """End it now and wait for the kernel to have done so."""
        self.abandon()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.gone.wait(), KILL_WAIT_S)

    def _signal(self, number: int) -> None:
        if not self.gone.is_set():
            self._process.send_signal(number)

    def _hear(self) -> None:
        try:
            heard = self._channel.recv(4096)
        except BlockingIOError:
            return
        except ConnectionError:
            heard = b""
        self.heard_at = self._loop.time()
        if READY in heard:
            self.ready.set()
        if not heard:
            self._loop.remove_reader(self._channel)
            self._channel.close()
            reaping = self._loop.run_in_executor(None, self._process.wait)
            reaping.add_done_callback(self._reaped)

    def _reaped(self, reaping: asyncio.Future[int]) -> None:
        self.status = reaping.result()
        self.gone.set()
