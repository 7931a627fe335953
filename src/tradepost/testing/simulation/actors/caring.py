"""Second thoughts: cancelling, returning, refunding, and the operator who clears up."""

from __future__ import annotations

import random
from collections.abc import Coroutine, Iterable
from typing import Any

from tradepost.events import dead_letters, replay_dead_letter
from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import gene_of
from tradepost.surfaces.api.platform import Platform
from tradepost.testing.simulation.stage import Stage
from tradepost.trade import aftersales, orders, payments
from tradepost.trade.orders import LineQuantity

INITIATORS = ("BUYER", "BUYER", "SELLER", "OPERATOR")


async def cancel(stage: Stage) -> str:
    """Take back a whole order."""
    order_id = stage.town.some_order(stage.chance)
    if not order_id:
        return "nothing"
    stage.touch(order_id)
    initiator = stage.chance.choice(INITIATORS)
    order = await stage.transact(
        order_id, aftersales.cancel_order, order_id, initiator, "changed_mind", stage.now_ms()
    )
    return f"{order_id} by {initiator} {order.state}"


async def cancel_lines(stage: Stage) -> str:
    """Take back some units, now and then too many."""
    order_id = stage.town.some_order(stage.chance)
    if not order_id:
        return "nothing"
    stage.touch(order_id)
    order = await stage.read(order_id, orders.get_order, order_id)
    sizes = {line.line_no: line.quantity for line in order.body.lines}
    lines = some_lines(stage.chance, sizes)
    initiator = stage.chance.choice(INITIATORS)
    after = await stage.ask(
        lambda platform: _cancel_lines(platform, order_id, lines, initiator, stage.now_ms())
    )
    return f"{order_id} {_words(lines)} by {initiator} {after.state}"


async def _cancel_lines(
    platform: Platform, order_id: str, lines: list[LineQuantity], initiator: str, at_ms: int
) -> orders.Order:
    db = platform.db
    shard = db.shard_of(gene_of(order_id))
    return await db.transact(shard, aftersales.cancel_lines, order_id, lines, initiator, "fewer", at_ms)


def some_lines(chance: random.Random, sizes: dict[int, int]) -> list[LineQuantity]:
    """Some units of some lines, at least one."""
    chosen = [number for number in sizes if chance.random() < 0.6] or [chance.choice(list(sizes))]
    return [LineQuantity(number, chance.randint(1, max(1, sizes[number]))) for number in chosen]


def _words(lines: Iterable[LineQuantity]) -> str:
    return "+".join(f"{line.line_no}x{line.quantity}" for line in lines)


async def ask_return(stage: Stage) -> str:
    """Give delivered goods back: asked for by the buyer, or taken in over the counter."""
    for _ in range(8):
        order_id = stage.town.some_order(stage.chance)
        if not order_id:
            return "nothing"
        left = await stage.read(order_id, aftersales.returnable_lines, order_id)
        if left:
            break
    else:
        return "nothing to return"
    stage.touch(order_id)
    sizes = {line.line_no: line.quantity + (stage.chance.random() < 0.1) for line in left}
    lines = some_lines(stage.chance, sizes)
    return_id = stage.mint("return", order_id)
    act = aftersales.accept_return if stage.chance.random() < 0.3 else aftersales.request_return
    asked = await stage.transact(order_id, act, order_id, return_id, lines, "does_not_fit", stage.now_ms())
    stage.town.returns.append(return_id)
    return f"{return_id} of {order_id} {_words(lines)} {asked.state}"


async def return_work(stage: Stage) -> str:
    """The seller agrees, refuses or receives; the buyer may think again."""
    if not stage.town.returns:
        return "nothing"
    for _ in range(6):
        return_id = stage.chance.choice(stage.town.returns)
        item = await stage.read(return_id, aftersales.get_return, return_id)
        if item.state in ("REQUESTED", "APPROVED"):
            break
    stage.touch(item.order_id)
    act = stage.chance.choice(("approve", "receive", "receive", "receive", "refuse", "close"))
    if item.state == "REQUESTED" and act == "receive":
        act = "approve"
    if item.state == "APPROVED" and act == "approve":
        act = "receive"
    at_ms = stage.now_ms()
    if act == "approve":
        after = await stage.ask(lambda p: _on_return(p, aftersales.approve_return, return_id, at_ms))
    elif act == "receive":
        after = await stage.ask(lambda p: _on_return(p, aftersales.receive_return, return_id, at_ms))
    elif act == "close":
        after = await stage.ask(lambda p: _on_return(p, aftersales.close_return, return_id, at_ms))
    else:
        after = await stage.ask(lambda p: _on_return(p, aftersales.refuse_return, return_id, "used", at_ms))
    return f"{return_id} {act} {after.state}"


async def _on_return(platform: Platform, act: Any, return_id: str, *args: Any) -> aftersales.Return:
    db = platform.db
    after: aftersales.Return = await db.transact(db.shard_of(gene_of(return_id)), act, return_id, *args)
    return after


async def refund(stage: Stage) -> str:
    """Somebody gives money back out of kindness, now and then more than there is."""
    if not stage.town.payments:
        return "nothing"
    for _ in range(6):
        payment_id = stage.chance.choice(stage.town.payments)
        view = await stage.read(payment_id, payments.find_payment, payment_id)
        portion = stage.chance.choice(view.portions)
        if portion.captured_minor:
            break
    most = max(1, portion.captured_minor + portion.captured_minor // 3)
    request = payments.RefundRequest(
        refund_id=stage.mint("refund", payment_id),
        payment_id=payment_id,
        order_id=portion.order_id,
        amount_minor=stage.chance.randint(1, most),
        reason="goodwill",
        at_ms=stage.now_ms(),
    )
    stage.touch(payment_id)

    def story(platform: Platform) -> Coroutine[Any, Any, payments.Refund]:
        return payments.refund(platform.db, platform.world, platform.providers, request)

    done = await stage.insist(story)
    return f"{request.refund_id} of {payment_id} {request.amount_minor} {done.state}"


async def operate(stage: Stage) -> str:
    """The operator looks at one shard: dead letters are replayed, refund tasks retried or settled by hand."""
    shard = stage.chance.randrange(stage.site.databases.shards)
    retried = stage.chance.random() < 0.6
    done = await stage.ask(lambda platform: clear_up(platform, shard, retry=retried))
    return f"shard {shard}: {done} things"


async def clear_up(platform: Platform, shard: int, *, retry: bool) -> int:
    """Replay every dead letter of a shard, and retry or settle every refund that waits for an operator."""
    db, now_ms = platform.db, platform.world.now_ms()
    done = 0
    for letter in await db.read(shard, dead_letters, 50):
        await db.transact(
            shard, replay_dead_letter, letter.consumer, letter.aggregate_id, letter.version, now_ms
        )
        done += 1
    for task in await db.read(shard, payments.list_refund_tasks):
        if retry:
            await db.transact(shard, payments.retry_refund, task.refund_id, now_ms)
        else:
            try:
                await db.transact(shard, payments.settle_refund, task.refund_id, "paid by cheque", now_ms)
            except Refusal as refusal:
                if refusal.code != "payments.charged_back":
                    raise
                continue  # a bank may pay the buyer: its verdict is waited for
        done += 1
    return done
