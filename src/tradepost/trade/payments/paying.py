"""The stories of a payment: commit the intent, call the provider, commit what it said.

No provider is called inside a transaction. An exception or a timeout of a call is no answer: the payment keeps
its moment to ask, and a sweep asks.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from typing import Any

from msgspec.structs import replace

from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import check_id, gene_of
from tradepost.kernel.tx import Storage
from tradepost.kernel.world import World
from tradepost.trade.payments import api, tenders
from tradepost.trade.payments.holding import first_call
from tradepost.trade.payments.model import IMMEDIATE, NewIntent, Payment, PaymentView
from tradepost.trade.payments.patience import call_provider
from tradepost.trade.payments.port import (
    AuthorizeCall,
    CaptureCall,
    Naming,
    PaymentProvider,
    ProviderFact,
    Providers,
    Status,
    VoidCall,
)
from tradepost.trade.payments.record import RECORD_RESULT, Heard, Recorded
from tradepost.trade.payments.rules import Todo

TRIES_MAX = 3
CALLS_MAX = 8


async def charge(db: Storage, world: World, providers: Providers, intent: NewIntent) -> PaymentView:
    """Pay an intent that was just opened, with the facts the caller has: one provider call, one commit.

    Intents opened without `confirm` take the longer way. Raises Refusal `payments.provider_unknown`.
    """
    if not intent.confirm:
        return await confirm(db, world, providers, intent.payment_id)
    return await _authorize(db, world, providers, intent.provider, first_call(intent))


async def confirm(
    db: Storage, world: World, providers: Providers, payment_id: str, method: str = ""
) -> PaymentView:
    """Pay, or come back from the provider's page: whatever is known by now, asked for when it is not.

    A FAILED payment is tried again, with another `method` if given. Safe to repeat and to race with webhooks.
    Raises Refusal `payments.not_found`, `payments.provider_unknown`, `state.conflict`.
    """
    shard = db.shard_of(gene_of(payment_id))
    begun = await db.transact(shard, api.begin_attempt, payment_id, method, world.now_ms())
    if begun.call:
        call = _authorize_call(begun.payment)
        return await _authorize(db, world, providers, begun.payment.provider, call)
    if begun.payment.state in ("REQUIRES_ACTION", "PENDING"):
        return await ask(db, world, providers, payment_id, begun.payment.provider)
    return await db.read(shard, api.find_payment, payment_id)


def _authorize_call(payment: Payment) -> AuthorizeCall:
    return AuthorizeCall(
        key=f"{payment.payment_id}.authorize.{payment.body.attempt}",
        payment_id=payment.payment_id,
        attempt=payment.body.attempt,
        amount_minor=tenders.asked_minor(payment),
        currency=payment.currency,
        method=payment.body.method,
        capture=payment.body.capture == IMMEDIATE,
    )


async def _authorize(
    db: Storage, world: World, providers: Providers, provider: str, call: AuthorizeCall
) -> PaymentView:
    answered, fact = await call_provider(providers, providers.of(provider).authorize(call))
    if not answered or fact is None:
        return await db.read(db.shard_of(gene_of(call.payment_id)), api.find_payment, call.payment_id)
    recorded = await record(db, Heard(call.payment_id, provider, world.now_ms(), fact))
    return await _drive(db, world, providers, recorded)


async def capture(
    db: Storage,
    world: World,
    providers: Providers,
    payment_id: str,
    amount_minor: int,
    reference: str,
    order_id: str = "",
) -> PaymentView:
    """Take part or all of an authorized payment; the same `reference` again takes nothing more.

    Raises Refusal `payments.not_found`, `state.conflict`, `payments.capture_exceeds_authorized`,
    `payments.amount_invalid`, `payments.order_unknown`.
    """
    shard = db.shard_of(gene_of(payment_id))
    planned = await db.transact(
        shard, api.plan_capture, payment_id, order_id, amount_minor, reference, world.now_ms()
    )
    return await _drive(db, world, providers, planned)


async def void(db: Storage, world: World, providers: Providers, payment_id: str) -> PaymentView:
    """Give up what is not taken yet. Raises Refusal `payments.not_found`, `state.conflict`."""
    shard = db.shard_of(gene_of(payment_id))
    return await _drive(
        db, world, providers, await db.transact(shard, api.give_up, payment_id, world.now_ms())
    )


async def ask(db: Storage, world: World, providers: Providers, payment_id: str, provider: str) -> PaymentView:
    """Ask the provider what became of a payment, record it, and do what follows from it.

    What the provider has never heard of was never taken: the same attempt is made again under the same key.
    """
    try:
        answered, fact = await call_provider(providers, providers.of(provider).ask(payment_id))
        recorded = await record(db, Heard(payment_id, provider, world.now_ms(), fact, asked=True))
    except Refusal as refusal:
        if refusal.code not in ("payments.provider_unknown", "payments.fact_mismatch"):
            raise
        await record(db, Heard(payment_id, provider, world.now_ms(), None, asked=True))
        raise
    if answered and fact is None and recorded.todo is None and recorded.view.state == "PROCESSING":
        return await confirm(db, world, providers, payment_id)
    return await _drive(db, world, providers, recorded)


async def handle_webhook(
    db: Storage,
    world: World,
    providers: Providers,
    provider: str,
    headers: Mapping[str, str],
    body: bytes,
) -> PaymentView:
    """Record what a provider sends by itself; sent twice it is recorded once.

    Raises Refusal `payments.provider_unknown`, `payments.webhook_unsigned`, `payments.webhook_invalid`,
    `payments.not_found`, `payments.fact_mismatch`, and `payments.webhook_ignored` for one that needs nothing: it is
    counted and to be acknowledged. `payments.webhook_unanswered` when the provider has to say first which payment it
    means, and does not: it is to be sent again.
    """
    now_ms = world.now_ms()
    try:
        heard = providers.of(provider).parse_webhook(headers, body, now_ms)
        if heard.unnamed:
            heard = replace(heard, fact=await _look_up(providers, provider, heard.unnamed))
    except Refusal as refusal:
        if refusal.code == "payments.webhook_ignored":
            providers.note_ignored(provider)
        raise
    payment_id = check_id(heard.fact.payment_id, "payment")
    recorded = await record(db, Heard(payment_id, provider, now_ms, heard.fact, heard.event_id))
    return recorded.view


async def _look_up(providers: Providers, name: str, reference: str) -> ProviderFact:
    provider = providers.of(name)
    found: tuple[bool, ProviderFact | None] = (True, None)
    if isinstance(provider, Naming):
        found = await call_provider(providers, provider.look_up(reference))
    answered, fact = found
    if not answered:
        raise Refusal("payments.webhook_unanswered", f"{name} did not answer about {reference[:60]!r}.")
    if fact is None:
        raise Refusal("payments.webhook_ignored", f"{reference[:60]!r} is no payment of ours.")
    return fact


async def record(db: Storage, heard: Heard) -> Recorded:
    """Commit what was heard through the batch of results; a lost race with another writer is repeated."""
    shard = db.shard_of(gene_of(heard.payment_id))
    for _ in range(TRIES_MAX - 1):
        try:
            return await db.batch(shard, RECORD_RESULT, heard)
        except Refusal as refusal:
            if refusal.code != "version.conflict":
                raise
    return await db.batch(shard, RECORD_RESULT, heard)


async def _drive(db: Storage, world: World, providers: Providers, recorded: Recorded) -> PaymentView:
    """Call the provider for what is to be done next until nothing is, or it makes no progress."""
    view = recorded.view
    for _ in range(CALLS_MAX):
        todo = recorded.todo
        if todo is None:
            break
        fact = own_word(view.payment_id, todo) if todo.own else None
        if fact is None:
            call = _call_for(providers.of(view.provider), view, todo)
            answered, fact = await call_provider(providers, call)
            if not answered or fact is None:
                break
        recorded = await record(db, Heard(view.payment_id, view.provider, world.now_ms(), fact))
        view = recorded.view
        if recorded.todo == todo:
            break
    return view


def own_word(payment_id: str, todo: Todo) -> ProviderFact:
    """What nobody has to be asked: the rest is stored value's, and its books are ours."""
    return ProviderFact(
        payment_id=payment_id, status=Status.VOIDED if todo.call == "void" else Status.AUTHORIZED
    )


def _call_for(provider: PaymentProvider, view: PaymentView, todo: Todo) -> Coroutine[Any, Any, ProviderFact]:
    key = f"{view.payment_id}.{todo.call}.{todo.number}"
    if todo.call == "capture":
        return provider.capture(
            CaptureCall(key=key, payment_id=view.payment_id, amount_minor=todo.amount_minor, last=todo.last)
        )
    return provider.void(VoidCall(key=key, payment_id=view.payment_id))
