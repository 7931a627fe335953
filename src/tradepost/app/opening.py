"""Open a shop on its database: every adapter that the settings name, wired, and closed in the end."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path

from tradepost.app.messaging import MOMENTS, OutboxWatch, open_bus
from tradepost.app.parts import App, Parts
from tradepost.app.places import DATABASE_FILE, SANDBOX_FILE, SANDBOX_SHARED_FILE, database_of
from tradepost.app.schema import SchemaWatch
from tradepost.app.watching import open_traces
from tradepost.app.wiring import held_back, wire
from tradepost.infra.cache.kit import Kit, open_kit
from tradepost.infra.config.opening import followed
from tradepost.infra.payments.opening import providers as open_providers
from tradepost.infra.payments.sandbox import SandboxProvider
from tradepost.infra.storage.migrate import upgrade
from tradepost.infra.storage.opening import OpenStorage, is_file, open_storage
from tradepost.kernel.errors import Refusal
from tradepost.kernel.tx import Storage
from tradepost.kernel.world import SystemWorld, World
from tradepost.settings import DEMO_KEYS, Mode, Settings, signing_secret
from tradepost.stability.desk import ConfigDesk
from tradepost.stability.live import LiveConfig
from tradepost.stability.switches import Switches
from tradepost.surfaces.api.platform import Platform
from tradepost.trade import inventory, parties, payments

NEWS = {
    "offer.changed.v1": "offer",
    "seller.opened.v1": "seller",
    "seller.state_changed.v1": "seller",
    "seller.fee_changed.v1": "seller",
    "shipping.terms_changed.v1": "seller",
    "campaign.changed.v1": "campaign",
}
"""Events that stand for what caches of other processes must forget."""


@contextlib.asynccontextmanager
async def open_app(
    settings: Settings, *, world: World | None = None, process: str = "", works: bool = True
) -> AsyncIterator[App]:
    """The shop on its database: migrated and wired, its runtime not running; closed in the end.

    `process` is the name of this process in traces. `works` says whether it will run relays, consumers and timers;
    one that only answers opens no bus. Raises Refusal `storage.*`, `settings.*`, `messaging.*` and `telemetry.*`.
    """
    world = world or SystemWorld()
    secret = signing_secret(settings)
    where, folder = database_of(settings), Path(settings.server.data_dir)
    folder.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - before anything is served
    upgrade(where)
    async with contextlib.AsyncExitStack() as closing:
        spans = open_traces(settings, process)
        if spans is not None:
            closing.push_async_callback(asyncio.to_thread, spans.close)
        db = _open_db(settings)
        sandbox = _open_sandbox(settings, world, secret)
        closing.callback(sandbox.close)
        closing.push_async_callback(db.close)
        centre, live = await closing.enter_async_context(followed(settings, world, process))
        kit = _open_kit(settings, live, db, world)
        closing.push_async_callback(kit.close)
        switches = Switches(live)
        carrying = open_bus(settings, world, held=held_back(switches))
        bus = await closing.enter_async_context(carrying) if works else None
        outbox = OutboxWatch(db, world, settings.messaging) if settings.messaging.url else None
        platform = wire(
            Parts(
                kit=kit,
                db=db,
                world=world,
                providers=await closing.enter_async_context(open_providers(settings, world, sandbox)),
                secret=secret,
                settings=settings,
                owner=f"file {DATABASE_FILE}" if is_file(where) else "",
                sandbox=sandbox,
                counted=db,
                config=ConfigDesk(db, world, centre, live),
                switches=switches,
                further={"schema": SchemaWatch(settings).holds},
                spans=spans,
                bus=bus,
                moments=MOMENTS,
                outbox=outbox,
                works=works,
                prove_every_ms=settings.telemetry.prove_every_ms,
            )
        )
        sandbox.deliver_to(webhooks_to(platform))
        await _look_at_keys(settings, platform)
        if bus is not None:
            await bus.check()
        yield App(platform=platform, sandbox=sandbox, settings=settings, kit=kit, outbox=outbox)


def _open_db(settings: Settings) -> OpenStorage:
    chosen = settings.storage
    return open_storage(
        database_of(settings),
        writer=chosen.writer.value,
        group_max=chosen.group_max,
        writers=chosen.writers,
        timeout_s=chosen.statement_timeout_s,
    )


def _open_sandbox(settings: Settings, world: World, secret: bytes) -> SandboxProvider:
    alone, folder = is_file(database_of(settings)), Path(settings.server.data_dir)
    return SandboxProvider(
        world,
        sandbox_secret(secret),
        path=folder / SANDBOX_FILE if alone else None,
        shared=None if alone else folder / SANDBOX_SHARED_FILE,
    )


def _open_kit(settings: Settings, live: LiveConfig, db: Storage, world: World) -> Kit:
    return open_kit(
        live.get,
        db=db,
        world=world,
        available=inventory.available,
        redis_url=settings.cache.url,
        alone=is_file(database_of(settings)),
        workers=settings.server.workers,
        news=NEWS,
    )


async def _look_at_keys(settings: Settings, platform: Platform) -> None:
    """Refuse known keys in production, and enter the operator's own."""
    operator_key = settings.security.operator_key
    if settings.mode is Mode.PRODUCTION:
        await refuse_demo_keys(platform, operator_key)
    if operator_key:
        await parties.bootstrap_operator(platform.db, platform.world, operator_key)


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
