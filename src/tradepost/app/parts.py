"""What a platform is wired from, and what an opened shop is."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from tradepost.app.messaging import OutboxWatch
from tradepost.events.bus import Bus, Moment
from tradepost.infra.cache.kit import Kit
from tradepost.infra.payments.sandbox import SandboxProvider
from tradepost.infra.storage.opening import OpenStorage
from tradepost.kernel.tx import Storage
from tradepost.kernel.world import World
from tradepost.settings import Settings
from tradepost.stability.desk import ConfigDesk
from tradepost.stability.live import LiveConfig
from tradepost.stability.switches import Switches
from tradepost.surfaces.api.platform import Platform
from tradepost.telemetry.metrics import Board
from tradepost.telemetry.spans import Spans
from tradepost.trade import payments, settlement


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What a platform is wired from; a simulation brings its own.

    `counted` is the storage where it tells of its groups; `further` adds readiness checks. `bus` carries events,
    None delivers them in this process; `moments` tell it of timers. `works` says whether relays, consumers and
    timers run in this process: where they do not it has no bus. `outbox` watches what waits for a broker.
    Books and stock are proved every `prove_every_ms`, 0 never. `bank` pays sellers, None is what the settings choose.
    `live` holds values where there is no `config`.
    """

    db: Storage
    world: World
    providers: payments.Providers
    secret: bytes
    settings: Settings
    owner: str = ""
    sandbox: SandboxProvider | None = None
    counted: OpenStorage | None = None
    config: ConfigDesk | None = None
    live: LiveConfig | None = None
    kit: Kit | None = None
    switches: Switches = msgspec.field(default_factory=Switches)
    further: dict[str, Callable[[], bool]] = {}
    board: Board = msgspec.field(default_factory=Board)
    spans: Spans | None = None
    bus: Bus | None = None
    moments: tuple[Moment, ...] = ()
    outbox: OutboxWatch | None = None
    works: bool = True
    prove_every_ms: int = 0
    bank: settlement.PayoutBank | None = None


class App(msgspec.Struct, frozen=True, kw_only=True):
    """An opened shop: the wired platform and the outside party that runs beside it in the sandbox."""

    platform: Platform
    sandbox: SandboxProvider
    settings: Settings
    kit: Kit
    outbox: OutboxWatch | None = None
