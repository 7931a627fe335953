"""The composition root: the only file that knows every room. It wires them; it decides nothing."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hmac
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path

import msgspec

from tradepost.events import Runtime
from tradepost.infra.payments.sandbox import SandboxProvider
from tradepost.infra.storage.migrate import schema_is_current, upgrade
from tradepost.infra.storage.sqlite import GROUP_BOUNDS, SqliteStorage
from tradepost.infra.storage.sqlite_reader import SqliteReader
from tradepost.kernel.errors import Refusal
from tradepost.kernel.events import Consumer, Sweep, Task
from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import Storage
from tradepost.kernel.world import SystemWorld, World
from tradepost.settings import DEMO_KEYS, Mode, Settings, signing_secret
from tradepost.surfaces.api.platform import Groups, Limits, Platform
from tradepost.surfaces.api.vitals import Vitals
from tradepost.trade import (
    aftersales,
    cart,
    catalog,
    checkout,
    fulfilment,
    inventory,
    orders,
    parties,
    payments,
)

DATABASE_FILE = "tradepost.db"
SANDBOX_FILE = "sandbox-provider.jsonl"
SANDBOX_EVERY_S = 0.2
log = logging.getLogger("tradepost")
Reader = SqliteReader
"""The storage's `read` without owning the file."""


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What a platform is wired from; a simulation brings its own. `further` adds readiness checks."""

    db: Storage
    world: World
    providers: payments.Providers
    secret: bytes
    settings: Settings
    owner: str = ""
    sandbox: SandboxProvider | None = None
    further: dict[str, Callable[[], bool]] = {}


def database_path(settings: Settings) -> Path:
    """Where the shop's one file lies."""
    return Path(settings.server.data_dir) / DATABASE_FILE


def consumers() -> list[Consumer]:
    """Every subscription whose effect lies in the database."""
    rooms = (catalog, inventory, orders, payments, fulfilment, aftersales)
    return [consumer for room in rooms for consumer in room.CONSUMERS]


def tasks(parts: Parts) -> list[Task]:
    """Every subscription whose effect lies outside."""
    return payments.tasks(parts.db, parts.world, parts.providers)


def sweeps(parts: Parts) -> list[Sweep]:
    """Every timer."""
    db, world = parts.db, parts.world

    async def claim(buyer_id: str, checkout_id: str) -> bool:
        shard = db.shard_of(gene_of(buyer_id))
        return await db.transact(shard, checkout.claim_checkout, buyer_id, checkout_id, world.now_ms())

    return [
        *inventory.sweeps(db, world, claim),
        *orders.sweeps(db, world),
        *payments.sweeps(db, world, parts.providers),
        *aftersales.sweeps(db, world),
        *cart.sweeps(db, world),
    ]


def wire(parts: Parts) -> Platform:
    """A platform from its parts, with nothing started yet."""
    settings, db, world = parts.settings, parts.db, parts.world
    context = _checkout(parts)
    runtime = Runtime(
        db,
        world,
        consumers=consumers(),
        tasks=tasks(parts),
        sweeps=sweeps(parts),
        owner=parts.owner,
    )
    sqlite = db if isinstance(db, SqliteStorage) else None
    vitals = Vitals(
        db,
        world,
        runtime,
        context.hints,
        depth=sqlite.depth if sqlite else None,
        further=parts.further,
    )
    return Platform(
        db=db,
        world=world,
        keyring=parties.KeyRing(db, world, parts.secret),
        checkout=context,
        runtime=runtime,
        providers=parts.providers,
        limits=Limits(
            body_bytes_max=settings.limits.body_bytes_max,
            lines_max=settings.limits.lines_max,
            page_max=settings.limits.page_max,
            import_bytes_max=settings.limits.import_bytes_max,
        ),
        checks=vitals.checks,
        gauges=vitals.gauges,
        groups=lambda: (
            Groups(bounds=GROUP_BOUNDS, counts=sqlite.groups, calls=sqlite.calls) if sqlite else None
        ),
        sandbox=None if settings.mode is Mode.PRODUCTION else parts.sandbox,
    )


def _checkout(parts: Parts) -> checkout.Context:
    settings, db, world = parts.settings, parts.db, parts.world
    chosen = settings.checkout
    return checkout.Context(
        db=db,
        world=world,
        book=catalog.OfferBook(db),
        hints=inventory.SoldOutHints(db),
        earlier=checkout.Earlier(db),
        secret=parts.secret,
        terms=checkout.Terms(
            velocity_orders_max=chosen.velocity_orders_max,
            velocity_window_ms=chosen.velocity_window_ms,
            amount_review_minor=chosen.amount_review_minor,
            amount_max_minor=chosen.amount_max_minor,
            remorse_ms=chosen.remorse_ms,
            complete_after_ms=chosen.complete_after_ms,
            return_window_ms=chosen.return_window_ms,
            capture_on_shipment_scenes=chosen.capture_on_shipment_scenes,
            provider=settings.payments.provider,
        ),
        lines_max=settings.limits.lines_max,
        quantity_max=settings.limits.quantity_max,
        quote_ttl_ms=chosen.quote_ttl_ms,
        hold_ttl_ms=chosen.hold_ttl_ms,
    )


class App(msgspec.Struct, frozen=True, kw_only=True):
    """An opened shop: the wired platform and the outside party that runs beside it in the sandbox."""

    platform: Platform
    sandbox: SandboxProvider
    settings: Settings


@contextlib.asynccontextmanager
async def open_app(settings: Settings, *, world: World | None = None) -> AsyncIterator[App]:
    """The shop on its file: migrated and wired, its runtime not running; closed in the end.

    Raises Refusal `storage.in_use`, `storage.schema_newer` and `settings.*`.
    """
    world = world or SystemWorld()
    secret = signing_secret(settings)
    path = database_path(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    upgrade(path)
    db = SqliteStorage(path, writer=settings.storage.writer.value, group_max=settings.storage.group_max)
    sandbox = SandboxProvider(world, sandbox_secret(secret), path=path.with_name(SANDBOX_FILE))
    providers = payments.Providers(sandbox, call_timeout_ms=settings.payments.call_timeout_ms)
    platform = wire(
        Parts(
            db=db,
            world=world,
            providers=providers,
            secret=secret,
            settings=settings,
            owner=f"file {path.name}",
            sandbox=sandbox,
            further={"schema": lambda: schema_is_current(path)},
        )
    )
    sandbox.deliver_to(webhooks_to(platform))
    try:
        if settings.mode is Mode.PRODUCTION:
            await refuse_demo_keys(platform, settings.security.operator_key)
        if settings.security.operator_key:
            await parties.bootstrap_operator(db, world, settings.security.operator_key)
        yield App(platform=platform, sandbox=sandbox, settings=settings)
    finally:
        await db.close()
        sandbox.close()


async def refuse_demo_keys(platform: Platform, operator_key: str = "") -> None:
    """Raise Refusal `settings.demo_keys` when a key that everybody knows would open this shop."""
    if operator_key in DEMO_KEYS.values():
        raise Refusal("settings.demo_keys", "The operator key is a demo key.", field="security.operator_key")
    for name, token in DEMO_KEYS.items():
        try:
            await platform.keyring.find(token)
        except Refusal as refusal:
            if refusal.code.startswith("auth."):
                continue  # unknown, revoked or expired: it opens nothing
            raise
        raise Refusal("settings.demo_keys", f"The database knows the demo key {name!r}.", field="mode")


def sandbox_secret(secret: bytes) -> str:
    """The secret the sandbox signs its webhooks with, derived from the shop's own."""
    return base64.b64encode(hmac.digest(secret, b"sandbox webhooks", "sha256")).decode()


def webhooks_to(platform: Platform) -> Callable[[Mapping[str, str], bytes], Awaitable[None]]:
    """Where the sandbox's webhooks go: the same function that the webhook route calls."""

    async def deliver(headers: Mapping[str, str], body: bytes) -> None:
        await payments.handle_webhook(
            platform.db, platform.world, platform.providers, "sandbox", headers, body
        )

    return deliver


@contextlib.asynccontextmanager
async def running(app: App) -> AsyncIterator[None]:
    """The shop with its relay, deferred deliveries and timers at work, and the sandbox sending webhooks."""
    stop = asyncio.Event()
    work = [
        asyncio.ensure_future(app.platform.runtime.run(stop)),
        asyncio.ensure_future(_run_sandbox(app, stop)),
    ]
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*work)


async def _run_sandbox(app: App, stop: asyncio.Event) -> None:
    while not stop.is_set():
        try:
            await app.sandbox.run_due(app.platform.world.now_ms())
        except OSError as error:  # its own book cannot be written while the disk is full
            log.warning("the sandbox provider rests: %s", error)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), SANDBOX_EVERY_S)


def open_reader(settings: Settings) -> Reader:
    """The shop's file for looking only, while a server may own it. Raises Refusal `storage.not_found`."""
    return SqliteReader(database_path(settings))
