"""Timers of settlement: money that is due, days that are over, payouts that wait for their bank."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence

from tradepost.events import has_passed, read_backlog
from tradepost.kernel.errors import Refusal
from tradepost.kernel.events import Sweep
from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import Storage
from tradepost.kernel.world import World
from tradepost.markets import market
from tradepost.trade.pricing import Rates
from tradepost.trade.settlement import cutting, moving, rules, store
from tradepost.trade.settlement.arriving import MOVED
from tradepost.trade.settlement.due import store as due_store
from tradepost.trade.settlement.model import Account
from tradepost.trade.settlement.payouts import paying
from tradepost.trade.settlement.payouts import store as payout_store
from tradepost.trade.settlement.payouts.port import PayoutBank

DUE_EVERY_MS = 2_000
CUT_EVERY_MS = 10_000
PATIENCE_MS = 6 * 3_600_000
"""How long a day waits for shards that are behind; then it is cut, and what comes late is of the next open day."""

HELD_MS = 3_600_000
"""When an account or a payout that was refused is looked at again: the others must not wait for it."""

log = logging.getLogger("tradepost.settlement")


class Watermarks:
    """Whether every shard has told all that it committed before a moment.

    After that moment the newest event of each shard is noted once; the moment has passed a shard when its relay has
    passed that event. A restart notes anew, which only takes longer.
    """

    def __init__(self, db: Storage) -> None:
        self._db = db
        self._heads: dict[int, int] = {}
        self._noted_at_ms = -1

    async def passed(self, moment_ms: int, now_ms: int) -> bool:
        """Whether everything from before `moment_ms` has been passed on by every shard."""
        if now_ms < moment_ms:
            return False
        if self._noted_at_ms < moment_ms:
            self._noted_at_ms = now_ms
            self._heads = {
                shard: (await self._db.read(shard, read_backlog)).head for shard in range(self._db.shards)
            }
        for shard, head in list(self._heads.items()):
            if not await self._db.read(shard, has_passed, head, (MOVED,)):
                return False
        return True


def no_rates() -> Rates:
    """Where nothing is sold converted."""
    return {}


def sweeps(db: Storage, world: World, bank: PayoutBank, rates: Callable[[], Rates] = no_rates) -> list[Sweep]:
    """The timers, bound to a storage, a world, a bank and the exchange rates of the moment."""
    watermarks = Watermarks(db)

    async def settle(order_ids: Sequence[str]) -> None:
        by_shard: dict[int, list[str]] = defaultdict(list)
        for order_id in order_ids:
            by_shard[db.shard_of(gene_of(order_id))].append(order_id)
        for shard, ids in by_shard.items():
            try:
                await db.transact(shard, moving.settle_due, ids, world.now_ms(), tuple(rates().values()))
            except Refusal as refusal:
                if refusal.code != "settlement.unbalanced":
                    raise
                await _settle_alone(shard, ids)

    async def _settle_alone(shard: int, order_ids: Sequence[str]) -> None:
        for order_id in order_ids:
            try:
                held = tuple(rates().values())
                await db.transact(shard, moving.settle_due, [order_id], world.now_ms(), held)
            except Refusal as refusal:
                log.error("%s is held: %s", order_id, refusal.detail)
                await db.transact(shard, moving.set_aside, order_id, refusal.code)

    async def cut(accounts: Sequence[Account]) -> None:
        for account in accounts:
            try:
                await cut_account(db, world, watermarks, account)
            except Refusal as refusal:
                key = (account.party_id, account.market, account.currency)
                _warn(" ".join(key), refusal)
                shard, now_ms = db.shard_of(gene_of(account.party_id)), world.now_ms()
                await db.transact(shard, store.postpone_account, key, now_ms, now_ms + HELD_MS)

    async def pay(payout_ids: Sequence[str]) -> None:
        for payout_id in payout_ids:
            try:
                await paying.run_payout(db, world, bank, payout_id)
            except Refusal as refusal:
                _warn(payout_id, refusal)
                shard, now_ms = db.shard_of(gene_of(payout_id)), world.now_ms()
                await db.transact(shard, payout_store.postpone_payout, payout_id, now_ms, now_ms + HELD_MS)

    return [
        Sweep("settlement.due", due_store.due_settlements, settle, DUE_EVERY_MS),
        Sweep("settlement.cut", store.due_accounts, cut, CUT_EVERY_MS),
        Sweep("settlement.payouts", payout_store.due_payouts, pay, DUE_EVERY_MS),
    ]


def _warn(what: str, refusal: Refusal) -> None:
    if refusal.code.startswith("storage."):
        raise refusal
    log.warning("%s waits an hour: %s: %s", what, refusal.code, refusal.detail)


async def cut_account(db: Storage, world: World, watermarks: Watermarks, account: Account) -> None:
    """Cut the days of an account that are over and of which every shard has told all."""
    now_ms = world.now_ms()
    where = market(account.market)
    through = rules.day_of(where, now_ms - rules.CUT_GRACE_MS) - 1
    ended_ms = rules.end_of(where, through) + rules.CUT_GRACE_MS
    if not await watermarks.passed(ended_ms, now_ms) and now_ms < ended_ms + PATIENCE_MS:
        return
    key = (account.party_id, account.market, account.currency)
    shard = db.shard_of(gene_of(account.party_id))
    await db.transact(shard, cutting.cut, key, through, world.chance(56), now_ms)
