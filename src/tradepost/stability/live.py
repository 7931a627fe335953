"""Live values: what every process holds of the config centre. Reading one is a dictionary look-up.

A task follows the centre and swaps the whole table at once. What does not fit is ignored with an alarm and the last
good value stays; what the centre forgets stays too. While the centre is away everything goes on with what is held.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.kernel.world import World
from tradepost.stability.centre import CentreForgot, CentreUnavailable, ConfigCentre, Entry, Snapshot
from tradepost.stability.keys import (
    Document,
    Judged,
    Key,
    choose,
    decode_document,
    encode_document,
    find_key,
    judge,
    knows,
)
from tradepost.stability.last_good import LastGood, keep, recall

T = TypeVar("T")
START_WAIT_S = 3.0
REST_FIRST_S = 0.05
REST_LONGEST_S = 1.0
KEEP_REST_S = 1.0
log = logging.getLogger("tradepost.config")

UNREACHABLE = "centre_unreachable"
LAST_GOOD = "last_good_used"
UNWRITTEN = "last_good_unwritten"
IGNORED = "value_ignored"
MISSING = "entry_missing"


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """Something an operator should know. `about` is a key, or empty."""

    kind: str
    about: str
    detail: str
    since_ms: int


class LiveConfig:
    """The values of one process. `instance` is its name in rules; `last_good` a file of its own, None for none.

    Without a centre every key has its default. `start` never fails and waits 3 s at most.
    """

    def __init__(
        self,
        centre: ConfigCentre | None,
        world: World,
        *,
        instance: str = "",
        last_good: Path | None = None,
        start_wait_s: float = START_WAIT_S,
    ) -> None:
        self.instance = instance
        self._centre = centre
        self._world = world
        self._file = last_good
        self._start_wait_s = start_wait_s
        self._judged: dict[str, Judged] = {}
        self._texts: dict[str, bytes] = {}
        """Documents in force, and those of keys that this process does not know, as they came."""
        self._revision = 0
        self._in_step = False
        self._alarms: dict[tuple[str, str], Alarm] = {}
        self._listeners: list[Callable[[frozenset[str]], None]] = []
        self._returned: list[Callable[[], None]] = []
        self._swapped = asyncio.Event()
        self._to_keep = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def get(self, key: Key[T], *, market: str = "", instance: str = "", subject: str = "") -> T:
        """The value in force. Tell the market and the subject (a buyer, an app) where rules may choose by them."""
        found = self._judged.get(key.name) or self._late(key)
        if found is None:
            return key.default
        if found.rules:
            return choose(key.name, found, instance or self.instance, market, subject)  # type: ignore[no-any-return]
        return found.value  # type: ignore[no-any-return]

    def hold(self, values: Mapping[str, Any]) -> None:
        """Have these values from now on, in a process without a centre: judged as if a centre had told them."""
        documents = {name: Document(version=1, value=value) for name, value in values.items()}
        self._take([Entry(name, encode_document(each), 1) for name, each in documents.items()])

    def _late(self, key: Key[Any]) -> Judged | None:
        """The document of a key that was declared after it came."""
        text = self._texts.get(key.name)
        if text is not None and knows(key.name):
            self._take([Entry(key.name, text, self._revision)])
        return self._judged.get(key.name)

    def version(self, name: str) -> int:
        """The version of a key in force here, 0 for the default."""
        found = self._judged.get(name)
        return 0 if found is None else found.document.version

    def found(self, name: str) -> Judged | None:
        """What is in force for a key, None for the default."""
        return self._judged.get(name)

    @property
    def revision(self) -> int:
        """The centre's revision that this process has reached."""
        return self._revision

    @property
    def reachable(self) -> bool:
        """Whether the centre answers; true without one."""
        return self._centre is None or self._in_step

    @property
    def following(self) -> bool:
        """Whether changes are followed: started and not closed."""
        return bool(self._tasks)

    def alarms(self) -> tuple[Alarm, ...]:
        """What an operator should know now, oldest first."""
        return tuple(sorted(self._alarms.values(), key=lambda alarm: alarm.since_ms))

    def gauges(self) -> Mapping[str, int]:
        """Numbers for /metrics."""
        kinds = [kind for kind, _ in self._alarms]
        return {
            "config_centre_up": int(self.reachable),
            "config_revision": self._revision,
            "config_last_good_used": kinds.count(LAST_GOOD),
            "config_values_ignored": kinds.count(IGNORED),
            "config_entries_missing": kinds.count(MISSING),
        }

    def on_change(self, listener: Callable[[frozenset[str]], None]) -> None:
        """Call this with the names of the keys that changed, right after each swap. It must not raise or wait."""
        self._listeners.append(listener)

    def on_return(self, listener: Callable[[], None]) -> None:
        """Call this when the centre answers again."""
        self._returned.append(listener)

    async def wait(self, after: int, wait_s: float) -> int:
        """The revision once it is beyond `after`, or whatever it is when the time is up."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_s
        while self._revision <= after and (left := deadline - loop.time()) > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._swapped.wait(), left)
        return self._revision

    async def start(self) -> None:
        """Read the centre, or the last good file when it does not answer in time, and follow it from now on."""
        if self._centre is None or self._tasks:
            return
        try:
            async with asyncio.timeout(self._start_wait_s):
                self._take_all(await self._centre.read())
        except (CentreUnavailable, TimeoutError) as error:
            self._lose(error)
            self._recall()
        self._tasks = [asyncio.create_task(self._follow(self._centre)), asyncio.create_task(self._keep())]

    async def close(self) -> None:
        """Stop following; the values stay. The centre is its owner's to close."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    async def _follow(self, centre: ConfigCentre) -> None:
        loop = asyncio.get_running_loop()
        rest_s, watched_at = 0.0, loop.time()
        while True:
            try:
                if not self._in_step:
                    async with asyncio.timeout(self._start_wait_s):
                        found = await centre.read()
                    self._take_all(found)
                watched_at = loop.time()
                async for change in centre.watch(self._revision):
                    self._take(change.entries.values(), change.revision)
                raise CentreUnavailable("the stream ended")
            except CentreForgot:
                self._in_step = False
            except (CentreUnavailable, TimeoutError) as error:
                if self._in_step and loop.time() - watched_at > REST_LONGEST_S:
                    self._in_step, rest_s = False, REST_FIRST_S
                    continue  # a stream that broke after a while is no alarm: the read decides
                self._lose(error)
                await asyncio.sleep(rest_s + self._jitter_s(rest_s))
                rest_s = min(max(rest_s * 2, REST_FIRST_S), REST_LONGEST_S)
            except Exception:
                log.exception("following the config centre broke; it goes on")
                self._lose(CentreUnavailable("a defect of ours, see the log"))
                await asyncio.sleep(REST_LONGEST_S)

    def _jitter_s(self, rest_s: float) -> float:
        """Up to a quarter more, so that a fleet does not come back at one moment."""
        return rest_s * self._world.chance(8) / 1024

    def _lose(self, error: BaseException) -> None:
        self._in_step = False
        self._raise(UNREACHABLE, "", str(error) or type(error).__name__)

    def _take_all(self, found: Snapshot) -> None:
        was_away = bool(self._alarms.get((UNREACHABLE, "")))
        gone = [Entry(name, None, found.revision) for name in self._texts if name not in found.entries]
        self._in_step = True
        self._settle(UNREACHABLE)
        self._settle(LAST_GOOD)
        self._take([*found.entries.values(), *gone], found.revision, restart=True)
        if was_away:
            log.warning("the config centre answers again, at revision %s", found.revision)
            for listener in self._returned:
                listener()

    def _take(self, entries: Iterable[Entry], revision: int = 0, *, restart: bool = False) -> None:
        """Judge entries beside the table in use, then swap the table."""
        judged, texts = dict(self._judged), dict(self._texts)
        changed: set[str] = set()
        for entry in entries:
            if entry.text is None:
                if entry.name in texts:
                    self._raise(
                        MISSING, entry.name, "the centre lost this entry; its last value stays in force"
                    )
                continue
            self._settle(MISSING, entry.name)
            if not knows(entry.name):
                texts[entry.name] = entry.text
                continue
            try:
                found = judge(find_key(entry.name), decode_document(entry.text))
            except Refusal as refusal:
                self._raise(IGNORED, entry.name, refusal.detail)
                continue
            self._settle(IGNORED, entry.name)
            if texts.get(entry.name) != entry.text or entry.name not in judged:
                changed.add(entry.name)
            judged[entry.name], texts[entry.name] = found, entry.text
        self._judged, self._texts = judged, texts
        self._revision = revision if restart else max(self._revision, revision)
        self._to_keep.set()
        self._swapped.set()
        self._swapped = asyncio.Event()
        if changed:
            log.info("config revision %s: %s", self._revision, ", ".join(sorted(changed)))
            for listener in self._listeners:
                listener(frozenset(changed))

    def _recall(self) -> None:
        kept = None if self._file is None else recall(self._file)
        if kept is None:
            return
        self._raise(LAST_GOOD, "", f"values of revision {kept.revision}, written down at {kept.at_ms}")
        self._take(Entry(name, bytes(text), kept.revision) for name, text in kept.documents.items())

    async def _keep(self) -> None:
        """Write the last good file after each swap, at most once a second."""
        while self._file is not None:
            await self._to_keep.wait()
            self._to_keep.clear()
            if self._in_step:
                found = LastGood(
                    instance=self.instance,
                    revision=self._revision,
                    at_ms=self._world.now_ms(),
                    documents={name: msgspec.Raw(text) for name, text in self._texts.items()},
                )
                try:
                    await asyncio.to_thread(keep, self._file, found)
                    self._settle(UNWRITTEN)
                except OSError as error:
                    self._raise(UNWRITTEN, "", str(error))
            await asyncio.sleep(KEEP_REST_S)

    def _raise(self, kind: str, about: str, detail: str) -> None:
        known = self._alarms.get((kind, about))
        if known is None or known.detail != detail:
            level = logging.WARNING if known else logging.ERROR
            log.log(level, "config alarm %s %s: %s", kind, about, detail)
        since_ms = known.since_ms if known else self._world.now_ms()
        self._alarms[kind, about] = Alarm(kind=kind, about=about, detail=detail, since_ms=since_ms)

    def _settle(self, kind: str, about: str = "") -> None:
        self._alarms.pop((kind, about), None)
