"""The figures on servers: placing on MariaDB and through Vitess, group commit at the port, the config centre."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from statistics import median
from typing import Any

import msgspec

from tradepost.infra.storage.opening import open_storage
from tradepost.testing.bench.driving import Tally
from tradepost.testing.bench.goals import make_figure
from tradepost.testing.bench.ground import Ground
from tradepost.testing.bench.in_process import make_placements, place_all
from tradepost.testing.bench.model import Pace
from tradepost.testing.bench.over_http import Found, placing_figures, whole_figure
from tradepost.testing.bench.shop import Plan, opened
from tradepost.testing.config_push import measure_push

NAIVE_WRITERS = 16
BATCHED_WRITERS = 2
BATCHED_GROUP = 64
LIKELY_PER_S = 12_000
"""No storage is expected to place more a second; so many placements are prepared."""
NAIVE_PER_S = 3_000
CHANGES = 40


def measure_mariadb(ground: Ground, tally: Tally, pace: Pace) -> Found:
    """Placing over HTTP on one durable MariaDB."""
    return placing_figures(ground.shop("mariadb"), tally, pace, "mariadb_"), []


def measure_mariadb_whole(ground: Ground, tally: Tally, pace: Pace) -> Found:
    """Whole checkouts, captured and consumed."""
    return [whole_figure(ground.shop("mariadb"), tally, pace, "mariadb_whole_checkout")], []


def measure_vitess(ground: Ground, tally: Tally, pace: Pace) -> Found:
    """Placing over HTTP through Vitess: buyers and SKUs lie on four shards, most orders touch two or three."""
    return placing_figures(ground.shop("vitess"), tally, pace, "vitess_"), []


def measure_storage_port(ground: Ground, tally: Tally, pace: Pace) -> Found:
    """The same orders one a transaction and in groups, by 256 callers, in turns on one database."""
    shop = ground.shop("mariadb")
    plans = {
        "mariadb_batched_hot": msgspec.structs.replace(shop.plan, baskets=(shop.plan.hot,)),
        "mariadb_batched_spread": shop.plan,
    }
    found = []
    for name, plan in plans.items():
        laps = [
            asyncio.run(_lap(ground, plan, pace.storage_s, f"{name}-{lap}")) for lap in range(pace.rounds)
        ]
        naive = [max(few, many) for few, many, _ in laps]
        batched = [grouped for _, _, grouped in laps]
        ratios = [many / one for one, many in zip(naive, batched, strict=True)]
        told = {
            "batched_per_s": float(round(median(batched))),
            "naive_per_s": float(round(median(naive))),
            f"naive_{BATCHED_WRITERS}_writers_per_s": float(round(median(few for few, _, _ in laps))),
            f"naive_{NAIVE_WRITERS}_writers_per_s": float(round(median(many for _, many, _ in laps))),
        }
        note = (
            f"256 callers; groups of {BATCHED_GROUP} by {BATCHED_WRITERS} writers, {told['batched_per_s']:,.0f}/s, over"
            f" the better of {BATCHED_WRITERS} and {NAIVE_WRITERS} writers of one order a commit,"
            f" {told['naive_per_s']:,.0f}/s."
        )
        found.append(make_figure(name, ratios, details=told, note=note))
    return found, []


async def _lap(ground: Ground, plan: Plan, seconds: float, run: str) -> tuple[float, float, float]:
    """Orders a second: one a commit by few writers, by many, and in groups."""
    shop, few = ground.shop("mariadb"), int(seconds * NAIVE_PER_S)
    async with opened(shop.template, shop.database) as app:
        placements = await make_placements(app, plan, int(seconds * LIKELY_PER_S) + 2 * few, run)
    url = shop.database
    alone = await _placed(url, placements[:few], BATCHED_WRITERS, 1, seconds)
    crowded = await _placed(url, placements[few : 2 * few], NAIVE_WRITERS, 1, seconds)
    grouped = await _placed(url, placements[2 * few :], BATCHED_WRITERS, BATCHED_GROUP, seconds)
    return alone, crowded, grouped


async def _placed(url: str, placements: Sequence[Any], writers: int, group_max: int, seconds: float) -> float:
    """Orders a second with so many writers and calls a commit."""
    db = open_storage(url, writer="thread", writers=writers, group_max=group_max)
    try:
        return await place_all(db, placements, seconds)
    finally:
        await db.close()


def measure_config_push(ground: Ground, tally: Tally, pace: Pace) -> Found:
    """Changes through etcd, felt by four processes."""
    pushed = asyncio.run(measure_push(url=ground.url("etcd"), changes=CHANGES))
    details = {"p50_ms": pushed.p50_ms, "max_ms": pushed.max_ms}
    note = f"{pushed.changes} switches flipped through etcd, until the last of {pushed.processes} processes felt each."
    return [make_figure("config_push", [pushed.p99_ms], details=details, note=note)], []
