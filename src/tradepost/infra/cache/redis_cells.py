"""The caller limits of every process in one Redis: one script decides all limits of a request, many requests a call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis

from tradepost.infra.cache.redis_link import RedisLink
from tradepost.stability.gathering import Gathering
from tradepost.stability.gcra import Cell
from tradepost.stability.limits import Exceeded

REQUESTS_MAX = 64
"""Requests in one call: Redis does nothing else while a script runs."""

DECIDE = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local answers, key, arg = {}, 1, 1
while arg <= #ARGV do
  local count = tonumber(ARGV[arg])
  local which, longest, tats = 0, 0, {}
  for i = 1, count do
    local interval, span = tonumber(ARGV[arg + 2 * i - 1]), tonumber(ARGV[arg + 2 * i])
    local tat = tonumber(redis.call('GET', KEYS[key + i - 1]) or 0)
    tat = math.min(math.max(tat, now), now + span) + interval
    tats[i] = tat
    if tat - span - now > longest then which, longest = i, tat - span - now end
  end
  if which == 0 then
    for i = 1, count do
      redis.call('SET', KEYS[key + i - 1], string.format('%.0f', tats[i]),
                 'PX', string.format('%.0f', math.ceil((tats[i] - now) / 1000) + 1))
    end
  end
  answers[#answers + 1] = which
  answers[#answers + 1] = longest
  key, arg = key + count, arg + 2 * count + 1
end
return answers
"""


class RedisCells:
    """Decides as `LocalCells` does, by the clock of Redis."""

    def __init__(self, link: RedisLink, namespace: str = "tp") -> None:
        self._link = link
        self._prefix = f"{namespace}:limit:"
        self._script: Any = link.redis.register_script(DECIDE)
        self._gathering: Gathering[Sequence[Cell], Exceeded | None] = Gathering(
            self._decide_all, REQUESTS_MAX
        )

    async def decide(self, cells: Sequence[Cell]) -> Exceeded | None:
        """None and every cell is charged, or the longest wait and none is. Raises CacheDown and Crowded."""
        return await self._gathering.ask(cells)

    async def _decide_all(self, requests: Sequence[Sequence[Cell]]) -> list[Exceeded | None]:
        keys = [self._prefix + cell.key for cells in requests for cell in cells]
        args: list[int] = []
        for cells in requests:
            args.append(len(cells))
            for cell in cells:
                args += (cell.interval_us, cell.span_us)

        async def ask(_: Redis) -> Any:
            return await self._script(keys=keys, args=args)

        answers = await self._link.call(ask)
        return [
            Exceeded(cells[answers[2 * at] - 1], answers[2 * at + 1]) if answers[2 * at] else None
            for at, cells in enumerate(requests)
        ]
