"""`tradepost serve` and `tradepost work`: the server, and its relays and timers without HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import uvicorn
import uvloop

from tradepost.app import App, open_app, running
from tradepost.kernel.errors import Kind, Refusal, declare_problems
from tradepost.settings import DEMO_KEYS, Mode, Settings, load_settings
from tradepost.surfaces.api import create_asgi
from tradepost.surfaces.api.joined import JoinedProtocol
from tradepost.surfaces.cli.logs import configure_logs

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
GC_YOUNG = 50_000


def read_settings(
    config: Path | None = None, *, demo: bool = False, overrides: dict[str, Any] | None = None
) -> Settings:
    """The settings of a command: file, environment and the options given.

    Raises Refusal `settings.invalid`, and `settings.demo_keys` for a demo where production is set.
    """
    given = {name: value for name, value in (overrides or {}).items() if value is not None}
    if demo:
        if load_settings(os.environ, config, given).mode is Mode.PRODUCTION:
            raise Refusal("settings.demo_keys", "--demo loads keys that everybody knows.", field="mode")
        given["mode"] = Mode.DEMO.value
    return load_settings(os.environ, config, given)


def serve(
    *,
    demo: bool = False,
    config: Path | None = None,
    host: str | None = None,
    port: int | None = None,
    data_dir: str | None = None,
    writer: str | None = None,
) -> None:
    """Serve the API on one SQLite file, with relay and timers.

    Parameters
    ----------
    demo
        Load the demo shop and its well-known keys if they are not there.
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
    """
    settings = read_settings(
        config,
        demo=demo,
        overrides={
            "server.host": host,
            "server.port": port,
            "server.data_dir": data_dir,
            "storage.writer": writer,
        },
    )
    configure_logs()
    listening = _listen(settings)
    uvloop.run(_serve(settings, listening))


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
        notes = await _prepare_demo(app) if settings.mode is Mode.DEMO else ""
        async with running(app):
            server = _Server(
                uvicorn.Config(
                    create_asgi(app.platform),
                    http=JoinedProtocol,
                    loop="none",
                    lifespan="off",
                    access_log=False,
                    log_config=None,
                    server_header=False,
                    proxy_headers=False,
                    date_header=False,
                    timeout_graceful_shutdown=10,
                ),
                _greeting(listening, notes),
            )
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


def _greeting(listening: socket.socket, notes: str) -> str:
    host, port = listening.getsockname()[:2]
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    lines = [
        f"Tradepost listens on {address}",
        f"  API documents   {address}/docs",
        f"  problem codes   {address}/problems",
        f"  health          {address}/health/ready",
        f"  metrics         {address}/metrics",
    ]
    return "\n".join(lines) + (notes.replace("ADDRESS", address) if notes else "")


async def _prepare_demo(app: App) -> str:
    from tradepost.demo.load import load_demo

    shop = await load_demo(app.platform.db)
    body = (
        '{"market":"GB","lines":[{"offer_id":"%s","quantity":2}],"total":{"amount_minor":%d,"currency":"GBP"},'
        '"address":{"name":"Ada Lovelace","line1":"12 St James Square","city":"London",'
        '"postcode":"SW1Y 4JH","country":"GB"},"payment":{"method":"sandbox_succeeds"}}'
    )
    offer_id = shop.offers["first"]
    view = (await app.platform.checkout.book.get([offer_id]))[offer_id]
    from tradepost.kernel.money import line_total

    price_e4 = next(window.price_e4 for window in view.prices if window.currency == "GBP")
    return (
        f"\nThe demo shop is open: {', '.join(shop.sellers)}. Place a first order:\n\n"
        f"curl -s ADDRESS/v1/checkouts -H 'Authorization: Bearer {DEMO_KEYS['storefront']}'"
        f" -H 'Idempotency-Key: first-order' -H 'Content-Type: application/json'"
        f" -d '{body % (offer_id, line_total(price_e4, 2))}'\n"
    )


def work(*, config: Path | None = None, data_dir: str | None = None) -> None:
    """Run relay, deliveries and timers without HTTP, until interrupted.

    A SQLite file has one owner: use it while `serve` is stopped. With a shared database any number may run.

    Parameters
    ----------
    config
        A TOML file of settings.
    data_dir
        Folder of the database.
    """
    settings = read_settings(config, overrides={"server.data_dir": data_dir})
    configure_logs()
    uvloop.run(_work(settings))


async def _work(settings: Settings) -> None:
    async with open_app(settings) as app, running(app), _until_told() as told:
        logging.getLogger("tradepost").info("working; end with Ctrl-C")
        await told.wait()


@contextlib.asynccontextmanager
async def _until_told() -> AsyncIterator[asyncio.Event]:
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told.set)
    yield told
