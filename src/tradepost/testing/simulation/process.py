"""The platform as a process: wired on the committed databases, killed in the middle, started again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator, Mapping
from contextvars import Context, ContextVar, copy_context
from typing import Any, TypeVar

from tradepost.app import Parts, sandbox_secret, wire
from tradepost.infra.payments.sandbox import SandboxProvider
from tradepost.kernel.errors import Refusal
from tradepost.settings import CheckoutSettings, PaymentSettings, Settings
from tradepost.stability.live import LiveConfig
from tradepost.surfaces.api.platform import Platform
from tradepost.testing.simulation import store
from tradepost.testing.simulation.loop import VirtualLoop
from tradepost.testing.simulation.network import ConnectionLost, ProviderLine, postman
from tradepost.testing.simulation.storage import Databases, MemoryStorage
from tradepost.testing.simulation.town import TOWN_RATES
from tradepost.testing.simulation.weather import Weather
from tradepost.testing.simulation.world import SimWorld
from tradepost.trade import payments
from tradepost.trade.pricing import RATES

T = TypeVar("T")
SECRET = b"the secret of a simulated platform"
SETTINGS = Settings(
    checkout=CheckoutSettings(
        velocity_orders_max=40,
        remorse_ms=4_000,
        complete_after_ms=3_600_000,
        return_window_ms=172_800_000,
        hold_ttl_ms=20_000,
    ),
    payments=PaymentSettings(call_timeout_ms=200),
)
RESTART_S = 0.02
TICK_S = 0.2

_LIVING: ContextVar[Incarnation | None] = ContextVar("living", default=None)


def live_of(world: SimWorld) -> LiveConfig:
    """What a process holds of a config centre: the rates that goods sold converted are priced at."""
    live = LiveConfig(None, world)
    live.hold({RATES.name: list(TOWN_RATES)})
    return live


class Incarnation:
    """One life of the process. Every task born inside it dies with it."""

    def __init__(self, site: Site) -> None:
        self.tasks: dict[asyncio.Task[Any], None] = {}
        self.storage = MemoryStorage(site.databases, site.loop, site.weather, site.crash)
        self.line = ProviderLine(site.sandbox, site.weather, site.outside)
        self._loop = site.loop
        self._context = copy_context()
        self._context.run(_LIVING.set, self)
        self.platform: Platform = self._context.run(
            wire,
            Parts(
                db=self.storage,
                world=site.world,
                providers=payments.Providers(self.line, call_timeout_ms=SETTINGS.payments.call_timeout_ms),
                secret=SECRET,
                settings=SETTINGS,
                owner="simulation",
                live=live_of(site.world),
            ),
        )
        self.spawn(self.platform.runtime.run(asyncio.Event()))

    def spawn(self, story: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start something inside this life."""
        return self._loop.create_task(story, context=self._context)

    def die(self) -> None:
        """As kill -9 does: what is not committed is lost, nobody is answered, nothing more gets out."""
        self.storage.dead = self.line.dead = True
        for task in list(self.tasks):
            task.cancel()


class Site:
    """Where it all stands: databases and provider, which outlive crashes, and the present incarnation."""

    def __init__(
        self,
        loop: VirtualLoop,
        world: SimWorld,
        weather: Weather,
        databases: Databases,
        fail: Callable[[str], None],
    ) -> None:
        self.loop = loop
        self.world = world
        self.weather = weather
        self.databases = databases
        self.fail = fail
        self.crashes = 0
        self.living: Incarnation | None = None
        self._outer = copy_context()
        self._outer.run(_LIVING.set, None)
        self.sandbox = SandboxProvider(world, sandbox_secret(SECRET))
        self.sandbox.deliver_to(postman(weather, self._arrive))
        loop.set_task_factory(_born)

    def start(self) -> None:
        """Bring the platform up on what is committed."""
        self.databases.recover()
        self.living = Incarnation(self)

    def crash(self) -> None:
        """End this life now; the next one begins a moment later."""
        if self.living is not None:
            self.crashes += 1
            self.living.die()
            self.living = None
            self.loop.call_later(RESTART_S, self.start, context=self._outer)

    def arm(self, shard: int, moment: str) -> None:
        """Crash at the next commit of a shard, before it or right after it."""
        self.databases.engines[shard].armed = moment

    def rewind(self, shard: int, rows: int) -> None:
        """Put a relay's cursor back by so many events, as a backup of it would."""
        store.rewind(self.databases.engines[shard].connection, rows)

    async def ask(self, story: Callable[[Platform], Coroutine[Any, Any, T]]) -> T:
        """A request from outside. Raises what the story refuses, and ConnectionLost when the process is gone.

        Anything else the story raises is a defect and fails the run.
        """
        living = self.living
        if living is None:
            raise ConnectionLost
        task = living.spawn(story(living.platform))
        try:
            return await task
        except asyncio.CancelledError:
            raise ConnectionLost from None
        except (Refusal, ConnectionLost):
            raise
        except Exception as error:
            self.fail(f"crashed request: {type(error).__name__}: {error}")
            raise

    def outside(self, story: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start something that no crash of ours reaches."""
        return self.loop.create_task(self._watched(story), context=self._outer)

    async def _watched(self, story: Coroutine[Any, Any, T]) -> T:
        try:
            return await story
        except (Refusal, ConnectionLost, TimeoutError):
            raise
        except Exception as error:
            self.fail(f"crashed provider: {type(error).__name__}: {error}")
            raise

    async def run_provider(self) -> None:
        """The provider's own clock: what it planned falls due."""
        while True:
            await asyncio.sleep(TICK_S)
            due_ms = self.sandbox.next_due_ms()
            if due_ms is not None and due_ms <= self.world.now_ms():
                await self.sandbox.run_due(self.world.now_ms())

    async def _arrive(self, headers: Mapping[str, str], body: bytes) -> None:
        def story(platform: Platform) -> Coroutine[Any, Any, payments.PaymentView]:
            return payments.handle_webhook(
                platform.db, platform.world, platform.providers, "sandbox", headers, body
            )

        await self.ask(story)


def _born(
    loop: asyncio.AbstractEventLoop,
    story: Coroutine[Any, Any, T] | Generator[Any, None, T],
    context: Context | None = None,
) -> asyncio.Task[T]:
    """Every task is entered in the life it was born in."""
    task = asyncio.Task(story, loop=loop, context=context)
    living = _LIVING.get() if context is None else context.get(_LIVING)
    if living is not None:
        living.tasks[task] = None
        task.add_done_callback(lambda done: living.tasks.pop(done, None))
    return task
