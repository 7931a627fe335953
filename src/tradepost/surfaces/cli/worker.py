"""One worker: a child process of `processes.Staff` that opens the platform and serves, or only works.

It learns what to do from a letter on its standard input, tells its parent over a socket that it is ready and that it
lives, and ends, having finished what is under way, when the parent says so or is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, cast

import msgspec
import uvicorn
import uvloop

from tradepost.kernel.errors import Refusal
from tradepost.settings import Settings
from tradepost.surfaces.cli.logs import configure_logs
from tradepost.surfaces.cli.scrape import Neighbours
from tradepost.surfaces.cli.tally import Tally
from tradepost.telemetry.asgi import AsgiApp

READY = b"R"
BEAT = b"."
BEAT_EVERY_S = 1.0
REFUSED = 3
DEFECT = 5
"""As `surfaces.cli.output` has them, which would load the terminal's tables into every worker."""
ACCEPT_REST_S = 0.1
"""Pause after the system gave no more file descriptors: connections wait in the queue of the port meanwhile."""
LINGER_STEP_S = 0.02
YIELD_S = 0.002
"""How long a worker with more connections lets another take one, before it takes it itself."""
GC_YOUNG = 50_000

RefuseEarly = Callable[[bytes, bytes], bytes | None]
"""See `surfaces.api.joined`, which is loaded only where HTTP is spoken."""
OpenWorker = Callable[[Settings, int], AbstractAsyncContextManager[AsgiApp | None]]
"""`open_worker(settings, number)`: opens what one process needs, gives its application, closes it in the end."""

log = logging.getLogger("tradepost.worker")


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is told at its start. It may hold secrets, so it travels over a pipe and stands nowhere.

    `factory` is `package.module:open_worker`; `listening`, `channel` and `tally` are inherited file descriptors, -1
    for none; `place` is where it stands in the tally; `folder` is where the processes ask each other for their
    metrics; times are seconds.
    """

    name: str
    number: int
    factory: str
    settings: Settings
    listening: int
    channel: int
    tally: int
    place: int
    folder: str
    starts: int
    linger_s: float
    drain_s: float


def main() -> None:
    """Read the letter, work, end with 0; with 3 when the platform refuses to open."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal tells the parent, who tells us in order
    letter = msgspec.json.decode(sys.stdin.buffer.read(), type=Letter)
    for descriptor in (letter.listening, letter.channel, letter.tally):
        if descriptor >= 0:
            os.set_inheritable(descriptor, False)  # else a program we start keeps them open after our death
    configure_logs(process=letter.name)
    try:
        uvloop.run(_work(letter))
    except Refusal as refusal:
        log.error("refused to start: %s; %s", refusal, refusal.problem.remedy)
        sys.stderr.write(f"{letter.name}: {refusal.code}: {refusal.detail}\n")
        sys.exit(REFUSED)
    except Exception:
        log.exception("the worker broke")
        sys.exit(DEFECT)


async def _work(letter: Letter) -> None:
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, told.set)
    async with _channel(letter.channel, told) as say:
        opened = find_factory(letter.factory)(letter.settings, letter.number)
        async with opened as app, Neighbours(letter.folder, letter.name, letter.starts, app) as neighbours:
            _settle_memory()
            if letter.listening < 0 or app is None:
                say(READY)
                await told.wait()
            else:
                front = Front(app, neighbours)
                tally = Tally(letter.tally, letter.place)
                server = AcceptingServer(front, letter.listening, tally, letter.drain_s)
                await server.run_until(told, lambda: say(READY), letter.linger_s)
                tally.close()


def find_factory(path: str) -> OpenWorker:
    """The factory called `package.module:name`. Raises ImportError and AttributeError."""
    module, _, name = path.partition(":")
    return cast(OpenWorker, getattr(importlib.import_module(module), name))


@contextlib.asynccontextmanager
async def _channel(descriptor: int, told: asyncio.Event) -> AsyncIterator[Callable[[bytes], None]]:
    """The way to the parent: beats while the loop runs, and its end, which ends us too."""
    if descriptor < 0:
        yield lambda _: None
        return
    loop = asyncio.get_running_loop()
    channel = socket.socket(fileno=descriptor)
    channel.setblocking(False)

    def say(word: bytes) -> None:
        with contextlib.suppress(OSError):  # full: the parent sleeps; broken: the reader below hears of it
            channel.send(word)

    def hear() -> None:
        with contextlib.suppress(BlockingIOError):
            try:
                heard = channel.recv(64)
            except ConnectionError:
                heard = b""
            if not heard:
                loop.remove_reader(descriptor)
                told.set()

    async def beat() -> None:
        while True:
            say(BEAT)
            await asyncio.sleep(BEAT_EVERY_S)

    loop.add_reader(descriptor, hear)
    beating = asyncio.ensure_future(beat())
    try:
        yield say
    finally:
        beating.cancel()
        loop.remove_reader(descriptor)
        channel.close()


def _settle_memory() -> None:
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_YOUNG, 20, 50)  # requests leave no cycles: look for them rarely


class Front:
    """The application as one of several: /metrics answers for all, and a draining worker lets connections go."""

    def __init__(self, app: AsgiApp, neighbours: Neighbours) -> None:
        self._app = app
        self._neighbours = neighbours
        self._early: RefuseEarly = getattr(app, "refuse_early", lambda method, url: None)
        self.draining = False

    def refuse_early(self, method: bytes, url: bytes) -> bytes | None:
        """As the application's; a draining worker answers itself, so that it can let the connection go."""
        return None if self.draining else self._early(method, url)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "http":
            if scope["path"] == "/metrics" and scope["method"] == "GET":
                await self._neighbours.answer(scope, receive, send)
                return
            if self.draining:
                send = _closing(send)
        await self._app(scope, receive, send)


def _closing(send: Any) -> Any:
    """`send` that tells the client to open another connection, which another worker will take."""

    def tell(message: Any) -> Any:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
        return send(message)

    return tell


def http_config(app: Any, drain_s: float) -> uvicorn.Config:
    """uvicorn as the shop runs it, in one process or many."""
    from tradepost.surfaces.api.joined import JoinedProtocol

    return uvicorn.Config(
        app,
        http=JoinedProtocol,
        loop="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        date_header=False,
        timeout_graceful_shutdown=max(1, round(drain_s)),
    )


class _Watched(set[Any]):
    """The open connections; says when one came or went."""

    def __init__(self, tell: Callable[[], None]) -> None:
        super().__init__()
        self._tell = tell

    def add(self, connection: Any) -> None:
        super().add(connection)
        self._tell()

    def discard(self, connection: Any) -> None:
        super().discard(connection)
        self._tell()


class AcceptingServer(uvicorn.Server):
    """uvicorn on a listening socket that other workers share.

    It takes one connection a turn of its loop, and lets another worker go first who holds fewer. Taking all that
    wait, as asyncio does, gave one of two workers three quarters of 64 connections, and all of them when idle.
    """

    def __init__(self, front: Front, listening: int, tally: Tally, drain_s: float) -> None:
        super().__init__(http_config(front, drain_s))
        self._front = front
        self._tally = tally
        self.server_state.connections = _Watched(self._tell)
        self._listening = socket.socket(fileno=listening)
        self._listening.setblocking(False)
        self._opening: set[asyncio.Task[Any]] = set()
        self._accepting = False

    async def run_until(self, told: asyncio.Event, ready: Callable[[], None], linger_s: float) -> None:
        """Serve until told, then stop accepting, let clients go for `linger_s` at most, finish what is under way."""
        self._ready = ready
        serving = asyncio.ensure_future(self.serve())
        waiting = asyncio.ensure_future(told.wait())
        await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        self._stop_accepting()
        self._front.draining = True
        for _ in range(round(linger_s / LINGER_STEP_S)):
            if not self.server_state.connections and not self._opening:
                break
            await asyncio.sleep(LINGER_STEP_S)
        self.should_exit = True
        await serving

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        """Signals are the worker's own business."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept and say so."""
        await self.lifespan.startup()
        self.servers = []
        self._start_accepting()
        self.started = True
        self._ready()

    def _holds(self) -> int:
        return len(self.server_state.connections) + len(self._opening)

    def _tell(self) -> None:
        if not self._front.draining:  # a successor may stand in our place already
            self._tally.write(self._holds())

    def _start_accepting(self) -> None:
        if not self._front.draining:
            self._accepting = True
            self._tell()
            asyncio.get_running_loop().add_reader(self._listening.fileno(), self._accept_or_yield)

    def _accept_or_yield(self) -> None:
        if self._tally.holds_more(self._holds()):
            self._stop_accepting()
            asyncio.get_running_loop().call_later(YIELD_S, self._accept_after_all)
        else:
            self._accept()

    def _accept_after_all(self) -> None:
        """Take one if it is still there: the other may be busy, stuck or gone."""
        if not self._front.draining:
            self._start_accepting()
            self._accept()

    def _stop_accepting(self) -> None:
        if self._accepting:
            self._accepting = False
            asyncio.get_running_loop().remove_reader(self._listening.fileno())

    def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            connection, _ = self._listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # another worker was quicker, or the client left
        except OSError as error:
            log.error("no connection could be taken: %s", error)
            self._stop_accepting()
            loop.call_later(ACCEPT_REST_S, self._start_accepting)
            return
        connection.setblocking(False)
        if connection.family != socket.AF_UNIX:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opening = loop.create_task(loop.connect_accepted_socket(self._protocol, connection))
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)
        self._tell()

    def _protocol(self) -> asyncio.Protocol:
        protocol: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol


if __name__ == "__main__":
    main()
