"""The capacity of all processes as one bucket in Redis, handed out in small batches."""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis

from tradepost.infra.cache.redis_link import RedisLink
from tradepost.stability.admission import Grant

WORKER_GONE_MS = 3_000
HUNGRY_MS = 100

TAKE = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local wanted, capacity, burst, me = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local full = burst * 1000000
local kept = redis.call('HMGET', KEYS[1], 'level', 'at')
local level, at = tonumber(kept[1] or full), tonumber(kept[2] or now)
local passed = math.max(0, math.min(now - at, 10000000))
level = math.min(full, level + passed * capacity)
redis.call('ZADD', KEYS[2], now, me)
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - tonumber(ARGV[5]) * 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now - tonumber(ARGV[6]) * 1000)
if wanted > 0 then redis.call('ZADD', KEYS[3], now, me) end
local hungry = math.max(1, redis.call('ZCARD', KEYS[3]))
local free = math.floor(level / 1000000)
local tokens = math.max(0, math.min(wanted, math.ceil(free / hungry)))
redis.call('HSET', KEYS[1], 'level', string.format('%.0f', level - tokens * 1000000),
           'at', string.format('%.0f', now))
for i = 1, 3 do redis.call('PEXPIRE', KEYS[i], 60000) end
return {tokens, redis.call('ZCARD', KEYS[2])}
"""


class RedisShares:
    """Takes tokens for one process. `worker` is its name, told nobody else; one that is silent 3 s is not counted.

    What is left goes in equal parts to the processes that lacked tokens in the last 100 ms, so that one that asks
    a moment earlier every time does not starve the others.
    """

    def __init__(self, link: RedisLink, worker: str, namespace: str = "tp") -> None:
        self._link = link
        self._worker = worker
        self._keys = [f"{namespace}:capacity:{part}" for part in ("bucket", "workers", "hungry")]
        self._script: Any = link.redis.register_script(TAKE)

    async def take(self, wanted: int, capacity_per_s: int, burst: int) -> Grant:
        """See the port."""
        args = [wanted, capacity_per_s, burst, self._worker, WORKER_GONE_MS, HUNGRY_MS]

        async def ask(_: Redis) -> Any:
            return await self._script(keys=self._keys, args=args)

        tokens, workers = await self._link.call(ask)
        return Grant(tokens, workers)
