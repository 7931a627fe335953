"""How long `tradepost serve` takes to its first 200 on a shop with data, and what it holds in memory then."""

from __future__ import annotations

import asyncio
import http.client
import random
import shutil
import time
from pathlib import Path

from tradepost.testing.bench.driving import Tally
from tradepost.testing.bench.goals import make_figure
from tradepost.testing.bench.in_process import PLACE, make_placements
from tradepost.testing.bench.machine import resident_mb
from tradepost.testing.bench.model import Pace
from tradepost.testing.bench.over_http import Found
from tradepost.testing.bench.shop import RULES_ON, Plan, Shop, opened
from tradepost.testing.torture.shop import START_S, ShopLost, ShopProcess, child_processes, free_port, pause

ORDERS = 2_000
STEP_S = 0.002
IDLE_S = 1.0


def measure_starts(shop: Shop, tally: Tally, pace: Pace) -> Found:
    """Start, ask until the first 200, rest a second, look at the memory, end; several times."""
    folder = shop.fresh()
    asyncio.run(_fill(folder, shop.plan))
    process = ShopProcess(folder, free_port(random.Random()), environment=RULES_ON)
    starts, sizes = [], []
    for _ in range(pace.starts):
        try:
            starts.append(_start(process))
            pause(IDLE_S)
            ids = (process.process_id, *child_processes(process.process_id))
            sizes.append(resident_mb(ids))
        finally:
            process.stop()
    shutil.rmtree(folder)
    note = f"`tradepost serve --demo` on {ORDERS:,} orders; process start to the first 200 of /health/ready."
    return [
        make_figure("start_up", starts, note=note),
        make_figure(
            "idle_memory", sizes, note="Resident, child processes included, a second after the start."
        ),
    ], []


async def _fill(folder: Path, plan: Plan) -> None:
    async with opened(folder) as app:
        placements = await make_placements(app, plan, ORDERS)
        await asyncio.gather(*[app.platform.db.batch(0, PLACE, placement) for placement in placements])


def _start(process: ShopProcess) -> float:
    began = time.perf_counter()
    process.launch()
    while time.perf_counter() - began < START_S:
        if _is_ready(process.port):
            return time.perf_counter() - began
        if process.ended():
            raise ShopLost(f"the server ended at its start: {process.last_words()}")
        pause(STEP_S)
    raise ShopLost(f"the server does not answer after {START_S} s")


def _is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_S)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
