"""The story of a refund: commit that it is asked for, call the provider, commit what it said."""

from __future__ import annotations

from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import Storage
from tradepost.kernel.world import World
from tradepost.trade.payments import api
from tradepost.trade.payments.model import Refund, RefundCallDue, RefundRequest
from tradepost.trade.payments.patience import call_provider
from tradepost.trade.payments.paying import record
from tradepost.trade.payments.port import (
    ProviderFact,
    Providers,
    RefundCall,
    RefundFact,
    RefundStatus,
    Status,
)
from tradepost.trade.payments.record import Heard


async def refund(db: Storage, world: World, providers: Providers, request: RefundRequest) -> Refund:
    """Ask money back and call the provider at once. Raises what `api.request_refund` raises."""
    shard = db.shard_of(gene_of(request.refund_id))
    await db.transact(shard, api.request_refund, request)
    await run_refund(db, world, providers, request.refund_id)
    return await db.read(shard, api.find_refund, request.refund_id)


async def run_refund(db: Storage, world: World, providers: Providers, refund_id: str) -> None:
    """Call the provider for a refund that is due; safe to repeat. Without an answer a sweep asks later."""
    shard = db.shard_of(gene_of(refund_id))
    due = await db.transact(shard, api.begin_refund_call, refund_id, world.now_ms())
    if due is None:
        return
    fact = None if due.refund.card_minor else _own_word(due.refund)
    if due.repeated and fact is None:
        answered, fact = await _ask_first(providers, due)
        if not answered:
            return  # who does not know must not pay again: the provider may have forgotten the key of the first call
    if fact is None:
        answered, fact = await call_provider(providers, providers.of(due.provider).refund(_call(due)))
        if not answered or fact is None:
            return
    await record(db, Heard(due.refund.payment_id, due.provider, world.now_ms(), fact))


def _own_word(refund: Refund) -> ProviderFact:
    """All of it goes back to stored value, whose books are ours: nobody has to be asked."""
    done = RefundFact(refund_id=refund.refund_id, attempt=refund.attempts, status=RefundStatus.SUCCEEDED)
    return ProviderFact(payment_id=refund.payment_id, status=Status.PROCESSING, refunds=(done,))


def _call(due: RefundCallDue) -> RefundCall:
    refund = due.refund
    return RefundCall(
        key=f"{refund.refund_id}.{refund.attempts}",
        payment_id=refund.payment_id,
        refund_id=refund.refund_id,
        attempt=refund.attempts,
        amount_minor=refund.card_minor,
    )


async def _ask_first(providers: Providers, due: RefundCallDue) -> tuple[bool, ProviderFact | None]:
    """Whether the provider answered, and what it knows of this attempt: None when it has to be called."""
    answered, fact = await call_provider(providers, providers.of(due.provider).ask(due.refund.payment_id))
    wanted = (due.refund.refund_id, due.refund.attempts)
    known = fact.refunds if fact is not None else ()
    return answered, fact if any((one.refund_id, one.attempt) == wanted for one in known) else None
