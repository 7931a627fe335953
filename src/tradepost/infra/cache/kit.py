"""The stability kit of one process, wired: alone, or sharing with the other processes through Redis."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from tradepost.infra.cache.nobody import Nobody
from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import Storage, Tx
from tradepost.kernel.world import World
from tradepost.stability.admission import Admission
from tradepost.stability.asked_hints import AskedHints
from tradepost.stability.cache import Cache
from tradepost.stability.hints import SharedHints
from tradepost.stability.keys import Key
from tradepost.stability.limiter import Limiter
from tradepost.stability.news import StreamNews
from tradepost.stability.signals import SharedSignals
from tradepost.stability.tuning import admission_terms, limit_rules

if TYPE_CHECKING:
    from tradepost.infra.cache.redis_link import RedisLink

TOPICS = ("offer", "seller", "key", "campaign")
"""Signals that caches of other processes must hear."""

Available = Callable[[Tx, Iterable[str]], Mapping[tuple[str, str], int]]
"""A query: pieces of these SKUs that can be promised now, by (SKU, pool)."""


class Shared(msgspec.Struct, frozen=True, kw_only=True):
    """What processes tell each other through Redis; every part goes on without it. `link` is None without Redis."""

    link: RedisLink | None
    cache: Cache
    signals: SharedSignals
    hints: SharedHints | AskedHints


class Kit(msgspec.Struct, frozen=True, kw_only=True):
    """Limits and admission of this process; `shared` is None where it is alone."""

    limiter: Limiter
    admission: Admission
    shared: Shared | None = None

    def over(self, db: Storage) -> Storage:
        """The storage to give to caches that live on signals: they hear every process."""
        return db if self.shared is None else self.shared.signals.over(db)

    async def run(self, stop: asyncio.Event) -> None:
        """Everything the kit does beside the requests, until told to stop."""
        works = [self.admission.run(stop)]
        if self.shared is not None:
            works += [self.shared.signals.run(stop), self.shared.hints.run(stop)]
        await asyncio.gather(*works)

    async def close(self) -> None:
        """Close connections; after `run` has ended."""
        if self.shared is not None:
            await self.shared.cache.close()
            if self.shared.link is not None:
                await self.shared.link.close()

    def gauges(self) -> Mapping[str, int]:
        """Numbers for /metrics, by name."""
        found = {**self.limiter.gauges(), **self.admission.gauges()}
        if self.shared is not None:
            found |= self.shared.signals.gauges()
            found |= {} if self.shared.link is None else self.shared.link.gauges()
            found["shared_hints"] = len(self.shared.hints)
        return found

    def conditions(self) -> Mapping[str, bool]:
        """What health tells beside readiness: a process without Redis is welcome to traffic, and says so."""
        link = None if self.shared is None else self.shared.link
        return {} if link is None else {"redis": link.is_up}


def open_kit(
    get: Callable[[Key[Any]], Any],
    *,
    db: Storage,
    world: World,
    available: Available,
    redis_url: str = "",
    namespace: str = "tp",
    alone: bool = True,
    workers: int = 1,
    news: Mapping[str, str] | None = None,
) -> Kit:
    """The kit of this process; `get` reads a key of the config centre. Unless `alone` it needs a running loop.

    `alone` says that no other process changes this database; with a `redis_url` it says nothing. `workers` is how
    many processes share the limits before Redis has told. `news` names the topic by type of event for what the
    database tells about offers and sellers; it must be complete, or be None: then caches forget now and then.
    """
    rules, terms = limit_rules(get), admission_terms(get)
    shared: Shared | None = None
    origin = f"{world.chance(64):016x}"
    if redis_url:  # its client is one of production's: a shop that names none does without
        from tradepost.infra.cache.redis_cache import RedisCache  # noqa: PLC0415
        from tradepost.infra.cache.redis_cells import RedisCells  # noqa: PLC0415
        from tradepost.infra.cache.redis_link import RedisLink  # noqa: PLC0415
        from tradepost.infra.cache.redis_shares import RedisShares  # noqa: PLC0415

        link = RedisLink(redis_url, now_ms=_now_ms, chance=world.chance)
        cache = RedisCache(link, chance=world.chance, now_ms=_now_ms, namespace=namespace)
        admission = Admission(terms, RedisShares(link, origin, namespace), workers)
        limiter = Limiter(rules, _now_us, RedisCells(link, namespace), lambda: admission.workers)
        shared = _share(db, link, cache, available, origin, news)
    else:
        admission = Admission(terms, None, workers)
        limiter = Limiter(rules, _now_us, divided=workers)
        if not alone:
            shared = _share(db, None, Nobody(), available, origin, news)
    return Kit(limiter=limiter, admission=admission, shared=shared)


def _share(
    db: Storage,
    link: RedisLink | None,
    cache: Cache,
    available: Available,
    origin: str,
    news: Mapping[str, str] | None,
) -> Shared:
    poll = None if news is None else StreamNews(db, news, now_ms=_now_ms).read
    read = _reader(db, available)
    hints: SharedHints | AskedHints = AskedHints(read)
    if link is not None:
        hints = SharedHints(cache, read, now_ms=_now_ms, origin=origin)
    db.listen(hints.note)
    return Shared(
        link=link,
        cache=cache,
        signals=SharedSignals(db, cache, topics=TOPICS, origin=origin, poll=poll),
        hints=hints,
    )


def _reader(db: Storage, available: Available) -> Callable[[Sequence[str]], Awaitable[Mapping[str, int]]]:
    async def read(keys: Sequence[str]) -> Mapping[str, int]:
        by_shard: dict[int, set[str]] = {}
        for sku_id in {key.partition("/")[0] for key in keys}:
            by_shard.setdefault(db.shard_of(gene_of(sku_id)), set()).add(sku_id)
        found: dict[str, int] = {}
        for shard, sku_ids in by_shard.items():
            pieces = await db.read(shard, available, sorted(sku_ids))
            found |= {f"{sku_id}/{pool}": count for (sku_id, pool), count in pieces.items()}
        return found

    return read


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def _now_us() -> int:
    return time.monotonic_ns() // 1_000
