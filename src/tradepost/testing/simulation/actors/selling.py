"""Sellers: pack, hand over, deliver; change prices, pause offers; and the operator who suspends a seller."""

from __future__ import annotations

from msgspec.structs import replace

from tradepost.testing.simulation.actors.caring import some_lines
from tradepost.testing.simulation.stage import Stage
from tradepost.trade import catalog, fulfilment, orders, parties


async def seller_work(stage: Stage) -> str:
    """Do the next thing an order needs: pack some or all, hand a parcel over, say that it arrived."""
    order_id = await _order_with_work(stage)
    if not order_id:
        return "nothing to do"
    stage.touch(order_id)
    parcels = await stage.read(order_id, fulfilment.list_packages, order_id)
    packed = [parcel for parcel in parcels if parcel.state == "PACKED"]
    sent = [parcel for parcel in parcels if parcel.state in ("COLLECTED", "IN_TRANSIT")]
    at_ms = stage.now_ms()
    if sent and stage.chance.random() < 0.6:
        parcel = stage.chance.choice(sent)
        await stage.transact(order_id, fulfilment.deliver, order_id, parcel.package_id, at_ms)
        return f"{order_id} delivered {parcel.package_id}"
    if packed and stage.chance.random() < 0.7:
        parcel = stage.chance.choice(packed)
        await stage.transact(order_id, fulfilment.collect, order_id, parcel.package_id, "Post", "T1", at_ms)
        return f"{order_id} collected {parcel.package_id}"
    package_id = stage.mint("package", order_id)
    lines: list[fulfilment.PackLine] = []
    if stage.chance.random() < 0.4:
        order = await stage.read(order_id, orders.get_order, order_id)
        sizes = {line.line_no: line.quantity for line in order.body.lines}
        lines = [fulfilment.PackLine(line.line_no, line.quantity) for line in some_lines(stage.chance, sizes)]
    if not lines and stage.chance.random() < 0.3:
        await stage.transact(order_id, fulfilment.ship, order_id, package_id, "Post", "T2", at_ms)
        return f"{order_id} shipped {package_id}"
    await stage.transact(order_id, fulfilment.pack, order_id, package_id, lines, at_ms)
    return f"{order_id} packed {package_id}"


async def _order_with_work(stage: Stage) -> str:
    for _ in range(6):
        order_id = stage.town.some_order(stage.chance)
        if not order_id:
            return ""
        order = await stage.read(order_id, orders.get_order, order_id)
        if order.state in ("AWAITING_SHIPMENT", "PARTIALLY_SHIPPING", "AWAITING_COLLECTION", "IN_TRANSIT"):
            return order_id
    return order_id if stage.chance.random() < 0.1 else ""


async def price(stage: Stage) -> str:
    """Ask for more or less from now on."""
    good = stage.chance.choice(stage.town.goods)
    factor = stage.chance.choice((90, 110, 125))
    prices = tuple(
        replace(window, price_e4=min(9_000_000, window.price_e4 * factor // 100))
        for window in good.terms.prices
    )
    terms = replace(good.terms, prices=prices)
    views = await stage.read(good.seller_id, catalog.offer_views, [good.offer_id])
    version = views[good.offer_id].version
    offer = await stage.transact(
        good.seller_id,
        catalog.change_offer,
        good.seller_id,
        good.offer_id,
        terms,
        version,
        stage.now_ms(),
    )
    return f"{good.offer_id} {factor} % version {offer.version}"


async def pause(stage: Stage) -> str:
    """Take an offer off sale, or put it back."""
    offer_ids = [good.offer_id for good in stage.town.goods]
    good = stage.chance.choice(stage.town.goods)
    views = await stage.read(good.seller_id, catalog.offer_views, offer_ids)
    asleep = [
        each for each in stage.town.goods if each.offer_id in views and views[each.offer_id].state == "PAUSED"
    ]
    good = stage.chance.choice(asleep) if asleep and stage.chance.random() < 0.7 else good
    if good.offer_id not in views:
        views = await stage.read(good.seller_id, catalog.offer_views, offer_ids)
    view = views[good.offer_id]
    given = "pause" if view.state == "ACTIVE" and stage.chance.random() < 0.2 else "resume"
    offer = await stage.transact(
        good.seller_id, catalog.move_offer, good.seller_id, good.offer_id, given, 0, stage.now_ms()
    )
    return f"{good.offer_id} {offer.state}"


async def seller_state(stage: Stage) -> str:
    """Suspend a seller, or let him trade again."""
    seller_id = stage.chance.choice(stage.town.sellers)
    seller = (await stage.read(seller_id, parties.seller_views, [seller_id]))[seller_id]
    given = "suspend" if seller.state == "ACTIVE" and stage.chance.random() < 0.3 else "reinstate"
    moved = await stage.transact(
        seller_id,
        parties.move_seller,
        seller_id,
        given,
        stage.now_ms(),
        reason="complaints" if given == "suspend" else "",
    )
    return f"{seller_id} {moved.state}"
