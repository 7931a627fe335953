"""A platform from its parts: every subscription, every timer, every room."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from tradepost import markets
from tradepost.app import watching
from tradepost.app.parts import Parts
from tradepost.events import Retention, Runtime
from tradepost.infra.payouts.files import FileBank
from tradepost.infra.payouts.sandbox import SandboxBank
from tradepost.infra.storage.group import GROUP_BOUNDS
from tradepost.kernel.events import Consumer, Sweep, Task
from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import Storage
from tradepost.settings import Mode, Settings
from tradepost.stability.live import LiveConfig
from tradepost.stability.switches import EVENTS_SLOW_LANE, Switches
from tradepost.surfaces.api.platform import Groups, Limits, Platform
from tradepost.surfaces.api.vitals import Vitals
from tradepost.telemetry.delivery import watch_claims, watch_sweeps, watch_tasks
from tradepost.telemetry.storage import TracedStorage
from tradepost.trade import (
    aftersales,
    cart,
    catalog,
    checkout,
    creators,
    fulfilment,
    inventory,
    invoicing,
    ledger,
    orders,
    parties,
    payments,
    pricing,
    promotion,
    settlement,
    shipping,
)

DAY_MS = 86_400_000
SLOW_CONSUMERS = frozenset({"orders.seller_view", "creators.orders", "creators.earnings"})
"""Consumers that move neither money nor stock: they may wait."""


def held_back(switches: Switches) -> Callable[[str], bool]:
    """Whether a subscription has to wait for now, by name."""
    return lambda name: name in SLOW_CONSUMERS and switches.is_on(EVENTS_SLOW_LANE)


def consumers() -> list[Consumer]:
    """Every subscription whose effect lies in the database."""
    rooms = (catalog, inventory, orders, payments, fulfilment, aftersales, settlement, creators)
    return [consumer for room in rooms for consumer in room.CONSUMERS]


def tasks(parts: Parts) -> list[Task]:
    """Every subscription whose effect lies outside."""
    return [
        *checkout.tasks(parts.db, parts.world),
        *payments.tasks(parts.db, parts.world, parts.providers),
        *invoicing.tasks(parts.db, parts.world, markets.market),
    ]


def sweeps(parts: Parts) -> list[Sweep]:
    """Every timer."""
    db, world, kept = parts.db, parts.world, parts.settings.retention

    async def claim(buyer_id: str, checkout_id: str) -> bool:
        shard = db.shard_of(gene_of(buyer_id))
        return await db.transact(shard, checkout.claim_checkout, buyer_id, checkout_id, world.now_ms())

    return [
        *inventory.sweeps(db, world, watch_claims(claim, parts.board)),
        *orders.sweeps(db, world),
        *payments.sweeps(db, world, parts.providers, kept.webhooks_days * DAY_MS),
        *checkout.sweeps(db, kept.tombstones_days * DAY_MS),
        *aftersales.sweeps(db, world, lambda: checkout_context(parts)),
        *cart.sweeps(db, world),
        *ledger.sweeps(db, world),
        *settlement.sweeps(
            db, world, bank_of(parts), lambda: pricing.rates_in_force(live_of(parts), world.now_ms())
        ),
        *creators.sweeps(db, world),
    ]


def bank_of(parts: Parts) -> settlement.PayoutBank:
    """Who pays sellers and creators: in production nobody is told that a sandbox paid."""
    if parts.bank is not None:
        return parts.bank
    chosen = parts.settings.payouts
    if chosen.bank == "sandbox" or (not chosen.bank and parts.settings.mode is not Mode.PRODUCTION):
        return SandboxBank()
    folder = Path(chosen.folder) if chosen.folder else Path(parts.settings.server.data_dir) / "payouts"
    return FileBank(folder, parts.world)


def wire(parts: Parts) -> Platform:
    """A platform from its parts, with nothing started yet."""
    if parts.spans is not None:
        parts = msgspec.structs.replace(parts, db=TracedStorage(parts.db, parts.spans))
    settings, db, world = parts.settings, parts.db, parts.world
    parts.providers.join(payments.StoredValueProvider(db, world))
    context, runtime, counted = checkout_context(parts), make_runtime(parts), parts.counted
    watching.register(parts)
    vitals = Vitals(
        db,
        world,
        runtime,
        context.hints,
        depth=counted.depth if counted else None,
        further=parts.further,
        relay_is_vital=parts.works and not settings.messaging.url,
    )
    return Platform(
        db=db,
        world=world,
        keyring=parties.KeyRing(heard_db(parts), world, parts.secret),
        checkout=context,
        runtime=runtime,
        providers=parts.providers,
        limits=Limits(
            body_bytes_max=settings.limits.body_bytes_max,
            lines_max=settings.limits.lines_max,
            page_max=settings.limits.page_max,
            import_bytes_max=settings.limits.import_bytes_max,
            deadline_ms=settings.server.request_deadline_ms,
        ),
        checks=vitals.checks,
        gauges=vitals.gauges,
        groups=lambda: (
            Groups(bounds=GROUP_BOUNDS, counts=counted.groups, calls=counted.calls) if counted else None
        ),
        conditions=lambda: {**vitals.conditions(), **watching.conditions(parts)},
        warnings=lambda: watching.warnings(parts),
        sandbox=None if settings.mode is Mode.PRODUCTION else parts.sandbox,
        config=parts.config,
        switches=parts.switches,
        admission=None if parts.kit is None else parts.kit.admission,
        limiter=None if parts.kit is None else parts.kit.limiter,
        board=parts.board,
        spans=parts.spans,
    )


def make_runtime(parts: Parts) -> Runtime:
    """Relays, consumers and timers, not running. A process that only answers has one to ask how far it is."""
    return Runtime(
        parts.db,
        parts.world,
        consumers=consumers(),
        slow=SLOW_CONSUMERS,
        held=lambda: parts.switches.is_on(EVENTS_SLOW_LANE),
        tasks=watch_tasks(tasks(parts), parts.board, parts.spans),
        sweeps=watch_sweeps([*sweeps(parts), *watching.proofs(parts)], parts.board),
        owner=parts.owner,
        bus=watching.watched_bus(parts),
        moments=parts.moments,
        kept=events_kept(parts.settings),
    )


def events_kept(settings: Settings) -> Retention:
    """How long the events room keeps what it is done with."""
    kept = settings.retention
    return Retention(
        inbox_ms=kept.inbox_days * DAY_MS,
        answers_ms=kept.answers_days * DAY_MS,
        events_ms=kept.events_days * DAY_MS,
    )


def heard_db(parts: Parts) -> Storage:
    """The storage for caches: its listeners hear what other processes commit."""
    return parts.db if parts.kit is None else parts.kit.over(parts.db)


def live_of(parts: Parts) -> LiveConfig | None:
    """What may change while the shop runs; None where there is no config centre."""
    return parts.live if parts.config is None else parts.config.live


def checkout_context(parts: Parts) -> checkout.Context:
    """What placing orders needs, from settings and parts."""
    settings, db, world = parts.settings, parts.db, parts.world
    chosen = settings.checkout
    return checkout.Context(
        db=db,
        world=world,
        book=catalog.OfferBook(heard_db(parts)),
        hints=inventory.SoldOutHints(
            db,
            shared=parts.kit.shared.hints if parts.kit is not None and parts.kit.shared is not None else None,
        ),
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
        switches=parts.switches,
        live=live_of(parts),
        campaigns=promotion.CampaignBook(heard_db(parts)),
        shipping=shipping.TermsBook(db),
        first_bucket=world.chance(4),
    )
