"""Orders to test with: small ones, with prices that do not divide evenly."""

from __future__ import annotations

from collections.abc import Sequence

from tradepost.kernel.ids import order_number
from tradepost.testing.world import TestWorld
from tradepost.trade import orders
from tradepost.trade.orders import Conversion, NewOrder, OrderBody, OrderLine, StockItem

HOUR_MS = 3_600_000
GENE = 7
PAYMENT_DEADLINE_MS = HOUR_MS // 2


def line(line_no: int, quantity: int, total_minor: int, components: Sequence[StockItem] = ()) -> OrderLine:
    """A line of a SKU of its own."""
    sku_id = f"sku_0000000000{line_no:016d}"
    return OrderLine(
        line_no=line_no,
        offer_id=f"off_{line_no}",
        sku_id=sku_id,
        sku_code=f"CODE-{line_no}",
        quantity=quantity,
        unit_price_e4=total_minor * 10_000 // quantity,
        list_minor=total_minor,
        total_minor=total_minor,
        components=tuple(components) or (StockItem(sku_id, 1),),
    )


KIT = (StockItem("sku_a", 2), StockItem("sku_b", 1))
LINES = (line(1, 3, 100), line(2, 2, 555, KIT))


def new_order(
    world: TestWorld,
    lines: Sequence[OrderLine] = LINES,
    *,
    shipping_minor: int = 45,
    remorse_ms: int = 0,
    capture: str = "immediate",
    ship_by_ms: int = 24 * HOUR_MS,
    complete_after_ms: int = 48 * HOUR_MS,
    return_window_ms: int = 72 * HOUR_MS,
    seller_id: str = "",
    conversions: tuple[Conversion, ...] = (),
) -> NewOrder:
    """An order as checkout would hand it over."""
    order_id = world.mint("order", GENE)
    body = OrderBody(
        order_number=order_number(order_id),
        lines=tuple(lines),
        total_minor=sum(li.total_minor for li in lines) + shipping_minor,
        shipping_minor=shipping_minor,
        capture=capture,
        remorse_ms=remorse_ms,
        ship_by_ms=ship_by_ms,
        complete_after_ms=complete_after_ms,
        return_window_ms=return_window_ms,
        address={"name": "Ada", "line1": "1 Loop Lane", "city": "York", "postcode": "YO1", "country": "GB"},
        email="ada@example.org",
        conversions=conversions,
    )
    return orders.new_order(
        body,
        order_id=order_id,
        checkout_id=world.mint("checkout", GENE),
        buyer_id=world.mint("buyer", GENE),
        seller_id=seller_id or world.mint("seller", 9),
        market="GB",
        currency="GBP",
        scene="default",
        payment_id=world.mint("payment", GENE),
        at_ms=world.now_ms(),
        payment_deadline_ms=PAYMENT_DEADLINE_MS,
    )
