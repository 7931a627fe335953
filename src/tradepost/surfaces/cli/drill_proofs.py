"""What each switch promises, as checks on a running shop: prepared while it is off, proved while it is on and after."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from tradepost.stability.switches import (
    COUPONS_OFF,
    EVENTS_SLOW_LANE,
    NEW_CARTS_OFF,
    QUOTE_CACHE_ONLY,
    READ_ONLY,
    TIMELINE_OFF,
    Switch,
)
from tradepost.surfaces.cli.drill_shop import DrillShop, Reply

WAIT_S = 10.0
LOOK_S = 0.05
NOT_YET_PAID = frozenset(("PLACED", "PENDING_PAYMENT"))
Facts = dict[str, Any]
Checks = dict[str, bool]


async def nothing(shop: DrillShop, facts: Facts) -> Checks:
    """No check at this stage."""
    return {}


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """The checks of one switch. `prepare` leaves what the others compare with in the facts they share."""

    switch: Switch
    during: Callable[[DrillShop, Facts], Awaitable[Checks]]
    prepare: Callable[[DrillShop, Facts], Awaitable[Checks]] = nothing
    after: Callable[[DrillShop, Facts], Awaitable[Checks]] = nothing


def _is_refused(reply: Reply, switch: Switch) -> bool:
    return (reply.status, reply.code) == (503, f"switch.{switch.name}") and reply.retry_after.isdecimal()


async def _sample_order(shop: DrillShop) -> str:
    """An order to look at: a new one where the drill may place orders, else the newest of any seller."""
    if shop.places_orders and (await shop.place_order()).fine:
        return shop.placed[-1]
    sellers = await shop.ask("GET", "/v1/sellers?limit=20")
    for seller in sellers.body["items"] if sellers.fine else ():
        found = await shop.ask("GET", f"/v1/orders?seller_id={seller['seller_id']}&limit=1")
        if found.fine and found.body["items"]:
            return str(found.body["items"][0]["order_id"])
    return ""


async def _until(holds: Callable[[], Awaitable[bool]]) -> bool:
    try:
        async with asyncio.timeout(WAIT_S):
            while not await holds():  # noqa: ASYNC110  it happens in another process
                await asyncio.sleep(LOOK_S)
    except TimeoutError:
        return False
    return True


async def prepare_read_only(shop: DrillShop, facts: Facts) -> Checks:
    """An order and a cart from before."""
    facts["order"] = await _sample_order(shop)
    return {"carts_open_before": (await shop.open_cart()).status == 201}


async def prove_read_only(shop: DrillShop, facts: Facts) -> Checks:
    """Writes are refused; reads, quotes and webhooks are not."""
    webhook = await shop.ask("POST", "/v1/webhooks/sandbox", {})
    checks = {
        "cart_refused": _is_refused(await shop.open_cart(), READ_ONLY),
        "new_key_refused": _is_refused(await shop.ask("POST", "/v1/keys", {}), READ_ONLY),
        "offers_read": (await shop.ask("GET", f"/v1/offers/{shop.offer_id}")).fine,
        "quotes_answer": (await shop.quote()).fine,
        "webhooks_heard": webhook.status != 503,
    }
    if facts["order"]:
        checks["orders_read"] = (await shop.read_order(facts["order"])).fine
    return checks


async def prepare_new_carts_off(shop: DrillShop, facts: Facts) -> Checks:
    """A cart from before."""
    opened = await shop.open_cart()
    facts["cart"] = opened.body
    return {"carts_open_before": opened.status == 201}


async def _change_cart(shop: DrillShop, facts: Facts, quantity: int) -> bool:
    cart = facts["cart"]
    lines = [{"offer_id": shop.offer_id, "quantity": quantity}]
    path = f"/v1/carts/{cart['cart_id']}/lines?buyer_id={cart['buyer_id']}"
    reply = await shop.ask("PUT", path, {"lines": lines})
    return reply.fine and [one["quantity"] for one in reply.body["lines"]] == [quantity]


async def prove_new_carts_off(shop: DrillShop, facts: Facts) -> Checks:
    """New carts are refused, older ones work, so do quotes."""
    return {
        "new_cart_refused": _is_refused(await shop.open_cart(), NEW_CARTS_OFF),
        "older_cart_changed": await _change_cart(shop, facts, 2),
        "quotes_answer": (await shop.quote()).fine,
        **await _buying(shop),
    }


async def _buying(shop: DrillShop) -> Checks:
    """Whether orders are taken, where the drill may place them."""
    return {"orders_taken": (await shop.place_order()).fine} if shop.places_orders else {}


async def prove_carts_open(shop: DrillShop, facts: Facts) -> Checks:
    """Carts open again."""
    return {"carts_open_after": (await shop.open_cart()).status == 201}


async def prepare_timeline_off(shop: DrillShop, facts: Facts) -> Checks:
    """An order with its timeline."""
    facts["order"] = await _sample_order(shop)
    before = await shop.read_order(facts["order"]) if facts["order"] else Reply(0, "", (), "", {})
    facts["before"] = before.body
    return {"timeline_before": before.fine and bool(before.body["timeline"])}


async def prove_timeline_off(shop: DrillShop, facts: Facts) -> Checks:
    """The order without its timeline, its amounts as before."""
    reply = await shop.read_order(facts["order"])
    before = facts["before"]
    return {
        "order_read": reply.fine,
        "timeline_left_out": reply.fine and reply.body["timeline"] == [],
        "amounts_kept": reply.fine and reply.body["total"] == before["total"],
        **await _buying(shop),
    }


async def prove_timeline_whole(shop: DrillShop, facts: Facts) -> Checks:
    """Every entry of before is there again."""
    reply = await shop.read_order(facts["order"])
    old = facts["before"]["timeline"]
    return {"timeline_whole_after": reply.fine and reply.body["timeline"][: len(old)] == old}


async def prepare_quote_cache_only(shop: DrillShop, facts: Facts) -> Checks:
    """A total to compare with; asked often enough that every process behind the address remembers the offer."""
    quotes = await asyncio.gather(*(shop.quote() for _ in range(50)))
    facts["totals"] = {str(one.body["total"]) for one in quotes if one.fine}
    return {"quotes_before": all(one.fine for one in quotes) and len(facts["totals"]) == 1}


async def prove_quote_cache_only(shop: DrillShop, facts: Facts) -> Checks:
    """Remembered offers cost the same; an offer nobody remembers is refused by the switch."""
    quotes = [await shop.quote() for _ in range(20)]
    unknown = shop.offer_id[:-2] + ("00" if not shop.offer_id.endswith("00") else "01")
    return {
        "remembered_priced": any(one.fine for one in quotes),
        "others_refused": all(one.fine or _is_refused(one, QUOTE_CACHE_ONLY) for one in quotes),
        "totals_kept": {str(one.body["total"]) for one in quotes if one.fine} <= facts["totals"],
        "unknown_refused": _is_refused(await shop.quote(unknown), QUOTE_CACHE_ONLY),
    }


async def prove_unknown_told(shop: DrillShop, facts: Facts) -> Checks:
    """An offer that does not exist is told to be unknown again."""
    unknown = shop.offer_id[:-2] + ("00" if not shop.offer_id.endswith("00") else "01")
    return {"unknown_told_after": (await shop.quote(unknown)).code == "checkout.offer_unknown"}


async def prove_coupons_off(shop: DrillShop, facts: Facts) -> Checks:
    """No adjustment, and totals that add up."""
    reply = await shop.quote()
    if not reply.fine:
        return {"quotes_answer": False}
    lines = [line for order in reply.body["orders"] for line in order["lines"]]
    return {
        "quotes_answer": True,
        "no_adjustments": not any(line["adjustments"] for line in lines),
        "lines_at_list_price": all(line["total"] == line["list"] for line in lines),
        **await _buying(shop),
    }


async def prove_slow_lane(shop: DrillShop, facts: Facts) -> Checks:
    """Money goes on: an order placed now is paid now."""
    if not shop.places_orders:
        return {"quotes_answer": (await shop.quote()).fine}
    placed = await shop.place_order()
    if not placed.fine:
        return {"orders_taken": False}
    facts["order"] = shop.placed[-1]
    facts["seller"] = placed.body["orders"][0]["seller_id"]

    async def is_paid() -> bool:
        reply = await shop.read_order(facts["order"])
        return reply.fine and reply.body["state"] not in NOT_YET_PAID

    return {
        "orders_taken": True,
        "orders_paid": await _until(is_paid),
        "list_waits": not await _listed(shop, facts),
    }


async def _listed(shop: DrillShop, facts: Facts) -> bool:
    """Whether the seller's list has the order, in the state the order is in."""
    reply = await shop.ask("GET", f"/v1/orders?seller_id={facts['seller']}&limit=200")
    return reply.fine and facts["order"] in {one["order_id"] for one in reply.body["items"]}


async def prove_caught_up(shop: DrillShop, facts: Facts) -> Checks:
    """What waited is delivered."""
    if "order" not in facts:
        return {}

    async def is_listed() -> bool:
        return await _listed(shop, facts)

    return {"list_whole_after": await _until(is_listed)}


PROOFS: dict[str, Proof] = {
    proof.switch.name: proof
    for proof in (
        Proof(switch=COUPONS_OFF, during=prove_coupons_off),
        Proof(switch=EVENTS_SLOW_LANE, during=prove_slow_lane, after=prove_caught_up),
        Proof(
            switch=NEW_CARTS_OFF,
            prepare=prepare_new_carts_off,
            during=prove_new_carts_off,
            after=prove_carts_open,
        ),
        Proof(
            switch=QUOTE_CACHE_ONLY,
            prepare=prepare_quote_cache_only,
            during=prove_quote_cache_only,
            after=prove_unknown_told,
        ),
        Proof(switch=READ_ONLY, prepare=prepare_read_only, during=prove_read_only, after=prove_carts_open),
        Proof(
            switch=TIMELINE_OFF,
            prepare=prepare_timeline_off,
            during=prove_timeline_off,
            after=prove_timeline_whole,
        ),
    )
}
