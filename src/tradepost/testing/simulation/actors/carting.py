"""Carts: filled by buyers and guests, merged, bought."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from tradepost.kernel.ids import gene_of
from tradepost.surfaces.api.platform import Platform
from tradepost.testing.simulation.actors.buying import submit
from tradepost.testing.simulation.stage import Stage
from tradepost.testing.simulation.town import METHOD_NAMES, Form
from tradepost.trade import cart, parties
from tradepost.trade.checkout import Want


def _put(stage: Stage) -> cart.PutLine:
    good = stage.chance.choice(stage.town.goods)
    return cart.PutLine(
        offer_id=good.offer_id, seller_id=good.seller_id, quantity=stage.chance.choice((1, 2, 3))
    )


async def _edit(stage: Stage, command: cart.CartCommand) -> cart.Cart:
    async def story(platform: Platform) -> cart.Cart:
        db = platform.db
        return (await db.batch(db.shard_of(gene_of(command.cart_id)), cart.EDIT, command)).cart

    return await stage.ask(story)


async def fill_cart(stage: Stage) -> str:
    """Put one more thing into the cart, or open one."""
    buyer_id = stage.chance.choice(stage.town.buyers)
    cart_id = stage.town.carts.get(buyer_id) or stage.mint("cart", buyer_id)
    stage.town.carts[buyer_id] = cart_id
    command = cart.CartCommand(
        cart_id=cart_id,
        buyer_id=buyer_id,
        market="GB",
        at_ms=stage.now_ms(),
        changes=(_put(stage),),
        create=True,
    )
    filled = await _edit(stage, command)
    return f"{cart_id} {len(filled.lines)} lines version {filled.version}"


async def merge_carts(stage: Stage) -> str:
    """A guest signs in: what was in the guest's cart goes to the buyer's, once."""
    buyer_id = stage.chance.choice(stage.town.buyers)
    cart_id = stage.town.carts.get(buyer_id) or stage.mint("cart", buyer_id)
    stage.town.carts[buyer_id] = cart_id
    guest_id = parties.mint_party(stage.site.world, "buyer")
    guest_cart_id = stage.mint("cart", guest_id)
    command = cart.CartCommand(
        cart_id=guest_cart_id,
        buyer_id=guest_id,
        market="GB",
        at_ms=stage.now_ms(),
        changes=(_put(stage), _put(stage)),
        create=True,
    )
    await _edit(stage, command)

    def story(platform: Platform) -> Coroutine[Any, Any, cart.Cart]:
        return cart.merge(
            platform.db,
            platform.world,
            guest_id=guest_id,
            guest_cart_id=guest_cart_id,
            buyer_id=buyer_id,
            cart_id=cart_id,
        )

    merged = await stage.insist(story)
    again = await stage.insist(story)
    if guest_cart_id not in again.merged_from:
        stage.site.fail(f"merge forgotten: {guest_cart_id} into {cart_id}")
    return f"{guest_cart_id} into {cart_id} {len(merged.lines)} lines"


async def buy_cart(stage: Stage) -> str:
    """Buy what is selected in the cart, and take it out."""
    if not stage.town.carts:
        return "nothing"
    buyer_id = stage.chance.choice(list(stage.town.carts))
    cart_id = stage.town.carts[buyer_id]
    found = await stage.read(cart_id, cart.find, buyer_id, cart_id)
    lines = [line for lines in cart.lines_for_checkout(found).values() for line in lines][:4]
    form = Form(
        key=f"key {stage.step.seed:x}",
        buyer_id=buyer_id,
        method=stage.chance.choice(METHOD_NAMES),
        confirm=True,
        market=found.market,
        wants=tuple(Want(offer_id=line.offer_id, quantity=line.quantity) for line in lines),
    )
    stage.town.forms.append(form)
    outcome = await submit(stage, form)
    bought = cart.RemoveLines(offer_ids=tuple(line.offer_id for line in lines))
    command = cart.CartCommand(
        cart_id=cart_id, buyer_id=buyer_id, market=found.market, at_ms=stage.now_ms(), changes=(bought,)
    )
    await _edit(stage, command)
    return outcome
