"""The cache port on Redis: copies and leases are keys, each step is one script, followers read one channel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from redis.asyncio import Redis

from tradepost.infra.cache.redis_ear import RedisEar
from tradepost.infra.cache.redis_link import RedisLink
from tradepost.stability.cache import LEASE_MS, Copy, Fill, Follower

FETCH = """
local answers = {}
for i = 1, #KEYS, 2 do
  local value, lease = redis.call('GET', KEYS[i]), ''
  if not value then
    lease = redis.call('GET', KEYS[i + 1])
    if not lease then
      lease = ARGV[(i + 1) / 2 + 1]
      redis.call('SET', KEYS[i + 1], lease, 'PX', ARGV[1])
    end
  end
  answers[i], answers[i + 1] = value, lease
end
return answers
"""

FILL = """
local answers, arg = {}, 3
for i = 1, #KEYS, 2 do
  local lease, value, ttl, tell = ARGV[arg], ARGV[arg + 1], ARGV[arg + 2], ARGV[arg + 3]
  local filled = 0
  if redis.call('GET', KEYS[i + 1]) == lease and redis.call('EXISTS', KEYS[i]) == 0 then
    redis.call('SET', KEYS[i], value, 'PX', ttl)
    redis.call('DEL', KEYS[i + 1])
    if tell == '1' then
      local key = string.sub(KEYS[i], ARGV[1] + 1)
      redis.call('PUBLISH', ARGV[2], 'f' .. #key .. ':' .. key .. value)
    end
    filled = 1
  end
  answers[#answers + 1] = filled
  arg = arg + 4
end
return answers
"""

DROP = """
local told = {}
for i = 1, #KEYS, 2 do
  redis.call('UNLINK', KEYS[i], KEYS[i + 1])
  local key = string.sub(KEYS[i], ARGV[1] + 1)
  told[#told + 1] = #key .. ':' .. key
end
redis.call('PUBLISH', ARGV[2], 'd' .. #ARGV[3] .. ':' .. ARGV[3] .. table.concat(told))
return #told
"""


class RedisCache:
    """Copies under `namespace:copy:`, leases under `namespace:lease:`, the channel `namespace:notes`.

    Every key ends by itself, so Redis may be bounded with any eviction policy. One primary without cluster mode: a
    script touches keys of many slots.
    """

    def __init__(
        self,
        link: RedisLink,
        *,
        chance: Callable[[int], int],
        now_ms: Callable[[], int],
        namespace: str = "tp",
    ) -> None:
        self._link = link
        self._chance = chance
        self._copy, self._lease = f"{namespace}:copy:", f"{namespace}:lease:"
        self._told: tuple[int, str] = (len(self._copy), f"{namespace}:notes")
        self._ear = RedisEar(link.redis, self._told[1], now_ms)
        register = link.redis.register_script
        self._fetch: Any = register(FETCH)
        self._fill: Any = register(FILL)
        self._drop: Any = register(DROP)

    async def fetch(self, keys: Sequence[str]) -> list[Copy]:
        """See the port."""
        leases = [f"{self._chance(64):016x}" for _ in keys]
        found = await self._run(self._fetch, keys, [LEASE_MS, *leases])
        return [Copy(found[at], found[at + 1]) for at in range(0, len(found), 2)]

    async def look(self, keys: Sequence[str]) -> list[bytes | None]:
        """See the port."""
        if not keys:
            return []
        names = [self._copy + key for key in keys]

        async def get(redis: Redis) -> Any:
            return await redis.mget(names)

        found: list[bytes | None] = await self._link.call(get)
        return found

    async def fill(self, fills: Sequence[Fill]) -> list[bool]:
        """See the port."""
        args: list[Any] = [*self._told]
        for fill in fills:
            args += (fill.lease, fill.value, max(1, fill.ttl_ms), int(fill.tell))
        filled = await self._run(self._fill, [fill.key for fill in fills], args)
        return [bool(one) for one in filled]

    async def drop(self, keys: Sequence[str], mark: str = "") -> None:
        """See the port."""
        await self._run(self._drop, keys, [*self._told, mark])

    def follow(self, follower: Follower) -> None:
        """See the port; needs a running event loop."""
        self._ear.follow(follower)

    def is_heard(self) -> bool:
        """See the port."""
        return self._ear.is_open()

    async def close(self) -> None:
        """Stop listening; the link is closed by whoever opened it."""
        await self._ear.close()

    async def _run(self, script: Any, keys: Sequence[str], args: Sequence[Any]) -> Any:
        if not keys:
            return []
        names = [name for key in keys for name in (self._copy + key, self._lease + key)]

        async def run(_: Redis) -> Any:
            return await script(keys=names, args=args)

        return await self._link.call(run)
