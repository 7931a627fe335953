"""What nobody wants: time that jumps, power that fails, transactions that are lost, cursors that went back."""

from __future__ import annotations

from tradepost.testing.simulation.stage import Stage
from tradepost.testing.simulation.storage import AFTER, BEFORE

JUMPS_MS = (
    *(2_000,) * 6,
    *(5_000,) * 12,
    *(20_000,) * 5,
    *(61_000,) * 4,
    *(660_000,) * 3,
    1_860_000,
    1_860_000,
    3_700_000,
    7_300_000,
    90_000_000,
)
LONGEST_MS = 20 * 86_400_000
REWOUND = 60


async def jump(stage: Stage) -> str:
    """The clock leaps, so that deadlines pass; all leaps of a day stay below what the inbox remembers."""
    by_ms = stage.chance.choice(JUMPS_MS)
    if stage.site.loop.now_ms() + by_ms > LONGEST_MS:
        by_ms = 1_000
    stage.site.loop.jump(by_ms)
    return f"{by_ms} ms"


async def crash(stage: Stage) -> str:
    """The process dies between two commits."""
    stage.site.crash()
    return "now"


async def cut(stage: Stage) -> str:
    """The process dies in a commit: just before it counts, or just after."""
    moment = BEFORE if stage.chance.random() < 0.5 else AFTER
    shard = stage.chance.randrange(stage.site.databases.shards)
    stage.site.arm(shard, moment)
    return f"{moment} a commit of shard {shard}"


async def lose(stage: Stage) -> str:
    """The database loses a transaction: once and it is rerun, or so often that everybody is refused."""
    shard = stage.chance.randrange(stage.site.databases.shards)
    losses = stage.chance.choice((1, 1, 2, 3))
    stage.site.databases.engines[shard].losses = losses
    return f"{losses} of shard {shard}"


async def rewind(stage: Stage) -> str:
    """The process ends and the relays find older cursors: events are delivered again."""
    stage.site.crash()
    shard = stage.chance.randrange(stage.site.databases.shards)
    rows = stage.chance.randrange(1, REWOUND)
    stage.site.rewind(shard, rows)
    return f"shard {shard} by {rows}"
