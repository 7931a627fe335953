"""Warehouses: receive, correct, count, move between pools, write off."""

from __future__ import annotations

from tradepost.testing.simulation.stage import Stage
from tradepost.testing.simulation.town import Good
from tradepost.trade import inventory
from tradepost.trade.inventory import StockChange, StockCount, StockMove

POOLS = ("shop", "shop", "shop", "campaign", "campaign", "returned")


def _good(stage: Stage) -> tuple[Good, str, str]:
    good = stage.chance.choice(stage.town.plain())
    stage.touch(good.sku_id)
    return good, stage.chance.choice(good.locations), stage.chance.choice(POOLS)


def _change(stage: Stage, delta: int) -> StockChange:
    good, location_id, pool = _good(stage)
    return StockChange(
        sku_id=good.sku_id,
        location_id=location_id,
        pool=pool,
        delta=delta,
        reference=f"{stage.step.kind} {stage.step.seed:x}",
        at_ms=stage.now_ms(),
    )


async def receive(stage: Stage) -> str:
    """Goods came in; what was acknowledged must be there for ever."""
    change = _change(stage, stage.chance.choice((2, 15, 40)))
    levels = await stage.transact(change.sku_id, inventory.receive, [change])
    stage.town.received.append((change.sku_id, change.reference))
    return f"{change.sku_id} {change.pool} {levels[0].on_hand}"


async def adjust(stage: Stage) -> str:
    """The computer was wrong."""
    change = _change(stage, stage.chance.choice((-4, -1, 1, 3)))
    levels = await stage.transact(change.sku_id, inventory.adjust, [change])
    return f"{change.sku_id} {change.pool} {levels[0].on_hand}"


async def write_off(stage: Stage) -> str:
    """Something broke."""
    change = _change(stage, stage.chance.choice((-1, -2, -6)))
    levels = await stage.transact(change.sku_id, inventory.write_off, [change])
    return f"{change.sku_id} {change.pool} {levels[0].on_hand}"


async def count(stage: Stage) -> str:
    """Set what was counted, unless somebody moved it since it was read."""
    good, location_id, pool = _good(stage)
    known = await stage.read(good.sku_id, inventory.levels, [good.sku_id])
    here = [level for level in known if (level.location_id, level.pool) == (location_id, pool)]
    on_hand = here[0].on_hand if here else 0
    counted = StockCount(
        sku_id=good.sku_id,
        location_id=location_id,
        pool=pool,
        on_hand=max(0, on_hand + stage.chance.randint(-3, 4)),
        expected_version=here[0].version if here else 0,
        reference=f"count {stage.step.seed:x}",
        at_ms=stage.now_ms(),
    )
    levels = await stage.transact(good.sku_id, inventory.count, [counted])
    return f"{good.sku_id} {pool} {levels[0].on_hand}"


async def move(stage: Stage) -> str:
    """Take pieces to another pool or another place."""
    good, location_id, pool = _good(stage)
    moved = StockMove(
        sku_id=good.sku_id,
        location_id=location_id,
        from_pool=pool,
        to_pool=stage.chance.choice(POOLS),
        to_location_id=stage.chance.choice(good.locations),
        quantity=stage.chance.choice((1, 2, 5)),
        reference=f"move {stage.step.seed:x}",
        at_ms=stage.now_ms(),
    )
    await stage.transact(good.sku_id, inventory.move, [moved])
    return f"{good.sku_id} {moved.quantity} {pool} -> {moved.to_pool}"
