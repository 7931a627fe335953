"""Orders: the agreement with one seller, from placed to completed or cancelled."""

from tradepost.trade.orders.api import (
    cancel_lines,
    cancel_order,
    complete_orders,
    defer_deadline,
    find_seller_order,
    get_order,
    list_seller_orders,
    open_orders,
    order_log,
    orders_by_ids,
    record_returned,
    seller_view,
    unshipped_orders,
)
from tradepost.trade.orders.jobs import sweeps
from tradepost.trade.orders.log import Rebuilt, rebuild
from tradepost.trade.orders.model import (
    IMMEDIATE,
    ON_SHIPMENT,
    ORDER_STATES,
    LineQuantity,
    NewOrder,
    Order,
    OrderBody,
    OrderLine,
    SellerOrder,
    StockItem,
)
from tradepost.trade.orders.react import CONSUMERS
from tradepost.trade.orders.rules import check_reason, new_order
from tradepost.trade.orders.units import check_lines, full_progress, open_lines, refund_for, stock_of

__all__ = [
    "CONSUMERS",
    "IMMEDIATE",
    "ON_SHIPMENT",
    "ORDER_STATES",
    "LineQuantity",
    "NewOrder",
    "Order",
    "OrderBody",
    "OrderLine",
    "Rebuilt",
    "SellerOrder",
    "StockItem",
    "cancel_lines",
    "cancel_order",
    "check_lines",
    "check_reason",
    "complete_orders",
    "defer_deadline",
    "find_seller_order",
    "full_progress",
    "get_order",
    "list_seller_orders",
    "new_order",
    "open_lines",
    "open_orders",
    "order_log",
    "orders_by_ids",
    "rebuild",
    "record_returned",
    "refund_for",
    "seller_view",
    "stock_of",
    "sweeps",
    "unshipped_orders",
]
