"""`tradepost serve`: the API, in one process on a file, in many on a shared database."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import uvicorn
import uvloop

from tradepost.app import open_app, running
from tradepost.kernel.errors import Kind, Refusal, declare_problems
from tradepost.settings import Mode, Profile, Settings
from tradepost.surfaces.api import create_asgi
from tradepost.surfaces.cli.crews import serve_by_many
from tradepost.surfaces.cli.greeting import address_of, greeting, prepare_demo
from tradepost.surfaces.cli.logs import configure_logs
from tradepost.surfaces.cli.profile import SERVERS, read_settings
from tradepost.surfaces.cli.worker import GC_YOUNG, http_config

__all__ = ["read_settings", "serve"]

declare_problems(
    {
        "server.port_taken": (
            Kind.CONFLICT,
            "The port is taken",
            "Stop what listens there, or choose another one: PORT=8701 make run.",
        ),
        "server.address_invalid": (
            Kind.INVALID,
            "Nothing can listen at this address",
            "Give an address of this machine, such as 127.0.0.1 or 0.0.0.0, and a port you may use.",
        ),
    }
)

BACKLOG = 2048
DRAIN_S = 10.0


def serve(
    *,
    demo: bool = False,
    profile: str | None = None,
    config: Path | None = None,
    host: str | None = None,
    port: int | None = None,
    data_dir: str | None = None,
    writer: str | None = None,
    workers: int | None = None,
    work: int | None = None,
) -> None:
    """Serve the API with relay and timers: in one process on a SQLite file, in as many as asked on a shared database.

    With more than one process SIGHUP replaces them in turn, without a refused connection.

    Parameters
    ----------
    demo
        Load the demo shop and its well-known keys if they are not there.
    profile
        embedded: one process on one file. production: on the servers that the settings name or that
        `tradepost services up` started; relays, consumers and timers run in `tradepost work`, or see work.
    config
        A TOML file of settings; the environment and the options below win over it.
    host
        Address to listen on.
    port
        Port to listen on; 0 takes a free one.
    data_dir
        Folder of the database.
    writer
        Where the database writer runs: thread or process.
    workers
        API processes on the port.
    work
        Processes beside them for relays, consumers and timers; with none the API processes do that too, unless
        they are told that others work.
    """
    given = {
        "server.host": host,
        "server.port": port,
        "server.data_dir": data_dir,
        "server.workers": workers,
        "server.work": work,
        "storage.writer": writer,
    }

    def read() -> Settings:
        return read_settings(config, profile=profile, demo=demo, overrides=given, needs=tuple(SERVERS))

    settings = read()
    configure_logs()
    listening = _listen(settings)
    chosen = settings.server
    if chosen.workers == 1 and not chosen.work and not chosen.works_elsewhere:
        uvloop.run(_serve(settings, listening))
        return
    status = serve_by_many(settings, listening, read)
    if settings.profile is Profile.PRODUCTION and not status:
        print("The shop has ended; its servers go on. To end them: tradepost services down", flush=True)
    raise SystemExit(status)


def _listen(settings: Settings) -> socket.socket:
    """The listening socket. Raises Refusal `server.port_taken` or `server.address_invalid`."""
    host, port = settings.server.host, settings.server.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        code = "server.port_taken" if error.errno == errno.EADDRINUSE else "server.address_invalid"
        raise Refusal(code, f"{host}:{port}: {error.strerror}.", field="server.port") from error
    listening.listen(BACKLOG)
    return listening


async def _serve(settings: Settings, listening: socket.socket) -> None:
    async with open_app(settings) as app:
        notes = await prepare_demo(app) if settings.mode is Mode.DEMO else ""
        async with running(app):
            words = greeting(settings, address_of(listening), app.platform.warnings(), notes)
            server = _Server(http_config(create_asgi(app.platform), DRAIN_S), words)
            await server.serve([listening])


class _Server(uvicorn.Server):
    """uvicorn that says where it listens once it does."""

    def __init__(self, config: uvicorn.Config, greeting: str) -> None:
        super().__init__(config)
        self._greeting = greeting

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take SIGINT and SIGTERM as a wish to end. uvicorn raises them again after, before the shop is closed."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start as uvicorn does, then greet."""
        await super().startup(sockets)
        if self.started:
            gc.collect()
            gc.freeze()
            gc.set_threshold(GC_YOUNG, 20, 50)  # requests leave no cycles: look for them rarely
            print(self._greeting, flush=True)
