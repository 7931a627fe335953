"""One day: a fresh town on fresh databases, a list of steps, and a last calm stretch in which all must end well."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence

import msgspec

from tradepost import app
from tradepost.kernel.errors import Refusal
from tradepost.testing.simulation import store
from tradepost.testing.simulation.actors import ACTS
from tradepost.testing.simulation.actors.caring import clear_up
from tradepost.testing.simulation.audit import Audit
from tradepost.testing.simulation.invariants import check_touched
from tradepost.testing.simulation.loop import Deadlock, Livelock, VirtualLoop
from tradepost.testing.simulation.network import ConnectionLost
from tradepost.testing.simulation.process import Site
from tradepost.testing.simulation.stage import Stage
from tradepost.testing.simulation.steps import Step
from tradepost.testing.simulation.storage import Databases, FragileEngine
from tradepost.testing.simulation.town import Town, open_town
from tradepost.testing.simulation.weather import Weather
from tradepost.testing.simulation.world import SimWorld
from tradepost.trade.payments import ProviderFact

SIDE_BY_SIDE = 6
AUDIT_EVERY = 1_000
FAILURES_MAX = 20
LULL_S = 1.2
LOOK_S = 0.002
PATIENCE = 60_000
"""How often a look is taken before a step counts as stuck: two minutes, however the clock leaps."""
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
LULLS_MS = (
    0,
    20_000,
    MINUTE,
    5 * MINUTE,
    16 * MINUTE,
    31 * MINUTE,
    *(HOUR,) * 4,
    *(DAY,) * 4,
    *(2 * DAY,) * 3,
    *(5 * MINUTE,) * 4,
    *(HOUR,) * 4,
)
"""How the clock leaps when faults have stopped: past every deadline, retry and question that may be open."""


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """What one day is made of."""

    seed: str
    shards: int
    faults: tuple[str, ...]
    steps: tuple[Step, ...]
    engine: Callable[[int, int], FragileEngine] = FragileEngine


class DayReport(msgspec.Struct, kw_only=True):
    """What came of a day: steps done, findings (none is good), the log line by line, and counts."""

    steps: int = 0
    failures: list[str] = []
    log: list[str] = []
    outcomes: dict[str, int] = {}
    orders: int = 0
    crashes: int = 0


def run_day(day: Day, heard: Callable[[], None] = lambda: None) -> DayReport:
    """Live through a day. `heard` is called after every step. The same day gives the same report."""
    loop = VirtualLoop()
    run = _Run(day, loop, heard)
    ears = _Ears(run.fail)
    logger = logging.getLogger("tradepost")
    level, spreads = logger.level, logger.propagate
    logger.addHandler(ears)
    logger.propagate = False
    logger.setLevel(logging.WARNING)
    loop.set_exception_handler(
        lambda _, __: None
    )  # what is nobody's answer was told by `fail` where it arose
    try:
        loop.run_until_complete(run.live())
    except (Deadlock, Livelock) as error:
        run.fail(f"{type(error).__name__.lower()}: {error}")
    except Refusal as refusal:  # while the town was opened or cleared up: nobody else would say so
        run.fail(f"crashed day: {refusal.code}: {refusal.detail}")
    finally:
        logger.removeHandler(ears)
        logger.propagate = spreads
        logger.setLevel(level)
        run.close()
    return run.report


class _Ears(logging.Handler):
    """Hears what the runtime swallows: anything but a refusal and a lost lease is a defect."""

    def __init__(self, fail: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._fail = fail

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and isinstance(record.exc_info[1], Exception):
            self._judge(record, record.exc_info[1])
        for part in record.args if isinstance(record.args, tuple) else ():
            if isinstance(part, Exception):
                self._judge(record, part)
            elif isinstance(part, str) and record.msg.startswith("%s failed on"):
                name = part.partition(":")[0]
                if name.endswith(("Error", "Taken", "Exception")) and name != "TimeoutError":
                    self._fail(f"crashed consumer: {record.getMessage()}")

    def _judge(self, record: logging.LogRecord, error: Exception) -> None:
        if not isinstance(error, Refusal | TimeoutError) and type(error).__name__ != "LeaseLost":
            self._fail(f"crashed runtime: {record.getMessage()}: {type(error).__name__}: {error}")


class _Run:
    """A day under way."""

    def __init__(self, day: Day, loop: VirtualLoop, heard: Callable[[], None]) -> None:
        self.report = DayReport(failures=[], log=[], outcomes={})
        self._day = day
        self._loop = loop
        self._heard = heard
        self._weather = Weather(day.faults)
        self._world = SimWorld(loop, day.seed)
        self._databases = Databases(day.shards, day.engine)
        self._site = Site(loop, self._world, self._weather, self._databases, self.fail)
        self._consumers = app.consumers()
        self._town = Town()
        self._acting: dict[asyncio.Task[None], str] = {}

    def fail(self, finding: str) -> None:
        """Note a finding; the day ends at the next step."""
        if len(self.report.failures) < FAILURES_MAX and finding not in self.report.failures:
            self.report.failures.append(finding)

    def close(self) -> None:
        """Release the loop and the databases."""
        self._loop.close()
        self._databases.close()

    async def live(self) -> None:
        """The whole day."""
        chance = random.Random(self._day.seed)
        faults, self._weather.faults = self._weather.faults, frozenset()
        self._site.start()
        provider = self._site.outside(self._site.run_provider())
        assert self._site.living is not None
        self._town = await open_town(self._site.living.storage, self._world, chance)
        self._weather.faults = faults
        await self._walk(self._day.steps)
        if not self.report.failures:
            await self._end_well()
        self.report.crashes = self._site.crashes
        provider.cancel()
        if self._site.living is not None:
            self._site.living.die()
        await asyncio.sleep(LOOK_S)

    async def _walk(self, steps: Sequence[Step]) -> None:
        for number, step in enumerate(steps):
            await self._fewer_than(SIDE_BY_SIDE)
            if self.report.failures:
                break
            self._weather.reseed(step.seed)
            task = self._loop.create_task(self._act(number, step))
            self._acting[task] = str(step)
            task.add_done_callback(lambda done: self._acting.pop(done, None))
            await asyncio.sleep(self._weather.gap_s())
            if (number + 1) % AUDIT_EVERY == 0 and not self.report.failures:
                self._audit()
        await self._fewer_than(1)

    async def _fewer_than(self, many: int) -> None:
        """Wait until fewer steps are under way; one that never ends is a finding."""
        for _ in range(PATIENCE):
            if len(self._acting) < many:
                return
            await asyncio.sleep(LOOK_S)
        self.fail(f"stuck: {' '.join(self._acting.values())}")

    async def _act(self, number: int, step: Step) -> None:
        stage = Stage(self._site, self._town, step)
        try:
            outcome, word = await ACTS[step.kind](stage), "done"
        except Refusal as refusal:
            outcome = word = f"refused {refusal.code}"
        except ConnectionLost:
            outcome = word = "lost"
        except Exception as error:
            outcome, word = f"defect {type(error).__name__}: {error}", "defect"
            self.fail(f"crashed step: {step.kind}: {type(error).__name__}: {error}")
        self.report.steps += 1
        self.report.outcomes[f"{step.kind} {word}"] = self.report.outcomes.get(f"{step.kind} {word}", 0) + 1
        self.report.log.append(f"{self._world.now_ms()} {number} {step} {outcome}")
        for finding in check_touched(self._databases.readers, stage.touched):
            self.fail(finding)
        self._heard()

    def _audit(self) -> Audit:
        audit = Audit(self._databases.readers, self._consumers, self._world.now_ms())
        audit.look(self._town.received, self._town.placed)
        for finding in audit.findings:
            self.fail(finding)
        self.report.orders = len(audit.orders)
        return audit

    async def _end_well(self) -> None:
        self._weather.calm()
        for engine in self._databases.engines:
            engine.armed, engine.losses = "", 0
        for by_ms in LULLS_MS:
            self._loop.jump(by_ms)
            await asyncio.sleep(LULL_S)
            await self._clear_up(retry=by_ms < HOUR)
        await asyncio.sleep(LULL_S)
        audit = self._audit()
        if not self.report.failures:
            audit.look_at_end(await self._provider_says())
            for finding in audit.findings:
                self.fail(finding)

    async def _clear_up(self, *, retry: bool) -> None:
        living = self._site.living
        if living is not None:
            for shard in range(self._day.shards):
                await living.spawn(clear_up(living.platform, shard, retry=retry))

    async def _provider_says(self) -> dict[str, ProviderFact]:
        facts: dict[str, ProviderFact] = {}
        for tx in self._databases.readers:
            for row in store.payment_rows(tx):
                fact = await self._site.sandbox.ask(row[0])
                if fact is not None:
                    facts[row[0]] = fact
        return facts
