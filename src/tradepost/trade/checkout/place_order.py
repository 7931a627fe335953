"""Place order: the story from an accepted quote to orders that stand, on one shard or on several."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Sequence

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import Tx
from tradepost.trade import inventory
from tradepost.trade.checkout import forgoing, placing, redeeming, store
from tradepost.trade.checkout.context import Context
from tradepost.trade.checkout.model import PLACED, TOMBSTONE, CheckoutView, Placed, Placement
from tradepost.trade.checkout.placement import refuse_expired
from tradepost.trade.checkout.views import decode_view, find_checkout

UNSETTLED = ("storage.unavailable", "storage.overloaded")
"""Refusals after which the same request is to be repeated: its holds stay until their deadline."""
CONTENDED = ("inventory.contended", "version.conflict", "stored.too_little")
"""Another writer was quicker, nothing was decided: a quote is placed again under its ids, so they are not buried.
Nor are they when stored value does not suffice: the buyer pays the rest another way.
Buying now mints new ids at each try; holds of the old ones would only be in its own way."""


async def place_order(context: Context, placement: Placement) -> tuple[CheckoutView, bool]:
    """The checkout that stands for this placement, and whether an earlier request had placed it.

    A gift that sold out since the quote is left out, and the answer says so. Raises the refusals of stock, limits, risk
    and idempotency; then nothing was changed.
    """
    while True:
        try:
            if placement.limits:
                return await redeeming.place_limited(context, placement, _place)
            return await _place(context, placement)
        except Refusal as refusal:
            fewer = forgoing.without_refused(placement, refusal) if placement.gifts else None
            if fewer is None:
                raise
            placement = fewer


async def _place(context: Context, placement: Placement) -> tuple[CheckoutView, bool]:
    demands = placement.hold.demands
    hinted = await context.hints.last_word(demands) if context.hints else None
    if hinted is not None and await context.earlier.find(placement) is None:
        raise hinted
    home = context.db.shard_of(placement.gene)
    shards = {home} if context.db.shards == 1 else _shards_of(context, demands)
    if shards <= {home}:
        placed = await context.db.batch(home, placing.PLACE, placement)
    else:
        placed = await _place_across(
            context, placement, home, redeeming.hold_order(context, placement, shards)
        )
    if not placed.replayed:
        return decode_view(placement.body), False
    shard = context.db.shard_of(gene_of(placed.buyer_id))
    return await context.db.read(shard, find_checkout, placed.buyer_id, placed.checkout_id), True


def _shards_of(context: Context, demands: Sequence[inventory.Demand]) -> set[int]:
    return {context.db.shard_of(gene_of(demand.sku_id)) for demand in demands}


async def _place_across(context: Context, placement: Placement, home: int, shards: Sequence[int]) -> Placed:
    """Hold on each shard with a deadline, open on the buyer's, release every hold when one step says no."""
    earlier = await context.earlier.find(placement)
    if earlier is not None:
        return earlier
    expired = refuse_expired(placement)
    if expired is not None:
        raise expired
    deadline_ms = placement.at_ms + context.hold_ttl_ms
    request = msgspec.structs.replace(placement.hold, expires_at_ms=deadline_ms)
    held: list[int] = []
    try:
        for shard in shards:
            await context.db.batch(shard, inventory.HOLD, request)
            held.append(shard)
        placed = await context.db.batch(home, placing.OPEN, msgspec.structs.replace(placement, quoted=True))
    except Refusal as refusal:
        if redeeming.is_of_limit(refusal) and (not held or refusal.code == "inventory.sku_unknown"):
            raise  # nobody was told: tried again under the same ids, under which what is held already stays held
        if placement.gifts and _may_forgo(context, placement, refusal, held):
            raise
        known = not is_unsettled(refusal.code, placement.quoted)
        stands = known and await _give_up(context, placement, home, held)
        if stands and refusal.code != "idempotency.key_reused":
            return Placed(placement.buyer_id, placement.checkout_id, True)
        earlier = await context.earlier.find(
            msgspec.structs.replace(placement, quoted=placement.quoted and not known)
        )
        if earlier is not None:
            return earlier
        if redeeming.is_of_limit(refusal):
            raise redeeming.refuse_contended(refusal) from refusal
        raise
    if (
        placed.replayed
        and (placement.limits or placement.gifts)
        and placed.checkout_id == placement.checkout_id
    ):
        await redeeming.release_strays(context, placement, home)
    if placed.checkout_id != placement.checkout_id:
        await _give_up(context, placement, home, held)
        return placed
    genes = tuple(sorted({gene_of(demand.sku_id) for demand in placement.hold.demands}))
    confirmed = inventory.Confirmed(placement.checkout_id, genes)
    await asyncio.gather(*[_confirm(context, shard, confirmed) for shard in held])
    return placed


def _may_forgo(context: Context, placement: Placement, refusal: Refusal, held: Sequence[int]) -> bool:
    """Whether the same ids may be tried without a gift: then nothing that is held already is asked for otherwise."""
    fewer = forgoing.without_refused(placement, refusal)
    if fewer is None:
        return False
    return all(_demands_on(context, fewer, shard) == _demands_on(context, placement, shard) for shard in held)


def _demands_on(context: Context, placement: Placement, shard: int) -> list[inventory.Demand]:
    return [one for one in placement.hold.demands if context.db.shard_of(gene_of(one.sku_id)) == shard]


def is_unsettled(code: str, quoted: bool) -> bool:
    """Whether the checkout of a refused placement may still come to stand. Pure."""
    return code in UNSETTLED or (quoted and code in CONTENDED)


async def _confirm(context: Context, shard: int, confirmed: inventory.Confirmed) -> None:
    with contextlib.suppress(Refusal):  # the order stands: a deadline left behind finds it
        await context.db.batch(shard, inventory.CONFIRM, confirmed)


async def _give_up(context: Context, placement: Placement, home: int, shards: Sequence[int]) -> bool:
    """Release the holds once a tombstone says that nobody will open their checkout; True when it stands instead.

    A twin of the same quote holds under the same order ids: what it opened, or is about to, is not ours to free.
    """
    now_ms = context.world.now_ms()
    stands = await context.db.transact(
        home, claim_checkout, placement.buyer_id, placement.checkout_id, now_ms
    )
    if not stands:
        await _release(context, placement, shards)
    return stands


async def _release(context: Context, placement: Placement, shards: Sequence[int]) -> None:
    items: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for demand in placement.hold.demands:
        items[demand.owner_id].append((demand.sku_id, demand.quantity))
    claims = [
        inventory.Claim(
            owner_id=owner_id,
            reference=f"{owner_id}.abandoned",
            at_ms=context.world.now_ms(),
            items=tuple(owned),
        )
        for owner_id, owned in items.items()
    ]
    for shard in shards:
        await context.db.transact(shard, inventory.release, claims)


def claim_checkout(tx: Tx, buyer_id: str, checkout_id: str, at_ms: int) -> bool:
    """Whether this checkout stands; if not, it never will: a tombstone takes its place in the same commit."""
    row = store.find_checkouts(tx, [(buyer_id, checkout_id)]).get(checkout_id)
    if row is None:
        store.insert_checkouts(tx, [(buyer_id, checkout_id, TOMBSTONE, "", at_ms, b"")])
        return False
    return bool(row[2] == PLACED)
