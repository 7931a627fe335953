"""Batched postings: how many movements of money a second the ledger writes durably, on accounts everybody shares."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Sequence

from tradepost.app import database_path
from tradepost.infra.storage.sqlite import SqliteStorage
from tradepost.kernel.ids import GENES
from tradepost.testing.bench.driving import Tally
from tradepost.testing.bench.goals import make_figure
from tradepost.testing.bench.model import Pace
from tradepost.testing.bench.over_http import Found
from tradepost.testing.bench.shop import Shop, opened
from tradepost.trade import ledger
from tradepost.trade.ledger import Entry, Transaction, TransactionKind

AT_ONCE = 1_000
"""Transactions handed over in one call, as a bank's file or a day of settlements would."""
CALLERS = 4
PER_SECOND = 60_000
"""How many are prepared for each second; more are not needed on the machines this runs on."""


def measure_postings(shop: Shop, tally: Tally, pace: Pace) -> Found:
    """Sales of three entries each, every one on the platform's own fee account, each call one durable commit."""
    return asyncio.run(_measure(shop, pace))


async def _measure(shop: Shop, pace: Pace) -> Found:
    rates: list[float] = []
    commits = 0
    for lap in range(pace.rounds):
        folder = shop.fresh()
        async with opened(folder) as app:
            path = database_path(app.settings)
        batches = make_batches(int(pace.storage_s * PER_SECOND), lap)
        db = SqliteStorage(path)
        try:
            began = time.perf_counter()
            done = await _post_all(db, batches, began + pace.storage_s)
            rates.append(done / (time.perf_counter() - began))
            commits += done // AT_ONCE
            report = await db.read(0, ledger.check_ledger)
        finally:
            await db.close()
            shutil.rmtree(folder)
        assert report.balanced, report.findings
        assert report.transactions == done
    figure = make_figure(
        "ledger_postings",
        rates,
        details={
            "entries_per_s": round(3 * min(rates)),
            "transactions_a_commit": AT_ONCE,
            "commits": commits,
        },
        note=f"{CALLERS} callers, {AT_ONCE} transactions of three entries a commit, all on one fee account; each run is"
        " proved by `ledger check` afterwards.",
    )
    return [figure], []


def make_batches(count: int, lap: int) -> list[list[Transaction]]:
    """Sales in batches: three accounts each, of which the platform's is everybody's."""
    return [
        [_sale(number, lap) for number in range(start, start + AT_ONCE)] for start in range(0, count, AT_ONCE)
    ]


def _sale(number: int, lap: int) -> Transaction:
    amount = 500 + number % 5_000
    fee = amount // 20
    return Transaction(
        transaction_id=f"txn_{lap:02}{number:024}",
        gene=number * 7 % GENES,
        kind=TransactionKind.CAPTURE,
        currency="GBP",
        entries=(
            Entry("provider:bench", amount),
            Entry(f"seller:sel_{number % 200:026}", fee - amount),
            Entry("platform:fees", -fee),
        ),
        reference=f"pay_{number:026}",
        at_ms=1_790_000_000_000 + number,
    )


async def _post_all(db: SqliteStorage, batches: Sequence[list[Transaction]], until: float) -> int:
    """Post until the time is over; how many transactions were acknowledged."""
    waiting = iter(batches)
    done = 0

    async def post() -> None:
        nonlocal done
        for batch in waiting:
            if time.perf_counter() >= until:
                return
            await db.transact(0, ledger.post, batch)
            done += len(batch)

    await asyncio.gather(*(post() for _ in range(CALLERS)))
    return done
